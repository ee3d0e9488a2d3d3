"""Check what a drill will need, before it is needed; never print a secret.

Each check is one method that returns a detail or raises; later checks that cannot run without an earlier one
say so instead of failing in another way. What was refused before is asked again (somebody may have mended it
just now), and nothing is waited for as long as a drill would wait for it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from bousai_kit.errors import (
    ApiError,
    AuthRejected,
    BousaiKitError,
    ConfigError,
    ForeignLocation,
    InvalidRequest,
    LedgerCorrupt,
    NotFound,
    PermissionDenied,
    TransportFailed,
)

if TYPE_CHECKING:
    from bousai_kit.lineworks.client import LineWorksClient
    from bousai_kit.lineworks.gate import Turns
    from bousai_kit.workbench import Workbench

log = logging.getLogger(__name__)

__all__ = ["Check", "Examination", "examine"]

MAX_SKEW_S = 60.0
AUDIT_REST_S = 60.0
"""Audit downloads keep a minute apart: who looks again within it is not kept waiting for a second one."""

_audited: WeakKeyDictionary[Turns, float] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor.

    Attributes
    ----------
    name : str
        Stable English key (``settings``, ``key``, ``clock``, ``token``, ``scope:bot``, …).
    ok : bool
    detail : str
        What was seen (Japanese).
    hint : str
        What to do (Japanese); empty when all is well.
    """

    name: str
    ok: bool
    detail: str
    hint: str = ""

    @property
    def label(self) -> str:
        """The name on screens."""
        head, _, tail = self.name.partition(":")
        return LABELS.get(head, head) + (f"（{tail}）" if tail else "")


LABELS = {
    "settings": "設定",
    "key": "秘密鍵",
    "ledger": "台帳",
    "token": "トークン",
    "clock": "時計",
    "scope": "スコープ",
    "bot": "Bot",
    "receiver": "受信（Callback）",
    "logs": "ログの取得",
    "secrets": "初期パスワード",
}


@dataclass(frozen=True, slots=True)
class Examination:
    """All checks of one visit."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return all(check.ok for check in self.checks)

    @property
    def next_step(self) -> str:
        """One sentence: what to do now."""
        for check in self.checks:
            if not check.ok:
                return f"次にすること（{check.label}）：{check.hint}"
        return "すべて正常です。"

    def as_json(self) -> dict[str, object]:
        """``doctor --json``."""
        return {
            "ok": self.ok,
            "next_step": self.next_step,
            "checks": [
                {"name": c.name, "label": c.label, "ok": c.ok, "detail": c.detail, "hint": c.hint}
                for c in self.checks
            ],
        }

    def render_text(self) -> str:
        """One line a check, and what to do below those that failed."""
        lines = []
        for check in self.checks:
            lines.append(f"{'正常' if check.ok else '要対応'}  {check.label}: {check.detail}")
            if check.hint:
                lines.append(f"        → {check.hint}")
        failed = sum(not check.ok for check in self.checks)
        if failed:
            lines.append(f"対応が必要な項目が {failed} 件あります。")
        lines.append(self.next_step)
        return "\n".join(lines)


class _Unseen(Exception):
    """This check can say nothing because of an earlier one, whose name it carries."""


async def examine(bench: Workbench) -> Examination:
    """Run every check of this workbench.

    Parameters
    ----------
    bench : Workbench
        Opened, not offline. Makes a handful of reading requests; sends nothing, changes nothing.
    """
    doctor = _Doctor(bench)
    checks: list[Check] = []

    async def check(name: str, work: Callable[[], Awaitable[str]], *needs: str) -> None:
        blocking = next((need for need in needs if need in doctor.failed), None)
        if "token" in needs:
            blocking = blocking or doctor.unreachable
        try:
            if blocking is not None:
                raise _Unseen(blocking)
            checks.append(Check(name, True, await work()))
            return
        except _Unseen as unseen:
            before = Check(str(unseen), False, "").label
            said, hint = "確認できませんでした。", f"先に「{before}」を直してください。"
        except BousaiKitError as error:
            said, hint = str(error), _hint(name, error)
            if isinstance(error, TransportFailed) and "token" in needs:
                doctor.unreachable = name  # nothing else that asks the API need wait for it
        except Exception as error:  # the other checks still count; its text could hold anything
            log.debug("check %s failed", name, exc_info=error)
            said = f"予期しない誤りで確認できませんでした（{type(error).__name__}）。"
            hint = "もう一度実行し、続くときは担当者に連絡してください。"
        doctor.failed.add(name)
        checks.append(Check(name, False, said, hint))

    await check("settings", doctor.settings)
    await check("key", doctor.key, "settings")
    await check("ledger", doctor.ledger)
    await check("token", doctor.token, "settings", "key")
    await check("clock", doctor.clock, "settings", "key")
    await check("scope:user", doctor.users, "token")
    await check("scope:orgunit", doctor.orgunits, "token")
    await check("scope:group", doctor.groups, "token")
    await check("scope:directory", doctor.positions, "token")
    await check("scope:bot", doctor.bot_info, "token")
    await check("scope:bot.message", doctor.sending, "token")
    await check("bot", doctor.bot, "token", "scope:bot")
    await check("receiver", doctor.receiver, "token", "scope:bot")
    await check("logs", doctor.logs, "token")
    await check("secrets", doctor.secrets)
    return Examination(tuple(checks))


def _hint(name: str, error: BousaiKitError) -> str:
    head, _, scope = name.partition(":")
    if not isinstance(error, ApiError) or isinstance(error, ForeignLocation):
        return error.hint
    if head == "bot" or (name == "scope:bot" and isinstance(error, NotFound | InvalidRequest)):
        return "BOUSAI_BOT_ID の番号と、Bot がこのドメインに追加されているかを確認してください。"
    refused = isinstance(error, PermissionDenied | AuthRejected)
    if head == "scope" and refused:
        return f"Developer Console でアプリにスコープ「{scope}」を追加し、もう一度実行してください。"
    if head == "logs" and (refused or isinstance(error, NotFound | InvalidRequest)):
        return (
            "Developer Console でスコープ「monitoring.read」「audit.read」を追加し、"
            "契約プランがログの取得に対応しているか確認してください。"
        )
    if head != "token" and isinstance(error, AuthRejected):
        return (
            "管理者画面の IP アドレス制限と Developer Console のスコープを確認し、もう一度実行してください。"
        )
    return error.hint


async def _first(found: AsyncIterator[object]) -> None:
    async for _ in found:
        break


class _Doctor:
    """The checks; all ask through one client."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.failed: set[str] = set()
        self.unreachable: str | None = None
        self._client: LineWorksClient | None = None
        self._bot: dict[str, object] = {}

    @property
    def client(self) -> LineWorksClient:
        if self._client is None:
            self._client = self.bench.examining_client()
        return self._client

    async def settings(self) -> str:
        settings = self.bench.settings
        self.bench.require_credentials()
        if self.bench.in_sandbox:
            return "プロファイル「sandbox」（練習用。実際には送信されません）"
        if settings.is_loopback:
            return f"プロファイル「{settings.profile}」（試験用サーバー。この端末の中だけで動きます）"
        proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
        return f"プロファイル「{settings.profile}」{'（プロキシ経由）' if proxy else ''}"

    async def key(self) -> str:
        _ = self.client
        return "秘密鍵を読み取れました。"

    async def ledger(self) -> str:
        found = await self.bench.ledger.verify()
        if not found.ok:
            raise LedgerCorrupt(f"台帳の連鎖が途切れています（{len(found.broken)} か所）。")
        return f"記録 {found.events} 件、改ざんは見つかりません。"

    async def token(self) -> str:
        await self.client.auth.token()
        return "アクセストークンを取得できました。"

    async def clock(self) -> str:
        skew = self.client.auth.clock_skew_s
        if skew is None:
            if "token" in self.failed:
                raise _Unseen("token")
            return "比較できる時刻がありません。"
        if abs(skew) > MAX_SKEW_S:
            way = "進んで" if skew > 0 else "遅れて"
            raise ConfigError(
                f"この端末の時計が約 {abs(skew) / 60:.0f} 分{way}います。",
                hint="端末の時刻を自動設定（NTP）に直してから、もう一度実行してください。",
            )
        return f"LINE WORKS との差は {abs(skew):.0f} 秒です。"

    # -- scopes ---------------------------------------------------------------------------------------

    async def _granted(self, scope: str) -> None:
        if scope in await self.client.auth.refused_scopes():
            raise ConfigError(
                f"アプリにスコープ「{scope}」がありません。",
                hint=f"Developer Console でアプリにスコープ「{scope}」を追加し、もう一度実行してください。",
            )

    async def users(self) -> str:
        await self._granted("user")
        await _first(self.client.users.list(count=1))
        return "メンバーを読み取れました。"

    async def orgunits(self) -> str:
        await self._granted("orgunit")
        await _first(self.client.orgunits.list(count=1))
        return "組織を読み取れました。"

    async def groups(self) -> str:
        await self._granted("group")
        await _first(self.client.groups.list(count=1))
        return "グループを読み取れました。"

    async def positions(self) -> str:
        await self._granted("directory")
        await _first(self.client.positions.list(count=1))
        return "役職を読み取れました。"

    async def bot_info(self) -> str:
        await self._granted("bot")
        self._bot = dict(await self.client.bots.get(self.bench.bot_id))
        return "Bot の情報を読み取れました。"

    async def sending(self) -> str:
        await self._granted("bot.message")
        return "送信が許可されています（ここでは送信しません）。"

    # -- bot, receiver, logs, secrets ------------------------------------------------------------------

    async def bot(self) -> str:
        bench, domains = self.bench, self.client.bots.domains(self.bench.bot_id)
        mine = {int(entry["domainId"]): entry async for entry in domains}.get(bench.domain_id)
        if mine is None:
            raise ConfigError(
                "Bot がこのドメインに追加されていません。",
                hint="管理者画面の［サービス］→［Bot］で Bot を追加してください。",
            )
        if mine.get("allowToSelectedMember"):
            raise ConfigError(
                "Bot を使えるメンバーが限定されています。",
                hint="管理者画面の［サービス］→［Bot］で、利用権限を「すべてのメンバー」にしてください。",
            )
        if not self._bot.get("enableGroupJoin"):
            raise ConfigError(
                "Bot を複数人のトークルームに招待できません。",
                hint="Developer Console の Bot の設定で「複数人のトークルームへの招待」を許可してください。",
            )
        return f"Bot「{self._bot.get('botName', '')}」は全メンバーが使えます。"

    async def receiver(self) -> str:
        mode = self.bench.settings.receiver
        if mode == "off":
            return "この端末では受信しません（別の受信サーバー、またはログで回答を集めます）。"
        _ = self.bench.bot_secret
        if not mode.startswith("https://"):
            return "受信の準備ができています。"
        async with self.bench.receiving():
            pass
        if not self._bot.get("enableCallback") or not self._bot.get("callbackUrl"):
            raise ConfigError(
                "受信サーバーには接続できましたが、Bot の Callback URL が設定されていません。",
                hint="Developer Console の Bot の設定で Callback URL を登録し、有効にしてください。",
            )
        return "外部の受信サーバーに接続できました。"

    async def logs(self) -> str:
        now = self.bench.clock.now().replace(microsecond=0)
        since = now - timedelta(minutes=1)
        for scope in ("monitoring.read", "audit.read"):
            await self._granted(scope)
        await self.client.monitoring.download(since=since, until=now)
        turns, clock = self.client.shared.turns, self.bench.clock
        if clock.monotonic() - _audited.get(turns, -AUDIT_REST_S) >= AUDIT_REST_S:
            await self.client.audit.download(service="auth", since=since, until=now)
            _audited[turns] = clock.monotonic()
        return "監査ログとトーク内容のログを取得できました。"

    async def secrets(self) -> str:
        plans = self.bench.home / "plans"
        waiting = sorted(plans.glob("*.secret")) if plans.is_dir() else []
        if waiting:
            return (
                f"初期パスワードの元になる秘密が {len(waiting)} 件残っています。配付が済んだら "
                "`bousai onboard handouts PLAN.json --destroy` で破棄してください。"
            )
        return "残っている初期パスワードの秘密はありません。"
