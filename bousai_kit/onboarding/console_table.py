"""Headers and order of the console's bulk files: a table that a city edits, for not all could be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bousai_kit.errors import ConfigError, GuardError
from bousai_kit.files import write_private

__all__ = [
    "COLUMNS_FILE",
    "METHODS",
    "ConsoleColumn",
    "ConsoleTable",
    "load_console_table",
    "write_console_table",
]

COLUMNS_FILE = "console_columns.yaml"
METHODS: Mapping[str, str] = {"auto": "自動作成", "admin": "管理者が作成", "member": "メンバーが作成"}
"""How initial passwords come about: our word and the console's."""

MEMBER_VALUES = frozenset(
    (
        *("last_name", "first_name", "last_kana", "first_kana", "id", "password", "private_email"),
        *("staff_number", "external_key", "orgunit_name", "orgunit_code", "orgunit_path"),
        *("position", "level", "phone", "hq_role", "ward", "bureau", "note", "blank"),
    )
)
UNIT_VALUES = frozenset(
    ("name", "code", "parent_name", "parent_code", "parent_path", "path", "level", "order", "blank")
)
_HERE = Path(__file__).parent
_EACH = {
    "auto": ("id",),
    "admin": ("id", "password"),
    "member": ("id", "private_email"),
    "orgunits": ("name",),
}


@dataclass(frozen=True, slots=True)
class ConsoleColumn:
    """One column of a bulk file.

    Attributes
    ----------
    value : str
        What stands in it; "" where `text` stands for everybody.
    required : bool
        The console refuses a row without it.
    guess : bool
        Nobody has read this header on the screen.
    """

    header: str
    value: str = ""
    text: str = ""
    required: bool = False
    guess: bool = False


@dataclass(frozen=True, slots=True)
class ConsoleTable:
    """The columns of each template.

    Attributes
    ----------
    confirmed : bool
        Somebody has compared the table with the screen.
    compare : tuple of str
        What to compare, one step each.
    templates : mapping
        ``auto``, ``admin``, ``member`` and ``orgunits``.
    """

    confirmed: bool
    compare: tuple[str, ...]
    templates: Mapping[str, tuple[ConsoleColumn, ...]]

    def guesses(self, *templates: str) -> tuple[str, ...]:
        """Headers that were guessed."""
        found = (one.header for name in templates for one in self.templates[name] if one.guess)
        return () if self.confirmed else tuple(dict.fromkeys(found))


def load_console_table(home: Path | None = None) -> ConsoleTable:
    """Read the table: the city's own where there is one, else the packaged one.

    Raises
    ------
    ConfigError
        It cannot be read, or says something that means nothing.
    """
    import yaml

    own = home / COLUMNS_FILE if home is not None else None
    path = own if own is not None and own.is_file() else _HERE / COLUMNS_FILE
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _unusable(path, f"読み取れません（{type(error).__name__}）") from None
    if not isinstance(said, dict):
        raise _unusable(path, "項目がありません")
    problems = [problem for name in _EACH for problem in _problems(name, said.get(name))]
    if not isinstance(said.get("confirmed"), bool):
        problems.append("confirmed は true か false で書いてください")
    if problems:
        raise _unusable(path, "、".join(problems[:5]) + ("、ほか" if len(problems) > 5 else ""))
    compare = said.get("compare") or ()
    return ConsoleTable(
        confirmed=said["confirmed"],
        compare=tuple(map(str, compare)) if isinstance(compare, list) else (),
        templates={name: tuple(_column(one) for one in said[name]) for name in _EACH},
    )


def write_console_table(home: Path) -> Path:
    """Copy the packaged table to ``BOUSAI_HOME``, where it can be edited.

    Raises
    ------
    GuardError
        There is one already, perhaps with somebody's work in it.
    """
    path = home / COLUMNS_FILE
    if path.exists():
        raise GuardError(
            f"{path} は、すでにあります。上書きしません。",
            hint="そのまま直すか、標準の表に戻すときは、このファイルを別の名前にしてから実行してください。",
        )
    write_private(path, (_HERE / COLUMNS_FILE).read_bytes())
    return path


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"管理者画面の見出しの表 {path.name} を使えません：{why}。",
        setting=COLUMNS_FILE,
        hint="UTF-8 の YAML として直してください。ファイルの名前を変えると、標準の表に戻ります。",
    )


def _problems(template: str, columns: Any) -> list[str]:
    if not isinstance(columns, list) or not columns:
        return [f"{template} の列がありません"]
    known = UNIT_VALUES if template == "orgunits" else MEMBER_VALUES
    found, headers = [], []
    for number, one in enumerate(columns, 1):
        where = f"{template} の {number} 列目"
        if not isinstance(one, dict) or not str(one.get("header") or "").strip():
            found.append(f"{where}に header がありません")
            continue
        headers.append(str(one["header"]).strip())
        if "text" not in one and one.get("value") not in known:
            found.append(f"{where}「{headers[-1]}」の value「{one.get('value')}」は使えません")
    found += [f"{template} に「{name}」が 2 つあります" for name in _twice(headers)]
    values = [one.get("value") for one in columns if isinstance(one, dict)]
    found += [
        f"{template} に value: {name} の列がありません" for name in _EACH[template] if name not in values
    ]
    if template in ("auto", "member") and "password" in values:
        found.append(f"{template} には password の列を置けません")
    return found


def _twice(headers: Sequence[str]) -> list[str]:
    return [name for name in dict.fromkeys(headers) if headers.count(name) > 1]


def _column(one: Mapping[str, Any]) -> ConsoleColumn:
    return ConsoleColumn(
        header=str(one["header"]).strip(),
        value="" if "text" in one else str(one["value"]),
        text=str(one.get("text") or ""),
        required=bool(one.get("required")),
        guess=bool(one.get("guess")),
    )
