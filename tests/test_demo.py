"""`bousai demo`: real processes; equal seeds give equal numbers, two at once do not mix."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.demo import MARKER, NOTEBOOKS, check_out, kernel_environment, put_in_place
from bousai_kit.errors import ConfigError
from bousai_kit.sandbox import open_home_sandbox, truth_of

ROOT = Path(__file__).parent.parent
FOREIGN = re.compile(
    r"""(?:src|href)\s*=\s*["']?(?:https?:)?//|@import\s+(?:url\()?["']?(?:https?:)?//""", re.I
)


def start(folder: Path, *args: str) -> subprocess.Popen[str]:
    env = dict(os.environ)
    env.update(
        PYTHONPATH=str(ROOT),
        BOUSAI_PROFILE="live",  # nothing of this may be read
        BOUSAI_API_URL="http://127.0.0.1:9/v1.0",
        BOUSAI_HOME=str(folder / "not-this-home"),
        BOUSAI_CLIENT_SECRET="planted-secret",
    )
    line = [sys.executable, "-P", "-X", "utf8", "-m", "bousai_kit", "demo", "--json", *args]
    return subprocess.Popen(
        line,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err[-2000:]
    assert "Traceback" not in err
    return dict(json.loads(out))


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    return {key: result[key] for key in ("people", "onboarded", "sent", "acked", "median_s")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("city")
    return folder, finish(start(folder))


def test_the_whole_job(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, result = whole
    assert result["people"] == 200
    assert result["onboarded"] == 200
    assert 180 <= result["sent"] <= 200
    assert 0.6 * result["sent"] <= result["acked"] < result["sent"]
    assert 20.0 < result["median_s"] < 1800.0
    for name, path in result["files"].items():
        assert (folder / path).stat().st_size > 0, name
        assert not Path(path).is_absolute()
    for notebook in NOTEBOOKS:
        assert f"{notebook}.html" in result["files"]
    assert {"report.html", "report.xlsx", "summary.json"} <= set(result["files"])
    assert not (folder / "not-this-home").exists()


def test_pages_need_nothing_from_anywhere(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, result = whole
    for name, path in result["files"].items():
        if name.endswith(".html"):
            text = (folder / path).read_text(encoding="utf-8")
            assert FOREIGN.search(text) is None, name
            assert "planted-secret" not in text
            assert "Traceback" not in text


def test_numbers_agree_with_the_sandbox(whole: tuple[Path, dict[str, Any]]) -> None:
    """The sandbox's own books, read by themselves, say the same as the ledger."""

    async def look() -> dict[str, Any]:
        sandbox = await open_home_sandbox(folder / "out/demo/home")
        try:
            return truth_of(sandbox)  # type: ignore[arg-type]  # in process, as nobody serves it
        finally:
            await sandbox.stop()

    folder, result = whole
    truth = asyncio.run(look())
    assert truth["defects"] == []
    assert sum(truth["members"].values()) == result["onboarded"]
    sent: dict[tuple[str, str], datetime] = {}
    for message in truth["messages"]:
        place = (message["key"], message["user"])
        sent.setdefault(place, datetime.fromisoformat(message["accepted_at"]))
    assert len({user for _, user in sent}) == result["sent"]
    asked = [(key, user) for key, user in sent if key in truth["first_answers"]]
    took = {
        place: (datetime.fromisoformat(first["first_at"]) - sent[place]).total_seconds()
        for place in asked
        if (first := truth["first_answers"][place[0]].get(place[1])) is not None
    }
    assert len({user for (_, user), seconds in took.items() if seconds <= 1800.0}) == result["acked"]


def test_same_seed_same_numbers_and_two_at_once(tmp_path: Path) -> None:
    both = [start(tmp_path, "--people", "12", "--seed", "7") for _ in range(2)]
    first, second = (finish(process) for process in both)
    assert numbers(first) == numbers(second)
    assert first["people"] == 12
    left = [path.name for path in (tmp_path / "out").iterdir()]
    assert left == ["demo"]
    assert (tmp_path / "out/demo" / MARKER).is_file()


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("大切なもの", encoding="utf-8")
    process = start(tmp_path, "--out", ".")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert json.loads(out)["exit_code"] == 2
    assert "demo 以外のファイル" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_put_in_place_replaces_only_a_demo(tmp_path: Path) -> None:
    target = tmp_path / "demo"
    for text in ("1", "2"):
        work = tmp_path / f".work{text}"
        work.mkdir()
        (work / MARKER).write_text(text, encoding="utf-8")
        put_in_place(work, target)
        assert (target / MARKER).read_text(encoding="utf-8") == text
    (target / MARKER).unlink()
    (target / "mine.txt").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="demo 以外"):
        check_out(target)


def test_the_kernels_see_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOUSAI_CLIENT_SECRET", "planted-secret")
    monkeypatch.setenv("IPYTHONDIR", "/nowhere")
    env = kernel_environment(tmp_path)
    assert "planted-secret" not in env.values()
    assert env["BOUSAI_HOME"] == str(tmp_path / "home")
    assert env["IPYTHONDIR"].startswith(str(tmp_path))
