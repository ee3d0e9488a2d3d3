"""The kit's groups: all, the headquarters, each bureau, each ward. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache

from bousai_kit.onboarding.items import GroupItem, Leaver, PersonItem
from bousai_kit.onboarding.tenant_view import KIT_GROUPS, KIT_NAMES, Group, TenantView
from bousai_kit.roster import Person

__all__ = ["HEADQUARTERS", "group_key", "plan_groups", "wished_groups"]

HEADQUARTERS = ("本部長", "副本部長", "本部員", "事務局")
_KEY_FORBIDDEN = "%\\#/?"


@lru_cache(maxsize=1024)
def group_key(kind: str, name: str = "") -> str:
    """External key of a group: readable, and without what a key may not hold."""
    plain = "".join("_" if letter in _KEY_FORBIDDEN or ord(letter) < 32 else letter for letter in name)[:60]
    if plain != name:
        plain += "-" + hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{KIT_GROUPS}{kind}" + (f"-{plain}" if name else "")


def wished_groups(people: Iterable[Person]) -> dict[str, tuple[str, list[Person]]]:
    """Key → (name, members), in a fixed order; groups nobody belongs to are left out."""
    people = list(people)
    wished: dict[str, tuple[str, list[Person]]] = {}
    if people:
        wished[group_key("all")] = (f"{KIT_NAMES}全員", people)
    headquarters = [person for person in people if person.hq_role in HEADQUARTERS]
    if headquarters:
        wished[group_key("hq")] = (f"{KIT_NAMES}災害対策本部", headquarters)
    for kind, label, field in (("bureau", "局", "bureau"), ("ward", "区", "ward")):
        for person in people:
            name = str(getattr(person, field))
            if name:
                entry = wished.setdefault(group_key(kind, name), (f"{KIT_NAMES}{label}_{name}"[:100], []))
                entry[1].append(person)
    return wished


def plan_groups(
    items: tuple[PersonItem, ...], leaving: tuple[Leaver, ...], view: TenantView
) -> tuple[GroupItem, ...]:
    """What becomes of the kit's groups. Members whom neither roster nor leavers name stay in them."""
    return tuple(_groups(items, leaving, view))


def _groups(
    items: tuple[PersonItem, ...], leaving: tuple[Leaver, ...], view: TenantView
) -> Iterator[GroupItem]:
    user_ids = {item.person.staff_number: item.user_id for item in items if item.action != "conflict"}
    ours = {user_id for user_id in user_ids.values() if user_id}
    gone = {leaver.user_id for leaver in leaving}
    wished = wished_groups(item.person for item in items if item.action != "conflict")
    for key, (name, members) in wished.items():
        numbers = tuple(dict.fromkeys(person.staff_number for person in members))
        found = view.group_by_key(key, name)
        if found is None:
            yield GroupItem("create", key, name, numbers)
        else:
            yield _existing(found, key, name, numbers, user_ids, ours, gone)
    for group in view.groups:  # a ward or bureau that nobody of the roster belongs to any more
        if group.key.startswith(KIT_GROUPS) and group.key not in wished:
            remove = tuple(sorted(group.members & (ours | gone)))
            action = "update" if remove else "unchanged"
            yield GroupItem(action, group.key, group.name, (), group.group_id, (), remove)


def _existing(
    found: Group,
    key: str,
    name: str,
    numbers: tuple[str, ...],
    user_ids: dict[str, str],
    ours: set[str],
    gone: set[str],
) -> GroupItem:
    wanted = {user_ids[number] for number in numbers}
    add = tuple(number for number in numbers if user_ids[number] not in found.members)
    remove = tuple(sorted(found.members & ((ours - wanted) | gone))) if found.key else ()
    changes = {"name": (found.name, name)} if found.name != name else {}
    action = "update" if add or remove or changes else "unchanged"
    return GroupItem(action, key, name, numbers, found.group_id, add, remove, changes)
