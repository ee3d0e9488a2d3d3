"""Going on with an apply of 30,000 that was killed: CPU until the next step's request, and peak memory.

    python bench/resume.py [--people 30000] [--rounds 3]

The journal of an apply that came to 10, 50 and 90 % of its people is written as the apply writes it; a
process of its own then runs the true `load_plan` and `apply_plan`. The tenant's lists are handed to it ready
made, as their reading takes what the rate limit sets; the first request that would write ends it. Each number
is ``{min, median, max}`` over shares and rounds; the peer is ``json.loads`` of the plan, in the same process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bousai_kit.clock import VirtualClock
from bousai_kit.ledger import Ledger, NewEvent
from bousai_kit.onboarding import apply as applying
from bousai_kit.onboarding import build_plan, load_plan, save_plan
from bousai_kit.onboarding.apply import apply_plan
from bousai_kit.onboarding.items import Plan
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.passwords import PlanSecret
from bousai_kit.onboarding.plan_file import content_digest, keep_copy, prepare_plan
from bousai_kit.onboarding.tenant_view import TenantView, Unit, see_member
from bousai_kit.onboarding.titles import KINDS, Title
from bousai_kit.roster import sample_roster

DOMAIN = 10000001
SHARES = (0.1, 0.5, 0.9)
AT = datetime(2027, 1, 17, tzinfo=UTC)


class Gone(BaseException):
    """The process is gone."""


def _made(step: str) -> str:
    return "id-" + step.partition(":")[2]


def _events(plan: Plan, journal: Journal, share: float) -> Iterator[NewEvent]:
    """What an apply has written when so many of its people are done; nothing is in doubt."""
    steps = [f"{kind.field}.create:{one.name}" for kind in KINDS for one in getattr(plan, kind.plural)]
    steps += [f"orgunit.create:{one.code}" for one in plan.units]
    people = [f"user.create:{item.person.staff_number}" for item in plan.people]
    done = int(len(people) * share)
    stream = journal.stream
    for step in steps + people[:done]:
        intent = {"attempt": 1, "run": journal.run}
        yield NewEvent(stream, "step.intended", step, intent, once=f"{stream}|{step}|1")
        yield NewEvent(stream, "step.done", step, {"attempt": 1, "id": _made(step)})
        if step.startswith("user."):
            number = step.partition(":")[2]
            said = {"staff_number": number, "step": step}
            yield NewEvent(stream, "user.created", _made(step), said, once=f"{stream}|created|{step}")


async def begun(plan: Plan, folder: Path, share: float) -> None:
    """A home in which the plan was carried out so far."""
    clock = VirtualClock(AT)
    url = f"sqlite:///{folder / 'home' / 'ledger.db'}"
    async with await Ledger.open(url, clock=clock, domain_id=DOMAIN) as ledger:
        journal = Journal(ledger, plan.plan_id)
        digest = content_digest(plan)
        await journal.plan(applying._about(plan, digest), list(applying._people(plan, journal.stream)))
        events = list(_events(plan, journal, share))
        for first in range(0, len(events), 900):
            await ledger.append_many(events[first : first + 900])


def seen(plan: Plan, journal: Journal) -> TenantView:
    """The tenant as it is then."""
    members = [see_member({"userId": "admin", "email": "admin@city.example", "isAdministrator": True})]
    for item in plan.people:
        one, user_id = item.person, journal.id(f"user.create:{item.person.staff_number}")
        if user_id:
            seat = {
                "orgUnitId": f"id-{one.orgunit_code}",
                "primary": True,
                "positionId": f"id-{one.position}",
            }
            organization = {"domainId": DOMAIN, "primary": True, "orgUnits": [seat | {"primary": True}]}
            members.append(
                see_member(
                    {
                        "userId": user_id,
                        "userExternalKey": one.staff_number,
                        "employeeNumber": one.staff_number,
                        "email": one.login_id,
                        "cellPhone": one.phone or None,
                        "userName": {
                            "lastName": one.last_name,
                            "firstName": one.first_name,
                            "phoneticLastName": one.last_kana,
                            "phoneticFirstName": one.first_kana,
                        },
                        "organizations": [organization],
                    }
                )
            )
    units = (
        Unit(f"id-{one.code}", one.code, one.name, f"id-{one.parent_code}" if one.parent_code else "")
        for one in plan.units
    )
    titles = {
        kind.plural: tuple(Title(f"id-{one.name}", one.name, one.order) for one in getattr(plan, kind.plural))
        for kind in KINDS
    }
    return TenantView(domain_id=DOMAIN, read_at=AT, members=tuple(members), units=tuple(units), **titles)


def child(folder: Path) -> dict[str, float]:
    """Go on with it, to the first request that would write."""
    from bench.onboarding import _peak_mb

    asked: list[str] = []
    marks: dict[str, float] = {}

    async def read(*_: Any, **__: Any) -> TenantView:
        marks["read"] = time.process_time()
        journal = Journal(ledgers[0], plans[0].plan_id)
        await journal.refresh()
        view = seen(plans[0], journal)
        del journal
        marks["lists"] = time.process_time()
        return view

    async def create(body: dict[str, Any]) -> Any:
        if not asked:
            marks["step"] = time.process_time()
        asked.append(str(body["userExternalKey"]))
        raise Gone

    def pacer(_: str) -> Any:
        return SimpleNamespace(limit=240)

    client: Any = SimpleNamespace(
        users=SimpleNamespace(create=create),
        levels=None,
        positions=None,
        orgunits=None,
        groups=None,
        gate=SimpleNamespace(pacer=pacer),
        stats=SimpleNamespace(requests=0, throttled=0),
    )
    applying.read_tenant = read
    ledgers: list[Ledger] = []
    plans: list[Plan] = []

    async def main() -> None:
        clock, home = VirtualClock(AT), folder / "home"
        began = time.process_time()
        plans.append(load_plan(folder / "plan.json"))
        marks["load"] = time.process_time() - began
        async with await Ledger.open(
            f"sqlite:///{home / 'ledger.db'}", clock=clock, domain_id=DOMAIN
        ) as ledger:
            ledgers.append(ledger)
            try:
                await apply_plan(
                    plans[0], client=client, ledger=ledger, clock=clock, home=home, domain_id=DOMAIN
                )
            except (Gone, BaseExceptionGroup):
                marks["before"] = marks["read"] - began
                marks["after"] = marks["step"] - marks["lists"]

    asyncio.run(main())
    text = (folder / "plan.json").read_bytes()
    peak = _peak_mb()
    began = time.process_time()
    json.loads(text)
    peer = time.process_time() - began
    both = marks["before"] + marks["after"]
    return {
        "load_cpu_s": marks["load"],
        "start_to_request_cpu_s": marks["before"],
        "lists_to_step_cpu_s": marks["after"],
        "together_cpu_s": both,
        "peer_json_load_cpu_s": peer,
        "together_per_json_load": both / peer,
        "peak_mb": peak,
        "right_step": float(asked[0] in (folder / "next").read_text().split()),  # 16 at once
    }


def resume(people: int, rounds: int) -> dict[str, Any]:
    """All numbers."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        admin = see_member({"userId": "admin", "email": "admin@city.example", "isAdministrator": True})
        tenant = TenantView(domain_id=DOMAIN, read_at=AT, members=(admin,))
        made = build_plan(sample_roster(people), tenant, rooms="never")
        for share in SHARES:
            here = folder / f"{share}"
            here.mkdir()
            plan = prepare_plan(made, here / "home")
            save_plan(plan, here / "plan.json")
            keep_copy(plan, here / "home")
            PlanSecret(here / "home", plan.plan_id, plan.home_mark).ensure()
            asyncio.run(begun(plan, here, share))
            first = int(len(plan.people) * share)
            numbers = [item.person.staff_number for item in plan.people[first : first + 16]]
            (here / "next").write_text(" ".join(numbers))
            for _ in range(rounds):
                with tempfile.TemporaryDirectory(dir=folder) as once:  # a run leaves intents behind
                    copy = Path(once) / here.name
                    shutil.copytree(here, copy)
                    words = [sys.executable, __file__, "--child", str(copy)]
                    done = subprocess.run(words, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(done.stderr)
                for key, value in json.loads(done.stdout).items():
                    found.setdefault(key, []).append(value)
    goals = {"together_cpu_s": "<= 2", "peak_mb": "<= 500", "right_step": "1"}
    return {"resume_people": people} | {
        f"resume_{name}": {
            "min": round(min(values), 3),
            "median": round(statistics.median(values), 3),
            "max": round(max(values), 3),
            "goal": goals.get(name, "-"),
        }
        for name, values in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        print(json.dumps(child(given.child)))
        return
    print(json.dumps(resume(given.people, given.rounds), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
