"""How a check asks for an export, fetches it and reads it."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx

from tests.sandbox.botlab import Lab, uid

AUDIT = "/audits/logs/download"
CONTENTS = "/monitoring/message-contents/download"
DAY = {"startTime": "2027-01-17T00:00:00+09:00", "endTime": "2027-01-18T00:00:00+09:00"}
LIMIT_HEADERS = (
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "ratelimit-ssed",
    "ratelimit-used",
)


async def ask(bench: Lab, path: str, **query: Any) -> httpx.Response:
    return await bench.api("GET", path, params={**DAY, **query})


async def pull(bench: Lab, path: str, **query: Any) -> bytes:
    answer = await ask(bench, path, **query)
    assert answer.status_code == 302, answer.text
    fetched = await bench.http.get(answer.headers["location"], headers=bench.headers)
    assert fetched.status_code == 200, fetched.text
    return fetched.content


def header(raw: bytes) -> list[str]:
    assert raw.startswith(b"\xef\xbb\xbf"), "a BOM"
    return next(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


def table(raw: bytes) -> list[dict[str, str]]:
    assert raw.startswith(b"\xef\xbb\xbf"), "a BOM"
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


async def talk(bench: Lab) -> str:
    """Two messages, two taps, a postback, a room; its id."""
    await bench.text(1, '【訓練】一行目\n二行目,"引用"')
    room = await bench.room(1, 2, title="本部 会議")
    await bench.buttons(f"channels/{room}")
    tap = {"user": uid(1), "text": "無事です A1", "postback": "secret-part"}
    for body in (tap, {**tap, "channel": room}, {"user": uid(2), "data": "d"}):
        assert (await bench.admin("POST", "/staff/tap", body)).status_code == 204
    return room
