"""``bousai drill``: JSON keys, exit codes, and two processes at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bousai_kit import cli
from bousai_kit.settings import account_name
from tests.drills.stage import SAFETY, found

ROOT = Path(__file__).parent.parent.parent
RUN_KEYS = {
    *("drill_id", "recipients", "sent", "refused", "unknown"),
    *("acked", "late", "elapsed_s", "requests", "throttled"),
}


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOUSAI_HOME", str(tmp_path / "home"))
    found(tmp_path / "home", 30)
    (tmp_path / "s.yaml").write_text(SAFETY, encoding="utf-8")
    (tmp_path / "actual.yaml").write_text(
        SAFETY.replace("exercise", "actual").replace("【訓練】", ""), encoding="utf-8"
    )
    from bousai_kit.roster import roster_rows, sample_roster
    from bousai_kit.tables import write_csv

    header, rows = roster_rows(sample_roster(30))
    write_csv(tmp_path / "r.csv", header, rows)
    return tmp_path


def bousai(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, Any, str]:
    capsys.readouterr()
    code = cli.main([*args, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


def test_from_plan_to_close(city: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario, roster = str(city / "s.yaml"), ("--roster", str(city / "r.csv"))
    code, planned, _ = bousai(capsys, "drill", "plan", scenario, *roster)
    assert code == 0
    assert {"drill_id", "recipients", "unreachable", "route", "calls", "eta_s", "waves"} <= set(planned)
    assert planned["recipients"] == 30 - len(planned["unreachable"])
    assert planned["calls"] == planned["recipients"]
    drill_id = planned["drill_id"]
    assert set(drill_id) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
    code, ran, err = bousai(capsys, "drill", "run", scenario, *roster, "--no-wait")
    assert code == 0
    assert ran.keys() >= RUN_KEYS
    assert (ran["drill_id"], ran["sent"], ran["state"]) == (drill_id, planned["recipients"], "open")
    assert drill_id in err, "it says that it goes on with the open drill"
    code, resumed, _ = bousai(capsys, "drill", "resume", drill_id)
    assert code == 0
    assert resumed["acked"] > 0
    assert resumed["requests"] == 0
    code, status, _ = bousai(capsys, "drill", "status", drill_id)
    assert (code, status["acked"], status["sent"]) == (0, resumed["acked"], ran["sent"])
    assert status.keys() >= RUN_KEYS
    code, listed, _ = bousai(capsys, "drill", "list")
    assert [one["drill_id"] for one in listed["drills"]] == [drill_id]
    assert listed["drills"][0].keys() >= {"drill_id", "title", "kind", "state", "started_at", "open_unknown"}
    code, settled, _ = bousai(capsys, "drill", "settle", drill_id)
    assert (code, settled["unknown"]) == (0, [])
    code, closed, _ = bousai(capsys, "drill", "close", drill_id)
    assert (code, closed["state"]) == (0, "closed")
    assert cli.main(["drill", "resume", drill_id]) == 3
    code, fresh, _ = bousai(capsys, "drill", "plan", scenario, *roster)
    assert fresh["drill_id"] != drill_id
    assert cli.main(["drill", "status", "no-such-id"]) == 2
    assert cli.main(["drill", "status", "../../etc"]) == 2


def test_a_real_one_from_the_command_line(city: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ("drill", "run", str(city / "actual.yaml"), "--roster", str(city / "r.csv"), "--no-wait")
    code, said, _ = bousai(capsys, *args, "--yes")
    assert (code, said["exit_code"]) == (3, 3)
    drill_id = bousai(capsys, "drill", "list")[1]["drills"][0]["drill_id"]
    code, _, _ = bousai(capsys, *args, "--reason", "当直 1 名のため")
    assert code == 3, "a reason does not replace the confirmation"
    code, said, _ = bousai(capsys, "drill", "approve", drill_id, "--by", account_name())
    assert (code, "2 人目" in said["error"]) == (3, True), "who planned it is no second person"
    code, approved, _ = bousai(capsys, "drill", "approve", drill_id, "--by", "900002")
    assert code == 0
    assert approved.keys() >= {"drill_id", "approved_by", "approved_at"}
    assert approved["approved_by"] == "900002", "a reason that was not confirmed is none"
    code, ran, _ = bousai(capsys, *args, "--yes")
    assert (code, ran["sent"]) == (0, ran["recipients"])
    exercise = bousai(capsys, "drill", "plan", str(city / "s.yaml"), "--roster", str(city / "r.csv"))[1]
    assert cli.main(["drill", "approve", exercise["drill_id"]]) == 3


def test_a_shared_duty_account_may_approve_and_the_record_says_so(
    city: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = (str(city / "actual.yaml"), "--roster", str(city / "r.csv"))
    drill_id = bousai(capsys, "drill", "plan", *args)[1]["drill_id"]
    code, approved, err = bousai(capsys, "drill", "approve", drill_id)
    assert (code, approved["same_account"]) == (0, True)
    assert "同じ利用者名" in err
    code, ran, _ = bousai(capsys, "drill", "run", *args, "--no-wait", "--yes")
    assert (code, ran["sent"]) == (0, ran["recipients"])


def test_one_person_with_a_reason_may_go_at_three_in_the_morning(
    city: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, ran, _ = bousai(
        capsys, "drill", "run", str(city / "actual.yaml"), "--roster", str(city / "r.csv"),
        "--no-wait", "--yes", "--reason", "当直 1 名のため",
    )  # fmt: skip
    assert (code, ran["sent"]) == (0, ran["recipients"])


def test_bad_input_is_a_sentence_and_sends_nothing(city: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unmarked = city / "unmarked.yaml"
    unmarked.write_text(SAFETY.replace("【訓練】", ""), encoding="utf-8")
    roster = ("--roster", str(city / "r.csv"))
    assert bousai(capsys, "drill", "plan", str(unmarked), *roster)[0] == 3
    broken = city / "broken.yaml"
    broken.write_text("title: [", encoding="utf-8")
    assert bousai(capsys, "drill", "plan", str(broken), *roster)[0] == 2
    assert bousai(capsys, "drill", "plan", str(city / "none.yaml"), *roster)[0] == 2
    assert bousai(capsys, "drill", "run", str(city / "s.yaml"), "--roster", str(city / "none.csv"))[0] == 2
    assert bousai(capsys, "drill", "list")[1] == {"drills": []}


# -- a tenant of its own, and several real processes ------------------------------------------------------


def start(city: Path, *args: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bousai_kit", *args],
        cwd=city,
        env={**os.environ, "BOUSAI_HOME": str(city / "kit"), **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 and SIGTERM")
def test_real_processes_on_one_home_two_at_once_and_one_killed(city: Path) -> None:
    import httpx

    (city / "s.yaml").write_text(SAFETY + "deadline_s: 240\n", encoding="utf-8")
    served = start(city, "sandbox", "--people", "30", "--time-scale", "150", "--env-file", str(city / ".env"))
    try:
        assert served.stdout is not None
        ready = json.loads(served.stdout.readline())
        env = dict(
            line.split("=", 1) for line in (city / ".env").read_text("utf-8").splitlines() if "=" in line
        )
        env = {name: value.strip("'\"") for name, value in env.items()}
        env["BOUSAI_HOME"] = str(city / "kit")
        env["BOUSAI_RECEIVER"] = "embedded"
        args = ("drill", "run", "s.yaml", "--roster", "r.csv", "--yes", "--json")
        with httpx.Client(trust_env=False, timeout=20.0) as http:

            def sent() -> list[dict[str, Any]]:
                truth = http.get(f"{ready['admin_url']}/truth").json()
                found_messages: list[dict[str, Any]] = truth["messages"]
                return found_messages

            first, second = start(city, *args, **env), start(city, *args, **env)
            until = time.monotonic() + 30
            while len(sent()) < 5:
                assert time.monotonic() < until
            first.send_signal(signal.SIGKILL)
            end(first)
            code, out, err = end(second)
            assert code in (0, 1), err
            ran = json.loads(out)
            if code == 1:
                assert ran["unknown"]
                code, out, err = end(start(city, "drill", "settle", ran["drill_id"], "--json", **env))
                assert json.loads(out)["unknown"] == [], err
            code, out, err = end(
                start(city, "drill", "resume", ran["drill_id"], "--yes", "--no-wait", "--json", **env)
            )
            assert code == 0, err
            done = json.loads(out)
            assert done["sent"] == done["recipients"] > 20
            users = [entry["user"] for entry in sent()]
            assert len(users) == len(set(users)) == done["recipients"]
    finally:
        served.terminate()
        end(served)
