"""One message per person, or posts to rooms: how many calls, how long, and why. Pure.

Limits count per operation and minute for the whole domain. A whole window may be used at once; beyond 30
minutes of full use the vendor asks for half the rate (reference part 2 §5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

__all__ = ["PEAK_MINUTES", "ROOM_MOST", "Route", "choose_route", "estimate_s"]

PEAK_MINUTES = 30
ROOM_MOST = 500  # no push notification in rooms of so many members
CALL_S = 0.1  # of one call, and so many are under way at once
AT_ONCE = 16
ROOMS_FROM_S = 120.0  # a direct broadcast that takes longer goes to rooms where they are prepared


@dataclass(frozen=True, slots=True)
class Route:
    """How the first messages go out.

    Attributes
    ----------
    name : str
        ``direct`` or ``rooms``.
    reason : str
        Japanese: why this one, with the numbers of both.
    rooms : mapping
        Channel id → members, for ``rooms``.
    calls : int
        First messages of all waves.
    eta_s : float
        Until the last of them is accepted, counted without the pauses between waves.
    """

    name: str
    reason: str
    calls: int
    eta_s: float
    rooms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def estimate_s(calls: int, limit: int) -> float:
    """Seconds for so many calls at so many a minute, on a fresh window."""
    if calls <= 0:
        return 0.0
    limit = max(1, limit)
    peak = PEAK_MINUTES * limit
    within = min(calls, peak)
    last = (within - 1) % limit + 1
    seconds = (within - 1) // limit * 60.0 + last * CALL_S / AT_ONCE + CALL_S
    if calls > peak:
        seconds += (calls - peak) / (limit / 2) * 60.0
    return round(seconds, 1)


def choose_route(
    waves: Sequence[tuple[Set[str], int]],
    rooms: Mapping[str, Iterable[str]],
    *,
    limit: int,
    wanted: str = "auto",
    silent: Set[str] = frozenset(),
) -> Route:
    """Count both ways and choose.

    Parameters
    ----------
    waves : sequence of (people, messages)
        Who is in each wave, and how many messages it sends.
    rooms : mapping
        Rooms of the bot that were built in peacetime: channel id → members.
    limit : int
        Calls a minute.
    wanted : {"auto", "direct", "rooms"}
    silent : set of str
        People who are meant but cannot read yet (no first login): they do not keep a room from being used.
    """
    direct = sum(len(people) * messages for people, messages in waves)
    direct_s = estimate_s(direct, limit)
    everybody = set().union(*(people for people, _ in waves)) if waves else set()
    usable, covered = _usable(rooms, everybody, silent)
    by_rooms = 0
    for people, messages in waves:
        whole = [members for members in usable.values() if set(members) <= people]
        inside = set().union(*map(set, whole)) if whole else set()
        by_rooms += (len(whole) + len(people - inside)) * messages
    rooms_s = estimate_s(by_rooms, limit)
    both = f"個別 {direct:,} 回（約 {_say(direct_s)}）"
    if usable:
        both += f"、ルーム経由 {by_rooms:,} 回（約 {_say(rooms_s)}）"
    if wanted == "direct":
        return Route("direct", f"シナリオの指定により個別に送信します。{both}。", direct, direct_s)
    if not usable:
        reason = "作成済みのトークルームがないため" if not rooms else "宛先に合うトークルームがないため"
        return Route("direct", f"{reason}、個別に送信します。{both}。", direct, direct_s)
    if wanted == "rooms" or (direct_s > ROOMS_FROM_S and rooms_s < direct_s / 2):
        why = "シナリオの指定により" if wanted == "rooms" else "個別では時間がかかるため"
        reason = f"{why}、{len(usable)} ルームに投稿します（{len(covered):,} 人。残りは個別）。{both}。"
        return Route("rooms", reason, by_rooms, rooms_s, usable)
    reason = f"個別の方が、一人ひとりの送信時刻と応答を正確に測れ、十分に速いためです。{both}。"
    return Route("direct", reason, direct, direct_s)


def _usable(
    rooms: Mapping[str, Iterable[str]], everybody: Set[str], silent: Set[str]
) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    """Rooms of recipients and `silent` people only, nobody in two of them; largest first."""
    found: dict[str, tuple[str, ...]] = {}
    covered: set[str] = set()
    sized = sorted(
        ((tuple(members), room) for room, members in rooms.items()), key=lambda one: (-len(one[0]), one[1])
    )
    for members, room in sized:
        inside = set(members) - silent
        if len(inside) > 1 and len(members) < ROOM_MOST and inside <= everybody and not inside & covered:
            found[room] = tuple(one for one in members if one in inside)
            covered |= inside
    return found, covered


def _say(seconds: float) -> str:
    return f"{seconds:.0f} 秒" if seconds < 120 else f"{seconds / 60:.0f} 分"
