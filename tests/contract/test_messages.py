"""Messages (part 2 §2.1, §2.2, §2.7): endpoints, contents at their limits and one beyond, refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bousai_kit.sandbox.choices import Choices
from tests.contract import authlab
from tests.contract.contents import (
    TAKEN,
    URI,
    URL,
    columns,
    flex,
    i18n,
    listing,
    pictures,
    refused,
    send,
    taken,
    template,
    unlimited,
    url_of,
)
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, SILENT, Lab, trial, uid

TEXT = {"type": "text", "text": "【訓練】"}
PLACE = {"type": "location", "title": "a", "address": "b", "latitude": 0, "longitude": 0}
IMAGE = {"type": "image", "previewImageUrl": URL, "originalContentUrl": URL}
LINK = {"type": "link", "contentText": "a", "linkText": "b", "link": "https://example.invalid"}


# -- endpoints --------------------------------------------------------------------------------------


@paragraph("2 §2.1")
def test_a_message_is_answered_with_201_and_nothing() -> None:
    async def test(bench: Lab) -> None:
        room = await bench.room(1, 2)
        for target in (f"users/{uid(1)}", f"channels/{room}"):
            answer = await bench.api("POST", f"/bots/{bench.bot}/{target}/messages", {"content": TEXT})
            assert (answer.status_code, answer.content) == (201, b"")
        for scope, status in (("bot.message", 201), ("bot", 201), ("bot.read", 403), ("user", 403)):
            path = f"/bots/{bench.bot}/users/{uid(1)}/messages"
            answer = await bench.api("POST", path, {"content": TEXT}, headers=bench.bearer(scope))
            assert answer.status_code == status, scope

    trial(test)


@paragraph("2 §2.1")
@pytest.mark.parametrize("path", ["messages", "messages/1", "readers", "messages/1/readers"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_no_message_can_be_looked_up_changed_or_unsent_and_no_reader_either(method: str, path: str) -> None:
    async def test(bench: Lab) -> None:
        for target in (f"users/{uid(1)}", "channels/x"):
            answer = await bench.api(method, f"/bots/{bench.bot}/{target}/{path}")
            assert (answer.status_code, answer.json()["description"]) == (404, "Api not exists")
        for path_of_many in ("messages", "messages/multicast", "messages/broadcast"):
            answer = await bench.api("POST", f"/bots/{bench.bot}/{path_of_many}", {"content": TEXT})
            assert answer.status_code == 404

    trial(test)


@paragraph("2 §2.1")
def test_the_same_request_again_is_another_message() -> None:
    async def test(bench: Lab) -> None:
        for _ in range(2):
            path = f"/bots/{bench.bot}/users/{uid(1)}/messages"
            headers = {"Idempotency-Key": "1", "X-Line-Retry-Key": "1"}
            assert (await bench.api("POST", path, {"content": TEXT}, headers=headers)).status_code == 201
        assert len((await bench.admin("GET", "/truth")).json()["messages"]) == 2

    trial(test)


@paragraph("2 §2.1", "1 §2.2")
def test_a_member_is_named_by_id_or_login_and_nothing_else() -> None:
    async def test(bench: Lab) -> None:
        for name, status in (
            (uid(1), 201),
            ("s00001@city-demo", 201),
            ("s00001%40city-demo", 201),
            ("externalKey:S00001", 404),
            ("externalKey%3AS00001", 404),
            ("nobody@city-demo", 404),
            ("nobody", 404),
        ):
            assert (await send(bench, TEXT, f"users/{name}"))[0] == status, name
        assert {message["user"] for message in bench.truth()["messages"]} == {uid(1)}
        unknown = await bench.api("POST", f"/bots/1/users/{uid(1)}/messages", {"content": TEXT})
        assert unknown.status_code == 404

    trial(test)


# -- contents ---------------------------------------------------------------------------------------


@paragraph("2 §2.2")
def test_what_the_pages_list_is_taken_and_unknown_keys_are_noted() -> None:
    async def test(bench: Lab) -> None:
        for content in TAKEN:
            await taken(bench, content)
        await taken(bench, template({**URI, "colour": "red"}))
        assert await send(bench, TEXT, notice=1) == (201, "")
        told = (await bench.admin("GET", "/truth")).json()
        assert len(told["messages"]) == len(TAKEN) + 2
        assert told["unknown_fields"] == {
            "text.unheardOf": 1,
            "button_template.action.colour": 1,
            "body.notice": 1,
        }

    trial(test)


@paragraph("2 §2.1")
def test_unknown_keys_can_be_refused() -> None:
    async def test(bench: Lab) -> None:
        await taken(bench, TEXT)
        for content in ({**TEXT, "notice": 1}, template({**URI, "colour": "red"})):
            await refused(bench, content, "is unknown")
        assert (await send(bench, TEXT, notice=1))[0] == 400

    trial(test, choices=replace(SILENT, unknown_fields="refuse"))


LIMITS: list[tuple[str, int, Any]] = [
    ("text", 2000, lambda n: {**TEXT, "text": "あ" * n}),
    ("i18nTexts", 2000, lambda n: {**TEXT, "i18nTexts": i18n("text", "あ" * n)}),
    ("previewImageUrl", 1000, lambda n: {**IMAGE, "previewImageUrl": url_of(n)}),
    ("originalContentUrl", 1000, lambda n: {**IMAGE, "originalContentUrl": url_of(n)}),
    ("originalContentUrl", 1000, lambda n: {"type": "file", "originalContentUrl": url_of(n)}),
    ("originalContentUrl", 1000, lambda n: {"type": "audio", "originalContentUrl": url_of(n)}),
    ("originalContentUrl", 1000, lambda n: {**IMAGE, "type": "video", "originalContentUrl": url_of(n)}),
    ("contentText", 1000, lambda n: {**LINK, "contentText": "あ" * n}),
    ("linkText", 1000, lambda n: {**LINK, "linkText": "あ" * n}),
    ("link", 1000, lambda n: {**LINK, "link": url_of(n)}),
    ("i18nContentTexts", 1000, lambda n: {**LINK, "i18nContentTexts": i18n("contentText", "あ" * n)}),
    ("i18nLinkTexts", 1000, lambda n: {**LINK, "i18nLinkTexts": i18n("linkText", "あ" * n)}),
    ("title", 100, lambda n: {**PLACE, "title": "あ" * n}),
    ("address", 100, lambda n: {**PLACE, "address": "あ" * n}),
    ("latitude", 90, lambda n: {**PLACE, "latitude": n}),
    ("longitude", 180, lambda n: {**PLACE, "longitude": -n}),
    ("contentText", 1000, lambda n: template(URI, contentText="あ" * n)),
    ("i18nContentTexts", 1000, lambda n: template(URI, i18nContentTexts=i18n("contentText", "あ" * n))),
    ("actions", 10, lambda n: template(*[URI] * n)),
    ("elements", 4, lambda n: listing(*[{"title": "a"}] * n)),
    ("title", 1000, lambda n: listing({"title": "あ" * n})),
    ("subtitle", 1000, lambda n: listing({"title": "a", "subtitle": "あ" * n})),
    ("i18nTitles", 1000, lambda n: listing({"title": "a", "i18nTitles": i18n("title", "あ" * n)})),
    ("originalContentUrl", 1000, lambda n: listing({"title": "a", "originalContentUrl": url_of(n)})),
    ("coverData.title", 1000, lambda n: listing(coverData={"title": "あ" * n})),
    ("coverData.subtitle", 1000, lambda n: listing(coverData={"subtitle": "あ" * n})),
    ("backgroundImageUrl", 1000, lambda n: listing(coverData={"backgroundImageUrl": url_of(n)})),
    ("content.actions", 2, lambda n: listing(actions=[[URI]] * n)),
    ("content.actions[0]", 2, lambda n: listing(actions=[[URI] * n])),
    ("columns", 10, lambda n: columns(URI, count=n)),
    ("title", 40, lambda n: columns(URI, title="あ" * n)),
    ("text", 120, lambda n: columns(URI, text="あ" * n)),
    ("text", 60, lambda n: columns(URI, text="あ" * n, title="a")),
    ("text", 60, lambda n: columns(URI, text="あ" * n, originalContentUrl=URL)),
    ("4 lines", 4, lambda n: columns(URI, text="\n".join("a" * n))),
    ("2 lines", 2, lambda n: columns(URI, text="\n".join("a" * n), title="a")),
    ("actions", 3, lambda n: columns(*[URI] * n)),
    ("columns", 10, lambda n: pictures(URI, n)),
    ("altText", 400, lambda n: flex({"type": "bubble"}, altText="あ" * n)),
    ("i18nAltTexts", 400, lambda n: flex({"type": "bubble"}, i18nAltTexts=i18n("altText", "あ" * n))),
]


@paragraph("2 §2.2")
@pytest.mark.parametrize(
    ("name", "limit", "build"), LIMITS, ids=[f"{i}-{name}-{n}" for i, (name, n, _) in enumerate(LIMITS)]
)
def test_the_limit_is_taken_and_one_more_is_refused(name: str, limit: int, build: Any) -> None:
    async def test(bench: Lab) -> None:
        await taken(bench, build(limit))
        await refused(bench, build(limit + 1), name)

    trial(test, people=1)


REFUSED: list[tuple[Any, str]] = [
    (None, "content is required"),
    ([], "content"),
    ([TEXT, TEXT], "content"),
    ({}, "content.type"),
    ({"type": "template"}, "content.type"),
    ({"type": "flexible_template"}, "content.type"),
    ({"type": "text"}, "content.text is required"),
    ({"type": "text", "text": ""}, "content.text"),
    ({"type": "text", "text": 3}, "content.text"),
    ({**TEXT, "i18nTexts": i18n("text", language="xx")}, "language"),
    ({"type": "sticker", "packageId": "1"}, "content.stickerId"),
    ({"type": "sticker", "stickerId": "1"}, "content.packageId"),
    ({"type": "sticker", "packageId": 1, "stickerId": "2"}, "content.packageId"),
    ({"type": "image"}, "content.previewImageUrl/originalContentUrl is required"),
    ({"type": "image", "originalContentUrl": URL}, "content.previewImageUrl/originalContentUrl is required"),
    ({**IMAGE, "previewImageUrl": "http://a.invalid/"}, "previewImageUrl"),
    ({**IMAGE, "originalContentUrl": "http://a.invalid/"}, "originalContentUrl"),
    ({"type": "video", "originalContentUrl": URL}, "content.previewImageUrl/originalContentUrl is required"),
    ({"type": "image", "fileId": "unknown"}, "content.fileId"),
    ({"type": "file"}, "content.originalContentUrl is required"),
    ({"type": "audio"}, "content.originalContentUrl is required"),
    ({"type": "audio", "originalContentUrl": "https://example.invalid/a.mp3"}, "audio"),
    ({**LINK, "contentText": ""}, "contentText"),
    ({**LINK, "linkText": None}, "linkText"),
    ({**LINK, "link": "nowhere"}, "link"),
    *[({key: value for key, value in PLACE.items() if key != name}, name) for name in PLACE],
    ({**PLACE, "latitude": True}, "latitude"),
    ({**PLACE, "longitude": "135"}, "longitude"),
    (template(), "content.actions"),
    ({"type": "button_template", "actions": [URI]}, "content.contentText"),
    (listing({"subtitle": "a"}), "content.elements[0].title"),
    ({"type": "list_template", "elements": []}, "content.elements"),
    (columns(), "content.columns[0].actions"),
    ({"type": "carousel", "columns": [{"actions": [URI]}]}, "content.columns[0].text"),
    ({**columns(URI), "imageAspectRatio": "round"}, "imageAspectRatio"),
    ({**columns(URI), "imageSize": "stretch"}, "imageSize"),
    ({"type": "image_carousel", "columns": [{"action": URI}]}, "originalContentUrl"),
    ({"type": "image_carousel", "columns": [{"originalContentUrl": URL}]}, "action"),
    (
        {
            "type": "carousel",
            "columns": [{"text": "a", "actions": [URI]}, {"text": "a", "actions": [URI, URI]}],
        },
        "same number",
    ),
    ({"type": "flex", "contents": {"type": "bubble"}}, "altText"),
]


@paragraph("2 §2.2", "2 §2.7")
def test_what_is_missing_or_wrong_is_named() -> None:
    async def test(bench: Lab) -> None:
        for content, named in REFUSED:
            await refused(bench, content, named)
        assert bench.truth()["messages"] == [], "a refused content goes nowhere"
        path = f"/bots/{bench.bot}/users/{uid(1)}/messages"
        bare = await bench.api("POST", path, {"type": "text", "text": "no content around it"})
        assert bare.json() == {"code": "INVALID_PARAMETER", "description": "content is required."}

    trial(test)


@paragraph("2 §2.2", "2 §1.6")
@pytest.mark.parametrize(
    "extension", ["bat", "cmd", "com", "cpl", "exe", "scr", "js", "vbs", "wsf", "hta", "EXE"]
)
def test_files_of_some_extensions_are_blocked(extension: str) -> None:
    async def test(bench: Lab) -> None:
        where = f"https://example.invalid/a.{extension}"
        await refused(bench, {"type": "file", "originalContentUrl": where}, "blocked")
        await taken(bench, {"type": "file", "originalContentUrl": f"{where}.pdf"})

    trial(test, people=1)


# -- who may be spoken to ---------------------------------------------------------------------------


@paragraph("2 §2.7")
def test_errors_have_a_code_and_a_description() -> None:
    async def test(bench: Lab) -> None:
        path = f"/bots/{bench.bot}/users/{uid(1)}/messages"
        bad_token = await bench.api("POST", path, {"content": TEXT}, headers={"Authorization": "Bearer x"})
        answers = {
            400: (await send(bench, {"type": "image"}))[1],
            401: f"{bad_token.json()['code']} " * (bad_token.status_code == 401),
            403: (await send(bench, TEXT, f"channels/{await other_room(bench)}"))[1],
            404: (await send(bench, TEXT, "users/nobody"))[1],
        }
        for _ in range(240):
            said = (await bench.text(1)).text
        assert [text.split(" ")[0] for text in answers.values()] == [
            "INVALID_PARAMETER",
            "UNAUTHORIZED",
            "FORBIDDEN",
            "NOT_FOUND",
        ]
        assert said == '{"code":"TOO_MANY_REQUESTS","description":"API rate limit exceeded"}'

    trial(test)


async def other_room(bench: Lab) -> str:
    """A room that the bot has left."""
    room = await bench.room(1, 2)
    assert (await bench.api("DELETE", f"/bots/{bench.bot}/channels/{room}")).status_code == 204
    return room


@paragraph("2 §2.7", "2 §1.3")
def test_a_bot_speaks_to_those_who_may_use_it() -> None:
    async def test(bench: Lab) -> None:
        unlimited(bench)
        assert (await bench.api("POST", f"/users/{uid(2)}/suspend")).status_code < 300
        assert (await send(bench, TEXT, f"users/{uid(2)}"))[0] == 403
        domain = f"/bots/{bench.bot}/domains/{DOMAIN}"
        chosen = {"visible": True, "allowToSelectedMember": True}
        assert (await bench.api("PATCH", domain, chosen)).status_code == 200
        assert (await send(bench, TEXT))[0] == 403
        assert (await bench.api("POST", f"{domain}/members", {"userId": uid(1)})).status_code == 201
        assert (await send(bench, TEXT))[0] == 201
        assert (await send(bench, TEXT, f"users/{uid(3)}"))[0] == 403
        assert (await bench.api("DELETE", f"/users/{uid(1)}")).status_code == 204
        assert (await send(bench, TEXT))[0] == 404, "deleted"
        assert (await bench.api("DELETE", domain)).status_code == 204
        assert (await send(bench, TEXT, f"users/{uid(3)}"))[0] == 403

    trial(test)


@paragraph("2 §2.7")
@pytest.mark.parametrize(("taken_or_not", "status"), [(SILENT.suspended_member, 403), (None, 201)])
def test_what_becomes_of_a_message_to_a_suspended_member_is_a_choice(taken_or_not: Any, status: int) -> None:
    async def test(bench: Lab) -> None:
        assert (await bench.api("POST", f"/users/{uid(2)}/suspend")).status_code < 300
        assert (await send(bench, TEXT, f"users/{uid(2)}"))[0] == status
        messages = (await bench.admin("GET", "/truth")).json()["messages"]
        assert [message["push"] for message in messages] == [False] * (status == 201), "no phone rings"

    trial(test, choices=replace(SILENT, suspended_member=taken_or_not))


@paragraph("2 §2.7")
def test_a_scope_that_the_app_was_never_given_can_show_at_the_call() -> None:
    async def test(bench: Lab) -> None:
        assert (await bench.admin("PUT", "/scopes", {"scopes": ["user.read"]})).status_code == 204
        bought = await authlab.ask(bench, scope="bot.message user.read")
        assert bought.status_code == 200
        token = {"Authorization": f"Bearer {bought.json()['access_token']}"}
        path = f"/bots/{bench.bot}/users/{uid(1)}/messages"
        refusal = await bench.api("POST", path, {"content": TEXT}, headers=token)
        assert (refusal.status_code, refusal.json()["code"]) == (401, "UNAUTHORIZED")
        assert (await bench.api("GET", f"/users/{uid(1)}", headers=token)).status_code == 200
        assert (await bench.admin("PUT", "/scopes", {"scopes": []})).status_code == 204
        assert (await bench.api("POST", path, {"content": TEXT}, headers=token)).status_code == 201

    trial(test, choices=replace(SILENT, ungranted_scope="call"))


@paragraph("2 §2.7")
def test_who_left_the_talk_gets_the_message_and_begins_anew() -> None:
    async def test(bench: Lab) -> None:
        await taken(bench, TEXT)
        assert (await bench.admin("POST", "/staff/leave", {"user": uid(1)})).status_code == 204
        await taken(bench, TEXT)
        await bench.clock.sleep(5)
        assert [event["type"] for event in bench.receiver.events] == ["begin", "end", "begin"]

    trial(test)


@paragraph("2 §2.1")
def test_chance_about_people_does_not_hang_on_drill_codes() -> None:
    async def test(bench: Lab) -> None:
        for label, number in (("A1", 1), ("A1", 1), ("B2", 2)):
            await bench.buttons(f"users/{uid(number)}", code=label)
        first, again, other = (message["key"] for message in bench.truth()["messages"])
        assert first != again
        assert first == other

    trial(test, choices=Choices(people_answer=False))
