"""Where the problems of one table are collected, and what its rows show before their cells mean anything."""

from __future__ import annotations

from collections.abc import Sequence

from bousai_kit.errors import Issue
from bousai_kit.roster.columns import REJECTED, Column, Match
from bousai_kit.tables import Table

__all__ = ["Report"]

_SHOWN = 10  # row numbers in a sentence
_REJECTED_ROWS = (
    "登録できなかった行だけのファイルにある列です。この理由を見て行を直してください。列は残したままでかまいません"
    "（全員の名簿なら、列を消してください）。"
)


class Report:
    """Collects the issues of one table, in the words of its own header.

    Attributes
    ----------
    issues : list of Issue
    uncomputed : set of (int, str)
        Row and field of formulas without a value, which have been named already.
    """

    def __init__(self, table: Table, found: Match, columns: Sequence[Column], *, prefix: str = "") -> None:
        self.issues: list[Issue] = []
        self._table, self._found, self._prefix = table, found, prefix
        self._titles = {column.field: column.title for column in columns}
        for name, place in found.index.items():
            self._titles[name] = table.header[place].strip()
        self._required = {column.field for column in columns if column.required}
        self.uncomputed = self._formulas()
        self._header()
        self._sheets()
        self._hidden()
        self._cells()

    def has(self, name: str) -> bool:
        """Whether the file has this column at all."""
        return name in self._found.index

    def error(self, row: int, name: str, problem: str) -> None:
        """The row cannot be created."""
        self.issues.append(Issue(row, self._titles.get(name, name), "error", self._prefix + problem))

    def warning(self, row: int, name: str, problem: str) -> None:
        """Worth a look; never blocks."""
        self.issues.append(Issue(row, self._titles.get(name, name), "warning", self._prefix + problem))

    def required(self, row: int, name: str, value: str) -> bool:
        """Whether the value is there; else an error, unless an empty formula has been named already."""
        if value:
            return True
        if (row, name) not in self.uncomputed:
            self.error(row, name, "必須の値が空です。値を入れてください。")
        return False

    def extra_names(self) -> list[tuple[int, str]]:
        """Index and unique name of each column that the kit does not know and that holds anything."""
        names: list[tuple[int, str]] = []
        taken = set(self._titles.values())
        for place in self._found.unknown:
            title = self._table.header[place].strip() or f"（見出しなし {place + 1} 列目）"
            name, number = title, 2
            while name in taken:
                name, number = f"{title} ({number})", number + 1
            taken.add(name)
            names.append((place, name))
        return names

    def _formulas(self) -> set[tuple[int, str]]:
        names = {place: name for name, place in self._found.index.items()}
        found = set()
        for row, place in sorted(self._table.missing_formulas):
            name = names.get(place, "")
            title = name or self._table.header[place]
            sentence = (
                "数式の計算結果が保存されていないか、エラーです。"
                "Excel で開いて上書き保存するか、値に置き換えてください。"
            )
            (self.error if name in self._required else self.warning)(row, title, sentence)
            found.add((row, name))
        return found

    def _header(self) -> None:
        for place, name in self.extra_names():
            if name == REJECTED:
                self.warning(self._table.header_row, name, _REJECTED_ROWS)
                continue
            said = "見出しのない列です" if not self._table.header[place].strip() else "この列は使われません"
            self.warning(
                self._table.header_row,
                name,
                f"{said}。内容はそのまま残します。必要な列なら見出しを見本に合わせてください。",
            )

    def _sheets(self) -> None:
        others = self._table.other_sheets
        if others:
            shown = "、".join(f"「{name}」" for name in others[:_SHOWN]) + (
                "…" if len(others) > _SHOWN else ""
            )
            self.warning(
                self._table.header_row,
                "",
                f"シート「{self._table.sheet}」だけを読みました。同じ形の表があるシート（{shown}）は読みません。"
                "対象の人がいれば、1 つのシートにまとめてください。",
            )

    def _hidden(self) -> None:
        rows = sorted(self._table.hidden_rows)
        if rows:
            shown = "、".join(map(str, rows[:_SHOWN])) + ("…" if len(rows) > _SHOWN else "")
            self.warning(
                rows[0],
                "",
                f"非表示（またはフィルターで隠れた）行が {len(rows):,} 行あり、その人も対象になります"
                f"（{shown} 行目）。対象でない人の行は、隠すのではなく削除してください。",
            )

    def _cells(self) -> None:
        for row, cells in zip(self._table.row_numbers, self._table.rows, strict=True):
            self.look_at(row, cells)

    def look_at(self, row: int, cells: Sequence[str]) -> None:
        """Report what shows of a row before anybody knows what its cells mean."""
        width = len(self._table.header)
        if len(cells) > width:
            self.warning(
                row,
                "",
                f"見出し（{width} 列）より値が多くあります（{len(cells)} 個）。列がずれていないか確かめ、"
                "値の中の区切り文字を引用符で囲むか、余分な値を消してください。",
            )
        if "=" not in "".join(cells):
            return
        for place, cell in enumerate(cells[:width]):
            if cell and cell[0] == "=":
                names = {at: name for name, at in self._found.index.items()}
                title = names.get(place, self._table.header[place])
                self.warning(
                    row, title, "文字列が「=」で始まっています。数式のつもりなら値に置き換えてください。"
                )
