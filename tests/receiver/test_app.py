"""The receiver in process: raw bytes verified, events durable before the answer, nothing shown."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bousai_kit.ledger import NewEvent, verify_file
from bousai_kit.lineworks.callbacks import sign
from bousai_kit.receiver.app import MAX_BYTES, MOST_EVENTS
from tests.receiver.lab import BOT_ID, BOT_SECRET, START, TOKEN, receiver, signed, stored, tap, until

AUTH = {"Authorization": f"Bearer {TOKEN}"}


# -- taking -------------------------------------------------------------------------------------------------


def test_a_tap_is_in_the_ledger_as_the_analysis_reads_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            assert (await bench.post(tap("u1", 5))).status_code == 200
            (event,) = await stored(bench.ledger)
            assert (event.kind, event.subject) == ("callback.message", "u1")
            assert event.body["issued_at"] == "2027-01-17T00:00:05+00:00"
            assert event.body["received_at"] == START.isoformat()
            assert event.body["postback"] == "bk1|drill=d1|m=b01|a=0"
            assert event.body["text"] == "無事です"
            assert event.body["source"] == {"userId": "u1", "domainId": 10000001}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("more", "kind", "subject", "holds"),
    [
        ({"type": "postback", "data": "bk1|drill=d1|m=b01|a=1"}, "callback.postback", "u1",
         {"data": "bk1|drill=d1|m=b01|a=1"}),
        ({"type": "begin"}, "callback.begin", "u1", {}),
        ({"type": "end"}, "callback.end", "u1", {}),
        ({"type": "join", "source": {"channelId": "c1", "domainId": 10000001}}, "callback.join", "c1", {}),
        ({"type": "leave", "source": {"channelId": "c1"}}, "callback.leave", "c1", {}),
        ({"type": "joined", "source": {"channelId": "c1"}, "members": ["u2", "u3"]}, "callback.joined", "c1",
         {"members": ["u2", "u3"]}),
        ({"type": "left", "source": {"channelId": "c1"}, "members": ["u2"]}, "callback.left", "c1",
         {"members": ["u2"]}),
        ({"content": {"type": "sticker", "packageId": "1", "stickerId": "2"}}, "callback.message", "u1",
         {"content_type": "sticker"}),
        ({"content": {"type": "location", "address": "大阪市", "latitude": 34.6, "longitude": 135.5}},
         "callback.message", "u1", {"content_type": "location"}),
    ],
)  # fmt: skip
def test_every_type_of_event(
    tmp_path: Path, more: dict[str, Any], kind: str, subject: str, holds: dict[str, Any]
) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            assert (await bench.post(tap(**more))).status_code == 200
            (event,) = await stored(bench.ledger)
            assert (event.kind, event.subject) == (kind, subject)
            assert holds.items() <= event.body.items()

    asyncio.run(main())


def test_what_people_typed_is_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            raw = tap(content={"type": "text", "text": "母の試験花子と連絡がつきません"})
            assert (await bench.post(raw)).status_code == 200
            (event,) = await stored(bench.ledger)
            assert event.body["text_length"] == 15
            assert "text" not in event.body

    asyncio.run(main())
    for path in tmp_path.iterdir():
        assert "試験花子".encode() not in path.read_bytes()


def test_the_signature_is_over_the_raw_bytes(tmp_path: Path) -> None:
    """The same JSON in other bytes is another message."""

    async def main() -> None:
        async with receiver(tmp_path) as bench:
            raw = tap()
            for other in (raw + b" ", raw.replace(b", ", b","), json.dumps(json.loads(raw)).encode()):
                assert other != raw
                assert json.loads(other) == json.loads(raw)
                assert (await bench.post(other, signed(raw))).status_code == 401
            assert await stored(bench.ledger) == []
            spaced = b" \n" + raw + b"\n"
            assert (await bench.post(spaced)).status_code == 200  # odd bytes, rightly signed

    asyncio.run(main())


RAW = tap()
GOOD = signed(RAW)
JUNK = {
    "none": {},
    "empty": {**GOOD, "X-WORKS-Signature": ""},
    "short": {**GOOD, "X-WORKS-Signature": GOOD["X-WORKS-Signature"][:-1]},
    "long": {**GOOD, "X-WORKS-Signature": "A" * 100_000},
    "no base64": {**GOOD, "X-WORKS-Signature": "%%%\t!"},
    "hexadecimal": {**GOOD, "X-WORKS-Signature": "00" * 32},
    "another secret": {**GOOD, "X-WORKS-Signature": sign(RAW, "other")},
    "empty secret": {**GOOD, "X-WORKS-Signature": sign(RAW, "")},
    "another body": {**GOOD, "X-WORKS-Signature": sign(b"{}", BOT_SECRET)},
    "lower case": {**GOOD, "X-WORKS-Signature": GOOD["X-WORKS-Signature"].lower()},
    "no bot": {k: v for k, v in GOOD.items() if k != "X-WORKS-BotId"},
    "another bot": {**GOOD, "X-WORKS-BotId": str(BOT_ID + 1)},
    "bot with zeros": {**GOOD, "X-WORKS-BotId": f"0{BOT_ID}"},
    "bot in full width": {**GOOD, "X-WORKS-BotId": "６００"},
    "bot is junk": {**GOOD, "X-WORKS-BotId": "\x01 OR 1=1"},
}


@pytest.mark.parametrize("case", JUNK)
def test_junk_headers_are_401_and_leave_nothing(tmp_path: Path, case: str) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            # past the client, which would refuse to send some of them
            headers = [(k.lower().encode(), v.encode()) for k, v in JUNK[case].items()]
            assert await straight(bench.app, RAW, headers) == 401
            assert await straight(bench.app, RAW, [(b"x-works-signature", b"\xff\xfe\x00")]) == 401
            assert await stored(bench.ledger) == []
            assert (await bench.post(RAW)).status_code == 200  # and it still works

    asyncio.run(main())


async def straight(
    app: Any, raw: bytes, headers: list[tuple[bytes, bytes]], *, pieces: int = 1, gone: bool = False
) -> int:
    """One POST without an HTTP client; `gone`: the sender leaves before the end."""
    size = -(-len(raw) // pieces) or 1
    parts = [raw[at : at + size] for at in range(0, len(raw), size)] or [b""]
    messages = [
        {"type": "http.request", "body": part, "more_body": gone or index < len(parts) - 1}
        for index, part in enumerate(parts)
    ] + [{"type": "http.disconnect"}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/callback", "raw_path": b"/callback", "root_path": "",
        "query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9),
    }  # fmt: skip
    await app(scope, receive, send)
    return int(sent[0]["status"])


def raw_headers(raw: bytes) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in signed(raw).items()]


def test_a_body_in_pieces_counts_whole_and_one_that_breaks_off_is_none(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            assert await straight(bench.app, RAW, raw_headers(RAW), pieces=7) == 200
            assert await straight(bench.app, RAW, raw_headers(RAW), pieces=3, gone=True) == 400
            assert len(await stored(bench.ledger)) == 1

    asyncio.run(main())


def test_a_body_that_trickles_for_ever_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bousai_kit.receiver.app.BODY_TIMEOUT_S", 0.05)

    async def main() -> None:
        async with receiver(tmp_path) as bench:
            sent: list[dict[str, Any]] = []

            async def receive() -> dict[str, Any]:
                await asyncio.sleep(0.01)
                return {"type": "http.request", "body": b" ", "more_body": True}

            async def send(message: dict[str, Any]) -> None:
                sent.append(message)

            scope = {"type": "http", "method": "POST", "path": "/callback", "headers": raw_headers(RAW)}
            async with asyncio.timeout(10):
                await bench.app(scope, receive, send)
            assert sent[0]["status"] == 400
            assert (await bench.post(RAW)).status_code == 200

    asyncio.run(main())


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "in chunks"])
def test_ten_megabytes_are_413_and_not_read_to_the_end(tmp_path: Path, announced: bool) -> None:
    big = tap(content={"type": "text", "text": "x" * (10 << 20)})
    taken = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal taken
        for at in range(0, len(big), 64 << 10):
            taken += 1
            yield big[at : at + (64 << 10)]

    async def main() -> None:
        async with receiver(tmp_path) as bench:
            if announced:
                answer = await bench.post(big)
            else:
                answer = await bench.http.post("/callback", content=pieces(), headers=signed(big))
                assert taken <= 2 + MAX_BYTES // (64 << 10)
            assert answer.status_code == 413
            assert answer.headers["connection"] == "close"
            assert await stored(bench.ledger) == []

    asyncio.run(main())


def test_the_largest_body_that_is_taken(tmp_path: Path) -> None:
    frame = len(tap(content={"type": "text", "text": ""}))
    just = tap(content={"type": "text", "text": "x" * (MAX_BYTES - frame)})
    over = tap(content={"type": "text", "text": "x" * (MAX_BYTES - frame + 1)})
    assert len(just) == MAX_BYTES

    async def main() -> None:
        async with receiver(tmp_path) as bench:
            assert (await bench.post(just)).status_code == 200
            assert (await bench.post(over)).status_code == 413
            assert await straight(bench.app, over, raw_headers(over)) == 413  # no length said
            odd = [(b"content-length", b"-5"), *raw_headers(RAW)]
            assert await straight(bench.app, RAW, odd) == 413

    asyncio.run(main())


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"null", b"[]", b"5", b'"x"', b"\xff\xfe", b"{}", b'{"type": "message"}',
        b'{"type": 1, "source": {}}', tap(type="unheard-of"), tap(source=[]), tap(source={"userId": 5}),
        tap(source={}), tap(issuedTime=None), tap(issuedTime="soon"), tap(issuedTime="2027-01-17T00:00:00"),
        tap(content=None), tap(content={"type": "text", "text": 5}), tap(type="postback"),
        tap(type="joined", source={"channelId": "c"}, members="u1"), b"[" * 100_000,
        tap(source={"userId": "u" * 10_000}), b'{"type": NaN}',
    ],
)  # fmt: skip
def test_signed_nonsense_is_400(tmp_path: Path, raw: bytes) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            assert (await bench.post(raw)).status_code == 400
            assert await stored(bench.ledger) == []

    asyncio.run(main())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
fields = st.dictionaries(
    st.sampled_from(["type", "source", "issuedTime", "content", "data", "members"]), json_values
)


@given(st.lists(st.binary(max_size=60) | fields.map(lambda more: tap(**more)), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_is_an_answer_and_never_a_crash(tmp_path: Path, bodies: list[bytes]) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            for raw in bodies:
                assert (await bench.post(raw)).status_code in (200, 400)
            assert (await bench.ledger.verify()).ok

    asyncio.run(main())


def test_half_a_surrogate_pair_does_not_lose_the_tap(tmp_path: Path) -> None:
    raw = tap().replace("無事です".encode(), rb"\ud842")

    async def main() -> None:
        async with receiver(tmp_path) as bench:
            assert (await bench.post(raw)).status_code == 200
            assert (await stored(bench.ledger))[0].body["postback"] == "bk1|drill=d1|m=b01|a=0"

    asyncio.run(main())


# -- duplicates and crowds ----------------------------------------------------------------------------------


def test_the_same_callback_twice_is_stored_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            answers = await asyncio.gather(*(bench.post(RAW) for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}
            assert len(await stored(bench.ledger)) == 1
            assert (await bench.post(tap(n=1))).status_code == 200  # a second tap, a second later
            assert len(await stored(bench.ledger)) == 2
            shown = (await bench.http.get("/metrics")).text
            assert 'bousai_callbacks_total{result="duplicate",type="message"} 19' in shown
            assert 'bousai_callbacks_total{result="stored",type="message"} 2' in shown
        async with receiver(tmp_path) as bench:  # the next process knows it too
            assert (await bench.post(RAW)).status_code == 200
            assert len(await stored(bench.ledger)) == 2

    asyncio.run(main())


def test_a_crowd_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            bodies = [tap(f"u{n:05d}", n) for n in range(2000)]
            answers = await asyncio.gather(*(straight(bench.app, raw, raw_headers(raw)) for raw in bodies))
            assert set(answers) == {200}
            assert len({event.subject for event in await stored(bench.ledger)}) == 2000
            assert (await bench.ledger.verify()).ok

    asyncio.run(main())


def test_answered_only_after_the_commit(tmp_path: Path) -> None:
    """Whoever holds 200 finds the event with another connection, at that moment."""

    async def main() -> None:
        async with receiver(tmp_path) as bench:

            async def one(n: int) -> None:
                raw = tap(f"u{n}", n)
                assert await straight(bench.app, raw, raw_headers(raw)) == 200
                with closing(sqlite3.connect(f"file:{tmp_path / 'ledger.db'}?mode=ro", uri=True)) as db:
                    assert f"u{n}" in {row[0] for row in db.execute("SELECT subject FROM events")}

            await asyncio.gather(*(one(n) for n in range(40)))

    asyncio.run(main())


# -- when the ledger cannot take it -------------------------------------------------------------------------


def test_a_full_disk_is_503_and_what_came_is_stored_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            assert (await bench.post(tap("u0"))).status_code == 200
            backend: Any = bench.ledger._backend
            backend._writer.execute("PRAGMA max_page_count = 1")  # as full as a disk can be
            big = "bk1|" + "x" * 90_000
            raws = [
                tap(f"u{n}", n, content={"type": "text", "text": "はい", "postback": big}) for n in (1, 2, 3)
            ]
            first = await bench.post(raws[0])
            assert first.status_code == 503
            assert (await bench.http.get("/healthz")).status_code == 503
            assert (await bench.http.get("/healthz")).json() == {"ok": False}
            shown = (await bench.http.get("/metrics")).text
            assert "bousai_ledger_failures_total 1" in shown
            assert "bousai_callbacks_waiting 1" in shown
            await bench.clock.sleep(5)  # the retry is due meanwhile
            await until(lambda: not bench.app.state.receiver._kept)
            assert (await bench.http.get("/healthz")).status_code == 200
            assert 'result="late",type="message"} 1' in (await bench.http.get("/metrics")).text
            assert [event.subject for event in await stored(bench.ledger)] == ["u0", "u1"]
            assert (await bench.ledger.verify()).ok

    asyncio.run(main())


def test_a_closed_ledger_is_503_everywhere_and_no_task_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            await bench.ledger.close()
            assert (await bench.post(RAW)).status_code == 503
            assert (await bench.http.get("/healthz")).status_code == 503
            assert (await bench.http.get("/events", headers=AUTH)).status_code == 503
            assert (await bench.http.get("/metrics")).status_code == 200
            await until(lambda: len(asyncio.all_tasks()) == 1)

    asyncio.run(main())


# -- the other paths ----------------------------------------------------------------------------------------


def test_events_by_seq(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            await bench.ledger.append("drill:d1", "drill.planned", "", {"title": "別の流れ"})
            for n in range(5):
                await bench.post(tap(f"u{n}", n))
            everything = (await bench.http.get("/events", headers=AUTH)).json()
            assert [event["seq"] for event in everything["events"]] == [2, 3, 4, 5, 6]
            assert everything["head"] == 6
            assert everything["events"][0]["subject"] == "u0"
            assert everything["events"][0]["body"]["postback"]
            some = (await bench.http.get("/events?after=3&limit=2", headers=AUTH)).json()
            assert [event["seq"] for event in some["events"]] == [4, 5]
            none = await bench.http.get("/events?after=99", headers=AUTH)
            assert none.json()["events"] == []
            assert none.headers["cache-control"] == "no-store"

    asyncio.run(main())


def test_a_page_of_events_has_an_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            await bench.ledger.append_many(
                [NewEvent("callbacks", "callback.begin", f"u{n}", {}) for n in range(MOST_EVENTS + 5)]
            )
            page = (await bench.http.get("/events?limit=999999", headers=AUTH)).json()["events"]
            assert len(page) == MOST_EVENTS
            rest = (await bench.http.get(f"/events?after={page[-1]['seq']}", headers=AUTH)).json()["events"]
            assert len(rest) == 5

    asyncio.run(main())


def test_waiting_for_the_next_event(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            waiting = asyncio.create_task(bench.http.get("/events?wait=20", headers=AUTH))
            await asyncio.sleep(0.02)
            assert not waiting.done()
            await bench.post(RAW)
            assert [event["subject"] for event in (await waiting).json()["events"]] == ["u1"]
            assert (await bench.http.get("/events?after=1&limit=0&wait=20", headers=AUTH)).json()[
                "events"
            ] == []

    asyncio.run(main())


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN,
     f"Bearer  x {TOKEN}", "Bearer \u00e9", "Bearer " + "x" * 10_000],
)  # fmt: skip
def test_a_wrong_bearer_sees_nothing(tmp_path: Path, authorization: str | None) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            await bench.post(RAW)
            headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
            answer = await bench.http.get("/events", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "u1" not in answer.text
            assert TOKEN not in answer.text
            assert (
                await bench.http.get("/events", headers={"Authorization": f"bearer {TOKEN}"})
            ).status_code == 200

    asyncio.run(main())


def test_without_a_token_there_is_no_events_path(tmp_path: Path) -> None:
    async def main() -> None:
        for token in (None, ""):
            async with receiver(tmp_path, token=token) as bench:
                for given_token in ("", "None", TOKEN):
                    headers = {"Authorization": f"Bearer {given_token}"}
                    assert (await bench.http.get("/events", headers=headers)).status_code == 404

    asyncio.run(main())


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "after=１", "limit=1e3", "wait=-2", "after=" + "9" * 25, "after="]
)
def test_numbers_that_are_none(tmp_path: Path, query: str) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            assert (await bench.http.get(f"/events?{query}", headers=AUTH)).status_code == 400

    asyncio.run(main())


def test_methods_and_paths(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            answer = await bench.http.get("/callback")
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
            assert (await bench.http.post("/events", headers=AUTH)).status_code == 405
            assert (await bench.http.get("/")).status_code == 404
            assert (await bench.http.get("/healthz")).json() == {"ok": True}

    asyncio.run(main())


def test_metrics_are_prometheus_text_and_name_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            await bench.post(RAW)
            await bench.post(RAW, signed(RAW, secret="other"))
            await bench.post(b"{}")
            await bench.post(b"x" * (MAX_BYTES + 1))
            answer = await bench.http.get("/metrics")
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            names: dict[str, float] = {}
            for line in answer.text.splitlines():
                if not line.startswith("#"):
                    name, value = line.rsplit(" ", 1)
                    names[name] = float(value)
            for reason in ("signature", "malformed", "too_large"):
                assert names[f'bousai_callbacks_rejected_total{{reason="{reason}"}}'] == 1
            assert names["bousai_callback_seconds_count"] == 1
            assert names['bousai_callback_seconds_bucket{le="+Inf"}'] == 1
            assert names["bousai_ledger_seq"] == 1
            assert "u1" not in answer.text

    asyncio.run(main())


def test_no_secret_in_any_repr_or_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as bench:
            shown = repr(bench.app.state.receiver) + repr(bench.app) + repr(bench.app.state.receiver.callback)
            for path in ("/healthz", "/metrics", "/events", "/callback"):
                shown += (await bench.http.get(path)).text
            assert BOT_SECRET not in shown
            assert TOKEN not in shown
            await bench.post(RAW)
        assert verify_file(tmp_path / "ledger.db").ok

    asyncio.run(main())
    for path in tmp_path.iterdir():
        assert BOT_SECRET.encode() not in path.read_bytes()


def test_two_receivers_on_one_ledger(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(tmp_path) as one, receiver(tmp_path) as two:
            bodies = [tap(f"u{n}", n) for n in range(30)]
            answers = await asyncio.gather(*(bench.post(raw) for raw in bodies for bench in (one, two)))
            assert {answer.status_code for answer in answers} == {200}
            assert len(await stored(one.ledger)) == 30
            assert (await two.ledger.verify()).ok

    asyncio.run(main())
