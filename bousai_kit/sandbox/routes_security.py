"""The switch for external browsers (part 2 §10): in force on phones after minutes, in answers by choice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from bousai_kit.sandbox import schemas
from bousai_kit.sandbox.directory_rules import managed, noted
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


def _used(call: Call, domain: int) -> bool:
    state = call.tenant.get(f"external_browser:{domain}")
    if not isinstance(state, dict):  # never switched, or kept by an older version
        return bool(state)
    delay = timedelta(seconds=call.choices.external_browser_shows_s)
    waiting = call.now < datetime.fromisoformat(state["at"]) + delay
    return bool(state["before"] if waiting else state["on"])


def _switch(call: Call) -> Reply:
    managed(call)
    value = call.json().get("domainId")
    if value is None:
        raise bad("domainId is required.")
    domain = _known(call, value)
    on = call.operation.path.endswith("/enable")
    state = {"on": on, "before": _used(call, domain), "at": call.now.isoformat()}
    call.tenant.set(f"external_browser:{domain}", state)
    noted(call, "update", "external-browser")
    return Reply(204)


def _get(call: Call) -> Reply:
    text = call.query.get("domainId", "")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise bad("domainId must be an integer.")
    domain = _known(call, int(text) if text else call.tenant.domain_id)
    return Reply(200, {"domainId": domain, "useExternalBrowser": _used(call, domain)})


_BODY = schemas.body({"domainId": schemas.DOMAIN}, "domainId")

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
        query={"domainId": schemas.DOMAIN},
        paragraph="2 §10",
    ),
)
