"""What the roster grid is asked and what it answers: which rows are shown, where the next problem is, edits.

Plain values in, plain values out: no widget, no loop. A view is the list of rows that pass the filter; it is
made when the filter changes and stays while rows are edited, so that no row vanishes under one's fingers.
"""

from __future__ import annotations

import bisect
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from bousai_kit.errors import BousaiKitError, InputError
from bousai_kit.roster.columns import key
from bousai_kit.roster.editing import RosterTable

__all__ = ["FILTERS", "GridSession"]

FILTERS = {
    "all": "すべての行",
    "error": "誤りのある行だけ",
    "problem": "誤りか注意のある行だけ",
    "edited": "直した行だけ",
}
MOST_ROWS_AT_ONCE = 2_000
MOST_CELLS_AT_ONCE = 200_000
_SAID = {"error": "誤り", "warning": "注意"}


class GridSession:
    """One table in front of one person.

    Parameters
    ----------
    table : RosterTable

    Attributes
    ----------
    shown : list of int
        Row numbers that the filter lets through, from top to bottom.
    """

    def __init__(self, table: RosterTable) -> None:
        self.table = table
        self.only = "all"
        self.search = ""
        self.view = 0
        self.shown: list[int] = []
        self._seen = (0, 0)
        self._look()

    def answer(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Do what the grid asks.

        Parameters
        ----------
        asked : mapping
            ``do`` names it (`hello`, `rows`, `where`, `edit`, `paste`, `clear`, `add`, `remove`, `restore`,
            `undo`, `redo`, `view`, `next`); ``seen`` is the window of the view that is on the screen.

        Returns
        -------
        list of dict
            Messages for the grid; a refusal is one too (``said``), nothing is raised for it.
        """
        try:
            seen = asked.get("seen")
            if seen is not None:
                self._seen = _window(seen)
            act = getattr(self, f"_do_{asked.get('do')}", None)
            if act is None:
                return []
            answers: list[dict[str, Any]] = act(asked)
            return answers
        except BousaiKitError as error:
            return [self.state(), {"kind": "said", "text": error.sentence(), "bad": True}]
        except (KeyError, TypeError, ValueError, IndexError):
            return [
                {"kind": "said", "text": "操作を読み取れませんでした。もう一度行ってください。", "bad": True}
            ]

    # -- what is shown ------------------------------------------------------------------------------------

    def _do_hello(self, _: Mapping[str, Any]) -> list[dict[str, Any]]:
        table = self.table
        return [
            {
                "kind": "meta",
                "header": [
                    title or f"（見出しなし {place + 1} 列目）" for place, title in enumerate(table.header)
                ],
                "required": sorted(table.required),
                "known": [bool(table.field(place)) for place in range(len(table.header))],
                "widths": [self._width(place) for place in range(len(table.header))],
                "filters": FILTERS,
                "name": table.source.name,
            },
            self.state(),
        ]

    def _width(self, place: int) -> int:
        """Of a column, in half-width letters: what the first rows need, within reason."""
        cells = (self.table.row(number) for number in self.table.numbers[:200])
        lengths = sorted(_wide(row[place][:60]) for row in cells if place < len(row))
        usual = lengths[int(len(lengths) * 0.95)] if lengths else 0
        return max(7, min(36, max(_wide(self.table.header[place]) + 2, usual) + 3))

    def _do_rows(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [self.window(int(asked["from"]), int(asked["n"]))]

    def _do_where(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The place of a row in the view, -1 when the filter does not let it through."""
        number = int(asked["number"])
        place = bisect.bisect_left(self.shown, number)
        there = place < len(self.shown) and self.shown[place] == number
        return [{"kind": "where", "row": place if there else -1}]

    def window(self, start: int, count: int) -> dict[str, Any]:
        """Rows of the view: number, marks (1 removed, 2 added), cells, problems, edited places."""
        start = max(0, start)
        numbers = self.shown[start : start + min(count, MOST_ROWS_AT_ONCE)]
        return {"kind": "rows", "view": self.view, "from": start, "rows": [self._row(n) for n in numbers]}

    def _row(self, number: int) -> list[Any]:
        table = self.table
        marks = (number in table.removed) + 2 * table.is_added(number)
        problems = [
            [place, issue.severity[0], f"{_SAID[issue.severity]}：{issue.problem}"]
            for place, issue in table.problems.of(number)
        ]
        return [number, marks, list(table.row(number)), problems, sorted(table.edited_places(number))]

    def state(self, *, rows: bool = True) -> dict[str, Any]:
        """Counts, and (`rows`) the rows that are on the screen as they are now."""
        table = self.table
        start, count = self._seen if rows else (0, 0)
        return {
            "kind": "state",
            "view": self.view,
            "shown": len(self.shown),
            "rows": len(table.numbers),
            "errors": table.problems.count("error"),
            "warnings": table.problems.count("warning"),
            "edited": table.edited_count,
            "undo": table.can_undo,
            "redo": table.can_redo,
            "only": self.only,
            "whole": [f"{_SAID[issue.severity]}：{issue.problem}" for issue in table.problems.whole][:20],
            "from": start,
            "window": self.window(start, count)["rows"] if count else [],
        }

    def _do_view(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        only = str(asked.get("only", self.only))
        self.only = only if only in FILTERS else "all"
        self.search = str(asked.get("search", self.search))[:200]
        self._look()
        said = f"{len(self.shown):,} 行を表示しています。"
        return [self.state(), {"kind": "said", "text": said, "bad": False}]

    def _look(self) -> None:
        table = self.table
        table.settle()
        kept: Sequence[int] = table.numbers
        if self.only == "edited":
            kept = [n for n in kept if table.is_added(n) or n in table.removed or table.edited_places(n)]
        elif self.only != "all":
            wanted = table.problems.rows("error" if self.only == "error" else "")
            kept = [n for n in kept if n in wanted]
        needle = key(self.search).casefold()
        if needle:
            kept = [n for n in kept if needle in key("\n".join(table.row(n))).casefold()]
        self.shown = list(kept)
        self.view += 1

    # -- problems -----------------------------------------------------------------------------------------

    def _do_next(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The next error behind (or before) a cell; warnings when there is no error at all."""
        self.table.settle()
        problems = self.table.problems
        severity = "error" if problems.rows("error") else "warning"
        wanted = problems.rows(severity)
        if not wanted:
            return [self.state(), {"kind": "said", "text": self._none(), "bad": False}]
        answers: list[dict[str, Any]] = []
        if not any(number in wanted for number in self.shown):
            self.only, self.search = "all", ""
            self._look()
        here = (int(asked.get("row", -1)), int(asked.get("place", -1)))
        cells = [
            (index, max(place, 0), issue)
            for index, number in enumerate(self.shown)
            if number in wanted
            for place, issue in problems.of(number)
            if issue.severity == severity
        ]
        at = [(index, place) for index, place, _ in cells]
        if asked.get("back"):
            found = bisect.bisect_left(at, here) - 1
        else:
            found = bisect.bisect_right(at, here) % len(at)
        index, place, _ = cells[found]
        answers += [self.state(), {"kind": "goto", "row": index, "place": place}]
        if severity == "warning":
            answers.append({"kind": "said", "text": "誤りはありません。注意のあるセルです。", "bad": False})
        return answers

    def _none(self) -> str:
        whole = self.table.problems.whole
        return whole[0].problem if whole else "誤りも注意もありません。"

    # -- edits --------------------------------------------------------------------------------------------

    def _do_edit(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        cells = [(int(number), int(place), str(text)) for number, place, text in asked["cells"]]
        if len(cells) > MOST_CELLS_AT_ONCE:
            raise InputError("一度に変えるセルが多すぎます。", hint="分けて行ってください。")
        self.table.edit(cells)
        return [self.state()]

    def _do_paste(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A block at a cell of the view; rows beyond the last are added, columns beyond the last are not."""
        table = self.table
        index, place = int(asked["row"]), int(asked["place"])
        block = [[str(text) for text in row] for row in asked["block"]]
        if sum(map(len, block)) > MOST_CELLS_AT_ONCE:
            raise InputError("貼り付けるセルが多すぎます。", hint="分けて貼り付けてください。")
        wide = max(map(len, block), default=0)
        if place + wide > len(table.header):
            raise InputError(
                f"貼り付ける範囲（{wide} 列）が表の右端からはみ出します。",
                hint="左の列から貼り付けてください。",
            )
        numbers = self.shown[index : index + len(block)]
        more = len(block) - len(numbers)
        whole = len(self.shown) == len(table.numbers)
        if more and not whole:
            raise InputError(
                "表示する行を絞っているため、下にはみ出す分を追加できません。",
                hint="「すべての行」を表示してから貼り付けてください。",
            )
        first = table.first_free
        numbers += range(first, first + more)
        table.edit(
            (
                (number, place + offset, text)
                for number, row in zip(numbers, block, strict=True)
                for offset, text in enumerate(row)
            ),
            rows=more,
        )
        if more:
            self._look()
        added = f"{more:,} 行を追加しました。" if more else ""
        said = f"{len(block):,} 行 × {wide:,} 列を貼り付けました。{added}"
        return [self.state(), {"kind": "said", "text": said, "bad": False}]

    def _do_add(self, _: Mapping[str, Any]) -> list[dict[str, Any]]:
        number = self.table.first_free
        self.table.edit((), rows=1)
        self.only, self.search = "all", ""
        self._look()
        return [
            self.state(),
            {"kind": "goto", "row": len(self.shown) - 1, "place": 0},
            {"kind": "said", "text": f"{number} 行目を追加しました。", "bad": False},
        ]

    def _do_remove(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows = self.table.remove(self._span(asked))
        said = f"{len(rows):,} 行を削除しました。「元に戻す」か「行を戻す」で戻せます。" if rows else ""
        return [self.state(), {"kind": "said", "text": said or "すでに削除されています。", "bad": False}]

    def _do_restore(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows = self.table.restore(self._span(asked))
        said = f"{len(rows):,} 行を戻しました。" if rows else "削除した行ではありません。"
        return [self.state(), {"kind": "said", "text": said, "bad": False}]

    def _span(self, asked: Mapping[str, Any]) -> list[int]:
        first, last = sorted((int(asked["row"]), int(asked.get("to", asked["row"]))))
        return self.shown[max(0, first) : last + 1]

    def _do_undo(self, _: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self._back(self.table.undo(), "元に戻しました。")

    def _do_redo(self, _: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self._back(self.table.redo(), "やり直しました。")

    def _back(self, rows: list[int], said: str) -> list[dict[str, Any]]:
        if not rows:
            return [{"kind": "said", "text": "元に戻せる操作はありません。", "bad": False}]
        there = set(self.table.numbers)
        if any(number not in there for number in self.shown) or (
            self.only == "all" and not self.search and len(self.shown) != len(there)
        ):
            self._look()
        answers = [self.state()]
        with_row = next((number for number in rows if number in there), None)
        if with_row is not None and with_row in self.shown:
            answers.append({"kind": "goto", "row": self.shown.index(with_row), "place": -1})
        return [*answers, {"kind": "said", "text": said, "bad": False}]


def _window(seen: Sequence[Any]) -> tuple[int, int]:
    start, count = seen
    return max(0, int(start)), max(0, min(int(count), 400))


def _wide(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WFA" else 1 for letter in text)
