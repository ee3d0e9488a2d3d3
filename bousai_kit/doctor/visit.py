"""One visit: the checks in their order, and which of them cannot be made without which."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from bousai_kit.doctor.checks import UNSEEN, Check, Examination
from bousai_kit.doctor.here import Here, versions
from bousai_kit.doctor.reception import Reception
from bousai_kit.doctor.road import Road
from bousai_kit.doctor.tenant import TenantChecks
from bousai_kit.errors import BousaiKitError, ConfigError, LedgerError
from bousai_kit.settings import Settings, load_settings
from bousai_kit.workbench import SCOPES, open_workbench

if TYPE_CHECKING:
    from bousai_kit.workbench import Workbench

log = logging.getLogger(__name__)

__all__ = ["NAMES", "examine", "visit"]

NAMES = (
    "settings", "key", "proxy", "network:auth", "network:api", "clock", "token", "api",
    *(f"scope:{scope}" for scope in SCOPES),
    "bot", "bot:members", "bot:rooms", "bot:callback", "receiver", "ledger", "logs", "secrets", "home",
    "font", "versions",
)  # fmt: skip
"""Every check, in the order in which it is made and shown: a cause stands before what it spoils."""

_ASKED = re.compile(r"(.*ください)((?:（[^（）]*）)?)。")  # what to do, and in brackets why
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


async def visit(overrides: Mapping[str, str] | None = None, *, cwd: Path | None = None) -> Examination:
    """Open what the settings name and examine it; whatever cannot be opened is one of the checks.

    Parameters
    ----------
    overrides : mapping, optional
        Command options under their variables' names.
    cwd : Path, optional
        Folder of ``.env`` and ``bousai.toml``; default: the working folder.
    """
    try:
        settings = load_settings(overrides=overrides, cwd=cwd)
    except BousaiKitError as error:
        return await _closed("settings", error)
    async with contextlib.AsyncExitStack() as stack:
        trouble: LedgerError | None = None
        try:
            try:
                bench = await open_workbench(settings=settings)
            except LedgerError as error:
                trouble = error
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bousai-doctor-"))
                spare = f"sqlite:///{Path(folder) / 'ledger.db'}"
                bench = await open_workbench(settings=settings.model_copy(update={"ledger_url": spare}))
        except ConfigError as error:
            return await _closed("ledger" if error.setting == "BOUSAI_LEDGER_URL" else "settings", error)
        except Exception as error:  # a home that cannot be written, a full disk
            return await _closed("home", error)
        await stack.enter_async_context(bench)
        return await examine(bench, ledger_trouble=trouble)


async def examine(bench: Workbench, *, ledger_trouble: LedgerError | None = None) -> Examination:
    """Run every check on an open workbench.

    Parameters
    ----------
    bench : Workbench
        Not offline. Makes a handful of reading requests; sends nothing, changes nothing.
    ledger_trouble : LedgerError, optional
        Why the ledger of the settings could not be opened (`bench` then has a spare one).
    """
    round_ = _Round(_secrets(bench.settings))
    here, road, tenant, reception = (
        Here(bench, ledger_trouble),
        Road(bench),
        TenantChecks(bench),
        Reception(bench),
    )
    check = round_.check
    await check("settings", here.settings)
    await check("key", here.key, "settings")
    await check("proxy", road.proxy)
    await check("network:auth", road.auth_host, "proxy")
    await check("network:api", road.api_host, "proxy")
    await check("clock", road.clock, "network:auth")
    await check("token", tenant.token, "settings", "key", "network:auth")
    await check("api", tenant.api, "token", "network:api")
    for scope in SCOPES:
        await check(f"scope:{scope}", functools.partial(tenant.scope, scope), "token", "network:api", "api")
    await check("bot", tenant.bot, "api", "scope:bot")
    await check("bot:members", tenant.bot_members, "bot")
    await check("bot:rooms", tenant.bot_rooms, "scope:bot")
    await check("bot:callback", tenant.bot_callback, "scope:bot")
    await check("receiver", reception.receiver, "settings")
    await check("ledger", here.ledger)
    await check("logs", tenant.logs, "api", "scope:audit.read", "scope:monitoring.read")
    await check("secrets", here.secrets)
    await check("home", here.home)
    await check("font", here.font)
    await check("versions", versions)
    return round_.examination()


async def _closed(name: str, error: Exception) -> Examination:
    """Nothing could be opened: that is one check, and the others wait for it."""
    round_ = _Round(())

    async def failed() -> str:
        raise error

    for each in NAMES:
        if each == "versions":
            await round_.check(each, versions)
        elif each == name:
            await round_.check(each, failed)
        else:
            round_.wait(each, name)
    return round_.examination()


class _Round:
    """Collects checks; none of them ends the visit, and none of them shows a secret."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets
        self._done: dict[str, Check] = {}
        self._roots: dict[str, str] = {}  # a check that failed -> where that began

    async def check(
        self, name: str, work: Callable[[], Awaitable[str | tuple[str, str]]], *needs: str
    ) -> None:
        """Make a check, unless one that it needs has failed."""
        for need in needs:
            if need in self._roots:
                self.wait(name, self._roots[need])
                return
        try:
            seen = await work()
            detail, todo = (seen, "") if isinstance(seen, str) else seen
            self._done[name] = Check(name, True, self._clean(detail), self._clean(todo))
            return
        except BousaiKitError as error:
            said, hint = _parted(error)
        except Exception as error:  # the other checks still count; its text could hold anything
            log.debug("check %s failed", name, exc_info=error)
            said = f"予期しない誤りで確認できませんでした（{type(error).__name__}）。"
            hint = "もう一度実行し、続くときは担当者に連絡してください。"
        self._roots[name] = name
        self._done[name] = Check(name, False, self._clean(said), self._clean(hint))

    def wait(self, name: str, root: str) -> None:
        """Nothing can be said before `root` is mended."""
        self._roots[name] = root
        self._done[name] = Check(
            name, False, UNSEEN, f"先に「{Check(root, False, '').label}」を直してください。"
        )

    def examination(self) -> Examination:
        return Examination(tuple(self._done[name] for name in NAMES))

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text


def _parted(error: BousaiKitError) -> tuple[str, str]:
    """One sentence of what is wrong, and what to do: the error's own words before the general hint."""
    first, _, rest = str(error).replace("\n", " ").partition("。")
    if error.hint != error.default_hint:
        return f"{first}。", error.hint
    asked = _ASKED.fullmatch(rest)
    if asked is None:
        more = rest.removesuffix("。")
        return f"{first}（{more}）。" if more and "。" not in more else f"{first}。", error.hint
    setting = error.setting if isinstance(error, ConfigError) else ""
    return f"{first}{asked[2]}。", f"{setting}：{asked[1]}。" if setting else f"{asked[1]}。"


def _secrets(settings: Settings) -> tuple[str, ...]:
    """What may stand in no sentence, whoever echoes it."""
    found = [value.get_secret_value() for value in dict(settings).values() if isinstance(value, SecretStr)]
    for name in _PROXIES:
        with contextlib.suppress(ValueError):
            found.append(urlsplit(os.environ.get(name, "")).password or "")
    with contextlib.suppress(ValueError):
        found.append(urlsplit(settings.ledger_url).password or "")
    return tuple(secret for secret in found if len(secret) >= 4)
