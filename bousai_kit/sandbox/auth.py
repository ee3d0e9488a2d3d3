"""The token host: service-account JWT, refresh, revoke; and the check of bearer tokens (part 1 §1, §2.4).

Times are judged by the sandbox's clock, never the wall's. The auth host has error shapes of its own: OAuth's
``error``/``error_description`` and, for what cannot be parsed, ``returnCode``/``returnMessage`` (§1.8).
Tokens are kept as hashes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import math
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import jwt

from bousai_kit.sandbox.ops import ApiFault, Reply

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from bousai_kit.sandbox.choices import Choices
    from bousai_kit.sandbox.tenant import Entity, Tenant

__all__ = [
    "KEY_STATES",
    "KNOWN_SCOPES",
    "AuthHost",
    "Token",
    "check_address",
    "check_bearer",
    "issue",
    "revoke_all",
]

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_WITH_READ = (
    "bot", "user", "orgunit", "group", "directory", "board", "calendar", "contact", "file", "mail", "task",
    "group.note", "group.folder", "partner", "form", "security.external-browser", "businessSupport",
)  # fmt: skip
KNOWN_SCOPES: frozenset[str] = frozenset(
    (
        *_WITH_READ,
        *(f"{name}.read" for name in _WITH_READ),
        *("bot.message", "user.email.read", "user.profile.read", "audit", "audit.read", "monitoring.read"),
        *("openid", "email", "profile"),
    )
)
KEY_STATES = ("valid", "reissued", "expired")
"""Of the app's private key; only the first one opens anything."""
FREE_PLAN_LACKS = ("directory", "directory.read", "audit", "audit.read", "monitoring.read")
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclass(frozen=True, slots=True)
class Token:
    """Who asks; ``user_id`` is "" for the service account."""

    scopes: frozenset[str]
    expires_at: datetime
    domain_id: int
    user_id: str = ""

    @property
    def is_service(self) -> bool:
        """Whether the service account asks, with administrator authority."""
        return not self.user_id


class _Refused(Exception):
    """An OAuth refusal."""

    def __init__(self, kind: tuple[int, str], description: str) -> None:
        super().__init__(description)
        self.reply = Reply(kind[0], {"error": kind[1], "error_description": description})


def _unexpected() -> Reply:
    return Reply(400, {"returnCode": "99", "returnMessage": "UnexpectedError"})


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _opaque() -> str:
    while True:
        text = "jp1" + base64.b64encode(secrets.token_bytes(178)).decode()
        if "+" in text and "/" in text:
            return text


def issue(
    tenant: Tenant, *, kind: str, scopes: Iterable[str], life_s: float, now: datetime, user_id: str = ""
) -> str:
    """Make a token and keep its hash.

    Parameters
    ----------
    kind : str
        ``access`` or ``refresh``.
    """
    for key, entry in list(tenant.table("tokens").items()):
        if datetime.fromisoformat(entry["expires"]) <= now - timedelta(days=1):
            tenant.delete("tokens", key)
    text = _opaque()
    tenant.put(
        "tokens",
        _hash(text),
        {
            "kind": kind,
            "scopes": sorted(scopes),
            "expires": (now + timedelta(seconds=life_s)).isoformat(),
            "user_id": user_id,
            "domain_id": tenant.domain_id,
        },
    )
    return text


def revoke_all(tenant: Tenant, *, user_id: str | None = None, kinds: tuple[str, ...] = ("access",)) -> int:
    """End tokens at once: all access tokens (as switching IP restriction does, part 2 §10), or one member's.

    Returns how many.
    """
    ended = [
        key
        for key, entry in tenant.table("tokens").items()
        if entry["kind"] in kinds and (user_id is None or entry["user_id"] == user_id)
    ]
    for key in ended:
        tenant.delete("tokens", key)
    return len(ended)


def check_bearer(tenant: Tenant, header: str | None, now: datetime) -> Token:
    """Read ``Authorization: Bearer <token>`` (exactly one space).

    Raises
    ------
    ApiFault
        401 UNAUTHORIZED.
    """
    if not header:
        raise ApiFault(401, "UNAUTHORIZED", "Authentication token is required.")
    scheme, _, text = header.partition(" ")
    entry = tenant.table("tokens").get(_hash(text)) if scheme.lower() == "bearer" else None
    if entry is None or entry["kind"] != "access":
        raise ApiFault(401, "UNAUTHORIZED", "Malformed authentication token")
    expires = datetime.fromisoformat(entry["expires"])
    if expires <= now:
        raise ApiFault(401, "UNAUTHORIZED", "Authentication token is expired.")
    return Token(frozenset(entry["scopes"]), expires, entry["domain_id"], entry["user_id"])


def check_address(tenant: Tenant, client: tuple[str, int] | None, choices: Choices) -> None:
    """Refuse a caller whose address is not listed, once addresses are listed (admin host, ``PUT /console``).

    Raises
    ------
    ApiFault
    """
    listed = tenant.get("allowed_ips")
    if not listed:
        return
    try:
        address = ipaddress.ip_address(client[0] if client else "")
    except ValueError:
        raise ApiFault(*choices.address_not_allowed) from None
    if not any(address in ipaddress.ip_network(entry, strict=False) for entry in listed):
        raise ApiFault(*choices.address_not_allowed)


class AuthHost:
    """Answers ``POST …/token`` and ``POST …/revoke``.

    Parameters
    ----------
    tenant : Tenant
    public_key : RSAPublicKey
        Of the app's service account.
    client_id, client_secret, service_account : str
    """

    def __init__(
        self,
        tenant: Tenant,
        *,
        public_key: RSAPublicKey,
        client_id: str,
        client_secret: str,
        service_account: str,
        choices: Choices,
        plan: str,
    ) -> None:
        self.tenant = tenant
        self.choices = choices
        self.plan = plan
        self._key = public_key
        self._client_id = client_id
        self._client_secret = client_secret
        self._service_account = service_account

    def __repr__(self) -> str:
        return "<AuthHost>"

    @property
    def app_scopes(self) -> frozenset[str]:
        """The scopes that the app may use (Developer Console; the admin host can change them)."""
        chosen = frozenset(self.tenant.get("app_scopes") or KNOWN_SCOPES)
        return chosen - frozenset(FREE_PLAN_LACKS) if self.plan == "free" else chosen

    def handle(self, path: str, body: bytes, now: datetime) -> Reply:
        """One request; `path` is what stands behind the base."""
        try:
            form = dict(
                parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
            )
        except (ValueError, UnicodeDecodeError):
            return _unexpected()
        try:
            self._check_client(form)
            reply = self._revoke(form) if path == "/revoke" else self._token(form, now)
        except _Refused as refused:
            reply = refused.reply
        reply.headers.setdefault("Cache-Control", "no-store")
        return reply

    def _check_client(self, form: dict[str, str]) -> None:
        same_id = hmac.compare_digest(form.get("client_id", "").encode(), self._client_id.encode())
        same_secret = hmac.compare_digest(
            form.get("client_secret", "").encode(), self._client_secret.encode()
        )
        if not (same_id and same_secret):
            raise _Refused(self.choices.invalid_client, "Client authentication failed.")

    def _token(self, form: dict[str, str], now: datetime) -> Reply:
        grant = form.get("grant_type", "")
        if unquote(grant) == JWT_GRANT:  # the wire may carry it encoded twice (§1.3)
            return self._by_assertion(form, now)
        if grant == "refresh_token":
            return self._by_refresh(form, now)
        raise _Refused((400, "unsupported_grant_type"), "grant_type is not supported.")

    def _by_assertion(self, form: dict[str, str], now: datetime) -> Reply:
        user_id = self._verify(form.get("assertion", ""), now)
        scopes = self._scopes(form.get("scope", ""))
        if self.choices.new_token_ends_older:
            revoke_all(self.tenant, user_id=user_id, kinds=("access", "refresh"))
        life = self.choices.token_life_s
        return Reply(
            200,
            {
                "access_token": issue(
                    self.tenant, kind="access", scopes=scopes, life_s=life, now=now, user_id=user_id
                ),
                "refresh_token": issue(
                    self.tenant,
                    kind="refresh",
                    scopes=scopes,
                    life_s=self.choices.refresh_life_s,
                    now=now,
                    user_id=user_id,
                ),
                "token_type": "Bearer",
                "expires_in": str(life),
                "scope": " ".join(scopes),
            },
        )

    def _scopes(self, text: str) -> list[str]:
        if self.choices.scope_may_use_commas:
            text = text.replace(",", " ")
        scopes = list(dict.fromkeys(text.split()))
        late = self.choices.ungranted_scope == "call"
        if not scopes or not (frozenset(KNOWN_SCOPES) if late else self.app_scopes).issuperset(scopes):
            raise _Refused(self.choices.invalid_scope, "A requested scope is not enabled for the app.")
        return scopes

    def _verify(self, assertion: str, now: datetime) -> str:
        """Check a JWT; the member it acts for, or ""."""
        refuse = self.choices.invalid_assertion
        if self.tenant.get("key_state") in KEY_STATES[1:]:
            raise _Refused(refuse, "The key of the service account is not valid any more.")
        parts = assertion.split(".")
        if len(parts) != 3 or not all(_SEGMENT.match(part) for part in parts):
            raise _Refused(refuse, "assertion is not a JWT.")
        try:
            claims = jwt.decode(
                assertion,
                self._key,
                algorithms=["RS256"],
                options={
                    "verify_signature": True,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                    "verify_iss": False,
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise _Refused(refuse, "The signature of the assertion is invalid.") from None
        if claims.get("iss") != self._client_id:
            raise _Refused(refuse, "iss is invalid.")
        if claims.get("sub") != self._service_account:
            raise _Refused(refuse, "sub is invalid.")
        issued, expires = _seconds(claims, "iat", refuse), _seconds(claims, "exp", refuse)
        moment = now.timestamp()
        if expires - issued > 3600 + self.choices.assertion_tolerance_s:
            raise _Refused(refuse, "exp is more than 60 minutes after iat.")
        if not issued - self.choices.clock_skew_s <= moment <= expires + self.choices.clock_skew_s:
            raise _Refused(refuse, "The assertion is expired or not valid yet.")
        return self._delegate(claims.get("delegated_user"))

    def _delegate(self, wanted: Any) -> str:
        """§1.7: the login id of the member that the token acts as."""
        if wanted is None:
            return ""
        users = self.tenant.table("users") if self.choices.delegation else {}
        for user_id, user in users.items():
            if user.get("email") == wanted and not (user.get("isSuspended") or user.get("deletedAt")):
                return user_id
        raise _Refused(self.choices.invalid_assertion, "delegated_user is not allowed.")

    def _by_refresh(self, form: dict[str, str], now: datetime) -> Reply:
        text = form.get("refresh_token", "")
        if " " in text:  # a + that was not URL-encoded (§1.8, measured)
            return _unexpected()
        entry: Entity | None = self.tenant.table("tokens").get(_hash(text))
        if entry is None or entry["kind"] != "refresh" or datetime.fromisoformat(entry["expires"]) <= now:
            raise _Refused(self.choices.invalid_assertion, "refresh_token is invalid.")
        life = self.choices.token_life_s
        scopes, user_id = entry["scopes"], entry["user_id"]
        answer: dict[str, Any] = {
            "access_token": issue(
                self.tenant, kind="access", scopes=scopes, life_s=life, now=now, user_id=user_id
            ),
            "token_type": "Bearer",
            "expires_in": str(life),
            "scope": " ".join(scopes),
        }
        if self.choices.refresh_rotation:
            self.tenant.delete("tokens", _hash(text))
            answer["refresh_token"] = issue(
                self.tenant,
                kind="refresh",
                scopes=scopes,
                life_s=self.choices.refresh_life_s,
                now=now,
                user_id=user_id,
            )
        return Reply(200, answer)

    def _revoke(self, form: dict[str, str]) -> Reply:
        if not form.get("token"):
            raise _Refused((400, "invalid_request"), "token is required.")
        self.tenant.delete("tokens", _hash(form["token"]))
        return Reply(200, {} if self.choices.revoke_body else None)


def _seconds(claims: dict[str, Any], name: str, refuse: tuple[int, str]) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Refused(refuse, f"{name} must be a number.")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise _Refused(refuse, f"{name} must be a number.")
    return seconds
