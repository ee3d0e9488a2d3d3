"""The console's bulk files: everybody in exactly one, nothing that it refuses, and no doubt hidden."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.cli import main
from bousai_kit.cli.onboard import _apply_text
from bousai_kit.errors import ConfigError, GuardError, InputError, PermissionDenied, RosterError
from bousai_kit.onboarding.console import ConsoleFiles, plan_console, see_tenant
from bousai_kit.onboarding.console_files import README, ConsolePasswords, readme_text, write_console
from bousai_kit.onboarding.console_table import (
    COLUMNS_FILE,
    METHODS,
    ConsoleTable,
    load_console_table,
    write_console_table,
)
from bousai_kit.onboarding.passwords import is_strong
from bousai_kit.onboarding.tenant_view import CONSOLE_WAY
from bousai_kit.panels.onboarding import OnboardingPanel
from bousai_kit.panels.onboarding_console import ConsoleFold
from bousai_kit.roster import Person, Roster, RosterUnit, roster_rows, sample_roster
from bousai_kit.steps import apply_on, tenant_on
from bousai_kit.tables import read_table, write_csv
from tests.onboarding.onlab import apply, bench_at, changed, city, plan_for

Run = Callable[..., tuple[int, Any, str]]


@lru_cache(maxsize=1)
def table() -> ConsoleTable:
    return load_console_table()


def files_of(roster: Roster, **options: Any) -> ConsoleFiles:
    return plan_console(roster, table(), **options)


def rows_in(paths: tuple[Path, ...], sheet: str) -> list[dict[str, str]]:
    """What the files say, read again as anybody would."""
    found = []
    for path in paths:
        if path.name.startswith(sheet):
            read = read_table(path)
            found += [dict(zip(read.header, row, strict=True)) for row in read.rows]
    return found


def one(number: int, **changes: Any) -> Person:
    given: dict[str, Any] = {
        "row": number + 1,
        "staff_number": f"{number:06d}",
        "last_name": "試験",
        "first_name": "春郎",
        "last_kana": "シケン",
        "login_id": f"shiken{number}@city-demo",
        "orgunit_code": "A",
        "orgunit_name": "甲課",
    }
    return Person(**{**given, **changes})


def some(*changes: dict[str, Any], units: tuple[RosterUnit, ...] = (RosterUnit("A", "甲課"),)) -> Roster:
    people = tuple(one(number, **change) for number, change in enumerate(changes, 1))
    return Roster(people=people, units=units, sha256="x")


def issues_of(roster: Roster, **options: Any) -> list[tuple[int, str, str]]:
    with pytest.raises(RosterError) as caught:
        files_of(roster, **options)
    assert all(issue.severity == "error" for issue in caught.value.issues)
    assert all(issue.problem.endswith("。") for issue in caught.value.issues)
    assert caught.value.exit_code == 2
    return [(issue.row, issue.column, issue.problem) for issue in caught.value.issues]


# -- the files --------------------------------------------------------------------------------------


@given(
    people=st.integers(0, 320),
    method=st.sampled_from(sorted(METHODS)),
    kind=st.sampled_from(["xlsx", "csv"]),
    name=st.text(st.sampled_from("試験髙﨑𠮷\ufa19葛\U000e0100Az!@&()-_+[]{},./ "), min_size=1, max_size=6)
    .filter(str.strip)
    .map(str.strip),
    phone=st.sampled_from(["", "+81-90-0000-0000", "090-0000-0000", "00"]),
)
@settings(max_examples=25, deadline=None)
def test_everybody_stands_in_exactly_one_file_as_the_roster_has_them(
    people: int, method: str, kind: str, name: str, phone: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    roster = some(
        *({"last_name": name, "phone": phone, "private_email": "a@example.jp"} for _ in range(people))
    )
    out = tmp_path_factory.mktemp("console") / "out"
    made = files_of(roster, method=method, password_of="Pw-{}".format)
    paths = write_console(made, out, kind=kind)
    for path in paths:
        if path.name.startswith("2_"):
            assert 1 <= len(read_table(path).rows) <= 100
    found = rows_in(paths, "2_")
    assert [row["社員番号"] for row in found] == [person.staff_number for person in roster.people]
    for row, person in zip(found, roster.people, strict=True):
        assert row["姓"] == person.last_name
        assert row["ID"] + "@city-demo" == person.login_id
        assert (row["携帯番号"], row["組織"], row["姓（フリガナ）"]) == (phone, "甲課", "シケン")
        assert row.get("パスワード", "") == (f"Pw-{person.staff_number}" if method == "admin" else "")
        assert row.get("個人メールアドレス", "") == ("a@example.jp" if method == "member" else "")
    assert [number for file in made.members for number in file.staff_numbers] == [
        person.staff_number for person in roster.people
    ]
    assert {path.name for path in out.iterdir()} == {path.name for path in paths}


def test_what_the_console_calls_required_comes_with_every_method() -> None:
    for method, wanted in (
        ("auto", {"姓", "名", "ID"}),
        ("admin", {"姓", "名", "ID", "パスワード"}),
        ("member", {"姓", "名", "ID", "個人メールアドレス"}),
    ):
        required = {column.header for column in table().templates[method] if column.required}
        assert required == wanted
    assert not table().confirmed


def test_units_come_parents_first_and_in_files_of_a_thousand(tmp_path: Path) -> None:
    units = [RosterUnit("T", "本庁")] + [RosterUnit(f"U{n}", f"第{n}課", "T", n) for n in range(1, 2001)]
    paths = write_console(files_of(some({"orgunit_code": "U1"}, units=tuple(units))), tmp_path / "out")
    assert [path.stem for path in paths[:3]] == ["1_組織_01", "1_組織_02", "1_組織_03"]
    assert [len(read_table(path).rows) for path in paths[:3]] == [1000, 1000, 1]
    rows = rows_in(paths, "1_")
    assert (rows[0]["組織名"], rows[0]["上位組織"]) == ("本庁", "")
    assert {row["上位組織"] for row in rows[1:]} == {"本庁"}
    text = (tmp_path / "out" / README).read_text("utf-8-sig")
    assert "Free プランの組織は 100 までです" in text


def test_the_steps_say_order_words_and_doubt(tmp_path: Path) -> None:
    made = files_of(sample_roster(200))
    paths = write_console(made, tmp_path / "out")
    raw = (tmp_path / "out" / README).read_bytes()
    text = raw.decode("utf-8-sig")
    assert raw.startswith(b"\xef\xbb\xbf")
    assert raw.count(b"\r\n") == raw.count(b"\n")
    assert text.index("【未確認】") < text.index("取り込む順序")
    steps = text[text.index("取り込む順序") :]
    order = ["組織一括追加", "「役職」", "メンバー一括追加", "「自動作成」", "「完了」画面", "30 日以内"]
    places = [steps.index(word) for word in order]
    assert places == sorted(places)
    assert all(path.name in text for path in paths[:-1])
    for title in made.table.guesses("auto", "orgunits"):
        assert title in text
    assert "すでに登録されている人を除いていません" in text
    confirmed = replace(made, table=replace(made.table, confirmed=True))
    assert "未確認" not in readme_text(confirmed, [path.name for path in paths[:-1]])


def test_nothing_is_readable_for_others_and_old_files_go(tmp_path: Path) -> None:
    out = tmp_path / "out"
    many = write_console(files_of(some(*[{}] * 201)), out)
    assert [path.stat().st_mode & 0o077 for path in many] == [0] * len(many)
    assert out.stat().st_mode & 0o077 == 0
    few = write_console(files_of(some({})), out, kind="csv")
    assert {path.name for path in out.iterdir()} == {path.name for path in few}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (out / "大事.docx").write_bytes(b"x")
    with pytest.raises(InputError, match="ほかのファイル"):
        write_console(files_of(some({})), out)
    assert (out / "大事.docx").read_bytes() == b"x"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="フォルダーではありません"):
        write_console(files_of(some({})), tmp_path / "file")


def test_a_name_that_looks_like_ours_in_a_foreign_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "1_組織_01.xlsx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"手順\.txt のない"):
        write_console(files_of(some({})), tmp_path)
    assert (tmp_path / "1_組織_01.xlsx").read_bytes() == b"x"


def test_a_run_that_was_ended_anywhere_is_made_good_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old files, an empty folder, none at all; ended before the n-th file is in its place."""
    many, few = files_of(some(*[{}] * 101)), files_of(some({}))
    real = os.replace
    for begin in ("old", "empty", "none"):
        for at in range(1, 8):
            out = tmp_path / f"{begin}{at}" / "out"
            if begin == "old":
                write_console(many, out)
            elif begin == "empty":
                out.mkdir(parents=True)
            count = 0

            def dying(source: Any, target: Any, at: int = at) -> None:
                nonlocal count
                count += 1
                if count == at:
                    raise KeyboardInterrupt
                real(source, target)

            with monkeypatch.context() as patched:
                patched.setattr(os, "replace", dying)
                try:
                    write_console(few, out)
                except KeyboardInterrupt:
                    there = {path.name for path in out.iterdir()} if out.exists() else set()
                    assert not [name for name in there if name.endswith("_002.xlsx")] or len(there) == 4
            paths = write_console(few, out)
            assert {path.name for path in out.iterdir()} == {path.name for path in paths}
            assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="空き容量がありません"):
            write_console(files_of(some({})), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    paths = write_console(files_of(some({})), Path())
    assert all(path.is_file() for path in paths)


# -- what the console refuses -----------------------------------------------------------------------


@pytest.mark.parametrize("symbol", "#'^~`")
def test_symbols_that_the_api_takes_and_the_console_does_not(symbol: str) -> None:
    [(row, column, problem)] = issues_of(some({}, {"first_name": f"春{symbol}郎"}))
    assert (row, column) == (3, "名")
    assert f"「{symbol}」" in problem


@pytest.mark.parametrize("symbol", "!@&()-_+[]{},./")
def test_symbols_that_the_console_takes(symbol: str) -> None:
    assert files_of(some({"last_name": f"試{symbol}験"})).people == 1


def test_all_problems_at_once() -> None:
    found = issues_of(
        some(
            {"private_email": "a@example.jp"},
            {"last_name": "O'Neill"},
            {"login_id": "shiken1@other", "private_email": "b@example.jp"},
            {"login_id": "shiken9@city-demo", "last_name": "~"},
        ),
        method="member",
    )
    assert [(row, column) for row, column, _ in found] == [
        (3, "姓"),
        (3, "私用メール"),
        (4, "ログインID"),
        (5, "姓"),
        (5, "私用メール"),
    ]
    assert "「個人メールアドレス」" in found[1][2]


def test_an_id_loses_its_domain_and_must_differ_without_it() -> None:
    [(row, column, problem)] = issues_of(some({}, {}, {"login_id": "shiken1@elsewhere"}))
    assert (row, column) == (4, "ログインID")
    assert "@elsewhere" in problem
    assert "@city-demo" in problem


def test_the_same_name_twice_at_the_last_level() -> None:
    units = (
        RosterUnit("N", "北区役所"),
        RosterUnit("W", "西区役所"),
        RosterUnit("N1", "総務課", "N"),
        RosterUnit("W1", "総務課 ", "W"),
        RosterUnit("W2", "北区役所", "W"),
    )
    [(_, column, problem)] = issues_of(some({"orgunit_code": "N1"}, units=units))
    assert (column, "W1" in problem, "N1" in problem) == (
        "組織名",
        True,
        True,
    )  # 北区役所 is not at the last level


@pytest.mark.parametrize(("levels", "fine"), [(15, True), (16, False)])
def test_fifteen_levels(levels: int, fine: bool) -> None:
    units = tuple(RosterUnit(f"L{n}", f"第{n}層", f"L{n - 1}" if n > 1 else "") for n in range(1, levels + 1))
    roster = some({"orgunit_code": "L1"}, units=units)
    if fine:
        assert len(files_of(roster).orgunits[0].rows) == 15
    else:
        assert "16 段目" in issues_of(roster)[0][2]


def test_a_roster_with_errors_makes_no_file(tmp_path: Path) -> None:
    from bousai_kit.errors import Issue

    wrong = replace(some({}), issues=(Issue(2, "名", "error", "必須の値が空です。"),))
    with pytest.raises(RosterError, match="1 件の誤り"):
        files_of(wrong)


# -- the table --------------------------------------------------------------------------------------


def test_the_city_edits_its_own_copy(tmp_path: Path) -> None:
    path = write_console_table(tmp_path)
    with pytest.raises(GuardError, match="上書きしません"):
        write_console_table(tmp_path)
    text = path.read_text("utf-8").replace("confirmed: false", "confirmed: true")
    text = text.replace("{header: 携帯番号, value: phone, guess: true}", "{header: 言語, text: 日本語}")
    path.write_text(text.replace("header: ID,", "header: 'ID*',"), "utf-8")
    own = load_console_table(tmp_path)
    assert own.confirmed
    [file] = plan_console(some({}), own).members
    assert "ID*" in file.header
    assert dict(zip(file.header, file.rows[0], strict=True))["言語"] == "日本語"
    assert "携帯番号" not in file.header


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("value: last_kana", "value: lastkana", "「lastkana」は使えません"),
        ("confirmed: false", "confirmed: maybe", "confirmed"),
        ("{header: ID, value: id, required: true}", "{value: id}", "header がありません"),
        ("header: 名,", "header: 姓,", "2 つあります"),
        ("value: id,", "value: blank,", "value: id の列がありません"),
        ("value: phone", "value: password", "password の列を置けません"),
        ("auto:", "autos:", "auto の列がありません"),
        ("compare:", "\tcompare: [", "読み取れません"),
    ],
)
def test_a_table_that_means_nothing_says_where(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = write_console_table(tmp_path)
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(ConfigError, match=COLUMNS_FILE) as caught:
        load_console_table(tmp_path)
    assert said in str(caught.value)


# -- passwords --------------------------------------------------------------------------------------


def test_passwords_stay_the_same_until_their_secret_ends(tmp_path: Path) -> None:
    first = ConsolePasswords(tmp_path)
    assert not (tmp_path / "plans").exists()  # none is made before one is needed
    said = [first(number) for number in ("1", "2")]
    assert len(set(said)) == 2
    assert all(map(is_strong, said))
    assert [ConsolePasswords(tmp_path)(number) for number in ("1", "2")] == said
    assert said[0] not in repr(first)
    assert first.destroy()
    assert not first.destroy()
    assert ConsolePasswords(tmp_path)("1") != said[0]


# -- a tenant ---------------------------------------------------------------------------------------


def set_plan(bench: Any, plan: str) -> None:
    bench.sandbox.limits.plan = plan


def test_who_is_there_already_stands_in_no_file(home: Path) -> None:
    roster = city(12, 4)
    half = replace(roster, people=roster.people[:6], sha256="half")
    there = roster.people[0]
    mended = changed(roster, there.staff_number, first_name="改名")
    taken = changed(mended, roster.people[7].staff_number, login_id=roster.people[2].login_id)

    async def work() -> tuple[ConsoleFiles, ConsoleFiles]:
        async with await bench_at(home) as bench:
            await apply(bench, await plan_for(bench, half))
            set_plan(bench, "free")
            view = await see_tenant(bench.client, domain_id=bench.domain_id)
            assert view is not None
            return files_of(taken, view=view), files_of(half, view=view)

    made, nothing = asyncio.run(work())
    numbers = [number for file in made.members for number in file.staff_numbers]
    assert numbers == [person.staff_number for person in roster.people[6:] if person is not roster.people[7]]
    out = {one.staff_number: one.reason for one in made.left_out}
    assert len(out) == 7
    assert [sum(one.as_it_should_be for one in files.left_out) for files in (made, nothing)] == [5, 6]
    assert "名）は、管理者画面で直してください" in out[there.staff_number]
    assert (
        "別の人" in out[roster.people[7].staff_number] or "別の職員番号" in out[roster.people[7].staff_number]
    )
    assert made.orgunits == ()
    assert not any("除いていません" in note for note in made.notes)
    assert (nothing.people, nothing.members) == (0, ())
    assert "取り込むものはありません" in readme_text(nothing, [])


# -- the command ------------------------------------------------------------------------------------


@pytest.fixture
def run(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, Any, str]:
        code = main(["onboard", "console", *words, "--json", "--home", str(home)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, json.loads(out), err

    return run


@pytest.fixture
def roster(tmp_path: Path) -> str:
    path = tmp_path / "名簿 1.csv"
    write_csv(path, *roster_rows(city(8, 2)))
    return str(path)


def test_the_command(run: Run, roster: str, home: Path) -> None:
    code, said, err = run(roster, "--out", "out")
    assert (code, said["people"], said["passwords"], said["holds_passwords"]) == (0, 8, "auto", False)
    assert [Path(one).name for one in said["files"]] == [
        "1_組織_01.xlsx",
        "2_メンバー_自動作成_001.xlsx",
        README,
    ]
    assert (said["confirmed"], said["left_out"], said["notes"]) == (False, [], [])
    assert not (home / "plans" / "console.secret").exists()
    assert "パスワード" not in err


def test_admin_passwords_are_said_loudly_and_ended(run: Run, roster: str, home: Path) -> None:
    code, said, err = run(roster, "--passwords", "admin", "--out", "out", "--no-tenant")
    assert (code, said["holds_passwords"]) == (0, True)
    assert "【重要】" in err
    assert len(said["notes"]) == 1
    secret = home / "plans" / "console.secret"
    assert os.stat(secret).st_mode & 0o077 == 0
    rows = rows_in(tuple(Path(one) for one in said["files"]), "2_")
    passwords = ConsolePasswords(home)
    assert [row["パスワード"] for row in rows] == [passwords(row["社員番号"]) for row in rows]
    assert not any(row["パスワード"] in err + json.dumps(said) for row in rows)
    assert run("--destroy")[1]["destroyed"] is True
    assert not secret.exists()


def test_wrong_use_is_exit_2(run: Run, roster: str, home: Path) -> None:
    code, said, _ = run(roster, "--out", "out", "--passwords", "member")
    assert (code, said["files"], len(said["issues"])) == (2, [], 8)  # nobody has a private address
    assert {one["column"] for one in said["issues"]} == {"私用メール"}
    assert not Path("out").exists()
    assert run(roster, "--out", "out", "--passwords", "none")[0] == 2
    assert run(roster, "--out", "out", "--format", "xls")[0] == 2
    assert run(roster)[0] == 2
    assert run("--out", "out")[0] == 2
    assert run("none.csv", "--out", "out")[0] == 2
    assert run("--write-columns")[1]["columns"] == str(home / COLUMNS_FILE)
    assert run("--write-columns")[0] == 3


def test_without_any_setting_of_a_tenant_it_works_too(
    roster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A city on a Free plan may have no app in the Developer Console at all."""
    monkeypatch.chdir(tmp_path)
    words = ["onboard", "console", roster, "--out", "out", "--profile", "city", "--home", str(tmp_path / "h")]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "テナントを読めませんでした" in err
    assert "8 名分のファイル" in out
    assert "除いていません" in out


# -- where the API is refused -----------------------------------------------------------------------


def test_plan_and_apply_name_this_way_when_the_plan_is_free(
    home: Path,
) -> None:
    async def work() -> None:
        async with await bench_at(home) as bench:
            set_plan(bench, "free")
            plan = await plan_for(bench, city(8, 2))
            assert any(CONSOLE_WAY in note for note in plan.notes)
            result = await apply_on(bench, plan)
            assert result.refused
            assert result.created == 0
            assert CONSOLE_WAY in _apply_text(result)

    asyncio.run(work())


def test_a_refused_reading_names_this_way(home: Path) -> None:
    async def work() -> None:
        async with await bench_at(home) as bench:
            bench.sandbox.tenant.set("app_scopes", ["bot", "orgunit", "group"])  # type: ignore[union-attr]
            assert await see_tenant(bench.client, domain_id=bench.domain_id) is None
            with pytest.raises(PermissionDenied) as caught:
                await tenant_on(bench)
            assert CONSOLE_WAY in caught.value.sentence()

    asyncio.run(work())


def test_an_apply_that_nobody_refuses_does_not_speak_of_it(home: Path) -> None:
    async def work() -> None:
        async with await bench_at(home) as bench:
            plan = await plan_for(bench, city(8, 2))
            assert not any(CONSOLE_WAY in note for note in plan.notes)
            result = await apply_on(bench, plan)
            assert not result.refused
            assert CONSOLE_WAY not in _apply_text(result)

    asyncio.run(work())


def test_the_panel_opens_this_way_when_it_is_needed(home: Path, roster: str) -> None:
    async def work() -> None:
        async with await bench_at(home) as bench:
            panel = OnboardingPanel(bench, roster=roster)
            model: Any = panel.model
            fold = next(one for one in _inside(panel.view) if isinstance(one, ConsoleFold))
            await model.start("check", model.check_roster)
            await model.start("plan", model.make_plan)
            assert (model.refused, fold.layout.display) == (False, "none")
            set_plan(bench, "free")
            await model.start("plan", model.make_plan)
            assert (model.refused, fold.layout.display) == (True, "flex")
            fold.method.value = "admin"
            fold.make.click()
            while model.busy or not model.console_files:
                await asyncio.sleep(0)
                assert not model.problem
            assert [Path(one).name for one in model.console_files] == [
                "1_組織_01.xlsx",
                "2_メンバー_管理者が作成_001.xlsx",
                README,
            ]
            assert "【未確認】" in fold.made.value
            assert "【重要】" in fold.made.value
            fold.method.value = "member"
            assert model.console_files == []
            with pytest.raises(RosterError):
                await model.start("console", model.make_console_files)
            assert "個人メールアドレス" in model.problem
            assert fold.made.value.count("個人メールアドレス") == 8

    asyncio.run(work())


def _inside(widget: Any) -> list[Any]:
    return [widget, *(inner for child in getattr(widget, "children", ()) for inner in _inside(child))]
