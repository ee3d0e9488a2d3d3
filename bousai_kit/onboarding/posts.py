"""A plan seen by posts: who held each, who holds it, and what kind of change that is. Pure.

In April sixty of two hundred posts change hands. A list of people says who moves; what the crisis-management
staff has to know is which post has a new holder, which is left empty, and whether the deputies' line still
stands. A post is an org unit with a position (所属 and 役職).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bousai_kit.onboarding.items import STAYS, Leaver, PersonItem, Plan
from bousai_kit.onboarding.titles import by_name

__all__ = ["KINDS", "Post", "PostChange", "count_posts", "deputies_in_doubt", "posts_of", "say_numbers"]

KINDS = {
    "filled": "着任",
    "handed_over": "交代",
    "reduced": "減員",
    "vacated": "空席",
    "unchanged": "変更なし",
}
"""Somebody comes, nobody goes; one comes, one goes; somebody goes, others stay; nobody is left; as before."""


@dataclass(frozen=True, slots=True, order=True)
class Post:
    """Where somebody stands: unit (with its code where others bear its name) and position."""

    unit: str
    position: str = ""

    def __str__(self) -> str:
        return f"{self.unit} {self.position}".strip()


@dataclass(frozen=True, slots=True, repr=False)
class PostChange:
    """One post before and after.

    Attributes
    ----------
    post : Post
    kind : str
        A key of `KINDS`.
    before, after : tuple of (staff number, name, remark)
        The holders. The remark says where somebody came from or went (``新規``, ``北区役所 区長から``),
        or that the account stays although the roster does not have the person.
    roles : tuple of str
        本部役割 of the holders after it.
    """

    post: Post
    kind: str
    before: tuple[tuple[str, str, str], ...] = ()
    after: tuple[tuple[str, str, str], ...] = ()
    roles: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<PostChange {self.post} {self.kind}>"

    @property
    def came(self) -> tuple[tuple[str, str, str], ...]:
        """Holders who are new in it."""
        stayed = {number for number, _, _ in self.before}
        return tuple(one for one in self.after if one[0] not in stayed)

    @property
    def went(self) -> tuple[tuple[str, str, str], ...]:
        """Holders who no longer hold it."""
        stay = {number for number, _, _ in self.after}
        return tuple(one for one in self.before if one[0] not in stay)


def posts_of(plan: Plan) -> tuple[PostChange, ...]:
    """Every post that the plan's people hold or held, in the order of the roster; emptied ones last.

    Leavers appear where they stood: a post that only they held is empty afterwards. So do those who should
    leave and stay, with the reason: the post is no longer theirs, the account is still there.
    """
    before: dict[Post, list[tuple[str, str, str]]] = {}
    after: dict[Post, list[tuple[str, str, str]]] = {}
    roles: dict[Post, list[str]] = {}
    units = _Units(plan)
    for item in plan.people:
        if item.action == "conflict":
            continue
        old, new = _before(item, units), _after(item, units)
        number, name = item.person.staff_number, item.person.name
        remark = "新規" if item.action == "create" else f"{old}から" if old not in (new, None) else ""
        after.setdefault(new, []).append((number, name, remark))
        roles.setdefault(new, []).append(item.person.hq_role)
        if old is not None:
            remark = f"{new}へ" if new != old else ""
            before.setdefault(old, []).append((number, name, remark))
    for leaver in (*plan.suspend, *plan.stay):
        if leaver.unit or leaver.position:  # else nobody's post
            post = Post(units.label(leaver.unit, leaver.unit_code), units.position(leaver.position))
            number = leaver.staff_number or leaver.user_id
            before.setdefault(post, []).append((number, leaver.name, _leaves(leaver)))
    return tuple(_changes(before, after, roles))


def _leaves(leaver: Leaver) -> str:
    return STAYS[leaver.reason] if leaver.reason else "一時停止"


def _changes(
    before: Mapping[Post, list[tuple[str, str, str]]],
    after: Mapping[Post, list[tuple[str, str, str]]],
    roles: Mapping[Post, list[str]],
) -> Iterator[PostChange]:
    for post in dict.fromkeys((*after, *before)):
        was, now = tuple(before.get(post, ())), tuple(after.get(post, ()))
        role = tuple(dict.fromkeys(one for one in roles.get(post, ()) if one))
        yield PostChange(post, _kind({one[0] for one in was}, {one[0] for one in now}), was, now, role)


def _kind(was: set[str], now: set[str]) -> str:
    if was == now:
        return "unchanged"
    if not now:
        return "vacated"
    return "reduced" if now < was else "filled" if was < now else "handed_over"


def say_numbers(people: Iterable[tuple[str, str, str]]) -> str:
    """Staff numbers of holders and where they came from or go, without a name; "" for nobody."""
    return "、".join(f"{number}（{remark}）" if remark else number for number, _, remark in people)


def count_posts(changes: Iterable[PostChange]) -> dict[str, int]:
    """How many of each kind."""
    counts = dict.fromkeys(KINDS, 0)
    for one in changes:
        counts[one.kind] += 1
    return counts


class _Units:
    """What units are called: each ward office has a 総務課, so a name alone does not tell them apart."""

    def __init__(self, plan: Plan) -> None:
        self._names = {unit.code: unit.name for unit in plan.units}
        self._positions = by_name(plan.positions) if plan.positions else None
        seen = {(name, code) for code, name in self._names.items()}
        left = {(one.unit, one.unit_code) for one in (*plan.suspend, *plan.stay)}
        left |= {_left(item) for item in plan.people if "orgunit" in item.changes}
        seen |= {(name, code) for name, code in left if name and code not in self._names}
        counted = Counter(name for name, _ in seen)
        self._shared = {name for name, count in counted.items() if count > 1}

    def label(self, name: str, code: str) -> str:
        """The name, as it will be; with the code where it is not the only one of this name."""
        name = self._names.get(code) or name or code
        return f"{name}（{code}）" if code and name in self._shared else name

    def position(self, name: str) -> str:
        """A position as the plan writes it; "" where the tenant has none, and a post is a unit."""
        found = self._positions(name) if self._positions is not None else None
        return "" if self._positions is None else name if found is None else found.name


def _left(item: PersonItem) -> tuple[str, str]:
    """Name and code of the unit that somebody leaves; "" for who was in none."""
    name, code = item.unit_before or ("", "")
    return name, code


def _after(item: PersonItem, units: _Units) -> Post:
    person = item.person
    return Post(units.label(person.orgunit_name, person.orgunit_code), units.position(person.position))


def _before(item: PersonItem, units: _Units) -> Post | None:
    if item.action == "create":
        return None
    now = _after(item, units)
    unit = units.label(*_left(item)) if "orgunit" in item.changes else now.unit
    position = units.position(item.changes["position"][0]) if "position" in item.changes else now.position
    return Post(unit, position) if unit or position else None


def deputies_in_doubt(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Whose place in the deputies' line has to be looked at: (staff number, why).

    A deputy stands for a person (職員番号); when that person leaves or takes another post, the line points to
    somebody who no longer holds what is to be deputised. A deputy who goes elsewhere may not be one any more.
    """
    by_number = {item.person.staff_number: item for item in plan.people}
    gone = {one.staff_number for one in plan.suspend}
    units = _Units(plan)
    found = []
    for item in plan.people:
        wanted = item.person.deputy_for
        chief = by_number.get(wanted)
        if not wanted:
            continue
        if wanted in gone:
            found.append((item.person.staff_number, "代理対象の人は、この計画で一時停止になります。"))
        elif chief is None:
            found.append((item.person.staff_number, "代理対象の人が名簿にいません。"))
        elif chief.action == "update" and _before(chief, units) != (now := _after(chief, units)):
            found.append((item.person.staff_number, f"代理対象の人が異動します（{now}）。"))
        elif item.action == "update" and _before(item, units) != (now := _after(item, units)):
            found.append((item.person.staff_number, f"代理する本人が異動します（{now}）。"))
    return tuple(found)
