"""`Sandbox`: tenant, clock, limits, faults and store put together; in process as httpx transports.

Signals a module may listen to (``LISTENERS``): ``user.created``, ``user.changed``, ``user.suspended``, ``user.unsuspended``,
``user.deleted`` (grace begins), ``user.purged``, ``user.logged_in`` (first login done), ``group.room_opened``,
``group.room_closed``, ``group.changed``, ``group.deleted``, ``orgunit.changed``: payload ``{"id": …}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bousai_kit.clock import Clock
from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.ops import DueHandler, Listener, Operation, Router
from bousai_kit.sandbox.tenant import Tenant

if TYPE_CHECKING:
    import httpx

__all__ = ["MODULES", "Credentials", "Sandbox"]

MODULES = (
    "routes_users",
    "routes_orgunits",
    "routes_groups",
    "routes_directory",
    "routes_bots",
    "routes_messages",
    "routes_channels",
    "routes_callbacks",
    "callbacks_out",
    "routes_attachments",
    "routes_richmenus",
    "routes_logs",
    "routes_boards",
    "routes_forms",
    "routes_security",
    "people",
    "admin",
)


def modules() -> Iterator[ModuleType]:
    """The route modules that are there."""
    for name in MODULES:
        full = f"bousai_kit.sandbox.{name}"
        if importlib.util.find_spec(full) is not None:
            yield importlib.import_module(full)


@dataclass(slots=True)
class Credentials:
    """What a client needs; secrets do not show."""

    client_id: str
    client_secret: str = field(repr=False)
    service_account: str
    private_key_pem: str = field(repr=False)
    domain_id: int
    bot_id: int
    bot_secret: str = field(repr=False)
    line_channel_token: str = field(repr=False)


class Sandbox:
    """One running tenant (skeleton; grows).

    Attributes for route modules: ``tenant``, ``clock``, ``choices``, ``faults``, ``api_url``, ``auth_url``, ``storage_url``,
    ``admin_url``, ``receiver_app`` (the ASGI app that gets callbacks in process, or None: they go to the bot's ``callbackUrl``),
    ``credentials``; methods `signal`, `find`.
    """

    served = False

    def __init__(self, tenant: Tenant, *, clock: Clock, credentials: Credentials, choices: Choices | None = None) -> None:
        self.tenant = tenant
        self.clock = clock
        self.credentials = credentials
        self.choices = choices or Choices()
        self.receiver_app: Any = None
        self.router: dict[str, Router] = {}
        self.due_handlers: dict[str, DueHandler] = {}
        self.listeners: dict[str, list[Listener]] = {}
        for module in modules():
            for operation in getattr(module, "OPERATIONS", ()):
                self.router.setdefault(operation.host, Router()).add(operation)
            self.due_handlers.update(getattr(module, "DUE_HANDLERS", {}))
            for name, listener in getattr(module, "LISTENERS", {}).items():
                self.listeners.setdefault(name, []).append(listener)

    def signal(self, name: str, **payload: Any) -> None:
        """Tell the modules that something happened."""
        for listener in self.listeners.get(name, ()):
            listener(self, payload)
