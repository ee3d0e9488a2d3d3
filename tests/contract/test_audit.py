"""Audit logs (part 2 §6): the call and its rules, the services, the CSV."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from bousai_kit.sandbox.faults import Fault, FaultPlan
from tests.contract.contents import unlimited
from tests.contract.exports import AUDIT, CONTENTS, DAY, LIMIT_HEADERS, ask, header, pull, table, talk
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, SILENT, START, Lab, trial, uid

BOTH = pytest.mark.parametrize("path", [AUDIT, CONTENTS], ids=["audit", "monitoring"])


# -- the call ---------------------------------------------------------------------------------------


@paragraph("2 §6.1", "2 §7")
@BOTH
def test_a_302_leads_to_one_fetch_with_the_token_on_another_host(path: str) -> None:
    async def test(bench: Lab) -> None:
        answer = await ask(bench, path, service="auth")
        assert (answer.status_code, answer.content) == (302, b"")
        assert not [name for name in LIMIT_HEADERS if name in answer.headers], "none on a 302"
        where, api = httpx.URL(answer.headers["location"]), httpx.URL(bench.sandbox.api_url)
        assert (where.host, where.port) != (api.host, api.port)
        bare = await bench.http.get(where)
        assert (bare.status_code, bare.content) == (401, b"Authentication failed.")
        first = await bench.http.get(where, headers=bench.headers)
        assert first.status_code == 200
        assert first.headers["content-type"].startswith("text/csv")
        assert (await bench.http.get(where, headers=bench.headers)).status_code == 404, "once"
        late = await ask(bench, path, service="auth")
        await bench.clock.sleep(599)
        second = await bench.http.get(late.headers["location"], headers=bench.headers)
        assert second.status_code == 200
        later = await ask(bench, path, service="auth")
        await bench.clock.sleep(600)
        assert (await bench.http.get(later.headers["location"], headers=bench.headers)).status_code == 404

    trial(test)


@paragraph("2 §6.1", "2 §7")
@BOTH
def test_downloads_are_made_one_at_a_time(path: str) -> None:
    async def test(bench: Lab) -> None:
        first = await ask(bench, path, service="auth")
        second = await ask(bench, path, service="admin")
        assert (second.status_code, second.json()["code"]) == (429, "TOO_MANY_REQUESTS")
        other = CONTENTS if path == AUDIT else AUDIT
        assert (await ask(bench, other, service="auth")).status_code == 302, "another API"
        await bench.http.get(first.headers["location"], headers=bench.headers)
        both = await asyncio.gather(*(ask(bench, path, service="auth") for _ in range(2)))
        assert sorted(answer.status_code for answer in both) == [302, 429]
        await bench.clock.sleep(60)
        assert (await ask(bench, path, service="auth")).status_code == 302, "nobody came for it"

    trial(test)


@paragraph("2 §6.1", "2 §7")
@BOTH
@pytest.mark.parametrize(
    "query",
    [
        {"startTime": ""},
        {"endTime": ""},
        {"endTime": "2027-01-17"},
        {"startTime": "2027-01-17T00:00:00"},
        {"startTime": "yesterday"},
        {"startTime": "2027-01-19T00:00:00+09:00"},
        {"endTime": "2027-02-17T00:00:01+09:00"},
        {"botMessageFilterType": "some"},
        {"rogerMessageFilterType": "x"},
        {"language": "ja"},
        {"language": "fr_FR"},
        {"domainId": "x"},
    ],
    ids=lambda query: ",".join(f"{key}={value}" for key, value in query.items()),
)
def test_a_wrong_query_is_refused(path: str, query: dict[str, str]) -> None:
    async def test(bench: Lab) -> None:
        answer = await ask(bench, path, **{"service": "auth", **query})
        assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER")
        assert answer.headers["ratelimit-limit"] == "10"

    trial(test, people=0)


@paragraph("2 §6.1", "2 §7")
@BOTH
def test_31_days_are_the_most_and_a_plus_is_encoded(path: str) -> None:
    async def test(bench: Lab) -> None:
        longest = await ask(bench, path, service="auth", endTime="2027-02-17T00:00:00+09:00")
        assert longest.status_code == 302
        query = "service=auth&startTime=2027-01-17T00:00:00{0}09:00&endTime=2027-01-18T00:00:00{0}09:00"
        for sign, status in (("%2B", 302), ("+", 400)):
            await bench.clock.sleep(60)
            answer = await bench.api("GET", f"{path}?{query.format(sign)}")
            assert answer.status_code == status, sign

    trial(test)


@paragraph("2 §6.1", "2 §7")
@BOTH
def test_who_may_ask(path: str) -> None:
    async def test(bench: Lab) -> None:
        unlimited(bench)
        scope = "audit.read" if path == AUDIT else "monitoring.read"
        for scopes, user, status in (
            ((scope,), "", 302),
            ((scope,), uid(0), 302),
            ((scope,), uid(1), 403),
            (("bot", "user", "board"), "", 403),
            (("monitoring.read" if path == AUDIT else "audit.read",), "", 403),
        ):
            token = bench.bearer(*scopes, user_id=user)
            answer = await bench.api("GET", path, params={**DAY, "service": "auth"}, headers=token)
            assert answer.status_code == status, (scopes, user)
            await bench.clock.sleep(60)
        elsewhere = await ask(bench, path, service="auth", domainId=99)
        assert elsewhere.status_code == 403
        assert (await ask(bench, path, service="auth", domainId=DOMAIN)).status_code == 302

    trial(test)


@paragraph("2 §6.1", "2 §7")
@BOTH
def test_an_administrator_opens_the_console_s_menu_first(path: str) -> None:
    async def test(bench: Lab) -> None:
        query = {**DAY, "service": "auth"}
        admin = await bench.api("GET", path, params=query, headers=bench.bearer(user_id=uid(0)))
        assert admin.status_code == 403
        assert (await bench.api("GET", path, params=query)).status_code == 302, "not the service account"

    trial(test, choices=replace(SILENT, log_menu_opened=False))


@paragraph("2 §6.1", "2 §7")
@BOTH
def test_an_export_can_break_off_with_the_vendor_s_line(path: str) -> None:
    async def test(bench: Lab) -> None:
        for number in range(1, 5):
            await bench.text(number)
        await bench.clock.sleep(61)
        raw = await pull(bench, path, service="message")
        assert raw.splitlines()[-1].startswith(b"downloadLogs error")
        whole = await pull(bench, path, service="message")
        assert b"downloadLogs" not in whole
        assert len(raw) < len(whole) + 60

    trial(test, faults=FaultPlan([Fault("truncate", on="logs.fetch", nth=(1,))]))


# -- what is in it ----------------------------------------------------------------------------------


@paragraph("2 §6.1", "2 §6.3")
def test_rows_appear_after_a_minute() -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        for wait, count in ((59.0, 0), (1.0, 1)):
            await bench.clock.sleep(wait)
            assert len(table(await pull(bench, AUDIT, service="message"))) == count
        await bench.text(2)
        answer = await ask(bench, AUDIT, service="message")
        await bench.clock.sleep(120)
        late = await bench.http.get(answer.headers["location"], headers=bench.headers)
        assert len(table(late.content)) == 1, "as of the moment of asking"

    trial(test)


@paragraph("2 §6.1")
def test_rows_are_kept_for_180_days_those_of_files_for_31() -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        first = await bench.api("POST", f"/bots/{bench.bot}/attachments", {"fileName": "地図.pdf"})
        files = {"FileData": b"x"}
        await bench.http.post(first.json()["uploadUrl"], files=files, headers=bench.headers)
        where = await bench.api("GET", f"/bots/{bench.bot}/attachments/{first.json()['fileId']}")
        await bench.http.get(where.headers["location"], headers=bench.headers)

        async def count(service: str) -> int:
            bench.headers = bench.bearer()
            return len(table(await pull(bench, AUDIT, service=service)))

        for day, messages, accesses in ((1, 1, 1), (30, 1, 1), (32, 1, 0), (179, 1, 0), (181, 0, 0)):
            passed = (bench.clock.now() - START).total_seconds()
            await bench.clock.sleep(day * 86_400 - passed)
            assert (await count("message"), await count("file-download")) == (messages, accesses), day

    trial(test, choices=replace(SILENT, file_log_on=True))


@paragraph("2 §6.1")
def test_filters_choose_between_bots_and_people() -> None:
    async def test(bench: Lab) -> None:
        await talk(bench)
        await bench.clock.sleep(61)
        for query, count in (
            ({}, 4),
            ({"botMessageFilterType": "include"}, 4),
            ({"botMessageFilterType": "exclude"}, 2),
            ({"botMessageFilterType": "only"}, 2),
            ({"rogerMessageFilterType": "exclude"}, 4),
            ({"rogerMessageFilterType": "only"}, 0),
        ):
            assert len(table(await pull(bench, AUDIT, service="message", **query))) == count, query

    trial(test)


# -- services and headers ---------------------------------------------------------------------------

SERVICES = [
    "admin", "auth", "board", "bot", "drive", "received-mail", "sent-mail", "deleted-mail", "file-download",
    "developer-console", "mobile-capture", "message", "message-join-exit", "call", "share", "note", "task",
    "form", "calendar", "contact", "template", "ainote", "aistudio-regist", "aistudio-talk", "paperon",
    "delegated-api", "home", "developer",
]  # fmt: skip
ENGLISH = {
    "auth": "Date, User, Description, Service Type, IP Address",
    "admin": "Date, Service, Event target, Service Type, Task, Status, User, IP Address",
    "home": "Date, User, Service Type, Task, Subject, Board Name, Status",
    "board": "Date, User, Service Type, Task, Subject, Board Name, Status",
    "drive": "Date, User, Service Type, Task, Original, Updates, Status",
    "calendar": "Date, User, Service Type, Task, Subject, Calendar ID, Status",
    "contact": "Date, User, Service Type, Task, Target, Status",
    "form": "Date, User, Service Type, Task, Form Title, Status",
    "note": "Date, User, Service Type, Task, Subject, Board Name, Team/Group, Status",
    "share": "Date, User, Shared by, Task, Service Type, Shared with",
    "received-mail": "Received Time, Reception Results, Sent server IP, Subject, Sender, Recipient,"
    " Mail Size(Bytes)",
    "sent-mail": "Sent Time, Subject, Sender, Recipient, Status, Attachment, Mail Size(Bytes)",
    "message": "Date, Sender, Receiver, Channel ID, Event",
}
JAPANESE = {
    "auth": "説明, メンバー, 日時, IPアドレス, ログイン方法, サービスタイプ",
    "message": "日時, 送信者, 受信者, チャンネルID, イベント",
}


@paragraph("2 §6.2", "2 §6.3")
@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_header_row(service: str) -> None:
    async def test(bench: Lab) -> None:
        english = header(await pull(bench, AUDIT, service=service))
        assert english == header(await pull(bench, AUDIT, service=service, language="en_US"))
        japanese = header(await pull(bench, AUDIT, service=service, language="ja_JP"))
        assert english == ENGLISH.get(service, ", ".join(english)).split(", ")
        assert japanese == JAPANESE.get(service, ", ".join(japanese)).split(", ")
        assert len(set(english)) == len(english) >= 4
        assert len(set(japanese)) == len(japanese) >= 4
        assert not [name for name in japanese if name.isascii()], "Japanese"
        for language in ("ko_KR", "zh_CN", "zh_TW"):
            assert len(header(await pull(bench, AUDIT, service=service, language=language))) >= 4

    trial(test, people=0)


@paragraph("2 §6.2")
def test_other_services_are_refused() -> None:
    async def test(bench: Lab) -> None:
        for query in ({}, {"service": ""}, {"service": "nonsense"}, {"service": "Message"}):
            answer = await ask(bench, AUDIT, **query)
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER")
            assert "service" in answer.json()["description"]

    trial(test)


@paragraph("2 §6.3")
def test_messages_are_events_without_their_text() -> None:
    async def test(bench: Lab) -> None:
        room = await talk(bench)
        await bench.clock.sleep(61)
        raw = await pull(bench, AUDIT, service="message", language="ja_JP")
        assert "引用".encode() not in raw
        assert raw.count(b"\r\n") == 5
        rows = table(raw)
        assert [(row["送信者"], row["受信者"]) for row in rows] == [
            ("[Bot]防災訓練Bot", "試験 00001 (s00001@city-demo)"),
            ("[Bot]防災訓練Bot", "本部 会議"),
            ("試験 00001 (s00001@city-demo)", "[Bot]防災訓練Bot"),
            ("試験 00001 (s00001@city-demo)", "本部 会議"),
        ]
        assert rows[1]["チャンネルID"] == rows[3]["チャンネルID"] == room
        assert rows[0]["日時"] == "2027-01-17 09:00:00", "the tenant's zone, whole seconds"
        english = table(await pull(bench, AUDIT, service="message"))
        assert [row["Event"].split(" (")[0] for row in english] == [
            *["Bot message sent"] * 2,
            *["Message sent"] * 2,
        ]
        moves = table(await pull(bench, AUDIT, service="message-join-exit"))
        assert [row["Event"] for row in moves].count("Joined") == 5

    trial(test)


@paragraph("2 §6.3")
@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"log_date_style": "slash"}, {"日時": "2027/01/17 09:00:00"}),
        ({"log_date_style": "iso"}, {"日時": "2027-01-17T09:00:00+09:00"}),
        ({"log_person_blank": False}, {"受信者": "試験 00001(s00001@city-demo)"}),
        ({"log_edition": "2023"}, {"トーク": "【訓練】連絡です。", "トークルームID": None}),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_other_dialects_can_be_chosen(choice: dict[str, Any], expected: dict[str, Any]) -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        await bench.clock.sleep(61)
        row = table(await pull(bench, AUDIT, service="message", language="ja_JP"))[0]
        for name, value in expected.items():
            assert row[name] == value if value is not None else row[name]
        if "log_edition" in choice:
            earlier = header(await pull(bench, AUDIT, service="message"))
            assert earlier == ["Date", "Sender", "Recipient", "Message"]

    trial(test, choices=replace(SILENT, **choice))


@paragraph("2 §6.3", "1 §9")
def test_logins_say_in_a_sentence_how_they_went() -> None:
    async def test(bench: Lab) -> None:
        body = {
            "domainId": DOMAIN,
            "email": "hanako@city-demo",
            "userName": {"lastName": "試験", "firstName": "花子"},
            "passwordConfig": {"passwordCreationType": "ADMIN", "password": "Kx7-mTq9-rb"},
        }
        assert (await bench.api("POST", "/users", body)).status_code == 201
        for password in ("wrong-Password1", "Kx7-mTq9-rb"):
            await bench.admin("POST", "/login", {"login": "hanako@city-demo", "password": password})
        await bench.clock.sleep(61)
        rows = table(await pull(bench, AUDIT, service="auth", language="ja_JP"))
        said = [row["説明"] for row in rows if row["メンバー"] == "試験 花子 (hanako@city-demo)"]
        assert len(said) == 2
        assert "失敗" in said[0]
        assert "成功" in said[1]

    trial(test, choices=replace(SILENT, people_log_in=False))


@paragraph("2 §6.2", "2 §6.3")
def test_what_is_done_to_members_and_bots_is_audited() -> None:
    async def test(bench: Lab) -> None:
        assert (await bench.api("PATCH", f"/users/{uid(2)}", {"task": "連絡"})).status_code == 200
        bot = f"/bots/{bench.bot}"
        await bench.text(1)
        for method, path, body in (
            ("PATCH", bot, {"description": "訓練用"}),
            ("POST", f"{bot}/secret", None),
            ("DELETE", bot, None),
        ):
            assert (await bench.api(method, path, body)).status_code < 300
        await bench.clock.sleep(61)
        admin = table(await pull(bench, AUDIT, service="admin", language="ja_JP"))
        assert ("試験 00002 (s00002@city-demo)", "変更") in [(row["対象"], row["タスク"]) for row in admin]
        rows = table(await pull(bench, AUDIT, service="bot"))
        assert [row["Task"] for row in rows] == ["Modify", "secret", "Delete"]
        assert {row["Target"] for row in rows} == {"防災訓練Bot"}
        messages = table(await pull(bench, AUDIT, service="message"))
        assert messages[0]["Sender"] == "[Bot]防災訓練Bot", "a deleted bot keeps its name"

    trial(test)


@paragraph("2 §6.3")
def test_names_outlive_their_members() -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        assert (await bench.api("DELETE", f"/users/{uid(1)}")).status_code == 204
        await bench.clock.sleep(timedelta(days=9).total_seconds())
        bench.headers = bench.bearer()
        rows = table(await pull(bench, AUDIT, service="message"))
        assert rows[0]["Receiver"] == "試験 00001 (s00001@city-demo)"

    trial(test)
