"""Tell UTF-8 from Windows-31J without guessing; refuse the rest with a sentence that says what it is."""

from __future__ import annotations

import re
from collections.abc import Callable

from bousai_kit.errors import InputError

__all__ = ["decode_text"]

_RESAVE = "Excel の「名前を付けて保存」で「CSV UTF-8（コンマ区切り）」を選び、保存し直してください。"
_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16（Unicode テキスト）"),
    (b"\xfe\xff", "UTF-16（Unicode テキスト）"),
)
_BINARIES = (
    (b"%PDF-", "PDF"),
    (b"\x89PNG", "画像（PNG）"),
    (b"\xff\xd8\xff", "画像（JPEG）"),
    (b"\x1f\x8b", "圧縮ファイル（gzip）"),
    (b"7z\xbc\xaf\x27\x1c", "圧縮ファイル（7-Zip）"),
    (b"{\\rtf", "リッチテキスト（RTF）"),
)
_JIS = re.compile(rb"\x1b\$[@B]|\x1b\([BJI]")
_MARKUP = re.compile(rb"\s*<(?:!doctype|html|table|\?xml|meta|head)", re.IGNORECASE)
_HALF_KANA = re.compile("[\uff61-\uff9f]")
_NOT_CP932 = re.compile("[\x80-\xa0\uf8f0-\uf8f3]")  # single bytes that Windows-31J leaves unused
_KANA = re.compile("[ぁ-んァ-ヶー]")


def decode_text(
    data: bytes, *, what: str = "ファイル", prefer: Callable[[str], bool] | None = None
) -> tuple[str, str]:
    """Decode a text file.

    Valid UTF-8 is UTF-8; other bytes are Windows-31J (with NEC's and IBM's extensions, so 髙 and 﨑) when
    they are valid there and not valid EUC-JP. Where both fit, nothing is guessed: `prefer` decides, or the
    file is refused.

    Parameters
    ----------
    data : bytes
    what : str
        What the file is, for sentences.
    prefer : callable, optional
        Says of a text whether it is what the caller expects (a known header, say).

    Returns
    -------
    (str, str)
        The text without byte order mark, and ``utf-8``, ``utf-8-sig`` or ``cp932``.

    Raises
    ------
    InputError
        Any other encoding, or no text at all.
    """
    if data.startswith(b"\xef\xbb\xbf"):
        try:
            return data[3:].decode("utf-8"), "utf-8-sig"
        except UnicodeDecodeError as error:
            raise _broken(data, error.start + 3, what) from None
    _refuse_known(data, what)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _japanese(data, what, prefer, error.start), "cp932"
    if _JIS.search(data):
        raise InputError(f"{what}の文字コードは ISO-2022-JP（JIS）で、読み取れません。", hint=_RESAVE)
    return text, "utf-8"


def _refuse_known(data: bytes, what: str) -> None:
    for mark, name in _MARKS:
        if data.startswith(mark):
            raise InputError(f"{what}の文字コードは {name} で、読み取れません。", hint=_RESAVE)
    for mark, name in _BINARIES:
        if data.startswith(mark):
            raise InputError(
                f"{what}は{name}で、表として読み取れません。", hint="CSV か XLSX を指定してください。"
            )
    if b"\x00" in data:
        head = data[:4096]
        pairs = len(head) // 2
        if pairs and max(head[0::2].count(0), head[1::2].count(0)) > 0.2 * pairs:
            raise InputError(
                f"{what}の文字コードは UTF-16（BOM なし）のようで、読み取れません。", hint=_RESAVE
            )
        line = data.count(b"\n", 0, data.index(b"\x00")) + 1
        raise InputError(
            f"{what}は文字のファイルではありません（0 のバイトが {line} 行目付近にあります）。",
            hint="CSV か XLSX を指定してください。CSV なら、その行を入力し直してください。",
        )
    if _MARKUP.match(data):
        raise InputError(
            f"{what}は Web ページ（HTML/XML）として保存されていて、表として読み取れません。",
            hint="Excel で開き、「Excel ブック（.xlsx）」か「CSV UTF-8」で保存し直してください。",
        )


def _japanese(data: bytes, what: str, prefer: Callable[[str], bool] | None, broken_at: int) -> str:
    shift = _strict(data, "cp932")
    if shift is not None and _NOT_CP932.search(shift):
        shift = None
    euc = _strict(data, "euc_jp") or _strict(data, "euc_jis_2004")
    if shift is None and euc is None:
        raise _broken(data, broken_at, what)
    if shift is not None and euc is None:
        return shift
    knows = None if shift is None or euc is None or prefer is None else (prefer(shift), prefer(euc))
    if shift is not None and knows == (True, False):
        return shift
    if shift is None or euc is None or knows == (False, True) or _reads_as_euc(shift, euc):
        raise InputError(f"{what}の文字コードは EUC-JP で、読み取れません。", hint=_RESAVE)
    raise InputError(
        f"{what}の文字コードを確実に判別できません（Shift_JIS とも EUC-JP とも読めます）。", hint=_RESAVE
    )


def _reads_as_euc(shift: str, euc: str) -> bool:
    """Whether the EUC reading has kana words where the other is a litter of half-width marks."""
    return bool(_KANA.search(euc)) and bool(_HALF_KANA.search(shift))


def _strict(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _broken(data: bytes, at: int, what: str) -> InputError:
    line = data.count(b"\n", 0, at) + 1
    return InputError(
        f"{what}の文字コードを判別できません"
        f"（UTF-8 でも Shift_JIS でもないバイトが {line} 行目付近にあります）。",
        hint=_RESAVE,
    )
