"""The long form of the property test: requests out of the sandbox's description, by number or minutes.

Rounds of 4,000 requests, each on a tenant of its own (plan, choices and number of members are drawn): nearly
right ones mostly, several at once now and then, and time goes by. Goals: no 5xx, no defect, every answer as
documented, a refusal changes nothing, the stored tenant equals the one in memory, no request above two
stints of CPU time (``tests/yardstick.py``), none without an answer after a minute.

``python bench/fuzz.py [--requests 100000 | --minutes N] [--seed 1] [--only PATTERN] [--people N] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fnmatch
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bousai_kit.clock import VirtualClock
from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.limits import PLANS, Limits
from bousai_kit.sandbox.seed import found_tenant
from bousai_kit.sandbox.store import Store
from tests.sandbox.botlab import START, build
from tests.sandbox.fuzzlab import Trial, same_when_loaded
from tests.yardstick import stint

ROUND = 4000
HANG_S = 60


@contextlib.contextmanager
def alarm() -> Iterator[None]:
    """Interrupt what has not come to an end after a minute of the wall clock: that is called hanging."""

    def ring(*_: Any) -> None:
        raise TimeoutError(f"no answer within {HANG_S} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def ring_in(seconds: int) -> None:
    """Set the alarm anew."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


class Tally:
    """What came of all rounds."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()
        self.problems: list[str] = []
        self.slowest: dict[str, float] = defaultdict(float)
        self.asked = 0


async def one_round(
    seed: int, requests: int, given: argparse.Namespace, folder: Path, tally: Tally, until: float
) -> None:
    """Requests to one tenant, then its file against its memory."""
    chance = random.Random(seed)
    choices = Choices(
        serial_service_s=chance.choice([0.0, 0.0, 0.02]),
        log_open_s=chance.choice([0.0, 60.0]),
        orgunit_too_fast=chance.choice(["accept", "accept", "429", "409"]),
        people_answer=chance.random() < 0.5,
        delegation=chance.random() < 0.5,
        patch_replaces_objects=chance.random() < 0.5,
        callback_timeout_s=0.5,
        orgunit_primary=chance.choice(["refuse", "first"]),
        log_date_style=chance.choice(["plain", "slash", "iso"]),
        upload_without_part=chance.random() < 0.3,
        custom_properties_name=chance.choice(["customProperties", "customAttributes"]),
        refresh_rotation=chance.random() < 0.5,
    )
    clock = VirtualClock(START)
    people = chance.choice([0, 3, 30]) if given.people is None else given.people
    tenant = found_tenant(seed=seed, now=START, people=people)
    for feature in ("levels", "positions", "user_types", "profile_statuses"):
        tenant.set(f"enabled:{feature}:{tenant.domain_id}", True)
    store = Store(folder / f"{seed}.db")
    sandbox = build(tenant, clock=clock, choices=choices, store=store)
    plan = chance.choice([*PLANS, "standard", "advanced", "advanced", "advanced"])
    sandbox.limits = Limits(plan=plan, choices=choices)
    sandbox.auth.plan = plan
    await sandbox.start()
    trial = Trial(sandbox)
    await trial.furnish()
    wanted = (lambda name: fnmatch.fnmatchcase(name, given.only)) if given.only != "*" else None
    try:
        while trial.asked < requests and time.monotonic() < until:
            ring_in(HANG_S)
            draw = chance.random()
            if draw < 0.02:
                await clock.sleep(chance.choice([0.5, 30, 600, 7200, 86400, 8 * 86400]))
                trial.problems += [f"due: {error!r}" for error in sandbox.defects]
                sandbox.defects.clear()
            elif draw < 0.05 and wanted is None:
                await asyncio.gather(
                    *(trial.one(chance, wanted, alone=False) for _ in range(chance.randint(2, 6)))
                )
            else:
                await trial.one(chance, wanted)
                tally.slowest[trial.last] = max(tally.slowest[trial.last], trial.spent_s)
        ring_in(2 * HANG_S)
        tally.problems += [f"seed {seed}: {text}" for text in trial.problems + same_when_loaded(sandbox)]
    finally:
        await sandbox.stop()
        for end in ("", "-wal", "-shm"):
            (folder / f"{seed}.db{end}").unlink(missing_ok=True)
    tally.counts.update(trial.counts)
    tally.asked += trial.asked


def main() -> int:
    """Print counts by operation and status, and what is wrong; exit code 1 when something is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="*")
    parser.add_argument("--people", type=int, help="members of each tenant; default: 0, 3 or 30, drawn")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    until = time.monotonic() + given.minutes * 60 if given.minutes else float("inf")
    most = sys.maxsize if given.minutes else given.requests
    tally, unit, seed = Tally(), stint(), given.seed
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder, alarm():
        while tally.asked < most and time.monotonic() < until:
            size = min(ROUND, most - tally.asked)
            asyncio.run(one_round(seed, size, given, Path(folder), tally, until))
            seed += 1
            note = f"{tally.asked} requests, {len(tally.problems)} problems, seed {seed}"
            print(note, file=sys.stderr, flush=True)
    unit = max(unit, stint())
    slowest = sorted(((spent / unit, name) for name, spent in tally.slowest.items()), reverse=True)[:5]
    ok = not tally.problems and (not slowest or slowest[0][0] <= 2.0)
    by_operation: dict[str, dict[str, int]] = defaultdict(dict)
    for (name, status), count in sorted(tally.counts.items()):
        by_operation[name][str(status)] = count
    found = {
        "ok": ok,
        "requests": tally.asked,
        "operations": by_operation,
        "problems": tally.problems[:200],
        "slowest_stints": {name: round(spent, 3) for spent, name in slowest},
        "cpu_ms_per_request": 1000 * (time.process_time() - began) / max(tally.asked, 1),
    }
    if given.json:
        print(json.dumps(found, ensure_ascii=False))
        return 0 if ok else 1
    for name, statuses in by_operation.items():
        print(f"{name:36} " + "  ".join(f"{status}: {count}" for status, count in statuses.items()))
    print(f"{tally.asked} requests, {found['cpu_ms_per_request']:.2f} ms of CPU each")
    print("slowest, in stints of CPU time (≤ 2): " + ", ".join(f"{n} {s:.2f}" for s, n in slowest))
    for text in tally.problems[:200]:
        print(text)
    print("no 5xx, no defect, all as documented" if ok else f"GOAL MISSED: {len(tally.problems)} problems")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
