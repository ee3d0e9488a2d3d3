"""The switch for external browsers (part 2 §10); in force on phones after minutes, in answers at once."""

from __future__ import annotations

from typing import Any

from bousai_kit.sandbox.ops import Call, Operation, Reply, bad, missing

__all__ = ["OPERATIONS"]

SCOPE = "security.external-browser"
PATH = "/security/external-browser"


def _known(call: Call, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad("domainId must be an integer.")
    if value not in call.tenant.domains:
        raise missing("Domain not found.")
    return value


def _switch(call: Call) -> Reply:
    value = call.json().get("domainId")
    if value is None:
        raise bad("domainId is required.")
    domain = _known(call, value)
    on = call.operation.path.endswith("/enable")
    call.tenant.set(f"external_browser:{domain}", on)
    call.tenant.audit("admin", call.now, task="update", target="external-browser", ok=True)
    return Reply(204)


def _get(call: Call) -> Reply:
    text = call.query.get("domainId", "")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise bad("domainId must be an integer.")
    domain = _known(call, int(text) if text else call.tenant.domain_id)
    used = bool(call.tenant.get(f"external_browser:{domain}", False))
    return Reply(200, {"domainId": domain, "useExternalBrowser": used})


_BODY = {"type": "object", "required": ["domainId"], "properties": {"domainId": {"type": "integer"}}}

OPERATIONS: tuple[Operation, ...] = (
    *(
        Operation(
            f"security.external_browser.{name}",
            "POST",
            f"{PATH}/{name}",
            (SCOPE,),
            _switch,
            success=204,
            body=_BODY,
            paragraph="2 §10",
        )
        for name in ("enable", "disable")
    ),
    Operation(
        "security.external_browser.get",
        "GET",
        PATH,
        (SCOPE, f"{SCOPE}.read"),
        _get,
        query={"domainId": {"type": "integer"}},
        paragraph="2 §10",
    ),
)
