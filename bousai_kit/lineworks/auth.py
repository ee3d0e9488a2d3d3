"""Service-account tokens: one for all tasks, renewed shortly before it expires and once after a 401.

Source: reference part 1 §1 (vendor pages auth-jwt, auth-oauth). What is asked and answered: `tokens`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime

import httpx

from bousai_kit.clock import Clock
from bousai_kit.errors import AuthRejected, ProtocolViolation, ServiceUnavailable
from bousai_kit.lineworks.problems import PAGE_HINT, is_page, read_problem, strange, unreached
from bousai_kit.lineworks.retry import (
    Action,
    Fate,
    Patience,
    Tries,
    back_off_s,
    fate_of,
    judge_absence,
    judge_answer,
)
from bousai_kit.lineworks.scopes import find_granted
from bousai_kit.lineworks.tokens import (
    ServiceAccount,
    Token,
    TokenAnswer,
    build_assertion,
    build_token_form,
    decipher_token,
    parse_http_date,
    read_key,
)

__all__ = [
    "Auth",
    "Purse",
    "ServiceAccount",
    "Token",
    "TokenAnswer",
    "build_assertion",
    "build_token_form",
    "decipher_token",
    "parse_http_date",
    "read_key",
]

_SKEW_S = 60.0
_REFUSED_FOR_S = 60.0
_DOUBTED_FOR_S = 60.0


class Purse:
    """The one token of an account, and who is fetching it; shared by all clients of a process."""

    def __init__(self) -> None:
        self.token: Token | None = None
        self.flight: asyncio.Task[Token] | None = None
        self.scopes: tuple[str, ...] | None = None  # those that the app has, once that is known
        self.refusal: tuple[float, AuthRejected] | None = None
        self.doubts: dict[str, tuple[Token, float]] = {}  # operation -> a new token that it refused, until

    def __repr__(self) -> str:
        return "<Purse>"

    def ask_anew(self) -> None:
        """Forget what was refused; a token without some of the scopes is given up."""
        self.refusal = None
        self.doubts.clear()
        if self.scopes is not None:
            self.scopes = self.token = None


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
    purse : Purse, optional
        Of the other clients of the same account.

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
        purse: Purse | None = None,
    ) -> None:
        self._account = account
        self._key = read_key(account)
        self._clock = clock
        self._rng = rng
        self._post = post
        self._patience = patience
        self._purse = purse or Purse()
        self.clock_skew_s: float | None = None
        """Seconds by which this clock is ahead of the server's (negative: behind); None: not known yet."""

    def __repr__(self) -> str:
        return "<Auth>"

    async def token(self, *, anew: bool = False) -> Token:
        """The token, fetched or renewed when needed.

        Parameters
        ----------
        anew : bool
            Fetch another one even so; when that is refused, the one that is held stays for the others.

        Raises
        ------
        AuthRejected
            The auth host said no (final; remembered for a minute).
        TransportFailed, ServiceUnavailable
            After all repeats.
        """
        purse = self._purse
        held = purse.token
        if held is not None and self._clock.now() < held.renew_at and not anew:
            return held
        flight = purse.flight
        if flight is None or flight.done() or flight.get_loop().is_closed():
            flight = purse.flight = asyncio.get_running_loop().create_task(self._renew(), name="token")
            flight.add_done_callback(_observe)
        return await asyncio.shield(flight)  # a caller that is stopped does not stop it for the others

    def refused(self, token: Token, operation: str, *, again: bool) -> bool:
        """A 401 met this token. True: another token may help, the next one who needs it fetches it.

        Parameters
        ----------
        again : bool
            The request had met a 401 with an earlier token: the token is not what is wrong, and it stays
            for the other operations. For a minute this operation does not ask for another one either.
        """
        now = self._clock.monotonic()
        if again:
            self._purse.doubts[operation] = (token, now + _DOUBTED_FOR_S)
            return False
        doubted, until = self._purse.doubts.get(operation, (None, 0.0))
        if doubted is token and now < until:
            return False
        if self._purse.token is token:
            self._purse.token = None
        return True

    async def refused_scopes(self) -> list[str]:
        """Scopes that the app does not have; the token carries the others."""
        await self.token()
        granted = self._scopes
        return [scope for scope in self._account.scopes if scope not in granted]

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
            f"この端末の時計が約 {abs(skew) / 60:.0f} 分{way}いるので、"
            "時計を自動設定（NTP）に直してから、もう一度実行してください。"
        )

    @property
    def _scopes(self) -> tuple[str, ...]:
        return self._account.scopes if self._purse.scopes is None else self._purse.scopes

    async def _renew(self) -> Token:
        purse = self._purse
        if purse.refusal is not None and self._clock.monotonic() < purse.refusal[0]:
            raise purse.refusal[1].with_traceback(None)
        try:
            try:
                token = await self._obtain(self._scopes)
            except AuthRejected as refusal:
                if refusal.code != "invalid_scope" or len(self._scopes) < 2:
                    raise
                token = await self._narrow(refusal)
        except AuthRejected as refusal:
            purse.refusal = (self._clock.monotonic() + _REFUSED_FOR_S, refusal)
            raise
        purse.token = token
        return token

    async def _narrow(self, refusal: AuthRejected) -> Token:
        """One scope that the app lacks refuses the whole request: find those that it has."""

        bought: dict[tuple[str, ...], Token] = {}

        async def granted(part: tuple[str, ...]) -> bool:
            try:
                bought[part] = await self._obtain(part)
            except AuthRejected as again:
                if again.code != "invalid_scope":
                    raise
            return part in bought

        left = await find_granted(self._scopes, granted)
        if not left:
            raise refusal
        token = bought[left] if left in bought else await self._obtain(left)
        self._purse.scopes = left
        return token

    async def _obtain(self, scopes: tuple[str, ...]) -> Token:
        tries = Tries(renewed=True)  # a 401 of the token request itself is final
        while True:
            asked_at = self._clock.now()
            answer: TokenAnswer | None = None
            fate = Fate.UNSENT
            try:
                answer = await self._post(build_token_form(self._clock, self._account, scopes, key=self._key))
            except httpx.RequestError as error:
                fate = fate_of(error)
                action = judge_absence(fate, safe=True, tries=tries, patience=self._patience)
            else:
                self.note_date(answer.server_date)
                action = judge_answer(answer.status, safe=True, tries=tries, patience=self._patience)
            if answer is None and action is Action.FAIL:
                raise unreached(fate, "LINE WORKS の認証サーバー", maybe_done=True)
            if answer is not None and action is Action.DONE:
                if is_page(answer.content):
                    raise strange(answer.status, page=True)
                return decipher_token(answer.content, asked_at=asked_at)
            if answer is not None and action is Action.FAIL:
                raise self._refused(answer)
            if answer is not None and action is Action.PAUSE:
                reset_s = answer.limits.reset_s
                await self._clock.sleep(
                    max(1.0, reset_s) if reset_s is not None else float(2 ** min(tries.refusals, 5))
                )
                tries.refusals += 1
            else:
                await self._clock.sleep(back_off_s(tries.broken, safe=True, rng=self._rng))
                tries.broken += 1

    def _refused(self, answer: TokenAnswer) -> AuthRejected | ServiceUnavailable | ProtocolViolation:
        problem = read_problem(answer.content)
        status, code, description = answer.status, problem.code, problem.description
        if status >= 500 or status == 429:
            return ServiceUnavailable(
                status=status, code=code, description=description, method="POST", path="/token"
            )
        if status < 400:
            return ProtocolViolation(
                f"認証サーバーが想定外の応答（{status}）を返しました。",
                hint="BOUSAI_AUTH_URL を確認してください。",
            )
        hint = self.skew_hint()
        if hint is None and code == "invalid_scope":
            hint = "Developer Console で、アプリに必要なスコープを追加してください。"
        if is_page(answer.content):
            hint = PAGE_HINT
        return AuthRejected(
            f"LINE WORKS の認証に失敗しました（{code or status}）。",
            status=status,
            code=code,
            description=description,
            method="POST",
            path="/token",
            hint=hint,
        )


def _observe(task: asyncio.Task[Token]) -> None:
    if not task.cancelled():
        task.exception()  # seen, also when everybody who waited was stopped
