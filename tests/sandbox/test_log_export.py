"""The CSV exports: 302, one fetch, one at a time; bytes, headers, delay, filters (part 2 §6, §7)."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.log_columns import SERVICES
from tests.sandbox.botlab import START, Lab, trial, uid

CONTENTS = "/monitoring/message-contents/download"
AUDIT = "/audits/logs/download"
DAY = {"startTime": "2027-01-17T00:00:00+09:00", "endTime": "2027-01-18T00:00:00+09:00"}


async def ask(bench: Lab, path: str = CONTENTS, **query: Any) -> httpx.Response:
    return await bench.api("GET", path, params={**DAY, **query})


async def pull(bench: Lab, path: str = CONTENTS, **query: Any) -> bytes:
    answer = await ask(bench, path, **query)
    assert answer.status_code == 302, answer.text
    fetched = await bench.http.get(answer.headers["location"], headers=bench.headers)
    assert fetched.status_code == 200
    return fetched.content


def table(raw: bytes) -> list[dict[str, str]]:
    assert raw.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


async def talk(bench: Lab) -> str:
    """Two messages, two taps (one of them a postback), one room."""
    await bench.text(1, '【訓練】一行目\n二行目,"引用"')
    room = await bench.room(1, 2, title="本部 会議")
    await bench.buttons(f"channels/{room}")
    tap = {"user": uid(1), "text": "無事です A1", "postback": "secret-part"}
    assert (await bench.admin("POST", "/staff/tap", tap)).status_code == 204
    assert (await bench.admin("POST", "/staff/tap", {**tap, "channel": room})).status_code == 204
    assert (await bench.admin("POST", "/staff/tap", {"user": uid(2), "data": "d"})).status_code == 204
    return room


def test_contents_are_as_the_service_writes_them() -> None:
    async def test(bench: Lab) -> None:
        room = await talk(bench)
        await bench.clock.sleep(61)
        raw = await pull(bench, language="ja_JP")
        rows = table(raw)
        assert list(rows[0]) == ["日時", "送信者", "受信者", "チャンネルID", "トーク"]
        assert b"\r\n" in raw
        assert [row["トーク"] for row in rows] == [
            '【訓練】一行目\n二行目,"引用"',
            "【訓練】安否確認です。",
            "無事です A1",
            "無事です A1",
        ], "a postback action leaves no trace"
        assert b"secret-part" not in raw
        assert [row["送信者"] for row in rows][:2] == ["[Bot]防災訓練Bot"] * 2
        assert rows[0]["受信者"] == "試験 00001 (s00001@city-demo)"
        assert rows[2]["送信者"] == "試験 00001 (s00001@city-demo)"
        assert rows[2]["受信者"] == "[Bot]防災訓練Bot"
        assert rows[1]["受信者"] == rows[3]["受信者"] == "本部 会議"
        assert rows[1]["チャンネルID"] == rows[3]["チャンネルID"] == room
        moment = datetime.strptime(rows[0]["日時"], "%Y-%m-%d %H:%M:%S")
        assert moment == (START + timedelta(hours=9)).replace(tzinfo=None), "the tenant's zone, whole seconds"

    trial(test)


def test_the_language_is_english_unless_asked_otherwise() -> None:
    async def test(bench: Lab) -> None:
        await talk(bench)
        await bench.clock.sleep(61)
        assert list(table(await pull(bench))[0]) == ["Date", "Sender", "Receiver", "Channel ID", "Message"]
        rows = table(await pull(bench, AUDIT, service="message", language="ja_JP"))
        assert list(rows[0]) == ["日時", "送信者", "受信者", "チャンネルID", "イベント"]
        assert {row["イベント"] for row in rows} == {
            "Botメッセージ送信(テキスト)",
            "Botメッセージ送信(テンプレート)",
            "メッセージ送信(テキスト)",
        }
        moves = table(await pull(bench, AUDIT, service="message-join-exit"))
        assert [row["Event"] for row in moves].count("Joined") == 5
        assert (await ask(bench, language="fr_FR")).status_code == 400

    trial(test)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_header_row(service: str) -> None:
    async def test(bench: Lab) -> None:
        for language in ("ja_JP", "en_US", "ko_KR"):
            raw = await pull(bench, AUDIT, service=service, language=language)
            assert raw.startswith(b"\xef\xbb\xbf")
            assert raw.decode("utf-8-sig").count(",") >= 3

    trial(test)


def test_rows_appear_after_a_minute() -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        for wait, count in ((59.0, 0), (1.0, 1)):
            await bench.clock.sleep(wait)
            assert len(table(await pull(bench))) == count
        await bench.text(2)
        answer = await ask(bench)
        await bench.clock.sleep(120)
        late = await bench.http.get(answer.headers["location"], headers=bench.headers)
        assert len(table(late.content)) == 1, "as of the moment of asking"

    trial(test)


def test_windows_are_half_open_and_bounded() -> None:
    async def test(bench: Lab) -> None:
        for _ in range(3):
            await bench.text(1)
            await bench.clock.sleep(10)
        await bench.clock.sleep(60)
        begin, end = START + timedelta(seconds=10), START + timedelta(seconds=20)
        rows = table(await pull(bench, startTime=begin.isoformat(), endTime=end.isoformat()))
        assert len(rows) == 1
        assert rows[0]["Date"].endswith("09:00:10")
        empty = table(await pull(bench, startTime=begin.isoformat(), endTime=begin.isoformat()))
        assert empty == []

    trial(test)


@pytest.mark.parametrize(
    "query",
    [
        {"startTime": ""},
        {"endTime": "2027-01-17"},
        {"startTime": "2027-01-17T00:00:00"},
        {"startTime": "yesterday"},
        {"startTime": "2027-01-19T00:00:00+09:00"},
        {"endTime": "2027-02-17T00:00:01+09:00"},
        {"botMessageFilterType": "some"},
        {"rogerMessageFilterType": "x"},
        {"language": "ja"},
        {"domainId": "x"},
    ],
    ids=lambda query: ",".join(f"{key}={value}" for key, value in query.items()),
)
def test_a_wrong_query_is_refused(query: dict[str, str]) -> None:
    async def test(bench: Lab) -> None:
        for path in (CONTENTS, AUDIT):
            answer = await ask(bench, path, **{"service": "auth", **query})
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER")

    trial(test)


def test_thirty_one_days_are_the_most() -> None:
    async def test(bench: Lab) -> None:
        assert (await ask(bench, endTime="2027-02-17T00:00:00+09:00")).status_code == 302
        assert (await ask(bench, AUDIT)).status_code == 400, "service is required"
        assert (await ask(bench, AUDIT, service="nonsense")).status_code == 400
        assert (await ask(bench, AUDIT, service="auth", domainId=10000099)).status_code == 403

    trial(test)


def test_filters_choose_between_bots_and_people_and_rooms() -> None:
    async def test(bench: Lab) -> None:
        room = await talk(bench)
        await bench.clock.sleep(61)

        async def count(**query: str) -> int:
            return len(table(await pull(bench, **query)))

        assert await count() == 4
        assert await count(botMessageFilterType="exclude") == 2
        assert await count(botMessageFilterType="only") == 2
        assert await count(rogerMessageFilterType="only") == 0
        assert await count(channelId=room) == 2

    trial(test)


def test_a_url_is_for_one_fetch_with_the_token_on_another_host() -> None:
    async def test(bench: Lab) -> None:
        answer = await ask(bench)
        where = httpx.URL(answer.headers["location"])
        assert answer.content == b""
        assert where.host != httpx.URL(bench.sandbox.api_url).host
        bare = await bench.http.get(where)
        assert (bare.status_code, bare.content) == (401, b"Authentication failed.")
        first = await bench.http.get(where, headers=bench.headers)
        assert first.status_code == 200
        assert first.headers["content-type"] == "text/csv; charset=UTF-8"
        again = await bench.http.get(where, headers=bench.headers)
        assert again.status_code == 404
        late = await ask(bench)
        await bench.clock.sleep(601)
        assert (await bench.http.get(late.headers["location"], headers=bench.headers)).status_code == 404

    trial(test)


def test_downloads_are_made_one_at_a_time() -> None:
    async def test(bench: Lab) -> None:
        first = await ask(bench)
        second = await ask(bench)
        assert (second.status_code, second.json()["code"]) == (429, "TOO_MANY_REQUESTS")
        assert (await ask(bench, AUDIT, service="auth")).status_code == 302, "another API"
        await bench.http.get(first.headers["location"], headers=bench.headers)
        assert (await ask(bench)).status_code == 302
        await bench.clock.sleep(60)
        assert (await ask(bench)).status_code == 302, "nobody came for it"

    trial(test)


def test_names_outlive_their_members() -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        assert (await bench.api("DELETE", f"/users/{uid(1)}")).status_code == 204
        await bench.clock.sleep(9 * 86_400)
        query = {"startTime": "2027-01-17T00:00:00+09:00", "endTime": "2027-02-01T00:00:00+09:00"}
        rows = table(await pull(bench, **query))
        assert rows[0]["Receiver"] == "試験 00001 (s00001@city-demo)"

    trial(test)


def test_old_rows_are_gone() -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        await bench.clock.sleep(181 * 86_400)
        bench.headers = bench.bearer()
        assert table(await pull(bench)) == []

    trial(test)


def test_what_is_done_to_members_is_audited() -> None:
    async def test(bench: Lab) -> None:
        assert (await bench.api("PATCH", f"/users/{uid(2)}", {"task": "連絡"})).status_code == 200
        await bench.clock.sleep(61)
        rows = table(await pull(bench, AUDIT, service="admin", language="ja_JP"))
        assert [(row["対象"], row["タスク"]) for row in rows] == [("試験 00002 (s00002@city-demo)", "変更")]

    trial(test)


@pytest.mark.parametrize(
    ("choices", "first"),
    [
        (Choices(people_answer=False, log_date_style="slash"), "2027/01/17 09:00:00"),
        (Choices(people_answer=False, log_date_style="iso"), "2027-01-17T09:00:00+09:00"),
    ],
)
def test_other_dialects_can_be_chosen(choices: Choices, first: str) -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        await bench.clock.sleep(61)
        assert table(await pull(bench))[0]["Date"] == first

    trial(test, choices=choices)
