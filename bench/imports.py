"""What starting costs, as ratios in one run: fresh processes, each import alternating with `import pandas`.

* CPU of ``import bousai_kit`` ÷ CPU of ``import pandas``, goal ≤ 0.45; wall ≤ 0.2 s
* the same for what the first cell of a notebook and a command import, for information

``python bench/imports.py [--rounds 9] [--json]``
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_RATIO, MOST_WALL_S = 0.45, 0.2
STATEMENTS = {
    "import bousai_kit": "import bousai_kit",
    "the command line (bousai --help)": "from bousai_kit import cli; cli.build_app('doctor')",
    "first cell of a notebook": "from bousai_kit.panels import StartPanel, open_bench",
    "a workbench and its client": "import bousai_kit.workbench, bousai_kit.lineworks.client",
}
PROBE = """
import os, time
wall, cpu = time.perf_counter(), time.process_time()
{statement}
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def measure(statement: str) -> tuple[float, float]:
    """Wall and CPU seconds of one statement in a fresh process (the interpreter's own start is left out)."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(statement=statement)],
        capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    wall, cpu = done.stdout.split()
    return float(wall), float(cpu)


def spread(values: list[float]) -> list[float]:
    """Minimum, median, maximum."""
    return [min(values), statistics.median(values), max(values)]


def main() -> int:
    """Print the ratios; exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    for statement in ("import pandas", *STATEMENTS.values()):
        measure(statement)  # compiled files and the disk's cache
    found: dict[str, dict[str, list[float]]] = {}
    pandas: list[tuple[float, float]] = []
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in STATEMENTS}
    for _ in range(given.rounds):
        pandas.append(measure("import pandas"))
        for name, statement in STATEMENTS.items():
            wall, cpu = measure(statement)
            rows[name].append((wall, cpu, cpu / pandas[-1][1]))
    for name, row in rows.items():
        found[name] = {
            "wall_s": spread([wall for wall, _, _ in row]),
            "cpu_s": spread([cpu for _, cpu, _ in row]),
            "cpu_ratio": spread([ratio for _, _, ratio in row]),
        }
    kit = found["import bousai_kit"]
    ok = kit["cpu_ratio"][1] <= MOST_RATIO and kit["wall_s"][1] <= MOST_WALL_S
    pandas_s = spread([cpu for _, cpu in pandas])
    if given.json:
        print(json.dumps({"ok": ok, "pandas_cpu_s": pandas_s, **found}))
        return 0 if ok else 1
    print("(min / median / max of fresh processes)")
    print("import pandas:                     CPU {:.3f} / {:.3f} / {:.3f} s".format(*pandas_s))
    for name, one in found.items():
        print(
            "{:34s} CPU {:.3f} / {:.3f} / {:.3f} s".format(name + ":", *one["cpu_s"]),
            "÷ pandas {:.2f} / {:.2f} / {:.2f}".format(*one["cpu_ratio"]),
            "wall {:.3f} / {:.3f} / {:.3f} s".format(*one["wall_s"]),
            sep="; ",
        )
    print(f"goals {'met' if ok else 'MISSED'}: CPU ratio ≤ {MOST_RATIO}, wall ≤ {MOST_WALL_S} s")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
