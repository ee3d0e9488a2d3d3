"""Files stand whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bousai_kit.files import sweep, whole_file, write_private, write_whole


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = write_private(tmp_path / "new" / "計画.json", b"old")
    assert path.stat().st_mode & 0o777 == 0o600 or os.name != "posix"
    with pytest.raises(RuntimeError):
        _break_off(path)
    assert path.read_bytes() == b"old"
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert write_whole(path, b"new").read_bytes() == b"new"


def _break_off(path: Path) -> None:
    with whole_file(path) as file:
        file.write(b"half")
        file.flush()
        assert path.read_bytes() == b"old"
        raise RuntimeError


def test_another_file_is_not_written_over(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "名簿.csv", b"theirs")
    with pytest.raises(FileExistsError):
        write_whole(path, b"ours", over=False)
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_those_of_the_model(tmp_path: Path) -> None:
    model = write_whole(tmp_path / "a.csv", b"a")
    model.chmod(0o640)
    path = write_whole(tmp_path / "b.csv", b"b", private=True, over=False, like=model)
    assert path.stat().st_mode == model.stat().st_mode


def test_names_as_long_as_a_file_system_takes(tmp_path: Path) -> None:
    path = tmp_path / ("災" * 83 + ".csv")  # 253 bytes
    assert write_whole(path, b"x").read_bytes() == b"x"


def test_trouble_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").touch()
    for path in (tmp_path / "folder", tmp_path / ("a" * 300)):
        with pytest.raises(OSError, match=r".") as caught:
            write_whole(path, b"x")
        assert ".part" not in str(caught.value)
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_process_left_is_swept_but_not_what_another_is_writing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1, check=True)
    dead = tmp_path / f".handouts.pdf.{int(done.stdout)}.aaaa.part"
    alive = tmp_path / f".handouts.pdf.{os.getpid()}.bbbb.part"
    for path in (dead, alive, tmp_path / ".other.part"):
        path.write_bytes(b"x")
    assert sweep(tmp_path) == 1
    assert not dead.exists()
    assert alive.exists()
