"""From durations to numbers: one analysis, read by people, files and programs alike."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bousai_kit.latency.durations import GROUPINGS, Broadcasts
from bousai_kit.latency.survival import Curve, LogRank, estimate_curves, log_rank

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RATE_TIMES_S", "Analysis", "BroadcastResult", "GroupResult", "analyse", "say_rate", "say_s"]

RATE_TIMES_S = (60, 180, 300, 600, 1800)
NAMES = {"ward": "区", "bureau": "局", "device_os": "端末", "hq_role": "本部役割"}


@dataclass(frozen=True, repr=False)
class GroupResult:
    """One ward, bureau or kind of device within one broadcast; or all of it (``name`` "")."""

    name: str
    recipients: int
    undelivered: int
    unknown: int
    late: int
    deadline_s: float
    curve: Curve

    def __repr__(self) -> str:
        return f"<GroupResult {self.name!r} {self.acked}/{self.delivered} median_s={self.curve.median_s}>"

    @property
    def delivered(self) -> int:
        """People whom the message reached: the denominator N."""
        return self.curve.n

    @property
    def acked(self) -> int:
        """People who answered by the cut: n."""
        return self.curve.events

    @property
    def censored(self) -> int:
        """People without an answer by the cut, late ones included."""
        return self.curve.n - self.curve.events

    def ack_rate(self) -> dict[str, float | None]:
        """Share answered within each of `RATE_TIMES_S`; None beyond the deadline or what was followed."""
        return {str(t): self.curve.ack_rate(t) if t <= self.deadline_s else None for t in RATE_TIMES_S}

    def ack_rate_ci(self) -> dict[str, list[float] | None]:
        """Limits of `ack_rate`."""
        found: dict[str, list[float] | None] = {}
        for t in RATE_TIMES_S:
            limits = self.curve.ack_rate_ci(t) if t <= self.deadline_s else None
            found[str(t)] = None if limits is None else list(limits)
        return found

    @property
    def last_ack_s(self) -> float | None:
        """When the last answer by the cut came."""
        seen = np.flatnonzero(self.curve.answered)
        return float(self.curve.times[seen[-1]]) if seen.size else None

    def as_json(self) -> dict[str, Any]:
        """Keys of interfaces §4; numbers are not rounded."""
        curve = self.curve
        return {
            "recipients": self.recipients,
            "delivered": self.delivered,
            "acked": self.acked,
            "late": self.late,
            "censored": self.censored,
            "median_s": curve.median_s,
            "median_ci_s": list(curve.median_ci_s),
            "p75_s": curve.quantile_s(0.75),
            "p90_s": curve.quantile_s(0.90),
            "last_ack_s": self.last_ack_s,
            "rmst_s": curve.rmst_s(self.deadline_s),
            "ack_rate": self.ack_rate(),
            "ack_rate_ci": self.ack_rate_ci(),
        }


@dataclass(frozen=True, repr=False)
class BroadcastResult:
    """One broadcast: everybody, and by ward, bureau and device."""

    broadcast_id: str
    total: GroupResult
    groups: Mapping[str, tuple[GroupResult, ...]]
    logrank: Mapping[str, LogRank]
    undelivered: tuple[str, ...] = field(default=())
    unknown: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return f"<BroadcastResult {self.broadcast_id!r} {self.total!r}>"

    @property
    def deadline_s(self) -> float:
        """Seconds from each person's own send."""
        return self.total.deadline_s

    def as_json(self) -> dict[str, Any]:
        """One entry of ``broadcasts``."""
        return {
            "broadcast_id": self.broadcast_id,
            "deadline_s": self.deadline_s,
            **self.total.as_json(),
            "groups": {
                by: [{"name": group.name, **group.as_json()} for group in groups]
                for by, groups in self.groups.items()
            },
            "logrank": {by: test.as_json() for by, test in self.logrank.items()},
            "undelivered": list(self.undelivered),
            "unknown": list(self.unknown),
        }


@dataclass(frozen=True, repr=False)
class Analysis:
    """Acknowledgement latency of one drill, or of a set of broadcasts."""

    source: Broadcasts
    broadcasts: tuple[BroadcastResult, ...]

    def __repr__(self) -> str:
        told = ", ".join(
            f"{one.broadcast_id}: {one.total.acked}/{one.total.delivered}, "
            f"中央値 {say_s(one.total.curve.median_s)}"
            for one in self.broadcasts[:5]
        )
        return f"<Analysis {told}{', …' if len(self.broadcasts) > 5 else ''}>"

    def _repr_html_(self) -> str:
        head = ("一斉送信", "対象", "送達", "期限内の応答", "期限後", "中央値（95 % 信頼区間）")
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in self._line(one)) + "</tr>"
            for one in self.broadcasts
        )
        cells = "".join(f'<th scope="col">{cell}</th>' for cell in head)
        caption = f"<caption>{html.escape(self.source.title or '応答時間の分析')}</caption>"
        return f"<table>{caption}<thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"

    def _line(self, one: BroadcastResult) -> tuple[object, ...]:
        total = one.total
        low, high = total.curve.median_ci_s
        median = f"{say_s(total.curve.median_s)}（{say_s(low)}〜{say_s(high)}）"
        answered = f"{total.acked} / {total.delivered}"
        return one.broadcast_id, total.recipients, total.delivered, answered, total.late, median

    def as_json(self) -> dict[str, Any]:
        """The document of ``bousai latency --json`` (interfaces §4)."""
        source = self.source
        return {
            "broadcasts": [one.as_json() for one in self.broadcasts],
            "rows_read": source.rows_read,
            "rows_rejected": source.rows_rejected,
            "rejects_file": source.rejects_file,
            "engine": source.engine,
            "elapsed_s": source.elapsed_s,
            "unreachable": dict(source.unreachable),
            "notes": list(source.notes),
        }

    def table(self, by: str = "") -> pd.DataFrame:
        """One row a broadcast, or a broadcast and group: a frame for people (NaN: 未到達).

        Parameters
        ----------
        by : {"", "ward", "bureau", "device_os"}
        """
        import pandas as pd

        rows = []
        for one in self.broadcasts:
            for group in one.groups[by] if by else (one.total,):
                row: dict[str, Any] = {"一斉送信": one.broadcast_id}
                if by:
                    row[NAMES[by]] = group.name
                low, high = group.curve.median_ci_s
                row |= {"対象": group.recipients, "送達": group.delivered, "期限内の応答": group.acked}
                row |= {"期限後の応答": group.late, "中央値（秒）": group.curve.median_s}
                row |= {"中央値の下限（秒）": low, "中央値の上限（秒）": high}
                row |= {f"{int(key) // 60} 分以内の応答率": rate for key, rate in group.ack_rate().items()}
                rows.append(row)
        frame = pd.DataFrame(rows)
        numbers = [name for name in frame.columns if "秒" in name or "率" in name]
        return frame.astype(dict.fromkeys(numbers, "float64"))


def analyse(source: Broadcasts) -> Analysis:
    """Estimate everything that the report and the JSON show."""
    import pandas as pd

    frame = source.frame
    found = []
    by_broadcast = dict(list(frame.groupby("broadcast_id", observed=True, sort=False)))
    for key, deadline_s in source.deadlines_s.items():
        rows = by_broadcast.get(key)
        if rows is None:
            continue
        total = _results(rows, pd.Series("", index=rows.index), deadline_s)[0]
        groups, tests = {}, {}
        for by in GROUPINGS:
            named = rows[rows[by] != ""]
            groups[by] = tuple(_results(named, named[by], deadline_s))
            kept = named[named["outcome"] == "delivered"]
            codes = pd.factorize(kept[by], sort=True)[0]
            tests[by] = log_rank(kept["duration_s"].to_numpy(), kept["observed"].to_numpy(), codes)
        missing = {
            outcome: tuple(rows.loc[rows["outcome"] == outcome, "person"].astype(str))
            for outcome in ("undelivered", "unknown")
        }
        found.append(BroadcastResult(key, total, groups, tests, missing["undelivered"], missing["unknown"]))
    return Analysis(source, tuple(found))


def _results(rows: pd.DataFrame, labels: pd.Series[Any], deadline_s: float) -> list[GroupResult]:
    """One result a label, in the order of the labels."""
    import pandas as pd

    codes, names = pd.factorize(labels.astype(str), sort=True)
    k = len(names)
    delivered = (rows["outcome"] == "delivered").to_numpy()
    curves = estimate_curves(
        rows["duration_s"].to_numpy()[delivered],
        rows["observed"].to_numpy(dtype=bool)[delivered],
        codes[delivered],
        [str(name) for name in names],
    )

    def count(what: Any) -> list[int]:
        return [int(number) for number in np.bincount(codes[np.asarray(what)], minlength=k)]

    everyone = count(np.ones(len(rows), dtype=bool))
    undelivered = count(rows["outcome"] == "undelivered")
    unknown = count(rows["outcome"] == "unknown")
    late = count(rows["late_s"].notna())
    return [
        GroupResult(curve.name, everyone[i], undelivered[i], unknown[i], late[i], deadline_s, curve)
        for i, curve in enumerate(curves)
    ]


def say_s(seconds: float | None) -> str:
    """Seconds as people say them: 「45 秒」「2 分 21 秒」, 「未到達」 for None."""
    if seconds is None:
        return "未到達"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} 秒" if seconds >= 10 or seconds == whole else f"{seconds:.1f} 秒"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} 分 {rest} 秒" if rest else f"{minutes} 分"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} 時間 {minutes} 分"


def say_rate(rate: float | None) -> str:
    """A share as people say it: 「77.2 %」, 「未到達」 for None."""
    return "未到達" if rate is None else f"{100 * rate:.1f} %"
