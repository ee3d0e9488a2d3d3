"""Onboarding against its goals: 200 at the limits' pace, 30,000 in a plan, 30,000 killed and gone on with.

    python bench/onboarding.py [--only of200,plan,eta,begun,resume,kills,peer] [--people 30000] [--kills 200]

Prints one JSON document. Each number that was taken several times is ``{min, median, max, goal}``. Seconds of
CPU where the work is ours; of the tenant's (virtual) clock where it waits for the tenant.

The theoretical minimum of an apply, from the number of its requests and the tenant's limits alone, as if no
answer took any time: org-unit writes one a second (n − 1 seconds), other operations 240 in a window of a
minute, rooms 10: (⌈n / limit⌉ − 1) minutes each; people after units, rooms after people, as each needs ids
of the one before. It is the same for every latency: what answers take (0, 50 and 100 ms) counts against us.
`resume` carries 30,000 people out in truth and takes long; `begun` (bench/resume.py) measures the same start
from a journal that is written at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import httpx

from bousai_kit.onboarding import apply_plan, build_plan, load_plan, read_tenant, save_plan
from bousai_kit.onboarding.drift import check_drift
from bousai_kit.onboarding.estimate import count_calls
from bousai_kit.onboarding.items import Plan
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.plan_file import prepare_plan
from bousai_kit.onboarding.tenant_view import Group, TenantView, Unit, see_member
from bousai_kit.onboarding.titles import Title
from bousai_kit.roster import Roster, sample_roster
from bousai_kit.settings import isolated_settings
from bousai_kit.steps import apply_on, tenant_on
from bousai_kit.workbench import Workbench, open_workbench

Numbers = dict[str, Any]


def spread(values: Sequence[float], goal: str) -> Numbers:
    """Least, middle and most, with the goal beside them."""
    shown = [round(one, 4) for one in (min(values), statistics.median(values), max(values))]
    return {**dict(zip(("min", "median", "max"), shown, strict=True)), "goal": goal}


def cpu(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and its seconds of CPU."""
    began = time.process_time()
    result = work()
    return result, time.process_time() - began


async def bench_at(home: Path) -> Workbench:
    return await open_workbench(settings=isolated_settings(home))


# -- 200 on a Standard tenant ---------------------------------------------------------------------------


def least_s(plan: Plan) -> float:
    """The theoretical minimum (above)."""
    calls = count_calls(plan)
    total = max(0, calls["orgunits.create"] - 1)
    for operation, count in calls.items():
        if not operation.startswith("orgunits"):
            limit = 10 if operation == "channels.create" else 240
            total += (-(-count // limit) - 1) * 60
    return float(total)


async def of_200(folder: Path) -> Numbers:
    """A new tenant, 200 people; answers take 0, 50 and 100 ms."""
    found: dict[str, list[float]] = {}
    for rooms in ("never", "always"):
        for latency in (0.0, 0.05, 0.1):
            home = folder / f"{rooms}{latency}"
            async with await bench_at(home) as bench:
                bench.sandbox.latency_s = latency  # type: ignore[union-attr]
                plan = build_plan(sample_roster(200), await tenant_on(bench), rooms=rooms)
                began = time.process_time()
                result = await apply_on(bench, plan)
                name = f"of200_rooms_{rooms}"
                for key, value in {
                    "ratio": result.elapsed_s / least_s(plan),
                    "throttled": result.throttled,
                    "left": len(result.failed) + len(result.unknown) + result.left,
                    "estimated": plan.eta_s / result.elapsed_s,
                    "cpu_s": time.process_time() - began,
                }.items():
                    found.setdefault(f"{name}_{key}", []).append(value)
                found.setdefault(f"{name}_least_s", []).append(least_s(plan))
                found.setdefault(f"{name}_at_{latency * 1000:.0f}ms_ratio", []).append(
                    result.elapsed_s / least_s(plan)
                )
    goals = {"ratio": "<= 1.05", "throttled": "0", "left": "0", "estimated": "0.7..1.3"}
    return {name: spread(values, goals.get(name.rpartition("_")[2], "-")) for name, values in found.items()}


# -- time left ------------------------------------------------------------------------------------------


async def time_left(folder: Path) -> Numbers:
    """What is said of the time left at 10, 50 and 90 % of the steps, over what was then left in truth."""
    numbers: Numbers = {}
    for people in (200, 3000):
        async with await bench_at(folder / f"left{people}") as bench:
            plan = build_plan(sample_roster(people), await tenant_on(bench), rooms="never")
            bench.sandbox.latency_s = 0.05  # type: ignore[union-attr]
            told: list[tuple[float, float, float | None]] = []

            def tell(done: int, total: int, text: str, *, told: Any = told, clock: Any = bench.clock) -> None:
                left = re.search(r"残り約 (\d+) (分|秒)", text)
                said = float(left[1]) * (60 if left[2] == "分" else 1) if left else None
                told.append((clock.monotonic(), done / total if total else 0.0, said))

            await apply_on(bench, plan, tell=tell)
            end = bench.clock.monotonic()
            for share in (0.1, 0.5, 0.9):
                at, _, said = next(one for one in told if one[1] >= share)
                truth = end - at
                numbers[f"left_{people}_at_{share:.0%}"] = {
                    "said_s": said,
                    "truth_s": round(truth, 1),
                    "ratio": None if said is None or not truth else round(said / truth, 2),
                    "goal": "0.7..1.3 (null: under 10 s, and in the first 5 s)",
                }
    return numbers


# -- a plan of 30,000 -------------------------------------------------------------------------------------


def as_tenant(roster: Roster, *, units: int = 300, changed: int = 3000) -> tuple[Roster, TenantView]:
    """A tenant that has them all in 300 units, with groups; every tenth has another name there."""
    from dataclasses import replace

    from bousai_kit.onboarding.groups import wished_groups
    from bousai_kit.roster import RosterUnit

    codes = [RosterUnit(f"C{n:03d}", f"第{n}課", f"C{n % 20:03d}" if n >= 20 else "") for n in range(units)]
    every = max(1, len(roster.people) // changed)
    people = tuple(
        replace(one, orgunit_code=f"C{n % units:03d}", orgunit_name="", deputy_for="")
        for n, one in enumerate(roster.people)
    )
    roster = replace(roster, people=people, units=tuple(codes))
    titles = sorted({one.position for one in people if one.position})
    members = []
    for n, one in enumerate(people):
        seat = {"orgUnitId": f"id-{one.orgunit_code}", "primary": True, "positionId": f"p-{one.position}"}
        said = {
            "userId": f"id-{one.staff_number}",
            "userExternalKey": one.staff_number,
            "employeeNumber": one.staff_number,
            "email": one.login_id,
            "cellPhone": one.phone or None,
            "userName": {
                "lastName": one.last_name,
                "firstName": "旧名" if n % every == 0 else one.first_name,
                "phoneticLastName": one.last_kana,
                "phoneticFirstName": one.first_kana,
            },
            "organizations": [{"domainId": 1, "primary": True, "orgUnits": [seat]}],
        }
        members.append(see_member(said))
    groups = [
        Group(f"g-{key}", key, name, frozenset(f"id-{one.staff_number}" for one in inside))
        for key, (name, inside) in wished_groups(people).items()
    ]
    view = TenantView(
        domain_id=1,
        read_at=datetime(2027, 1, 17, tzinfo=UTC),
        members=tuple(members),
        units=tuple(
            Unit(f"id-{one.code}", one.code, one.name, f"id-{one.parent_code}" if one.parent_code else "")
            for one in codes
        ),
        positions=tuple(Title(f"p-{title}", title, n) for n, title in enumerate(titles, start=1)),
        groups=tuple(groups),
        bot_id=1,
    )
    return roster, view


def of_many(people: int, folder: Path) -> Numbers:
    """Plan, save, load; the peer is json alone with the same rows."""
    roster, view = as_tenant(sample_roster(people))
    times: dict[str, list[float]] = {}
    for _ in range(5):
        plan, spent = cpu(lambda: build_plan(roster, view, rooms="always"))
        times.setdefault("plan_cpu_s", []).append(spent)
        _, spent = cpu(partial(save_plan, plan, folder / "plan.json"))
        times.setdefault("save_cpu_s", []).append(spent)
        loaded, spent = cpu(lambda: load_plan(folder / "plan.json"))
        times.setdefault("load_cpu_s", []).append(spent)
        assert loaded == plan
        document, spent = cpu(lambda: json.loads((folder / "plan.json").read_bytes()))
        times.setdefault("peer_json_load_cpu_s", []).append(spent)
        _, spent = cpu(partial(json.dumps, document, ensure_ascii=False))
        times.setdefault("peer_json_dump_cpu_s", []).append(spent)
        del document, loaded
    about = {
        "people": people,
        "plan_changes": plan.count("update"),
        "plan_units": len(plan.units),
        "plan_groups": len(plan.groups),
        "plan_rooms": len(plan.rooms),
    }
    goals = {"plan_cpu_s": "<= 5"}
    return about | {name: spread(values, goals.get(name, "-")) for name, values in times.items()}


# -- killed and gone on with ------------------------------------------------------------------------------


class Gone(BaseException):
    """The process is gone."""


class Watch:
    """Sees each request leave and each answer come; ends everything at the n-th request that writes."""

    def __init__(self, bench: Workbench, kill_at: int | None) -> None:
        self.first_request = self.last_list = self.first_step = 0.0
        self.first_key, self.writes, self.kill_at = "", 0, kill_at
        exchange, ledger = bench.client._exchange, bench.ledger
        run, append = exchange.run, ledger.append

        async def seen(ask: Any, *given: Any, **named: Any) -> Any:
            self.first_request = self.first_request or time.process_time()
            reads = ask.method == "GET" or "token" in str(ask.operation)
            if not reads:
                self.writes += 1
                if self.kill_at is not None and self.writes >= self.kill_at:
                    raise Gone
            answer = await run(ask, *given, **named)
            if reads and not self.first_key:
                self.last_list = time.process_time()
            return answer

        async def noted(stream: str, kind: str, subject: str = "", *given: Any, **named: Any) -> Any:
            if kind == "step.intended" and not self.first_key:
                self.first_key, self.first_step = subject, time.process_time()
            return await append(stream, kind, subject, *given, **named)

        exchange.run, ledger.append = seen, noted  # type: ignore[method-assign]


async def resumed(people: int, kills: int, folder: Path) -> Numbers:
    """One apply of so many, killed at random steps and gone on with by what is as good as a new process."""
    from tests.onboarding.onlab import reborn

    home, path = folder / "resume", folder / "resume.json"
    chance = random.Random(1)
    times: dict[str, list[float]] = {}
    wrong = repeated = 0
    async with await bench_at(home) as bench:
        plan = build_plan(sample_roster(people), await tenant_on(bench), rooms="never")
        save_plan(prepare_plan(plan, home), path)
        writes = sum(count_calls(plan).values())
        points = sorted(chance.sample(range(1, writes), kills))
        for before, at in zip([0, *points], [*points, None], strict=True):
            stream = f"apply:{plan.plan_id}"
            events = await bench.ledger.read(stream=stream, kinds=("step.done", "step.settled_done"))
            done = {event.subject for event in events}
            del events
            watch = Watch(bench, None if at is None else at - before)
            began = time.process_time()
            with contextlib.suppress(Gone):
                await apply_on(bench, load_plan(path))
            if before:
                times.setdefault("start_to_request", []).append(watch.first_request - began)
                times.setdefault("lists_to_step", []).append(watch.first_step - watch.last_list)
                both = watch.first_request - began + watch.first_step - watch.last_list
                times.setdefault("together", []).append(both)
                wrong += watch.first_key in done
            await reborn(bench)
        intended = await bench.ledger.read(stream=f"apply:{plan.plan_id}", kinds=("step.intended",))
        tries = Counter(event.subject for event in intended)
        repeated = sum(count - 1 for count in tries.values())
        table = bench.sandbox.tenant.table("users").values()  # type: ignore[union-attr]
        keys = Counter(str(one["userExternalKey"]) for one in table if one["userExternalKey"])
        raw = [{name: one[name] for name in _READ if name in one} for one in table]
        lists = {name: list(bench.sandbox.tenant.table(name).values()) for name in ("orgunits", "positions")}  # type: ignore[union-attr]
        (folder / "users.json").write_text("\n".join(json.dumps(one) for one in raw), encoding="utf-8")
        (folder / "lists.json").write_text(json.dumps(lists), encoding="utf-8")
        domain_id = bench.domain_id
    words = [sys.executable, __file__, "--child", str(folder), "--domain", str(domain_id)]
    kept = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, check=True)
    goals = {"together": "<= 2"}
    return {
        "resume_kills": kills,
        "resume_people": people,
        **{f"resume_{name}_cpu_s": spread(all_, goals.get(name, "-")) for name, all_ in times.items()},
        "resume_wrong_step": {"count": wrong, "goal": "0"},
        "resume_in_doubt_at_kill": {"count": repeated, "goal": f"<= {16 * kills} (under way when killed)"},
        "resume_twice": {"count": sum(n > 1 for n in keys.values()), "goal": "0"},
        "resume_missing": {"count": people - len(keys), "goal": "0"},
        **json.loads(kept.stdout),
    }


_READ = (
    "userId",
    "userExternalKey",
    "email",
    "userName",
    "employeeNumber",
    "cellPhone",
    "isAdministrator",
    "isPending",
    "isSuspended",
    "isDeleted",
    "organizations",
)


def child(folder: Path, domain_id: int) -> Numbers:
    """What a process that goes on with it needs at most, without the sandbox: plan, journal, view, drift."""
    from bousai_kit.clock import VirtualClock
    from bousai_kit.ledger import Ledger

    async def main() -> None:
        plan = load_plan(folder / "resume.json")
        url = f"sqlite:///{folder / 'resume' / 'ledger.db'}"
        clock = VirtualClock(datetime(2027, 1, 18, tzinfo=UTC))
        async with await Ledger.open(url, clock=clock, domain_id=domain_id) as ledger:
            journal = Journal(ledger, plan.plan_id)
            await journal.refresh()
            with (folder / "users.json").open(encoding="utf-8") as lines:
                members = tuple(see_member(json.loads(line)) for line in lines)
            lists = json.loads((folder / "lists.json").read_text("utf-8"))
            view = TenantView(
                domain_id=domain_id,
                read_at=clock.now(),
                members=members,
                units=tuple(
                    Unit(
                        one["orgUnitId"],
                        one["orgUnitExternalKey"],
                        one["orgUnitName"],
                        one["parentOrgUnitId"] or "",
                    )
                    for one in lists["orgunits"]
                ),
                positions=tuple(Title(one["positionId"], one["positionName"]) for one in lists["positions"]),
                groups=tuple(
                    Group(
                        journal.id(f"group.create:{one.key}"),
                        one.key,
                        one.name,
                        frozenset(journal.id(f"user.create:{number}") for number in one.members),
                    )
                    for one in plan.groups
                ),
            )
            check_drift(plan, view, journal)

    asyncio.run(main())
    return {"resume_peak_mb": {"value": _peak_mb(), "goal": "<= 500"}}


def child_plan(folder: Path, people: int) -> Numbers:
    """The peak of a process that plans, saves and loads."""
    roster, view = as_tenant(sample_roster(people))
    plan = build_plan(roster, view, rooms="always")
    save_plan(plan, folder / "peak.json")
    assert load_plan(folder / "peak.json") == plan
    return {"plan_peak_mb": {"value": _peak_mb(), "goal": "<= 500"}}


def _peak_mb() -> int:
    """Of this process alone: under Linux `ru_maxrss` of a child begins at the peak of whoever started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return round(int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / (1 << 10))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))


# -- many kills -------------------------------------------------------------------------------------------


async def killed(count: int, folder: Path) -> Numbers:
    """Seeded runs beyond those of the suite, until so many kills have struck."""
    from tests.onboarding.killlab import count_points, one_run

    founded, total, faults, wrong = folder / "founded", Counter[str](), Counter[str](), []
    async with await bench_at(founded):
        pass
    points = {r: await count_points(founded, folder / f"whole{r}", rooms=r) for r in (False, True)}
    number = 10_000
    while total["kills"] < count:
        run = await one_run(number, founded, folder / f"home{number}", points)
        shutil.rmtree(folder / f"home{number}")
        total.update(kills=run.kills, lives=run.lives, runs=1)
        faults.update(run.faults)
        wrong += [number] if run.problems else []
        number += 1
    return {
        "kills": dict(total),
        "kills_faults": dict(sorted(faults.items())),
        "kills_wrong_runs": {"count": len(wrong), "which": wrong, "goal": "0"},
    }


# -- the peer -----------------------------------------------------------------------------------------------


async def _create(
    http: httpx.AsyncClient, gate: asyncio.Semaphore, url: str, token: str, person: Any, domain_id: int
) -> None:
    body = {
        "domainId": domain_id,
        "email": person.login_id,
        "userExternalKey": person.staff_number,
        "userName": {"lastName": person.last_name, "firstName": person.first_name},
        "passwordConfig": {"passwordCreationType": "ADMIN", "password": "Kx7mTq9rbz"},
    }
    async with gate:
        answer = await http.post(url, json=body, headers={"Authorization": f"Bearer {token}"})
        answer.raise_for_status()


async def bare_httpx(folder: Path) -> Numbers:
    """200 creates at 16 at once, by httpx alone and by the kit: seconds of CPU, sandbox included in both."""
    from tests.onboarding.onlab import city

    times: dict[str, list[float]] = {"bare_httpx_200_cpu_s": [], "kit_200_cpu_s": []}
    for turn in range(3):
        async with await bench_at(folder / f"bare{turn}") as bench:
            token = (await bench.client.auth.token()).value
            people = sample_roster(200).people
            gate = asyncio.Semaphore(16)
            async with httpx.AsyncClient(mounts=bench.sandbox.mounts()) as http:  # type: ignore[union-attr]
                began = time.process_time()
                create = partial(_create, http, gate, f"{bench.sandbox.api_url}/users", token)  # type: ignore[union-attr]
                await asyncio.gather(*(create(person, bench.domain_id) for person in people))
                times["bare_httpx_200_cpu_s"].append(time.process_time() - began)
        async with await bench_at(folder / f"kit{turn}") as bench:
            plan = build_plan(city(200, 1), await read_tenant(bench.client, domain_id=bench.domain_id))
            given = {"client": bench.client, "ledger": bench.ledger, "clock": bench.clock}
            began = time.process_time()
            await apply_plan(plan, **given, home=bench.home, domain_id=bench.domain_id)  # type: ignore[arg-type]
            times["kit_200_cpu_s"].append(time.process_time() - began)
    return {name: spread(values, "-") for name, values in times.items()}


PARTS = ("of200", "eta", "plan", "begun", "peer", "kills", "resume")


def _numbers(given: argparse.Namespace, folder: Path) -> Iterator[Numbers]:
    for part in given.only.split(","):
        if part == "of200":
            yield asyncio.run(of_200(folder / part))
        elif part == "eta":
            yield asyncio.run(time_left(folder / part))
        elif part == "plan":
            yield of_many(given.people, folder)
            words = [sys.executable, __file__, "--child-plan", str(folder), "--people", str(given.people)]
            yield json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        elif part == "begun":
            from bench.resume import resume

            yield resume(given.people, 3)
        elif part == "peer":
            yield asyncio.run(bare_httpx(folder / part))
        elif part == "kills":
            yield asyncio.run(killed(given.kills, folder / part))
        elif part == "resume":
            yield asyncio.run(resumed(given.people, 10, folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, default=30_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma separated")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child-plan", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--domain", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        print(json.dumps(child(given.child, given.domain)))
        return
    if given.child_plan is not None:
        print(json.dumps(child_plan(given.child_plan, given.people)))
        return
    numbers: Numbers = {}
    with tempfile.TemporaryDirectory() as name:
        for found in _numbers(given, Path(name)):
            numbers |= found
            print(json.dumps(found, ensure_ascii=False), file=sys.stderr)
    print(json.dumps(numbers, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
