"""The one place that builds clock, chance, transport, ledger and client, and hands them down.

A notebook or a command opens a workbench, works, and closes it; it holds no business state. With profile
``sandbox`` and no API address the tenant runs inside this process (or in the one that ``bousai lab``
serves), its clock is the kit's clock, and no other host can be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bousai_kit.clock import Clock, VirtualClock
from bousai_kit.errors import ConfigError, GuardError
from bousai_kit.ledger import Ledger
from bousai_kit.settings import Settings, load_settings, read_private_key

if TYPE_CHECKING:
    import httpx

    from bousai_kit.lineworks.client import LineWorksClient
    from bousai_kit.logs.archive import Archive
    from bousai_kit.sandbox import AnySandbox

__all__ = ["SCOPES", "Workbench", "open_workbench"]

SCOPES: tuple[str, ...] = (
    "bot",
    "bot.message",
    "user",
    "orgunit",
    "group",
    "directory",
    "audit.read",
    "monitoring.read",
    "board",
)
"""What the kit's token asks for; a tenant that grants less loses the matching steps, which then say so."""

_REQUIRED = ("client_id", "client_secret", "service_account", "private_key_file", "domain_id", "bot_id")


class Workbench:
    """Everything a trade needs, built once.

    Attributes
    ----------
    settings : Settings
    clock : Clock
        Shared with the sandbox where the tenant runs in this process.
    ledger : Ledger
    sandbox : AnySandbox or None
        The tenant of profile ``sandbox``; None for a real one and for an offline workbench.
    home : Path
        ``BOUSAI_HOME``.
    seed : int
        Seed of the kit's own chance (retry jitter), shown in results.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        ledger: Ledger,
        sandbox: AnySandbox | None,
        seed: int,
        offline: bool,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.ledger = ledger
        self.sandbox = sandbox
        self.home: Path = settings.home
        self.seed = seed
        self._offline = offline
        self._http: httpx.AsyncClient | None = None
        self._client: LineWorksClient | None = None
        self._receiving = 0
        self._opening = asyncio.Lock()
        self._receiver_stack: contextlib.AsyncExitStack | None = None
        self.tracer: Callable[[Any], None] | None = None

    def __repr__(self) -> str:
        return f"<Workbench profile={self.settings.profile!r}>"

    # -- what the tenant is -------------------------------------------------------------------------

    @property
    def in_sandbox(self) -> bool:
        """Nothing that is sent here reaches a person."""
        return self.settings.is_sandbox

    @property
    def domain_id(self) -> int:
        """The tenant's domain."""
        if self.sandbox is not None:
            return self.sandbox.credentials.domain_id
        return int(self._setting("domain_id"))

    @property
    def bot_id(self) -> int:
        """The bot that speaks."""
        if self.sandbox is not None:
            return self.sandbox.credentials.bot_id
        return int(self._setting("bot_id"))

    @property
    def bot_secret(self) -> str:
        """The key of the callback signatures; never shown."""
        if self.sandbox is not None:
            return self.sandbox.credentials.bot_secret
        return str(self._setting("bot_secret").get_secret_value())

    @property
    def log_delay_s(self) -> float:
        """After so many seconds a message that is not in the export counts as absent."""
        return self.settings.log_delay_s

    def _setting(self, name: str) -> Any:
        value = getattr(self.settings, name)
        if value is None or value == "":
            raise ConfigError(
                f"設定 BOUSAI_{name.upper()} がありません（プロファイル「{self.settings.profile}」）。",
                setting=f"BOUSAI_{name.upper()}",
                hint="README の「自分のテナントにつなぐ」の手順で、環境変数か .env に設定してください。",
            )
        return value

    def require_credentials(self) -> None:
        """Name every missing setting of the service account at once.

        Raises
        ------
        ConfigError
        """
        if self.sandbox is not None:
            return
        missing = [f"BOUSAI_{name.upper()}" for name in _REQUIRED if not getattr(self.settings, name)]
        if missing:
            raise ConfigError(
                f"設定が足りません: {'、'.join(missing)}（プロファイル「{self.settings.profile}」）。",
                setting=missing[0],
                hint="README の「自分のテナントにつなぐ」の手順で、環境変数か .env に設定してください。",
            )

    # -- the client ---------------------------------------------------------------------------------

    @property
    def client(self) -> LineWorksClient:
        """The LINE WORKS client, built on first use (settings of the service account are checked then).

        Raises
        ------
        ConfigError
            A setting is missing, or the key cannot be used.
        """
        if self._client is None:
            self._client = self._build_client()
        return self._client

    def client_for(self, *scopes: str) -> LineWorksClient:
        """A client for what the kit itself does not ask for, e.g. ``"security.external-browser"``.

        Its token carries these scopes and no others (the app has to have them in the Developer Console);
        budgets and turns are those of `client`. Use it with ``client.call``, and `aclose` it.
        """
        return self._build_client(scopes=scopes)

    def examining_client(self) -> LineWorksClient:
        """A client for somebody who waits for an answer: it gives up soon, and asks anew what was refused.

        Budgets and token are those of `client`; it is not closed by itself.
        """
        from bousai_kit.lineworks.retry import Patience

        return self._build_client(
            patience=Patience(repeats=1, unsent=1, refusals=2), shared=self.client.shared.anew()
        )

    def examining_http(self) -> httpx.AsyncClient:
        """The HTTP client of `client` without its account, for a look at the road; it stays the bench's.

        Raises
        ------
        ConfigError
            The environment's proxy or certificates cannot be used.
        """
        from bousai_kit.lineworks.client import build_http

        if self._http is None:
            if self.sandbox is None:
                self._http = build_http()
            else:
                self._http = build_http(mounts=self.sandbox.mounts(), real_network=self.sandbox.served)
        return self._http

    def _build_client(self, *, scopes: tuple[str, ...] = SCOPES, **options: Any) -> LineWorksClient:
        from bousai_kit.lineworks.auth import ServiceAccount
        from bousai_kit.lineworks.client import LineWorksClient

        if self._offline:
            raise GuardError("この操作は台帳を読むだけで、LINE WORKS には接続しません。")
        if self.sandbox is not None:
            sandbox, made = self.sandbox, self.sandbox.credentials
            account = ServiceAccount(
                client_id=made.client_id,
                client_secret=made.client_secret,
                service_account=made.service_account,
                private_key=made.private_key_pem,
                scopes=scopes,
            )
            return LineWorksClient(
                self.examining_http(),
                account=account,
                api_url=sandbox.api_url,
                auth_url=sandbox.auth_url,
                domain_id=made.domain_id,
                clock=self.clock,
                random=random.Random(self.seed),  # noqa: S311 - jitter, not a secret
                allowed_hosts=sandbox.hosts(),
                tracer=self._trace,
                real_network=sandbox.served,
                **options,
            )
        self.require_credentials()
        settings = self.settings
        account = ServiceAccount(
            client_id=str(settings.client_id),
            client_secret=self._setting("client_secret").get_secret_value(),
            service_account=str(settings.service_account),
            private_key=read_private_key(settings),
            scopes=scopes,
        )
        return LineWorksClient(
            self.examining_http(),
            account=account,
            api_url=str(settings.api_url),
            auth_url=str(settings.auth_url),
            domain_id=int(self._setting("domain_id")),
            clock=self.clock,
            random=random.Random(self.seed),  # noqa: S311 - jitter, not a secret
            allowed_hosts=settings.download_hosts,
            tracer=self._trace,
            **options,
        )

    def _trace(self, trace: Any) -> None:
        if self.tracer is not None:
            self.tracer(trace)

    # -- archive and logs ---------------------------------------------------------------------------

    @property
    def archive(self) -> Archive:
        """Raw exports of this home."""
        from bousai_kit.logs.archive import Archive

        return Archive(self.home, ledger=self.ledger, clock=self.clock, log_delay_s=self.log_delay_s)

    async def fetch_log(self, service: str, since: datetime, until: datetime) -> bytes:
        """One window of one export, as it came (``message-contents``, or an audit service name)."""
        if service == "message-contents":
            return await self.client.monitoring.download(since=since, until=until)
        return await self.client.audit.download(service=service, since=since, until=until)

    # -- callbacks ----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def receiving(self) -> AsyncIterator[None]:
        """While entered, the bot's callbacks reach the ledger (as ``BOUSAI_RECEIVER`` says).

        Entering again while entered shares the one receiver.
        """
        from bousai_kit.receiving import open_receiving

        self._receiving += 1
        try:
            async with self._opening:  # whoever comes second waits until the first one has opened it
                if self._receiver_stack is None:
                    stack = contextlib.AsyncExitStack()
                    await stack.enter_async_context(open_receiving(self))
                    self._receiver_stack = stack
            yield
        finally:
            self._receiving -= 1
            if self._receiving == 0 and self._receiver_stack is not None:
                stack, self._receiver_stack = self._receiver_stack, None
                await stack.aclose()

    # -- end ----------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Give back everything; safe to call twice."""
        if self._receiver_stack is not None:
            stack, self._receiver_stack = self._receiver_stack, None
            await stack.aclose()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()
        sandbox, self.sandbox = self.sandbox, None
        if sandbox is not None:
            await sandbox.stop()
        await self.ledger.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def open_workbench(
    profile: str | None = None,
    *,
    settings: Settings | None = None,
    seed: int = 1,
    home: Path | None = None,
    offline: bool = False,
) -> Workbench:
    """Open the workbench of a profile.

    Parameters
    ----------
    profile : str, optional
        Name of a profile; default: what the settings say (``sandbox`` without any).
    settings : Settings, optional
        Ready settings; nothing else is read then.
    seed : int
        Seed of the embedded sandbox's people and of retry jitter.
    home : Path, optional
        In place of ``BOUSAI_HOME``.
    offline : bool
        Read and write the ledger only: no sandbox is started, no request can be made.

    Raises
    ------
    ConfigError
        A setting is missing or wrong, or another process runs this home's sandbox.
    LedgerUnavailable
        The ledger cannot be opened.
    """
    if settings is None:
        overrides = {} if profile is None else {"BOUSAI_PROFILE": profile}
        if home is not None:
            overrides["BOUSAI_HOME"] = str(home)
        settings = load_settings(overrides=overrides)
    if settings.is_sandbox and not offline:
        from bousai_kit.sandbox import open_home_sandbox

        sandbox = await open_home_sandbox(settings.home, seed=seed)
        try:
            ledger = await Ledger.open(
                settings.ledger_url, clock=sandbox.clock, domain_id=sandbox.credentials.domain_id
            )
            await _catch_up(sandbox.clock, ledger)
        except BaseException:
            await sandbox.stop()
            raise
        return Workbench(
            settings=settings, clock=sandbox.clock, ledger=ledger, sandbox=sandbox, seed=seed, offline=False
        )
    clock = _offline_clock(settings) if settings.is_sandbox else settings.clock()
    ledger = await Ledger.open(settings.ledger_url, clock=clock, domain_id=settings.domain_id)
    if settings.is_sandbox:
        await _catch_up(clock, ledger)
    return Workbench(settings=settings, clock=clock, ledger=ledger, sandbox=None, seed=seed, offline=offline)


def _offline_clock(settings: Settings) -> Clock:
    """The clock of this home's sandbox without running it: the served one's, else its last reading."""
    from bousai_kit.sandbox.home import peek_clock

    return peek_clock(settings.home)


async def _catch_up(clock: Clock, ledger: Ledger) -> None:
    """No clock of a home runs behind what its ledger already holds."""
    if not isinstance(clock, VirtualClock):
        return
    seq, _ = await ledger.head()
    last = await ledger.read(after=seq - 1)
    if last:
        behind = (last[-1].recorded_at - clock.now()).total_seconds()
        if behind > 0:
            clock.advance(behind)
