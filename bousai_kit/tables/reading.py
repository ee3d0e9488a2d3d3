"""Read a table file, whatever it is called: its bytes say what it is."""

from __future__ import annotations

import functools
from pathlib import Path

from bousai_kit.errors import InputError
from bousai_kit.tables import delimited
from bousai_kit.tables.encodings import decode_text
from bousai_kit.tables.model import Recognise, Table

__all__ = ["read_bytes", "read_table", "table_of"]

_LARGEST = 512 * 1024 * 1024


def read_table(path: Path, *, what: str = "ファイル", recognise: Recognise | None = None) -> Table:
    """Read a CSV (UTF-8 with or without BOM, Windows-31J) or an XLSX.

    Parameters
    ----------
    path : Path
    what : str
        What the file is, for sentences (``名簿``).
    recognise : callable, optional
        Says whether cells are the expected header; with it, lines above the header are passed over and an
        XLSX gives its first sheet with such a header.

    Raises
    ------
    InputError
        The file cannot be read as a table; the sentence says why and what to do.
    """
    return table_of(read_bytes(path, what=what), what=what, recognise=recognise)


def read_bytes(path: Path, *, what: str = "ファイル") -> bytes:
    """Read a file that a person named.

    Raises
    ------
    InputError
        No such file, not readable, or larger than any table.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(
                f"{what} {path.name} は大きすぎます（512 MB まで）。", hint="ファイルを分けてください。"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{what} {path} が見つかりません。", hint="ファイルの場所と名前を確認してください。"
        ) from None
    except IsADirectoryError:
        raise InputError(f"{path} はフォルダーです。", hint=f"{what}のファイルを指定してください。") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{what} {path.name} を開けません（{type(error).__name__}）。",
            hint="Excel などで開いていたら閉じ、読み取りの権限を確認してください。",
        ) from None


def table_of(data: bytes, *, what: str = "ファイル", recognise: Recognise | None = None) -> Table:
    """As `read_table`, from bytes."""
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")):
        from bousai_kit.tables import workbook

        return workbook.parse(data, what=what, recognise=recognise)
    prefer = functools.partial(delimited.looks_like, recognise=recognise) if recognise is not None else None
    text, encoding = decode_text(data, what=what, prefer=prefer)
    return delimited.parse(text, encoding, what=what, recognise=recognise)
