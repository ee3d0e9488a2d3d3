"""The archive of raw exports: what came, as it came, with its SHA-256.

::

    BOUSAI_HOME/archive/manifest.jsonl            one line a stored export, only ever appended
    BOUSAI_HOME/archive/<service>/<since>_<until>_<sha256, 12 digits>.csv

An export is first written and flushed under a temporary name, then its line goes into the manifest, then it
gets its name. Whatever a killed process left is therefore either without a line (not trusted, removed) or
completed by whoever comes next. The ledger's ``export.pulled`` events hold the same hashes.

Source: reference part 2 §6, §7 (31 days a request; the trailer ``downloadLogs error``).
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bousai_kit.clock import Clock, in_thread
from bousai_kit.errors import (
    ConfigError,
    RateLimited,
    ServiceUnavailable,
    TruncatedExport,
)
from bousai_kit.logs.manifest import Entry, Manifest, stamp

if TYPE_CHECKING:
    from bousai_kit.ledger import Ledger

__all__ = [
    "MAX_SPAN",
    "Archive",
    "ArchiveCheck",
    "Gap",
    "Piece",
    "PullResult",
    "count_rows",
    "is_truncated",
    "plan_windows",
]

MAX_SPAN = timedelta(days=31)
ATTEMPTS = 3
RETRY_S = 10.0
_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,40}")
_TRAILER = b"downloadLogs error"

Fetch = Callable[[datetime, datetime], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch that could not be pulled whole."""

    since: datetime
    until: datetime
    reason: str

    def as_json(self) -> dict[str, str]:
        """ISO 8601 and a Japanese reason."""
        return {"since": self.since.isoformat(), "until": self.until.isoformat(), "reason": self.reason}


@dataclass(frozen=True, slots=True)
class PullResult:
    """What one pull brought.

    Attributes
    ----------
    files : tuple of Path
        Raw exports, in the order of their windows.
    rows : int
        Data rows in them, the bot's own included.
    gaps : tuple of Gap
    warnings : tuple of str
        Japanese sentences: neither a gap nor a failure.
    sha256 : dict
        File name → hash.
    """

    files: tuple[Path, ...]
    rows: int
    gaps: tuple[Gap, ...]
    warnings: tuple[str, ...]
    sha256: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Keys of ``logs pull --json``."""
        return {
            "files": [str(path) for path in self.files],
            "rows": self.rows,
            "gaps": [gap.as_json() for gap in self.gaps],
            "warnings": list(self.warnings),
            "sha256": dict(self.sha256),
        }


@dataclass(frozen=True, slots=True)
class ArchiveCheck:
    """What `Archive.verify` found."""

    files: int
    ok: bool
    broken: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Keys of ``logs verify --json``."""
        return {"files": self.files, "ok": self.ok, "broken": list(self.broken)}


@dataclass(frozen=True, slots=True)
class Piece:
    """Which file to read for which stretch of time: ``since`` ≤ t < ``until``."""

    path: Path
    since: datetime
    until: datetime
    complete: bool


def plan_windows(
    since: datetime, until: datetime, *, max_span: timedelta = MAX_SPAN
) -> list[tuple[datetime, datetime]]:
    """Cut a period into requests.

    Returns
    -------
    list of (since, until)
        UTC, whole seconds (the export's resolution), each at most `max_span`, end to end, without overlap.

    Raises
    ------
    ConfigError
        The end is not after the beginning, or a time has no offset.
    """
    if since.tzinfo is None or until.tzinfo is None:
        raise ConfigError("期間の時刻にタイムゾーンがありません。", setting="--since")
    try:
        start = since.astimezone(UTC).replace(microsecond=0)
        end = until.astimezone(UTC)
        end = end.replace(microsecond=0) + timedelta(seconds=1 if end.microsecond else 0)
    except OverflowError:
        raise ConfigError("期間の時刻が範囲外です。", setting="--since") from None
    if end <= start:
        raise ConfigError(
            "期間の終わりは、始まりより後にしてください。",
            setting="--until",
            hint="--since と --until を確認してください。",
        )
    windows = []
    while start < end:
        stop = end if end - start <= max_span else start + max_span
        windows.append((start, stop))
        start = stop
    return windows


class Archive:
    """Raw exports of one home.

    Parameters
    ----------
    home : Path
        ``BOUSAI_HOME``; exports go to ``archive/`` in it (0700, files 0600).
    ledger : Ledger or None
        Gets ``export.pulled`` and ``export.gap`` events; `verify` compares with them.
    clock : Clock
    log_delay_s : float
        ``BOUSAI_LOG_DELAY_S``: rows younger than this may still be missing.
    """

    def __init__(
        self, home: Path, ledger: Ledger | None, clock: Clock, *, log_delay_s: float = 300.0
    ) -> None:
        self.folder = Path(home) / "archive"
        self._ledger = ledger
        self._clock = clock
        self._delay = timedelta(seconds=log_delay_s)
        self._manifest = Manifest(self.folder)

    def __repr__(self) -> str:
        return f"<Archive {str(self.folder)!r}>"

    # -- pulling ------------------------------------------------------------------------------------

    async def pull(self, service: str, since: datetime, until: datetime, fetch: Fetch) -> PullResult:
        """Pull a period window by window, keep the raw bytes, write it down.

        Parameters
        ----------
        service : str
            ``message-contents``, or an audit service name.
        since, until : datetime
            Aware.
        fetch : callable
            ``await fetch(since, until)`` → the export of one window, as it came.

        Notes
        -----
        A window that comes truncated is fetched again, three times in all, then it is a gap; what came is
        kept all the same. So is one that the service could not give; the other windows are still pulled.
        Pulling a period again stores nothing twice.

        Raises
        ------
        ConfigError
            A bad service name or period, or the archive cannot be written.
        LineWorksError
            The request was refused for good, or nothing left this machine; earlier windows are kept.
        """
        check_service(service)
        windows = plan_windows(since, until)
        await in_thread(self._clock, self._manifest.mend)
        files: list[Path] = []
        gaps: list[Gap] = []
        warnings: list[str] = []
        hashes: dict[str, str] = {}
        rows = 0
        for begin, end in windows:
            entry, gap = await self._pull_window(service, begin, end, fetch)
            if gap is not None:
                gaps.append(gap)
            if entry is None:
                continue
            path = self.folder / entry.file
            if path not in files:
                files.append(path)
                rows += entry.rows
                hashes[path.name] = entry.sha256
            if gap is None and end > entry.pulled_at - self._delay:
                warnings.append(
                    f"{_say(max(begin, entry.pulled_at - self._delay))} 以降は、ログにまだ現れていない行が"
                    "あるかもしれません。時間をおいて同じ期間をもう一度取得してください。"
                )
        return PullResult(tuple(files), rows, tuple(gaps), tuple(warnings), hashes)

    async def _pull_window(
        self, service: str, begin: datetime, end: datetime, fetch: Fetch
    ) -> tuple[Entry | None, Gap | None]:
        raw, reason, asked_at = b"", "", self._clock.now()
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._clock.sleep(RETRY_S)
            asked_at = self._clock.now()
            try:
                raw = await fetch(begin, end)
                truncated = is_truncated(raw)
            except TruncatedExport as error:
                raw, truncated = error.raw, True
            except (ServiceUnavailable, RateLimited) as error:
                return None, await self._gap(service, begin, end, f"取得できませんでした（{error}）")
            if truncated:
                reason = "ログの取得が途中で切れました"
            elif raw.lstrip(b"\xef\xbb\xbf \r\n").startswith((b"<", b"{")):
                reason = "CSV ではない応答でした"
            elif not raw.strip(b"\xef\xbb\xbf \r\n\0"):
                reason = "見出しもない空の応答でした"
            else:
                entry = await self._keep(service, begin, end, raw, asked_at, complete=True)
                return entry, None
        gap = await self._gap(service, begin, end, reason)
        if not raw:
            return None, gap
        return await self._keep(service, begin, end, raw, asked_at, complete=False), gap

    async def _keep(
        self, service: str, begin: datetime, end: datetime, raw: bytes, asked_at: datetime, *, complete: bool
    ) -> Entry:
        def store() -> Entry:
            digest = hashlib.sha256(raw).hexdigest()
            name = f"{service}/{stamp(begin)}_{stamp(end)}_{digest[:12]}.csv"
            entry = Entry(
                file=name, service=service, since=begin, until=end, sha256=digest, size=len(raw),
                rows=count_rows(raw), complete=complete, pulled_at=asked_at,
            )  # fmt: skip
            return self._manifest.store(entry, raw, settled_at=end + self._delay)

        entry = await in_thread(self._clock, store)
        if self._ledger is not None:
            await self._ledger.append(
                f"export:{service}",
                "export.pulled",
                entry.file,
                entry.as_json(),
                once=f"export:{entry.file}:{entry.sha256}:{entry.pulled_at.isoformat()}",
            )
        return entry

    async def _gap(self, service: str, begin: datetime, end: datetime, reason: str) -> Gap:
        gap = Gap(begin, end, reason)
        if self._ledger is not None:
            await self._ledger.append(f"export:{service}", "export.gap", "", gap.as_json())
        return gap

    # -- reading ------------------------------------------------------------------------------------

    def pieces(self, service: str, since: datetime, until: datetime) -> list[Piece]:
        """For each moment of the period the best export: complete before truncated, then the latest.

        Two neighbours of the same file are one piece. Rows at the edge of two windows stand in both exports;
        whoever takes only the rows with ``since`` ≤ t < ``until`` counts them once.
        """
        entries = [one for one in self._manifest.entries() if one.service == service]
        entries = [one for one in entries if one.since < until and one.until > since]
        edges = sorted(
            {since, until}
            | {edge for one in entries for edge in (one.since, one.until) if since < edge < until}
        )
        found: list[Piece] = []
        for begin, end in itertools.pairwise(edges):
            over = [one for one in entries if one.since <= begin and one.until >= end]
            if not over:
                continue
            best = max(over, key=lambda one: (one.complete, one.pulled_at))
            path = self.folder / best.file
            if found and found[-1].path == path and found[-1].until == begin:
                found[-1] = Piece(path, found[-1].since, end, best.complete)
            else:
                found.append(Piece(path, begin, end, best.complete))
        return found

    def files(self, service: str, since: datetime, until: datetime) -> list[Path]:
        """The exports to read for a period; those that a later pull replaced are left out."""
        return list(dict.fromkeys(piece.path for piece in self.pieces(service, since, until)))

    async def verify(self) -> ArchiveCheck:
        """Hash every file again; compare with the manifest and with the ledger. Changes nothing."""
        broken, listed = await in_thread(self._clock, self._manifest.check)
        if self._ledger is not None:
            pulled = await self._ledger.read(prefix="export:", kinds=("export.pulled",))
            for event in pulled:
                if listed.get(event.subject) not in (None, event.body.get("sha256")):
                    broken.append(f"{event.subject}：ハッシュが台帳の記録と異なります")
                elif event.subject not in listed:
                    broken.append(f"{event.subject}：台帳にありますが、目録にありません")
        broken = sorted(dict.fromkeys(broken))
        return ArchiveCheck(len(listed), not broken, tuple(broken))


def check_service(service: str) -> None:
    """Refuse what could not be a service name, or a folder.

    Raises
    ------
    ConfigError
    """
    if not _SERVICE.fullmatch(service):
        raise ConfigError(
            "ログの種類が正しくありません。",
            setting="SERVICE",
            hint="message-contents か、監査ログの種類（auth、message、admin など）を指定してください。",
        )


def is_truncated(raw: bytes) -> bool:
    """Whether the export ends with the vendor's trailer, which says that a failure cut it off."""
    tail = raw.rstrip(b"\r\n \x00\t")
    cut = max(tail.rfind(b"\n"), tail.rfind(b"\r")) + 1
    last = tail[cut:].removeprefix(b"\xef\xbb\xbf").lstrip(b' "')
    if not last.startswith(_TRAILER):
        return False
    # the last line of a quoted message that says so, closed properly, is a message
    return not (tail.count(b'"', 0, cut) % 2 == 1 and tail[cut:].count(b'"') % 2 == 1)


def count_rows(raw: bytes) -> int:
    """Data rows: records that are not blank, without the header and the vendor's trailer."""
    text = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", errors="replace", newline="")
    try:
        rows = sum(1 for row in csv.reader(line.replace("\0", "") for line in text) if any(row))
    except csv.Error:  # a quote that never closes: lines are what is left to count
        rows = sum(1 for line in raw.splitlines() if line.strip())
    return max(0, rows - 1 - is_truncated(raw))


def _say(moment: datetime) -> str:
    from zoneinfo import ZoneInfo

    return moment.astimezone(ZoneInfo("Asia/Tokyo")).strftime("%Y-%m-%d %H:%M:%S")
