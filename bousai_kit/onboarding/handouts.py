"""Hand-outs: one A5 page a person, with login id, initial password, QR code and steps for their device.

Initial passwords appear here and nowhere else: they are derived when the page is made and pass to the
typesetter in memory. The words are a template that a city edits (``BOUSAI_HOME/handout_text.yaml``).
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bousai_kit.errors import ConfigError
from bousai_kit.settings.font import font_file

__all__ = ["Handouts", "Slip", "load_text", "render_pdf", "write_handouts"]

_HERE = Path(__file__).parent
_TEXT_KEYS = ("organisation", "title", "purpose", "issued_by", "help_desk", "privacy", "warning")
_DEVICES = {"iOS": "iPhone・iPad", "Android": "Android"}


@dataclass(frozen=True, slots=True)
class Slip:
    """What one page says.

    Attributes
    ----------
    key : str
        External key of the person; used in file names of single pages.
    name, unit, position, login_id : str
    device_os : str
        ``iOS``, ``Android`` or anything else.
    password : str
        Initial password; empty where the person sets one from an invitation.
    """

    key: str
    name: str = field(repr=False)
    login_id: str = field(repr=False)
    password: str = field(repr=False)
    device_os: str = ""
    unit: str = ""
    position: str = ""


@dataclass(frozen=True, slots=True)
class Handouts:
    """What was written: ``handouts --json``."""

    files: tuple[Path, ...]
    pages: int

    def as_json(self) -> dict[str, object]:
        """Paths and the number of pages."""
        return {"files": [str(path) for path in self.files], "pages": self.pages}


def load_text(home: Path | None = None) -> dict[str, Any]:
    """Read the words of the pages: the city's own where there are any, else the packaged ones.

    Raises
    ------
    ConfigError
        The city's file cannot be read or lacks something.
    """
    import yaml

    own = home / "handout_text.yaml" if home is not None else None
    path = own if own is not None and own.is_file() else _HERE / "handout_text.yaml"
    try:
        text = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"配付資料の文面 {path.name} を読み取れません（{type(error).__name__}）。",
            setting="handout_text.yaml",
            hint="UTF-8 の YAML で保存してください。ファイルを消すと、標準の文面に戻ります。",
        ) from None
    problems = _problems(text)
    if problems:
        raise ConfigError(
            f"配付資料の文面 {path.name} に不足があります: {'、'.join(problems)}。",
            setting="handout_text.yaml",
            hint="標準の文面（bousai_kit/onboarding/handout_text.yaml）を参考に直してください。",
        )
    return dict(text)


def _problems(text: Any) -> list[str]:
    if not isinstance(text, dict):
        return ["項目がありません"]
    found = [key for key in _TEXT_KEYS if not isinstance(text.get(key), str)]
    for key in ("app_url", "steps"):
        table = text.get(key)
        if not isinstance(table, dict) or "other" not in table:
            found.append(f"{key}.other")
    steps = text.get("steps")
    for device, rows in steps.items() if isinstance(steps, dict) else ():
        if not isinstance(rows, list) or not all(isinstance(r, dict) and "text" in r for r in rows):
            found.append(f"steps.{device}")
    return found


def _qr_svg(address: str) -> str:
    import segno

    buffer = io.BytesIO()
    segno.make(address, error="m").save(buffer, kind="svg", scale=4, border=2, xmldecl=False)
    return buffer.getvalue().decode("ascii")


def _font_family(path: Path) -> str:
    from matplotlib.font_manager import get_font

    return str(get_font(str(path)).family_name)


def render_pdf(slips: Sequence[Slip], *, text: Mapping[str, Any], font: Path | None = None) -> bytes:
    """Typeset the pages.

    Parameters
    ----------
    slips : sequence of Slip
        One page each, in this order; at least one.
    text : mapping
        From `load_text`.
    font : Path, optional
        A font file in place of the packaged Noto Sans CJK JP (``BOUSAI_FONT``).

    Returns
    -------
    bytes
        A PDF with embedded fonts.
    """
    import typst

    if not slips:
        raise ValueError("no slips")
    file = font_file(font)
    family = _font_family(file)
    codes: dict[str, str] = {}
    pages = []
    for slip in slips:
        device = slip.device_os if slip.device_os in text["app_url"] else "other"
        if device not in codes:
            codes[device] = _qr_svg(str(text["app_url"][device]))
        pages.append(
            {
                "number": slip.key,
                "name": slip.name,
                "unit": slip.unit,
                "position": slip.position,
                "login_id": slip.login_id,
                "password": slip.password,
                "os": slip.device_os,
                "os_label": _DEVICES.get(slip.device_os, "パソコン・貸与端末"),
                "qr": codes[device],
            }
        )
    document = {"slips": pages, "text": text, "font": family, "mono": ["DejaVu Sans Mono", family]}
    result: Any = typst.compile(  # type: ignore[misc]  # its stub leaves a type variable open
        (_HERE / "handout.typ").read_bytes(),
        font_paths=[str(file.parent)],
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(document, ensure_ascii=False)},
    )
    return bytes(result)


def write_handouts(
    slips: Sequence[Slip],
    out: Path,
    *,
    text: Mapping[str, Any],
    font: Path | None = None,
    single: bool = False,
    passphrase: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Handouts:
    """Write the pages below `out`, readable by their owner alone.

    Parameters
    ----------
    slips : sequence of Slip
    out : Path
        A folder; made when missing (0700).
    single : bool
        A zip of one PDF a person in place of one PDF for all.
    passphrase : str, optional
        Encrypt each PDF (AES-256) with it.
    progress : callable, optional
        Called with pages done and all pages.
    """
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not single:
        path = out / "handouts.pdf"
        _write(path, _lock(render_pdf(slips, text=text, font=font), passphrase))
        if progress is not None:
            progress(len(slips), len(slips))
        return Handouts((path,), len(slips))
    path = out / "handouts.zip"
    whole = render_pdf(slips, text=text, font=font)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, page in enumerate(_pages(whole)):
            archive.writestr(f"handout_{_safe(slips[number].key, number)}.pdf", _lock(page, passphrase))
            if progress is not None:
                progress(number + 1, len(slips))
    _write(path, buffer.getvalue())
    return Handouts((path,), len(slips))


def _safe(key: str, number: int) -> str:
    kept = "".join(c for c in key if c.isascii() and (c.isalnum() or c in "-_"))
    return kept or f"{number + 1:04d}"


def _pages(pdf: bytes) -> list[bytes]:
    from pypdf import PdfReader, PdfWriter

    single = []
    for page in PdfReader(io.BytesIO(pdf)).pages:
        writer = PdfWriter()
        writer.add_page(page)
        buffer = io.BytesIO()
        writer.write(buffer)
        single.append(buffer.getvalue())
    return single


def _lock(pdf: bytes, passphrase: str | None) -> bytes:
    if not passphrase:
        return pdf
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf)))
    writer.encrypt(passphrase, algorithm="AES-256")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
