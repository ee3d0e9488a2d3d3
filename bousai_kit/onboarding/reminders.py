"""Whom to remind, as an Excel file for the liaisons: one sheet a ward or bureau.

It holds names: written for its owner alone, and meant to be deleted once it has been handed on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bousai_kit.onboarding.activation import expected_of
from bousai_kit.onboarding.curve import day_of
from bousai_kit.onboarding.plan_file import write_private
from bousai_kit.onboarding.stuck import REASONS, give_to, group_of
from bousai_kit.tables import xlsx_bytes

if TYPE_CHECKING:
    from bousai_kit.onboarding.activation import Status
    from bousai_kit.roster import Person, Roster

__all__ = ["DELETE_IT", "Reminders", "reminder_sheets", "write_reminders"]

DELETE_IT = (
    "このファイルには氏名があります。連絡員にはその区・局のシートだけを渡し、"
    "声掛けが済んだら削除してください。"
)
NOWHERE = "（区・局の記入なし）"
_HEADER = ("区分", "氏名", "職員番号", "所属", "役職", "端末", "理由", "すること", "日数", "対応（記入）")

Sheet = tuple[Sequence[str], list[Sequence[object]]]


@dataclass(frozen=True, slots=True)
class Reminders:
    """What was written."""

    path: Path
    sheets: int
    people: int

    def as_json(self) -> dict[str, Any]:
        """Keys of ``onboard reminders --json``."""
        return {"file": str(self.path), "sheets": self.sheets, "people": self.people}


def reminder_sheets(roster: Roster, status: Status) -> dict[str, Sheet]:
    """Sheet title → header and rows: who passes it on, then whom it is about; groups as in the roster."""
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
    for group, stuck in groups.items():
        if not stuck:
            continue
        passing = [people[number] for number in helpers.get(group, ()) if number in people]
        own = {one["staff_number"] for one in stuck}
        passing.sort(key=lambda person: person.staff_number in own)  # first who has got in
        found[_free(group or NOWHERE, found)] = _sheet(stuck, people, passing)
        first = "" if not passing else _say(passing[0])
        summary.append((group or NOWHERE, len(stuck), first))
    about: list[Sequence[object]] = [
        *summary,
        (),
        (DELETE_IT,),
        (f"{day_of(status.as_of):%Y-%m-%d} の状況です。対象 {status.planned:,} 名。",),
        *((f"{REASONS[code]}：{count:,} 名",) for code, count in status.stuck_by.items()),
        *((note,) for note in status.notes),
    ]
    return {"一覧": (("区・局", "声を掛ける人数", "渡す相手"), about), **found}


def _sheet(
    stuck: Sequence[Mapping[str, Any]], people: Mapping[str, Person], passing: Sequence[Person]
) -> Sheet:
    """Those who pass it on first, then the people, the most pressing reason first."""
    rows: list[Sequence[object]] = []
    todo = f"次の {len(stuck):,} 名に声を掛けてください。{DELETE_IT}"
    own = {one["staff_number"] for one in stuck}
    for person in passing[:2]:
        also = "本人もこの一覧にあるので、電話などで伝えてください。" if person.staff_number in own else ""
        rows.append(("渡す相手", *_who(person), person.hq_role or person.position, todo + also))
    if not passing:
        missing = "この区・局の連絡員も長も、名簿にありません。"
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
    return title if title != "一覧" and title not in taken else f"{title} の一覧"


def write_reminders(roster: Roster, status: Status, path: Path) -> Reminders:
    """Write it (0600), whole or not at all."""
    sheets = reminder_sheets(roster, status)
    write_private(path, xlsx_bytes(sheets))
    numbers = {one.staff_number for one in roster.people}
    return Reminders(path, len(sheets) - 1, sum(one["staff_number"] in numbers for one in status.stuck))
