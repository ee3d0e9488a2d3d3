"""First replies out of talk logs of any size: DuckDB, strict; where it refuses, Python says which lines.

Every file is looked at twice. The first pass counts rows, finds the senders and anything odd: a date that is
none, a row inside another's quotes, bytes that are no text. A file with anything odd, and one that DuckDB's
strict reader refuses, is read by `bousai_kit.logs.talk` instead, which writes the good rows to a clean file
and the others on a list. The second pass takes from the (clean) files who replied when.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bousai_kit.errors import InputError
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
    replies : pandas.DataFrame
        Columns ``person`` (index that was asked for), ``rule`` and ``at`` (µs since the epoch).
    rows : int
        Rows that could be used.
    """

    replies: pd.DataFrame
    rows: int = 0
    rejects: list[Reject] = field(default_factory=list)


@dataclass(slots=True)
class _Source:
    """One file, ready for DuckDB."""

    path: Path
    columns: Columns
    clean: bool = False  # written by us: the date is a number of µs


def scan_logs(
    paths: Sequence[Path], people: Mapping[str, int], rules: Sequence[Rule], *, scratch: Path
) -> Scan:
    """Find every reply that could count.

    Parameters
    ----------
    paths : sequence of Path
        Talk logs as they came.
    people : mapping
        Login id (lower case; without domain where the roster has none) → index.
    rules : sequence of Rule
    scratch : Path
        An empty folder for clean copies.

    Raises
    ------
    InputError
        A file is no talk log, cannot be read, or has no room column where a rule asks for one.
    """
    import duckdb
    import pandas as pd

    scan = Scan(pd.DataFrame())
    con = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": False,
            "temp_directory": str(scratch),
        }
    )
    try:
        found: list[pd.DataFrame] = []
        for number, path in enumerate(paths):
            source, senders = _prepare(con, path, scratch / f"{number}.csv", scan)
            if source.columns.channel < 0 and any(rule.channel_id for rule in rules):
                raise InputError(
                    f"{path.name} にチャンネル ID の列がなく、channel_id のある一斉送信を数えられません。",
                    hint="チャンネル ID の列があるログを使うか、一覧の channel_id を空にしてください。",
                )
            found += _replies(con, source, _known(senders, people), rules)
        empty = pd.DataFrame({"person": [0], "rule": [0], "at": [0]}).iloc[:0]
        scan.replies = pd.concat([empty, *found], ignore_index=True).drop_duplicates(ignore_index=True)
    finally:
        con.close()
    return scan


# -- first pass -----------------------------------------------------------------------------------------


def _prepare(
    con: duckdb.DuckDBPyConnection, path: Path, clean: Path, scan: Scan
) -> tuple[_Source, list[str]]:
    """Look at a file; make a clean copy where anything is odd."""
    import duckdb

    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise InputError(
            f"トークログ {path} を開けません（{error.strerror}）。",
            hint="ファイルの場所と権限を確認してください。",
        ) from None
    columns = _header(head)
    if columns is not None and not set("*?[]{}") & set(str(path)):
        source = _Source(path, columns)
        try:
            rows, odd, senders = _count(con, source)
        except duckdb.Error:
            pass  # strict: it says no, and Python will say which lines
        else:
            if not odd:
                scan.rows += rows
                return source, senders
    return _by_python(con, path, clean, scan)


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
    plain = f"epoch_us(TRY_CAST(replace(left({cell}, 19), '/', '-') AS TIMESTAMP))"
    hours, minutes = f"TRY_CAST({cell}[21:22] AS BIGINT)", f"TRY_CAST({cell}[24:25] AS BIGINT)"
    away = f"({hours} * 3600 + {minutes} * 60) * 1000000"
    shape = f"regexp_matches({cell}[5:5] || {cell}[8:8] || {cell}[11:11], '^(--|//)[T ]$')"
    return (
        f"CASE WHEN NOT {shape} THEN NULL WHEN length({cell}) = 19 THEN {plain} - 32400000000 "
        f"WHEN length({cell}) = 25 AND {cell}[20:20] IN ('+', '-') AND {cell}[23:23] = ':' AND {hours} < 24 "
        f"AND {minutes} < 60 THEN {plain} - CASE {cell}[20:20] WHEN '-' THEN -1 ELSE 1 END * {away} "
        f"WHEN length({cell}) = 20 AND {cell}[20:20] = 'Z' THEN {plain} END"
    )


def _count(con: duckdb.DuckDBPyConnection, source: _Source) -> tuple[int, int, list[str]]:
    """Rows, odd rows, senders."""
    query = f"""
        SELECT sender, count(*), count(*) FILTER (
            t IS NULL OR contains(text, chr(0)) OR contains(sender, chr(10)) OR contains(sender, chr(13))
            OR ((contains(text, chr(10)) OR contains(text, chr(13)))
                AND (length(text) > {MAX_CELL} OR regexp_matches(text, '{_LOOKS_LIKE_A_ROW}'))))
        FROM {_relation(source)} GROUP BY sender"""  # noqa: S608
    found = con.execute(query, [str(source.path)]).fetchall()
    return sum(row[1] for row in found), sum(row[2] for row in found), [row[0] for row in found]


def _by_python(
    con: duckdb.DuckDBPyConnection, path: Path, clean: Path, scan: Scan
) -> tuple[_Source, list[str]]:
    """Good rows into a clean file, the others on the list."""
    encoding = pick_encoding(path.read_bytes())
    senders: set[str] = set()
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
            scan.rows += 1
            sender = fields[columns.sender]
            senders.add(sender)
            channel = fields[columns.channel].strip() if columns.channel >= 0 else ""
            writer.writerow(((at - _EPOCH) // _MICROSECOND, sender, channel, fields[columns.text]))
    has_channel = 2 if columns.channel >= 0 else -1
    return _Source(clean, Columns(0, 1, -1, has_channel, 3, 4), clean=True), sorted(senders)


# -- second pass ----------------------------------------------------------------------------------------


def _known(senders: Iterable[str], people: Mapping[str, int]) -> list[tuple[str, int]]:
    found = []
    for sender in senders:
        login = login_of(sender)
        person = people.get(login, people.get(login.partition("@")[0])) if login else None
        if person is not None:
            found.append((sender, person))
    return found


def _replies(
    con: duckdb.DuckDBPyConnection,
    source: _Source,
    known: Sequence[tuple[str, int]],
    rules: Sequence[Rule],
) -> list[pd.DataFrame]:
    import pandas as pd

    if not known:
        return []
    senders = pd.DataFrame(known, columns=["sender", "person"])
    con.register("known", senders)
    found = []
    for first in range(0, len(rules), RULES_AT_ONCE):
        group = rules[first : first + RULES_AT_ONCE]
        tests, values = [], []
        for bit, rule in enumerate(group):
            test = []
            if rule.channel_id:
                test.append("trim(channel) = ?")
                values.append(rule.channel_id)
            if rule.codes:
                test.append("(" + " OR ".join(["contains(text, ?)"] * len(rule.codes)) + ")")
                values += rule.codes
            tests.append(
                f"CASE WHEN {' AND '.join(test) or 'true'} THEN {1 << bit}::BIGINT ELSE 0::BIGINT END"
            )
        query = f"""
            SELECT DISTINCT person, t AS at, {" | ".join(tests)} AS hits
            FROM {_relation(source)} JOIN known USING (sender) WHERE hits <> 0"""  # noqa: S608
        frame: Any = con.execute(query, [*values, str(source.path)]).df()
        for bit in range(len(group)):
            own = frame.loc[(frame["hits"] & (1 << bit)) != 0, ["person", "at"]]
            found.append(own.assign(rule=first + bit))
    con.unregister("known")
    return found
