"""Members who are not in the roster: who is suspended, who stays and why. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bousai_kit.onboarding.items import Leaver, PersonItem
from bousai_kit.onboarding.tenant_view import Member, TenantView
from bousai_kit.onboarding.titles import POSITION
from bousai_kit.roster import Person
from bousai_kit.roster.columns import key

__all__ = ["Leaving", "find_leavers", "namesakes"]


@dataclass(frozen=True, slots=True)
class Leaving:
    """What becomes of those who are not in the roster.

    Attributes
    ----------
    suspend : tuple of Leaver
    stay : tuple of Leaver
        Of the others those whose post the plan is about, with the reason why they stay.
    left_alone : int
        All who stay as they are.
    """

    suspend: tuple[Leaver, ...] = ()
    stay: tuple[Leaver, ...] = ()
    left_alone: int = 0

    def staying(self, reason: str) -> tuple[Leaver, ...]:
        """Those who stay for this reason."""
        return tuple(one for one in self.stay if one.reason == reason)


def find_leavers(
    items: Iterable[PersonItem],
    people: Iterable[Person],
    view: TenantView,
    *,
    leavers: str,
    unit_ids: Mapping[str, str],
) -> Leaving:
    """Who is suspended; who stays, and of whom the plan has to say so.

    Whoever is left alone by choice is named only where somebody else takes the post: the tenant may hold
    thousands of people with whom this roster has nothing to do.

    Parameters
    ----------
    leavers : {"keep", "suspend"}
    unit_ids : mapping
        Org unit code of the roster → id in the tenant, "" where there is none.
    """
    items, people = tuple(items), tuple(people)
    known = {item.user_id for item in items if item.user_id and item.action != "conflict"}
    numbers = {person.staff_number for person in people}
    claimed = {person.login_id.casefold() for person in people}
    taken = _taken(items, view, unit_ids)
    leaving: list[Leaver] = []
    stay: list[Leaver] = []
    alone = 0
    for member in view.members:
        if member.user_id in known or member.deleted:
            continue
        reason = _stays(member, leavers, numbers, claimed)
        if not reason:
            leaving.append(_leaver(member, view))
            continue
        alone += 1
        one = _leaver(member, view, reason)
        said = _post_taken(member, view, taken) if reason == "kept" else _has_post(one) or reason == "pending"
        if said and not member.suspended:
            stay.append(one)
    return Leaving(tuple(leaving), tuple(stay), alone)


def _stays(member: Member, leavers: str, numbers: Collection[str], claimed: Collection[str]) -> str:
    """Why a member who is not in the roster is not suspended; "" when it is."""
    named = member.login_id.casefold() in claimed or member.key in numbers or member.staff_number in numbers
    if leavers != "suspend" or member.suspended or named:
        return "kept"
    if member.administrator:
        return "administrator"
    return "pending" if member.pending else ""  # the platform suspends only who is in use


def _leaver(member: Member, view: TenantView, reason: str = "") -> Leaver:
    name = f"{member.last_name} {member.first_name}".strip()
    unit_id, position_id = member.primary_unit(view.domain_id)
    unit = view.unit_by_id(unit_id) if unit_id else None
    held = view.title_name(POSITION, position_id)
    unit_name, code = ("", "") if unit is None else (unit.name, unit.key)
    return Leaver(
        member.user_id, member.login_id, name, member.staff_number, unit_name, held, code, reason=reason
    )


def _has_post(one: Leaver) -> bool:
    """An account that only administers stands nowhere."""
    return bool(one.unit or one.position)


def _taken(
    items: Iterable[PersonItem], view: TenantView, unit_ids: Mapping[str, str]
) -> set[tuple[str, str]]:
    """Posts (unit id, position as the tenant writes it) that somebody newly takes."""
    taken = set()
    for item in items:
        if item.action == "create" or {"orgunit", "position"} & set(item.changes):
            held = view.title(POSITION, item.person.position)
            if held is not None:
                taken.add((unit_ids.get(item.person.orgunit_code, ""), held.name))
    return taken


def _post_taken(member: Member, view: TenantView, taken: Collection[tuple[str, str]]) -> bool:
    unit_id, position_id = member.primary_unit(view.domain_id)
    held = view.title_name(POSITION, position_id)
    return bool(unit_id and held) and (unit_id, held) in taken


def namesakes(items: Iterable[PersonItem], leaving: Iterable[Leaver]) -> tuple[tuple[str, str], ...]:
    """(Staff number of somebody new, staff number of a leaver) of one name: perhaps one person twice."""
    gone: dict[str, list[str]] = {}
    for leaver in leaving:
        if leaver.name:
            gone.setdefault(key(leaver.name).replace(" ", ""), []).append(
                leaver.staff_number or leaver.user_id
            )
    return tuple(
        (item.person.staff_number, number)
        for item in items
        if item.action == "create"
        for number in gone.get(key(item.person.last_name + item.person.first_name).replace(" ", ""), ())
    )
