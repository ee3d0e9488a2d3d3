"""Simulated staff at work: they log in, get the bot's messages, tap, type, leave (part 2 §12.11).

Everything they will do is due in the tenant and stored, so a killed process's successor goes on with it.
The admin host can make one of them act at once (``/staff/…``), for tests and demonstrations.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bousai_kit.sandbox import bot_state, journal, people_model, rooms
from bousai_kit.sandbox.callbacks_out import emit
from bousai_kit.sandbox.content_parts import Tap
from bousai_kit.sandbox.contents import Content
from bousai_kit.sandbox.ops import DueHandler
from bousai_kit.sandbox.people_model import Profile
from bousai_kit.sandbox.tenant import Entity, Tenant

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Sandbox

__all__ = [
    "DUE_HANDLERS",
    "FIRST_LOGIN",
    "LISTENERS",
    "answer",
    "first_login_now",
    "learn",
    "profile",
    "receive",
    "rings",
    "truth",
]

ORDERS = ("避難", "開設", "参集")
FIRST_LOGIN = "people.first_login"


# -- who they are -----------------------------------------------------------------------------------


def _hint(person: Any) -> dict[str, str]:
    """What the tenant keeps of a person of a roster."""
    return {"d": person.device_os, "r": person.hq_role, "w": person.ward, "p": person.position}


def learn(tenant: Tenant, people: Sequence[Any]) -> None:
    """Tell the tenant about people of a roster: device, role in the headquarters, ward, position."""
    for person in people:
        tenant.put("people", person.staff_number, _hint(person))
    tenant.caches.pop("people:profiles", None)


def profile(tenant: Tenant, user: Entity) -> Profile:
    """What is known of a member: from the roster, else from the member's units and position."""
    cache: dict[str, Profile] = tenant.caches.setdefault("people:profiles", {})
    found = cache.get(user["userId"])
    if found is None:
        found = cache[user["userId"]] = _profile(tenant, user)
    return found


def _profile(tenant: Tenant, user: Entity) -> Profile:
    key = bot_state.staff_key(user)
    hint = tenant.table("people").get(key) or _sample_hints().get(key)
    units: list[str] = []
    position = ""
    for company in user.get("organizations") or ():
        for unit in company.get("orgUnits") or ():
            found = tenant.table("orgunits").get(unit.get("orgUnitId") or "")
            units.append((found or unit).get("orgUnitName") or "")
            held = tenant.table("positions").get(unit.get("positionId") or "")
            position = position or (held or unit).get("positionName") or ""
    if hint is None:
        device = people_model.device_by_chance(tenant.seed, key)
        return Profile(key, people_model.role_of(position, units), people_model.ward_of(units), device)
    device = hint["d"] if hint["d"] in ("iOS", "Android") else ""
    role = people_model.role_of(position or hint.get("p", ""), units, hint["r"])
    return Profile(key, role, hint["w"] or people_model.ward_of(units), device)


@functools.lru_cache(maxsize=1)
def _sample_hints() -> Mapping[str, dict[str, str]]:
    """Devices and roles of the sample roster, whose people the sandbox knows without being told."""
    from bousai_kit.roster.sample import sample_people

    return {person.staff_number: _hint(person) for person in sample_people(200)}


def rings(tenant: Tenant, user: Entity) -> bool:
    """Whether a push reaches the member's phone: in use, with the app."""
    return bot_state.alive(user) and profile(tenant, user).installed(tenant.seed)


# -- messages ---------------------------------------------------------------------------------------


def receive(
    sandbox: Sandbox,
    bot_id: str,
    user: Entity,
    content: Content,
    *,
    key: str,
    channel: str,
    room: bool,
    push: bool,
    at: datetime,
) -> None:
    """A message of the bot has come to a member; what they will do about it is put on the list.

    Parameters
    ----------
    key : str
        Names the message: text and how often this room has had it.
    channel : str
        1:1 room, or the room when `room`.
    push : bool
        Whether phones ring in this room at all.
    """
    tenant, choices = sandbox.tenant, sandbox.choices
    if not choices.people_answer or not rings(tenant, user):
        return
    person, seed = profile(tenant, user), tenant.seed
    if content.taps:
        order = person.role == "head" and any(word in content.shown for word in ORDERS)
        weights = button_weights(len(content.taps))
        reactions = people_model.react_to_buttons(seed, person, key, weights, push=push, order=order)
    elif content.type == "text" and "text" in tenant.table("bots")[bot_id].get("callbackEvents", ()):
        rate = choices.people_say_rate * (0.1 if room else 1.0)
        reactions = people_model.react_to_text(seed, person, key, rate, push=push)
    else:
        reactions = []
    base = {"b": bot_id, "u": user["userId"], "c": channel, "r": room, "k": key}
    for reaction in reactions:
        tap = content.taps[reaction.button] if reaction.button >= 0 else Tap(reaction.text)
        due = at + timedelta(seconds=reaction.after_s)
        said = {"x": tap.text, "p": tap.postback, "d": tap.data, "t": journal.ms(due)}
        tenant.schedule(due, "people.answer", {**base, **said})
    if room and choices.people_leave_rate > 0:
        after = people_model.leaves_after_s(seed, person, key, choices.people_leave_rate)
        if after is not None:
            leaving = {"u": user["userId"], "c": channel}
            tenant.schedule(at + timedelta(seconds=after), "people.leave", leaving)


def button_weights(count: int) -> list[float]:
    """The first button is tapped most, each later one less."""
    return [0.86] + [0.14 * 0.6**number for number in range(count - 1)]


async def _answer(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    user = sandbox.tenant.table("users").get(payload["u"])
    if user is None or not bot_state.alive(user):
        return
    answer(
        sandbox,
        payload["b"],
        user,
        Tap(payload["x"], payload["p"], payload["d"]),
        at=journal.moment(payload["t"]),
        channel=payload["c"] if payload["r"] else "",
        key=payload["k"],
    )


def answer(
    sandbox: Sandbox,
    bot_id: str,
    user: Entity,
    tap: Tap,
    *,
    at: datetime,
    channel: str = "",
    key: str = "",
    content: dict[str, Any] | None = None,
) -> bool:
    """A member taps or types; log row and callback follow.

    Parameters
    ----------
    channel : str
        The room; "": the 1:1 room.
    key : str
        The message that is answered, "" if none.
    content : dict, optional
        Another content than text, as the callback carries it.

    Returns
    -------
    bool
        False: the room is gone, or the bot or the member is not in it.
    """
    tenant, user_id = sandbox.tenant, user["userId"]
    if bot_id not in tenant.table("bots"):
        return False
    if channel:
        found = tenant.table("channels").get(channel)
        if found is None or bot_id not in found["bots"] or user_id not in rooms.members_in(tenant, found):
            return False
    talk = channel or rooms.open_talk(sandbox, bot_id, user, at)[0]
    if tap.data is not None:
        bot_state.note(tenant, at, "p", bot_id, user_id, talk, "", key, tap.data, bool(channel))
        shown = channel or (talk if sandbox.choices.postback_has_channel_in_1to1 else "")
        emit(sandbox, bot_id, "postback", at, user=user_id, channel=shown, data=tap.data)
        return True
    said = content or {"type": "text", "text": tap.text}
    if tap.postback is not None:
        said["postback"] = tap.postback
    text = bot_state.note_text(tenant, str(said["type"]), tap.text)
    bot_state.note(tenant, at, "t", bot_id, user_id, talk, text, key, tap.postback, bool(channel))
    emit(sandbox, bot_id, "message", at, user=user_id, channel=channel, content=said)
    return True


async def _leave(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    rooms.member_leaves(sandbox, payload["c"], payload["u"], sandbox.clock.now())


# -- first login ------------------------------------------------------------------------------------


def _created(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    tenant = sandbox.tenant
    user = tenant.table("users").get(payload["id"])
    if user is None or not user.get("isPending") or not sandbox.choices.people_log_in:
        return
    by_mail = bool(payload.get("by_mail"))
    after = people_model.first_login_s(tenant.seed, profile(tenant, user), by_mail=by_mail)
    if after is not None:
        due = sandbox.clock.now() + timedelta(seconds=after)
        tenant.schedule(due, FIRST_LOGIN, {"u": payload["id"]})


async def _first_login(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    from bousai_kit.sandbox.directory_state import first_login

    first_login(sandbox, payload["u"])


async def first_login_now(sandbox: Sandbox, key: str) -> None:
    """Bring a first login forward that is due later (`key` of the table ``due``)."""
    entry = sandbox.tenant.table("due").get(key)
    if entry is not None and entry["kind"] == FIRST_LOGIN:
        sandbox.tenant.cancel(key)
        await _first_login(sandbox, entry["payload"])


def _changed(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    cache = sandbox.tenant.caches.get("people:profiles")
    if cache is not None:
        cache.pop(payload["id"], None)


# -- the truth --------------------------------------------------------------------------------------


def truth(sandbox: Sandbox) -> dict[str, Any]:
    """Who received what when, and who answered what when; for tests that judge the kit's numbers.

    ``messages``: ``key, bot, user`` ("" for a room), ``channel, accepted_at, push, type, text``, ``content``
    (as it was sent) and, for rooms, ``members`` (of large ones their number); ``answers``:
    ``key, bot, user, channel, room, issued_at, text, postback, data``;
    ``first_answers``: by message key and user, the moment of the first answer and the text (or data) of
    the last one.
    """
    tenant = sandbox.tenant
    texts, contents = tenant.table("texts"), tenant.table("contents")
    messages: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    first: dict[str, dict[str, dict[str, Any]]] = {}
    for row in journal.rows(tenant, bot_state.LOG):
        at, kind, bot_id, user_id, channel = row[:5]
        moment = journal.moment(at).isoformat(timespec="milliseconds")
        if kind in ("b", "r"):
            text = texts.get(row[5], {})
            entry = {"key": row[6], "bot": bot_id, "user": user_id, "channel": channel, "accepted_at": moment}
            entry |= {"push": bool(row[7]), "type": text.get("t", ""), "text": text.get("x", "")}
            whole = contents.get(row[-1]) if len(row) > 8 and isinstance(row[-1], str) else None
            plain = {"type": text.get("t", ""), "text": text.get("x", "")}
            entry["content"] = plain if whole is None else whole["c"]
            messages.append({**entry, "members": row[8]} if kind == "r" else entry)
        elif kind in ("t", "p"):
            said = bot_state.text_of(tenant, row[5]) if kind == "t" else ""
            entry = {"key": row[6], "bot": bot_id, "user": user_id, "channel": channel, "room": row[8]}
            entry |= {"issued_at": moment, "text": said}
            entry |= {"postback": row[7] if kind == "t" else None, "data": row[7] if kind == "p" else None}
            answers.append(entry)
            if row[6]:
                found = first.setdefault(row[6], {}).setdefault(user_id, {"first_at": moment})
                found["first_at"] = min(found["first_at"], moment)
                found["last_answer"] = said if kind == "t" else row[7]
    return {"messages": messages, "answers": answers, "first_answers": first}


DUE_HANDLERS: dict[str, DueHandler] = {
    "people.answer": _answer,
    "people.leave": _leave,
    FIRST_LOGIN: _first_login,
}
LISTENERS = {"user.created": _created, "user.changed": _changed}
