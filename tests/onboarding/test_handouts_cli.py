"""``bousai onboard handouts`` and ``plan --passwords``, as typed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError

from bousai_kit.cli import main
from bousai_kit.roster import roster_rows
from bousai_kit.tables import write_csv
from tests.onboarding.onlab import city
from tests.onboarding.papers import read_page

Run = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def run(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, Any, str]:
        code = main(["onboard", *words, "--json", "--home", str(home)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, json.loads(out), err

    return run


@pytest.fixture
def roster(tmp_path: Path) -> str:
    people = city(6, 2)
    some = [
        replace(one, private_email=f"home{n}@mail.example" if n < 2 else "")
        for n, one in enumerate(people.people)
    ]
    path = tmp_path / "roster.csv"
    write_csv(path, *roster_rows(replace(people, people=tuple(some))))
    return str(path)


def text_of(path: str, passphrase: str = "") -> list[str]:
    reader = PdfReader(path)
    if passphrase:
        assert reader.decrypt(passphrase)
    return ["".join(read_page(page).split()) for page in reader.pages]


def test_paper_from_the_plan_to_the_end(run: Run, roster: str, home: Path, tmp_path: Path) -> None:
    code, plan, err = run("plan", roster, "--out", "plan.json")
    assert (code, plan["passwords"], plan["invitations"], plan["slips"]) == (0, "admin", 0, 6)
    assert run("apply", "plan.json")[0] == 0
    code, made, err = run("handouts", "plan.json", "--out", "out", "--cover")
    groups = len({one.ward or one.bureau for one in city(6, 2).people})
    assert (code, made["pages"], made["covers"], made["files"]) == (0, 6, groups, ["out/handouts.pdf"])
    assert made["spent"] + made["not_created"] >= 1  # a day has passed in the sandbox
    assert "ログイン済み" in err
    pages = text_of("out/handouts.pdf")
    assert sum("受領簿" in page for page in pages) == groups
    assert sum("もう使えません" in page for page in pages) == made["spent"]
    number = city(6, 2).people[4].staff_number
    code, again, _ = run("handouts", "plan.json", "--out", "out", "--only", f"{number},{number}", "--offline")
    assert (code, again["pages"], again["files"]) == (0, 1, ["out/handouts-again.pdf"])
    assert number in text_of("out/handouts-again.pdf")[0]
    code, wrong, _ = run("handouts", "plan.json", "--out", "out", "--only", "Z999")
    assert (code, "Z999" in wrong["error"]) == (2, True)
    code, ended, _ = run("handouts", "plan.json", "--destroy")
    assert (code, ended["destroyed"]) == (0, True)
    assert set(ended["left_files"]) == {str(path) for path in (tmp_path / "out").iterdir()}
    code, ended, _ = run("handouts", "plan.json", "--destroy", "--delete-files")
    assert (code, ended["destroyed"], ended["left_files"], len(ended["deleted"])) == (0, False, [], 2)
    assert not list((tmp_path / "out").iterdir())


def test_mail_is_said_in_the_plan_and_before_the_apply(run: Run, roster: str) -> None:
    code, plan, _ = run("plan", roster, "--passwords", "member", "--out", "plan.json")
    assert (code, plan["passwords"], plan["invitations"], plan["slips"]) == (0, "member", 2, 4)
    assert "2 通" in plan["notes"][0]
    code, _, err = run("apply", "plan.json")
    assert code == 0
    assert "招待メールが 2 通" in err
    code, made, err = run("handouts", "plan.json", "--out", "out")
    assert (code, made["pages"], made["invited"]) == (0, 4, 2)
    assert run("handouts", "plan.json", "--out", "out", "--invited")[1]["pages"] == 6
    code, undone, err = run("undo", plan["plan_id"])
    assert undone["impossible"][0]["subject"] == "招待メール 2 通"
    assert "取り消せないもの：招待メール" in err
    assert run("plan", roster, "--passwords", "sms")[0] == 2


def test_a_passphrase_from_a_file_or_unseen_from_the_keyboard(
    run: Run, roster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("plan", roster, "--out", "plan.json")
    secret = Path("word.txt")
    secret.write_text("correct-horse-9\n")
    os.chmod(secret, 0o644)
    code, said, _ = run("handouts", "plan.json", "--out", "out", "--passphrase-file", "word.txt")
    assert (code, "chmod 600" in said["hint"]) == (2, True)
    os.chmod(secret, 0o600)
    assert run("handouts", "plan.json", "--out", "out", "--passphrase-file", "word.txt")[0] == 0
    with pytest.raises(FileNotDecryptedError):
        text_of("out/handouts.pdf")
    assert len(text_of("out/handouts.pdf", "correct-horse-9")) == 6
    for weak in ("short-1", "全角の合言葉です長い", "with blanks in it", ""):
        secret.write_text(weak)
        assert run("handouts", "plan.json", "--out", "out", "--passphrase-file", "word.txt")[0] == 2
    assert run("handouts", "plan.json", "--out", "out", "--passphrase-file", "missing")[0] == 2
    assert run("handouts", "plan.json", "--out", "out", "--passphrase")[0] == 2  # nobody to ask
    typed = iter(["battery-staple-3", "battery-staple-3", "battery-staple-3", "another-word-33"])
    monkeypatch.setattr("getpass.getpass", lambda *_: next(typed))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    code, _, err = run("handouts", "plan.json", "--out", "out", "--passphrase")
    assert code == 0
    assert "battery" not in err
    assert len(text_of("out/handouts.pdf", "battery-staple-3")) == 6
    assert run("handouts", "plan.json", "--out", "out", "--passphrase")[0] == 2  # typed differently


def test_the_template_is_put_into_the_home(run: Run, roster: str, home: Path) -> None:
    code, made, _ = run("handouts", "--write-template")
    assert (code, made["template"]) == (0, str(home / "handout_text.yaml"))
    path = Path(made["template"])
    path.write_text(path.read_text("utf-8").replace("○○市", "見本市"), "utf-8")
    assert run("handouts", "--write-template")[0] == 2
    run("plan", roster, "--out", "plan.json")
    assert run("handouts", "plan.json", "--out", "out")[0] == 0
    assert "見本市" in text_of("out/handouts.pdf")[0]
    path.write_text("title: [", "utf-8")
    code, said, _ = run("handouts", "plan.json", "--out", "out")
    assert (code, "行目を YAML" in said["error"]) == (2, True)


def test_what_makes_no_sense_is_exit_2(run: Run, roster: str) -> None:
    assert run("handouts")[0] == 2
    assert run("handouts", "--out", "out")[0] == 2
    assert run("handouts", "--destroy")[0] == 2
    run("plan", roster, "--out", "plan.json")
    assert run("handouts", "plan.json", "--out", "out", "--delete-files")[0] == 2
    assert run("handouts", "plan.json", "--destroy")[0] == 3  # not applied yet
