"""Files that were made, handed to whoever sits in front of the browser, wherever the kernel runs.

One way for all of them (the roster's table too): the bytes go over the comm when somebody presses, in pieces,
and the page saves them; neither they nor a file's name are part of a widget's state, so nothing of them can
end up in a notebook file.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget

from bousai_kit.panels.base import PanelModel

__all__ = ["Downloads", "Made", "program", "send_file", "zipped"]

HERE = Path(__file__).parent
PIECE = 4 << 20  # bytes a message
LARGEST = 500 << 20
_GONE = "ファイルがありません（移したか、削除しました）。もう一度作ってください。"
_LARGE = "大きすぎて、ここからはダウンロードできません。表示している場所から取り出してください。"


def program(name: str) -> str:
    """A widget's program, with what saves files in front of it."""
    return "".join((HERE / one).read_text(encoding="utf-8") for one in ("saving.js", name))


def send_file(widget: Any, name: str, content: bytes, of: Mapping[str, Any]) -> None:
    """Let the page save bytes under a name.

    Parameters
    ----------
    of : mapping
        What tells the page which question this answers; part of every piece.
    """
    for start in range(0, max(1, len(content)), PIECE):
        more = start + PIECE < len(content)
        message = {"kind": "file", "name": name, "more": more, **of}
        widget.send(message, buffers=[content[start : start + PIECE]])


@dataclass(frozen=True, slots=True)
class Made:
    """A file to hand over.

    Parameters
    ----------
    path : Path
        Where it stands on the kernel's machine.
    label : str
        What it is, in the words of the screen.
    name : str
        As it is to be saved; default: as on the disk.
    content : callable, optional
        Makes the bytes when they are asked for; default: the file's.
    """

    path: Path
    label: str
    name: str = ""
    content: Callable[[], bytes] | None = None

    @property
    def saved_as(self) -> str:
        """Name in the browser."""
        return self.name or self.path.name

    def read(self) -> bytes:
        """The bytes, now."""
        return self.path.read_bytes() if self.content is None else self.content()


def zipped(paths: Sequence[Path]) -> bytes:
    """Several files as one (ZIP; names in UTF-8, which Windows reads)."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as pack:
        for path in paths:
            pack.write(path, path.name)
    return kept.getvalue()


class Downloads(anywidget.AnyWidget):
    """Buttons that save files through the browser; empty: nothing is shown.

    Parameters
    ----------
    model : PanelModel
        Where the clicks are carried out.

    Attributes
    ----------
    made : tuple of Made
        What is offered.
    """

    _esm = program("files.js")
    _css = HERE / "files.css"

    def __init__(self, model: PanelModel) -> None:
        super().__init__()
        self._model = model
        self.made: tuple[Made, ...] = ()
        self.on_msg(self._heard)

    def offer(self, made: Sequence[Made]) -> None:
        """Show these files instead of those before."""
        if tuple(made) != self.made:
            self.made = tuple(made)
            self._list()

    def _list(self) -> None:
        files = [
            {"label": one.label, "name": one.saved_as, "path": str(one.path), "size": _size(one)}
            for one in self.made
        ]
        self.send({"kind": "files", "files": files})

    def _heard(self, _: Any, asked: Any, buffers: Any) -> None:
        if isinstance(asked, dict):
            self._model.at_home(lambda: self._answer(asked))

    def _answer(self, asked: Mapping[str, Any]) -> None:
        if asked.get("do") == "hello":
            self._list()
            return
        place, of = asked.get("file"), {"of": asked.get("of")}
        if asked.get("do") != "download" or not isinstance(place, int) or not 0 <= place < len(self.made):
            return
        made = self.made[place]
        if made.saved_as != asked.get("name"):
            self._list()  # another file stands there meanwhile
            return
        try:
            large = made.content is None and made.path.stat().st_size > LARGEST
            if not large:
                send_file(self, made.saved_as, made.read(), of)
                return
            said = _LARGE
        except OSError:
            said = _GONE
        self.send({"kind": "said", "text": f"{made.saved_as}：{said}", "bad": True, **of})


def _size(made: Made) -> str:
    """In the words of a screen; "" when it is not known."""
    try:
        size = made.path.stat().st_size if made.content is None else 0
    except OSError:
        return ""
    if not size:
        return ""
    return f"{size / 2**20:,.1f} MB" if size >= 2**20 else f"{max(1, round(size / 1024)):,} KB"
