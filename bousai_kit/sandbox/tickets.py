"""One-off URLs on the storage host: uploads and downloads, with an end (part 2 §1.6, §6.1)."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from bousai_kit.sandbox.ops import Call, missing
from bousai_kit.sandbox.tenant import Entity, Tenant

__all__ = ["give", "look", "spend"]

TABLE = "tickets"


def give(call: Call, kind: str, life_s: float, **what: Any) -> str:
    """The URL of a new ticket.

    Parameters
    ----------
    kind : str
        Path on the storage host: ``uploads``, ``files`` or ``logs``.
    """
    _sweep(call.tenant, call.now)
    key = secrets.token_urlsafe(24)
    expires = (call.now + timedelta(seconds=life_s)).isoformat()
    call.tenant.put(TABLE, key, {"kind": kind, "expires": expires, "used": False, **what})
    return f"{call.sandbox.storage_url}/{kind}/{key}"


def _sweep(tenant: Tenant, now: datetime) -> None:
    old = (now - timedelta(days=1)).isoformat()
    for key in [key for key, ticket in tenant.table(TABLE).items() if ticket["expires"] < old]:
        tenant.delete(TABLE, key)


def look(call: Call, kind: str) -> Entity:
    """The ticket of the path's ``ticket``.

    Raises
    ------
    ApiFault
        404: unknown, or its time is over.
    """
    ticket = call.tenant.table(TABLE).get(call.path["ticket"])
    if ticket is None or ticket["kind"] != kind or datetime.fromisoformat(ticket["expires"]) <= call.now:
        raise missing("The URL is unknown or has expired.")
    return ticket


def spend(call: Call) -> None:
    """Mark the path's ticket as used."""
    call.tenant.table(TABLE)[call.path["ticket"]]["used"] = True
    call.tenant.touch(TABLE, call.path["ticket"])
