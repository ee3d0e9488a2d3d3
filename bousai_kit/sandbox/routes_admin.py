"""The admin host: the truth for who judges the kit's numbers, and what a console would do.

No part of the vendor's API. It listens on loopback beside the others and asks for no token.

==============================  ============================================================================
``GET /ready``                  the process that runs this tenant
``GET /truth``                  who received what when, who answered what when, callbacks, new members, rooms
``GET /openapi.json``           the description of all hosts, from the same tables that the routes are made of
``GET /members``                every member: states, device, role, ward, whether a push reaches the phone
``GET, PUT /limits``            plan, shape of the limiter, requests a minute by operation or class
``POST /limits/reset``          forget what was counted
``GET, PUT, POST /faults``      the fault plan, as in the TOML file; POST adds rules to it
``PUT /scopes``                 what the app may ask for (Developer Console); an empty list: everything
``PUT /console``                other switches of a console: ``allowed_ips`` (of callers; ends all tokens),
                                ``key`` (valid, reissued, expired), ``closed`` (operations that answer 403)
``POST /tokens/revoke``         every access token ends, as when IP restriction is switched (part 2 §10)
``POST /reset``                 the tenant begins anew: same seed, members, app and bot; the clock goes on
==============================  ============================================================================
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import InputError
from bousai_kit.sandbox import bot_state, journal, people, rooms
from bousai_kit.sandbox.auth import KEY_STATES, KNOWN_SCOPES, revoke_all
from bousai_kit.sandbox.faults import CALLBACK_KINDS, REQUEST_KINDS, FaultPlan, load_faults
from bousai_kit.sandbox.limits import PLANS, SHAPES, Limits
from bousai_kit.sandbox.openapi import openapi_of
from bousai_kit.sandbox.ops import Call, Operation, Reply, bad
from bousai_kit.sandbox.seed import begin_anew
from bousai_kit.sandbox.tenant import Entity, Tenant

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Sandbox

__all__ = ["OPERATIONS", "truth_of"]

STATES = ("pending", "suspended", "deleted", "awaiting")


def truth_of(sandbox: Sandbox) -> dict[str, Any]:
    """What really happened on a tenant: the ``truth`` of every module, and the sandbox's own.

    See `bousai_kit.sandbox.people.truth` for ``messages``, ``answers`` and ``first_answers``,
    `bousai_kit.sandbox.callbacks_out.truth` for ``callbacks`` and ``posts``. ``created``: members that came
    through the API (``at, user, email, by``), gone ones included; ``rooms``: those that bots are or were in
    (``channel, title, type, bots, members, opened_at``). docs/sandbox.md lists all of it.
    """
    from bousai_kit.sandbox.core import modules

    found: dict[str, Any] = {
        "now": sandbox.clock.now().isoformat(),
        "seed": sandbox.tenant.seed,
        "members": _count(sandbox),
        "created": _created(sandbox.tenant),
        "rooms": _rooms(sandbox.tenant),
        "due": len(sandbox.tenant.table("due")),
        "defects": [f"{type(error).__name__}: {error}" for error in sandbox.defects],
    }
    for module in modules():
        part = getattr(module, "truth", None)
        if part is not None:
            found.update(part(sandbox))
    return found


def _created(tenant: Tenant) -> list[dict[str, str]]:
    users, former = tenant.table("users"), tenant.table("former")
    found = []
    for row in tenant.table("audit").values():
        if (row["service"], row.get("task")) == ("admin", "create"):
            user = users.get(row["target"]) or former.get(row["target"])
            if user is not None:
                one = {"at": row["at"], "user": row["target"], "email": user.get("email", "")}
                found.append({**one, "by": row.get("user", "")})
    return found


def _rooms(tenant: Tenant) -> list[dict[str, Any]]:
    opened: dict[str, str] = {}
    for row in journal.rows(tenant, bot_state.LOG):
        if row[1] == "i" and row[3] == "":
            opened.setdefault(row[4], journal.moment(row[0]).isoformat(timespec="milliseconds"))
    return [
        {
            "channel": key,
            "title": channel.get("title"),
            "type": channel.get("type"),
            "bots": list(channel["bots"]),
            "members": list(rooms.members_in(tenant, channel)),
            "opened_at": opened.get(key),
        }
        for key, channel in tenant.table("channels").items()
    ]


def _state(user: Entity) -> str:
    return next((name for name in STATES if user.get(f"is{name.capitalize()}")), "active")


def _count(sandbox: Sandbox) -> dict[str, int]:
    """Members by state, administrators left out."""
    counts = dict.fromkeys(("active", *STATES), 0)
    for user in sandbox.tenant.table("users").values():
        if not user.get("isAdministrator"):
            counts[_state(user)] += 1
    return counts


def _ready(call: Call) -> Reply:
    return Reply(200, {"ready": True, "pid": os.getpid(), "domainId": call.tenant.domain_id})


def _truth(call: Call) -> Reply:
    return Reply(200, truth_of(call.sandbox))


def _openapi(call: Call) -> Reply:
    return Reply(200, openapi_of(call.sandbox))


def _members(call: Call) -> Reply:
    tenant = call.tenant
    shown = []
    for user_id, user in tenant.table("users").items():
        person = people.profile(tenant, user)
        shown.append(
            {
                "userId": user_id,
                "email": user.get("email"),
                "userExternalKey": user.get("userExternalKey"),
                "administrator": bool(user.get("isAdministrator")),
                "state": _state(user),
                "role": person.role,
                "ward": person.ward,
                "device": person.device,
                "installed": person.installed(tenant.seed),
                "alive": bot_state.alive(user),
            }
        )
    return Reply(200, {"members": shown})


# -- limits and faults ------------------------------------------------------------------------------


def _limits(call: Call) -> Reply:
    return Reply(200, call.sandbox.limits.as_json())


def _set_limits(call: Call) -> Reply:
    """``{"plan"?, "limiter"?, "overrides"?}``; what is not sent stays, what was counted is forgotten."""
    sandbox, fields = call.sandbox, call.json()
    before = sandbox.limits
    plan, shape = fields.get("plan", before.plan), fields.get("limiter", before.shape)
    overrides = fields.get("overrides", before.overrides)
    if not (isinstance(plan, str) and plan in PLANS and isinstance(shape, str) and shape in SHAPES):
        raise bad(f"plan is one of {', '.join(PLANS)}; limiter is one of {', '.join(SHAPES)}.")
    whole = isinstance(overrides, dict) and all(
        isinstance(value, int) and not isinstance(value, bool) and value >= 1 for value in overrides.values()
    )
    if not whole:
        raise bad("overrides must map operations or classes to requests a minute.")
    sandbox.limits = Limits(plan=plan, shape=shape, choices=sandbox.choices, overrides=overrides)
    sandbox.auth.plan = plan
    return _limits(call)


def _reset_limits(call: Call) -> Reply:
    call.sandbox.limits.reset()
    return Reply(204)


def _faults(call: Call) -> Reply:
    box = call.sandbox
    return Reply(200, {"seed": box.faults.seed, "elapsed_s": box.elapsed_s(), "fault": box.faults.as_json()})


def _read_faults(call: Call) -> FaultPlan:
    try:
        return load_faults(call.json())
    except InputError as error:
        raise bad(str(error)) from None


def _set_faults(call: Call) -> Reply:
    """The plan of the body in place of the one so far."""
    call.sandbox.faults = _read_faults(call)
    return _faults(call)


def _add_faults(call: Call) -> Reply:
    """Rules of the body besides those so far."""
    call.sandbox.faults.faults.extend(_read_faults(call).faults)
    return _faults(call)


# -- the console ------------------------------------------------------------------------------------


def _scopes(call: Call) -> Reply:
    """``{"scopes": […]}``."""
    scopes = call.json().get("scopes")
    if not isinstance(scopes, list) or not all(
        isinstance(name, str) and name in KNOWN_SCOPES for name in scopes
    ):
        raise bad("scopes must be a list of scopes.")
    call.tenant.set("app_scopes", scopes)
    return Reply(204)


def _console(call: Call) -> Reply:
    """``{"allowed_ips"?: […], "key"?: …, "closed"?: […]}``; what is not sent stays."""
    fields, tenant, api = call.json(), call.tenant, call.sandbox.routers["api"]
    listed, closed = fields.get("allowed_ips", []), fields.get("closed", [])
    if not isinstance(listed, list) or not all(_is_network(entry) for entry in listed):
        raise bad("allowed_ips must be a list of addresses or networks.")
    if not isinstance(closed, list) or not {*map(str, closed)} <= {one.name for one in api.operations}:
        raise bad("closed must be a list of operations of the API.")
    if fields.get("key", KEY_STATES[0]) not in KEY_STATES:
        raise bad(f"key is one of {', '.join(KEY_STATES)}.")
    for name, key in (("allowed_ips", "allowed_ips"), ("closed", "closed"), ("key", "key_state")):
        if name in fields:
            tenant.set(key, fields[name])
    if "allowed_ips" in fields:
        revoke_all(tenant)  # part 2 §10
    return Reply(204)


def _is_network(entry: Any) -> bool:
    try:
        ipaddress.ip_network(str(entry), strict=False)
    except ValueError:
        return False
    return True


def _revoke(call: Call) -> Reply:
    return Reply(200, {"ended": revoke_all(call.tenant)})


def _reset(call: Call) -> Reply:
    sandbox = call.sandbox
    begin_anew(sandbox.tenant, call.now)
    sandbox.limits.reset()
    sandbox.defects.clear()
    return Reply(204)


_LIMITS_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "plan": {"enum": list(PLANS)},
        "limiter": {"enum": list(SHAPES)},
        "overrides": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
    },
}
_FAULTS_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "seed": {"type": "integer"},
        "fault": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["kind"],
                "properties": {"kind": {"enum": [*REQUEST_KINDS, *CALLBACK_KINDS]}, "on": {"type": "string"}},
            },
        },
    },
}
_CONSOLE_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "allowed_ips": {"type": "array", "items": {"type": "string"}},
        "key": {"enum": list(KEY_STATES)},
        "closed": {"type": "array", "items": {"type": "string"}},
    },
}
_SCOPES_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["scopes"],
    "properties": {"scopes": {"type": "array", "items": {"enum": sorted(KNOWN_SCOPES)}}},
}


def _op(
    name: str, method: str, path: str, handler: Any, success: int = 200, body: dict[str, Any] | None = None
) -> Operation:
    return Operation(
        f"admin.{name}", method, path, (), handler, success=success, host="admin", limit="none", body=body
    )


OPERATIONS: tuple[Operation, ...] = (
    _op("ready", "GET", "/ready", _ready),
    _op("truth", "GET", "/truth", _truth),
    _op("openapi", "GET", "/openapi.json", _openapi),
    _op("members", "GET", "/members", _members),
    _op("limits.get", "GET", "/limits", _limits),
    _op("limits.set", "PUT", "/limits", _set_limits, body=_LIMITS_BODY),
    _op("limits.reset", "POST", "/limits/reset", _reset_limits, 204),
    _op("faults.get", "GET", "/faults", _faults),
    _op("faults.set", "PUT", "/faults", _set_faults, body=_FAULTS_BODY),
    _op("faults.add", "POST", "/faults", _add_faults, body=_FAULTS_BODY),
    _op("scopes", "PUT", "/scopes", _scopes, 204, body=_SCOPES_BODY),
    _op("console", "PUT", "/console", _console, 204, body=_CONSOLE_BODY),
    _op("revoke", "POST", "/tokens/revoke", _revoke),
    _op("reset", "POST", "/reset", _reset, 204),
)
