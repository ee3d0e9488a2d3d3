"""Has the tenant changed since an undo was planned, in what it would write or read to decide it? Pure.

The undo is simply planned again against the tenant as it stands and compared step by step. What a run of this
undo itself has done since, known or unknown, is no drift.
"""

from __future__ import annotations

from collections.abc import Iterator

from bousai_kit.errors import GuardError
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.tenant_view import TenantView
from bousai_kit.onboarding.undo_items import UndoPlan

__all__ = ["UndoDrifted", "came_true", "check_undo_drift", "find_undo_drift"]

_WORDS = {
    "user": "職員番号",
    "group": "グループ",
    "orgunit": "組織",
    "position": "役職",
    "level": "職級",
    "room": "ルーム",
}


class UndoDrifted(GuardError):
    """Somebody changed the tenant after the undo was planned; nothing was taken back.

    Attributes
    ----------
    items : tuple of str
        What differs.
    """

    def __init__(self, undo: UndoPlan, items: tuple[str, ...]) -> None:
        shown = "、".join(items[:5]) + (f" ほか {len(items) - 5:,} 件" if len(items) > 5 else "")
        super().__init__(
            f"取り消しの計画を作った後に、テナントの内容が変わっています（{shown}）。何も取り消していません。",
            hint=f"`bousai onboard undo {undo.apply_id}`（ファイルにするときは --out UNDO.json）で"
            "計画を作り直し、内容を確かめてから実行してください。",
        )
        self.items = items


def check_undo_drift(planned: UndoPlan, now: UndoPlan, journal: Journal) -> None:
    """Refuse an undo that no longer fits.

    Parameters
    ----------
    planned, now : UndoPlan
        As it was reviewed; as it would be planned now.
    journal : Journal
        Of the undo.

    Raises
    ------
    UndoDrifted
    """
    found = tuple(dict.fromkeys(find_undo_drift(planned, now, journal)))
    if found:
        raise UndoDrifted(planned, found)


def find_undo_drift(planned: UndoPlan, now: UndoPlan, journal: Journal) -> Iterator[str]:
    """What differs from what the plan saw."""
    before, after = planned.steps(), now.steps()
    for step, said in after.items():
        if step not in before or (before[step] != said and not _less(step, before[step], said, journal)):
            yield _word(step, now)
    for step in before:
        if step not in after and not _ours(step, journal):
            yield _word(step, planned)
    known = {(one["subject"], one["reason"]) for one in planned.impossible}
    for one in now.impossible:
        if (one["subject"], one["reason"]) not in known:
            yield one["subject"]


def came_true(step: str, view: TenantView) -> bool | None:
    """Whether a step of which no outcome was written has taken effect; None: its traces do not tell."""
    kind, _, rest = step.partition(":")
    member = view.member_by_id(rest)
    if kind == "user.delete":
        return member is None or member.deleted
    if kind in ("user.suspend", "user.unsuspend") and member is not None:
        return member.suspended is (kind == "user.suspend")
    if kind == "group.delete":
        return all(one.group_id != rest for one in view.groups)
    if kind == "orgunit.delete":
        return view.unit_by_id(rest) is None
    if kind in ("level.delete", "position.delete"):
        there = view.levels if kind == "level.delete" else view.positions
        return there is not None and all(one.id != rest for one in there)
    return None


def _ours(step: str, journal: Journal) -> bool:
    """This undo has tried it: one that failed in the end may have done its work in an earlier repeat."""
    if journal.state(step) is not None:
        return True
    user_id = step.rpartition(":")[2]  # a member who is deleted leaves the groups
    return step.startswith("group.member:") and journal.state(f"user.delete:{user_id}") is not None


def _less(step: str, before: str, now: str, journal: Journal) -> bool:
    """Some of a member's fields are back already, by this undo."""
    fields = set(now.split(",")) <= set(before.split(","))
    return step.startswith("user.restore:") and fields and journal.state(step) is not None


def _word(step: str, undo: UndoPlan) -> str:
    kind, _, rest = step.partition(":")
    label = undo.labels.get(rest.rpartition(":")[2]) or rest
    return f"{_WORDS.get(kind.partition('.')[0], '')} {label}".strip()
