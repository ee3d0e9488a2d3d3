"""Check what a drill will need, before it is needed; never print a secret.

Each check is one function that returns a detail or raises; later checks that cannot run without an earlier one say so
instead of failing in another way.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import (
    ApiError,
    AuthRejected,
    BousaiKitError,
    ForeignLocation,
    NotFound,
    PermissionDenied,
    TransportFailed,
)

if TYPE_CHECKING:
    from bousai_kit.workbench import Workbench

__all__ = ["Check", "Examination", "examine"]

MAX_SKEW_S = 60.0


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

    def as_json(self) -> dict[str, object]:
        """``doctor --json``."""
        return {
            "ok": self.ok,
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
        lines.append("すべて正常です。" if not failed else f"対応が必要な項目が {failed} 件あります。")
        return "\n".join(lines)


class _Skipped(Exception):
    """An earlier check failed; this one cannot say anything."""


async def examine(bench: Workbench) -> Examination:
    """Run every check of this workbench.

    Parameters
    ----------
    bench : Workbench
        Opened, not offline. Makes a handful of reading requests; sends nothing, changes nothing.
    """
    checks: list[Check] = []
    failed: set[str] = set()

    async def check(name: str, work: Callable[[], Awaitable[str]], *needs: str) -> None:
        blocking = [need for need in needs if need in failed]
        if blocking:
            failed.add(name)
            label = LABELS.get(blocking[0], blocking[0])
            checks.append(Check(name, False, "確認できませんでした。", f"先に「{label}」を直してください。"))
            return
        try:
            checks.append(Check(name, True, await work()))
        except BousaiKitError as error:
            failed.add(name)
            checks.append(Check(name, False, str(error), _hint(name, error)))

    await check("settings", lambda: _settings(bench))
    await check("key", lambda: _key(bench), "settings")
    await check("ledger", lambda: _ledger(bench))
    await check("token", lambda: _token(bench), "settings", "key")
    await check("clock", lambda: _clock(bench), "settings", "key")
    for scope, probe in _SCOPE_PROBES.items():
        await check(f"scope:{scope}", lambda probe=probe: probe(bench), "token")  # type: ignore[misc]
    await check("bot", lambda: _bot(bench), "token")
    await check("receiver", lambda: _receiver(bench), "token", "bot")
    await check("logs", lambda: _logs(bench), "token")
    await check("secrets", lambda: _secrets(bench))
    return Examination(tuple(checks))


def _hint(name: str, error: BousaiKitError) -> str:
    head, _, scope = name.partition(":")
    if isinstance(error, TransportFailed) or not isinstance(error, ApiError | ForeignLocation):
        return error.hint
    if isinstance(error, AuthRejected) and head != "token":
        return (
            "トークンが途中で無効になりました。管理者画面の IP アドレス制限の変更、またはスコープの不足が"
            "考えられます。もう一度実行し、続く場合は Developer Console のスコープを確認してください。"
        )
    if head == "scope" and isinstance(error, PermissionDenied | AuthRejected):
        return f"Developer Console でアプリにスコープ「{scope}」を追加し、保存してください。"
    if head == "bot" and isinstance(error, NotFound | PermissionDenied):
        return "BOUSAI_BOT_ID の番号と、Bot がこのドメインに追加されているかを確認してください。"
    if head == "logs":
        return (
            "Developer Console でスコープ「monitoring.read」「audit.read」を追加し、"
            "契約プランがログの取得に対応しているか確認してください。"
        )
    return error.hint


async def _settings(bench: Workbench) -> str:
    bench.require_credentials()
    if bench.in_sandbox:
        return "プロファイル「sandbox」（練習用。実際には送信されません）"
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    via = "、プロキシ経由" if proxy else ""
    return f"プロファイル「{bench.settings.profile}」{via}"


async def _key(bench: Workbench) -> str:
    _ = bench.client
    return "秘密鍵を読み取れました。"


async def _ledger(bench: Workbench) -> str:
    found = await bench.ledger.verify()
    if not found.ok:
        raise BousaiKitError(
            f"台帳の連鎖が途切れています（{len(found.broken)} か所）。",
            hint="台帳を書き換えず、控え（バックアップ）から戻すか、担当者に連絡してください。",
        )
    return f"記録 {found.events} 件、改ざんは見つかりません。"


async def _token(bench: Workbench) -> str:
    refused = await bench.client.auth.refused_scopes()
    if refused:
        raise BousaiKitError(
            f"アプリに許可されていないスコープがあります: {'、'.join(refused)}",
            hint="Developer Console でアプリのスコープに追加するか、使わない機能であればこのまま進めてください。",
        )
    return "アクセストークンを取得できました。"


async def _clock(bench: Workbench) -> str:
    skew = bench.client.auth.clock_skew_s
    if skew is None:
        return "比較できる時刻がありません。"
    if abs(skew) > MAX_SKEW_S:
        way = "進んで" if skew > 0 else "遅れて"
        raise BousaiKitError(
            f"この端末の時計が約 {abs(skew) / 60:.0f} 分{way}います。",
            hint="端末の時刻を自動設定（NTP）に直してから、もう一度実行してください。",
        )
    return f"LINE WORKS との差は {abs(skew):.0f} 秒です。"


async def _probe_users(bench: Workbench) -> str:
    async for _ in bench.client.users.list(count=1):
        break
    return "メンバーを読み取れました。"


async def _probe_orgunits(bench: Workbench) -> str:
    async for _ in bench.client.orgunits.list(count=1):
        break
    return "組織を読み取れました。"


async def _probe_groups(bench: Workbench) -> str:
    async for _ in bench.client.groups.list(count=1):
        break
    return "グループを読み取れました。"


async def _probe_directory(bench: Workbench) -> str:
    async for _ in bench.client.positions.list(count=1):
        break
    return "役職を読み取れました。"


async def _probe_bot(bench: Workbench) -> str:
    await bench.client.bots.get(bench.bot_id)
    return "Bot の情報を読み取れました。"


_SCOPE_PROBES: Mapping[str, Callable[[Any], Awaitable[str]]] = {
    "user": _probe_users,
    "orgunit": _probe_orgunits,
    "group": _probe_groups,
    "directory": _probe_directory,
    "bot": _probe_bot,
}


async def _bot(bench: Workbench) -> str:
    bot = await bench.client.bots.get(bench.bot_id)
    domains = {
        int(entry["domainId"]): entry async for entry in bench.client.bots.domains(bench.bot_id)
    }
    mine = domains.get(bench.domain_id)
    if mine is None:
        raise BousaiKitError(
            "Bot がこのドメインに追加されていません。",
            hint="管理者画面の［サービス］→［Bot］で Bot を追加してください。",
        )
    if mine.get("allowToSelectedMember"):
        raise BousaiKitError(
            "Bot を使えるメンバーが限定されています。",
            hint="管理者画面の［サービス］→［Bot］で、利用権限を「すべてのメンバー」にしてください。",
        )
    if not bot.get("enableGroupJoin"):
        raise BousaiKitError(
            "Bot を複数人のトークルームに招待できません。",
            hint="Developer Console の Bot の設定で「複数人のトークルームへの招待」を許可してください。",
        )
    return f"Bot「{bot.get('botName', '')}」は全メンバーが使えます。"


async def _receiver(bench: Workbench) -> str:
    mode = bench.settings.receiver
    if mode == "off":
        return "この端末では受信しません（別の受信サーバー、またはログで回答を集めます）。"
    async with bench.receiving():
        pass
    if mode.startswith("https://"):
        bot = await bench.client.bots.get(bench.bot_id)
        if not bot.get("enableCallback") or not bot.get("callbackUrl"):
            raise BousaiKitError(
                "受信サーバーには接続できましたが、Bot の Callback URL が設定されていません。",
                hint="Developer Console の Bot の設定で Callback URL を登録し、有効にしてください。",
            )
        return "外部の受信サーバーに接続できました。"
    return "受信の準備ができています。"


async def _logs(bench: Workbench) -> str:
    now = bench.clock.now().replace(microsecond=0)
    await bench.fetch_log("message-contents", now - timedelta(minutes=1), now)
    await bench.fetch_log("auth", now - timedelta(minutes=1), now)
    return "監査ログとトーク内容のログを取得できました。"


async def _secrets(bench: Workbench) -> str:
    waiting = sorted((bench.home / "plans").glob("*.secret")) if (bench.home / "plans").is_dir() else []
    if waiting:
        return (
            f"初期パスワードの元になる秘密が {len(waiting)} 件残っています。配付が済んだら "
            "`bousai onboard handouts PLAN.json --destroy` で破棄してください。"
        )
    return "残っている初期パスワードの秘密はありません。"
