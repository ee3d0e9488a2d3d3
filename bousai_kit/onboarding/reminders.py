"""Whom to remind, as an Excel file for the liaisons: one sheet a ward or bureau, or one file each.

It holds names: written for its owner alone, and meant to be deleted once it has been handed on. Whoever has
nobody to be reminded by stands on a sheet of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import InputError
from bousai_kit.files import write_private
from bousai_kit.onboarding.activation import expected_of
from bousai_kit.onboarding.curve import day_of
from bousai_kit.onboarding.stuck import REASONS, give_to, group_of
from bousai_kit.tables import xlsx_bytes

if TYPE_CHECKING:
    from bousai_kit.onboarding.activation import Status
    from bousai_kit.roster import Person, Roster

__all__ = [
    "DELETE_IT",
    "Reminders",
    "reminder_sheets",
    "require_empty",
    "split_folder",
    "write_reminders",
]

DELETE_IT = (
    "このファイルには氏名があります。連絡員にはその区・局のシートだけを渡し、"
    "声掛けが済んだら削除してください。"
)
DELETE_OWN = "このファイルには氏名があります。声掛けが済んだら削除してください。"
NOBODY = "渡す相手なし"
"""Sheet of those for whom the roster names neither a liaison nor a head, or no ward or bureau."""
NOWHERE = "（区・局の記入なし）"
_UNFIT = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')  # in a file's name on Windows
_HEADER = ("区分", "氏名", "職員番号", "所属", "役職", "端末", "理由", "すること", "日数", "対応（記入）")

Sheet = tuple[Sequence[str], list[Sequence[object]]]


@dataclass(frozen=True, slots=True)
class Reminders:
    """What was written.

    Attributes
    ----------
    files : tuple of Path
        One a liaison, where asked for.
    nobody : int
        People of whom the roster does not say who reminds them.
    """

    path: Path
    sheets: int
    people: int
    files: tuple[Path, ...] = ()
    nobody: int = 0

    def as_json(self) -> dict[str, Any]:
        """Keys of ``onboard reminders --json``."""
        return {
            "file": str(self.path),
            "files": [str(path) for path in self.files],
            "sheets": self.sheets,
            "people": self.people,
            "nobody": self.nobody,
        }


def reminder_sheets(roster: Roster, status: Status) -> dict[str, Sheet]:
    """Sheet title → header and rows: who passes it on, then whom it is about; groups as in the roster."""
    return _sheets(roster, status, DELETE_IT)[0]


def _sheets(roster: Roster, status: Status, delete: str) -> tuple[dict[str, Sheet], int]:
    """The sheets, and how many people stand on that of those who have nobody."""
    people = {one.staff_number: one for one in roster.people}
    helpers = give_to(expected_of(roster))
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for expected in expected_of(roster):
        groups.setdefault(group_of(expected), [])
    for one in status.stuck:
        if one["staff_number"] in people:
            groups.setdefault(one["ward"] or one["bureau"], []).append(one)
    found: dict[str, Sheet] = {}
    summary: list[Sequence[object]] = []
    nobody: list[Mapping[str, Any]] = []
    for group, stuck in groups.items():
        if not stuck:
            continue
        passing = [people[number] for number in helpers.get(group, ()) if group and number in people]
        if not passing:
            nobody += stuck
            summary.append((group or NOWHERE, len(stuck), f"なし（シート「{NOBODY}」）"))
            continue
        own = {one["staff_number"] for one in stuck}
        passing.sort(key=lambda person: person.staff_number in own)  # first who has got in
        found[_free(group, found)] = _sheet(stuck, people, passing, delete)
        summary.append((group, len(stuck), _say(passing[0])))
    if nobody:
        found[NOBODY] = _sheet(nobody, people, (), delete)
    about: list[Sequence[object]] = [
        *summary,
        (),
        (DELETE_IT,),
        (f"{day_of(status.as_of):%Y-%m-%d} の状況です。対象 {status.planned:,} 名。",),
        *((f"{REASONS[code]}：{count:,} 名",) for code, count in status.stuck_by.items()),
        *((note,) for note in status.notes),
    ]
    return {"一覧": (("区・局", "声を掛ける人数", "渡す相手"), about), **found}, len(nobody)


def _sheet(
    stuck: Sequence[Mapping[str, Any]], people: Mapping[str, Person], passing: Sequence[Person], delete: str
) -> Sheet:
    """Those who pass it on first, then the people, the most pressing reason first."""
    rows: list[Sequence[object]] = []
    todo = f"次の {len(stuck):,} 名に声を掛けてください。{delete}"
    own = {one["staff_number"] for one in stuck}
    for person in passing[:2]:
        also = "本人もこの一覧にあるので、電話などで伝えてください。" if person.staff_number in own else ""
        rows.append(("渡す相手", *_who(person), person.hq_role or person.position, todo + also))
    if not passing:
        missing = "連絡員も長も名簿にいない区・局の人と、区・局の記入がない人です。"
        rows.append(("渡す相手", "", "", "", "", "", missing, f"渡す相手を決めてください。{todo}"))
    for one in stuck:  # the worst first, as they come
        who = _who(people[one["staff_number"]])
        rows.append(("声を掛ける人", *who, one["reason"], one["ask"], one["days"]))
    return _HEADER, rows


def _who(person: Person) -> tuple[str, ...]:
    unit = person.orgunit_name or person.orgunit_code
    return person.name, person.staff_number, unit, person.position, person.device_os


def _say(person: Person) -> str:
    role = person.hq_role or person.position
    return f"{person.name}（{role}、職員番号 {person.staff_number}）"


def _free(title: str, taken: Mapping[str, Any]) -> str:
    """A title that is not taken yet (two groups may differ only in what a sheet's name cannot hold)."""
    return title if title not in ("一覧", NOBODY) and title not in taken else f"{title} の一覧"


def write_reminders(roster: Roster, status: Status, path: Path, *, split: bool = False) -> Reminders:
    """Write it (0600), whole or not at all.

    Parameters
    ----------
    split : bool
        One more file a liaison, in the folder `split_folder`: each with the names of the own people only.

    Raises
    ------
    InputError
        The folder holds something already: lists of another day would be handed on with these.
    """
    if split:
        require_empty(path)
    sheets, nobody = _sheets(roster, status, DELETE_IT)
    write_private(path, xlsx_bytes(sheets))
    files = []
    if split:
        folder, taken = split_folder(path), set[str]()
        for title, sheet in list(_sheets(roster, status, DELETE_OWN)[0].items())[1:]:
            folder.mkdir(mode=0o700, exist_ok=True)
            files.append(folder / f"{_file_name(f'{path.stem}_{title}', taken)}.xlsx")
            write_private(files[-1], xlsx_bytes({title: sheet}))
    numbers = {one.staff_number for one in roster.people}
    count = sum(one["staff_number"] in numbers for one in status.stuck)
    return Reminders(path, len(sheets) - 1, count, tuple(files), nobody)


def split_folder(path: Path) -> Path:
    """Where the files of the liaisons go."""
    return path.with_name(f"{path.stem}_連絡員別")


def require_empty(path: Path) -> None:
    """Refuse to put files of the liaisons beside older ones.

    Raises
    ------
    InputError
        The folder is not empty.
    """
    folder = split_folder(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} には、すでにファイルがあります。",
            hint="前の一覧と混ざらないよう、中を片付けるか、--out に別の名前を付けてください。",
        )


def _file_name(text: str, taken: set[str]) -> str:
    """A name that Windows takes, and that no other file has there (letters of either case are one)."""
    plain = _UNFIT.sub("_", unicodedata.normalize("NFC", text)).strip(" .")[:80].rstrip(" .") or "一覧"
    found, number = plain, 1
    while found.casefold() in taken:
        number += 1
        found = f"{plain}_{number}"
    taken.add(found.casefold())
    return found
