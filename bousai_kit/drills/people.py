"""Whom the roster means and whom the tenant knows: who can be reached, and why the others cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bousai_kit.drills.scenario import Scenario
from bousai_kit.roster import Person, Roster

if TYPE_CHECKING:
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = ["REASONS", "Recipient", "Unreachable", "match_people", "people_of_waves", "read_members"]

REASONS = {
    "absent": "テナントに登録されていません",
    "deleted": "テナントから削除されています",
    "suspended": "利用停止中です",
    "awaiting": "利用開始日より前です",
    "no_device": "端末がなく、初回ログインもまだです",
    "pending": "初回ログインがまだです",
}


@dataclass(frozen=True, slots=True, repr=False)
class Recipient:
    """Somebody who can be reached."""

    user_id: str
    person: Person
    waves: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Somebody who cannot, and why."""

    staff_number: str
    code: str
    user_id: str = ""

    @property
    def reason(self) -> str:
        """Japanese."""
        return REASONS.get(self.code, self.code)

    def as_json(self) -> dict[str, str]:
        """One entry of ``unreachable``."""
        return {"staff_number": self.staff_number, "code": self.code, "reason": self.reason}


def people_of_waves(scenario: Scenario, roster: Roster) -> list[tuple[Person, ...]]:
    targets = {person.row for person in roster.select(scenario.targets)}
    return [
        tuple(person for person in roster.select(wave.who) if person.row in targets)
        for wave in scenario.waves
    ]


async def read_members(
    client: LineWorksClient, tell: Callable[[int, int, str], None] | None
) -> list[dict[str, Any]]:
    found = []
    async for user in client.users.list():
        found.append(user)
        if tell is not None and len(found) % 100 == 0:
            tell(len(found), 0, "テナントのメンバーを確認しています")
    return found


def match_people(
    meant: list[Person], waves: list[tuple[Person, ...]], members: list[dict[str, Any]]
) -> tuple[list[Recipient], list[Unreachable], dict[str, str]]:
    by_key = {str(user["userExternalKey"]): user for user in members if user.get("userExternalKey")}
    by_login: dict[str, dict[str, Any]] = {}
    for user in members:
        login = str(user.get("email", "")).casefold()
        by_login.setdefault(login, user)
        by_login.setdefault(login.partition("@")[0], user)
    rows = [{person.row for person in wave} for wave in waves]
    people: dict[str, Recipient] = {}
    unreachable: dict[str, Unreachable] = {}
    logins: dict[str, str] = {}
    for person in meant:
        found = by_key.get(person.staff_number) or by_login.get(person.login_id.casefold() or "-")
        code = _hindrance(person, found)
        if code:
            user_id = "" if found is None else str(found.get("userId") or "")
            unreachable.setdefault(person.staff_number, Unreachable(person.staff_number, code, user_id))
        elif found is not None and str(found.get("userId")) not in people:  # a row that is there twice
            user_id = str(found["userId"])
            mine = tuple(index for index, members_of in enumerate(rows) if person.row in members_of)
            people[user_id] = Recipient(user_id, person, mine)
            logins[user_id] = str(found.get("email", "")).casefold()
    return list(people.values()), list(unreachable.values()), logins


def _hindrance(person: Person, user: Mapping[str, Any] | None) -> str:
    if user is None:
        return "absent"
    if user.get("isDeleted"):
        return "deleted"
    if user.get("isSuspended"):
        return "suspended"
    if user.get("isAwaiting"):
        return "awaiting"
    if user.get("isPending"):
        return "no_device" if person.device_os in ("", "なし") else "pending"
    return ""
