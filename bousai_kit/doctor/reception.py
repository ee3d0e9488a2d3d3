"""Check of the receiver: is it there, does it know the token and the bot's secret, can the service reach it?

The receiver is asked with a callback that is signed and holds no event: whoever has the same secret answers
400, whoever has not 401, and nothing is stored either way.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from bousai_kit.doctor.checks import Trouble
from bousai_kit.lineworks.callbacks import sign

if TYPE_CHECKING:
    from bousai_kit.workbench import Workbench

__all__ = ["Reception"]

_PROBE = b"doctor"
_INSIDE = (".local", ".internal", ".lan", ".intra", ".home.arpa", ".localdomain")
CONNECT_S, ANSWER_S = 5.0, 10.0


class Reception:
    """How the answers of a drill come back.

    Parameters
    ----------
    bench : Workbench
    """

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench

    async def receiver(self) -> str:
        mode = self.bench.settings.receiver
        if mode == "off":
            return "この端末では受信しません（別の受信サーバー、またはログで回答を集めます）。"
        secret = self.bench.bot_secret
        if not mode.startswith("https://"):
            return "受信の準備ができています（訓練の間だけ、この端末で受信します）。"
        return await self._remote(mode.rstrip("/").removesuffix("/callback"), secret)

    async def _remote(self, base: str, secret: str) -> str:
        token = self.bench.settings.receiver_token
        if token is None:
            raise Trouble(
                "外部の受信サーバーを使うための設定 BOUSAI_RECEIVER_TOKEN がありません。",
                "受信サーバーに設定したものと同じ BOUSAI_RECEIVER_TOKEN を設定してください。",
            )
        host = urlsplit(base).hostname or ""
        bearer = {"Authorization": f"Bearer {token.get_secret_value()}"}
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        async with httpx.AsyncClient(timeout=timeout, follow_redirects=False) as http:
            with self.bench.clock.hold():
                events = await _ask(http, "GET", f"{base}/events?after=0&limit=0", host, headers=bearer)
                head = _head(events, host)
                signed = {
                    "X-WORKS-Signature": sign(_PROBE, secret),
                    "X-WORKS-BotId": str(self.bench.bot_id),
                    "Content-Type": "application/json; charset=UTF-8",
                }
                probe = await _ask(http, "POST", f"{base}/callback", host, headers=signed, content=_PROBE)
        if probe.status_code == 401:
            raise Trouble(
                "受信サーバーの Bot Secret か Bot ID が、この端末の設定と違います（署名が一致しません）。",
                "Developer Console の Bot Secret を、"
                "受信サーバーとこの端末の両方の BOUSAI_BOT_SECRET に設定してください。",
            )
        if probe.status_code != 400:
            raise Trouble(
                f"受信サーバーの手前で、Callback の受け付けが止められています（{probe.status_code}）。",
                "受信サーバーの前にあるプロキシや WAF で、/callback への POST を通すようにしてください。",
            )
        if _inside(host):
            raise Trouble(
                f"受信サーバー「{host}」は庁内のアドレスなので、LINE WORKS からの回答が届きません。",
                "インターネットから届く https:// のアドレスを用意し、"
                "BOUSAI_RECEIVER と Callback URL に設定してください。",
            )
        if head == 0:
            return (
                "受信サーバーにつながり、署名も一致します。"
                "まだ 1 件も受信していません（外から届くかは、Bot に話しかけると確かめられます）。"
            )
        return "受信サーバーにつながり、署名も一致します。"


async def _ask(http: httpx.AsyncClient, method: str, url: str, host: str, **more: Any) -> httpx.Response:
    try:
        return await http.request(method, url, **more)
    except httpx.TimeoutException:
        raise Trouble(
            f"受信サーバー「{host}」から応答がありません。",
            "受信サーバーが動いているか、"
            "途中のファイアウォールで 443 番が許可されているかを確認してください。",
        ) from None
    except httpx.RequestError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise Trouble(
                f"受信サーバー「{host}」の証明書を確認できません。",
                "公的な認証局の証明書に取り替えてください（LINE WORKS は自己署名の証明書に送信しません）。",
            ) from None
        raise Trouble(
            f"受信サーバー「{host}」につながりません。",
            "受信サーバーで `bousai receiver` が動いているか、"
            "BOUSAI_RECEIVER の URL が正しいかを確認してください。",
        ) from None


def _head(answer: httpx.Response, host: str) -> int:
    """Number of the last event there."""
    status = answer.status_code
    if status in (401, 403):
        raise Trouble(
            f"受信サーバー「{host}」が BOUSAI_RECEIVER_TOKEN を認めません（{status}）。",
            "受信サーバーとこの端末で、BOUSAI_RECEIVER_TOKEN を同じ値にしてください。",
        )
    if status == 404:
        raise Trouble(
            f"受信サーバー「{host}」に /events がありません（404）。",
            "受信サーバー側にも BOUSAI_RECEIVER_TOKEN を設定し、"
            "BOUSAI_RECEIVER が `bousai receiver` の URL か確認してください。",
        )
    if status == 503:
        raise Trouble(
            f"受信サーバー「{host}」が台帳に記録できない状態です（503）。",
            "受信サーバーのディスクの空き容量と、その端末での `bousai doctor` の結果を確認してください。",
        )
    try:
        if status == 200:
            return int(answer.json()["head"])
    except (ValueError, TypeError, KeyError):
        pass
    raise Trouble(
        f"「{host}」の応答（{status}）が受信サーバーのものではありません。",
        "BOUSAI_RECEIVER が `bousai receiver` の URL であることを確認してください。",
    )


def _inside(host: str) -> bool:
    """Certainly not to be reached from the internet, by its name or number alone."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_INSIDE)
