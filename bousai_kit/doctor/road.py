"""Checks of the way to LINE WORKS: proxy, names, certificates, and what time it is there.

One request without any token goes to each host; whatever it answers, the way is open. A tenant on this
machine is never asked through a proxy.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from bousai_kit.doctor.checks import Trouble
from bousai_kit.lineworks.hosts import is_loopback
from bousai_kit.lineworks.tokens import parse_http_date

if TYPE_CHECKING:
    from bousai_kit.workbench import Workbench

__all__ = ["Road", "unreachable"]

MAX_SKEW_S = 60.0
CONNECT_S = 5.0
ANSWER_S = 10.0
_STATUS = re.compile(r"\b([45]\d\d)\b")
_CERTIFICATE = (
    "庁内の通信検査装置の証明書（PEM 形式）を情報システム担当から受け取り、SSL_CERT_FILE に指定してください。"
)


class Road:
    """What lies between this machine and LINE WORKS.

    Parameters
    ----------
    bench : Workbench
    """

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self._skew: tuple[float, float] | None = None  # seconds ahead, and how sure that is

    # -- proxy ----------------------------------------------------------------------------------------

    async def proxy(self) -> str:
        host = urlsplit(self._base("auth")).hostname or ""
        if self._here(host):
            return "この端末の中で動くため、プロキシは使いません。"
        proxy = proxy_for(host)
        if proxy is None:
            return "プロキシは設定されていません（直接つなぎます）。"
        name, port = _place(proxy)
        try:
            async with asyncio.timeout(CONNECT_S):  # a socket's patience is the wall's
                _, writer = await asyncio.open_connection(name, port)
        except socket.gaierror:
            raise Trouble(
                f"HTTPS_PROXY のホスト名「{name}」が見つかりません。",
                "HTTPS_PROXY のホスト名を情報システム担当に確認し、設定し直してください。",
            ) from None
        except (OSError, TimeoutError):
            raise Trouble(
                f"HTTPS_PROXY のプロキシ「{name}:{port}」につながりません。",
                "庁内ネットワークにつながっているか、"
                "HTTPS_PROXY のホスト名とポート番号が正しいかを確認してください。",
            ) from None
        writer.close()
        return f"プロキシ「{name}:{port}」につながります。"

    # -- the hosts ------------------------------------------------------------------------------------

    async def auth_host(self) -> str:
        return await self._knock("auth")

    async def api_host(self) -> str:
        return await self._knock("api")

    def _here(self, host: str) -> bool:
        """The tenant is on this machine: no proxy, no name to resolve."""
        return self.bench.sandbox is not None or is_loopback(host)

    def _base(self, which: str) -> str:
        """Base URL of the auth or API host."""
        sandbox = self.bench.sandbox
        if sandbox is not None:
            return str(getattr(sandbox, f"{which}_url"))
        return str(getattr(self.bench.settings, f"{which}_url"))

    async def _knock(self, which: str) -> str:
        parts = urlsplit(self._base(which))
        host, clock = parts.hostname or "", self.bench.clock
        away = not self._here(host)
        if away and proxy_for(host) is None:
            await _resolve(host)
        began = clock.now()
        http = self.bench.examining_http()
        try:
            with clock.hold():
                answer = await http.get(
                    f"{parts.scheme}://{parts.netloc}/",
                    timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
                    follow_redirects=False,
                )
        except httpx.RequestError as error:
            raise unreachable(error, host, through=away and proxy_for(host) is not None) from None
        if self._skew is None:
            self._compare(parse_http_date(answer.headers.get("date")), began, clock.now())
        return f"「{host}」につながります。" if away else "この端末の中のテナントにつながります。"

    def _compare(self, there: datetime | None, began: datetime, ended: datetime) -> None:
        """The header has whole seconds, cut off, and was written some time between asking and answer."""
        if there is not None:
            half = (ended - began).total_seconds() / 2
            self._skew = (ended - there).total_seconds() - half - 0.5, half

    # -- clock ----------------------------------------------------------------------------------------

    async def clock(self) -> str:
        if self._skew is None:
            return "比較できる時刻がありません（相手の応答に時刻がありませんでした）。"
        skew, unsure = self._skew
        if abs(skew) - unsure > MAX_SKEW_S:
            way = "進んで" if skew > 0 else "遅れて"
            raise Trouble(
                f"この端末の時計が約 {abs(skew) / 60:,.0f} 分{way}います。",
                "端末の時刻を自動設定（NTP）に直してから、もう一度実行してください。",
            )
        return f"LINE WORKS との差は {abs(skew):.0f} 秒です。"


def proxy_for(host: str) -> str | None:
    """The proxy that a request to this host goes through, as the environment says."""
    found = getproxies()
    proxy = found.get("https") or found.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _place(proxy: str) -> tuple[str, int]:
    wrong = Trouble(
        "プロキシの設定（HTTPS_PROXY）を読み取れません。",
        "HTTPS_PROXY を http://ホスト名:ポート番号 の形に直してください。",
    )
    try:
        parts = urlsplit(proxy)
        name, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not name:
        raise wrong
    return name, port


async def _resolve(host: str) -> None:
    try:
        async with asyncio.timeout(CONNECT_S):
            await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        raise Trouble(
            f"「{host}」の名前を解決できません（DNS）。",
            "ネットワークにつながっているかを確認し、"
            "庁内からの接続にプロキシが必要なら HTTPS_PROXY を設定してください。",
        ) from None


def unreachable(error: httpx.RequestError, host: str, *, through: bool) -> Trouble:
    """What a request that got no answer says about the way.

    Parameters
    ----------
    through : bool
        It went through a proxy.
    """
    for fits, make in _REASONS:
        if fits(error, str(error)):
            return make(host, _STATUS.search(str(error)))
    if isinstance(error, httpx.TimeoutException):
        return Trouble(
            f"「{host}」から応答がありません。",
            f"庁内のファイアウォールで「{host}」への HTTPS（443 番）が許可されているか、"
            "情報システム担当に確認してください。",
        )
    way = "プロキシの先の" if through else ""
    return Trouble(
        f"{way}「{host}」につながりません。",
        f"ネットワーク、ファイアウォール、プロキシ（HTTPS_PROXY）で「{host}」"
        "への接続が許可されているか確認してください。",
    )


def _untrusted(host: str, _: object) -> Trouble:
    return Trouble(
        f"「{host}」の証明書を確認できません（途中で通信が検査されている可能性があります）。", _CERTIFICATE
    )


def _wrong_date(host: str, _: object) -> Trouble:
    return Trouble(
        f"「{host}」の証明書が、この端末の日付では有効期間の外です。",
        "端末の日付と時刻を自動設定（NTP）に直し、直らないときは情報システム担当に確認してください。",
    )


def _password(host: str, _: object) -> Trouble:
    return Trouble(
        "プロキシが利用者名とパスワードを求めています（407）。",
        "HTTPS_PROXY を http://利用者名:パスワード@ホスト名:ポート番号 の形で設定してください。",
    )


def _blocked(host: str, status: re.Match[str] | None) -> Trouble:
    said = f"（{status[1]}）" if status else ""
    return Trouble(
        f"プロキシが「{host}」への接続を断りました{said}。",
        f"プロキシの許可リストに「{host}」を加えるよう、情報システム担当に依頼してください。",
    )


_Reason = tuple[Callable[[httpx.RequestError, str], bool], Callable[[str, "re.Match[str] | None"], Trouble]]
_REASONS: tuple[_Reason, ...] = (
    (lambda _, text: "certificate has expired" in text or "not yet valid" in text, _wrong_date),
    (lambda _, text: "CERTIFICATE_VERIFY_FAILED" in text, _untrusted),
    (lambda error, text: isinstance(error, httpx.ProxyError) and "407" in text, _password),
    (lambda error, _: isinstance(error, httpx.ProxyError), _blocked),
)
