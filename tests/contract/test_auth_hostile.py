"""Anything at all at the token host and as a bearer header: an answer in the vendor's shape, never a 500."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bousai_kit.sandbox.ops import Operation
from tests.contract.authlab import GRANT, claims, key_of, signed
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import SILENT, Lab, lab, private_key

FORM = "application/x-www-form-urlencoded"
QUICK = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    max_examples=150,
    phases=(Phase.generate,),  # one tenant for all examples: nothing to shrink
)
SHAPES = ({"error", "error_description"}, {"returnCode", "returnMessage"}, {"code", "description"})
TOKEN = {"access_token", "refresh_token", "token_type", "expires_in", "scope"}
WORDS = st.sampled_from([
    "iss", "sub", "iat", "exp", "aud", "jti", "nbf", "alg", "typ", "kid", "crit", "b64", "jwk", "jku", "x5c",
    "delegated_user", "none", "HS256", "RS256", "ES256", "JWT", "", "https://a.invalid/k", "../k",
])  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    WORDS,
    st.sampled_from([1 << 63, -1, 10**400, 1e308]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(WORDS, st.text(max_size=6)), inner, max_size=4)
    ),
    max_leaves=8,
)
TEXTS = st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")), WORDS)
HEADER_BYTES = st.binary(max_size=80).map(
    lambda raw: bytes(byte for byte in raw if byte not in (0, 10, 13))  # what no server lets in
)


def refused(answer: httpx.Response, said: Any) -> None:
    assert 400 <= answer.status_code < 500, (said, answer.status_code, answer.text)
    assert set(answer.json()) in SHAPES, (said, answer.text)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def fuzz(strategy: st.SearchStrategy[Any], once: Callable[[Lab, Any], Awaitable[None]]) -> None:
    """One tenant for all examples; `lab` looks for defects at its end."""
    with asyncio.Runner() as runner:
        opened = lab(1, choices=SILENT)
        bench = runner.run(opened.__aenter__())
        bench.sandbox.limits.overrides["default"] = 10**6

        @QUICK
        @given(drawn=strategy)
        def examples(drawn: Any) -> None:
            runner.run(once(bench, drawn))
            assert bench.sandbox.defects == [], drawn

        examples()
        tokens = bench.tenant.table("tokens")
        assert len(tokens) < 300
        runner.run(opened.__aexit__(None, None, None))


def form_of(bench: Lab, **more: str) -> dict[str, str]:
    made = bench.sandbox.credentials
    whole = {
        "client_id": made.client_id,
        "client_secret": made.client_secret,
        "grant_type": GRANT,
        "scope": "bot",
    }
    return {**whole, **more}


async def buy(bench: Lab, body: bytes, kind: bytes = FORM.encode(), path: str = "/token") -> httpx.Response:
    headers = [(b"Content-Type", kind)]
    return await bench.http.post(bench.sandbox.auth_url + path, content=body, headers=headers)


@paragraph("1 §1.2", "1 §1.8")
def test_no_assertion_breaks_the_token_host() -> None:
    async def once(bench: Lab, text: str) -> None:
        body = urlencode(form_of(bench, assertion=text), errors="surrogatepass").encode()
        refused(await buy(bench, body), text)

    whole = st.one_of(TEXTS, st.lists(TEXTS, min_size=3, max_size=3).map(".".join))
    fuzz(whole, once)


@paragraph("1 §1.2", "1 §1.8")
def test_no_header_and_no_claims_of_a_jwt_break_the_token_host() -> None:
    """Signed by the right key: what stands inside is anybody's."""

    async def once(bench: Lab, drawn: tuple[dict[str, Any], Any, bool]) -> None:
        head, inside, whole = drawn
        payload = {**claims(bench), **inside} if whole and isinstance(inside, dict) else inside
        signing = f"{b64(json.dumps({'alg': 'RS256', **head}).encode())}.{b64(json.dumps(payload).encode())}"
        key = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
        mac = key.sign(signing.encode(), key_of(private_key()))
        answer = await buy(bench, urlencode(form_of(bench, assertion=f"{signing}.{b64(mac)}")).encode())
        if answer.status_code == 200:
            assert set(answer.json()) == TOKEN
            assert {**claims(bench), **payload} == payload, "nothing needed was missing"
        else:
            refused(answer, drawn)

    heads = st.dictionaries(WORDS, JSON, max_size=3)
    insides = st.one_of(JSON, st.dictionaries(WORDS, JSON, max_size=3))
    fuzz(st.tuples(heads, insides, st.booleans()), once)


@paragraph("1 §1.2", "1 §1.8")
def test_no_bit_of_a_good_assertion_may_be_another_one() -> None:
    async def once(bench: Lab, drawn: tuple[int, int]) -> None:
        at, bit = drawn
        good = signed(bench).encode()
        bad = bytearray(good)
        bad[at % len(good)] ^= 1 << bit
        if decoded(bytes(bad)) == decoded(good):  # the last letter of a part holds bits that mean nothing
            return
        body = urlencode(form_of(bench, assertion=bad.decode("latin-1"))).encode()
        refused(await buy(bench, body), bytes(bad))

    def decoded(raw: bytes) -> list[bytes] | None:
        try:
            return [base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)) for part in raw.split(b".")]
        except ValueError:
            return None

    fuzz(st.tuples(st.integers(0, 5000), st.integers(0, 6)), once)


@paragraph("1 §1.3", "1 §1.8")
@pytest.mark.parametrize("path", ["/token", "/revoke"])
def test_no_body_breaks_the_token_host(path: str) -> None:
    async def once(bench: Lab, drawn: Any) -> None:
        if isinstance(drawn, bytes):
            refused(await buy(bench, drawn, path=path), drawn)
            return
        pairs = [*form_of(bench).items(), *drawn]  # duplicated fields among them
        answer = await buy(bench, urlencode(pairs).encode(), path=path)
        if path == "/revoke" and answer.status_code == 200:
            assert answer.content == b""
        else:
            refused(answer, drawn)

    fields = st.sampled_from(["client_id", "assertion", "grant_type", "scope", "refresh_token", "token", "x"])
    plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    fuzz(st.one_of(st.binary(max_size=200), st.lists(st.tuples(fields, plain), max_size=6)), once)


@paragraph("1 §1.3", "1 §1.8")
def test_no_content_type_breaks_the_token_host() -> None:
    async def once(bench: Lab, kind: bytes) -> None:
        body = urlencode(form_of(bench, assertion=signed(bench))).encode()
        answer = await buy(bench, body, kind)
        if answer.status_code == 200:
            assert kind.partition(b";")[0].strip().lower() == FORM.encode()
        else:
            assert answer.json() == {"returnCode": "99", "returnMessage": "UnexpectedError"}
            assert answer.status_code == 415

    spelled = st.sampled_from(
        [FORM.encode(), b"Application/X-WWW-form-urlencoded; charset=UTF-8", b"text/json"]
    )
    fuzz(st.one_of(HEADER_BYTES, spelled, st.tuples(spelled, HEADER_BYTES).map(b";".join)), once)


@paragraph("1 §2.1", "1 §2.4")
def test_no_authorization_header_breaks_the_gate() -> None:
    """Nobody's token opens anything, also when two headers come."""

    async def once(bench: Lab, drawn: tuple[list[bytes], bytes, Operation]) -> None:
        values, kind, operation = drawn
        path = operation.path.replace("{", "").replace("}", "")
        headers = [(b"Authorization", value) for value in values]
        if operation.method != "GET":
            headers.append((b"Content-Type", kind))
        base = bench.sandbox.api_url if operation.host == "api" else bench.sandbox.storage_url
        answer = await bench.http.request(operation.method, base + path, headers=headers)
        assert answer.status_code == 401, (drawn, answer.text)
        if operation.host == "api":
            assert answer.json()["code"] == "UNAUTHORIZED"
        else:
            assert answer.text == "Authentication failed."

    async def routes() -> list[Operation]:
        async with lab(0) as bench:
            found = [*bench.sandbox.routers["api"].operations, *bench.sandbox.routers["storage"].operations]
            return sorted(found, key=lambda operation: operation.name)

    value = st.one_of(
        HEADER_BYTES,
        HEADER_BYTES.map(b"Bearer ".__add__),
        st.sampled_from([b"Bearer", b"Basic YTpi", b"Bearer null", b"Bearer " + b"x" * 8000]),
    )
    calls = st.sampled_from(asyncio.run(routes()))
    fuzz(st.tuples(st.lists(value, max_size=2), HEADER_BYTES, calls), once)


@paragraph("1 §2.1", "1 §2.4")
def test_a_good_token_beside_another_one_opens_nothing() -> None:
    async def run() -> None:
        async with lab(1) as bench:
            good = bench.headers["Authorization"]
            url = f"{bench.sandbox.api_url}/users"
            assert (await bench.http.get(url, headers=[("Authorization", good)])).status_code == 200
            for other in (good, "Bearer x", ""):
                for pair in ((good, other), (other, good)):
                    headers = [("Authorization", value) for value in pair]
                    assert (await bench.http.get(url, headers=headers)).status_code == 401, pair

    asyncio.run(run())


@paragraph("1 §2.1", "1 §2.4")
def test_no_content_type_and_no_bytes_break_a_call() -> None:
    """An answer of its own for a wrong kind of body; a missing header is let through."""

    async def once(bench: Lab, drawn: tuple[bytes, bytes]) -> None:
        kind, body = drawn
        headers = [(b"Content-Type", kind), (b"Authorization", bench.headers["Authorization"].encode())]
        answer = await bench.http.post(f"{bench.sandbox.api_url}/users", content=body, headers=headers)
        assert answer.status_code in (400, 415), (drawn, answer.text)
        assert set(answer.json()) == {"code", "description"}

    kinds = st.one_of(
        HEADER_BYTES,
        st.sampled_from([b"application/json", b"application/json;charset=utf-16", b"text/plain"]),
    )
    bodies = st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode()))
    fuzz(st.tuples(kinds, bodies), once)
