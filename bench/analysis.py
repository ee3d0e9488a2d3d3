"""The talk-log analysis, as ratios in one run.

* analysis ÷ DuckDB's typed scan of the same three columns, goal ≤ 2.0; ÷ bare ``count(*)``, goal ≤ 3.5
* peak memory, goal ≤ 0.8 GB
* rows neither kept nor listed, over eight kinds of damage, goal 0

``python bench/analysis.py [--rows 10000000] [--people 30000] [--rounds 3] [--json]``
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

START = datetime(2027, 1, 17, 9, 0, tzinfo=UTC)  # the clock on the wall in Japan; only its digits are used
TEXTS = (
    "了解しました",
    "無事です",
    "確認中です、少しお待ちください",
    "停電しています",
    "避難所を開設しました",
)
ROOM = "9c0e1b7a-1111-2222-3333-444455556666"


def make(folder: Path, rows: int, people: int) -> None:
    """A log of an hour and a half, a list of two broadcasts, a roster."""
    import numpy as np

    from bousai_kit.roster import roster_rows, sample_roster
    from bousai_kit.tables import write_csv

    roster = sample_roster(people)
    write_csv(folder / "roster.csv", *roster_rows(roster))
    senders = [f"{person.name} ({person.login_id})" for person in roster.people]
    (folder / "list.csv").write_text(
        "broadcast_id,sent_at,login_id,channel_id,ack_code,deadline_s\n"
        "b01,2027-01-17 09:00:00,,,了解|無事,1800\nb02,2027-01-17 09:40:00,,,了解|無事,1800\n",
        encoding="utf-8",
    )
    random = np.random.default_rng(1)
    with (folder / "log.csv").open("w", encoding="utf-8-sig", newline="") as file:
        file.write("日時,送信者,受信者,チャンネルID,トーク\r\n")
        for first in range(0, rows, 100_000):
            number = min(100_000, rows - first)
            who, what = random.integers(0, people, number), random.integers(0, len(TEXTS), number)
            file.write(
                "".join(
                    f"{START + timedelta(seconds=(first + i) * 5400 // rows):%Y-%m-%d %H:%M:%S},"
                    f"{senders[w]},[Bot]防災訓練,{ROOM},{TEXTS[t]}\r\n"
                    for i, (w, t) in enumerate(zip(who.tolist(), what.tolist(), strict=True))
                )
            )


def scan(log: Path, query: str) -> float:
    """Seconds of DuckDB alone."""
    import duckdb

    columns = {f"c{i}": "VARCHAR" for i in range(5)}
    began = time.perf_counter()
    with duckdb.connect(config={"preserve_insertion_order": False}) as con:
        con.execute(query, [str(log), columns]).fetchall()
    return time.perf_counter() - began


READ = "read_csv(?, columns=?, header=true, auto_detect=false, delim=',', quote='\"', escape='\"')"
COUNT = f"SELECT count(*) FROM {READ}"
TYPED = f"SELECT max(TRY_CAST(c0 AS TIMESTAMP)), max(c1), max(c4) FROM {READ}"


def analysis(folder: Path) -> dict[str, float]:
    """Seconds and peak memory of one analysis in a process of its own."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from bench import analysis; analysis.child(sys.argv[1])"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(root)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def child(folder: str) -> None:
    """One analysis; prints its numbers."""
    from bousai_kit.latency import analyse
    from bousai_kit.latency.talklog import from_talk_log
    from bousai_kit.roster import read_roster

    place = Path(folder)
    roster = read_roster(place / "roster.csv")
    began = time.perf_counter()
    found = from_talk_log([place / "log.csv"], place / "list.csv", roster, rejects_folder=place)
    analyse(found)
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1 << 20 if sys.platform != "darwin" else 1 << 30
    )
    print("\n" + json.dumps({"s": took, "scan_s": found.elapsed_s, "gb": peak, "rows": found.rows_read}))


def damage(folder: Path) -> int:
    """Rows of small damaged logs that are neither kept nor listed."""
    from bousai_kit.logs.talk import read_talk

    clean = (folder / "log.csv").read_bytes()[:400_000].rsplit(b"\r\n", 1)[0] + b"\r\n"
    total = clean.count(b"\r\n") - 1
    lines = clean.split(b"\r\n")
    every = range(7, len(lines) - 1, 97)

    def at(change: Any) -> bytes:
        return b"\r\n".join(change(line) if i in every else line for i, line in enumerate(lines))

    kinds = {
        "stray quotes": at(lambda line: line.replace(b",9c0e", b',"9c0e')),
        "quotes in words": at(lambda line: line.replace(b"9c0e", b'9c"0e')),
        "dates": at(lambda line: b"2027-99" + line[7:]),
        "columns lost": at(lambda line: line.replace(b",9c0e", b"9c0e")),
        "columns more": at(lambda line: line + b","),
        "bytes": at(lambda line: line.replace(b"9c0e", b"9c\xff\xfe")),
        "cut off": clean[:-20],
        "trailer": clean + b"downloadLogs error\r\n",
    }
    lost = 0
    for data in kinds.values():
        log = read_talk(data)
        seen = {row.line for row in log.rows} | {line for line, _ in log.rejected}
        lost += sum(line not in seen for line in range(2, total + 2))
    return lost


def main() -> int:
    """Print the ratios; exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--people", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, given.rows, given.people)
        os.sync()
        runs = [
            (scan(folder / "log.csv", COUNT), scan(folder / "log.csv", TYPED), analysis(folder))
            for _ in range(given.rounds)
        ]
        lost = damage(folder)
    typed = statistics.median(run["scan_s"] / scanned for _, scanned, run in runs)
    bare = statistics.median(run["scan_s"] / counted for counted, _, run in runs)
    peak = max(run["gb"] for _, _, run in runs)
    kept = all(run["rows"] == given.rows for _, _, run in runs)
    ok = typed <= 2.0 and bare <= 3.5 and peak <= 0.8 and lost == 0 and kept
    if given.json:
        print(json.dumps({"ok": ok, "typed": typed, "bare": bare, "gb": peak, "lost": lost}))
    else:
        seconds = statistics.median(run["scan_s"] for *_, run in runs)
        whole = statistics.median(run["s"] for *_, run in runs)
        print(f"{given.rows:,} rows: durations in {seconds:.2f} s, with the estimates {whole:.2f} s")
        print(f"÷ typed scan {typed:.2f} (goal ≤ 2.0), ÷ count(*) {bare:.2f} (goal ≤ 3.5)")
        print(f"peak memory {peak:.2f} GB (goal ≤ 0.8), rows neither kept nor listed {lost} (goal 0)")
        print("goals met" if ok else "GOAL MISSED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
