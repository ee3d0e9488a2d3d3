"""Secrets, tokens and a person's name are planted, the whole job is done, and then looked for everywhere.

A name may stand in the plan file, the hand-outs, the roster copy of a drill (``drills/<id>``), the raw
exports of the vendor (``archive``), and the tenant's own state (``sandbox``): nowhere else. A secret may
stand in the file that holds it: nowhere else.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import sqlite3
import traceback
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from pypdf import PdfReader

from bousai_kit import cli
from bousai_kit.errors import BousaiKitError
from bousai_kit.lineworks.auth import Auth
from bousai_kit.lineworks.tokens import Token
from bousai_kit.onboarding.passwords import derive_password
from bousai_kit.roster import read_roster, roster_rows, sample_roster
from bousai_kit.settings import isolated_settings
from bousai_kit.tables import write_csv
from bousai_kit.workbench import Workbench, open_workbench

LAST, FIRST, LAST_KANA, FIRST_KANA = "金糸雀沢", "黄羽子", "カナリアザワ", "キバコ"
PHONE, MAIL, NOTE = "090-5550-4711", "canary.private@example.invalid", "金糸雀の備考"
NAMES = (LAST, FIRST, LAST_KANA, FIRST_KANA, PHONE, PHONE.replace("-", ""), MAIL, NOTE)
SCENARIO = """
title: カナリア訓練
kind: exercise
messages:
  - {id: b01, text: "【訓練】安否を確認します。", buttons: [無事です, 支援が必要]}
deadline_s: 900
"""
PEOPLE = 8


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every access token that the kit obtains."""
    seen: list[str] = []
    ask = Auth.token

    async def token(self: Auth, **how: bool) -> Token:
        found = await ask(self, **how)
        seen.append(found.value)
        return found

    monkeypatch.setattr(Auth, "token", token)
    return seen


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    sample = sample_roster(PEOPLE)
    people = list(sample.people)
    people[3] = dataclasses.replace(
        people[3], last_name=LAST, first_name=FIRST, last_kana=LAST_KANA, first_kana=FIRST_KANA,
        phone=PHONE, private_email=MAIL, note=NOTE,
    )  # fmt: skip
    sample = dataclasses.replace(sample, people=tuple(people))
    folder = tmp_path / "in"
    folder.mkdir()
    write_csv(folder / "roster.csv", *roster_rows(sample))
    (folder / "scenario.yaml").write_text(SCENARIO, encoding="utf-8")
    return folder / "roster.csv"


# -- looking ------------------------------------------------------------------------------------------------


def forms(text: str) -> list[bytes]:
    """As it would look in a file: plain, escaped in JSON, in other encodings."""
    return list(
        dict.fromkeys(
            [
                text.encode(),
                json.dumps(text)[1:-1].encode(),
                text.encode("cp932", "ignore"),
                text.encode("utf-16-le"),
            ]
        )
    )


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what is packed inside them."""
    raw = path.read_bytes()
    yield raw
    if raw[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield archive.read(name)
    if raw[:16] == b"SQLite format 3\0":
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            yield "\n".join(db.iterdump()).encode()
    if raw[:4] == b"%PDF":
        rest = raw
        while b"stream\n" in rest:
            _, _, rest = rest.partition(b"stream\n")
            try:
                yield zlib.decompress(rest.split(b"\nendstream")[0])
            except zlib.error:
                continue


def found_in(folder: Path, *needles: str) -> set[str]:
    """Files below a folder that hold any of the needles."""
    wanted = [form for needle in needles for form in forms(needle) if len(form) > 5]
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and any(form in piece for piece in contents(path) for form in wanted)
    }


def none_of(text: str, *needles: str) -> None:
    for needle in needles:
        for form in (needle, json.dumps(needle)[1:-1]):
            assert form not in text, f"{needle!r} was said"


def key_lines(pem: str) -> list[str]:
    return [line for line in pem.splitlines() if len(line) > 40]


def planted(home: Path, tokens: list[str]) -> dict[str, str]:
    """Secret → the one file of the home that may hold it (``""``: none)."""
    app = json.loads((home / "sandbox" / "app.json").read_text())
    secrets = {str(value): "sandbox/" for name, value in app.items() if "secret" in name.lower()}
    assert secrets
    for line in key_lines((home / "sandbox" / "private_key.pem").read_text()):
        secrets[line] = "sandbox/private_key.pem"
    secrets.update(dict.fromkeys(tokens, ""))
    return secrets


# -- the whole job at the command line ----------------------------------------------------------------------


def test_the_whole_job_at_the_command_line(
    roster: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    caught: list[str],
) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    out.mkdir()
    monkeypatch.setenv("BOUSAI_HOME", str(home))
    monkeypatch.chdir(out)
    caplog.set_level(logging.DEBUG)
    scenario = roster.with_name("scenario.yaml")
    said = ""

    def bousai(*args: str, codes: tuple[int, ...] = (0,)) -> Any:
        nonlocal said
        code = cli.main([*args, "--json"])
        shown, errors = capsys.readouterr()
        said += shown + errors
        assert code in codes, errors
        plain = cli.main(["drill", "list"]) if args[0] == "drill" else 0
        assert plain == 0
        said += "".join(capsys.readouterr())
        return json.loads(shown)

    bousai("onboard", "check", str(roster))
    bousai("onboard", "plan", str(roster), "--out", "plan.json")
    assert bousai("onboard", "apply", "plan.json", "--yes")["done"] > 0
    (secret_file,) = (home / "plans").glob("*.secret")
    plan_secret = secret_file.read_text()
    bousai("onboard", "handouts", "plan.json", "--offline", "--out", "handouts")  # all have logged in
    bousai("onboard", "status")
    asyncio.run(days_pass(home))
    drill = bousai("drill", "run", str(scenario), "--roster", str(roster), "--yes", codes=(0, 1))["drill_id"]
    for command in ("status", "settle", "close"):
        bousai("drill", command, drill, codes=(0, 1))
    bousai("drill", "plan", str(scenario), "--roster", str(roster))
    bousai("latency", "--drill", drill, "--out", "report")
    bousai(
        "logs",
        "pull",
        "message-contents",
        "--since",
        "2027-01-17T00:00:00Z",
        "--until",
        "2027-01-19T00:00:00Z",
    )
    bousai("logs", "pull", "auth", "--since", "2027-01-17T00:00:00Z", "--until", "2027-01-19T00:00:00Z")
    bousai("doctor")
    said += caplog.text
    for record in caplog.records:
        said += repr(record.__dict__)

    assert caught
    none_of(said, *NAMES)
    for secret in planted(home, list(set(caught))):
        none_of(said, secret)

    allowed = ("sandbox/", "drills/", "archive/", "plans/")
    in_home = found_in(home, *NAMES)
    assert {name for name in in_home if not name.startswith(allowed)} == set()
    assert any(name.startswith("drills/") for name in in_home), "the roster copy: the search works"
    assert any(name.startswith("sandbox/") for name in in_home)
    in_out = found_in(out, LAST, FIRST, PHONE, MAIL, NOTE)
    assert {name for name in in_out if not name.startswith(("plan.json", "handouts/"))} == set()
    assert "plan.json" in in_out

    for secret, where in planted(home, list(set(caught))).items():
        assert {n for n in found_in(home, secret) if not (where and n.startswith(where))} == set()
        assert found_in(out, secret) == set()
    # the plan's secret, and what can be derived from it: the passwords stand in the hand-outs alone
    secret = bytes.fromhex(plan_secret)
    plan_id = secret_file.stem
    passwords = [derive_password(secret, plan_id, number) for number in staff_numbers(roster)]
    printed = "".join(page.extract_text() for page in PdfReader(out / "handouts" / "handouts.pdf").pages)
    assert sum(password in printed for password in passwords) == PEOPLE, "the search works"
    none_of(said, plan_secret, *passwords)
    assert found_in(home, plan_secret) == {secret_file.relative_to(home).as_posix()}
    assert found_in(out, plan_secret, *passwords) == set()
    assert {name for name in found_in(home, *passwords) if not name.startswith("sandbox/")} == set()

    if os.name == "posix":  # what may hold them is its owner's alone
        for path in [*home.rglob("*"), *(out / "handouts").rglob("*"), out / "plan.json"]:
            assert path.is_dir() or path.stat().st_mode & 0o077 == 0, path


def staff_numbers(roster: Path) -> list[str]:
    return [person.staff_number for person in read_roster(roster).people]


async def days_pass(home: Path) -> None:
    async with await open_workbench(settings=isolated_settings(home)) as bench:
        await bench.clock.sleep(86400)


# -- the panels: what a notebook would save, and what a page would be sent ----------------------------------


def test_panels_and_widget_state(
    roster: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    caught: list[str],
) -> None:
    from bousai_kit.panels import DrillPanel, LatencyPanel, OnboardingPanel, StartPanel

    home = tmp_path / "home"
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    scenario = roster.with_name("scenario.yaml")
    shown: list[str] = []

    async def show(panel: Any) -> None:
        shown.append(json.dumps(panel._repr_mimebundle_(), ensure_ascii=False, default=str))
        for report in (await panel.run(), await panel.check()):
            assert report.ok, report
            shown.extend([repr(report), report._repr_html_()])
        shown.append(json.dumps(panel._repr_mimebundle_(), ensure_ascii=False, default=str))
        shown.append(repr({name: panel.model.trait_values()[name] for name in panel.model.trait_names()}))
        shown.append(repr(panel.model))

    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(home)) as bench:
            await show(StartPanel(bench))
            await show(OnboardingPanel(bench, roster=roster))
            await show(DrillPanel(bench, scenario=scenario, roster=roster))
            latency = LatencyPanel(bench, out=tmp_path / "out" / "latency")
            await latency.look()
            await show(latency)
            shown.append(repr(bench) + str(vars(bench).keys()) + repr(bench.client) + repr(bench.client.auth))

    asyncio.run(main())
    widgets = list(ipywidgets.Widget._instances.values()) if hasattr(ipywidgets.Widget, "_instances") else []
    widgets = widgets or list(ipywidgets.widgets.widget._instances.values())
    assert len(widgets) > 20
    state = json.dumps([widget.get_state() for widget in widgets], ensure_ascii=False, default=str)
    out, err = capsys.readouterr()
    everything = "\n".join([*shown, state, out, err, caplog.text])
    assert "カナリア訓練" in state, "the search works"
    none_of(everything, *NAMES)
    for secret in planted(home, list(set(caught))):
        none_of(everything, secret)
    (plan_secret,) = [path.read_text() for path in (home / "plans").glob("*.secret")]
    none_of(everything, plan_secret)
    ledger = b"".join(contents(home / "ledger.db"))
    for name in NAMES:
        assert not any(form in ledger for form in forms(name) if len(form) > 5)
    for secret in planted(home, list(set(caught))):
        assert secret.encode() not in ledger


# -- failures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["500", "refuse", "drop", "revoke", "foreign", "429"])
def test_tracebacks_of_failures(kind: str, tmp_path: Path, caught: list[str]) -> None:
    """Every error of a request that carried token, name and text: its whole chain, as Python prints it."""
    from bousai_kit.lineworks.contents import Text
    from bousai_kit.sandbox.faults import Fault, FaultPlan

    shown: list[str] = []
    secrets: list[str] = []

    async def attempt(bench: Workbench) -> None:
        user = {
            "email": "canary@city-demo", "userName": {"lastName": LAST, "firstName": FIRST},
            "userExternalKey": "S99",
            "passwordConfig": {"passwordCreationType": "ADMIN", "password": "Pw-c4nary-77"},
        }  # fmt: skip
        for work in (
            lambda: bench.client.users.create(user),
            lambda: bench.client.messages.to_user(bench.bot_id, "canary@city-demo", Text(f"{LAST}さん")),
        ):
            try:
                await work()
            except BousaiKitError as error:
                shown.extend(traceback.format_exception(error))
                shown.extend([repr(error), error.sentence(), *error._render_traceback_(), repr(vars(error))])

    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            sandbox: Any = bench.sandbox
            made = sandbox.credentials
            secrets.extend([made.client_secret, made.bot_secret, *key_lines(made.private_key_pem)])
            sandbox.faults = FaultPlan([Fault(kind, method="POST")])
            await attempt(bench)

    asyncio.run(main())
    everything = "\n".join(shown)
    assert everything
    none_of(everything, *NAMES, "Pw-c4nary-77", *secrets, *set(caught))
