"""The token host by plain HTTP: assertions, token requests, one call with what was bought."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives import serialization

from tests.sandbox.botlab import Lab

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
MINUTE, HOUR = 60, 3600


@lru_cache(maxsize=2)
def key_of(pem: str) -> Any:
    """The key of a PEM, read once: its check takes 100 ms."""
    return serialization.load_pem_private_key(pem.encode(), None)


def claims(bench: Lab, **changes: Any) -> dict[str, Any]:
    now = int(bench.clock.now().timestamp())
    made = bench.sandbox.credentials
    whole = {"iss": made.client_id, "sub": made.service_account, "iat": now, "exp": now + 30 * MINUTE}
    return {key: value for key, value in {**whole, **changes}.items() if value is not None}


def signed(bench: Lab, key: Any = None, algorithm: str = "RS256", **changes: Any) -> str:
    private = key_of(bench.sandbox.credentials.private_key_pem) if key is None else key
    return jwt.encode(claims(bench, **changes), private, algorithm=algorithm)


async def post(bench: Lab, path: str = "/token", **form: str) -> httpx.Response:
    made = bench.sandbox.credentials
    whole = {"client_id": made.client_id, "client_secret": made.client_secret, **form}
    return await bench.http.post(f"{bench.sandbox.auth_url}{path}", data=whole)


async def ask(bench: Lab, assertion: str = "", scope: str = "bot bot.message", **form: str) -> httpx.Response:
    assertion = assertion or signed(bench)
    return await post(bench, **{"grant_type": GRANT, "assertion": assertion, "scope": scope, **form})


async def bot(bench: Lab, token: str, *, header: str = "Bearer {}") -> httpx.Response:
    headers = {"Authorization": header.format(token)}
    return await bench.http.get(f"{bench.sandbox.api_url}/bots/{bench.bot}", headers=headers)
