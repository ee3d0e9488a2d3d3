"""Bots (part 2 §1.1 to §1.3): life, object, domains, members, secret."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.contents import i18n, unlimited, url_of
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, SILENT, Lab, trial, uid

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\+\d\d:\d\d|Z)")
LANGUAGES = ("ja_JP", "ko_KR", "zh_CN", "zh_TW", "en_US")
NEW = {
    "botName": "連絡Bot",
    "photoUrl": "https://example.invalid/bot.png",
    "description": "連絡用",
    "administrators": [uid(0)],
}
TEXT = {"content": {"type": "text", "text": "【訓練】"}}


async def create(bench: Lab, **more: Any) -> dict[str, Any]:
    answer = await bench.api("POST", "/bots", {**NEW, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def refused(bench: Lab, method: str, path: str, body: Any, named: str) -> None:
    answer = await bench.api(method, path, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER"), (body, answer.text)
    assert named in answer.json()["description"], answer.text


# -- life -------------------------------------------------------------------------------------------


@paragraph("2 §1.1", "2 §1.2")
def test_a_bot_lives_from_create_to_delete() -> None:
    async def test(bench: Lab) -> None:
        made = await create(bench)
        path = f"/bots/{made['botId']}"
        assert isinstance(made["botId"], int)
        assert TIME.fullmatch(made["createdTime"])
        assert TIME.fullmatch(made["modifiedTime"])
        assert (made["enableCallback"], made["enableGroupJoin"], made["allowDomains"]) == (False, False, [])
        assert "secret" not in str(made).lower()
        assert (await bench.api("GET", path)).json() == made
        listed = (await bench.api("GET", "/bots")).json()
        assert [bot["botId"] for bot in listed["bots"]] == [int(bench.bot), made["botId"]]
        assert listed["responseMetaData"] == {"nextCursor": None}
        await bench.clock.sleep(61)
        patched = await bench.api("PATCH", path, {"description": "訓練用", "enableGroupJoin": True})
        assert patched.status_code == 200
        assert patched.json()["description"] == "訓練用"
        assert patched.json()["botName"] == "連絡Bot", "what is left out stays"
        assert patched.json()["modifiedTime"] > made["modifiedTime"]
        replaced = await bench.api("PUT", path, NEW)
        assert replaced.status_code == 200
        assert replaced.json()["enableGroupJoin"] is False, "what is left out is as new"
        deleted = await bench.api("DELETE", path)
        assert (deleted.status_code, deleted.content) == (204, b"")
        for method, body in (("GET", None), ("PUT", NEW), ("PATCH", {}), ("DELETE", None)):
            assert (await bench.api(method, path, body)).status_code == 404

    trial(test)


@paragraph("2 §1.1")
def test_scopes_of_bots() -> None:
    async def test(bench: Lab) -> None:
        path = f"/bots/{bench.bot}"
        for scope, read, write in (("bot", 200, 200), ("bot.read", 200, 403), ("bot.message", 403, 403)):
            token = bench.bearer(scope)
            domains = f"{path}/domains"
            for where in ("/bots", path, domains, f"{domains}/{DOMAIN}/members"):
                assert (await bench.api("GET", where, headers=token)).status_code == read, where
            assert (await bench.api("PATCH", path, {}, headers=token)).status_code == write
            assert (await bench.api("POST", f"{path}/secret", headers=token)).status_code == write

    trial(test)


@paragraph("2 §1.1")
def test_a_tenant_has_300_bots() -> None:
    async def test(bench: Lab) -> None:
        unlimited(bench)
        for _ in range(299):
            await create(bench)
        await refused(bench, "POST", "/bots", NEW, "300")
        pages, cursor = [], ""
        while cursor is not None:
            query = {"count": 100, **({"cursor": cursor} if cursor else {})}
            page = (await bench.api("GET", "/bots", params=query)).json()
            pages.append(len(page["bots"]))
            cursor = page["responseMetaData"]["nextCursor"]
        assert pages == [100, 100, 100]
        assert len((await bench.api("GET", "/bots")).json()["bots"]) == 50

    trial(test)


@paragraph("2 §1.1", "2 §4.1")
def test_a_new_secret_ends_the_old_one_at_once() -> None:
    async def test(bench: Lab) -> None:
        answer = await bench.api("POST", f"/bots/{bench.bot}/secret")
        assert answer.status_code == 200
        assert set(answer.json()) == {"secret"}
        assert answer.json()["secret"] != bench.receiver.secret
        await bench.text(1)
        await bench.clock.sleep(1)
        assert bench.receiver.badly_signed == 1
        bench.receiver.secret = answer.json()["secret"]
        await bench.text(2)
        await bench.clock.sleep(1)
        assert (len(bench.receiver.events), bench.receiver.badly_signed) == (2, 1)

    trial(test)


@paragraph("2 §1.1")
def test_two_writes_of_one_bot_at_once_are_refused() -> None:
    async def test(bench: Lab) -> None:
        other = (await create(bench))["botId"]
        bot, domain = f"/bots/{bench.bot}", f"/bots/{bench.bot}/domains/{DOMAIN}"
        await bench.api("PATCH", domain, {"allowToSelectedMember": True})
        writes: list[tuple[str, str, Any]] = [
            ("PATCH", bot, {"description": "訓練用"}),
            ("PUT", bot, NEW),
            ("PATCH", domain, {"visible": True}),
            ("PUT", domain, {"allowToSelectedMember": True}),
            ("POST", f"{domain}/members", {"userId": uid(1)}),
            ("DELETE", f"{domain}/members/{uid(1)}", None),
            ("DELETE", domain, None),
            ("POST", domain, {}),
        ]
        for write in writes:
            both = await asyncio.gather(bench.api(*write), bench.api(*writes[0]))
            assert sorted(answer.status_code // 100 for answer in both) == [2, 4], write
            assert next(a for a in both if a.status_code == 409).json()["code"] == "CONFLICT"
            if both[0].status_code == 409:
                assert (await bench.api(*write)).status_code < 300
        apart = await asyncio.gather(bench.api(*writes[0]), bench.api("PATCH", f"/bots/{other}", {}))
        assert [answer.status_code for answer in apart] == [200, 200], "another bot is nobody's business"

    trial(test, choices=replace(SILENT, serial_service_s=0.02))


# -- object -----------------------------------------------------------------------------------------

STRINGS: list[tuple[str, int, Any]] = [
    ("botName", 100, lambda n: "あ" * n),
    ("description", 100, lambda n: "あ" * n),
    ("photoUrl", 1000, url_of),
    ("callbackUrl", 1000, url_of),
    ("administrators", 3, lambda n: [uid(number) for number in range(n)]),
    ("subadministrators", 3, lambda n: [uid(number) for number in range(n)]),
    ("i18nBotNames", 100, lambda n: i18n("botName", "あ" * n)),
    ("i18nDescriptions", 100, lambda n: i18n("description", "あ" * n)),
    ("i18nPhotoUrls", 1000, lambda n: i18n("photoUrl", url_of(n))),
]


@paragraph("2 §1.2")
@pytest.mark.parametrize(("name", "limit", "build"), STRINGS, ids=[name for name, _, _ in STRINGS])
def test_the_limit_is_taken_and_one_more_is_refused(name: str, limit: int, build: Any) -> None:
    async def test(bench: Lab) -> None:
        made = await create(bench, **{name: build(limit)})
        assert made[name] == build(limit)
        await refused(bench, "POST", "/bots", {**NEW, name: build(limit + 1)}, name)
        for method in ("PUT", "PATCH"):
            await refused(bench, method, f"/bots/{made['botId']}", {**NEW, name: build(limit + 1)}, name)

    trial(test)


@paragraph("2 §1.2")
def test_what_a_bot_needs_and_what_is_wrong_is_named() -> None:
    async def test(bench: Lab) -> None:
        for name in NEW:
            await refused(bench, "POST", "/bots", {k: v for k, v in NEW.items() if k != name}, name)
        for wrong, named in (
            ({"photoUrl": "http://example.invalid/a.png"}, "photoUrl"),
            ({"botName": "\n"}, "botName"),
            ({"administrators": []}, "administrators"),
            ({"administrators": [uid(1), uid(1)]}, "administrators"),
            ({"subadministrators": [uid(1), "s00001@city-demo"]}, "subadministrators"),
            ({"allowDomains": [DOMAIN, DOMAIN]}, "allowDomains"),
            ({"allowDomains": [1]}, "allowDomains"),
            ({"allowDomains": ["x"]}, "allowDomains"),
            ({"enableCallback": "yes"}, "enableCallback"),
            ({"enableGroupJoin": 1}, "enableGroupJoin"),
            ({"callbackEvents": ["postback"]}, "callbackEvents"),
            ({"callbackUrl": "http://example.invalid/"}, "callbackUrl"),
            ({"callbackUrl": "ftp://example.invalid/"}, "callbackUrl"),
            ({"defaultRichmenuId": "unknown"}, "defaultRichmenuId"),
            ({"i18nBotNames": i18n("botName", language="xx")}, "language"),
        ):
            await refused(bench, "POST", "/bots", {**NEW, **wrong}, named)
        unknown = await bench.api("POST", "/bots", {**NEW, "administrators": ["nobody@city-demo"]})
        assert unknown.status_code in (400, 404)

    trial(test)


@paragraph("2 §1.2")
def test_what_a_bot_keeps() -> None:
    async def test(bench: Lab) -> None:
        names = [{"language": language, "botName": language} for language in LANGUAGES]
        made = await create(
            bench,
            botName="一行\n二行\r\n三行",
            administrators=["s00001@city-demo"],
            callbackEvents=["text", "location", "sticker", "image", "file"],
            callbackUrl="https://example.invalid/callback",
            i18nBotNames=names,
            botId=1,
            createdTime="2000-01-01T00:00:00Z",
        )
        assert made["botName"] == "一行 二行 三行", "line breaks become spaces"
        assert made["administrators"] == [uid(1)]
        assert made["callbackEvents"] == ["text", "location", "sticker", "image", "file"]
        assert made["i18nBotNames"] == names
        assert made["botId"] != 1
        assert made["createdTime"].startswith("2027"), "read only"
        emptied = await bench.api("PATCH", f"/bots/{made['botId']}", {"callbackUrl": ""})
        assert emptied.json()["callbackUrl"] == "", "an empty text removes it"

    trial(test)


@paragraph("2 §1.2")
def test_domains_dropped_from_the_list_are_unregistered() -> None:
    async def test(bench: Lab) -> None:
        bot = f"/bots/{bench.bot}"
        assert (await bench.api("POST", f"{bot}/domains/10000002", {})).status_code == 201
        patched = await bench.api("PATCH", bot, {"allowDomains": [DOMAIN]})
        assert patched.json()["allowDomains"] == [DOMAIN]
        domains = (await bench.api("GET", f"{bot}/domains")).json()["domains"]
        assert [entry["domainId"] for entry in domains] == [DOMAIN]
        refusal = await bench.api("POST", f"{bot}/domains/10000002", {})
        assert refusal.status_code == 403, "not an allowed one"
        assert (await bench.api("PATCH", bot, {"allowDomains": []})).status_code == 200
        assert (await bench.api("POST", f"{bot}/domains/10000002", {})).status_code == 201, "empty: all"

    async def two(bench: Lab) -> None:
        bench.tenant.set("domains", [DOMAIN, 10000002])
        await test(bench)

    trial(two)


@paragraph("2 §1.2", "2 §3")
def test_without_group_join_a_bot_is_out_of_all_rooms() -> None:
    async def test(bench: Lab) -> None:
        rooms = [await bench.room(1, 2), await bench.room(2, 3)]
        await bench.text(1)
        assert (await bench.api("PATCH", f"/bots/{bench.bot}", {"enableGroupJoin": False})).status_code == 200
        for room in rooms:
            answer = await bench.api("POST", f"/bots/{bench.bot}/channels/{room}/messages", TEXT)
            assert answer.status_code == 403
        assert (await bench.text(1)).status_code == 201, "1:1 goes on"
        await bench.clock.sleep(5)
        left = [event["source"]["channelId"] for event in bench.receiver.of("leave")]
        assert left == rooms

    trial(test)


# -- domains and members ----------------------------------------------------------------------------


@paragraph("2 §1.1", "2 §1.3")
def test_a_bot_is_there_for_a_domain_once_it_is_registered() -> None:
    async def test(bench: Lab) -> None:
        bot = f"/bots/{(await create(bench))['botId']}"
        domain, message = f"{bot}/domains/{DOMAIN}", f"{bot}/users/{uid(1)}/messages"
        assert (await bench.api("POST", message, TEXT)).status_code == 403
        for missing in ("PUT", "PATCH", "DELETE"):
            assert (await bench.api(missing, domain, {} if missing != "DELETE" else None)).status_code == 404
        made = await bench.api("POST", domain, {})
        assert made.status_code == 201
        assert made.json() == {"domainId": DOMAIN, "visible": False, "allowToSelectedMember": False}
        assert (await bench.api("POST", message, TEXT)).status_code == 201
        listed = (await bench.api("GET", f"{bot}/domains", params={"count": 1})).json()
        assert listed == {"domains": [made.json()], "responseMetaData": {"nextCursor": None}}
        both = {"visible": True, "allowToSelectedMember": True}
        patched = await bench.api("PATCH", domain, {"visible": True})
        assert (patched.status_code, patched.json()) == (200, {**made.json(), "visible": True})
        assert (await bench.api("PUT", domain, both)).json() == {"domainId": DOMAIN, **both}
        replaced = await bench.api("PUT", domain, {})
        assert replaced.json() == made.json(), "a replacement forgets what it does not name"
        gone = await bench.api("DELETE", domain)
        assert (gone.status_code, gone.content) == (204, b"")
        assert (await bench.api("POST", message, TEXT)).status_code == 403
        assert (await bench.api("POST", f"{bot}/domains/99", {})).status_code == 404
        await refused(bench, "POST", domain, {"visible": "yes"}, "visible")
        await refused(bench, "POST", domain, {"allowToSelectedMember": 1}, "allowToSelectedMember")
        assert bench.receiver.events == [], "nobody is told of a registration"

    trial(test)


@paragraph("2 §1.3")
def test_chosen_members_are_added_and_taken_away_one_by_one() -> None:
    async def test(bench: Lab) -> None:
        unlimited(bench)
        domain = f"/bots/{bench.bot}/domains/{DOMAIN}"
        members = f"{domain}/members"
        everyone = (await bench.api("GET", members)).json()
        assert everyone == {"members": ["All users"], "responseMetaData": {"nextCursor": None}}
        assert (await bench.api("PATCH", domain, {"allowToSelectedMember": True})).status_code == 200
        assert (await bench.api("GET", members)).json()["members"] == []
        for number in range(60):
            named = uid(number) if number % 2 else f"s{number:05d}@city-demo"
            answer = await bench.api("POST", members, {"userId": named})
            assert (answer.status_code, answer.content) == (201, b"")
        first = (await bench.api("GET", members)).json()
        assert len(first["members"]) == 50
        rest = (
            await bench.api("GET", members, params={"cursor": first["responseMetaData"]["nextCursor"]})
        ).json()
        assert first["members"] + rest["members"] == [uid(number) for number in range(60)]
        for count in (0, 101, "x"):
            assert (await bench.api("GET", members, params={"count": count})).status_code == 400
        gone = await bench.api("DELETE", f"{members}/{uid(1)}")
        assert (gone.status_code, gone.content) == (204, b"")
        assert (await bench.api("DELETE", f"{members}/{uid(1)}")).status_code == 404
        assert (await bench.api("POST", members, {"userId": "nobody"})).status_code == 404
        await refused(bench, "POST", members, {}, "userId")

    trial(test, people=60)
