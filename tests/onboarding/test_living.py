"""Whether a run lives: by a lock that ends with its process, and no word where nothing is known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bousai_kit.onboarding import living
from bousai_kit.onboarding.living import Living

HOLD = """
import sys
from pathlib import Path
from bousai_kit.onboarding.living import Living
with Living(Path(sys.argv[1]), "p1", sys.argv[2]):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_of_a_process_that_lives_was_killed_or_came_to_its_end(tmp_path: Path) -> None:
    ours = Living(tmp_path, "p1", "00000001")
    for run, end in (("0000000a", "kill"), ("0000000b", "close")):
        words = [sys.executable, "-c", HOLD, str(tmp_path), run]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "in\n"
            assert (tmp_path / "runs" / f"p1.{run}.lock").stat().st_mode & 0o077 == 0 or os.name != "posix"
            assert not ours.is_over(run)
            if end == "kill":
                process.kill()
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)
        assert ours.is_over(run) is (end == "kill"), "who came to its end left nothing open"
        assert ours.is_over(run) is (end == "kill")
    with ours:
        names = [path.name for path in (tmp_path / "runs").iterdir()]
        assert names == ["p1.00000001.lock"], "the second one swept after the first"
    assert not [*(tmp_path / "runs").iterdir()]


def test_who_fails_is_over_and_says_so(tmp_path: Path) -> None:
    ours = Living(tmp_path, "p1", "00000001")
    with pytest.raises(pytest.fail.Exception, match="True"), Living(tmp_path, "p1", "0000000c"):
        pytest.fail(str(not ours.is_over("0000000c")))  # nor in one process
    assert ours.is_over("0000000c")
    assert not Living(tmp_path, "p2", "00000001").is_over("0000000c")
    assert not Living(tmp_path, "../runs/p1", "00000001").is_over("0000000c")


@pytest.mark.parametrize("run", ["", "0000000d", "../../x", "0000000c/../0000000c", "0000000C", "\0"])
def test_of_others_nothing_is_known(tmp_path: Path, run: str) -> None:
    with pytest.raises(KeyError), Living(tmp_path, "p1", "0000000c"):
        raise KeyError
    assert not Living(tmp_path, "p1", "00000001").is_over(run)


def test_where_there_are_no_locks_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").write_text("no folder")
    with Living(tmp_path, "p1", "0000000c"):
        assert not Living(tmp_path, "p1", "00000001").is_over("0000000c")
    monkeypatch.setattr(living, "network_filesystem", lambda _: "nfs4")
    with Living(tmp_path / "far", "p1", "0000000c"):
        assert not (tmp_path / "far").exists()
