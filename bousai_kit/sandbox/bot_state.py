"""Bots, talks and rooms as state: who may speak to whom, and what is noted of it.

Tables: ``bots``, ``bot_secrets``, ``bot_domains`` (``bot/domain``), ``talks`` (1:1 rooms by channel id),
``channels`` (other rooms), ``texts`` (what was said, once), ``contents`` (the whole of it, once, where it is
more than a text), ``talk_log`` (a `journal`), ``former`` (names of members that are gone).

Rows of ``talk_log``: ``[ms, kind, bot, user, channel, text, …]`` with kind

====  =====================================================================================
b     the bot to one member: …, key, push, content
r     the bot to a room: …, key, push, members, content
t     a member's button or typed text: …, key of the message answered or "", postback or null, in a room
p     a member's postback action: …, key, data, in a room (not in any export)
i, o  entered, left (user "": the bot)
====  =====================================================================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bousai_kit.sandbox import journal
from bousai_kit.sandbox.ops import ApiFault, Call, missing
from bousai_kit.sandbox.tenant import Entity, Tenant

if TYPE_CHECKING:
    from bousai_kit.sandbox.choices import Choices

__all__ = [
    "LOG",
    "administrator",
    "alive",
    "bot_of",
    "bot_secret",
    "check_may_use",
    "find_member",
    "full_name",
    "may_use",
    "member_of",
    "note",
    "note_content",
    "note_text",
    "person_cell",
    "remember",
    "staff_key",
    "talk_id",
    "text_of",
]

LOG = "talk_log"


def bot_of(call: Call) -> tuple[str, Entity]:
    """The bot of the path, as (key, bot).

    Raises
    ------
    ApiFault
        404: unknown, or not a number.
    """
    key = call.path["botId"]
    bot = call.tenant.table("bots").get(key)
    if bot is None:
        raise missing("Bot not found.")
    return key, bot


def bot_secret(tenant: Tenant, bot_id: int | str) -> str:
    """The key of a bot's callback signatures; never part of the bot object."""
    return str(tenant.table("bot_secrets")[str(bot_id)]["secret"])


def find_member(tenant: Tenant, reference: str) -> Entity | None:
    """A member by ``userId`` or login id; external keys are not taken here (part 1 §2.2)."""
    found = tenant.table("users").get(reference)
    if found is None and "@" in reference and not reference.startswith("externalKey:"):
        from bousai_kit.sandbox.directory_state import find_user

        found = find_user(tenant, reference)
    return None if found is None or found.get("isDeleted") else found


def member_of(call: Call, reference: str) -> Entity:
    """As `find_member`, else 404."""
    found = find_member(call.tenant, reference)
    if found is None:
        raise missing("User not found.")
    return found


def alive(user: Entity | None) -> bool:
    """In use: has logged in, is not suspended, not deleted, not before the first day."""
    return user is not None and not any(
        user.get(flag) for flag in ("isPending", "isSuspended", "isDeleted", "isAwaiting")
    )


def administrator(tenant: Tenant) -> str:
    """Id of an administrator, "" if there is none."""
    for key, user in tenant.table("users").items():
        if user.get("isAdministrator"):
            return key
    return next(iter(tenant.table("users")), "")


def may_use(tenant: Tenant, bot_id: str, user: Entity) -> bool:
    """Whether the bot is registered to the member's domain and open to the member (part 2 §1.3)."""
    entry = tenant.table("bot_domains").get(f"{bot_id}/{user.get('domainId', tenant.domain_id)}")
    if entry is None:
        return False
    return not entry["allowToSelectedMember"] or user["userId"] in entry["members"]


def check_may_use(tenant: Tenant, bot_id: str, user: Entity, choices: Choices) -> None:
    """403 when the bot is not there for the member."""
    if not may_use(tenant, bot_id, user):
        raise ApiFault(*choices.bot_not_allowed)


# -- names ------------------------------------------------------------------------------------------


def full_name(user: Entity) -> str:
    """As the Japanese app shows it."""
    name = user.get("userName") or {}
    return " ".join(part for part in (name.get("lastName"), name.get("firstName")) if part)


def person_cell(tenant: Tenant, user_id: str, choices: Choices) -> str:
    """``表示名 (login@domain)``, the form of person cells in exports; members that are gone included."""
    user = tenant.table("users").get(user_id)
    if user is not None:
        name, login = full_name(user), str(user.get("email", ""))
    else:
        gone = tenant.table("former").get(user_id, {})
        name, login = gone.get("name", ""), gone.get("email", "")
    blank = " " if choices.log_person_blank and name else ""
    return f"{name}{blank}({login})"


def remember(tenant: Tenant, user_id: str) -> None:
    """Keep the name of a member who is about to go: the logs still show it."""
    user = tenant.table("users").get(user_id)
    if user is not None:
        tenant.put("former", user_id, {"name": full_name(user), "email": user.get("email", "")})


def staff_key(user: Entity) -> str:
    """What chance about a person is drawn from: equal on every tenant with the same roster."""
    return str(
        user.get("employeeNumber") or user.get("userExternalKey") or user.get("email") or user["userId"]
    )


# -- what was said ----------------------------------------------------------------------------------


def note_text(tenant: Tenant, kind: str, shown: str) -> str:
    """Keep a text once; its id. Drill codes in buttons are not part of it."""
    key = hashlib.sha256(f"{kind}|{shown}".encode("utf-8", "replace")).hexdigest()[:16]
    if key not in tenant.table("texts"):
        tenant.put("texts", key, {"t": kind, "x": shown})
    return key


def note_content(tenant: Tenant, content: Mapping[str, Any]) -> str:
    """Keep the whole of a message once; its id, "" when it is a text and no more."""
    if set(content) == {"type", "text"}:
        return ""
    whole = json.dumps(content, ensure_ascii=False, sort_keys=True)
    key = hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:16]
    if key not in tenant.table("contents"):
        tenant.put("contents", key, {"c": content})
    return key


def text_of(tenant: Tenant, key: str) -> str:
    """A kept text."""
    return str(tenant.table("texts").get(key, {}).get("x", ""))


def note(tenant: Tenant, at: datetime, kind: str, bot: str, user: str, channel: str, *rest: Any) -> None:
    """Add a row to the talk log."""
    journal.append(tenant, LOG, [journal.ms(at), kind, bot, user, channel, *rest])


def talk_id(tenant: Tenant, bot: str, user_id: str) -> str:
    """Channel id of the 1:1 room of a bot and a member."""
    return tenant.new_id("talk", f"{bot}|{user_id}")
