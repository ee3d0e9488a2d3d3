"""The ledger's promises, as ratios in one run.

* durable send: two commits (intent, outcome) ÷ two write + fdatasync of the same bytes, goal ≤ 1.5
* 64 concurrent appenders ÷ one commit per append, goal ≥ 3
* reading and verifying, for information

``python bench/ledger.py [--rounds 9] [--sends 60] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bousai_kit.clock import SystemClock
from bousai_kit.ledger import Ledger

SEND = {
    "message_id": "b01",
    "dispatch": "b01/first/3ae1f0c2-0000-4000-8000-000000000001",
    "at": "2027-01-17T00:00:00Z",
}


def flush(handle: int) -> None:
    """What a file needs so that its bytes survive a power cut."""
    getattr(os, "fdatasync", os.fsync)(handle)


async def sends(ledger: Ledger, number: int, tag: str) -> float:
    """Seconds a durable send: the intent alone, then the outcome alone."""
    began = time.perf_counter()
    for index in range(number):
        user = f"3ae1f0c2-{tag}-{index:08d}"
        await ledger.append("drill:d1", "dispatch.intended", user, SEND, once=f"send:d1:{user}")
        await ledger.append("drill:d1", "dispatch.accepted", user, SEND)
    return (time.perf_counter() - began) / number


def writes(handle: int, number: int) -> float:
    """Seconds for two write + fdatasync of as many bytes."""
    line = json.dumps(SEND).encode() + b"\n" + b"0" * 200
    began = time.perf_counter()
    for _ in range(number):
        for _ in range(2):
            os.write(handle, line)
            flush(handle)
    return (time.perf_counter() - began) / number


async def crowd(ledger: Ledger, appenders: int, each: int, tag: str) -> float:
    """Appends a second of so many at once."""

    async def one(who: int) -> None:
        for index in range(each):
            await ledger.append(
                "callbacks", "callback.message", f"{tag}-{who}", SEND, once=f"{tag}-{who}-{index}"
            )

    began = time.perf_counter()
    await asyncio.gather(*(one(who) for who in range(appenders)))
    return appenders * each / (time.perf_counter() - began)


async def measure(folder: Path, rounds: int, number: int) -> dict[str, object]:
    """All of it."""
    ratios, ours, theirs, gains = [], [], [], []
    handle = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    async with await Ledger.open(f"sqlite:///{folder / 'ledger.db'}", clock=SystemClock()) as ledger:
        await sends(ledger, 5, "warm")
        writes(handle, 5)
        for turn in range(rounds):
            # one after the other in small slices, so that the disk's moods meet both alike
            a = b = 0.0
            for part in range(6):
                a += await sends(ledger, number // 6, f"{turn:03d}{part}")
                b += writes(handle, number // 6)
            ours.append(a / 6)
            theirs.append(b / 6)
            ratios.append(a / b)
        for turn in range(max(3, rounds // 3)):
            alone = await crowd(ledger, 1, 200, f"a{turn}")
            gains.append(await crowd(ledger, 64, 25, f"c{turn}") / alone)
        began = time.perf_counter()
        events = await ledger.read()
        read_s = time.perf_counter() - began
        began = time.perf_counter()
        found = await ledger.verify()
        verify_s = time.perf_counter() - began
    os.close(handle)
    assert found.ok
    assert len(events) == found.events
    return {
        "send_us": statistics.median(ours) * 1e6,
        "two_writes_us": statistics.median(theirs) * 1e6,
        "send_ratio": [min(ratios), statistics.median(ratios), max(ratios)],
        "crowd_ratio": [min(gains), statistics.median(gains), max(gains)],
        "read_per_s": len(events) / read_s,
        "verify_per_s": len(events) / verify_s,
    }


def main() -> int:
    """Print the ratios; exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sends", type=int, default=60)
    parser.add_argument(
        "--folder", type=Path, help="on the disk to be measured; default: the temporary folder"
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        found = asyncio.run(measure(Path(folder), given.rounds, given.sends))
    low, middle, high = found["send_ratio"]
    fewest, usual, most = found["crowd_ratio"]
    ok = middle <= 1.5 and usual >= 3
    if given.json:
        print(json.dumps({"ok": ok, **found}))
    else:
        print(
            f"durable send ÷ two write+fdatasync: {low:.2f} / {middle:.2f} / {high:.2f} (min/med/max; ≤ 1.5)"
        )
        print(f"  {found['send_us']:.0f} µs against {found['two_writes_us']:.0f} µs")
        print(f"64 appenders ÷ one commit each:     {fewest:.1f} / {usual:.1f} / {most:.1f} (goal ≥ 3)")
        print(f"read {found['read_per_s']:,.0f} events/s, verify {found['verify_per_s']:,.0f} events/s")
        print("goals met" if ok else "GOAL MISSED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
