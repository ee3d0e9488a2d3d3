"""Bad places for a ledger: a full disk, somebody else's file, a share, no permission."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from bousai_kit.clock import SystemClock
from bousai_kit.errors import LedgerCorrupt, LedgerError, LedgerUnavailable
from bousai_kit.ledger import Ledger, NewEvent, verify_file
from bousai_kit.ledger.sqlite import SqliteBackend
from bousai_kit.ledger.volume import network_filesystem


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def attempt(path: Path, **more: int) -> LedgerError:
    async def main() -> None:
        async with await Ledger.open(url(path), clock=SystemClock(), **more) as ledger:
            await ledger.append("s", "k")

    with pytest.raises(LedgerError) as raised:
        asyncio.run(main())
    assert raised.value.hint
    return raised.value


# -- a full disk --------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk; the limit of pages below is tried everywhere")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", place], check=False).returncode:
        pytest.skip("this container may not mount a small disk; the limit of pages below is tried everywhere")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=False)


def fill(place: Path) -> Path:
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


def test_a_full_disk_loses_nothing_and_is_survived(small_disk: Path) -> None:
    path = small_disk / "ledger.db"

    async def main() -> None:
        async with await Ledger.open(url(path), clock=SystemClock()) as ledger:
            before = [await ledger.append("s", "k", str(n), once=f"o{n}") for n in range(5)]
            ballast = fill(small_disk)
            refused = 0
            for n in range(5, 60):
                batch = [NewEvent("s", "k", str(n), {"x": "あ" * 2000}, f"o{n}-{m}") for m in range(4)]
                results = await asyncio.gather(
                    ledger.append_many(batch), ledger.append("s", "lone", str(n)), return_exceptions=True
                )
                for result in results:
                    if isinstance(result, BaseException):
                        refused += 1
                        assert isinstance(result, LedgerUnavailable), result
                        assert "ディスク" in str(result)
                        assert "空き容量" in result.hint
                if isinstance(results[0], list):
                    before += results[0]
                if not isinstance(results[1], BaseException):
                    before.append(results[1])
            assert refused > 5
            with pytest.raises(LedgerUnavailable):  # a lone append, in the loop
                await ledger.append("s", "k", body={"x": "あ" * 2000})
            assert await ledger.read() == before  # reading still works; nothing half done
            ballast.unlink()
            event = await ledger.append("s", "k", once="o5-0-late")
            assert event is not None
            assert event.seq == len(before) + 1
            assert (await ledger.verify()).ok
        assert verify_file(path).events == len(before) + 1

    asyncio.run(main())


def test_no_ledger_is_begun_on_a_full_disk(small_disk: Path) -> None:
    ballast = fill(small_disk)
    assert "空き容量" in attempt(small_disk / "ledger.db").hint
    ballast.unlink()

    async def main() -> None:
        async with await Ledger.open(url(small_disk / "ledger.db"), clock=SystemClock()) as ledger:
            assert await ledger.append("s", "k") is not None

    asyncio.run(main())


def test_a_limit_of_pages_is_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        backend = SqliteBackend(path)
        async with Ledger(backend, clock=SystemClock()) as ledger:
            await ledger.append("s", "k")
            assert backend._writer is not None
            backend._writer.execute("PRAGMA max_page_count = 12")
            with pytest.raises(LedgerUnavailable) as raised:
                await ledger.append_many([NewEvent("s", "k", body={"x": "x" * 3000}) for _ in range(50)])
            assert "空き容量" in str(raised.value)
            assert len(await ledger.read()) == 1
            assert await ledger.append("s", "k") is not None  # on a fresh connection without the limit
            assert (await ledger.verify()).ok

    asyncio.run(main())


# -- somebody else's ----------------------------------------------------------------------------------


def test_the_ledger_of_another_domain_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        for domain in (None, 7, 7, None):
            async with await Ledger.open(url(path), clock=SystemClock(), domain_id=domain) as ledger:
                await ledger.append("s", "k")

    asyncio.run(main())
    error = attempt(path, domain_id=8)
    assert isinstance(error, LedgerUnavailable)
    assert "別のドメイン" in str(error)
    assert "BOUSAI_HOME" in error.hint
    assert verify_file(path).events == 4


def test_a_foreign_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t(x)")
        db.commit()
    before = path.read_bytes()
    error = attempt(path)
    assert isinstance(error, LedgerUnavailable)
    assert "台帳ではありません" in str(error)
    assert path.read_bytes() == before
    assert not path.with_name("other.db-wal").exists()


def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with await Ledger.open(url(path), clock=SystemClock()) as ledger:
            await ledger.append("s", "k")

    asyncio.run(main())
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    error = attempt(path)
    assert isinstance(error, LedgerUnavailable)
    assert "新しい版" in error.hint


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"name,phone\n" * 1000)
    assert isinstance(attempt(path), LedgerCorrupt)
    assert path.read_bytes() == b"name,phone\n" * 1000


def test_a_damaged_row_is_said_and_not_swallowed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with await Ledger.open(url(path), clock=SystemClock()) as ledger:
            await ledger.append("s", "k")
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                for body in ("{", "[1]", "1", None):
                    with suppress(sqlite3.IntegrityError):
                        other.execute("UPDATE events SET body = ?", (body,))
                    with pytest.raises(LedgerCorrupt, match="seq 1"):
                        await ledger.read_lines(stream="s")
                other.execute("UPDATE events SET body = '{'")
            with pytest.raises(LedgerCorrupt, match="seq 1"):
                await ledger.read()

    asyncio.run(main())


# -- no place -----------------------------------------------------------------------------------------


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert isinstance(attempt(tmp_path / "file" / "ledger.db"), LedgerUnavailable)
    assert isinstance(attempt(tmp_path), LedgerUnavailable)


@pytest.mark.skipif(os.name != "posix", reason="POSIX の権限を調べる")
def test_a_folder_without_permission() -> None:
    folder = Path(tempfile.mkdtemp())  # below a folder that everybody may enter, unlike pytest's own
    me = os.geteuid()
    folder.chmod(0o555)
    try:
        if me == 0:
            os.seteuid(65534)  # root may write everywhere
        assert "権限" in str(attempt(folder / "ledger.db"))
    finally:
        os.seteuid(me)
        shutil.rmtree(folder)


MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /proc rw shared:1 - proc proc rw
31 22 0:30 / /home rw,relatime shared:2 master:3 - nfs4 srv:/home rw
32 31 0:31 / /home/local rw - xfs /dev/vdb rw
33 22 0:32 / /mnt/my\\040share rw - cifs //srv/share rw
34 22 0:33 / /mnt/c rw - 9p drvfs rw
35 22 0:34 / /mnt/ssh rw - fuse.sshfs me@srv: rw
36 22 0:35 / /mnt/ntfs rw - fuseblk /dev/sda1 rw
37 22 0:36 / /work rw - nfs srv:/w rw
38 37 0:37 / /work rw - tmpfs none rw
broken line
39 22 0:38 / /mnt/cifsy rw - overlay none rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/ledger.db", None),
        ("/home/me/ledger.db", "nfs4"),
        ("/homework/ledger.db", None),
        ("/home/local/ledger.db", None),
        ("/mnt/my share/a/b", "cifs"),
        ("/mnt/c/Users/me", "9p"),
        ("/mnt/ssh/x", "fuse.sshfs"),
        ("/mnt/ntfs/x", None),
        ("/work/x", None),
        ("/mnt/cifsy/x", None),
        ("/home/local/../me/x", "nfs4"),
    ],
)
def test_a_network_file_system_is_recognised(path: str, kind: str | None) -> None:
    assert network_filesystem(Path(path), mountinfo=MOUNTS, platform="linux") == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (r"\\server\share\ledger.db", "UNC"),
        ("//server/share/ledger.db", "UNC"),
        (r"\\?\UNC\server\share", "UNC"),
        (r"C:\Users\me\ledger.db", None),
        (r"\\?\C:\Users\me", None),
    ],
)
def test_a_windows_share_is_recognised(path: str, kind: str | None) -> None:
    assert network_filesystem(Path(path), platform="win32") == kind


def test_elsewhere_nothing_is_known() -> None:
    assert network_filesystem(Path("/Users/me"), platform="darwin") is None


def test_a_ledger_on_a_share_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bousai_kit.ledger.sqlite_file.network_filesystem", lambda path: "nfs4")
    error = attempt(tmp_path / "home" / "ledger.db")
    assert isinstance(error, LedgerUnavailable)
    assert "nfs4" in str(error)
    assert "BOUSAI_HOME" in error.hint
    assert list(tmp_path.iterdir()) == []
