"""Log exports: the window, one download at a time, and the vendor's truncation line."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bousai_kit.errors import TruncatedExport
from bousai_kit.lineworks.base import InvalidContent
from bousai_kit.lineworks.client import LineWorksClient
from bousai_kit.lineworks.logs import check_complete
from tests.lineworks.wirelab import START, Seen, Wire, run, sample

BOM = b"\xef\xbb\xbf"
HEAD = BOM + "日時,送信者,受信者,チャンネルID,トーク\r\n".encode()
ROW = "2027-01-17 09:15:42,試験 太郎 (s0001@city-demo),[Bot]防災訓練,9c0e,無事です 0117A\r\n".encode()
JST = timezone(timedelta(hours=9))


def reply(seen: Seen) -> Any:
    return sample("logs/302") if seen.host == "www.worksapis.com" else httpx.Response(200, content=HEAD + ROW)


def test_a_window_is_asked_with_an_encoded_plus_and_kept_as_it_came() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> bytes:
        since = datetime(2027, 1, 17, 9, tzinfo=JST)
        return await client.monitoring.download(since=since, until=since + timedelta(hours=1))

    content, wire = run(use, reply)
    assert content == HEAD + ROW  # BOM and all
    target = wire.seen[0].target
    assert target.startswith("/v1.0/monitoring/message-contents/download?")
    assert "startTime=2027-01-17T09%3A00%3A00%2B09%3A00" in target
    assert "endTime=2027-01-17T10%3A00%3A00%2B09%3A00" in target
    assert "+" not in target
    assert "language=ja_JP" in target


def test_audit_asks_for_its_service() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> bytes:
        return await client.audit.download(
            service="auth", since=START, until=START + timedelta(days=31), bot_messages="only"
        )

    _, wire = run(use, reply)
    assert wire.seen[0].target.startswith("/v1.0/audits/logs/download?service=auth&startTime=")
    assert "botMessageFilterType=only" in wire.seen[0].target


@pytest.mark.parametrize(
    ("since", "until", "more"),
    [
        (START, START, {}),
        (START, START - timedelta(seconds=1), {}),
        (START, START + timedelta(days=31, seconds=1), {}),
        (START.replace(tzinfo=None), START, {}),
        (START, START + timedelta(days=1), {"bot_messages": "some"}),
    ],
)
def test_a_window_out_of_range_is_not_asked(since: datetime, until: datetime, more: dict[str, Any]) -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        for download in (
            client.monitoring.download,
            lambda **kw: client.audit.download(service="auth", **kw),
        ):
            with pytest.raises((InvalidContent, TypeError)) as caught:
                await download(since=since, until=until, **more)
            assert isinstance(caught.value, InvalidContent)

    error, wire = run(use, reply)
    assert error is None
    assert not wire.seen


def test_one_download_at_a_time_and_audit_a_minute_apart() -> None:
    ends: list[float] = []

    async def use(client: LineWorksClient, wire: Wire) -> None:
        async def one(kind: str, day: int) -> None:
            since = START - timedelta(days=day)
            if kind == "audit":
                await client.audit.download(service="auth", since=since, until=since + timedelta(days=1))
                ends.append(wire.clock.monotonic())
            else:
                await client.monitoring.download(since=since, until=since + timedelta(days=1))

        await asyncio.gather(*(one(kind, day) for day in range(1, 4) for kind in ("audit", "contents")))

    error, wire = run(use, reply, wire={"latency_s": 2.0})
    assert error is None
    assert wire.peak == 1
    assert len(wire.seen) == 12
    hosts = [seen.host for seen in wire.seen]
    assert (
        hosts == ["www.worksapis.com", "apis-storage.worksmobile.com"] * 6
    )  # never two requests before a download
    starts = [seen.at for seen in wire.seen if "audits" in seen.target]
    rests = [later - end for end, later in zip(ends, starts[1:], strict=False)]
    assert all(rest >= 60 for rest in rests)


def test_a_failing_audit_request_is_repeated_a_minute_apart() -> None:
    answers = [503, 503, sample("logs/302"), httpx.Response(200, content=HEAD)]

    async def use(client: LineWorksClient, wire: Wire) -> bytes:
        return await client.audit.download(service="auth", since=START - timedelta(days=1), until=START)

    content, wire = run(use, lambda seen: answers[seen.number - 1])
    assert content == HEAD
    starts = [seen.at for seen in wire.seen if "audits" in seen.target]
    assert all(b - a >= 60 for a, b in itertools.pairwise(starts))


# -- the truncation line --------------------------------------------------------------------------------

TRAILER = b"downloadLogs error: internal"


@pytest.mark.parametrize(
    "tail",
    [
        TRAILER,
        TRAILER + b"\r\n",
        TRAILER + b"\n\n\n",
        TRAILER + b"\r\n\x00\x00",
        b'"' + TRAILER + b'"\r\n',
        b"  " + TRAILER,
        b"downloadLogs error",
    ],
)
@pytest.mark.parametrize("before", [b"", HEAD, HEAD + ROW, BOM, HEAD + ROW.replace(b"\r\n", b"\n")])
def test_a_truncated_export_says_so(before: bytes, tail: bytes) -> None:
    with pytest.raises(TruncatedExport) as caught:
        check_complete(before + tail)
    assert caught.value.raw == before + tail
    assert caught.value.exit_code == 1


def test_a_row_cut_in_a_quoted_cell_is_seen_too() -> None:
    cut = HEAD + b'2027-01-17 09:15:42,a,b,c,"first line\r\nsecond' + b"\r\n" + TRAILER + b"\r\n"
    with pytest.raises(TruncatedExport):
        check_complete(cut)


@pytest.mark.parametrize(
    "whole",
    [
        b"",
        BOM,
        HEAD,
        HEAD + ROW,
        HEAD + ROW.rstrip(),
        HEAD + b"2027-01-17 09:15:42,a,b,c,downloadLogs error\r\n",
        HEAD + b'2027-01-17 09:15:42,a,b,c,"he wrote\r\ndownloadLogs error\r\n"\r\n',
        HEAD + b'2027-01-17 09:15:42,a,b,c,"he wrote\r\ndownloadLogs error"\r\n',
        HEAD + b"downloadLogs error\r\n" + ROW,
    ],
)
def test_a_whole_export_passes(whole: bytes) -> None:
    check_complete(whole)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_check(raw: bytes) -> None:
    with contextlib.suppress(TruncatedExport):
        check_complete(raw)
    with pytest.raises(TruncatedExport):
        check_complete(raw.replace(b'"', b"") + b"\n" + TRAILER)


def test_times_of_any_zone_mean_the_same_window() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        await client.monitoring.download(
            since=datetime(2027, 1, 16, 23, 59, 59, 999_999, tzinfo=UTC),
            until=datetime(2027, 1, 17, 9, tzinfo=JST),
        )

    _, wire = run(use, reply)
    assert "startTime=2027-01-16T23%3A59%3A59%2B00%3A00" in wire.seen[0].target
