"""First replies out of talk logs of any size: DuckDB, strict; where it refuses, Python says which lines.

Every file is read once: rows are counted, anything odd is (a date that is none, a row inside another's
quotes, bytes that are no text), and each sender's replies are gathered. A file with anything odd, and one
that DuckDB's strict reader refuses, is read by `bousai_kit.logs.records` instead, which writes the good rows
to a clean file and puts the others on a list; the clean file is then read in the same way.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bousai_kit.errors import InputError, os_reason
from bousai_kit.logs.records import MAX_CELL, Columns, find_columns, pick_encoding, read_records
from bousai_kit.logs.talk import login_of

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

__all__ = ["Reject", "Rule", "Scan", "scan_logs"]

HEAD = 1 << 16
RULES_AT_ONCE = 60  # bits of a BIGINT
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LOOKS_LIKE_A_ROW = r"[\r\n]([^\r\n]*,)?[ \"]*[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}[T ]"


class Rule(NamedTuple):
    """What counts as a reply.

    Attributes
    ----------
    channel_id : str
        "": in any room.
    codes : tuple of str
        The message contains one of these; none: any message counts.
    """

    channel_id: str
    codes: tuple[str, ...]


class Reject(NamedTuple):
    """One line that was not used."""

    file: str
    line: int
    reason: str


@dataclass(slots=True)
class Scan:
    """What the logs hold.

    Attributes
    ----------
    first : ndarray of float
        For each send the first reply, µs since the epoch; NaN: none.
    rows : int
        Rows that could be used.
    """

    first: Any
    rows: int = 0
    rejects: list[Reject] = field(default_factory=list)


@dataclass(slots=True)
class _Source:
    """One file, ready for DuckDB."""

    path: Path
    columns: Columns
    clean: bool = False  # written by us: the date is a number of µs


def scan_logs(
    paths: Sequence[Path],
    people: Mapping[str, int],
    rules: Sequence[Rule],
    sends: pd.DataFrame,
    *,
    scratch: Path,
) -> Scan:
    """Find the first reply to each send.

    Parameters
    ----------
    paths : sequence of Path
        Talk logs as they came.
    people : mapping
        Login id (lower case; without domain where the roster has none) → index.
    rules : sequence of Rule
    sends : pandas.DataFrame
        Columns ``who`` (index of the person), ``rule`` (index), ``since`` (µs since the epoch: replies count
        from then on).
    scratch : Path
        An empty folder for clean copies.

    Raises
    ------
    InputError
        A file is no talk log, cannot be read, or has no room column where a rule asks for one.
    """
    import duckdb
    import numpy as np

    scan = Scan(np.full(len(sends), np.nan))
    con = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": False,
            "temp_directory": str(scratch),
        }
    )
    try:
        con.execute("SET enable_progress_bar = false")  # it would draw on stdout
        con.register("sends", sends.assign(place=np.arange(len(sends)))[["place", "who", "rule", "since"]])
        for number, path in enumerate(paths):
            _scan_one(con, path, people, rules, scan, scratch / f"{number}.csv")
    finally:
        con.close()
    return scan


def _scan_one(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    people: Mapping[str, int],
    rules: Sequence[Rule],
    scan: Scan,
    clean: Path,
) -> None:
    import duckdb

    try:
        with path.open("rb") as file:
            columns = _header(file.read(HEAD))
    except OSError as error:
        raise InputError(
            f"トークログ {path} を開けません（{os_reason(error)}）。",
            hint="ファイルの場所と権限を確認してください。",
        ) from None
    rows = None
    if columns is not None and not set("*?[]{}") & set(str(path)):
        _check_rooms(path, columns, rules)
        with contextlib.suppress(duckdb.Error):  # strict: it says no, and Python will say which lines
            rows = _gather(con, _Source(path, columns), people, rules, scan)
    if rows is None:
        source = _by_python(path, clean, scan)
        _check_rooms(path, source.columns, rules)
        rows = _gather(con, source, people, rules, scan)
        assert rows is not None, "a clean file holds nothing odd"
        clean.unlink()
    scan.rows += rows


def _check_rooms(path: Path, columns: Columns, rules: Sequence[Rule]) -> None:
    if columns.channel < 0 and any(rule.channel_id for rule in rules):
        raise InputError(
            f"{path.name} にチャンネル ID の列がなく、channel_id のある一斉送信を数えられません。",
            hint="チャンネル ID の列があるログを使うか、一覧の channel_id を空にしてください。",
        )


def _header(head: bytes) -> Columns | None:
    """Columns of a UTF-8 file whose first line is its header; None: Python has to look."""
    if pick_encoding(head[: head.rfind(b"\n") + 1] or head) == "cp932":
        return None
    first = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].rstrip(b"\r")
    try:
        cells = next(csv.reader([first.decode("utf-8")], strict=True))
        return find_columns(cells) if any(cells) else None
    except (InputError, csv.Error, UnicodeDecodeError, StopIteration):
        return None


def _relation(source: _Source) -> str:
    """SQL: ``t`` (µs since the epoch, NULL: no date), ``sender``, ``channel``, ``text``."""
    columns = source.columns
    named = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(columns.width))
    moment = _moment_sql(f"c{columns.at}", clean=source.clean)
    channel = f"coalesce(c{columns.channel}, '')" if columns.channel >= 0 else "''"
    return f"""(
        SELECT {moment} AS t, coalesce(c{columns.sender}, '') AS sender,
               {channel} AS channel, coalesce(c{columns.text}, '') AS text
        FROM read_csv(?, columns={{{named}}}, header=true, auto_detect=false, delim=',', quote='"',
                      escape='"', strict_mode=true, null_padding=false, ignore_errors=false,
                      encoding='utf-8'))"""  # noqa: S608


def _moment_sql(cell: str, *, clean: bool) -> str:
    if clean:
        return f"TRY_CAST({cell} AS BIGINT)"
    # the usual 19 letters first; what has an offset after them; all else is no date, and Python looks again
    usual = "'_____________:__:__'"
    local = f"epoch_us(TRY_CAST(left({cell}, 19) AS TIMESTAMP))"
    hours, minutes = f"TRY_CAST({cell}[21:22] AS BIGINT)", f"TRY_CAST({cell}[24:25] AS BIGINT)"
    away = f"({hours} * 3600 + {minutes} * 60) * 1000000"
    return (
        f"CASE WHEN {cell} LIKE {usual} THEN epoch_us(TRY_CAST({cell} AS TIMESTAMP)) - 32400000000 "
        f"WHEN left({cell}, 19) NOT LIKE {usual} THEN NULL "
        f"WHEN length({cell}) = 25 AND {cell}[20:20] IN ('+', '-') AND {cell}[23:23] = ':' "
        f"AND {hours} < 24 AND {minutes} < 60 "
        f"THEN {local} - CASE {cell}[20:20] WHEN '-' THEN -1 ELSE 1 END * {away} "
        f"WHEN length({cell}) = 20 AND {cell}[20:20] = 'Z' THEN {local} END"
    )


# CASE, not AND: only the texts with a line break are looked at more closely
_ODD = f"""count(*) - count(t) + count(*) FILTER (CASE WHEN contains(text, chr(10))
    THEN length(text) > {MAX_CELL} OR regexp_matches(text, '{_LOOKS_LIKE_A_ROW}') END)"""


def _gather(
    con: duckdb.DuckDBPyConnection,
    source: _Source,
    people: Mapping[str, int],
    rules: Sequence[Rule],
    scan: Scan,
) -> int | None:
    """Read a file once and take its first replies into the scan; its rows, or None where anything is odd."""
    rows = None
    for first in range(0, len(rules), RULES_AT_ONCE):
        lists, values = [], []
        for place, rule in enumerate(rules[first : first + RULES_AT_ONCE], first):
            test, own = _test_sql(rule)
            lists.append(f"list(t) FILTER ({test}) AS l{place}")
            values += own
        con.execute(
            f"""CREATE OR REPLACE TEMP TABLE gathered AS
            SELECT sender, count(*) AS n, {_ODD} AS odd, {", ".join(lists)}
            FROM {_relation(source)} GROUP BY sender""",  # noqa: S608 - names and numbers of our own
            [*values, str(source.path)],
        )
        seen = con.execute(
            "SELECT coalesce(sum(n), 0), coalesce(sum(odd), 0) + count(*) FILTER (contains(sender, chr(10)))"
            " FROM gathered"
        ).fetchone()
        assert seen is not None
        if seen[1] and not source.clean:
            return None
        rows = int(seen[0])
        _take(con, people, range(first, first + len(lists)), scan)
    return rows


def _test_sql(rule: Rule) -> tuple[str, list[str]]:
    tests, values = [], []
    if rule.channel_id:
        tests.append("trim(channel) = ?")
        values.append(rule.channel_id)
    if rule.codes:
        tests.append("(" + " OR ".join(["contains(text, ?)"] * len(rule.codes)) + ")")
        values += rule.codes
    return " AND ".join(tests) or "true", values


def _take(con: duckdb.DuckDBPyConnection, people: Mapping[str, int], rules: range, scan: Scan) -> None:
    """The first reply to each send out of what was gathered."""
    import numpy as np
    import pandas as pd

    known = []
    for (sender,) in con.execute("SELECT sender FROM gathered").fetchall():
        login = login_of(sender)
        person = people.get(login, people.get(login.partition("@")[0])) if login else None
        if person is not None:
            known.append((sender, person))
    if not known:
        return
    con.register("known", pd.DataFrame(known, columns=["sender", "person"]))
    for rule in rules:
        found = con.execute(
            f"""SELECT place, moment FROM (SELECT place, who, since FROM sends WHERE rule = {rule}) s
            ASOF JOIN (SELECT person, unnest(l{rule}) AS moment
            FROM gathered JOIN known USING (sender)) r
            ON s.who = r.person AND s.since <= r.moment"""  # noqa: S608
        ).fetchnumpy()
        places = np.asarray(found["place"], dtype=np.int64)
        moments = np.asarray(found["moment"], dtype=np.float64)
        scan.first[places] = np.fmin(scan.first[places], moments)
    con.unregister("known")


def _by_python(path: Path, clean: Path, scan: Scan) -> _Source:
    """Good rows into a clean file, the others on the list."""
    encoding = pick_encoding(path.read_bytes())
    with (
        path.open("rb") as raw,
        io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape", newline="") as lines,
        clean.open("w", encoding="utf-8", newline="") as out,
    ):
        columns, records = read_records(lines)
        writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(("t", "sender", "channel", "text"))
        for record in records:
            fields, at = record.fields, record.at
            if fields is None or at is None:
                scan.rejects.append(Reject(path.name, record.line, record.reason))
                continue
            channel = fields[columns.channel].strip() if columns.channel >= 0 else ""
            moment = (at - _EPOCH) // _MICROSECOND
            writer.writerow((moment, fields[columns.sender], channel, fields[columns.text]))
    has_channel = 2 if columns.channel >= 0 else -1
    return _Source(clean, Columns(0, 1, -1, has_channel, 3, 4), clean=True)
