"""`Sandbox`: tenant, clock, limits, faults and store put together; in process as httpx transports.

Signals a module may listen to (``LISTENERS``): ``user.created``, ``user.changed``, ``user.suspended``,
``user.unsuspended``, ``user.deleted`` (grace begins), ``user.purged``, ``user.logged_in`` (first login done),
``group.room_opened``, ``group.room_closed``, ``group.changed``, ``group.deleted``, ``orgunit.changed``:
payload ``{"id": …}``.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from bousai_kit.clock import Clock
from bousai_kit.sandbox.asgi import HostApp, InProcessTransport
from bousai_kit.sandbox.auth import AuthHost
from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.faults import FaultPlan
from bousai_kit.sandbox.gate import Gate
from bousai_kit.sandbox.limits import Limits
from bousai_kit.sandbox.ops import DueHandler, Listener, Router
from bousai_kit.sandbox.store import Store
from bousai_kit.sandbox.tenant import Tenant

__all__ = ["MODULES", "RECEIVER_URL", "Credentials", "Sandbox", "modules"]

LOOK_S = 1.0
RECEIVER_URL = "https://receiver.sandbox.invalid/callback"

MODULES = (
    "directory_state",
    "departures",
    "logins",
    "routes_users",
    "routes_user_actions",
    "routes_user_extras",
    "routes_orgunits",
    "routes_groups",
    "routes_catalogues",
    "routes_custom_properties",
    "routes_access",
    "routes_bots",
    "routes_messages",
    "routes_channels",
    "routes_staff",
    "callbacks_out",
    "routes_attachments",
    "routes_richmenus",
    "routes_logs",
    "routes_boards",
    "routes_forms",
    "routes_security",
    "people",
    "routes_admin",
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
    """One running tenant.

    Parameters
    ----------
    tenant : Tenant
        Already founded, or loaded from `store`.
    clock : Clock
    credentials : Credentials
    choices : Choices, optional
    plan : str
        ``free``, ``standard`` or ``advanced``.
    limiter : str
        ``fixed``, ``sliding`` or ``bucket``.
    faults : FaultPlan, optional
    store : Store, optional
        Without one the tenant is gone when the sandbox stops.
    latency_s : float
        How long each request takes, in seconds of the clock.

    Attributes
    ----------
    api_url, auth_url, storage_url, admin_url, line_url : str
        Bases; names that no resolver knows while the sandbox is in process.
    receiver_app : ASGI app or None
        Gets the callbacks in process; None: they are posted to the bot's ``callbackUrl``.
    defects : list of Exception
        What went wrong inside the sandbox itself (answered with 500); empty in a healthy one.
    """

    served = False

    def __init__(
        self,
        tenant: Tenant,
        *,
        clock: Clock,
        credentials: Credentials,
        choices: Choices | None = None,
        plan: str = "standard",
        limiter: str = "fixed",
        faults: FaultPlan | None = None,
        store: Store | None = None,
        latency_s: float = 0.0,
    ) -> None:
        self.tenant = tenant
        self.clock = clock
        self.credentials = credentials
        self.choices = choices or Choices()
        self.limits = Limits(plan=plan, shape=limiter, choices=self.choices)
        self.faults = faults or FaultPlan()
        self.store = store
        self.latency_s = latency_s
        self.api_url = "http://api.sandbox.invalid/v1.0"
        self.auth_url = "http://auth.sandbox.invalid/oauth2/v2.0"
        self.storage_url = "http://storage.sandbox.invalid"
        self.admin_url = "http://admin.sandbox.invalid"
        self.line_url = "http://line.sandbox.invalid"
        self.receiver_app: Any = None
        self.running: set[asyncio.Future[Any]] = set()
        self.defects: list[Exception] = []
        self.started_at = clock.now()
        self.auth = AuthHost(
            tenant,
            public_key=_public_key(credentials.private_key_pem),
            client_id=credentials.client_id,
            client_secret=credentials.client_secret,
            service_account=credentials.service_account,
            choices=self.choices,
            plan=plan,
        )
        self.routers: dict[str, Router] = {}
        self.due_handlers: dict[str, DueHandler] = {}
        self.listeners: dict[str, list[Listener]] = {}
        for module in modules():
            for operation in getattr(module, "OPERATIONS", ()):
                self.routers.setdefault(operation.host, Router()).add(operation)
            self.due_handlers.update(getattr(module, "DUE_HANDLERS", {}))
            for name, listener in getattr(module, "LISTENERS", {}).items():
                self.listeners.setdefault(name, []).append(listener)
        self.gate = Gate(self)
        self._driver: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._url_before: tuple[Any, Any] | None = None
        tenant.scheduled = lambda: self._wake.set()

    def __repr__(self) -> str:
        return f"<Sandbox domain={self.tenant.domain_id} at {self.clock.now().isoformat()}>"

    # -- for the modules ----------------------------------------------------------------------------

    def signal(self, name: str, **payload: Any) -> None:
        """Tell the modules that something happened (names in the module docstring)."""
        for listener in self.listeners.get(name, ()):
            listener(self, payload)

    def elapsed_s(self) -> float:
        """Seconds of the clock since the sandbox was made; fault rules count from there."""
        return (self.clock.now() - self.started_at).total_seconds()

    def jitter_s(self) -> float:
        """How much too early a call may come under "one a second": the road is not even."""
        return 0.1 if math.isinf(self.clock.speed) else min(0.5, 0.1 + 0.005 * self.clock.speed)

    def save(self) -> None:
        """Store what has changed, before it is answered."""
        if self.store is not None:
            self.store.save(self.tenant, self.clock.now())
        else:
            self.tenant.dirty.clear()

    def save_or_note(self) -> None:
        """As `save`, where nobody waits: what cannot be written now goes with the next change."""
        try:
            self.save()
        except Exception as error:  # a full disk must not stop all that is due
            self.defects.append(error)

    # -- in process ---------------------------------------------------------------------------------

    def mounts(self) -> dict[str, httpx.AsyncBaseTransport]:
        """Transports for an `httpx.AsyncClient`, by host."""
        hosts = ("api", "auth", "storage", "admin")
        return {f"all://{host}.sandbox.invalid": InProcessTransport(HostApp(self, host)) for host in hosts}

    def hosts(self) -> tuple[str, ...]:
        """Hosts to which a client may carry its token."""
        urls = (self.api_url, self.auth_url, self.storage_url)
        return tuple(dict.fromkeys(str(httpx.URL(url).host) for url in urls))

    def connect_receiver(self, app: Any) -> str:
        """Let callbacks go to this ASGI app (None: back to the URL from before).

        Returns the callback URL that now stands on the bot.
        """
        bot = self.tenant.table("bots").get(str(self.tenant.bot_id))
        self.receiver_app = app
        if bot is None:
            return ""
        if app is not None:
            if self._url_before is None:
                self._url_before = (bot.get("callbackUrl"), bot.get("enableCallback"))
            bot["callbackUrl"], bot["enableCallback"] = RECEIVER_URL, True
        elif self._url_before is not None:
            bot["callbackUrl"], bot["enableCallback"] = self._url_before
            self._url_before = None
        self.tenant.touch("bots", str(self.tenant.bot_id))
        self.save()
        return str(bot.get("callbackUrl") or "")

    # -- what is due --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to let due events happen."""
        if self._driver is None or self._driver.done():
            self._wake = asyncio.Event()
            self._driver = asyncio.create_task(self._drive(), name="sandbox events")

    async def stop(self) -> None:
        """End the driver and store the state; safe to call twice."""
        tasks = [task for task in (self._driver, *self.running) if task is not None]
        self._driver = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        store, self.store = self.store, None
        if store is not None:
            try:
                store.save(self.tenant, self.clock.now())
            finally:
                store.close()

    async def run_due(self) -> int:
        """Let everything happen whose time has come; returns how many."""
        count = 0
        while (due := self.tenant.first_due(self.clock.now())) is not None:
            self.tenant.cancel(due.key)
            handler = self.due_handlers.get(due.kind)
            try:
                if handler is not None:
                    await handler(self, due.payload)
            except Exception as error:  # one bad event must not stop all others
                self.defects.append(error)
            self.save_or_note()  # removal and effect at once: a kill in between lets it happen again
            count += 1
            if count % 64 == 0:
                await asyncio.sleep(0)
        return count

    async def _drive(self) -> None:
        while True:
            self._wake.clear()
            await self.run_due()
            if self._wake.is_set():
                continue
            moment = self.tenant.next_due()
            if moment is None:
                await self._wake.wait()
                continue
            pause = (moment - self.clock.now()).total_seconds()
            if not math.isinf(self.clock.speed):  # a laptop that slept: the wall went on, the loop did not
                pause = min(pause, LOOK_S * self.clock.speed)
            sleeper = asyncio.ensure_future(self.clock.sleep_in_background(pause))
            waker = asyncio.ensure_future(self._wake.wait())
            try:
                await asyncio.wait((sleeper, waker), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sleeper, waker):
                    task.cancel()
                await asyncio.gather(sleeper, waker, return_exceptions=True)


def _public_key(pem: str) -> RSAPublicKey:
    key = serialization.load_pem_private_key(
        pem.encode(), password=None, unsafe_skip_rsa_key_validation=True
    )  # our own key: the check would take 40 ms at every start
    assert isinstance(key, RSAPrivateKey)
    return key.public_key()
