"""What an undo consists of, as the tenant stood when it was looked at: ids and staff numbers, no name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = ["FIELDS", "KINDS", "UndoPlan", "by_reason", "some_of"]

FIELDS: Mapping[str, tuple[str, ...]] = {
    "userExternalKey": ("external_key",),
    "employeeNumber": ("staff_number",),
    "email": ("login_id",),
    "cellPhone": ("phone",),
    "userName": ("last_name", "first_name", "last_kana", "first_kana"),
    "organizations": ("orgunit", "position", "level"),
}
"""The vendor's property → the fields of a plan that it holds."""

KINDS: tuple[tuple[str, str, str, str], ...] = (
    (
        "delete", "user.delete", "users.delete",
        "名のアカウントを削除します（7 日間は復元できます。その間ログインIDは使えません）",
    ),
    ("suspend", "user.suspend", "users.suspend", "名は利用を始めているため、削除せず一時停止します"),
    ("restore", "user.restore", "users.patch", "名の変更を元の値に戻します"),
    ("unsuspend", "user.unsuspend", "users.unsuspend", "名の一時停止を解除します"),
    ("group_members", "group.member", "groups.remove-member", "件のグループの出入りを元に戻します"),
    ("group_names", "group.name", "groups.patch", "個のグループの名前を元に戻します"),
    ("unit_changes", "orgunit.name", "orgunits.patch", "個の組織の名前を元に戻します"),
    ("unit_moves", "orgunit.move", "orgunits.move", "個の組織を元の上位組織の下に戻します"),
    ("groups", "group.delete", "groups.delete", "個のグループを、トークの履歴ごと削除します"),
    ("units", "orgunit.delete", "orgunits.delete", "個の組織を削除します"),
    ("levels", "level.delete", "levels.delete", "個の職級を削除します"),
    ("positions", "position.delete", "positions.delete", "個の役職を削除します"),
    (
        "rooms", "room.leave", "channels.leave",
        "個のトークルームから Bot が退出します（ルームと履歴は参加者に残ります）",
    ),
)  # fmt: skip
"""List of the plan, kind of step in the ledger, operation, words after the number."""


@dataclass(slots=True, repr=False)
class UndoPlan:
    """What can be taken back.

    Attributes
    ----------
    apply_id : str
        Of the apply that is taken back.
    delete, suspend, restore, unsuspend : list
        Members to delete, to suspend instead, to set back (id, the vendor's properties), to let in again.
    groups, units, levels, positions : list of str
        Ids of what the apply made, in the order in which it can go.
    rooms : list of str
        Channel ids of the rooms that the bot leaves.
    group_members : list of (str, str, bool)
        Group, member, and whether the member is to be put back (else taken out).
    group_names, unit_changes : list of (str, str)
        Id and the name that it had.
    unit_moves : list of (str, str, int)
        Id, the unit under which it was ("": none), and its place there.
    impossible : list of dict
        ``subject, reason``: what cannot be taken back, or not wholly.
    notes : list of str
        What a reader has to know beside it.
    labels : dict
        Id → what a reader knows it by: a staff number, a code, a name of a group, level or position.
    before : dict
        Member → what `restore` sets back, in the vendor's words. It holds names, so it is never written down:
        a plan from a file has none, and what is carried out is always looked up anew.
    undo_id, made_at, domain_id, bot_id, plan_sha256, home_mark
        Which undo, of which tenant, of which plan, made in which home.
    calls, eta_s : int, float
        Requests that it takes, and how long at the tenant's limits.
    """

    apply_id: str
    delete: list[str] = field(default_factory=list)
    suspend: list[str] = field(default_factory=list)
    restore: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    unsuspend: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    group_names: list[tuple[str, str]] = field(default_factory=list)
    group_members: list[tuple[str, str, bool]] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    unit_changes: list[tuple[str, str]] = field(default_factory=list)
    unit_moves: list[tuple[str, str, int]] = field(default_factory=list)
    levels: list[str] = field(default_factory=list)
    positions: list[str] = field(default_factory=list)
    rooms: list[str] = field(default_factory=list)
    impossible: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    before: dict[str, dict[str, Any]] = field(default_factory=dict, compare=False)
    undo_id: str = ""
    made_at: datetime | None = None
    domain_id: int = 0
    bot_id: int = 0
    plan_sha256: str = ""
    home_mark: str = ""
    calls: int = 0
    eta_s: float = 0.0

    def __repr__(self) -> str:
        return f"<UndoPlan {self.undo_id} of {self.apply_id}>"

    def cannot(self, subject: str, reason: str) -> None:
        """Say of something that it cannot be taken back."""
        self.impossible.append({"subject": subject, "reason": reason})

    def steps(self) -> dict[str, str]:
        """What is done, by the steps' keys in the ledger; with each what it would set."""
        found = {}
        for name, kind, _, _ in KINDS:
            for one in getattr(self, name):
                key, said = _key(name, one)
                found[f"{kind}:{key}"] = said
        return found

    def drop(self, steps: Collection[str]) -> None:
        """Leave some steps out."""
        for name, kind, _, _ in KINDS:
            listed: list[Any] = getattr(self, name)
            listed[:] = [one for one in listed if f"{kind}:{_key(name, one)[0]}" not in steps]

    def count_calls(self) -> Counter[str]:
        """Requests by operation."""
        found = Counter({operation: len(getattr(self, name)) for name, _, operation, _ in KINDS})
        back = sum(back for _, _, back in self.group_members)
        found["groups.add-member"] += back
        found["groups.remove-member"] -= back
        return +found

    @property
    def nothing_to_do(self) -> bool:
        """There is nothing that could be taken back."""
        return not self.steps()

    def sentences(self) -> list[str]:
        """What will happen, what cannot first."""
        whole = list(by_reason(self.impossible).items())
        said = [f"取り消せないもの：{some_of(subjects)}（{reason}）" for reason, subjects in whole[:20]]
        left = sum(len(subjects) for _, subjects in whole[20:])
        if left:
            said.append(f"取り消せないものは、ほかに {left:,} 件あります。")
        said += [f"注意：{note}" for note in self.notes]
        done = [f"{count:,} {text}。" for count, text in self.counts()]
        return [*said, *(done or ["取り消すものはありません。"])]

    def counts(self) -> list[tuple[int, str]]:
        """How many of each kind, in words; kinds of which there are none are left out."""
        return [(len(getattr(self, name)), text) for name, _, _, text in KINDS if getattr(self, name)]

    def as_json(self) -> dict[str, Any]:
        """Counts, and what cannot be taken back."""
        return {
            "apply_id": self.apply_id,
            "undo_id": self.undo_id,
            **{name: len(getattr(self, name)) for name, *_ in KINDS},
            "impossible": list(self.impossible),
            "notes": list(self.notes),
            "calls": self.calls,
            "eta_s": round(self.eta_s, 1),
        }


def by_reason(impossible: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """What cannot be taken back, each reason once."""
    reasons: dict[str, list[str]] = {}
    for one in impossible:
        reasons.setdefault(one["reason"], []).append(one["subject"])
    return reasons


def some_of(subjects: Sequence[str]) -> str:
    """The first few by name."""
    more = f" ほか {len(subjects) - 5:,} 件" if len(subjects) > 5 else ""
    return "、".join(subjects[:5]) + more


def _key(name: str, one: Any) -> tuple[str, str]:
    """What tells one entry from the others, and the rest of it."""
    if isinstance(one, str):
        return one, ""
    if name == "group_members":
        return f"{one[0]}:{one[1]}", "in" if one[2] else "out"
    if name == "restore":
        return str(one[0]), ",".join(sorted(one[1]))
    return str(one[0]), " ".join(map(str, one[1:]))
