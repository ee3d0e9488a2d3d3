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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bousai_kit.errors import AnalysisError, ConfigError, InputError, Issue
from bousai_kit.latency.durations import COLUMNS, GROUPINGS, Broadcasts
from bousai_kit.latency.talkscan import Reject, Rule, scan_logs
from bousai_kit.logs.records import parse_moment
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


@dataclass(slots=True)
class _Sends:
    """Every broadcast to every person, as columns."""

    broadcast: list[str] = field(default_factory=list)
    person: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    rule: list[int] = field(default_factory=list)
    deadline_s: list[float] = field(default_factory=list)


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
    sends = _expand(listed, people, rules, deadline_s)
    with tempfile.TemporaryDirectory(prefix="bousai-latency-") as scratch:
        scan = scan_logs([Path(log) for log in logs], people.index, rules, scratch=Path(scratch))
    frame, early = _durations(sends, scan.replies, people)
    notes = []
    if people.strangers:
        notes.append(f"名簿にないログイン ID {people.strangers} 件への送信も数えました（区と局は空欄）。")
    if early:
        notes.append(f"同じ人への同じ一斉送信が {early} 件重なっていたため、最初の送信から数えました。")
    rejects_file = _write_rejects(scan.rejects, rejects_folder or Path())
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
) -> _Sends:
    places = {rule: place for place, rule in enumerate(rules)}
    found = _Sends()
    for one in listed:
        for person in [people.find(one.login_id)] if one.login_id else people.everyone:
            found.broadcast.append(one.broadcast_id)
            found.person.append(person)
            found.sent.append(round(one.sent_at.timestamp() * 1e6))
            found.rule.append(places[one.rule])
            found.deadline_s.append(deadline_s or one.deadline_s)
    if not found.person:
        raise AnalysisError(
            "一斉送信の宛先がありません。", hint="名簿と一覧のログイン ID を確認してください。"
        )
    return found


def _deadlines(sends: _Sends) -> dict[str, float]:
    """Broadcast → longest deadline, in the order of the first sends."""
    first: dict[str, int] = {}
    longest: dict[str, float] = {}
    for key, sent, deadline in zip(sends.broadcast, sends.sent, sends.deadline_s, strict=True):
        first[key] = min(first.get(key, sent), sent)
        longest[key] = max(longest.get(key, 0.0), deadline)
    return {key: longest[key] for key in sorted(first, key=lambda key: (first[key], key))}


def _durations(sends: _Sends, replies: pd.DataFrame, people: _People) -> tuple[pd.DataFrame, int]:
    """One row a broadcast and person, and how many sends were there twice."""
    import pandas as pd

    frame = pd.DataFrame(
        {
            "broadcast_id": sends.broadcast,
            "who": np.asarray(sends.person, dtype=np.int64),
            "sent": np.asarray(sends.sent, dtype=np.int64),
            "rule": np.asarray(sends.rule, dtype=np.int64),
            "allowed": np.asarray(sends.deadline_s, dtype=np.float64),
        }
    ).sort_values(["who", "sent", "broadcast_id"], kind="stable", ignore_index=True)
    twice = int(frame.duplicated(["broadcast_id", "who"]).sum())
    frame = frame.drop_duplicates(["broadcast_id", "who"], ignore_index=True)
    frame["next"], frame["next_rule"] = _next(frame)
    frame["reply"] = _first_replies(frame, replies)
    cut = np.minimum(frame["sent"] + frame["allowed"] * 1e6, frame["next"])
    seen = frame["reply"].notna()
    observed = seen & (frame["reply"] <= cut)
    # whole seconds in the log: a reply within the second of its send came at once
    waited = np.maximum(frame["reply"] - frame["sent"], 0.0) / 1e6
    theirs = (frame["reply"] >= frame["next"]) & (frame["next_rule"] == frame["rule"])
    rows = pd.DataFrame(people.rows, columns=["person", "staff_number", "hq_role", *GROUPINGS])
    out = rows.iloc[frame["who"]].reset_index(drop=True)
    out["broadcast_id"] = frame["broadcast_id"]
    out["outcome"], out["reason"] = "delivered", ""
    out["sent_at"] = pd.to_datetime(frame["sent"], unit="us", utc=True).astype("datetime64[us, UTC]")
    out["duration_s"] = np.where(observed, waited, (cut - frame["sent"]) / 1e6)
    out["observed"] = observed
    out["late_s"] = np.where(seen & ~observed & ~theirs, waited, np.nan)
    return out[list(COLUMNS)], twice


def _next(frame: pd.DataFrame) -> tuple[Any, Any]:
    """The next later send to the same person, and its rule; infinite: none. `frame` is sorted."""
    who, sent, rule = (frame[name].to_numpy() for name in ("who", "sent", "rule"))
    following = np.full(len(frame), np.inf)
    rules = np.full(len(frame), -1)
    for i in range(len(frame) - 2, -1, -1):
        if who[i] == who[i + 1]:
            same = sent[i] == sent[i + 1]
            following[i] = following[i + 1] if same else sent[i + 1]
            rules[i] = rules[i + 1] if same else rule[i + 1]
    return following, rules


def _first_replies(frame: pd.DataFrame, replies: pd.DataFrame) -> Any:
    """For each send the first reply of that person under that rule, from the send's second on; NaN: none."""
    import pandas as pd

    keys = frame[["who", "rule", "sent"]].assign(second=frame["sent"] // 1_000_000 * 1_000_000)
    keys["place"] = np.arange(len(keys))
    right = replies.rename(columns={"person": "who"}).astype("int64").sort_values("at", kind="stable")
    right["reply"] = right["at"].astype("float64")
    found = pd.merge_asof(
        keys.sort_values("second", kind="stable"),
        right,
        left_on="second",
        right_on="at",
        by=["who", "rule"],
        direction="forward",
    )
    return found.sort_values("place")["reply"].to_numpy()


def _write_rejects(rejects: Sequence[Reject], folder: Path) -> str | None:
    if not rejects:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / REJECTS
    write_csv(path, ("ファイル", "行", "理由"), rejects)
    return str(path)
