"""Persistent menu and rich menus (part 2 §1.4, §1.5)."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.contract.contents import COPY, MESSAGE, PHONE_ONLY, POSTBACK, SAYING, URI, i18n, unlimited
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import Lab, trial, uid

AREA = {"action": URI, "bounds": {"x": 0, "y": 0, "width": 1250, "height": 843}}
RICH = {"richmenuName": "訓練", "areas": [AREA], "size": {"width": 2500, "height": 1686}}


def png(width: int, height: int, size: int = 100) -> bytes:
    head = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height)
    return head.ljust(size, b"\0")


def jpeg(width: int, height: int) -> bytes:
    frame = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" + b"\0" * 9
    return b"\xff\xd8\xff\xe0\x00\x04ab" + frame + b"\xff\xd9"


async def refused(bench: Lab, path: str, body: Any, named: str) -> None:
    answer = await bench.api("POST", path, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER"), (body, answer.text)
    assert named in answer.json()["description"], answer.text


async def uploaded(bench: Lab, data: bytes, name: str = "menu.png") -> str:
    """A file id."""
    first = (await bench.api("POST", f"/bots/{bench.bot}/attachments", {"fileName": name})).json()
    files = {"FileData": (name, data), "resourceName": (None, name)}
    answer = await bench.http.post(first["uploadUrl"], files=files, headers=bench.headers)
    assert answer.status_code in (200, 201), answer.text
    return str(first["fileId"])


# -- persistent menu --------------------------------------------------------------------------------


@paragraph("2 §1.4")
def test_a_persistent_menu_is_put_shown_and_taken_away() -> None:
    async def test(bench: Lab) -> None:
        path = f"/bots/{bench.bot}/persistentmenu"
        assert (await bench.api("GET", path)).status_code == 404
        menu = {"content": {"actions": [MESSAGE, URI, COPY, SAYING]}}
        for scope, status in (("bot.message", 201), ("bot", 201), ("bot.read", 403)):
            made = await bench.api("POST", path, menu, headers=bench.bearer(scope))
            assert made.status_code == status, scope
        assert (await bench.api("GET", path)).json() == menu
        assert (await bench.api("POST", path, {"content": {"actions": [URI]}})).status_code == 201
        assert len((await bench.api("GET", path)).json()["content"]["actions"]) == 1, "one for all"
        gone = await bench.api("DELETE", path)
        assert (gone.status_code, gone.content) == (204, b"")
        assert (await bench.api("GET", path)).status_code == 404
        assert (await bench.api("GET", "/bots/1/persistentmenu")).status_code == 404

    trial(test)


@paragraph("2 §1.4", "2 §2.3")
@pytest.mark.parametrize(
    ("name", "limit", "build"),
    [
        ("actions", 4, lambda n: [URI] * n),
        ("label", 1000, lambda n: [{**URI, "label": "あ" * n}]),
        ("i18nLabels", 1000, lambda n: [{**URI, "i18nLabels": i18n("label", "あ" * n)}]),
        ("postback", 1000, lambda n: [{**MESSAGE, "postback": "x" * n}]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_menu_s_limits(name: str, limit: int, build: Any) -> None:
    async def test(bench: Lab) -> None:
        path = f"/bots/{bench.bot}/persistentmenu"
        made = await bench.api("POST", path, {"content": {"actions": build(limit)}})
        assert made.status_code == 201, made.text
        await refused(bench, path, {"content": {"actions": build(limit + 1)}}, name)

    trial(test)


@paragraph("2 §1.4", "2 §2.3")
def test_a_menu_takes_message_uri_and_copy_only() -> None:
    async def test(bench: Lab) -> None:
        path = f"/bots/{bench.bot}/persistentmenu"
        for action in (POSTBACK, {**POSTBACK, "displayText": "a"}, *PHONE_ONLY):
            await refused(bench, path, {"content": {"actions": [action]}}, "not allowed here")
        for body, named in (
            ({}, "content"),
            ({"content": {}}, "content.actions"),
            ({"content": {"actions": []}}, "content.actions"),
            ({"actions": [URI]}, "content"),
            ({"content": {"actions": [{**URI, "label": ""}]}}, "label"),
        ):
            await refused(bench, path, body, named)

    trial(test)


@paragraph("2 §1.4", "2 §1.5")
def test_a_rich_menu_and_a_persistent_menu_exclude_each_other() -> None:
    async def test(bench: Lab) -> None:
        fixed, rich = f"/bots/{bench.bot}/persistentmenu", f"/bots/{bench.bot}/richmenus"
        menu = {"content": {"actions": [URI]}}
        assert (await bench.api("POST", fixed, menu)).status_code == 201
        made = await bench.api("POST", rich, RICH)
        assert (await bench.api("GET", fixed)).status_code == 404, "adding a rich menu deletes it"
        assert (await bench.api("POST", fixed, menu)).status_code == 400, "refused while there is one"
        assert (await bench.api("DELETE", f"{rich}/{made.json()['richmenuId']}")).status_code == 204
        assert (await bench.api("POST", fixed, menu)).status_code == 201

    trial(test)


# -- rich menus -------------------------------------------------------------------------------------


@paragraph("2 §1.5")
def test_a_rich_menu_is_made_shown_and_taken_away() -> None:
    async def test(bench: Lab) -> None:
        path = f"/bots/{bench.bot}/richmenus"
        shown = (await bench.api("POST", path, RICH)).json()
        assert {name: shown[name] for name in RICH} == RICH
        one = f"{path}/{shown['richmenuId']}"
        assert (await bench.api("GET", one)).json() == shown
        assert (await bench.api("GET", path)).json() == {
            "richmenus": [shown],
            "responseMetaData": {"nextCursor": None},
        }
        for scope, read, write in (("bot.read", 200, 403), ("bot.message", 200, 201), ("bot", 200, 201)):
            token = bench.bearer(scope)
            assert (await bench.api("GET", path, headers=token)).status_code == read
            assert (await bench.api("POST", path, RICH, headers=token)).status_code == write
        gone = await bench.api("DELETE", one)
        assert (gone.status_code, gone.content) == (204, b"")
        for method in ("GET", "DELETE"):
            assert (await bench.api(method, one)).status_code == 404

    trial(test)


@paragraph("2 §1.5")
@pytest.mark.parametrize(
    ("name", "limit", "build"),
    [
        ("richmenuName", 300, lambda n: {"richmenuName": "あ" * n}),
        ("areas", 20, lambda n: {"areas": [AREA] * n}),
        ("label", 20, lambda n: {"areas": [{**AREA, "action": {**URI, "label": "あ" * n}}]}),
        ("data", 300, lambda n: {"areas": [{**AREA, "action": {**POSTBACK, "data": "x" * n}}]}),
        ("postback", 1000, lambda n: {"areas": [{**AREA, "action": {**SAYING, "postback": "x" * n}}]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_rich_menu_s_limits(name: str, limit: int, build: Any) -> None:
    async def test(bench: Lab) -> None:
        path = f"/bots/{bench.bot}/richmenus"
        assert (await bench.api("POST", path, {**RICH, **build(limit)})).status_code == 201
        await refused(bench, path, {**RICH, **build(limit + 1)}, name)

    trial(test)


@paragraph("2 §1.5", "2 §2.3")
def test_what_an_area_may_do() -> None:
    async def test(bench: Lab) -> None:
        path = f"/bots/{bench.bot}/richmenus"
        for action in (POSTBACK, SAYING, URI, COPY):
            bare = {key: value for key, value in action.items() if key != "label"}
            for allowed in (action, bare):
                answer = await bench.api("POST", path, {**RICH, "areas": [{**AREA, "action": allowed}]})
                assert answer.status_code == 201, "a label may be left out"
        for wrong, named in (
            ({"action": MESSAGE, "bounds": AREA["bounds"]}, "text is required"),
            ({"action": PHONE_ONLY[0], "bounds": AREA["bounds"]}, "not allowed here"),
            ({"bounds": AREA["bounds"]}, "action"),
            ({"action": URI}, "bounds"),
            ({"action": URI, "bounds": {"x": 0, "y": 0, "width": 0, "height": 1}}, "width"),
            ({"action": URI, "bounds": {"x": -1, "y": 0, "width": 1, "height": 1}}, "x"),
        ):
            await refused(bench, path, {**RICH, "areas": [wrong]}, named)
        for size in ({"width": 2500, "height": 843}, {"width": 2500, "height": 1686}):
            assert (await bench.api("POST", path, {**RICH, "size": size})).status_code == 201
        for wrong_body in (
            {"size": {"width": 800, "height": 540}},
            {"size": None},
            {"areas": []},
            {"areas": None},
            {"richmenuName": ""},
        ):
            await refused(bench, path, {**RICH, **wrong_body}, next(iter(wrong_body)))

    trial(test)


@paragraph("2 §1.5")
def test_a_bot_has_a_thousand_rich_menus() -> None:
    async def test(bench: Lab) -> None:
        unlimited(bench)
        path = f"/bots/{bench.bot}/richmenus"
        assert (await bench.api("POST", path, RICH)).status_code == 201
        first = next(iter(bench.tenant.table("richmenus").values()))
        for number in range(998):
            bench.tenant.put("richmenus", f"{bench.bot}/{number}", {**first, "richmenuId": str(number)})
        assert (await bench.api("POST", path, RICH)).status_code == 201
        await refused(bench, path, RICH, "1000")
        page = (await bench.api("GET", path, params={"count": 100})).json()
        assert len(page["richmenus"]) == 100
        assert page["responseMetaData"]["nextCursor"]

    trial(test)


@paragraph("2 §1.5", "2 §1.6")
def test_an_image_has_the_menu_s_size_and_a_megabyte_at_most() -> None:
    async def test(bench: Lab) -> None:
        made = (await bench.api("POST", f"/bots/{bench.bot}/richmenus", RICH)).json()
        path = f"/bots/{bench.bot}/richmenus/{made['richmenuId']}/image"
        for good in (png(2500, 1686), jpeg(2500, 1686), png(2500, 1686, 1 << 20)):
            answer = await bench.api("POST", path, {"fileId": await uploaded(bench, good)})
            assert answer.status_code == 200, answer.text
        for wrong in (png(2500, 843), png(2500, 1686, (1 << 20) + 1), b"GIF89a" + b"\0" * 40, b""):
            await refused(bench, path, {"fileId": await uploaded(bench, wrong)}, "image")
        for body in ({"fileId": "unknown"}, {}):
            await refused(bench, path, body, "fileId")

    trial(test)


@paragraph("2 §1.5", "2 §1.2")
def test_a_menu_is_the_default_or_one_member_s() -> None:
    async def test(bench: Lab) -> None:
        bot = f"/bots/{bench.bot}"
        first, second = [
            (await bench.api("POST", f"{bot}/richmenus", RICH)).json()["richmenuId"] for _ in range(2)
        ]
        assert (await bench.api("POST", f"{bot}/richmenus/{first}/set-default")).status_code == 200
        assert (await bench.api("GET", bot)).json()["defaultRichmenuId"] == first
        for spelling in ("defaultRichmenuId", "defaultRichMenuId"):
            patched = await bench.api("PATCH", bot, {spelling: second})
            assert patched.json()["defaultRichmenuId"] == second
        own = f"{bot}/users/{uid(1)}/richmenus"
        assert (await bench.api("GET", own)).status_code == 404
        assert (await bench.api("POST", own, {"richmenuId": first})).status_code == 200
        assert (await bench.api("GET", own)).json() == {"richmenuId": first}
        assert (await bench.api("DELETE", own)).status_code == 204
        assert (await bench.api("DELETE", own)).status_code == 404
        assert (await bench.api("POST", own, {"richmenuId": "x"})).status_code == 404
        assert (await bench.api("POST", own, {"richmenuId": second})).status_code == 200
        assert (await bench.api("DELETE", f"{bot}/richmenus/{second}")).status_code == 204
        assert (await bench.api("GET", own)).status_code == 404, "gone with the menu"
        assert (await bench.api("GET", bot)).json()["defaultRichmenuId"] is None

    trial(test)
