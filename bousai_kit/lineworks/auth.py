"""Service-account tokens: one for all tasks, renewed shortly before it expires and once after a 401.

Source: reference part 1 §1 (vendor pages auth-jwt, auth-oauth).
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote_plus, urlencode

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bousai_kit.clock import Clock
from bousai_kit.errors import (
    AuthRejected,
    ConfigError,
    ProtocolViolation,
    ServiceUnavailable,
    TransportFailed,
)
from bousai_kit.lineworks.problems import read_problem
from bousai_kit.lineworks.retry import (
    Action,
    Patience,
    Tries,
    back_off_s,
    fate_of,
    judge_absence,
    judge_answer,
)

__all__ = [
    "Auth",
    "ServiceAccount",
    "Token",
    "TokenAnswer",
    "build_assertion",
    "build_token_form",
    "decipher_token",
    "parse_http_date",
    "read_key",
]

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EARLY_S = 30  # a clock that runs a little ahead still asks after `iat`
_LIFE_S = 1800  # at most 3600 are accepted
_RENEW_BEFORE_S = 300.0
_SKEW_S = 60.0
_REFUSED_FOR_S = 60.0


class _Secret(Protocol):
    def get_secret_value(self) -> str: ...


def _reveal(secret: str | _Secret) -> str:
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
    """Status, body and `Date` of the auth host's answer."""

    status: int
    content: bytes = field(repr=False)
    server_date: datetime | None = None


def read_key(account: ServiceAccount) -> RSAPrivateKey:
    """Load the private key.

    Raises
    ------
    ConfigError
        It is not an RSA key in unencrypted PEM form.
    """
    problem = ""
    try:
        key = load_pem_private_key(_reveal(account.private_key).encode(), password=None)
        if isinstance(key, RSAPrivateKey):
            return key
        problem = "秘密鍵が RSA 形式ではありません。"
    except TypeError:
        problem = "秘密鍵がパスワードで暗号化されています。"
    except Exception:
        problem = "秘密鍵（PEM）を読み取れません。"
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
            "client_secret": _reveal(account.client_secret),
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
    try:
        body: Any = json.loads(content)
        value = body["access_token"]
    except (ValueError, KeyError, TypeError, RecursionError):
        value = None
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise ProtocolViolation("認証サーバーの応答にアクセストークンがありません。") from None
    try:
        life = float(int(str(body.get("expires_in"))))
    except ValueError:
        life = 3600.0
    life = min(max(life, 1.0), 86400.0 * 31)
    return Token(value, asked_at + timedelta(seconds=life - min(_RENEW_BEFORE_S, life / 10)))


def parse_http_date(text: str | None) -> datetime | None:
    """An HTTP ``Date`` header as aware UTC; None when it is missing or unreadable."""
    if not text:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


class Auth:
    """Holds the one token. Whoever needs it while it is being fetched waits for the same request.

    Parameters
    ----------
    account : ServiceAccount
    clock : Clock
    rng : random.Random
        Jitter of the back-off.
    post : callable
        Sends the form to the token endpoint (``async (bytes) -> TokenAnswer``); raises
        ``httpx.TransportError``.
    patience : Patience

    Raises
    ------
    ConfigError
        The private key cannot be used.
    """

    def __init__(
        self,
        *,
        account: ServiceAccount,
        clock: Clock,
        rng: random.Random,
        post: Callable[[bytes], Awaitable[TokenAnswer]],
        patience: Patience,
    ) -> None:
        self._account = account
        self._key = read_key(account)
        self._clock = clock
        self._rng = rng
        self._post = post
        self._patience = patience
        self._token: Token | None = None
        self._flight: asyncio.Task[Token] | None = None
        self._scopes = account.scopes
        self._refusal: tuple[float, AuthRejected] | None = None
        self.clock_skew_s: float | None = None
        """Seconds by which this clock is ahead of the server's (negative: behind); None: not known yet."""

    def __repr__(self) -> str:
        return "<Auth>"

    async def token(self) -> Token:
        """The token, fetched or renewed when needed.

        Raises
        ------
        AuthRejected
            The auth host said no (final; remembered for a minute).
        TransportFailed, ServiceUnavailable
            After all repeats.
        """
        held = self._token
        if held is not None and self._clock.now() < held.renew_at:
            return held
        if self._flight is None or self._flight.done() or self._flight.get_loop().is_closed():
            self._flight = asyncio.get_running_loop().create_task(self._renew(), name="token")
            self._flight.add_done_callback(_observe)
        return await asyncio.shield(self._flight)  # a caller that is stopped does not stop it for the others

    def discard(self, token: Token) -> None:
        """A 401 met this token: the next one who needs a token fetches another, once for all."""
        if self._token is token:
            self._token = None

    async def refused_scopes(self) -> list[str]:
        """Scopes that the app does not have; the token carries the others."""
        await self.token()
        return [scope for scope in self._account.scopes if scope not in self._scopes]

    def note_date(self, server_date: datetime | None) -> None:
        """Compare the clock with a ``Date`` header (whole seconds, so half a second is added)."""
        if server_date is not None:
            self.clock_skew_s = (self._clock.now() - server_date).total_seconds() - 0.5

    def skew_hint(self) -> str | None:
        """What to do about a wrong clock, or None when it is right or unknown."""
        skew = self.clock_skew_s
        if skew is None or abs(skew) < _SKEW_S:
            return None
        way = "進んで" if skew > 0 else "遅れて"
        return (
            f"この端末の時計が約 {abs(skew) / 60:.0f} 分{way}います。"
            "時計を自動設定（NTP）に直してから、もう一度実行してください。"
        )

    async def _renew(self) -> Token:
        if self._refusal is not None and self._clock.monotonic() < self._refusal[0]:
            raise self._refusal[1]
        try:
            try:
                token = await self._obtain(self._scopes)
            except AuthRejected as refusal:
                if refusal.code != "invalid_scope" or len(self._scopes) < 2:
                    raise
                token = await self._narrow(refusal)
        except AuthRejected as refusal:
            self._refusal = (self._clock.monotonic() + _REFUSED_FOR_S, refusal)
            raise
        self._token = token
        return token

    async def _narrow(self, refusal: AuthRejected) -> Token:
        """One scope that the app lacks refuses the whole request: find those that it has."""
        granted = []
        for scope in self._scopes:
            try:
                await self._obtain((scope,))
            except AuthRejected as again:
                if again.code != "invalid_scope":
                    raise
            else:
                granted.append(scope)
        if not granted:
            raise refusal
        token = await self._obtain(tuple(granted))
        self._scopes = tuple(granted)
        return token

    async def _obtain(self, scopes: tuple[str, ...]) -> Token:
        tries = Tries()
        while True:
            asked_at = self._clock.now()
            answer: TokenAnswer | None = None
            try:
                answer = await self._post(build_token_form(self._clock, self._account, scopes, key=self._key))
            except httpx.TransportError as error:
                action = judge_absence(fate_of(error), safe=True, tries=tries, patience=self._patience)
                if action is Action.FAIL:
                    raise TransportFailed("LINE WORKS の認証サーバーに接続できません。") from None
            else:
                self.note_date(answer.server_date)
                tries.renewed = True  # a 401 of the token request itself is final
                action = judge_answer(answer.status, safe=True, tries=tries, patience=self._patience)
            if answer is not None and action is Action.DONE:
                return decipher_token(answer.content, asked_at=asked_at)
            if answer is not None and action is Action.FAIL:
                raise self._refused(answer)
            if action is Action.PAUSE:
                await self._clock.sleep(float(2 ** min(tries.refusals, 5)))
                tries.refusals += 1
            else:
                await self._clock.sleep(back_off_s(tries.broken, safe=True, rng=self._rng))
                tries.broken += 1

    def _refused(self, answer: TokenAnswer) -> AuthRejected | ServiceUnavailable | ProtocolViolation:
        problem = read_problem(answer.content)
        place = {"status": answer.status, "code": problem.code, "description": problem.description}
        if answer.status >= 500 or answer.status == 429:
            return ServiceUnavailable(**place, method="POST", path="/token")  # type: ignore[arg-type]
        if answer.status < 400:
            return ProtocolViolation(
                f"認証サーバーが想定外の応答（{answer.status}）を返しました。",
                hint="BOUSAI_AUTH_URL を確認してください。",
            )
        hint = self.skew_hint()
        if hint is None and problem.code == "invalid_scope":
            hint = "Developer Console で、アプリに必要なスコープを追加してください。"
        return AuthRejected(
            f"LINE WORKS の認証に失敗しました（{problem.code or answer.status}）。",
            **place,  # type: ignore[arg-type]
            method="POST",
            path="/token",
            hint=hint,
        )


def _observe(task: asyncio.Task[Token]) -> None:
    if not task.cancelled():
        task.exception()  # seen, also when everybody who waited was stopped
