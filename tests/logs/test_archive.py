"""The archive: windows without gaps, bytes as they came, whatever dies in between."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.clock import VirtualClock
from bousai_kit.errors import ConfigError, PermissionDenied, ServiceUnavailable, TransportFailed
from bousai_kit.ledger import Ledger
from bousai_kit.logs.archive import MAX_SPAN, Archive, count_rows, is_truncated, plan_windows
from bousai_kit.logs.manifest import Manifest

NOW = datetime(2027, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LOG = "message-contents"
HEAD = "\ufeff日時,送信者,受信者,チャンネルID,トーク\r\n"


def export(*texts: str) -> bytes:
    return (HEAD + "".join(f'2027-01-17 09:15:42,試験,[Bot],c,"{text}"\r\n' for text in texts)).encode()


CUT = export("a", "b") + b"downloadLogs error: internal\r\n"


class Vendor:
    """Answers windows from a list; the last answer stays."""

    def __init__(self, clock: VirtualClock, *answers: bytes | Exception) -> None:
        self.clock = clock
        self.answers = list(answers)
        self.asked: list[tuple[datetime, datetime]] = []
        self.at: list[datetime] = []
        self.inside = 0

    async def __call__(self, since: datetime, until: datetime) -> bytes:
        assert self.inside == 0, "downloads never run in parallel"
        self.inside += 1
        try:
            await self.clock.sleep(1)
            self.asked.append((since, until))
            self.at.append(self.clock.now())
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
            self.inside -= 1


Body = Callable[[Archive, VirtualClock, Ledger], Awaitable[Any]]


def with_archive(folder: Path, body: Body, *, now: datetime = NOW) -> Any:
    async def main() -> Any:
        clock = VirtualClock(now)
        async with await Ledger.open(f"sqlite:///{folder}/ledger.db", clock=clock) as ledger:
            return await body(Archive(folder, ledger, clock, log_delay_s=300), clock, ledger)

    return asyncio.run(main())


# -- windows --------------------------------------------------------------------------------------------


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.timedeltas(timedelta(microseconds=1), timedelta(days=400)),
)
def test_windows_are_end_to_end_and_short_enough(since: datetime, span: timedelta) -> None:
    windows = plan_windows(since, since + span)
    assert windows[0][0] <= since
    assert windows[-1][1] >= since + span
    assert windows[-1][1] - (since + span) < timedelta(seconds=1)
    for begin, end in windows:
        assert timedelta(0) < end - begin <= MAX_SPAN
        assert begin.microsecond == end.microsecond == 0
    assert all(a[1] == b[0] for a, b in itertools.pairwise(windows))


def test_a_period_that_is_none_is_refused() -> None:
    for since, until in ((NOW, NOW), (NOW, NOW - DAY), (NOW.replace(tzinfo=None), NOW)):
        with pytest.raises(ConfigError):
            plan_windows(since, until)


@pytest.mark.parametrize("service", ["", "../x", "Auth", "a/b", "a b", "-x"])
def test_a_service_that_is_none_is_refused(service: str, tmp_path: Path) -> None:
    async def body(archive: Archive, clock: VirtualClock, _: Ledger) -> None:
        vendor = Vendor(clock, export())
        with pytest.raises(ConfigError):
            await archive.pull(service, NOW - DAY, NOW, vendor)
        assert not vendor.asked

    with_archive(tmp_path, body)


# -- pulling --------------------------------------------------------------------------------------------


def test_a_long_period_in_windows_as_they_came(tmp_path: Path) -> None:
    async def body(archive: Archive, clock: VirtualClock, ledger: Ledger) -> None:
        parts = [export("一"), export("二\r\n続き", "三"), export()]
        vendor = Vendor(clock, *parts, export("never"))
        got = await archive.pull(LOG, NOW - 75 * DAY, NOW - DAY, vendor)
        assert [end - begin for begin, end in vendor.asked] == [31 * DAY, 31 * DAY, 12 * DAY]
        assert [path.read_bytes() for path in got.files] == parts
        assert (got.rows, got.gaps, got.warnings) == (3, (), ())
        assert got.sha256 == {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in got.files}
        assert set(json.loads(json.dumps(got.as_json()))) == {"files", "rows", "gaps", "warnings", "sha256"}
        events = await ledger.read(stream=f"export:{LOG}", kinds=("export.pulled",))
        assert [event.body["sha256"] for event in events] == list(got.sha256.values())
        found = await archive.verify()
        assert (found.files, found.ok) == (3, True)
        if os.name != "nt":
            for path in got.files:
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(archive.folder.stat().st_mode) == 0o700

    with_archive(tmp_path, body)


def test_a_truncated_export_is_asked_for_again(tmp_path: Path) -> None:
    async def body(archive: Archive, clock: VirtualClock, _: Ledger) -> None:
        vendor = Vendor(clock, CUT, CUT, export("a", "b", "c"), export("never"))
        got = await archive.pull(LOG, NOW - 2 * DAY, NOW - DAY, vendor)
        assert (got.rows, got.gaps) == (3, ())
        assert len(vendor.at) == 3
        assert all(b - a >= timedelta(seconds=10) for a, b in itertools.pairwise(vendor.at))

    with_archive(tmp_path, body)


@pytest.mark.parametrize("answer", [CUT, ServiceUnavailable("500", status=500), b"<html>sorry</html>", b""])
def test_what_stays_broken_is_a_gap_and_the_others_are_pulled(answer: Any, tmp_path: Path) -> None:
    async def body(archive: Archive, clock: VirtualClock, ledger: Ledger) -> None:
        times = 1 if isinstance(answer, Exception) else 3  # the client has tried often enough by itself
        vendor = Vendor(clock, *[answer] * times, export("ok"))
        got = await archive.pull(LOG, NOW - 40 * DAY, NOW - DAY, vendor)
        [gap] = got.gaps
        assert (gap.since, gap.until) == (NOW - 40 * DAY, NOW - 9 * DAY)
        assert gap.reason
        assert got.files[-1].read_bytes() == export("ok")
        assert len(await ledger.read(kinds=("export.gap",))) == 1
        pieces = archive.pieces(LOG, NOW - 40 * DAY, NOW - DAY)
        assert [piece.complete for piece in pieces if piece.complete] == [True]
        if answer is CUT:  # kept all the same
            assert got.files[0].read_bytes() == CUT
            assert got.rows == 2 + 1
        again = await archive.pull(
            LOG, NOW - 40 * DAY, NOW - DAY, Vendor(clock, export("a", "b", "c"), export("ok"))
        )
        assert again.gaps == ()
        assert archive.files(LOG, NOW - 40 * DAY, NOW - DAY) == list(again.files)
        assert (await archive.verify()).ok

    with_archive(tmp_path, body)


@pytest.mark.parametrize("error", [PermissionDenied("403", status=403), TransportFailed("offline")])
def test_a_refusal_ends_the_pull_and_keeps_what_came(error: Exception, tmp_path: Path) -> None:
    async def body(archive: Archive, clock: VirtualClock, _: Ledger) -> None:
        vendor = Vendor(clock, export("a"), error)
        with pytest.raises(type(error)):
            await archive.pull(LOG, NOW - 40 * DAY, NOW - DAY, vendor)
        assert len(vendor.asked) == 2  # not asked again
        assert (await archive.verify()).files == 1

    with_archive(tmp_path, body)


def test_the_last_minutes_are_pulled_and_named(tmp_path: Path) -> None:
    async def body(archive: Archive, clock: VirtualClock, _: Ledger) -> None:
        until = clock.now()
        got = await archive.pull(LOG, until - timedelta(hours=1), until, Vendor(clock, export("a")))
        assert got.gaps == ()
        [warning] = got.warnings
        assert "2027-03-01 08:55:0" in warning  # Japan's time, five minutes before it was asked for
        await clock.sleep(600)
        later = await archive.pull(LOG, until - timedelta(hours=1), until, Vendor(clock, export("a", "b")))
        assert (later.warnings, later.rows) == ((), 2)
        assert archive.files(LOG, until - timedelta(hours=1), until) == list(later.files)
        assert (await archive.verify()).files == 2  # both are evidence

    with_archive(tmp_path, body)


def test_the_same_bytes_are_stored_once(tmp_path: Path) -> None:
    async def body(archive: Archive, clock: VirtualClock, ledger: Ledger) -> None:
        for _ in range(3):
            got = await archive.pull(LOG, NOW - 3 * DAY, NOW - DAY, Vendor(clock, export("a")))
            await clock.sleep(60)
        assert len(list(archive.folder.glob("*/*"))) == 1
        assert len((archive.folder / "manifest.jsonl").read_bytes().splitlines()) == 1
        assert len(await ledger.read(kinds=("export.pulled",))) == 1
        assert got.rows == 1

    with_archive(tmp_path, body)


def test_a_quiet_recent_period_is_written_down_again_once_it_is_settled(tmp_path: Path) -> None:
    """The same bytes, later: the second line says that nothing more has appeared, so the warning goes."""

    async def body(archive: Archive, clock: VirtualClock, _: Ledger) -> None:
        until = clock.now()
        first = await archive.pull(LOG, until - DAY, until, Vendor(clock, export("a")))
        await clock.sleep(600)
        second = await archive.pull(LOG, until - DAY, until, Vendor(clock, export("a")))
        assert (len(first.warnings), len(second.warnings)) == (1, 0)
        assert first.files == second.files
        found = await archive.verify()
        assert (found.files, found.ok) == (1, True)

    with_archive(tmp_path, body)


def test_pieces_take_the_best_export_for_each_moment(tmp_path: Path) -> None:
    async def body(archive: Archive, clock: VirtualClock, _: Ledger) -> None:
        a = await archive.pull(LOG, NOW - 9 * DAY, NOW - 5 * DAY, Vendor(clock, export("old")))
        await clock.sleep(5)
        b = await archive.pull(LOG, NOW - 7 * DAY, NOW - 3 * DAY, Vendor(clock, export("new")))
        pieces = archive.pieces(LOG, NOW - 10 * DAY, NOW - 2 * DAY)
        assert [(piece.path, piece.since, piece.until) for piece in pieces] == [
            (a.files[0], NOW - 9 * DAY, NOW - 7 * DAY),
            (b.files[0], NOW - 7 * DAY, NOW - 3 * DAY),
        ]
        await archive.pull(LOG, NOW - 7 * DAY, NOW - 3 * DAY, Vendor(clock, CUT))  # later, but cut off
        assert archive.pieces(LOG, NOW - 7 * DAY, NOW - 3 * DAY)[0].path == b.files[0]

    with_archive(tmp_path, body)


# -- killed, two at once --------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("place", ["_write_part", "_append", "replace"])
def test_a_kill_between_file_and_manifest(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it dies: what is listed is whole, what is not is not trusted, the next pull mends."""

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    async def first(archive: Archive, clock: VirtualClock, _: Ledger) -> None:
        with monkeypatch.context() as patch:
            if place == "replace":
                patch.setattr("bousai_kit.logs.manifest.os.replace", die)
            else:
                patch.setattr(Manifest, place, die)
            with pytest.raises(Killed):
                await archive.pull(LOG, NOW - 3 * DAY, NOW - DAY, Vendor(clock, export("a")))
        found = await archive.verify()
        assert found.broken == ()
        assert found.files == (1 if place == "replace" else 0)

    async def second(archive: Archive, clock: VirtualClock, ledger: Ledger) -> None:
        got = await archive.pull(LOG, NOW - 3 * DAY, NOW - DAY, Vendor(clock, export("a")))
        assert got.files[0].read_bytes() == export("a")
        assert [path.name for path in archive.folder.glob(f"{LOG}/*")] == [got.files[0].name]
        assert (await archive.verify()).ok
        assert len(await ledger.read(kinds=("export.pulled",))) == 1

    with_archive(tmp_path, first)
    with_archive(tmp_path, second)


def test_half_a_manifest_line_is_a_killed_processs(tmp_path: Path) -> None:
    async def body(archive: Archive, clock: VirtualClock, _: Ledger) -> None:
        await archive.pull(LOG, NOW - 3 * DAY, NOW - 2 * DAY, Vendor(clock, export("a")))
        path = archive.folder / "manifest.jsonl"
        line = path.read_bytes()
        path.write_bytes(line + line[: len(line) // 2])
        assert (await archive.verify()).ok
        await archive.pull(LOG, NOW - 2 * DAY, NOW - DAY, Vendor(clock, export("b")))
        assert len(archive.files(LOG, NOW - 3 * DAY, NOW - DAY)) == 2

    with_archive(tmp_path, body)


def test_two_pulls_at_once(tmp_path: Path) -> None:
    async def body(archive: Archive, clock: VirtualClock, ledger: Ledger) -> None:
        other = Archive(tmp_path, ledger, clock)
        both = await asyncio.gather(
            *(
                one.pull(LOG, NOW - 70 * DAY, NOW - DAY, Vendor(clock, export("a"), export("b"), export("c")))
                for one in (archive, other)
            )
        )
        assert both[0].sha256 == both[1].sha256
        assert len(list(archive.folder.glob("*/*.csv"))) == 3
        assert not list(archive.folder.glob("*/.part-*"))
        assert (await archive.verify()).ok

    with_archive(tmp_path, body)


# -- verify ---------------------------------------------------------------------------------------------


def test_verify_finds_what_was_changed_removed_or_put_there(tmp_path: Path) -> None:
    async def body(archive: Archive, clock: VirtualClock, _: Ledger) -> None:
        got = await archive.pull(
            LOG, NOW - 75 * DAY, NOW - DAY, Vendor(clock, export("a"), export("b"), export("c"))
        )
        first, second, _ = got.files
        content = first.read_bytes()
        first.write_bytes(content.replace(b'"a"', b'"x"'))
        second.unlink()
        (first.parent / "stranger.csv").write_bytes(b"")
        found = await archive.verify()
        assert not found.ok
        assert [(name in "".join(found.broken)) for name in (first.name, second.name, "stranger.csv")] == [
            True
        ] * 3
        assert len(found.broken) == 3
        first.write_bytes(content)
        lines = (archive.folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)
        (archive.folder / "manifest.jsonl").write_bytes(b"".join([lines[0], b"{broken\n", lines[2]]))
        told = "".join((await archive.verify()).broken)
        assert "2 行目" in told
        assert "台帳にありますが、目録にありません" in told

    with_archive(tmp_path, body)


def test_verify_believes_the_ledger_not_a_forged_manifest(tmp_path: Path) -> None:
    async def body(archive: Archive, clock: VirtualClock, _: Ledger) -> None:
        got = await archive.pull(LOG, NOW - 3 * DAY, NOW - DAY, Vendor(clock, export("a")))
        [path] = got.files
        forged = export("forged")
        path.write_bytes(forged)
        manifest = archive.folder / "manifest.jsonl"
        old, new = got.sha256[path.name], hashlib.sha256(forged).hexdigest()
        manifest.write_text(manifest.read_text().replace(old, new))
        found = await archive.verify()
        assert not found.ok
        assert "台帳の記録と異なります" in found.broken[0]

    with_archive(tmp_path, body)


def test_an_empty_archive_is_in_order(tmp_path: Path) -> None:
    async def body(archive: Archive, _: VirtualClock, __: Ledger) -> None:
        assert (await archive.verify()).as_json() == {"files": 0, "ok": True, "broken": []}
        assert archive.files(LOG, NOW - DAY, NOW) == []

    with_archive(tmp_path, body)


def test_a_disk_that_takes_nothing_is_a_sentence(tmp_path: Path) -> None:
    async def body(archive: Archive, clock: VirtualClock, _: Ledger) -> None:
        archive.folder.write_bytes(b"a file stands where the folder should be")
        with pytest.raises(ConfigError, match="書き込めません"):
            await archive.pull(LOG, NOW - 3 * DAY, NOW - DAY, Vendor(clock, export("a")))

    with_archive(tmp_path, body)


# -- bytes ----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.text(alphabet='あ",\r\n a', max_size=8), max_size=12), st.booleans())
def test_rows_are_counted_with_and_without_the_trailer(texts: list[str], cut: bool) -> None:
    quoted = [text.replace('"', '""') for text in texts]
    raw = export(*quoted) + (b"downloadLogs error: x\r\n" if cut else b"")
    assert is_truncated(raw) is cut
    assert count_rows(raw) == len(texts)


def test_a_message_that_says_so_is_no_trailer() -> None:
    assert not is_truncated(export("見た?\r\ndownloadLogs error"))
    assert is_truncated(export("a")[:-3] + b"\r\ndownloadLogs error")
    assert is_truncated(b"\xef\xbb\xbfdownloadLogs error")
    assert not is_truncated(b"")


CHILD = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from bousai_kit.clock import VirtualClock
from bousai_kit.ledger import Ledger
from bousai_kit.logs.archive import Archive

async def main():
    clock, folder = VirtualClock(datetime(2027, 3, 1, tzinfo=UTC)), Path(sys.argv[1])
    async with await Ledger.open(f"sqlite:///{folder}/ledger.db", clock=clock) as ledger:
        async def fetch(since, until):
            print(since, flush=True)
            return b"a,b\\r\\n" + since.isoformat().encode() + b",x\\r\\n" * 20_000
        until = datetime(2027, 2, 1, tzinfo=UTC)
        await Archive(folder, ledger, clock).pull("auth", until - timedelta(days=31 * 400), until, fetch)

asyncio.run(main())
"""


def test_kill_9_while_pulling(tmp_path: Path) -> None:
    """A real process dies at whatever it is doing; what is listed is whole, and the next pull goes on."""
    for windows in (1, 3, 4, 9, 12):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(windows):
            child.stdout.readline()
        child.kill()
        child.wait()
        child.stdout.close()

        async def body(archive: Archive, clock: VirtualClock, ledger: Ledger) -> None:
            assert (await archive.verify()).broken == ()
            await archive.pull("auth", NOW - 60 * DAY, NOW - 50 * DAY, Vendor(clock, export("after")))
            found = await archive.verify()
            assert found.ok
            assert found.files >= 1
            assert not list(archive.folder.glob("*/.part-*"))

        with_archive(tmp_path, body)
