"""Open a drill in the ledger: its id, its plan, its people. Two processes never open the same drill twice."""

from __future__ import annotations

import hashlib
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any

from bousai_kit.clock import Clock
from bousai_kit.drills import wording
from bousai_kit.drills.people import Recipient, Unreachable
from bousai_kit.drills.route import Route
from bousai_kit.drills.scenario import Scenario, Wave
from bousai_kit.drills.state import DrillState, read_state
from bousai_kit.ledger import NewEvent
from bousai_kit.roster import Roster

if TYPE_CHECKING:
    from bousai_kit.ledger import Event, Ledger

__all__ = ["find_open", "fix_drill", "planned_body", "rooms_of", "wave_body", "write_people"]

JST = timezone(timedelta(hours=9))
_LETTERS = "abcdefghjkmnpqrstuvwxyz"


async def rooms_of(ledger: Ledger) -> dict[str, tuple[str, ...]]:
    """Rooms of the bot that onboarding has built and not left: channel id → members."""
    rooms: dict[str, tuple[str, ...]] = {}
    for event in await ledger.read(prefix="apply:", kinds=("room.created", "room.left")):
        members = event.body.get("members")
        room = str(event.body.get("channel_id") or event.subject)
        if event.kind == "room.left":
            rooms.pop(room, None)
        elif isinstance(members, list):
            rooms[room] = tuple(map(str, members))
    return rooms


async def find_open(ledger: Ledger, scenario: Scenario, roster: Roster) -> tuple[DrillState | None, int]:
    """The open drill of this scenario and roster, and how many there have been."""
    planned: list[Event] = [
        event
        for event in await ledger.read(prefix="drill:", kinds=("drill.planned",))
        if event.body.get("scenario_key") == scenario.key and event.body.get("roster_sha256") == roster.sha256
    ]
    for event in reversed(planned):
        state = await read_state(ledger, event.stream.removeprefix("drill:"))
        if state.state != "closed":
            return state, len(planned)
    return None, len(planned)


async def fix_drill(
    scenario: Scenario,
    roster: Roster,
    *,
    ledger: Ledger,
    clock: Clock,
    route: Route,
    new: bool,
    planned_by: str,
    domain_id: int | None,
) -> tuple[DrillState, bool]:
    while True:
        state, count = await find_open(ledger, scenario, roster)
        if state is not None and not new:
            return state, True
        drill_id = _new_id(scenario, roster, clock, count)
        code = await _new_code(ledger, drill_id)
        body = planned_body(scenario, roster, drill_id=drill_id, code=code, route=route)
        body |= {"at": clock.now().isoformat(), "planned_by": planned_by}
        if domain_id is not None:
            body["domain_id"] = domain_id
        once = f"drill-of:{scenario.key}:{roster.sha256}:{count}"
        if await ledger.append(f"drill:{drill_id}", "drill.planned", drill_id, body, once=once) is not None:
            return await read_state(ledger, drill_id), False
        # another process was quicker: continue its drill, or with `new` begin the one after it


def planned_body(
    scenario: Scenario, roster: Roster, *, drill_id: str, code: str, route: Route
) -> dict[str, Any]:
    """``drill.planned``: everything that resuming needs, wherever it happens."""
    return {
        "title": scenario.title,
        "kind": scenario.kind.value,
        "deadline_s": scenario.deadline_s,
        "resend_after_s": scenario.resend_after_s,
        "route": route.name,
        "route_reason": route.reason,
        "short_code": code,
        "scenario_sha256": scenario.sha256,
        "scenario_key": scenario.key,
        "roster_sha256": roster.sha256,
        "roster_people": len(roster.people),
        "messages": [
            {
                "id": message.id,
                "text": message.text,
                "deadline_s": message.deadline_s,
                "inject": message.inject,
                "buttons": [
                    {
                        "label": wording.build_label(answer, code),
                        "postback": wording.build_postback(drill_id, message.id, number),
                        "answer": answer,
                    }
                    for number, answer in enumerate(message.buttons, 1)
                ],
                "expect": [{"action": one.action, "within_s": one.within_s} for one in message.expect],
            }
            for message in scenario.messages
        ],
        "waves": [wave_body(wave) for wave in scenario.waves],
        "reminders_s": list(scenario.reminder_times_s()),
    }


def wave_body(wave: Wave) -> dict[str, Any]:
    body: dict[str, Any] = {"after_s": wave.after_s, "messages": list(wave.messages)}
    if wave.unless is not None:
        body["unless"] = {
            "answered": wave.unless.answered,
            "of": wave.unless.of,
            "message": wave.unless.message,
        }
    return body


def _new_id(scenario: Scenario, roster: Roster, clock: Clock, count: int) -> str:
    at = clock.now()
    mark = f"{scenario.key}|{roster.sha256}|{count}|{at.isoformat()}"
    number = int.from_bytes(hashlib.sha256(mark.encode()).digest()[:8], "big")
    letters = ""
    for _ in range(5):
        number, index = divmod(number, len(_LETTERS))
        letters += _LETTERS[index]
    return f"{at.astimezone(JST):%Y%m%d-%H%M}-{letters}"


async def _new_code(ledger: Ledger, drill_id: str) -> str:
    planned = await ledger.read(prefix="drill:", kinds=("drill.planned",))
    used = {str(event.body.get("short_code", "")) for event in planned}
    turn = 0
    while (code := wording.short_code(drill_id, turn)) in used and turn < 100:
        turn += 1
    return code


async def write_people(
    ledger: Ledger,
    state: DrillState,
    people: list[Recipient],
    unreachable: list[Unreachable],
    route: Route,
) -> None:
    """Write who is new, or new in what is said of them."""
    room_of = {user: room for room, members in route.rooms.items() for user in members}
    if state.plan.get("route") != "rooms":
        room_of = {}
    stream = f"drill:{state.drill_id}"
    events: list[NewEvent] = []
    for one in people:
        person = one.person
        body: dict[str, Any] = {
            "staff_number": person.staff_number,
            "ward": person.ward,
            "bureau": person.bureau,
            "device_os": person.device_os,
            "hq_role": person.hq_role,
            "waves": list(one.waves),
        }
        if one.user_id in room_of:
            body["room"] = room_of[one.user_id]
        if state.people.get(one.user_id) != body:
            events.append(NewEvent(stream, "drill.recipient", one.user_id, body))
    for hindered in unreachable:
        reason = {"code": hindered.code, "reason": hindered.reason}
        if state.unreachable.get(hindered.staff_number) != reason:
            events.append(NewEvent(stream, "drill.unreachable", hindered.staff_number, reason))
    if events:
        await ledger.append_many(events)
