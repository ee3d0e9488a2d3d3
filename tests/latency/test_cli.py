"""``bousai latency`` and ``bousai logs`` as commands: one document, exit codes, sentences."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bousai_kit.cli import build_app
from bousai_kit.clock import VirtualClock
from bousai_kit.ledger import Ledger
from tests.latency.invented import DRILL, START, Drill
from tests.latency.test_talklog import lines, said, write_list, write_log


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose ledger holds an invented drill; the working folder is empty."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("BOUSAI_HOME", str(folder))

    async def fill() -> None:
        async with await Ledger.open(f"sqlite:///{folder}/ledger.db", clock=VirtualClock(START)) as ledger:
            drill = Drill().person("a", "b", ward="北区").send("a", "b").tap("a", 30)
            for event in drill.events:
                await ledger.append(event.stream, event.kind, event.subject, event.body)

    asyncio.run(fill())
    return folder


def bousai(area: str, *words: str) -> Any:
    return CliRunner().invoke(build_app(area), [area, *words])


def test_from_the_ledger_with_a_report(home: Path, tmp_path: Path) -> None:
    done = bousai("latency", "--drill", DRILL, "--out", str(tmp_path / "out"), "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["engine"] == "ledger"
    assert [one["broadcast_id"] for one in document["broadcasts"]] == ["b01"]
    assert set(document["files"]) == {"report.html", "report.xlsx", "latency.json"}
    assert all(Path(path).is_file() for path in document["files"].values())


def test_words_for_people(home: Path) -> None:
    done = bousai("latency", "--drill", DRILL)
    assert done.exit_code == 0
    assert "送達 2 人のうち 1 人が期限内に応答" in done.stdout
    assert "既読" not in done.stdout


def test_no_such_drill_is_a_sentence(home: Path) -> None:
    done = bousai("latency", "--drill", "nothing", "--json")
    assert done.exit_code == 2
    assert "台帳にありません" in done.stderr


@pytest.mark.parametrize(
    "words",
    [[], ["--drill", "x", "--talk-log", "y"], ["--talk-log", "y"], ["--drill", "x", "--engine", "abacus"]],
)
def test_half_a_command_line_is_usage(words: list[str], home: Path) -> None:
    assert bousai("latency", *words).exit_code == 2


def test_from_talk_logs_with_rejects(home: Path, tmp_path: Path) -> None:
    from bousai_kit.roster import roster_rows, sample_roster
    from bousai_kit.tables import write_csv

    write_csv(tmp_path / "roster.csv", *roster_rows(sample_roster(10)))
    person = sample_roster(10).people[0]
    rows = lines([(7, 0, "r", "了解")])
    rows[0][1] = f"{person.name} ({person.login_id})"
    one = write_log(tmp_path / "a.csv", [*rows, ["soon", *rows[0][1:]]])
    two = write_log(tmp_path / "b.csv", rows)
    listed = write_list(tmp_path / "list.csv", [("b01", said(0), "", "", "了解", 60)])
    done = bousai(
        "latency", "--talk-log", str(one), str(two), "--broadcasts", str(listed),
        "--roster", str(tmp_path / "roster.csv"), "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["rows_read"], document["rows_rejected"], document["engine"]) == (2, 1, "duckdb")
    assert (
        Path(document["rejects_file"]).read_text(encoding="utf-8-sig").splitlines()[1].startswith("a.csv,3,")
    )
    [broadcast] = document["broadcasts"]
    assert (broadcast["delivered"], broadcast["acked"], broadcast["last_ack_s"]) == (10, 1, 7.0)
    assert person.last_name + person.first_name not in done.stdout + done.stderr


def test_a_talk_log_that_breaks_off_is_said_and_is_exit_1(home: Path, tmp_path: Path) -> None:
    from bousai_kit.roster import roster_rows, sample_roster
    from bousai_kit.tables import write_csv

    write_csv(tmp_path / "roster.csv", *roster_rows(sample_roster(10)))
    log = write_log(tmp_path / "a.csv", lines([(7, 0, "r", "了解")]))
    listed = write_list(tmp_path / "list.csv", [("b01", said(0), "", "", "了解", 60)])
    words = ("latency", "--talk-log", str(log), "--broadcasts", str(listed))
    words += ("--roster", str(tmp_path / "roster.csv"), "--json")
    assert bousai(*words).exit_code == 0
    log.write_bytes(log.read_bytes() + b"downloadLogs error: internal\r\n")
    done = bousai(*words)
    assert done.exit_code == 1
    assert "a.csv は 3 行目で途中切れです" in done.stderr
    assert "latency-rejects.csv" in done.stderr
    assert json.loads(done.stdout)["rows_read"] == 1


def test_verify_of_an_archive(home: Path) -> None:
    done = bousai("logs", "verify", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"files": 0, "ok": True, "broken": []})
    stranger = home / "archive" / "auth" / "x.csv"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"")
    done = bousai("logs", "verify", "--json")
    assert done.exit_code == 1
    assert "x.csv" in json.loads(done.stdout)["broken"][0]


@pytest.mark.parametrize(
    ("service", "since", "until"),
    [
        ("../etc", "2027-01-17", "2027-01-18"),
        ("auth", "2027-01-18", "2027-01-17"),
        ("auth", "yesterday", "2027-01-17"),
        ("auth", "2027-01-17", "99999-01-01"),
    ],
)
def test_a_period_or_service_that_is_none(service: str, since: str, until: str, home: Path) -> None:
    done = bousai("logs", "pull", service, "--since", since, "--until", until)
    assert done.exit_code == 2


def test_pull_in_the_embedded_sandbox(home: Path) -> None:
    done = bousai(
        "logs", "pull", "message-contents", "--since", "2027-01-16", "--until", "2027-01-17", "--json"
    )
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["rows"], document["gaps"], document["warnings"]) == (0, [], [])
    [path] = document["files"]
    assert document["sha256"][Path(path).name]
    assert bousai("logs", "verify").exit_code == 0
