"""What has to be said of an undo beside its steps: mails that are out, what came back, whom to tell. Pure."""

from __future__ import annotations

from collections.abc import Collection

from bousai_kit.onboarding.items import Plan
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.undo_items import UndoPlan

__all__ = ["leave_what_came_back", "note_mails", "note_people"]


def note_mails(plan: Plan, journal: Journal, undo: UndoPlan) -> None:
    """Invitations that went out cannot be taken back; said before all else."""
    steps = (f"user.create:{item.person.staff_number}" for item in plan.invited)
    sent = sum(journal.may_have_done(step) is not None for step in steps)
    if sent:
        reason = "送られた招待メールは取り消せません。受け取った人に、手続きをしないよう知らせてください。"
        undo.impossible.insert(0, {"subject": f"招待メール {sent:,} 通", "reason": reason})


def leave_what_came_back(undo: UndoPlan, undone: Collection[str]) -> None:
    """What this undo has taken back before is not taken back a second time."""
    again = undo.steps().keys() & set(undone)
    if again:
        undo.drop(again)
        undo.cannot(
            f"取り消した後に登録し直されたもの {len(again):,} 件",
            "後の登録によるものなので、そのままにします。取り消すときは、その登録の ID を指定してください。",
        )


def note_people(plan: Plan, undo: UndoPlan) -> None:
    """What people have to be told, or are to think of before."""
    deleted = set(undo.delete)
    again = sum("state" in item.changes and item.user_id in deleted for item in plan.people)
    if again:
        undo.notes.append(
            f"この登録で復元した {again:,} 名を、もう一度削除します（利用を始めている人も含みます）。"
        )
    logins = sum("email" in wires for _, wires in undo.restore)
    if logins:
        undo.notes.append(f"{logins:,} 名のログインIDが元に戻ります。本人に知らせてください。")
