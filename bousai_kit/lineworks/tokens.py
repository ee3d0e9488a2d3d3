"""What buys a token, and what the auth host answers. Pure: nothing here waits, sends or keeps anything.

Source: reference part 1 §1 (vendor pages auth-jwt, auth-oauth).
"""

from __future__ import annotations

import email.utils
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote_plus, urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bousai_kit.clock import Clock
from bousai_kit.errors import ConfigError, ProtocolViolation
from bousai_kit.lineworks.pacing import Limits

__all__ = [
    "ServiceAccount",
    "Token",
    "TokenAnswer",
    "build_assertion",
    "build_token_form",
    "decipher_token",
    "parse_http_date",
    "read_key",
    "reveal",
]

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EARLY_S = 30  # a clock that runs a little ahead still asks after `iat`
_LIFE_S = 1800  # at most 3600 are accepted
_RENEW_BEFORE_S = 300.0
_MOST_KEYS = 4
_read: dict[bytes, RSAPrivateKey] = {}
"""Keys by the digest of their text: checking one takes 0.1 s, and a process opens several clients."""


class _Secret(Protocol):
    def get_secret_value(self) -> str: ...


def reveal(secret: str | _Secret) -> str:
    """The text of a secret, wrapped or not."""
    return secret if isinstance(secret, str) else secret.get_secret_value()


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What buys a token; neither secret shows in a repr.

    Parameters
    ----------
    client_id, client_secret : str
        Of the app in the Developer Console (`client_secret` may be a ``SecretStr``).
    service_account : str
        In its full ``…@domain`` form.
    private_key : str
        PEM text (PKCS#8).
    scopes : tuple of str
        Asked for; what the app does not have is left out (see `Auth.refused_scopes`).
    """

    client_id: str
    client_secret: str | _Secret = field(repr=False)
    service_account: str
    private_key: str | _Secret = field(repr=False)
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """An access token.

    Attributes
    ----------
    value : str
        Never shown.
    renew_at : datetime
        Aware; from then on a new one is fetched (5 minutes, or a tenth of its life, before it expires).
    """

    value: str = field(repr=False)
    renew_at: datetime


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """Status, body, `Date` and limit headers of the auth host's answer."""

    status: int
    content: bytes = field(repr=False)
    server_date: datetime | None = None
    limits: Limits = field(default_factory=Limits)


def read_key(account: ServiceAccount) -> RSAPrivateKey:
    """Load the private key.

    Raises
    ------
    ConfigError
        It is not an RSA key in unencrypted PEM form.
    """
    pem = reveal(account.private_key).encode("utf-8", "replace")
    mark = hashlib.sha256(pem).digest()
    if mark in _read:
        return _read[mark]
    problem = ""
    try:
        key = load_pem_private_key(pem, password=None)
        if isinstance(key, RSAPrivateKey):
            if len(_read) >= _MOST_KEYS:
                _read.clear()
            _read[mark] = key
            return key
        problem = "秘密鍵が RSA 形式ではありません。"
    except TypeError:
        problem = "秘密鍵がパスワードで暗号化されています。"
    except Exception:
        problem = "秘密鍵（PEM）を読み取れません。"
    del pem  # a traceback that shows the variables of its frames shows none of it
    raise ConfigError(
        problem,
        setting="BOUSAI_PRIVATE_KEY_FILE",
        hint="Developer Console からダウンロードした秘密鍵（private_….key）を "
        "BOUSAI_PRIVATE_KEY_FILE に指定してください。",
    ) from None


def build_assertion(clock: Clock, account: ServiceAccount, *, key: RSAPrivateKey | None = None) -> str:
    """The signed JWT (RS256) that is exchanged for a token; `iat` lies 30 s back, `exp` 30 minutes on."""
    now = int(clock.now().timestamp())
    claims = {
        "iss": account.client_id,
        "sub": account.service_account,
        "iat": now - _EARLY_S,
        "exp": now - _EARLY_S + _LIFE_S,
    }
    return jwt.encode(claims, key or read_key(account), algorithm="RS256")


def build_token_form(
    clock: Clock, account: ServiceAccount, scopes: tuple[str, ...], *, key: RSAPrivateKey
) -> bytes:
    """The token request's form body."""
    return urlencode(
        {
            "assertion": build_assertion(clock, account, key=key),
            "grant_type": _GRANT,
            "client_id": account.client_id,
            "client_secret": reveal(account.client_secret),
            "scope": " ".join(scopes),
        },
        quote_via=quote_plus,
    ).encode()


def decipher_token(content: bytes, *, asked_at: datetime) -> Token:
    """Read a 200 answer of the token request; `expires_in` is a string of digits (or a number).

    Raises
    ------
    ProtocolViolation
        There is no token in it.
    """
    found = _read_token(content)
    del content  # a traceback that shows the variables of its frames shows none of it
    if found is None:
        raise ProtocolViolation("認証サーバーの応答にアクセストークンがありません。")
    value, life = found
    return Token(value, asked_at + timedelta(seconds=life - min(_RENEW_BEFORE_S, life / 10)))


def _read_token(content: bytes) -> tuple[str, float] | None:
    try:
        body: Any = json.loads(content)
        value = body["access_token"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        return None
    try:
        life = float(int(str(body.get("expires_in"))))
    except ValueError:
        life = 3600.0
    return value, min(max(life, 1.0), 86400.0 * 31)


def parse_http_date(text: str | None) -> datetime | None:
    """An HTTP ``Date`` header as aware UTC; None when it is missing or unreadable."""
    if not text:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
