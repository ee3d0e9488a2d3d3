"""Validating a roster of 30,000, beside a bare read of the same file in the same run.

* CSV (UTF-8 and Windows-31J) and XLSX: wall ≤ 3 s; the peer is ``csv.reader`` or ``python-calamine`` alone
* the same where every row has a problem, and a sheet with formulas and formats of zeros

``python bench/roster.py [--people 30000] [--rounds 5] [--json]``
"""

from __future__ import annotations

import argparse
import csv
import gc
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import xlsxwriter
from python_calamine import CalamineWorkbook

from bousai_kit.roster import Roster, check_roster, roster_rows, sample_roster
from bousai_kit.roster.sample import write_sample
from bousai_kit.tables import csv_bytes, write_xlsx

MOST_S = 3.0


def bare(path: Path) -> int:
    """What reading alone costs."""
    if path.suffix == ".xlsx":
        return len(CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python())
    encoding = "cp932" if "cp932" in path.name else "utf-8-sig"
    return len(list(csv.reader(io.StringIO(path.read_bytes().decode(encoding), newline=""))))


def spoiled(roster: Roster) -> Roster:
    """Every row with several problems."""
    people = tuple(
        replace(
            one,
            last_name=one.last_name + "☆",
            last_kana="しけん",
            phone="０９０ー００００ー００００",
            device_os="",
            deputy_for="nobody",
            login_id=one.login_id.upper(),
            ward=one.ward + "\u200b" if one.ward else "",
        )
        for one in roster.people
    )
    return replace(roster, people=people)


def computed(path: Path, roster: Roster) -> None:
    """A sheet in which 職員番号 are numbers that a format fills with zeros, and 所属名 are formulas."""
    header, rows = roster_rows(roster)
    number, name = header.index("職員番号"), header.index("所属名")
    with xlsxwriter.Workbook(str(path)) as book:
        zeros = book.add_format({"num_format": "00000000"})
        sheet = book.add_worksheet("名簿")
        sheet.write_row(0, 0, header)
        for at, row in enumerate(rows, 1):
            for place, cell in enumerate(row):
                if place == number:
                    sheet.write_number(at, place, int(cell), zeros)
                elif place == name:
                    sheet.write_formula(at, place, f"=VLOOKUP(G{at + 1},組織!A:B,2,FALSE)", None, cell)
                elif cell:
                    sheet.write_string(at, place, cell)


def files(people: int, folder: Path) -> dict[str, Path]:
    roster = sample_roster(people)
    header, rows = roster_rows(roster)
    bad = roster_rows(spoiled(roster))
    write_sample(folder)  # the organisation file
    named = {
        name: folder / name
        for name in ("utf-8.csv", "cp932.csv", "sheet.xlsx", "formulas.xlsx", "spoiled.csv", "spoiled.xlsx")
    }
    text = csv_bytes(header, rows)
    named["utf-8.csv"].write_bytes(text)
    named["cp932.csv"].write_bytes(text.decode("utf-8-sig").encode("cp932"))
    write_xlsx(named["sheet.xlsx"], {"名簿": (header, rows)})
    computed(named["formulas.xlsx"], roster)
    named["spoiled.csv"].write_bytes(csv_bytes(*bad))
    write_xlsx(named["spoiled.xlsx"], {"名簿": bad})
    return named


def timed(work: Callable[[], object]) -> tuple[float, float]:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found: dict[str, object] = {"people": given.people, "rounds": given.rounds, "load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        units = folder / "sample_orgunits.csv"
        for title, path in files(given.people, folder).items():
            checked = check_roster(path, units)
            assert checked.people == given.people
            ours, theirs = [], []
            for _ in range(given.rounds):  # alternating, so that a busy machine weighs on both
                ours.append(timed(lambda path=path: check_roster(path, units)))
                theirs.append(timed(lambda path=path: bare(path)))
            found[title] = {
                "wall_s": spread([wall for wall, _ in ours]),
                "cpu_s": spread([cpu for _, cpu in ours]),
                "bare_wall_s": spread([wall for wall, _ in theirs]),
                "bare_cpu_s": spread([cpu for _, cpu in theirs]),
                "cpu_ratio": statistics.median(a / b for (_, a), (_, b) in zip(ours, theirs, strict=True)),
                "issues": len(checked.issues),
                "within": statistics.median(wall for wall, _ in ours) <= MOST_S,
            }
    if given.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return
    print(f"{given.people:,} people, {given.rounds} rounds, load {found['load']:.1f}")
    for title, one in found.items():
        if isinstance(one, dict):
            wall, cpu, peer = one["wall_s"], one["cpu_s"], one["bare_cpu_s"]
            print(
                f"{title:14} wall {wall['min']:.2f}/{wall['median']:.2f}/{wall['max']:.2f} s, "
                f"CPU {cpu['min']:.2f}/{cpu['median']:.2f}/{cpu['max']:.2f} s, "
                f"bare {peer['min']:.2f}/{peer['median']:.2f}/{peer['max']:.2f} s, "
                f"ratio {one['cpu_ratio']:.1f}, issues {one['issues']:,}"
            )


if __name__ == "__main__":
    main()
