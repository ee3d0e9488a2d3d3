"""Levels and positions (職級, 役職): two catalogues of names that the tenant keeps, one piece of code. Pure.

A row names its level and its position. What the tenant has is found by that name, as typed or else in another
width; what it lacks is created. A blank cell says "none" in a roster that names any, and nothing in one that
names none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from bousai_kit.onboarding.items import LevelItem, PersonItem, PositionItem
from bousai_kit.roster import Person
from bousai_kit.roster.columns import key

__all__ = [
    "KINDS",
    "LEVEL",
    "POSITION",
    "Kind",
    "Title",
    "by_name",
    "plan_titles",
    "see_title",
    "title_notes",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """What tells levels from positions.

    Attributes
    ----------
    field : str
        Of a row and of a change; begins the names of steps and of what the vendor says.
    plural : str
        Of a plan, of a `TenantView`, of the client and of the API.
    label : str
        What screens call it.
    """

    field: str
    plural: str
    label: str
    item: type[LevelItem] | type[PositionItem]

    def of(self, person: Person) -> str:
        """What a row says, "" when it is blank."""
        return str(getattr(person, self.field))

    def step(self, name: str) -> str:
        """Names in the ledger that one is created."""
        return f"{self.field}.create:{name}"


LEVEL = Kind("level", "levels", "職級", LevelItem)
POSITION = Kind("position", "positions", "役職", PositionItem)
KINDS = (LEVEL, POSITION)


class _Named(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def order(self) -> int: ...


N = TypeVar("N", bound=_Named)


@dataclass(frozen=True, slots=True)
class Title:
    """One level or position of the tenant."""

    id: str
    name: str
    order: int = 0


def see_title(kind: Kind, said: Mapping[str, Any]) -> Title:
    """Read an entry of the tenant's list."""
    name, order = said.get(f"{kind.field}Name"), said.get("displayOrder")
    return Title(str(said.get(f"{kind.field}Id") or ""), str(name or ""), int(order or 0))


def by_name(entries: Iterable[N]) -> Callable[[str], N | None]:
    """What finds an entry by its name: as typed, else in another width; of several the one shown first."""
    exact: dict[str, N] = {}
    alike: dict[str, N] = {}
    for one in sorted(entries, key=lambda one: (one.order, one.id)):
        exact.setdefault(one.name, one)
        alike.setdefault(key(one.name), one)

    def find(name: str) -> N | None:
        found = exact.get(name) or alike.get(key(name))
        if found is not None:
            exact[name] = found  # thousands of rows name the same few
        return found

    return find


def plan_titles(kind: Kind, people: Iterable[Person], there: Sequence[Title] | None) -> tuple[Any, ...]:
    """The items of all that the rows name; () where they name none, or the tenant has the feature off.

    Parameters
    ----------
    there : sequence of Title or None
        What the tenant has; None: the feature is off.
    """
    if there is None:
        return ()
    find = by_name(there)
    last = max((one.order for one in there), default=0)
    items: dict[tuple[str, str], LevelItem | PositionItem] = {}
    for name in dict.fromkeys(map(kind.of, people)):
        found = find(name)
        if not name:
            continue
        if found is not None:
            items.setdefault(("id", found.id), kind.item("unchanged", found.name, found.order, found.id))
        elif ("name", key(name)) not in items:
            last += 1
            items["name", key(name)] = kind.item("create", name, last)
    return tuple(items.values())


def title_notes(
    kind: Kind,
    items: Sequence[LevelItem | PositionItem],
    people: Iterable[PersonItem],
    there: Sequence[Title] | None,
) -> Iterator[str]:
    """What a reader has to know about the levels or positions of a plan."""
    people = tuple(people)
    if there is None and any(kind.of(item.person) for item in people):
        yield f"このテナントでは{kind.label}の機能が無効のため、{kind.label}は登録しません。"
    taken = sum(kind.field in item.changes and not item.changes[kind.field][1] for item in people)
    if taken:
        yield f"名簿で{kind.label}が空欄の {taken:,} 名は、いまの{kind.label}を外します。"
    counts = Counter(key(one.name) for one in there or ())
    for one in items:
        same = counts[key(one.name)]
        if same > 1:
            yield (
                f"テナントに「{one.name}」という{kind.label}が {same:,} 個あります。新しく付ける人には、"
                "名簿と同じ字で書かれ、並び順が先のものを使います。"
            )
    new = sum(isinstance(one, LevelItem) and one.action == "create" for one in items)
    if new:
        yield (
            f"新しい職級 {new:,} 個は、役員ではない職級として並び順の最後に作ります。"
            "必要なら管理画面で直してください。"
        )
