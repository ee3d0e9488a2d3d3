"""``bousai onboard`` as a person types it: exit codes, one JSON document, nothing on stdout beside it."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.cli import Bar, main
from bousai_kit.roster import roster_rows
from bousai_kit.tables import write_csv
from tests.onboarding.onlab import city

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def run(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*words: str, home: Path = home) -> tuple[int, Any]:
        code = main(["onboard", *words, "--json", "--home", str(home)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, json.loads(out)  # exactly one document

    return run


@pytest.fixture
def roster(tmp_path: Path) -> str:
    path = tmp_path / "名簿 1.csv"
    write_csv(path, *roster_rows(city(8, 2)))
    return str(path)


def test_the_whole_way(run: Run, roster: str, tmp_path: Path) -> None:
    code, said = run("check", roster)
    assert (code, said["people"]) == (0, 8)
    code, plan = run("plan", roster, "--out", "plan.json")
    assert code == 0
    assert {
        "plan_id",
        "create",
        "update",
        "unchanged",
        "suspend",
        "left_alone",
        "conflict",
        "calls",
        "eta_s",
    } <= set(plan)
    assert (plan["create"], plan["left_alone"], plan["orgunits"]["create"]) == (8, 1, 2)
    assert isinstance(plan["groups"], dict)
    assert isinstance(plan["rooms"], dict)
    assert os.stat("plan.json").st_mode & 0o077 == 0
    assert run("handouts", "plan.json", "--destroy")[0] == 3
    code, done = run("apply", "plan.json")
    assert (code, done["failed"], done["unknown"]) == (0, [], [])
    assert done["done"] > 8
    assert isinstance(done["elapsed_s"], float)
    code, again = run("apply", "plan.json")
    assert (code, again["done"], again["skipped"]) == (0, 0, done["done"])
    code, status = run("status")
    assert code == 0
    assert (status["planned"], status["created"], status["pending"] + status["active"]) == (8, 8, 8)
    assert status["stuck"] == []
    assert status["by_device_os"]
    code, pages = run("handouts", "plan.json", "--out", "out")
    assert (code, pages["pages"], pages["files"]) == (0, 8, ["out/handouts.pdf"])
    assert run("handouts", "plan.json", "--destroy")[0] == 0
    assert run("handouts", "plan.json", "--out", "out")[0] == 2
    code, planned = run("undo", done["apply_id"], "--out", "undo.json")
    assert (code, planned["undone"], planned["failed"], planned["apply_id"]) == (0, 0, [], done["apply_id"])
    assert planned["delete"] + planned["suspend"] == 8
    assert os.stat("undo.json").st_mode & 0o077 == 0
    code, said = run("review", "undo.json", "--out", "undo.xlsx")
    assert (code, said["undo_id"], Path("undo.xlsx").is_file()) == (0, planned["undo_id"], True)
    assert run("undo", planned["undo_id"])[0] == 3
    code, undone = run("apply", "undo.json")
    assert {"apply_id", "done", "failed", "unknown", "skipped", "elapsed_s"} <= set(undone)
    assert (code, undone["unknown"], undone["done"]) == (0, [], undone["undone"])
    assert undone["impossible"] == planned["impossible"]
    code, again = run("undo", done["apply_id"])
    assert (code, again["undone"], again["impossible"]) == (0, 0, undone["impossible"])
    assert (code, undone["failed"]) == (0, [])
    kept = [one["subject"] for one in undone["impossible"]]
    assert kept  # a day has passed: who has logged in is suspended, and their unit and position stay
    assert undone["undone"] + sum(not one.startswith("職員番号") for one in kept) == done["done"]
    assert run("apply", "plan.json")[0] == 3


def test_plan_of_the_same_tenant_again_is_empty(run: Run, roster: str) -> None:
    run("plan", roster, "--out", "plan.json")
    run("apply", "plan.json")
    code, plan = run("plan", roster)
    assert (code, plan["create"], plan["update"], plan["unchanged"]) == (0, 0, 0, 8)


def test_wrong_input_is_exit_2(run: Run, roster: str, tmp_path: Path) -> None:
    text = Path(roster).read_text("utf-8-sig")
    (tmp_path / "twice.csv").write_text(text + text.splitlines()[1] + "\r\n", "utf-8")
    code, said = run("check", "twice.csv")
    assert code == 2
    assert {"row", "column", "severity", "problem"} == set(said["issues"][0])
    code, said = run("plan", "twice.csv", "--out", "plan.json")
    assert (code, said["exit_code"]) == (2, 2)
    assert not Path("plan.json").exists()
    assert run("plan", "missing.csv")[0] == 2
    assert run("plan", roster, "--leavers", "delete")[0] == 2
    assert run("apply", "missing.json")[0] == 2
    Path("junk.json").write_text("{}")
    assert run("apply", "junk.json")[0] == 2
    assert run("undo", "p20270117-000000-00000000")[0] == 2
    assert run("undo", "../../x")[0] == 2
    assert run("handouts", roster)[0] == 2


def test_leavers_beyond_the_threshold_are_exit_3(run: Run, roster: str, tmp_path: Path) -> None:
    run("plan", roster, "--out", "plan.json")
    run("apply", "plan.json")
    import asyncio

    from tests.onboarding.onlab import bench_at

    home = tmp_path / "home"

    async def wait() -> None:
        async with await bench_at(home) as bench:
            await bench.clock.sleep(86400)

    asyncio.run(wait())
    lines = Path(roster).read_text("utf-8-sig").splitlines()
    Path("fewer.csv").write_text("\r\n".join(lines[:-3]) + "\r\n", "utf-8")
    assert run("plan", "fewer.csv")[1]["left_alone"] == 4
    assert run("plan", "fewer.csv", "--leavers", "suspend")[0] == 3
    code, said = run("plan", "fewer.csv", "--leavers", "suspend", "--max-leavers", "3", "--out", "fewer.json")
    assert code == 0
    assert said["suspend"] in (2, 3)
    assert run("apply", "fewer.json")[0] == 0


@pytest.mark.skipif(os.name != "posix", reason="Windows には SIGTERM の通知がない")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_a_second_one_at_once_and_both_say_how_far_it_was(
    number: signal.Signals,
    home: Path,
    roster: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(home.parent)
    given = ("--home", str(home))
    whole, strikes = Bar.update, {3: 1, 12: 2}  # steps ended -> signals

    def update(bar: Bar, done: int, total: int | None = None, detail: str = "") -> None:
        whole(bar, done, total, detail)
        for _ in range(strikes.pop(done, 0)):
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Bar, "update", update)
    assert main(["onboard", "plan", roster, "--out", "p.json", *given]) == 0
    capsys.readouterr()
    assert main(["onboard", "apply", "p.json", "--json", *given]) == 130
    out, err = capsys.readouterr()
    first = json.loads(out)
    assert (first["failed"], first["unknown"], first["done"] >= 3, first["left"] > 0) == ([], [], True, True)
    assert "中断を受け付けました" in err
    assert main(["onboard", "apply", "p.json", *given]) == 130  # twice: at once
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"登録は、\d+/\d+ 件まで進んで止まりました。", err)
    assert "同じコマンドで続き" in err
    assert not strikes
    assert main(["onboard", "apply", "p.json", "--json", *given]) == 0
    last = json.loads(capsys.readouterr().out)
    assert (last["left"], last["skipped"] >= 12) == (0, True)


def test_another_home_says_so(run: Run, roster: str, tmp_path: Path, founded: Path) -> None:
    run("plan", roster, "--out", "plan.json")
    from tests.onboarding.onlab import new_home

    other = new_home(founded, tmp_path / "other")
    code, said = run("apply", "plan.json", home=other)
    assert code == 2
    assert "BOUSAI_HOME" in said["error"] + said["hint"]


def test_a_day_passes_after_an_apply_so_that_a_drill_reaches_somebody(
    run: Run, roster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits between two commands: a clock that stood still would leave everybody at the door."""
    from bousai_kit import rehearsal

    async def stopped(*_: object) -> int:
        raise KeyboardInterrupt

    run("plan", roster, "--out", "plan.json")
    with monkeypatch.context() as patched:
        patched.setattr(rehearsal, "let_a_day_pass", stopped)
        assert run("apply", "plan.json")[0] == 130
    assert run("status")[1]["active"] == 0
    code, done = run("apply", "plan.json")
    assert (code, done["done"], done["elapsed_s"] < 3600) == (0, 0, True)
    code, status = run("status")
    assert (code, status["active"] > status["planned"] / 2) == (0, True)
    run("apply", "plan.json")
    assert run("status")[1]["as_of"][:13] == status["as_of"][:13]  # the day passes once


def test_the_day_that_passes_is_said(
    home: Path, roster: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home.parent)
    assert main(["onboard", "plan", roster, "--out", "p.json", "--home", str(home)]) == 0
    for said in (True, False):
        capsys.readouterr()
        assert main(["onboard", "apply", "p.json", "--home", str(home)]) == 0
        assert ("練習用の時計を 1 日進めました" in capsys.readouterr().err) is said
