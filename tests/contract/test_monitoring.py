"""Message contents (part 2 §7); what the call has in common with the audit's is checked in test_audit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.contract.contents import TAKEN, send, unlimited
from tests.contract.exports import CONTENTS, ask, header, pull, table, talk
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, SILENT, START, Lab, trial, uid


@paragraph("2 §7")
def test_contents_are_as_the_service_writes_them() -> None:
    async def test(bench: Lab) -> None:
        room = await talk(bench)
        await bench.clock.sleep(61)
        raw = await pull(bench, CONTENTS, language="ja_JP")
        rows = table(raw)
        assert list(rows[0]) == ["日時", "送信者", "受信者", "チャンネルID", "トーク"]
        assert b"\r\n" in raw
        assert '"【訓練】一行目\n二行目,""引用"""'.encode() in raw, "embedded line breaks are quoted"
        assert [row["トーク"] for row in rows] == [
            '【訓練】一行目\n二行目,"引用"',
            "【訓練】安否確認です。",
            "無事です A1",
            "無事です A1",
        ], "a postback action leaves no trace"
        assert b"secret-part" not in raw, "nor does the postback of a tap"
        assert [row["送信者"] for row in rows][:2] == ["[Bot]防災訓練Bot"] * 2
        assert rows[0]["受信者"] == "試験 00001 (s00001@city-demo)"
        assert (rows[2]["送信者"], rows[2]["受信者"]) == ("試験 00001 (s00001@city-demo)", "[Bot]防災訓練Bot")
        assert rows[1]["受信者"] == rows[3]["受信者"] == "本部 会議"
        assert rows[1]["チャンネルID"] == rows[3]["チャンネルID"] == room
        moment = datetime.strptime(rows[0]["日時"], "%Y-%m-%d %H:%M:%S")
        assert moment == (START + timedelta(hours=9)).replace(tzinfo=None), "the tenant's zone, whole seconds"

    trial(test)


@paragraph("2 §7")
def test_the_language_is_english_unless_asked_otherwise() -> None:
    async def test(bench: Lab) -> None:
        english = ["Date", "Sender", "Receiver", "Channel ID", "Message"]
        assert header(await pull(bench, CONTENTS)) == english
        assert header(await pull(bench, CONTENTS, language="en_US")) == english
        assert header(await pull(bench, CONTENTS, language="ja_JP"))[-1] == "トーク"

    trial(test)


@paragraph("2 §7")
def test_rows_appear_after_a_minute_and_windows_are_half_open() -> None:
    async def test(bench: Lab) -> None:
        for _ in range(3):
            await bench.text(1)
            await bench.clock.sleep(10)
        await bench.clock.sleep(29)
        assert table(await pull(bench, CONTENTS)) == []
        for count in (1, 2):
            await bench.clock.sleep(1 if count == 1 else 10)
            assert len(table(await pull(bench, CONTENTS))) == count
        await bench.clock.sleep(60)
        begin, end = START + timedelta(seconds=10), START + timedelta(seconds=20)
        rows = table(await pull(bench, CONTENTS, startTime=begin.isoformat(), endTime=end.isoformat()))
        assert [row["Date"][-8:] for row in rows] == ["09:00:10"]
        same = await pull(bench, CONTENTS, startTime=begin.isoformat(), endTime=begin.isoformat())
        assert table(same) == []

    trial(test)


@paragraph("2 §7")
def test_rows_are_kept_for_180_days() -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        for day, count in ((179, 1), (181, 0)):
            passed = (bench.clock.now() - START).total_seconds()
            await bench.clock.sleep(day * 86_400 - passed)
            bench.headers = bench.bearer()
            assert len(table(await pull(bench, CONTENTS))) == count

    trial(test)


@paragraph("2 §7")
def test_filters_choose_between_bots_and_people_and_rooms() -> None:
    async def test(bench: Lab) -> None:
        room = await talk(bench)
        await bench.clock.sleep(61)
        for query, count in (
            ({}, 4),
            ({"botMessageFilterType": "include"}, 4),
            ({"botMessageFilterType": "exclude"}, 2),
            ({"botMessageFilterType": "only"}, 2),
            ({"rogerMessageFilterType": "only"}, 0),
            ({"channelId": room}, 2),
            ({"service": "auth"}, 4),
        ):
            assert len(table(await pull(bench, CONTENTS, **query))) == count, query

    trial(test)


@paragraph("2 §7", "2 §6.3")
@pytest.mark.parametrize(
    ("choice", "name", "value"),
    [
        ({"log_date_style": "slash"}, "Date", "2027/01/17 09:00:00"),
        ({"log_date_style": "iso"}, "Date", "2027-01-17T09:00:00+09:00"),
        ({"log_person_blank": False}, "Receiver", "試験 00001(s00001@city-demo)"),
        ({"log_delay_s": 3600.0}, "Date", ""),
    ],
    ids=["slash", "iso", "no blank", "an hour's delay"],
)
def test_other_dialects_can_be_chosen(choice: dict[str, Any], name: str, value: str) -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        await bench.clock.sleep(61)
        assert [row[name] for row in table(await pull(bench, CONTENTS))] == [value] * bool(value)

    trial(test, choices=replace(SILENT, **choice))


@paragraph("2 §7")
@pytest.mark.parametrize(("bom", "crlf"), [(False, True), (True, False)])
def test_bytes_can_be_chosen(bom: bool, crlf: bool) -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        await bench.clock.sleep(61)
        raw = await pull(bench, CONTENTS)
        assert raw.startswith(b"\xef\xbb\xbf") is bom
        assert (b"\r\n" in raw) is crlf

    trial(test, choices=replace(SILENT, log_bom=bom, log_crlf=crlf))


@paragraph("2 §7")
def test_what_is_no_text_is_described() -> None:
    async def test(bench: Lab) -> None:
        unlimited(bench)
        kinds = {content["type"]: content for content in TAKEN}
        for content in kinds.values():
            assert await send(bench, content) == (201, "")
        photo = {"type": "image", "fileName": "現場.jpg"}
        sent = await bench.admin("POST", "/staff/send", {"user": uid(1), "content": photo})
        assert sent.status_code == 204
        await bench.clock.sleep(61)
        said = [row["Message"] for row in table(await pull(bench, CONTENTS))]
        assert len(said) == len(kinds) + 1
        by_kind = dict(zip(kinds, said, strict=False))
        assert by_kind["sticker"].startswith("https://")
        assert by_kind["image"] == "(写真) a.png"
        assert said[-1] == "(写真) 現場.jpg"

    trial(test)


@paragraph("2 §7", "2 §6.1")
def test_each_domain_has_rows_of_its_own() -> None:
    other = DOMAIN + 1

    async def test(bench: Lab) -> None:
        bench.tenant.set("domains", [DOMAIN, other])
        bench.tenant.table("users")[uid(2)]["domainId"] = other
        assert (await bench.api("POST", f"/bots/{bench.bot}/domains/{other}", {})).status_code == 201
        for number in (1, 1, 2):
            assert (await bench.text(number)).status_code == 201
        await bench.clock.sleep(61)
        for query, count in (({}, 2), ({"domainId": DOMAIN}, 2), ({"domainId": other}, 1)):
            assert len(table(await pull(bench, CONTENTS, **query))) == count, query
        assert (await ask(bench, CONTENTS, domainId=99)).status_code == 403

    trial(test)


@paragraph("2 §7", "2 §6.1")
def test_a_service_is_neither_needed_nor_minded() -> None:
    async def test(bench: Lab) -> None:
        assert (await ask(bench, CONTENTS)).status_code == 302
        await bench.clock.sleep(60)
        assert (await ask(bench, CONTENTS, service="nonsense")).status_code == 302

    trial(test)
