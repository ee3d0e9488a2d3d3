"""Checks of the tenant: token, access from here, scopes, bot, logs. Reads only."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from bousai_kit.doctor.checks import Trouble
from bousai_kit.errors import (
    ApiError,
    AuthRejected,
    BousaiKitError,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    ServiceUnavailable,
    TransportFailed,
    TruncatedExport,
)
from bousai_kit.lineworks.logs import check_complete

if TYPE_CHECKING:
    from bousai_kit.lineworks.client import LineWorksClient
    from bousai_kit.lineworks.gate import Turns
    from bousai_kit.workbench import Workbench

__all__ = ["OPTIONAL_SCOPES", "TenantChecks"]

AUDIT_REST_S = 60.0
"""Audit downloads keep a minute apart: who looks again within it is not kept waiting for a second one."""

PURPOSES = {
    "bot": "Bot の確認と受信の設定",
    "bot.message": "一斉送信と訓練",
    "user": "名簿の登録",
    "orgunit": "組織の登録",
    "group": "グループの登録",
    "directory": "役職・職級の登録",
    "audit.read": "監査ログの取得",
    "monitoring.read": "未確定の送信の確定と応答時間の分析",
    "board": "掲示板",
}
OPTIONAL_SCOPES = ("board",)
_PAID_SCOPES = ("directory", "audit.read", "monitoring.read")
_LOG_ACCESS = (
    "サービスアカウントでログを取得できる契約プランかどうかを確認し、"
    "スコープ「audit.read」「monitoring.read」が選ばれているかを Developer Console で確認してください。"
)
_NOT_LINE_WORKS = (
    "庁内のプロキシの認証画面などが代わりに応答していないか、BOUSAI_API_URL と BOUSAI_AUTH_URL が"
    "正しいかを確認してください。"
)

_ACCOUNT = re.compile(r"[^@\s]+\.serviceaccount@[^@\s]+")

_audited: WeakKeyDictionary[Turns, float] = WeakKeyDictionary()


async def _first(found: AsyncIterator[object]) -> None:
    async for _ in found:
        break


class TenantChecks:
    """Asks through one client that gives up soon.

    Parameters
    ----------
    bench : Workbench
    """

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self._client: LineWorksClient | None = None
        self.bot_seen: dict[str, Any] = {}
        self._read: dict[str, BousaiKitError | None] = {}

    @property
    def client(self) -> LineWorksClient:
        if self._client is None:
            self._client = self.bench.examining_client()
        return self._client

    # -- token ----------------------------------------------------------------------------------------

    async def token(self) -> str:
        try:
            await self.client.auth.token(anew=True)  # the one that is held proves nothing about the key
        except AuthRejected as refusal:
            raise self._no_token(refusal) from None
        except ServiceUnavailable as error:
            raise Trouble(
                f"LINE WORKS の認証サーバーが応答できない状態です（{error.status}）。",
                "LINE WORKS の障害情報を確認し、数分待ってから、もう一度実行してください。",
            ) from None
        except ProtocolViolation:
            raise Trouble(
                "認証サーバーから、LINE WORKS のものではない応答が返りました。", _NOT_LINE_WORKS
            ) from None
        return "アクセストークンを取得できました。"

    def _no_token(self, refusal: AuthRejected) -> Trouble:
        skewed = self.client.auth.skew_hint()
        if refusal.code == "invalid_client":
            return Trouble(
                "Client ID か Client Secret が正しくありません（invalid_client）。",
                "Developer Console のアプリの画面で 2 つを確かめ、"
                "BOUSAI_CLIENT_ID と BOUSAI_CLIENT_SECRET を直してください。",
            )
        if refusal.code == "invalid_scope":
            return Trouble(
                "アプリに、このキットが使うスコープが 1 つもありません。",
                "Developer Console の「OAuth Scopes」で、アプリに必要なスコープを追加してください。",
            )
        if skewed is not None:
            return Trouble("この端末の時計が合っていないため、トークンを取得できません。", skewed)
        account = self.bench.settings.service_account
        if refusal.code == "invalid_grant" and account and not _ACCOUNT.fullmatch(account):
            return Trouble(
                "BOUSAI_SERVICE_ACCOUNT がサービスアカウント"
                "（xxxxx.serviceaccount@ドメイン の形）ではないため、認められません。",
                "Developer Console のアプリの画面で、Service Account を「@」の後まで写してください。",
            )
        if refusal.code == "invalid_grant":
            return Trouble(
                "Client ID・サービスアカウント・秘密鍵の組み合わせが認められません"
                "（秘密鍵が失効しているときもこうなります）。",
                "Developer Console で Client ID・サービスアカウント・秘密鍵が同じアプリのものか確かめ、"
                "同じなら秘密鍵（Private Key）を発行し直して BOUSAI_PRIVATE_KEY_FILE に指定してください。",
            )
        if not refusal.code:
            return Trouble(f"認証サーバーの手前で接続を断られました（{refusal.status}）。", _NOT_LINE_WORKS)
        return Trouble(
            f"認証サーバーがトークンの要求を受け付けませんでした（{refusal.code}）。",
            "Developer Console のアプリの画面と、"
            "BOUSAI_CLIENT_ID から BOUSAI_PRIVATE_KEY_FILE までの 4 つの設定を見比べてください。",
        )

    # -- access from here -----------------------------------------------------------------------------

    async def api(self) -> str:
        """Some request is answered; a 401 with a fresh token on two operations is no scope's affair."""
        refused = await self.client.auth.refused_scopes()
        asked = [scope for scope in self._readers() if scope not in refused][:2]
        for scope in asked:
            error = await self._ask(scope)
            if not isinstance(error, AuthRejected) or error.status != 401:
                break
        else:
            if not asked:
                return "読み取りのスコープがないため、試せる操作がありません。"
            raise Trouble(
                "トークンは取得できましたが、API がこの端末からの利用を断っています（401）。",
                "管理者画面の IP アドレスの制限で、"
                "この庁舎の外向きのグローバル IP アドレスが許可されているか確認してください。",
            )
        if isinstance(error, NotFound) and scope != "bot":
            raise Trouble(
                "BOUSAI_API_URL の先に LINE WORKS の API がありません（404）。",
                "BOUSAI_API_URL を外して既定値に戻すか、正しいアドレスに直してください。",
            )
        if isinstance(error, ProtocolViolation):
            raise Trouble("API から、LINE WORKS のものではない応答が返りました。", _NOT_LINE_WORKS)
        if isinstance(error, TransportFailed | OutcomeUnknown | ServiceUnavailable | RateLimited):
            raise _busy(error) or error
        return "API がこの端末からの利用を受け付けました。"

    # -- scopes ---------------------------------------------------------------------------------------

    def _readers(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What reads a little with a scope."""
        client = self.client

        async def bot() -> None:
            self.bot_seen = dict(await client.bots.get(self.bench.bot_id))

        return {
            "user": lambda: _first(client.users.list(count=1)),
            "bot": bot,
            "orgunit": lambda: _first(client.orgunits.list(count=1)),
            "group": lambda: _first(client.groups.list(count=1)),
            "directory": lambda: _first(client.positions.list(count=1)),
        }

    async def _ask(self, scope: str) -> BousaiKitError | None:
        """Read once a visit; what was met, or None."""
        if scope not in self._read:
            self._read[scope] = None
            try:
                await self._readers()[scope]()
            except BousaiKitError as error:
                self._read[scope] = error.with_traceback(None)
        return self._read[scope]

    async def scope(self, name: str) -> str:
        """One scope: the app has it, and a reading request is let through."""
        purpose = PURPOSES[name]
        if name in await self.client.auth.refused_scopes():
            if name in OPTIONAL_SCOPES:
                return f"ありません（{purpose}を使わないなら不要です）。"
            raise self._lacking(name)
        if name not in self._readers():
            return f"使えます（{purpose}）。" + (
                "ここでは何も送信しません。" if name == "bot.message" else ""
            )
        error = await self._ask(name)
        if error is None:
            return f"使えます（{purpose}）。"
        if name == "bot" and isinstance(error, NotFound | InvalidRequest | PermissionDenied):
            raise Trouble(
                f"BOUSAI_BOT_ID の Bot を読み取れません（{error.status}）。",
                "BOUSAI_BOT_ID が Developer Console の Bot の番号と同じか、スコープ「bot」"
                "が選ばれているかを確認してください。",
            )
        if isinstance(error, AuthRejected | PermissionDenied):
            if name == "directory":
                raise Trouble(
                    f"役職の読み取りを断られました（{error.status}）。",
                    "Developer Console でスコープ「directory」が、"
                    "管理者画面で役職を使う設定が有効かを確認してください。",
                )
            if isinstance(error, PermissionDenied):  # the token carries the scope: it is not what is missing
                raise Trouble(
                    f"スコープ「{name}」はありますが、読み取りを断られました（{error.status}）。",
                    "BOUSAI_DOMAIN_ID が Developer Console の Domain ID と同じかを確認し、"
                    "同じなら、サービスアカウントの権限を管理者に確認してください。",
                )
            raise self._lacking(name)
        raise _busy(error) or error

    def _lacking(self, name: str) -> Trouble:
        return Trouble(
            f"アプリにスコープ「{name}」がありません（{PURPOSES[name]}に必要です）。",
            f"Developer Console の API 2.0 でアプリを開き、「OAuth Scopes」に「{name}」を追加してください。"
            + ("選べないときは、契約プランを確認してください。" if name in _PAID_SCOPES else ""),
        )

    # -- bot ------------------------------------------------------------------------------------------

    async def bot(self) -> str:
        bench, found = self.bench, []
        try:
            found = [entry async for entry in self.client.bots.domains(bench.bot_id)]
        except (NotFound, InvalidRequest, PermissionDenied) as error:
            raise Trouble(
                f"Bot が追加されているドメインを読み取れません（{error.status}）。",
                "BOUSAI_BOT_ID の番号と、Developer Console で Bot が登録されているかを確認してください。",
            ) from None
        except BousaiKitError as error:
            raise _busy(error) or error from None
        domains = {str(entry.get("domainId")): entry for entry in found if isinstance(entry, Mapping)}
        mine = domains.get(str(bench.domain_id))
        if mine is None:
            others = "、".join(sorted(domains)[:3])
            if others:
                raise Trouble(
                    f"Bot は別のドメイン（{others}）に追加されていて、"
                    "BOUSAI_DOMAIN_ID のドメインにはありません。",
                    "BOUSAI_DOMAIN_ID を確認し、"
                    "正しければ管理者画面の［サービス］→［Bot］で Bot を追加してください。",
                )
            raise Trouble(
                "Bot がこのドメインに追加されていません。",
                "管理者画面の［サービス］→［Bot］で Bot を追加してください。",
            )
        self.bot_seen["registered"] = mine
        return f"Bot「{self.bot_seen.get('botName', '')}」がこのドメインに追加されています。"

    async def bot_members(self) -> str:
        if self.bot_seen["registered"].get("allowToSelectedMember"):
            raise Trouble(
                "Bot を使えるメンバーが限定されています（ほかの人には送信できません）。",
                "管理者画面の［サービス］→［Bot］で、Bot を使えるメンバーを「すべてのメンバー」"
                "にしてください。",
            )
        return "すべてのメンバーが使えます。"

    async def bot_rooms(self) -> str:
        if not self.bot_seen.get("enableGroupJoin"):
            raise Trouble(
                "Bot を複数人のトークルームに招待できません。",
                "Developer Console の Bot の設定で「複数人のトークルームへの招待」を許可してください。",
            )
        return "複数人のトークルームに入れます。"

    async def bot_callback(self) -> str:
        """What the console says; whether it arrives is the receiver's check."""
        mode = self.bench.settings.receiver
        on, url = bool(self.bot_seen.get("enableCallback")), str(self.bot_seen.get("callbackUrl") or "")
        if mode == "embedded":
            return "訓練の間だけ、この端末の受信先を自動で設定します。"
        if mode == "off":
            now = f"オンです（{urlsplit(url).hostname or ''}）" if on and url else "オフです"
            return f"Callback は{now}。この端末では受信せず、回答は台帳かログで確かめます。"
        if not on:
            raise Trouble(
                "Bot の Callback がオフのため、ボタンの回答が受信サーバーに届きません。",
                "Developer Console の Bot の設定で Callback を「On」にし、Callback URL を登録してください。",
            )
        wanted = mode.rstrip("/").removesuffix("/callback") + "/callback"
        if url.rstrip("/") != wanted:
            there = f"「{urlsplit(url).hostname}」" if url else "空欄"
            raise Trouble(
                f"Bot の Callback URL（{there}）が、BOUSAI_RECEIVER の受信サーバーと違います。",
                f"Developer Console の Bot の設定で、Callback URL を「{wanted}」にしてください。",
            )
        events = self.bot_seen.get("callbackEvents")
        if isinstance(events, list) and "text" not in events:
            raise Trouble(
                "Bot がテキストを受け取らない設定のため、ボタンの回答を受け取れません。",
                "Developer Console の Bot の設定で、メンバーが送信できるメッセージに「テキスト」"
                "を加えてください。",
            )
        return "Callback はオンで、受信サーバーの URL が登録されています。"

    # -- logs -----------------------------------------------------------------------------------------

    async def logs(self) -> str:
        now = self.bench.clock.now().replace(microsecond=0)
        since = now - timedelta(minutes=1)
        await self._export("トーク内容のログ", self.client.monitoring.download(since=since, until=now))
        turns, clock = self.client.shared.turns, self.bench.clock
        if clock.monotonic() - _audited.get(turns, -AUDIT_REST_S) >= AUDIT_REST_S:
            await self._export("監査ログ", self.client.audit.download(service="auth", since=since, until=now))
            _audited[turns] = clock.monotonic()
            return "監査ログとトーク内容のログを取得できました。"
        return "トーク内容のログを取得できました（監査ログは、1 分以内に確認済みのため省きました）。"

    async def _export(self, what: str, download: Awaitable[bytes]) -> None:
        try:
            raw = await download
            check_complete(raw)
        except (AuthRejected, PermissionDenied, NotFound, InvalidRequest) as error:
            raise Trouble(f"{what}の取得を断られました（{error.status}）。", _LOG_ACCESS) from None
        except TruncatedExport as error:
            raise Trouble(f"{what}が途中で切れています（行が欠けています）。", error.hint) from None
        except BousaiKitError as error:
            raise _busy(error) or error from None
        head = raw[:400].removeprefix(b"\xef\xbb\xbf").lstrip()
        if not head or head.startswith((b"<", b"{")):
            raise Trouble(
                f"{what}として、CSV ではない応答が返りました。",
                "庁内のプロキシの認証画面などが代わりに応答していないかを確認し、もう一度実行してください。",
            )


def _busy(error: BousaiKitError) -> Trouble | None:
    """Trouble on their side, or on the way, in words for somebody who only looks."""
    if isinstance(error, RateLimited):
        return Trouble("LINE WORKS の回数制限に達しています（429）。", error.hint)
    if isinstance(error, ServiceUnavailable):
        return Trouble(
            f"LINE WORKS が応答できない状態です（{error.status}）。",
            "LINE WORKS の障害情報を確認し、数分待ってから、もう一度実行してください。",
        )
    if isinstance(error, ProtocolViolation):
        return Trouble("LINE WORKS のものではない応答が返りました。", _NOT_LINE_WORKS)
    if isinstance(error, ApiError) and not isinstance(error, AuthRejected | PermissionDenied):
        return Trouble(f"LINE WORKS がこの読み取りを断りました（{error.code or error.status}）。", error.hint)
    return None
