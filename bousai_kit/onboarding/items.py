"""What a plan consists of: one item a person, unit, level, position, group, and what becomes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bousai_kit.roster import Person
from bousai_kit.roster.columns import REJECTED

__all__ = [
    "LABELS",
    "PRIVATE",
    "REJECTED",
    "STAYS",
    "GroupItem",
    "Leaver",
    "LevelItem",
    "PersonItem",
    "Plan",
    "PositionItem",
    "RoomItem",
    "UnitItem",
    "describe_change",
]

Changes = Mapping[str, tuple[str, str]]

LABELS: Mapping[str, str] = {
    "state": "状態",
    "external_key": "External Key",
    "staff_number": "職員番号",
    "login_id": "ログインID",
    "last_name": "姓",
    "first_name": "名",
    "last_kana": "姓カナ",
    "first_kana": "名カナ",
    "orgunit": "所属",
    "position": "役職",
    "level": "職級",
    "phone": "携帯電話",
    "name": "名称",
    "parent": "上位組織",
}

PRIVATE = frozenset({"last_name", "first_name", "last_kana", "first_kana", "phone", "login_id"})
"""Fields whose contents no screen, log or widget shows; the review file and the roster do."""

STAYS: Mapping[str, str] = {
    "pending": "登録待ちのため一時停止できない",
    "administrator": "管理者のためそのまま残る",
    "kept": "名簿になく、そのまま残る",
}
"""Why somebody who is not in the roster stays, by the `reason` of a `Leaver`."""


def describe_change(name: str, pair: tuple[str, str]) -> str:
    """Old → new of one field, for a screen that others may see or a log that may keep it."""
    if name in PRIVATE:
        return f"{LABELS[name]}（名簿のとおり）"
    return f"{LABELS[name]}「{pair[0] or 'なし'}」→「{pair[1] or 'なし'}」"


@dataclass(frozen=True, slots=True, repr=False)
class PersonItem:
    """One row of the roster.

    Attributes
    ----------
    action : str
        ``create``, ``update``, ``unchanged`` or ``conflict``.
    person : Person
        The row.
    user_id : str
        Of the member that it is; "" for somebody new.
    changes : mapping
        Field → (old, new).
    before : mapping
        The tenant's own words for what is changed, so that it can be taken back.
    reason : str
        Why it is a conflict, or a remark.
    unit_before : tuple of (str, str) or ()
        Name and code of the unit that somebody leaves who changes units.
    """

    action: str
    person: Person
    user_id: str = ""
    changes: Changes = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    unit_before: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<PersonItem {self.action} {self.person.staff_number}>"


@dataclass(frozen=True, slots=True, repr=False)
class Leaver:
    """A member who is not in the roster and is to be suspended, and the post that becomes free.

    With a `reason` (a key of `STAYS`): one who stays for it.
    """

    user_id: str
    login_id: str
    name: str
    staff_number: str = ""
    unit: str = ""
    position: str = ""
    unit_code: str = ""
    reason: str = ""

    def __repr__(self) -> str:
        return f"<Leaver {self.user_id}>"


@dataclass(frozen=True, slots=True)
class UnitItem:
    """One org unit: ``create``, ``update`` or ``unchanged``.

    Attributes
    ----------
    before : mapping
        Of one that moves: the ``parent`` under which it was (id, "": none) and its ``order`` there.
    top : bool
        As `RosterUnit.top`.
    """

    action: str
    code: str
    name: str
    parent_code: str = ""
    order: int = 1
    unit_id: str = ""
    changes: Changes = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    top: bool = False


@dataclass(frozen=True, slots=True)
class PositionItem:
    """One position: ``create`` or ``unchanged``."""

    action: str
    name: str
    order: int = 1
    position_id: str = ""

    @property
    def id(self) -> str:
        """Of the position that there is, "" for a new one."""
        return self.position_id


@dataclass(frozen=True, slots=True)
class LevelItem:
    """One level: ``create`` or ``unchanged``.

    Attributes
    ----------
    executive : bool
        Whether a new one is for executives (the API wants it said): never, for a roster does not know.
    """

    action: str
    name: str
    order: int = 1
    level_id: str = ""
    executive: bool = False

    @property
    def id(self) -> str:
        """Of the level that there is, "" for a new one."""
        return self.level_id


@dataclass(frozen=True, slots=True)
class GroupItem:
    """One group: ``create``, ``update`` or ``unchanged``.

    Attributes
    ----------
    members : tuple of str
        Staff numbers of all who belong.
    add : tuple of str
        Staff numbers that an existing group lacks.
    remove : tuple of str
        User ids that it should no longer hold.
    """

    action: str
    key: str
    name: str
    members: tuple[str, ...] = ()
    group_id: str = ""
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    changes: Changes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RoomItem:
    """One room of the bot: ``create``, ``rebuild``, ``unchanged`` or ``leave``.

    Attributes
    ----------
    key : str
        Ours: ``ward-北区/1``. The platform gives rooms no external key.
    title : str
        Without the mark that a creation adds, which tells one attempt from another.
    members : tuple of str
        Staff numbers of all who belong; at most 100.
    channel_id : str
        The room that there is; for ``rebuild`` the one that the bot leaves afterwards.
    """

    action: str
    key: str
    title: str
    members: tuple[str, ...] = ()
    channel_id: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """Everything that `apply_plan` will do, for a second person to read.

    Attributes
    ----------
    plan_id : str
    made_at : datetime
        When the tenant had been read.
    domain_id : int
    roster_sha256 : str
    leavers : str
        ``keep`` or ``suspend``.
    people, suspend, units, levels, positions, groups, rooms : tuple
    bot_id : int
        Whose rooms they are; 0: no rooms.
    masters : tuple of str
        User ids of the administrators who become masters of new groups.
    left_alone : int
        Members of the tenant who are not in the roster and stay as they are.
    stay : tuple of Leaver
        Those of them whose posts the plan is about, with the reason.
    posts : mapping of str to int
        How many posts are filled, handed over, vacated, unchanged (`posts.posts_of` says which).
    notes : tuple of str
        Sentences that a reader has to know.
    calls : int
        Requests that carrying it out takes, reading the tenant again included.
    eta_s : float
        How long that takes at the tenant's limits.
    home_mark : str
        Tells the home that made it from any other; "": any may carry it out.
    passwords : str
        ``admin``: an initial password on paper for everybody; ``member``: whoever has a private address gets
        an invitation by mail instead.
    content_sha256 : str
        Of a plan that was loaded: the digest of what was read, but for `home_mark`. A plan made from this one
        (`dataclasses.replace`) does not have it.
    """

    plan_id: str
    made_at: datetime
    domain_id: int
    roster_sha256: str = ""
    leavers: str = "keep"
    people: tuple[PersonItem, ...] = ()
    suspend: tuple[Leaver, ...] = ()
    units: tuple[UnitItem, ...] = ()
    levels: tuple[LevelItem, ...] = ()
    positions: tuple[PositionItem, ...] = ()
    groups: tuple[GroupItem, ...] = ()
    masters: tuple[str, ...] = ()
    left_alone: int = 0
    stay: tuple[Leaver, ...] = ()
    rooms: tuple[RoomItem, ...] = ()
    bot_id: int = 0
    posts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    calls: int = 0
    eta_s: float = 0.0
    home_mark: str = ""
    passwords: str = "admin"
    content_sha256: str = field(init=False, default="", compare=False)

    def __repr__(self) -> str:
        return f"<Plan {self.plan_id} create={self.count('create')} update={self.count('update')}>"

    def count(self, action: str) -> int:
        """People with this action."""
        return sum(item.action == action for item in self.people)

    def of(self, action: str) -> tuple[PersonItem, ...]:
        """The people with this action."""
        return tuple(item for item in self.people if item.action == action)

    @property
    def creates(self) -> tuple[PersonItem, ...]:
        """People who get an account."""
        return self.of("create")

    def by_mail(self, person: Person) -> bool:
        """A new account of this person sets its own password, from an invitation that leaves at once."""
        return self.passwords == "member" and bool(person.private_email)

    @property
    def invited(self) -> tuple[PersonItem, ...]:
        """People who get an account and an invitation by mail."""
        return tuple(item for item in self.creates if self.by_mail(item.person))

    @property
    def on_paper(self) -> tuple[PersonItem, ...]:
        """People who get an account and an initial password on paper."""
        return tuple(item for item in self.creates if not self.by_mail(item.person))

    def password_notes(self) -> list[str]:
        """What somebody has to know about mails before this is carried out; [] when none goes out."""
        mails, slips = len(self.invited), len(self.on_paper)
        if self.passwords != "member" or not mails + slips:
            return []
        said = [
            f"実行すると、私用メールのある {mails:,} 名に、LINE WORKS から招待メールが {mails:,} 通、"
            "すぐに送られます。送られたメールは取り消せません。"
            if mails
            else "新規の人に私用メールのある人がいないため、招待メールは送られません。"
        ]
        if slips:
            said.append(
                f"私用メールのない {slips:,} 名には、初期パスワードを載せた配付資料を渡してください。"
            )
        addresses = Counter(item.person.private_email.casefold() for item in self.invited)
        shared = sum(count for count in addresses.values() if count > 1)
        if shared:
            said.append(
                f"{shared:,} 名は、私用メールがほかの人と同じです。"
                "招待が同じ宛先に届くため、名簿を確かめてください。"
            )
        return said

    @property
    def nothing_to_do(self) -> bool:
        """The tenant is already as the roster wants it."""
        actions = {one.action for one in self.units}
        actions |= {one.action for one in self.levels} | {one.action for one in self.positions}
        actions |= {one.action for one in self.groups} | {one.action for one in self.rooms}
        return not (actions - {"unchanged"} or self.suspend or self.count("create") or self.count("update"))

    def as_json(self) -> dict[str, Any]:
        """The keys of ``onboard plan --json``."""
        return {
            "plan_id": self.plan_id,
            **{name: self.count(name) for name in ("create", "update", "unchanged")},
            "suspend": len(self.suspend),
            "left_alone": self.left_alone,
            "conflict": self.count("conflict"),
            "orgunits": _counted(self.units),
            **{
                name: {"create": 0, "unchanged": 0} | Counter(one.action for one in titles)
                for name, titles in (("levels", self.levels), ("positions", self.positions))
            },
            "groups": _counted(self.groups),
            "rooms": dict.fromkeys(("create", "rebuild", "unchanged", "leave"), 0)
            | Counter(one.action for one in self.rooms),
            "posts": dict(self.posts),
            "passwords": self.passwords,
            "invitations": len(self.invited),
            "slips": len(self.on_paper),
            "calls": self.calls,
            "eta_s": round(self.eta_s, 1),
            "notes": list(self.notes),
        }


def _counted(items: Iterable[UnitItem] | Iterable[GroupItem]) -> dict[str, int]:
    return {"create": 0, "update": 0, "unchanged": 0} | Counter(item.action for item in items)
