"""Typeset the hand-outs: what stands on a page, and a process of its own for many of them.

Passwords and passphrase go to the typesetter in memory, or through a pipe.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from bousai_kit.errors import ConfigError
from bousai_kit.settings.font import font_file

__all__ = ["Slip", "make", "make_elsewhere", "pages_of", "render_pdf", "without_glyph"]

_HERE = Path(__file__).parent
_DEVICES = {"iOS": "iPhone・iPad", "Android": "Android のスマートフォン"}
_OTHER = "パソコン"
NOWHERE = "（区・局の記入なし）"
SPACE_MM, ROW_MM, UNIT_MM = 129.6, 8.1, 6.2
"""Of a receipt list's page, of a person on it, of the line above a unit; as in ``handout.typ``."""


@dataclass(frozen=True, slots=True)
class Slip:
    """What one page says.

    Attributes
    ----------
    key : str
        External key of the person; used in file names of single pages.
    name, unit, position, login_id : str
    group : str
        Ward or bureau: whose liaison hands it out.
    device_os : str
        ``iOS``, ``Android`` or anything else.
    password : str
        Initial password; empty where the person sets one from an invitation.
    spent : bool
        The person has logged in and set an own password: the page says so and shows none.
    """

    key: str
    name: str = field(repr=False)
    login_id: str = field(repr=False)
    password: str = field(repr=False)
    device_os: str = ""
    unit: str = ""
    position: str = ""
    spent: bool = False
    group: str = ""


# -- typesetting ------------------------------------------------------------------------------------


def render_pdf(
    slips: Sequence[Slip], *, text: Mapping[str, Any], font: Path | None = None, covers: bool = False
) -> bytes:
    """Typeset the pages.

    Parameters
    ----------
    slips : sequence of Slip
        One page each, in this order; at least one.
    text : mapping
        From `load_text`.
    font : Path, optional
        A font file in place of the packaged Noto Sans CJK JP (``BOUSAI_FONT``).
    covers : bool
        Before the people of each ward or bureau a list on which they sign for what they got.

    Returns
    -------
    bytes
        A PDF with embedded fonts.

    Raises
    ------
    ConfigError
        The font cannot be used, or the words are too many for a page.
    """
    if not slips:
        raise ValueError("no slips")
    pages = [page for _, page in pages_of(slips, covers=covers)]
    return _Typesetter(text, font).pdf(pages)


def pages_of(slips: Sequence[Slip], *, covers: bool) -> Iterator[tuple[Slip | None, dict[str, Any]]]:
    """Pages in their order; None: of a list."""
    for name, group in itertools.groupby(slips, key=lambda slip: slip.group):
        people = list(group)
        sheets = _sheets(people) if covers else []
        units = list(dict.fromkeys(slip.unit for slip in people))
        title = "　".join(dict.fromkeys(part for part in (name, *units[: len(units) == 1]) if part))
        for number, rows in enumerate(sheets, 1):
            cover = {"title": title or NOWHERE, "people": len(people), "number": number, "of": len(sheets)}
            yield None, cover | {"rows": rows}
        for slip in people:
            yield slip, _page(slip)


def _sheets(people: Sequence[Slip]) -> list[list[dict[str, Any]]]:
    """Rows of a receipt list, page by page: small units follow each other, each below its own line."""
    units = [list(group) for _, group in itertools.groupby(people, key=lambda slip: slip.unit)]
    sheets: list[list[dict[str, Any]]] = []
    left, number = 0.0, 0
    for unit in units:
        for place, slip in enumerate(unit):
            said = len(units) > 1
            if left < ROW_MM + (UNIT_MM if said and not place else 0.0):
                sheets.append([])
                left = SPACE_MM
            if said and (not place or not sheets[-1]):
                name = slip.unit or "所属の記入なし"
                sheets[-1].append({"unit": name, "people": len(unit), "again": place > 0})
                left -= UNIT_MM
            number += 1
            sheets[-1].append({"no": number, "key": slip.key, "name": slip.name})
            left -= ROW_MM
    return sheets


def _page(slip: Slip) -> dict[str, Any]:
    return {
        "number": slip.key,
        "name": slip.name,
        "place": "　".join(part for part in (slip.unit, slip.position) if part),
        "login_id": slip.login_id,
        "password": "" if slip.spent else slip.password,
        "os": slip.device_os if slip.device_os in _DEVICES else "other",
        "os_label": _DEVICES.get(slip.device_os, _OTHER),
        "spent": slip.spent,
        "invited": not (slip.password or slip.spent),
    }


class _Typesetter:
    """One font and one city's words."""

    def __init__(self, text: Mapping[str, Any], font: Path | None) -> None:
        import typst

        file = font_file(font)
        family = _font_family(file)
        self._same = {
            "text": dict(text),
            "font": family,
            "mono": ["DejaVu Sans Mono", family],
            "qr": {device: _qr_svg(str(text["app_url"][device])) for device in (*_DEVICES, "other")},
        }
        self._compiler: Any = typst.Compiler(
            str(_HERE / "handout.typ"), font_paths=[str(file.parent)], ignore_system_fonts=True
        )

    def pdf(self, pages: Sequence[Mapping[str, Any]]) -> bytes:
        """The pages, in memory; a little tighter when a city says much."""
        found = self._try(pages, tight=False) or self._try(pages, tight=True)
        if found is None:
            raise ConfigError(
                "文面が長すぎて、1 人 1 ページに収まりません。",
                setting="handout_text.yaml",
                hint="handout_text.yaml の手順や説明を短くしてください。",
            )
        return found

    def _try(self, pages: Sequence[Mapping[str, Any]], *, tight: bool) -> bytes | None:
        """None: somebody's words run over the page."""
        import typst

        said = json.dumps({**self._same, "pages": list(pages), "tight": tight}, ensure_ascii=False)
        try:  # tags would make it three times as large; what is printed needs none
            return bytes(self._compiler.compile(sys_inputs={"data": said}, pdf_tags=False))
        except typst.TypstError as error:  # its text may quote what it was given
            if "more than a page" in str(error):
                return None
        raise ConfigError(
            "配付資料を組めませんでした。",
            setting="BOUSAI_FONT",
            hint="`bousai doctor` でフォントを確かめてください。",
        )


def _qr_svg(address: str) -> str:
    import segno

    buffer = io.BytesIO()
    segno.make(address, error="m").save(buffer, kind="svg", scale=4, border=2, xmldecl=False)
    return buffer.getvalue().decode("ascii")


def without_glyph(slips: Sequence[Slip], font: Path | None = None) -> tuple[str, ...]:
    """Keys of those on whose page a letter prints as an empty box: the font does not have it."""
    from matplotlib.font_manager import get_font

    there = set(get_font(str(font_file(font))).get_charmap())
    found = []
    for slip in slips:
        said = {ord(letter) for letter in slip.name + slip.unit + slip.position} - there
        if any(_prints(chr(code)) for code in said):
            found.append(slip.key)
    return tuple(found)


def _prints(letter: str) -> bool:
    """Selectors of a variant, blanks and marks of direction have no glyph of their own."""
    return not (unicodedata.category(letter) in ("Mn", "Cf", "Zs", "Cc") or letter == "\u3000")


def _font_family(path: Path) -> str:
    from matplotlib.font_manager import get_font

    try:
        return str(get_font(str(path)).family_name)
    except (OSError, RuntimeError):
        raise ConfigError(
            f"配付資料のフォント（{path}）を読み取れません。",
            setting="BOUSAI_FONT",
            hint="BOUSAI_FONT を外すか、日本語の OTF または TTF ファイルを指定してください。",
        ) from None


def _singles(pdf: bytes, passphrase: str | None) -> list[bytes]:
    """One PDF a page; the letters of the fonts are those of all pages, the text is the page's alone."""
    from pypdf import PdfReader, PdfWriter

    found = []
    for page in PdfReader(io.BytesIO(pdf)).pages:
        writer = PdfWriter()
        writer.add_page(page)
        if passphrase:
            writer.encrypt(passphrase, algorithm="AES-256")
        buffer = io.BytesIO()
        writer.write(buffer)
        found.append(buffer.getvalue())
    return found


def _lock(pdf: bytes, passphrase: str | None) -> bytes:
    if not passphrase:
        return pdf
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf)))
    writer.encrypt(passphrase, algorithm="AES-256")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


# -- work for a process of its own --------------------------------------------------------------------


def make(order: Mapping[str, Any]) -> list[bytes]:
    """The PDFs of an order: one of all its pages, or one each."""
    typesetter = _Typesetter(order["text"], Path(order["font"]) if order["font"] else None)
    whole = typesetter.pdf(order["pages"])
    return _singles(whole, order["passphrase"]) if order["single"] else [_lock(whole, order["passphrase"])]


def _main(order: BinaryIO, out: BinaryIO) -> int:
    """Read an order, write each PDF after its length; a `ConfigError` becomes exit code 2 and JSON."""
    try:
        found = make(json.loads(order.read()))
    except ConfigError as error:
        out.write(json.dumps([str(error), error.setting, error.hint]).encode())
        return 2
    for pdf in found:
        out.write(len(pdf).to_bytes(8, "big") + pdf)
    return 0


def make_elsewhere(order: Mapping[str, Any]) -> list[bytes]:
    """`make` in a process of its own; passwords and passphrase go through a pipe."""
    code = "import sys; from bousai_kit.onboarding.handout_pdf import _main; "
    code += "sys.exit(_main(sys.stdin.buffer, sys.stdout.buffer))"
    path = os.pathsep.join(filter(None, (str(_HERE.parent.parent), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(  # noqa: S603 - this program
        [sys.executable, "-c", code],
        input=json.dumps(order).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    if done.returncode == 2 and done.stdout:
        said, setting, hint = json.loads(done.stdout)
        raise ConfigError(said, setting=setting, hint=hint)
    if done.returncode:
        raise ConfigError(
            "配付資料を組む処理が途中で終わりました（メモリー不足の可能性があります）。",
            setting="",
            hint="ほかのプログラムを閉じてから、もう一度実行してください。",
        )
    found, at = [], 0
    while at < len(done.stdout):
        size = int.from_bytes(done.stdout[at : at + 8], "big")
        found.append(done.stdout[at + 8 : at + 8 + size])
        at += 8 + size
    return found
