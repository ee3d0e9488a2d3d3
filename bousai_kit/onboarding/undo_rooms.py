"""What an undo means for the bot's rooms: nothing brings the bot back into one that it has left. Pure."""

from __future__ import annotations

from collections.abc import Collection

from bousai_kit.onboarding.items import Plan, RoomItem
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.room_steps import room_title
from bousai_kit.onboarding.tenant_view import TenantView
from bousai_kit.onboarding.undo_items import UndoPlan

__all__ = ["undo_rooms"]

_NO_WAY_BACK = "Bot は退出したルームに戻れません。"


def undo_rooms(
    plan: Plan, view: TenantView, journal: Journal, undo: UndoPlan, left_since: Collection[str]
) -> None:
    """Rooms that the bot leaves; those to which it cannot return, and what that means for their people.

    Parameters
    ----------
    left_since : collection of str
        Rooms that an earlier run of this undo has left.
    """
    built = {room.channel_id: room.key for room in view.rooms}
    for room in plan.rooms:
        made = journal.id(f"room.create:{room.key}")
        if made in built:  # a later apply may have built it anew and left this one
            undo.rooms.append(made)
            undo.labels[made] = room.title
        if room.channel_id and journal.done(f"room.leave:{room.channel_id}"):
            ours = made in built or made in left_since
            others = room.key in [key for channel, key in built.items() if channel != made]
            undo.cannot(f"ルーム {room.title}", _NO_WAY_BACK + _without_room(room, ours=ours, others=others))
    for title in _rooms_in_doubt(plan, journal):
        reason = "作成できたか分からず、Bot は退出できません。見つけた人が退出してください。"
        undo.cannot(f"ルーム {title}", reason)


def _without_room(room: RoomItem, *, ours: bool, others: bool) -> str:
    if others:
        return "後の登録で作られたルームは、そのまま使えます。"
    again = "次の登録計画（`bousai onboard plan`）で作り直してください。"
    if room.action != "rebuild":
        return f"トークルームが要るときは、{again}"
    also = "代わりに作ったルームからも退出するため、" if ours else ""
    lost = "ルームにいた人には Bot のトークルームがなくなり、ルームに送る訓練が届きません。"
    return f"{also}{lost}{again}"


def _rooms_in_doubt(plan: Plan, journal: Journal) -> list[str]:
    """Titles of attempts without an answer whose room nobody has found since."""
    doubts = [one for one in sorted(journal.in_doubt) if one[0].startswith("room.create:")]
    if not doubts:
        return []
    rooms = {f"room.create:{room.key}": room for room in plan.rooms}
    found = {
        str((state.body or {}).get("title")) for state in journal.states.values() if state.status == "done"
    }
    titles = [room_title(rooms[key], plan.plan_id, attempt) for key, attempt in doubts if key in rooms]
    return [title for title in titles if title not in found]
