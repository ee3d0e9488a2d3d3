"""302 and 307 by hand: where the bearer follows, and where nobody follows at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bousai_kit.errors import AuthRejected, ForeignLocation, InvalidRequest, OutcomeUnknown
from bousai_kit.lineworks.client import LineWorksClient, Trace
from bousai_kit.lineworks.hosts import HostRule, host_of, is_loopback
from tests.lineworks.wirelab import API, BOT, START, Seen, Wire, run, sample, script

STORE = "https://apis-storage.worksmobile.com/once?key=one-off"
VENDOR = HostRule(
    api_url=API, allowed_hosts=("files.city.example", "cdn.example:8443", ".store.example"), in_process=False
)
LOOP = HostRule(api_url="http://127.0.0.1:8000/v1.0", allowed_hosts=(), in_process=False)
INSIDE = HostRule(
    api_url="http://api.sandbox.invalid/v1.0", allowed_hosts=("storage.sandbox.invalid",), in_process=True
)


async def pull(client: LineWorksClient, _: Wire) -> Any:
    return await client.audit.download(service="auth", since=START - timedelta(hours=1), until=START)


def moved(location: str, status: int = 302) -> httpx.Response:
    return httpx.Response(status, headers={"Location": location})


def once(location: str, then: Any = None, status: int = 302) -> Any:
    """The API points elsewhere; elsewhere answers."""

    def reply(seen: Seen) -> Any:
        if "/audits/" in seen.target or seen.host == "www.worksapis.com":
            return moved(location, status)
        return then if then is not None else httpx.Response(200, content=b"csv")

    return reply


@pytest.mark.parametrize(
    "location",
    [
        STORE,
        "https://storage.worksmobile.com/x",
        "https://jp1-www.worksapis.com/v1.0/audits",
        "https://APIS-STORAGE.worksmobile.com/x",
        "https://apis-storage.worksmobile.com:443/x",
        "//apis-storage.worksmobile.com/x",
        "/elsewhere/on/the/api",
    ],
)
def test_the_bearer_follows_to_the_vendor(location: str) -> None:
    def reply(seen: Seen) -> Any:
        return moved(location) if seen.number == 1 else httpx.Response(200, content=b"csv")

    content, wire = run(pull, reply)
    assert content == b"csv"
    assert [seen.token for seen in wire.seen] == ["token-1", "token-1"]
    assert wire.seen[1].method == "GET"
    assert wire.seen[1].body == b""


FOREIGN = [
    "https://example.com/x",
    "https://apis-storage.worksmobile.com.example.com/x",
    "https://evilworksmobile.com/x",
    "https://worksmobile.com.evil/x",
    "http://apis-storage.worksmobile.com/x",
    "https://apis-storage.worksmobile.com:8443/x",
    "https://user@apis-storage.worksmobile.com/x",
    "https://apis-storage.worksmobile.com@evil.example/x",
    "https://evil.example\\@apis-storage.worksmobile.com/x",
    "https://evil.example#@apis-storage.worksmobile.com/",
    "https://0.0.0.0/x",
    "https://127.0.0.1/x",
    "http://localhost/x",
    "https://[::1]/x",
    "https://[::ffff:127.0.0.1]/x",
    "https://2130706433/x",
    "https://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "ftp://apis-storage.worksmobile.com/x",
    "https://apis\u2010storage.worksmobile.com/x",
    "https://apis-storage.worksmobile.com/x y",
    "http://[broken",
    "https://xn--worksapis-.worksapis.com/x",
    "https://apis-storage.worksmobile.com:99999/x",
    "https://apis-storage.worksmobile.com:port/x",
]


@pytest.mark.parametrize("location", FOREIGN)
def test_nobody_follows_elsewhere_nor_asks_again(location: str) -> None:
    assert VENDOR.follow(httpx.URL(API + "/audits/logs/download"), location) is None

    async def use(client: LineWorksClient, wire: Wire) -> None:
        for _ in range(3):
            with pytest.raises(ForeignLocation) as caught:
                await pull(client, wire)
            assert caught.value.host
            assert caught.value.exit_code == 1
        await client.users.patch("u1", {})  # whatever is written: it stays foreign
        with pytest.raises(ForeignLocation):
            await pull(client, wire)

    def reply(seen: Seen) -> Any:
        if "audits" in seen.target:
            return httpx.Response(302, headers=[(b"Location", location.encode())])
        return 200, {}

    error, wire = run(use, reply)
    assert error is None
    assert sum("audits" in seen.target for seen in wire.seen) == 1
    assert {seen.host for seen in wire.seen} == {"www.worksapis.com"}


def test_whoever_has_logged_in_at_a_proxys_page_is_let_through() -> None:
    """A browser login that the city's proxy asks for ends; the same read works again in the same kernel."""

    async def use(client: LineWorksClient, wire: Wire) -> Any:
        with pytest.raises(ForeignLocation):
            await client.bots.get(1)
        await wire.clock.sleep(600)
        return await client.bots.get(1)

    portal = httpx.Response(302, headers={"Location": "https://login.proxy.example/"})
    found, _ = run(use, script(portal, (200, {"botId": 1})))
    assert found == {"botId": 1}


@pytest.mark.parametrize("location", FOREIGN)
@pytest.mark.parametrize("rule", [LOOP, INSIDE], ids=["loopback", "in process"])
def test_a_practice_tenant_reaches_nothing_but_itself(rule: HostRule, location: str) -> None:
    base = httpx.URL("http://127.0.0.1:8000/v1.0/x" if rule is LOOP else "http://api.sandbox.invalid/v1.0/x")
    found = rule.follow(base, location)
    assert found is None or (rule is LOOP and is_loopback(found.host))
    assert rule.follow(base, STORE) is None


def test_loopback_follows_loopback_only() -> None:
    base = httpx.URL("http://127.0.0.1:8000/v1.0/x")
    for good in ("http://127.0.0.1:9000/x", "http://localhost:9/x", "http://[::1]:7/x", "http://127.8.8.8/x"):
        assert LOOP.follow(base, good) is not None, good
    for bad in (
        "http://0.0.0.0:9000/x",
        "http://[::]/x",
        "http://127.1/x",
        "http://localhost.evil.example/x",
    ):
        assert LOOP.follow(base, bad) is None, bad


def test_listed_hosts() -> None:
    base = httpx.URL(API + "/x")
    for good in (
        "https://files.city.example/x",
        "https://cdn.example:8443/x",
        "https://a.store.example/x",
        "https://FILES.city.example/x",
    ):
        assert VENDOR.follow(base, good) is not None, good
    for bad in (
        "http://files.city.example/x",
        "https://files.city.example:8443/x",
        "https://cdn.example/x",
        "https://store.example/x",
        "https://notstore.example/x",
        "https://x.files.city.example/x",
    ):
        assert VENDOR.follow(base, bad) is None, bad


def test_inside_a_process_only_listed_names() -> None:
    base = httpx.URL("http://api.sandbox.invalid/v1.0/x")
    assert INSIDE.follow(base, "http://storage.sandbox.invalid/x") is not None
    assert INSIDE.follow(base, "https://storage.sandbox.invalid/x") is not None
    assert INSIDE.follow(base, "http://other.invalid/x") is None
    assert INSIDE.follow(base, "http://127.0.0.1/x") is None


@given(st.text(max_size=60))
def test_a_location_never_breaks_the_rule(location: str) -> None:
    base = httpx.URL(API + "/x")
    found = VENDOR.follow(base, location)
    if found is not None:
        assert VENDOR.allows(found)
    assert isinstance(host_of(base, location), str)


@given(st.sampled_from(["https://", "http://", "//", ""]), st.text("abc.:@/\\#?[]%0179works", max_size=40))
def test_whatever_is_followed_is_https_and_listed(scheme: str, rest: str) -> None:
    found = VENDOR.follow(httpx.URL(API + "/x"), scheme + rest)
    if found is not None:
        assert found.scheme == "https"
        assert found.host.endswith(
            (".worksapis.com", ".worksmobile.com", ".store.example")
        ) or found.host in (
            "files.city.example",
            "cdn.example",
        )


@pytest.mark.parametrize("status", [307, 308])
def test_another_instance_gets_the_same_request(status: int) -> None:
    """307: repeat at Location with the Authorization header, method and body as they were."""

    def reply(seen: Seen) -> Any:
        return (
            moved("https://jp2-www.worksapis.com/v1.0/users", status)
            if seen.number == 1
            else sample("users/201")
        )

    async def use(client: LineWorksClient, wire: Wire) -> Any:
        return await client.users.create({"email": "s0001@city-demo"})

    user, wire = run(use, reply)
    assert user["email"] == "s0001@city-demo"
    first, second = wire.seen
    assert (first.method, first.body) == (second.method, second.body)
    assert second.host == "jp2-www.worksapis.com"
    assert second.token == "token-1"
    assert second.headers["content-type"] == first.headers["content-type"]


def test_another_instance_on_a_foreign_host_gets_nothing() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> Any:
        return await client.messages.to_user(BOT, "u1", {"type": "text", "text": "x"})

    error, wire = run(use, lambda seen: moved("https://evil.example/", 307))
    assert isinstance(error, ForeignLocation)
    assert error.host == "evil.example"
    assert len(wire.seen) == 1


def test_a_post_is_not_turned_into_a_get() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> Any:
        return await client.messages.to_user(BOT, "u1", {"type": "text", "text": "x"})

    error, wire = run(use, lambda seen: moved(STORE, 302))
    assert isinstance(error, OutcomeUnknown)
    assert len(wire.seen) == 1


@pytest.mark.parametrize("headers", [{}, {"Location": ""}])
def test_a_redirect_without_address(headers: dict[str, str]) -> None:
    error, wire = run(pull, lambda seen: httpx.Response(302, headers=headers))
    assert "想定外" in str(error)
    assert len(wire.seen) == 1


def test_a_ring_of_redirects_ends() -> None:
    error, wire = run(pull, lambda seen: moved(STORE))
    assert "想定外" in str(error)
    assert len(wire.seen) == 5


def test_a_refused_download_is_not_the_requests_refusal() -> None:
    """A one-off address has died: the same request may be asked again and gets another one."""

    def reply(seen: Seen) -> Any:
        if seen.host == "www.worksapis.com":
            return sample("logs/302")
        return 410 if seen.number == 2 else httpx.Response(200, content=b"csv")

    async def use(client: LineWorksClient, wire: Wire) -> Any:
        with pytest.raises(InvalidRequest):
            await pull(client, wire)
        return await pull(client, wire)

    assert run(use, reply)[0] == b"csv"


def test_a_401_of_the_download_host_starts_again_with_a_new_token() -> None:
    def reply(seen: Seen) -> Any:
        if seen.host == "www.worksapis.com":
            return sample("logs/302")
        return (
            httpx.Response(200, content=b"csv") if seen.token == "token-2" else sample("refusal/401-download")
        )

    content, wire = run(pull, reply)
    assert content == b"csv"
    assert [seen.token for seen in wire.seen] == ["token-1", "token-1", "token-2", "token-2"]
    error, _ = run(pull, once(STORE, sample("refusal/401-download")))
    assert isinstance(error, AuthRejected)


def test_a_download_that_breaks_starts_again_from_the_request() -> None:
    answers = [sample("logs/302"), httpx.ReadError, sample("logs/302"), httpx.Response(200, content=b"csv")]
    content, wire = run(pull, lambda seen: answers[seen.number - 1])
    assert content == b"csv"
    assert [seen.host for seen in wire.seen] == ["www.worksapis.com", "apis-storage.worksmobile.com"] * 2
    assert wire.seen[2].at - wire.seen[1].at >= 60  # audit downloads keep a minute apart


def test_one_off_addresses_are_not_traced() -> None:
    found: list[Trace] = []
    run(pull, once(STORE), tracer=found.append)
    assert [trace.path for trace in found[1:]] == ["/audits/logs/download", "→ apis-storage.worksmobile.com"]
    assert "one-off" not in repr(found)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "::ffff:127.0.0.1", "10.0.0.1", "localhost.", "", "127.0.0.1.nip.example"]
)
def test_no_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.255.254", "::1", "localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)
