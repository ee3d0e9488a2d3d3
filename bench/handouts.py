"""Hand-outs' promises in one run, beside an empty typst document of as many pages.

* 200 pages as one PDF, with receipt lists, locked, and as a zip of single pages: goal ≤ 5 s each
* ``--many N`` (30,000 takes some minutes): peak memory of this process and of its children stays where it is

``python bench/handouts.py [--rounds 3] [--many 0] [--json]``
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bousai_kit.onboarding.handout_pdf import Slip
from bousai_kit.onboarding.handout_words import load_text
from bousai_kit.onboarding.handouts import write_handouts
from bousai_kit.onboarding.passwords import derive_password
from bousai_kit.roster import sample_roster

PEOPLE, GOAL_S = 200, 5.0
SECRET = bytes(32)


def slips(count: int) -> list[Slip]:
    """The sample roster, as often as it takes."""
    people = sorted(sample_roster(200).people, key=lambda one: one.orgunit_name)
    return [
        Slip(
            key=f"{one.staff_number}-{number}",
            name=one.name,
            login_id=one.login_id,
            password=derive_password(SECRET, "bench", str(number)),
            device_os=one.device_os,
            unit=f"{one.orgunit_name} {number // 200}",
            position=one.position,
        )
        for number, one in ((number, people[number % len(people)]) for number in range(count))
    ]


def empty(pages: int) -> bytes:
    """As many empty A5 pages."""
    import typst

    text = '#set page(paper: "a5")\n' + "#pagebreak()\n" * (pages - 1)
    made: Any = typst.compile(text.encode(), ignore_system_fonts=True)  # type: ignore[misc]
    return bytes(made)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the wall, and of the CPU with that of child processes."""
    wall, cpu = time.perf_counter(), cpu_s()
    work()
    return time.perf_counter() - wall, cpu_s() - cpu


def cpu_s() -> float:
    """CPU of this process and of those that it has ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def spread(values: Sequence[float]) -> dict[str, float]:
    """Least, middle and most."""
    return {
        "min": round(min(values), 2),
        "median": round(statistics.median(values), 2),
        "max": round(max(values), 2),
    }


def peak_mb(who: int) -> float:
    """Most memory ever held."""
    return resource.getrusage(who).ru_maxrss / 1024


def main() -> int:
    """Print the numbers; exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    text, people = load_text(), slips(PEOPLE)
    kinds: dict[str, dict[str, Any]] = {
        "one PDF": {},
        "one PDF, receipt lists": {"covers": True},
        "one PDF, AES-256": {"passphrase": "bench-bench"},
        "zip of single pages": {"single": True},
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ("empty document", *kinds)}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.rounds):
            found["empty document"].append(timed(lambda: empty(PEOPLE)))
            for name, options in kinds.items():
                words = {**text, "issued_by": f"{name} {number}"}  # the typesetter remembers what it has seen
                write = lambda words=words, options=options: write_handouts(  # noqa: E731
                    people, Path(folder), text=words, **options
                )
                found[name].append(timed(write))
        many: dict[str, float] = {}
        if args.many:
            crowd = slips(args.many)
            before = peak_mb(resource.RUSAGE_SELF)
            wall, _ = timed(lambda: write_handouts(crowd, Path(folder) / "many", text=text, covers=True))
            many = {
                "people": args.many,
                "wall_s": round(wall, 1),
                "peak_mb_before": round(before),
                "peak_mb": round(peak_mb(resource.RUSAGE_SELF)),
                "peak_mb_of_a_child": round(peak_mb(resource.RUSAGE_CHILDREN)),
                "written_mb": round(
                    sum(one.stat().st_size for one in (Path(folder) / "many").iterdir()) / (1 << 20)
                ),
            }
    table = {
        name: {
            "wall_s": spread([wall for wall, _ in rounds]),
            "cpu_s": spread([cpu for _, cpu in rounds]),
            "per_empty": statistics.median(
                cpu / max(bare, 0.01)
                for (_, cpu), (_, bare) in zip(rounds, found["empty document"], strict=True)
            ),
        }
        for name, rounds in found.items()
    }
    ok = all(row["cpu_s"]["median"] <= GOAL_S for row in table.values())
    if args.json:
        print(json.dumps({"people": PEOPLE, "kinds": table, "many": many, "ok": ok}, ensure_ascii=False))
    else:
        for name, row in table.items():
            wall, cpu = ("/".join(f"{one:.2f}" for one in row[key].values()) for key in ("wall_s", "cpu_s"))
            print(
                f"{name:24} {PEOPLE} pages  wall {wall} s  cpu {cpu} s (min/median/max)"
                f"  {row['per_empty']:,.0f} × empty"
            )
        if many:
            print("  ".join(f"{name} {value}" for name, value in many.items()))
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        print(f"goal: ≤ {GOAL_S:.0f} s of CPU each: {'met' if ok else 'MISSED'} (load {load:.1f} a core)")
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
