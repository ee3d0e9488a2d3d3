"""Audit logs and message contents: a 302 to the storage host, fetched once, one at a time (part 2 §6, §7)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from bousai_kit.sandbox import tickets
from bousai_kit.sandbox.content_parts import LANGUAGES
from bousai_kit.sandbox.log_columns import CONTENTS, SERVICES
from bousai_kit.sandbox.log_export import Window, render
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad
from bousai_kit.sandbox.tenant import parse_time

__all__ = ["OPERATIONS"]

FILTERS = ("include", "exclude", "only")


def _check_caller(call: Call) -> None:
    """A service account, or an administrator who has accepted the pop-up of the console's menu."""
    if call.token is None or call.token.is_service:
        return
    user = call.tenant.table("users").get(call.token.user_id) or {}
    if not user.get("isAdministrator") or not call.choices.log_menu_opened:
        raise ApiFault(*call.choices.log_caller)


def _audit(call: Call) -> Reply:
    service = call.query.get("service", "")
    if not service:
        raise bad("service is required.")
    if service not in SERVICES:
        raise bad("service is invalid.")
    return _answer(call, service)


def _monitoring(call: Call) -> Reply:
    return _answer(call, CONTENTS)


def _answer(call: Call, service: str) -> Reply:
    _check_caller(call)
    since, until = _time(call, "startTime"), _time(call, "endTime")
    if until < since:
        raise bad("endTime must not be before startTime.")
    if until - since > timedelta(days=call.choices.log_span_days):
        raise bad(f"The period must not be longer than {call.choices.log_span_days} days.")
    asked = {
        "service": service,
        "since": since.isoformat(),
        "until": until.isoformat(),
        "asked_at": call.now.isoformat(),
        "language": _one_of(call, "language", LANGUAGES, "en_US"),
        "bots": _one_of(call, "botMessageFilterType", FILTERS, "include"),
        "roger": _one_of(call, "rogerMessageFilterType", FILTERS, "include"),
        "channel": call.query.get("channelId", "") if call.choices.log_channel_filter else "",
        "domain_id": call.domain_id,
    }
    _alone(call)
    url = tickets.give(call, "logs", call.choices.log_ticket_s, api=call.operation.name, asked=asked)
    return Reply(302, None, {"Location": url})


def _time(call: Call, name: str) -> datetime:
    text = call.query.get(name, "")
    if not text:
        raise bad(f"{name} is required.")
    try:
        return parse_time(text)
    except ValueError:
        raise bad(f"{name} must be YYYY-MM-DDThh:mm:ssTZD.") from None


def _one_of(call: Call, name: str, values: tuple[str, ...], default: str) -> str:
    value = call.query.get(name) or default
    if value not in values:
        raise bad(f"{name} is invalid.")
    return value


def _alone(call: Call) -> None:
    """No parallel downloads: an unfetched URL of the same API keeps the next request out for a while."""
    for ticket in call.tenant.table(tickets.TABLE).values():
        if ticket["kind"] != "logs" or ticket["used"] or ticket["api"] != call.operation.name:
            continue
        age = (call.now - datetime.fromisoformat(ticket["asked"]["asked_at"])).total_seconds()
        if 0 <= age < call.choices.log_open_s:
            raise ApiFault(*call.choices.log_parallel)


def _fetch(call: Call) -> Reply:
    ticket = tickets.look(call, "logs")
    if ticket["used"]:
        raise ApiFault(*call.choices.log_spent)
    asked = dict(ticket["asked"])
    for name in ("since", "until", "asked_at"):
        asked[name] = datetime.fromisoformat(asked[name])
    window = Window(**asked)
    raw = render(call.tenant, window, call.choices)
    tickets.spend(call)
    name = f"{window.service}_{window.asked_at:%Y%m%d%H%M%S}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Reply(200, None, headers, raw=raw, content_type="text/csv; charset=UTF-8")


_MOMENT = {"type": "string", "format": "date-time"}
_QUERY: dict[str, Any] = {
    "startTime": {**_MOMENT, "x-required": True},
    "endTime": {**_MOMENT, "x-required": True},
    "language": {"enum": list(LANGUAGES)},
    "botMessageFilterType": {"enum": list(FILTERS)},
    "rogerMessageFilterType": {"enum": list(FILTERS)},
    "domainId": {"type": "integer"},
}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "audit.download",
        "GET",
        "/audits/logs/download",
        ("audit.read", "audit"),
        _audit,
        success=302,
        limit="log",
        query={"service": {"enum": list(SERVICES), "x-required": True}, **_QUERY},
        paragraph="2 §6.1",
    ),
    Operation(
        "monitoring.download",
        "GET",
        "/monitoring/message-contents/download",
        ("monitoring.read",),
        _monitoring,
        success=302,
        limit="log",
        query={**_QUERY, "channelId": {"type": "string"}},
        paragraph="2 §7",
    ),
    Operation(
        "logs.fetch", "GET", "/logs/{ticket}", (), _fetch, host="storage", limit="none", paragraph="2 §6.1"
    ),
)
