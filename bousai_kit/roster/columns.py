"""The columns of a roster and of an organisation file, under every name that people give them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["REJECTED", "ROSTER", "UNITS", "Column", "Match", "header_key", "key", "match", "recogniser"]

REJECTED = "登録できない理由"
"""Column of the file of rejected rows: a roster with it holds a part of the people."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: our name, the file's name, others that mean the same.

    Attributes
    ----------
    if_used : bool
        Written only where some row has a value: not every city knows it.
    """

    field: str
    title: str
    required: bool = False
    others: tuple[str, ...] = ()
    if_used: bool = False


ROSTER: tuple[Column, ...] = (
    Column("staff_number", "職員番号", True, ("職員コード", "職員No", "社員番号", "employee_number")),
    Column("last_name", "姓", True, ("氏", "苗字", "姓（漢字）", "family_name", "surname")),
    Column("first_name", "名", True, ("名（漢字）", "given_name")),
    Column(
        "last_kana",
        "姓カナ",
        False,
        ("姓フリガナ", "フリガナ姓", "カナ姓", "セイ", "phonetic_last_name", "last_name_kana"),
    ),
    Column(
        "first_kana",
        "名カナ",
        False,
        ("名フリガナ", "フリガナ名", "カナ名", "メイ", "phonetic_first_name", "first_name_kana"),
    ),
    Column("login_id", "ログインID", True, ("ログイン名", "login")),
    Column("orgunit_code", "所属コード", True, ("組織コード", "部署コード", "org_unit_code")),
    Column("orgunit_name", "所属名", False, ("所属", "組織名", "部署名", "部署", "org_unit_name", "orgunit")),
    Column("position", "役職", False, ("役職名", "職名")),
    Column("level", "職級", False, ("職級名", "level_name"), if_used=True),
    Column(
        "hq_role", "本部役割", False, ("本部の役割", "災害対策本部役割", "災対本部役割", "headquarters_role")
    ),
    Column("ward", "区", False, ("区名", "行政区")),
    Column("bureau", "局", False, ("局名", "局室")),
    Column("deputy_order", "代理順位", False, ("代理順",)),
    Column("deputy_for", "代理対象", False, ("代理対象者",)),
    Column("device_os", "端末OS", False, ("端末", "OS", "device")),
    Column("phone", "携帯電話", False, ("携帯電話番号", "携帯番号", "携帯", "cell_phone", "mobile")),
    Column("private_email", "私用メール", False, ("私用メールアドレス", "個人メール", "個人メールアドレス")),
    Column("note", "備考", False, ("メモ", "notes", "remarks")),
)

UNITS: tuple[Column, ...] = (
    Column(
        "code", "組織コード", True, ("所属コード", "コード", "部署コード", "orgunit_code", "org_unit_code")
    ),
    Column("name", "組織名", True, ("所属名", "名称", "部署名", "所属", "orgunit_name", "org_unit_name")),
    Column(
        "parent_code",
        "上位組織コード",
        False,
        ("上位コード", "親コード", "親組織コード", "上位所属コード", "parent"),
    ),
    Column("order", "表示順", False, ("順序", "並び順", "順", "display_order")),
    Column("ward", "区", False, ("区名", "行政区")),
    Column("bureau", "局", False, ("局名", "局室")),
)

_FILLER = re.compile(r"[\s_\-‐‑–—*※()\[\]【】「」:.．・]+|必須")
_TO_KATAKANA = {code: code + 0x60 for code in range(ord("ぁ"), ord("ん") + 1)}


def key(text: str) -> str:
    """What values are compared by: width, compatibility forms and surrounding blanks do not matter."""
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFKC", text).strip()


def header_key(title: str) -> str:
    """What headers are compared by: also case, blanks, underscores, brackets and 「必須」 do not matter."""
    plain = unicodedata.normalize("NFKC", title).casefold().translate(_TO_KATAKANA)
    return _FILLER.sub("", plain)


@dataclass(frozen=True, slots=True)
class Match:
    """Which column of a file is which.

    Attributes
    ----------
    index : dict of str to int
        Field to column index.
    missing : tuple of Column
        Required columns that are not there.
    twice : tuple of (Column, int, int)
        Columns that are there more than once under their own name.
    unknown : tuple of int
        Indexes of the columns that mean nothing to the kit.
    """

    index: dict[str, int]
    missing: tuple[Column, ...]
    twice: tuple[tuple[Column, int, int], ...]
    unknown: tuple[int, ...]


def _names(columns: Sequence[Column]) -> tuple[dict[str, Column], dict[str, Column]]:
    own = {header_key(name): column for column in columns for name in (column.title, column.field)}
    others = {header_key(name): column for column in columns for name in column.others}
    return own, others


_NAMES = {columns: _names(columns) for columns in (ROSTER, UNITS)}


def match(header: Sequence[str], columns: tuple[Column, ...]) -> Match:
    """Find the columns; a column's own name goes before the others that mean the same."""
    own, others = _NAMES[columns]
    index: dict[str, int] = {}
    twice: list[tuple[Column, int, int]] = []
    keys = [header_key(title) for title in header]
    used: set[int] = set()
    for position, name in enumerate(keys):
        column = own.get(name)
        if column is None:
            continue
        used.add(position)
        if column.field in index:
            twice.append((column, index[column.field], position))
        else:
            index[column.field] = position
    for position, name in enumerate(keys):
        column = others.get(name)
        if column is not None and position not in used and column.field not in index:
            used.add(position)
            index[column.field] = position
    missing = tuple(column for column in columns if column.required and column.field not in index)
    unknown = tuple(position for position in range(len(keys)) if position not in used)
    return Match(index, missing, tuple(twice), unknown)


def recogniser(columns: tuple[Column, ...]) -> Recognised:
    """For `read_table`: knows a header by half of its required columns."""
    return Recognised(columns)


@dataclass(frozen=True, slots=True)
class Recognised:
    """Says whether cells are a header: at least half of the required columns, two at least."""

    columns: tuple[Column, ...]

    def __call__(self, cells: Sequence[str]) -> bool:
        """Whether these cells are such a header."""
        required = [column.field for column in self.columns if column.required]
        found = match(cells, self.columns).index
        return sum(name in found for name in required) >= max(2, len(required) // 2)
