"""Attachments (part 2 §1.6): announce, upload once, use for a day, download over another host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.contract.contents import BUBBLE, URI, columns, flex, listing, pictures, quick, refused, send, taken
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import SILENT, Lab, trial

LIMIT_HEADERS = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-ssed")
MEGABYTE = 1 << 20


async def announce(bench: Lab, name: str = "map.pdf") -> dict[str, str]:
    answer = await bench.api("POST", f"/bots/{bench.bot}/attachments", {"fileName": name})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def put(bench: Lab, url: str, data: bytes, part: str = "FileData", **headers: str) -> httpx.Response:
    files: Any = {part: ("map.pdf", data), "resourceName": (None, "map.pdf")}
    return await bench.http.post(url, files=files, headers={**bench.headers, **headers})


async def uploaded(bench: Lab, data: bytes, name: str = "map.pdf") -> str:
    first = await announce(bench, name)
    assert (await put(bench, first["uploadUrl"], data)).status_code in (200, 201)
    return first["fileId"]


@paragraph("2 §1.6")
def test_a_file_goes_up_in_two_steps_and_comes_down_over_a_302() -> None:
    async def test(bench: Lab) -> None:
        first = await announce(bench)
        assert set(first) == {"fileId", "uploadUrl"}
        api, storage = (httpx.URL(url) for url in (bench.sandbox.api_url, first["uploadUrl"]))
        assert (storage.host, storage.port) != (api.host, api.port), "another host"
        where = f"/bots/{bench.bot}/attachments/{first['fileId']}"
        assert (await bench.api("GET", where)).status_code == 404, "announced is not there"
        assert (await put(bench, first["uploadUrl"], b"\x00\r\n--data\xff")).status_code in (200, 201)
        answer = await bench.api("GET", where)
        assert (answer.status_code, answer.content) == (302, b"")
        assert not [name for name in LIMIT_HEADERS if name in answer.headers], "no limits on a 302"
        target = answer.headers["location"]
        assert httpx.URL(target).host != api.host
        bare = await bench.http.get(target)
        assert (bare.status_code, bare.text) == (401, "Authentication failed.")
        fetched = await bench.http.get(target, headers=bench.headers)
        assert fetched.content == b"\x00\r\n--data\xff"
        assert (await bench.api("GET", f"/bots/{bench.bot}/attachments/unknown")).status_code == 404

    trial(test)


@paragraph("2 §1.6")
def test_an_upload_needs_the_token_and_works_once() -> None:
    async def test(bench: Lab) -> None:
        url = (await announce(bench))["uploadUrl"]
        bare = await bench.http.post(url, files={"FileData": b"x"})
        assert (bare.status_code, bare.text) == (401, "Authentication failed.")
        assert (await put(bench, url, b"x", Authorization="Bearer other")).status_code == 401
        assert (await put(bench, url, b"one")).status_code in (200, 201), "a refusal does not use it up"
        assert (await put(bench, url, b"two")).status_code == 404
        assert (await put(bench, url.rpartition("/")[0] + "/unknown", b"x")).status_code == 404

    trial(test)


@paragraph("2 §1.6")
@pytest.mark.parametrize(("part", "status"), [("FileData", 2), ("Filedata", 2), ("file", 4)])
def test_the_part_has_its_name(part: str, status: int) -> None:
    async def test(bench: Lab) -> None:
        url = (await announce(bench))["uploadUrl"]
        assert (await put(bench, url, b"x", part)).status_code // 100 == status
        raw = await bench.http.post(url, content=b"x", headers=bench.headers)
        assert raw.status_code // 100 == 4, "multipart/form-data only"

    trial(test)


@paragraph("2 §1.6")
def test_url_and_id_live_a_day_from_the_first_step() -> None:
    async def test(bench: Lab) -> None:
        early, late = await announce(bench), await announce(bench)
        await bench.clock.sleep(86_399)
        assert (await put(bench, early["uploadUrl"], b"x")).status_code in (200, 201)
        content = {"type": "file", "fileId": early["fileId"]}
        await taken(bench, content)
        where = f"/bots/{bench.bot}/attachments/{early['fileId']}"
        assert (await bench.api("GET", where)).status_code == 302
        await bench.clock.sleep(1)
        assert (await put(bench, late["uploadUrl"], b"x")).status_code == 404
        await refused(bench, content, "fileId")
        assert (await bench.api("GET", where)).status_code == 404

    trial(test)


@paragraph("2 §1.6", "2 §2.2")
def test_a_file_goes_into_messages_of_its_bot() -> None:
    async def test(bench: Lab) -> None:
        file_id = await uploaded(bench, b"x", "a.png")
        pending = (await announce(bench, "b.png"))["fileId"]
        for kind in ("image", "video", "audio", "file"):
            await taken(bench, {"type": kind, "fileId": file_id})
            await refused(bench, {"type": kind, "fileId": pending}, "content.fileId")
        bot = {
            "botName": "b",
            "photoUrl": "https://example.invalid/b.png",
            "description": "d",
            "administrators": ["s00000@city-demo"],
        }
        other = str((await bench.api("POST", "/bots", bot)).json()["botId"])
        assert (await bench.api("POST", f"/bots/{other}/domains/10000001", {})).status_code == 201
        mine, bench.bot = bench.bot, other
        await refused(bench, {"type": "file", "fileId": file_id}, "content.fileId")
        assert (await bench.api("GET", f"/bots/{other}/attachments/{file_id}")).status_code == 404
        bench.bot = mine

    trial(test)


@paragraph("2 §1.6", "2 §2.2", "2 §2.4")
def test_pictures_of_templates_have_a_megabyte_at_most() -> None:
    async def test(bench: Lab) -> None:
        fits, large = [await uploaded(bench, b"x" * size, "a.png") for size in (MEGABYTE, MEGABYTE + 1)]
        for build in (
            lambda file_id: listing({"title": "a", "fileId": file_id}),
            lambda file_id: listing(coverData={"backgroundFileId": file_id}),
            lambda file_id: columns(URI, fileId=file_id),
            lambda file_id: pictures(URI, fileId=file_id, originalContentUrl=None),
            lambda file_id: quick(URI, imageResourceId=file_id),
        ):
            await taken(bench, build(fits))
            await refused(bench, build(large), "1048576")
            await refused(bench, build("unknown"), "is invalid")
        await taken(bench, {"type": "image", "fileId": large})
        hero = {**BUBBLE, "hero": {"type": "image", "fileId": fits}}
        assert (await send(bench, flex(hero)))[0] == 201

    trial(test)


@paragraph("2 §1.6")
def test_the_tenant_s_cap_and_the_blocked_extensions() -> None:
    async def test(bench: Lab) -> None:
        first = await announce(bench)
        assert (await put(bench, first["uploadUrl"], b"x" * 1001)).status_code == 413
        assert (await put(bench, first["uploadUrl"], b"x" * 1000)).status_code in (200, 201)
        script = await uploaded(bench, b"x", "run.bat")
        await refused(bench, {"type": "file", "fileId": script}, "blocked")
        for body in ({}, {"fileName": ""}, {"fileName": 3}):
            answer = await bench.api("POST", f"/bots/{bench.bot}/attachments", body)
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER")

    trial(test, choices=replace(SILENT, max_file_bytes=1000))


@paragraph("2 §1.6")
def test_scopes_of_attachments() -> None:
    async def test(bench: Lab) -> None:
        file_id = await uploaded(bench, b"x")
        path = f"/bots/{bench.bot}/attachments"
        for scope, write, read in (
            ("bot.message", 200, 302),
            ("bot", 200, 302),
            ("bot.read", 403, 302),
            ("user", 403, 403),
        ):
            token = bench.bearer(scope)
            made = await bench.api("POST", path, {"fileName": "a"}, headers=token)
            assert made.status_code == write, scope
            assert (await bench.api("GET", f"{path}/{file_id}", headers=token)).status_code == read, scope

    trial(test)


@paragraph("2 §1.6", "2 §4.2")
@pytest.mark.parametrize("kind", ["image", "file", "audio", "video"])
def test_what_a_member_sends_can_be_fetched(kind: str) -> None:
    async def test(bench: Lab) -> None:
        assert (await bench.api("PATCH", f"/bots/{bench.bot}", {"callbackEvents": [kind]})).status_code == 200
        content = {"type": kind, "fileName": "a.jpg", "hex": "ffd8ff"}
        sent = await bench.admin("POST", "/staff/send", {"user": "s00001@city-demo", "content": content})
        assert sent.status_code == 204
        await bench.clock.sleep(1)
        heard = bench.receiver.of("message")[0]["content"]
        assert set(heard) == {"type", "fileId"}
        answer = await bench.api("GET", f"/bots/{bench.bot}/attachments/{heard['fileId']}")
        fetched = await bench.http.get(answer.headers["location"], headers=bench.headers)
        assert fetched.content == bytes.fromhex("ffd8ff")

    trial(test)
