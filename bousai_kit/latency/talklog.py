"""Durations from the vendor's talk log, a list of broadcasts and a roster: no ledger needed.

Everybody to whom a broadcast went counts as reached; a reply is the person's first message at or after the
own send that contains one of the broadcast's codes (any message where there is none), in its room where one
is given. Censoring is that of `durations`: the deadline, or the next broadcast to the same person. A reply
after that is late, unless it answers the next broadcast just as well.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bousai_kit.errors import AnalysisError, ConfigError, InputError, Issue
from bousai_kit.latency.durations import COLUMNS, GROUPINGS, Broadcasts
from bousai_kit.latency.talkscan import Reject, Rule, scan_logs
from bousai_kit.logs.records import TRAILER, parse_moment
from bousai_kit.tables import read_table, write_csv

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

    from bousai_kit.roster import Roster

__all__ = ["Send", "from_talk_log", "read_broadcasts"]

REJECTS = "latency-rejects.csv"
_NAMES = {
    "broadcast_id": ("broadcast_id", "一斉送信ID", "一斉送信"),
    "sent_at": ("sent_at", "送信日時", "送信時刻"),
    "login_id": ("login_id", "ログインID"),
    "channel_id": ("channel_id", "チャンネルID", "トークルームID"),
    "ack_code": ("ack_code", "応答コード", "応答の文字"),
    "deadline_s": ("deadline_s", "期限（秒）", "期限秒"),
}
_REQUIRED = ("broadcast_id", "sent_at", "deadline_s")


@dataclass(frozen=True, slots=True)
class Send:
    """One row of the list of broadcasts; ``login_id`` "": everyone in the roster."""

    broadcast_id: str
    sent_at: datetime
    login_id: str
    rule: Rule
    deadline_s: float


def read_broadcasts(path: Path) -> list[Send]:
    """Read the list of broadcasts (CSV or XLSX).

    Raises
    ------
    InputError
        With all problems of all rows.
    """
    table = read_table(Path(path), what="一斉送信の一覧")
    titles = [title.strip().casefold() for title in table.header]
    places = {
        name: next((titles.index(s.casefold()) for s in spellings if s.casefold() in titles), -1)
        for name, spellings in _NAMES.items()
    }
    missing = [name for name in _REQUIRED if places[name] < 0]
    if missing:
        raise InputError(
            f"一斉送信の一覧に列「{'」「'.join(missing)}」がありません。",
            hint="1 行目に broadcast_id、sent_at、deadline_s の見出しを入れてください。",
        )
    sends: list[Send] = []
    issues: list[Issue] = []
    for number, row in zip(table.row_numbers, table.rows, strict=True):
        cells = {name: row[place].strip() if 0 <= place < len(row) else "" for name, place in places.items()}
        if not any(cells.values()):
            continue
        sent_at = parse_moment(cells["sent_at"])
        deadline_s = _seconds(cells["deadline_s"])
        if not cells["broadcast_id"]:
            issues.append(Issue(number, "broadcast_id", "error", "空欄です。"))
        if sent_at is None:
            problem = "日時として読めません（例：2027-01-17 09:00:00）。"
            issues.append(Issue(number, "sent_at", "error", problem))
        if deadline_s is None:
            issues.append(Issue(number, "deadline_s", "error", "1 以上の秒数を入れてください。"))
        if sent_at is not None and deadline_s is not None and cells["broadcast_id"]:
            codes = tuple(code.strip() for code in cells["ack_code"].split("|") if code.strip())
            rule = Rule(cells["channel_id"], codes)
            sends.append(Send(cells["broadcast_id"], sent_at, cells["login_id"].lower(), rule, deadline_s))
    if issues:
        first = issues[0]
        raise InputError(
            f"一斉送信の一覧に誤りが {len(issues)} 件あります"
            f"（{first.row} 行目の {first.column}：{first.problem}）。",
            issues=issues,
        )
    if not sends:
        raise InputError("一斉送信の一覧に行がありません。")
    return sends


def _seconds(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if 1 <= value < 1e9 else None


def from_talk_log(
    logs: Sequence[Path],
    broadcasts: Path,
    roster: Roster,
    *,
    deadline_s: float | None = None,
    engine: str = "duckdb",
    rejects_folder: Path | None = None,
) -> Broadcasts:
    """Analyse talk logs.

    Parameters
    ----------
    logs : sequence of Path
        Exports as they came; overlapping ones count once.
    broadcasts : Path
        The list of interfaces §3.
    roster : Roster
    deadline_s : float, optional
        In place of the list's own.
    engine : {"duckdb"}
    rejects_folder : Path, optional
        Where the list of unusable lines goes, when there are any; default: the working folder.

    Raises
    ------
    InputError, AnalysisError, ConfigError
    """
    began = time.perf_counter()
    if engine != "duckdb":
        raise ConfigError(
            f"集計の方式 {engine} は、この版では使えません。",
            setting="--engine",
            hint="--engine duckdb を指定してください（省略時も duckdb です）。",
        )
    listed = read_broadcasts(broadcasts)
    people = _People(roster)
    rules = list(dict.fromkeys(one.rule for one in listed))
    sends, twice = _expand(listed, people, rules, deadline_s)
    with tempfile.TemporaryDirectory(prefix="bousai-latency-") as scratch:
        paths = [Path(log) for log in logs]
        scan = scan_logs(paths, people.index, rules, sends, scratch=Path(scratch))
    frame = _durations(sends, scan.first, people)
    notes = []
    if people.strangers:
        notes.append(f"名簿にないログイン ID {people.strangers} 件への送信も数えました（区と局は空欄）。")
    if twice:
        notes.append(f"同じ人への同じ一斉送信が {twice} 件重なっていたため、最初の送信から数えました。")
    rejects_file = _write_rejects(scan.rejects, rejects_folder or Path())
    if rejects_file is not None:
        notes.append(f"使えなかった行が {len(scan.rejects):,} 行あります（一覧：{rejects_file}）。")
    cut = [one for one in scan.rejects if TRAILER in one.reason]
    notes += [
        f"{one.file} は {one.line:,} 行目で途中切れです（{TRAILER}）。応答した人が無応答に見えます。"
        "同じ期間のログを取り直してください。"
        for one in cut
    ]
    return Broadcasts(
        frame=frame,
        deadlines_s=_deadlines(sends),
        title="",
        rows_read=scan.rows,
        rows_rejected=len(scan.rejects),
        rejects_file=rejects_file,
        engine=engine,
        elapsed_s=time.perf_counter() - began,
        notes=tuple(notes),
        incomplete=bool(cut),
    )


class _People:
    """Whom the list and the logs speak of, by login id."""

    def __init__(self, roster: Roster) -> None:
        self.index: dict[str, int] = {}
        self.rows: list[tuple[str, ...]] = []  # login id, staff number, role, groups
        self.strangers = 0
        for person in roster.people:
            login = person.login_id.strip().lower()
            if login and login not in self.index:
                groups = [str(getattr(person, name) or "").strip() for name in GROUPINGS]
                self.index[login] = len(self.rows)
                self.rows.append((login, person.staff_number, person.hq_role, *groups))
        self.everyone = range(len(self.rows))

    def find(self, login: str) -> int:
        """The person of a login id; somebody who is not in the roster has no groups."""
        for spelling in (login, login.partition("@")[0]):
            if spelling in self.index:
                return self.index[spelling]
        self.strangers += 1
        self.index[login] = len(self.rows)
        self.rows.append((login, "", "", *("" for _ in GROUPINGS)))
        return self.index[login]


def _expand(
    listed: Iterable[Send], people: _People, rules: Sequence[Rule], deadline_s: float | None
) -> tuple[pd.DataFrame, int]:
    """One row a broadcast and person, by person and time; and how many sends were there twice."""
    import pandas as pd

    places = {rule: place for place, rule in enumerate(rules)}
    parts = []
    for one in listed:
        who = [people.find(one.login_id)] if one.login_id else list(people.everyone)
        sent = round(one.sent_at.timestamp() * 1e6)
        parts.append((one.broadcast_id, who, sent, places[one.rule], deadline_s or one.deadline_s))
    sizes = [len(who) for _, who, *_ in parts]
    if not sum(sizes):
        hint = "名簿と一覧のログイン ID を確認してください。"
        raise AnalysisError("一斉送信の宛先がありません。", hint=hint)
    frame = pd.DataFrame(
        {
            "broadcast_id": np.repeat(np.asarray([part[0] for part in parts], dtype=object), sizes),
            "who": np.concatenate([np.asarray(part[1], dtype=np.int64) for part in parts]),
            "sent": np.repeat(np.asarray([part[2] for part in parts], dtype=np.int64), sizes),
            "rule": np.repeat(np.asarray([part[3] for part in parts], dtype=np.int64), sizes),
            "allowed": np.repeat(np.asarray([part[4] for part in parts], dtype=np.float64), sizes),
        }
    ).sort_values(["who", "sent", "broadcast_id"], kind="stable", ignore_index=True)
    twice = int(frame.duplicated(["broadcast_id", "who"]).sum())
    frame = frame.drop_duplicates(["broadcast_id", "who"], ignore_index=True)
    # whole seconds in the log: a reply within the second of its send came at once
    frame["since"] = frame["sent"] // 1_000_000 * 1_000_000
    return frame, twice


def _deadlines(sends: pd.DataFrame) -> dict[str, float]:
    """Broadcast → longest deadline, in the order of the first sends."""
    found = sends.groupby("broadcast_id").agg(first=("sent", "min"), longest=("allowed", "max"))
    found = found.reset_index().sort_values(["first", "broadcast_id"])
    return dict(zip(found["broadcast_id"], found["longest"].astype(float), strict=True))


def _durations(sends: pd.DataFrame, reply: Any, people: _People) -> pd.DataFrame:
    import pandas as pd

    who, sent, rule = (sends[name].to_numpy() for name in ("who", "sent", "rule"))
    following, next_rule = _next(who, sent, rule)
    cut = np.minimum(sent + sends["allowed"].to_numpy() * 1e6, following)
    seen = np.isfinite(reply)
    observed = seen & (reply <= cut)
    waited = np.maximum(reply - sent, 0.0) / 1e6
    theirs = (reply >= following) & (next_rule == rule)
    rows = pd.DataFrame(people.rows, columns=["person", "staff_number", "hq_role", *GROUPINGS])
    out = rows.iloc[who].reset_index(drop=True)
    out["broadcast_id"] = sends["broadcast_id"]
    out["outcome"], out["reason"] = "delivered", ""
    out["sent_at"] = pd.to_datetime(sends["sent"], unit="us", utc=True).astype("datetime64[us, UTC]")
    out["duration_s"] = np.where(observed, waited, (cut - sent) / 1e6)
    out["observed"] = observed
    out["late_s"] = np.where(seen & ~observed & ~theirs, waited, np.nan)
    return out[list(COLUMNS)]


def _next(who: Any, sent: Any, rule: Any) -> tuple[Any, Any]:
    """The next later send to the same person, and its rule; infinite: none. Sorted by person and time."""
    later = np.full(len(who), np.inf)
    rules = np.full(len(who), -1)
    starts = np.flatnonzero(np.append(True, (who[1:] != who[:-1]) | (sent[1:] != sent[:-1])))
    ends = np.append(starts[1:], len(who))
    same = np.append(who[starts[1:]] == who[starts[:-1]], False)  # the next moment is the same person's
    nexts = np.where(same, np.append(starts[1:], 0), -1)
    moment = np.repeat(np.arange(len(starts)), ends - starts)
    there = nexts[moment] >= 0
    later[there] = sent[nexts[moment][there]]
    rules[there] = rule[nexts[moment][there]]
    return later, rules


def _write_rejects(rejects: Sequence[Reject], folder: Path) -> str | None:
    if not rejects:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / REJECTS
    write_csv(path, ("ファイル", "行", "理由"), rejects)
    return str(path)
