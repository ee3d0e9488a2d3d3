"""Keep what was edited in a roster: a new file beside the original, and drafts of what is not saved yet."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bousai_kit.errors import InputError, os_reason
from bousai_kit.files import write_whole
from bousai_kit.roster.editing import RosterTable
from bousai_kit.tables import read_bytes

__all__ = ["draft_of", "moved_on", "save_beside", "take_draft"]

_OURS = re.compile(r"_修正_\d{8}-\d{4}(?:-\d+)?$")
_UNREADABLE = "下書きを読み取れません。"


def moved_on(table: RosterTable) -> bool:
    """Whether the file on the disk is another one than was opened (or is gone)."""
    try:
        return hashlib.sha256(read_bytes(table.source, what="名簿")).hexdigest() != table.sha256
    except InputError:
        return True


def save_beside(table: RosterTable, now: datetime, *, encoding: str = "", over: bool = False) -> Path:
    """Write the edited roster to a new file beside the original, with the rights that the original has.

    Parameters
    ----------
    table : RosterTable
    now : datetime
        Stands in the name: ``名簿_修正_20270401-0915.csv``.
    encoding : str
        As `RosterTable.content`.
    over : bool
        Write over the original instead.

    Raises
    ------
    InputError
        The original changed on the disk meanwhile, the folder cannot be written, or `RosterTable.content`.
    """
    if moved_on(table):
        raise InputError(
            f"{table.source.name} は、開いた後にほかで変更されたか、なくなっています。",
            hint="「開き直す」を押すと、新しい内容に、いままでに直した所を当て直します。",
        )
    content = table.content(encoding=encoding)
    source = table.source
    name = f"{_OURS.sub('', source.stem)}_修正_{now:%Y%m%d-%H%M}"
    try:
        if over:
            return write_whole(source, content, private=True, like=source)
        for number in range(1, 1000):
            try:
                extra = f"-{number}" if number > 1 else ""
                path = source.with_name(f"{name}{extra}{source.suffix}")
                return write_whole(path, content, private=True, over=False, like=source)
            except FileExistsError:
                continue
    except OSError as error:
        raise InputError(
            f"{source.parent} に書き込めません（{os_reason(error)}）。",
            hint="「ダウンロード」で手元に保存するか、書き込めるフォルダーに名簿を移してください。",
        ) from None
    raise InputError("同じ名前のファイルが多すぎます。", hint="1 分待って、もう一度保存してください。")


# -- drafts -------------------------------------------------------------------------------------------


def draft_of(table: RosterTable) -> dict[str, Any]:
    """What has not been saved, as JSON: changed rows beside what they were, removed and added ones."""
    changes = table.changes()
    edited = dict.fromkeys(number for number, _ in changes.cells)
    return {
        "sha256": table.sha256,
        "header": list(table.header),
        "edited": [[number, list(table.original(number)), list(table.row(number))] for number in edited],
        "removed": [[number, list(table.original(number))] for number in sorted(changes.removed)],
        "added": [list(row) for row in changes.added],
    }


def take_draft(table: RosterTable, draft: Mapping[str, Any]) -> int:
    """Do again what a draft holds; how many of its rows fit no row of this file and were left out.

    In the file it was made from every row fits. In another one a row is taken only where exactly one row
    stands as it stood then: nobody's change may land on somebody else.

    Raises
    ------
    InputError
        It is none, or of a table with other columns.
    """
    try:
        same, header = draft["sha256"] == table.sha256, tuple(draft["header"])
        edited = [
            (int(number), tuple(old), [str(text) for text in new]) for number, old, new in draft["edited"]
        ]
        removed = [(int(number), tuple(old)) for number, old in draft["removed"]]
        added = [[str(text) for text in row] for row in draft["added"]]
    except (KeyError, TypeError, ValueError):
        raise InputError(_UNREADABLE, hint="「下書きを捨てる」を押してください。") from None
    if header != table.header:
        raise InputError(
            "名簿の見出しが変わったため、下書きを使えません。",
            hint="「下書きを捨てる」を押し、もう一度直してください。",
        )
    find = _finder(table, same)
    cells: list[tuple[int, int, str]] = []
    left = 0
    for number, old, new in edited:
        at = find(number, old)
        if at is None:
            left += 1
            continue
        cells += [(at, place, text) for place, text in enumerate(new) if old[place : place + 1] != (text,)]
    first = table.first_free
    for offset, row in enumerate(added):
        cells += [(first + offset, place, text) for place, text in enumerate(row) if text]
    table.edit(cells, rows=len(added))
    gone = [find(number, old) for number, old in removed]
    table.remove(number for number in gone if number is not None)
    return left + gone.count(None)


def _finder(table: RosterTable, same: bool) -> Callable[[int, tuple[str, ...]], int | None]:
    if same:
        return lambda number, old: number if table.original(number) == old else None
    by_cells: dict[tuple[str, ...], list[int]] = {}
    for number, cells in table.originals().items():
        by_cells.setdefault(cells, []).append(number)
    return lambda number, old: only[0] if len(only := by_cells.get(old, [])) == 1 else None
