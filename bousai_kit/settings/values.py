"""Reading one value: text in, checked value out.

Each reader raises ValueError with a Japanese reason that never holds the text.
"""

from __future__ import annotations

import contextlib
import getpass
import math
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from bousai_kit.clock import parse_time_scale
from bousai_kit.settings.hosts import is_loopback_host

__all__ = ["NAMES", "READERS", "SECRETS", "account_name", "variable"]

SECRETS = ("client_secret", "private_key_passphrase", "bot_secret", "receiver_token", "line_channel_token")
"""Settings that may never stand in ``bousai.toml``."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_HOST = re.compile(rf"(?:\.?{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::[0-9]{{1,5}})?")


def account_name() -> str:
    """The account of whoever sits at this machine, "unknown" where it has none."""
    with contextlib.suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return "unknown"


def variable(name: str) -> str:
    """``log_delay_s`` → ``BOUSAI_LOG_DELAY_S``."""
    return f"BOUSAI_{name.upper()}"


def _plain(text: str) -> str:
    if any(ord(char) < 32 or char == "\x7f" for char in text):
        raise ValueError("改行などの制御文字が含まれています。")
    return text


def _token_like(text: str) -> str:
    if not _plain(text).isascii() or " " in text:
        raise ValueError("半角の英数字と記号だけで指定してください。")
    return text


def _secret(text: str) -> SecretStr:
    return SecretStr(_token_like(text))


def _passphrase(text: str) -> SecretStr:
    return SecretStr(_plain(text))


def _url(text: str) -> str:
    _token_like(text)
    if "\\" in text:
        raise ValueError("「\\」は使えません。")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("URL として読み取れません。") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("https:// で始まる URL を指定してください。")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("URL には利用者名、「?」、「#」を含めないでください。")
    if parts.scheme == "http" and not is_loopback_host(parts.hostname):
        raise ValueError(
            "この端末以外には https:// の URL を指定してください（http:// では秘密が漏れます）。"
        )
    return text.rstrip("/")


def _hosts(text: str) -> tuple[str, ...]:
    hosts = []
    for part in text.split(","):
        name = part.strip().lower()
        if not name:
            continue
        if not _HOST.fullmatch(name) or (name[0] == "." and name.count(".") < 2):
            raise ValueError(
                "ホスト名だけを半角カンマ区切りで指定してください（https:// やパスは不要です）。"
            )
        hosts.append(name)
    return tuple(hosts)


def _number(limit: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,20}", text) or not 0 < int(text) < limit:
            raise ValueError("半角数字の番号を指定してください。")
        return int(text)

    return read


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (math.isfinite(value) and value >= 0):
        raise ValueError("0 以上の秒数を半角数字で指定してください。")
    return value


def _receiver(text: str) -> str:
    if text.lower() in ("embedded", "off"):
        return text.lower()
    if not text.startswith("https://"):
        raise ValueError("embedded、off、または https:// で始まる受信サーバーの URL を指定してください。")
    return _url(text)


def _time_scale(text: str) -> str:
    try:
        parse_time_scale(text)
    except (ValueError, OverflowError):
        raise ValueError(
            "「1」または「倍率@開始時刻」（例：20@2027-01-17T00:00:00+00:00）で指定してください。"
        ) from None
    return text


READERS: Mapping[str, Callable[[str], Any]] = {
    "api_url": _url,
    "auth_url": _url,
    "download_hosts": _hosts,
    "client_id": _token_like,
    "client_secret": _secret,
    "service_account": _token_like,
    "private_key_file": _plain,
    "private_key_passphrase": _passphrase,
    "domain_id": _number(2**63),
    "bot_id": _number(2**63),
    "bot_secret": _secret,
    "home": _plain,
    "ledger_url": _plain,
    "receiver": _receiver,
    "receiver_token": _secret,
    "log_delay_s": _seconds,
    "time_scale": _time_scale,
    "font": _plain,
    "line_url": _url,
    "line_channel_token": _secret,
}
NAMES = ("profile", *READERS)
"""Every setting."""
