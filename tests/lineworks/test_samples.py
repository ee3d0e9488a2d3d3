"""Answers as files, per family and status: each becomes its value, or the right error with its advice."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from bousai_kit.errors import (
    ApiError,
    AuthRejected,
    BousaiKitError,
    Conflict,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    ServiceUnavailable,
)
from bousai_kit.lineworks.client import LineWorksClient
from bousai_kit.lineworks.messages import Text
from bousai_kit.lineworks.retry import Patience
from tests.lineworks.wirelab import BOT, DOMAIN, SAMPLES, START, Seen, Wire, run, sample

U = "3ae1f0c2-0000-4000-8000-000000000001"
ROOM = "12345a12-b12c-12d3-e123fghijkl"
WINDOW = {"since": START - timedelta(days=1), "until": START}
JAPANESE = re.compile("[ぁ-ん]")
SHORT = Patience(repeats=1, unsent=1, refusals=1)
Use = Callable[[LineWorksClient], Any]


def listed(pages: Callable[[LineWorksClient], Any]) -> Use:
    async def collect(client: LineWorksClient) -> list[Any]:
        return [item async for item in pages(client)]

    return collect


FINE: dict[str, tuple[str, Use, Callable[[Any], bool]]] = {
    "users create": (
        "users/201",
        lambda c: c.users.create({"email": "s0001@city-demo"}),
        lambda u: u["isPending"],
    ),
    "users patch": ("users/200", lambda c: c.users.patch(U, {"task": "x"}), lambda u: u["userId"] == U),
    "users suspend": ("users/204", lambda c: c.users.suspend(U), lambda n: n is None),
    "users logout": ("users/202", lambda c: c.users.force_logout(U), lambda n: n is None),
    "users keys": ("users/200-keys", listed(lambda c: c.users.external_keys()), lambda k: k[0]["id"] == U),
    "orgunits create": (
        "orgunits/201",
        lambda c: c.orgunits.create({"orgUnitName": "北区"}),
        lambda o: o["orgUnitName"] == "北区",
    ),
    "orgunits move": (
        "orgunits/200",
        lambda c: c.orgunits.move("o", display_order=1),
        lambda o: o["displayOrder"] == 1,
    ),
    "orgunits delete": ("orgunits/204", lambda c: c.orgunits.delete("o"), lambda n: n is None),
    "orgunits list": (
        "orgunits/200-list",
        listed(lambda c: c.orgunits.list()),
        lambda found: len(found) == 1,
    ),
    "orgunits members": (
        "orgunits/200-members",
        listed(lambda c: c.orgunits.members("o")),
        lambda found: found[0]["userId"] == U,
    ),
    "groups create": ("groups/201", lambda c: c.groups.create({}), lambda g: g["useMessage"]),
    "groups get": ("groups/200", lambda c: c.groups.get("g"), lambda g: g["members"][0]["id"] == U),
    "groups delete": ("groups/204", lambda c: c.groups.delete("g"), lambda n: n is None),
    "groups add": ("groups/201-member", lambda c: c.groups.add_member("g", U), lambda n: n is None),
    "groups master": (
        "groups/201-member",
        lambda c: c.groups.add_administrator("g", U),
        lambda n: n is None,
    ),
    "groups members": (
        "groups/200-members",
        listed(lambda c: c.groups.members("g")),
        lambda found: [m["type"] for m in found] == ["USER", "ORGUNIT"],
    ),
    "groups masters": (
        "groups/200-administrators",
        listed(lambda c: c.groups.administrators("g")),
        lambda found: found == [{"userId": U}],
    ),
    "positions create": (
        "positions/201",
        lambda c: c.positions.create({}),
        lambda p: p["positionId"] == "p-1",
    ),
    "positions patch": (
        "positions/200",
        lambda c: c.positions.patch("p-1", {}),
        lambda p: p["positionName"] == "区長",
    ),
    "positions delete": ("positions/204", lambda c: c.positions.delete("p-1"), lambda n: n is None),
    "positions list": (
        "positions/200-list",
        listed(lambda c: c.positions.list()),
        lambda found: len(found) == 1,
    ),
    "bots get": ("bots/200", lambda c: c.bots.get(BOT), lambda b: b["botId"] == BOT),
    "bots create": (
        "bots/201",
        lambda c: c.bots.create(
            {
                "botName": "b",
                "photoUrl": "https://example.invalid/b.png",
                "description": "d",
                "administrators": [U],
            }
        ),
        lambda b: b["enableCallback"],
    ),
    "bots secret": (
        "bots/200-secret",
        lambda c: c.bots.issue_secret(BOT),
        lambda s: s == "planted-bot-secret",
    ),
    "bots domain": (
        "bots/201-domain",
        lambda c: c.bots.register_domain(BOT, DOMAIN),
        lambda d: d["visible"],
    ),
    "bots domains": (
        "bots/200-domains",
        listed(lambda c: c.bots.domains(BOT)),
        lambda found: found[0]["domainId"] == DOMAIN,
    ),
    "bots delete": ("bots/204", lambda c: c.bots.delete(BOT), lambda n: n is None),
    "channels create": (
        "channels/201",
        lambda c: c.channels.create(BOT, [U]),
        lambda r: r["channelId"] == ROOM,
    ),
    "channels get": (
        "channels/200",
        lambda c: c.channels.get(BOT, ROOM),
        lambda r: r["channelType"]["type"] == "GROUP",
    ),
    "channels members": (
        "channels/200-members",
        listed(lambda c: c.channels.members(BOT, ROOM)),
        lambda found: found == [U],
    ),
    "channels leave": ("channels/204", lambda c: c.channels.leave(BOT, ROOM), lambda n: n is None),
    "messages": (
        "messages/201",
        lambda c: c.messages.to_user(BOT, U, Text("x")),
        lambda a: a.accepted_at == START,
    ),
    "boards posts": (
        "boards/200-posts",
        listed(lambda c: c.boards.posts(1)),
        lambda found: found[0]["postId"] == 4080000000000000123,
    ),
    "boards post": (
        "boards/201",
        lambda c: c.boards.post(1, title="t", body="b", more={"isMustRead": True}),
        lambda p: p["isMustRead"],
    ),
    "boards replace": (
        "boards/200",
        lambda c: c.boards.replace_post(1, 2, title="t", body="b"),
        lambda p: p["title"] == "【訓練】参集指示",
    ),
    "boards delete": ("boards/204", lambda c: c.boards.delete_post(1, 2), lambda n: n is None),
    "boards readers": (
        "boards/200-readers",
        listed(lambda c: c.boards.readers(1, 2)),
        lambda found: [reader["isRead"] for reader in found] == [True, False],
    ),
}


@pytest.mark.parametrize("name", FINE)
def test_an_answer_becomes_its_value(name: str) -> None:
    """Fields that no document lists (``notInTheDocuments``) do no harm."""
    file, use, right = FINE[name]

    async def one(client: LineWorksClient, wire: Wire) -> Any:
        return await use(client)

    found, wire = run(one, lambda seen: sample(file))
    assert not isinstance(found, BaseException), found
    assert right(found), found
    assert len(wire.seen) == 1


@pytest.mark.parametrize(
    ("file", "use"),
    [
        ("audit/302", lambda c: c.audit.download(service="auth", **WINDOW)),
        ("monitoring/302", lambda c: c.monitoring.download(**WINDOW)),
        ("attachments/302", lambda c: c.attachments.download(BOT, "f")),
    ],
)
def test_a_302_becomes_the_file(file: str, use: Use) -> None:
    async def one(client: LineWorksClient, wire: Wire) -> Any:
        return await use(client)

    def reply(seen: Seen) -> httpx.Response:
        return sample(file if seen.host == "www.worksapis.com" else "monitoring/200-csv")

    found, wire = run(one, reply)
    assert found.startswith("\ufeff日時,送信者".encode())
    assert [seen.token for seen in wire.seen] == ["token-1", "token-1"]


def test_an_upload_in_two_steps() -> None:
    async def one(client: LineWorksClient, wire: Wire) -> Any:
        return await client.attachments.upload(BOT, "map.pdf", b"x")

    found, _ = run(one, lambda seen: sample("attachments/200" if seen.number == 1 else "messages/201"))
    assert found.startswith("jp1.")


# -- refusals -------------------------------------------------------------------------------------------

READ: Use = lambda c: c.users.get(U)  # noqa: E731
WRITE: Use = lambda c: c.users.patch(U, {"task": "x"})  # noqa: E731
SEND: Use = lambda c: c.messages.to_user(BOT, U, Text("【訓練】"))  # noqa: E731

REFUSED: list[tuple[str, Use, type[BousaiKitError], str]] = [
    # family files
    ("users/400-password", lambda c: c.users.create({}), InvalidRequest, "項目を直して"),
    ("users/403", READ, PermissionDenied, "スコープ"),
    ("users/404", WRITE, NotFound, "ID"),
    ("users/409-keys", lambda c: c.users.set_external_keys({U: "S1"}), Conflict, "External Key"),
    ("orgunits/400", lambda c: c.orgunits.create({}), InvalidRequest, "項目を直して"),
    ("orgunits/404", lambda c: c.orgunits.delete("o"), NotFound, "ID"),
    ("groups/400", lambda c: c.groups.create({}), InvalidRequest, "項目を直して"),
    ("groups/403", lambda c: c.groups.delete("g"), PermissionDenied, "スコープ"),
    ("groups/409-member", lambda c: c.groups.add_member("g", U), Conflict, "既に使われていないか"),
    ("positions/400", lambda c: c.positions.create({}), InvalidRequest, "項目を直して"),
    ("positions/403-off", listed(lambda c: c.positions.list()), PermissionDenied, "スコープ"),
    ("positions/409", lambda c: c.positions.set_external_keys({"p": "K"}), Conflict, "External Key"),
    ("bots/400", lambda c: c.bots.patch(BOT, {}), InvalidRequest, "項目を直して"),
    ("bots/404", lambda c: c.bots.get(BOT), NotFound, "Bot"),
    ("channels/400", lambda c: c.channels.create(BOT, [U]), InvalidRequest, "項目を直して"),
    ("channels/404", lambda c: c.channels.get(BOT, ROOM), NotFound, "トークルーム"),
    ("messages/400", SEND, InvalidRequest, "項目を直して"),
    (
        "messages/403-not-in-room",
        lambda c: c.messages.to_channel(BOT, ROOM, Text("x")),
        PermissionDenied,
        "公開範囲",
    ),
    ("messages/404", SEND, NotFound, "メンバー"),
    ("attachments/404", lambda c: c.attachments.download(BOT, "f"), NotFound, "ID"),
    ("boards/403-unknown", lambda c: c.boards.get(1), PermissionDenied, "スコープ"),
    ("audit/400", lambda c: c.audit.download(service="auth", **WINDOW), InvalidRequest, "項目を直して"),
    ("audit/403", lambda c: c.audit.download(service="auth", **WINDOW), PermissionDenied, "スコープ"),
    ("monitoring/403", lambda c: c.monitoring.download(**WINDOW), PermissionDenied, "スコープ"),
    ("monitoring/429", lambda c: c.monitoring.download(**WINDOW), RateLimited, "1 分ほど待って"),
]
ANYWHERE: list[tuple[str, type[BousaiKitError], type[BousaiKitError], str, str]] = [
    # file, error of a request that may be repeated, error of a POST, what the hints say
    ("refusal/400", InvalidRequest, InvalidRequest, "項目を直して", "項目を直して"),
    ("refusal/400-truncated", InvalidRequest, InvalidRequest, "項目を直して", "項目を直して"),
    ("refusal/401", AuthRejected, AuthRejected, "Client ID", "Client ID"),
    ("refusal/401-expired", AuthRejected, AuthRejected, "Client ID", "Client ID"),
    ("refusal/401-download", AuthRejected, AuthRejected, "Client ID", "Client ID"),
    ("refusal/403", PermissionDenied, PermissionDenied, "スコープ", "スコープ"),
    ("refusal/403-empty", PermissionDenied, PermissionDenied, "スコープ", "スコープ"),
    ("refusal/403-unauthorized", AuthRejected, AuthRejected, "Client ID", "Client ID"),
    ("refusal/404", NotFound, NotFound, "ID", "ID"),
    ("refusal/404-html-less", NotFound, NotFound, "ID", "ID"),
    ("refusal/409", Conflict, Conflict, "External Key", "External Key"),
    ("refusal/413", InvalidRequest, InvalidRequest, "項目を直して", "項目を直して"),
    ("refusal/418-plain", InvalidRequest, InvalidRequest, "項目を直して", "項目を直して"),
    ("refusal/429", RateLimited, RateLimited, "1 分ほど待って", "1 分ほど待って"),
    ("refusal/429-bare", RateLimited, RateLimited, "1 分ほど待って", "1 分ほど待って"),
    ("refusal/500", ServiceUnavailable, OutcomeUnknown, "数分待って", "再送せず"),
    ("refusal/500-empty", ServiceUnavailable, OutcomeUnknown, "数分待って", "再送せず"),
    ("refusal/503", ServiceUnavailable, OutcomeUnknown, "数分待って", "再送せず"),
    ("refusal/503-proxy", ServiceUnavailable, OutcomeUnknown, "HTTPS_PROXY", "再送せず"),
    ("proxy/502-page", ServiceUnavailable, OutcomeUnknown, "HTTPS_PROXY", "再送せず"),
    ("proxy/504", ServiceUnavailable, OutcomeUnknown, "数分待って", "再送せず"),
    ("proxy/403-page", PermissionDenied, PermissionDenied, "HTTPS_PROXY", "HTTPS_PROXY"),
    ("proxy/407-page", InvalidRequest, InvalidRequest, "HTTPS_PROXY", "HTTPS_PROXY"),
    ("proxy/200-login-page", ProtocolViolation, OutcomeUnknown, "HTTPS_PROXY", "再送せず"),
    ("proxy/200-login-page-without-type", ProtocolViolation, OutcomeUnknown, "HTTPS_PROXY", "再送せず"),
]


def check_error(error: Any, kind: type[BousaiKitError], advice: str, file: str) -> None:
    assert type(error) is kind, repr(error)
    assert JAPANESE.search(str(error))
    assert str(error).endswith("。")
    assert advice in error.hint
    assert error.hint.endswith("ください。")
    assert "Traceback" not in error.sentence()
    if isinstance(error, ApiError):
        assert error.status == int(file.partition("/")[2][:3])
        assert error.method
        assert error.path.startswith("/")


@pytest.mark.parametrize(("file", "use", "kind", "advice"), REFUSED, ids=[each[0] for each in REFUSED])
def test_a_familys_refusal(file: str, use: Use, kind: type[BousaiKitError], advice: str) -> None:
    async def one(client: LineWorksClient, wire: Wire) -> Any:
        return await use(client)

    error, _ = run(one, lambda seen: sample(file), patience=SHORT)
    check_error(error, kind, advice, file)


@pytest.mark.parametrize(
    ("file", "kind", "post_kind", "advice", "post_advice"), ANYWHERE, ids=[each[0] for each in ANYWHERE]
)
def test_an_answer_that_any_family_may_meet(
    file: str,
    kind: type[BousaiKitError],
    post_kind: type[BousaiKitError],
    advice: str,
    post_advice: str,
) -> None:
    async def all_three(client: LineWorksClient, wire: Wire) -> list[Any]:
        return list(
            await asyncio.gather(*(use(client) for use in (READ, WRITE, SEND)), return_exceptions=True)
        )

    (read, write, sent), wire = run(all_three, lambda seen: sample(file), patience=SHORT)
    check_error(read, kind, advice, file)
    check_error(write, kind, advice, file)
    check_error(sent, post_kind, post_advice, file)
    if post_kind is OutcomeUnknown:
        assert sum(seen.method == "POST" for seen in wire.seen) == 1, "never twice"


def test_every_file_is_read_by_a_test() -> None:
    here = {f"{path.parent.name}/{path.stem}" for path in SAMPLES.rglob("*.http")}
    elsewhere = {"bots/200-members-all", "bots/201-message", "logs/302", "users/200-first", "users/200-last"}
    read = {file for file, *_ in (*FINE.values(), *REFUSED, *ANYWHERE)} | {
        f"token/{file}" for file, *_ in TOKEN
    }
    read |= {"audit/302", "monitoring/302", "attachments/302", "attachments/200", "monitoring/200-csv"}
    assert here == read | elsewhere


def test_a_page_in_between_is_forgotten_once_it_is_gone() -> None:
    """Whoever logs in to the proxy need not restart: what a page refused is asked again."""

    async def use(client: LineWorksClient, wire: Wire) -> None:
        for ask in (READ, WRITE, SEND):
            with pytest.raises(PermissionDenied):
                await ask(client)
        assert (await READ(client))["userId"] == U
        await WRITE(client)
        assert (await SEND(client)).accepted_at

    error, wire = run(use, lambda seen: sample("proxy/403-page" if seen.number <= 3 else "users/200"))
    assert error is None
    assert len(wire.seen) == 6


def test_a_downloaded_page_is_a_file() -> None:
    """An HTML file that somebody sent to the bot is no proxy's page."""

    async def one(client: LineWorksClient, wire: Wire) -> Any:
        return await client.attachments.download(BOT, "f")

    def reply(seen: Seen) -> httpx.Response:
        return sample("attachments/302" if seen.host == "www.worksapis.com" else "proxy/200-login-page")

    found, _ = run(one, reply)
    assert found.startswith(b"<!DOCTYPE html>")


# -- the auth host --------------------------------------------------------------------------------------

TOKEN: list[tuple[str, type[BousaiKitError] | None, str, str]] = [
    ("200", None, "", ""),
    ("200-login-page", ProtocolViolation, "", "HTTPS_PROXY"),
    ("200-truncated", ProtocolViolation, "", ""),
    ("400-invalid-grant", AuthRejected, "invalid_grant", "秘密鍵"),
    ("400-invalid-scope", AuthRejected, "invalid_scope", "スコープ"),
    ("400-return-code", AuthRejected, "99", "Client Secret"),
    ("400-invalid-client-as-return-code", AuthRejected, "24", "Client Secret"),
    ("401-invalid-client", AuthRejected, "invalid_client", "Client Secret"),
    ("403-page", AuthRejected, "", "HTTPS_PROXY"),
    ("500", ServiceUnavailable, "", "数分待って"),
]


@pytest.mark.parametrize(("file", "kind", "code", "advice"), TOKEN, ids=[each[0] for each in TOKEN])
def test_what_the_auth_host_says(
    file: str, kind: type[BousaiKitError] | None, code: str, advice: str
) -> None:
    async def one(client: LineWorksClient, wire: Wire) -> Any:
        return await READ(client)

    answer = {"token_reply": lambda form: sample(f"token/{file}")}
    error, wire = run(one, lambda seen: sample("users/200"), wire=answer, patience=SHORT)
    if kind is None:
        assert error["userId"] == U
        return
    assert isinstance(error, kind), repr(error)
    assert getattr(error, "code", "") == code
    assert JAPANESE.search(str(error))
    assert advice in error.hint
    assert error.hint.endswith("ください。")
    assert not wire.seen, "nobody asks without a token"
    assert "jp1AAAAfake" not in error.sentence()
