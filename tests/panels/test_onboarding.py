"""The guided path of 10_onboarding, by its model and by its buttons; no kernel, no browser."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.errors import GuardError, InputError
from bousai_kit.panels import OnboardingPanel
from bousai_kit.panels.onboarding import OnboardingModel
from bousai_kit.roster import roster_rows
from bousai_kit.tables import write_csv
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import bench_at, city, tenant_problems, without


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    path = tmp_path / "名簿.csv"
    write_csv(path, *roster_rows(city(10, 2)))
    return path


def run(home: Path, work: Any) -> None:
    async def main() -> None:
        async with await bench_at(home) as bench:
            await work(bench)

    asyncio.run(main())


async def settled(panel: OnboardingPanel) -> None:
    """Until no job runs any more."""
    await asyncio.sleep(0)
    jobs = list(panel.model._jobs.values())
    await asyncio.gather(*jobs, return_exceptions=True)
    await asyncio.sleep(0)


def test_unattended_it_goes_the_whole_way(home: Path, roster: Path) -> None:
    async def work(bench: Workbench) -> None:
        panel = OnboardingPanel(bench, roster=roster)
        report = await panel.check()
        assert report.ok, report
        model = panel.model
        assert model.problem == ""
        assert model.result.complete
        assert model.status.created == 10
        assert model.status.login_rate >= 0.9
        assert len(model.handouts) == 1
        assert "20_drill" in model.next_step
        assert tenant_problems(bench, city(10, 2)) == []
        again = OnboardingPanel(bench, roster=roster)  # the cell runs once more
        assert again.model is model
        before = bench.client.stats.requests
        assert (await again.check()).ok
        assert bench.client.stats.requests - before < 20

    run(home, work)


def test_button_by_button(home: Path, roster: Path) -> None:
    async def work(bench: Workbench) -> None:
        panel = OnboardingPanel(bench, roster=roster)
        model, view = panel.model, panel.view
        assert view.plan.disabled
        assert view.apply.disabled
        assert "名簿を確認する" in model.next_step
        view.check.click()
        await settled(panel)
        assert "10 名" in view.checked.value
        assert "計画を作る" in model.next_step
        view.plan.click()
        await settled(panel)
        assert view.apply.disabled
        assert "新規" in view.counts.value
        view.apply.click()  # a disabled button still clicks: the model guards
        await settled(panel)
        assert "計画を確認しました" in model.problem
        assert model.result is None
        view.pages.click()  # too early: something is said, and what to press
        view.look.click()
        await settled(panel)
        assert "先に「登録を実行する」" in view.files.value
        assert "アカウントがまだありません" in view.activation.stuck.value
        view.agree.value = True
        assert model.confirmed
        assert not view.apply.disabled
        told: list[str] = []
        model.observe(lambda change: told.append(change["new"]), "next_step")
        view.apply.click()
        view.apply.click()
        await settled(panel)
        assert [step[:8] for step in told[:1]] == ["登録しています。"]  # while it runs
        assert model.result.created == 10
        assert model.problem == ""
        assert "配付資料を作る" in model.next_step  # what was seen of the logins before is true no more
        assert [view.status.value, view.activation.stuck.value, view.activation.curve.value] == [""] * 3
        view.pages.click()
        await settled(panel)
        assert "片面" in view.files.value
        assert [made.path.name for made in view.handing.papers.made] == ["handouts.pdf"]
        view.look.click()
        await settled(panel)
        assert "ログイン率" in view.status.value
        view.end.click()  # nobody has said that the slips were given out
        await settled(panel)
        assert "印刷し直せません" in model.problem
        assert list((bench.home / "plans").glob("*.secret"))
        view.given.value = True
        view.end.click()
        await settled(panel)
        assert not list((bench.home / "plans").glob("*.secret"))
        view.pages.click()
        await settled(panel)
        assert "管理画面でパスワードを再設定" in view.files.value
        model.roster_path = str(roster.with_name("ない.csv"))
        view.check.click()
        await settled(panel)
        assert model.next_step.startswith("名簿を読めません。")
        assert view.mending.layout.display == "none"  # there is nothing to mend
        assert model.status is None
        await model_of_a_new_kernel(bench, roster)

    run(home, work)


async def model_of_a_new_kernel(bench: Workbench, roster: Path) -> None:
    """It begins with the sample's roster again, and offers the one that was in use."""
    model = OnboardingModel(bench, roster="../roster/sample_roster.csv", orgunits="sample_orgunits.csv")
    model.find_earlier()  # unattended it does not look by itself
    model.refresh()
    assert f"前回の名簿（{roster.name}）" in model.next_step
    model.use_earlier()
    assert (model.roster_path, model.orgunits_path, model.earlier) == (str(roster), "", ())
    assert "「名簿を確認する」" in model.next_step


def test_an_edit_withdraws_plan_and_confirmation(home: Path, roster: Path) -> None:
    async def work(bench: Workbench) -> None:
        model = OnboardingPanel(bench, roster=roster).model
        with pytest.raises(GuardError):
            model.confirm()
        await model.check_roster()
        await model.make_plan()
        model.confirm()
        assert model.blockers == []
        model.leavers = "suspend"
        assert (model.plan, model.confirmed) == (None, False)
        await model.make_plan()
        model.confirm()
        model.roster_path = str(roster.with_name("x.csv"))
        assert (model.checked, model.plan, model.confirmed) == (None, None, False)
        with pytest.raises(GuardError):
            await model.apply()

    run(home, work)


def test_real_people_need_a_typed_word(home: Path, roster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(bench: Workbench) -> None:
        monkeypatch.setattr(type(bench), "in_sandbox", property(lambda self: False))
        panel = OnboardingPanel(bench, roster=roster)
        model, view = panel.model, panel.view
        assert view.word in view.children
        await model.check_roster()
        await model.make_plan()
        view.agree.value = True
        assert not view.agree.value
        assert "「登録」" in model.problem
        view.word.value = "登録"
        view.agree.value = True
        assert model.confirmed
        view.word.value = "登"
        assert not model.confirmed

    run(home, work)


def test_stop_and_go_on_even_in_another_kernel(home: Path, roster: Path) -> None:
    async def first(bench: Workbench) -> None:
        model = OnboardingPanel(bench, roster=roster).model
        await model.check_roster()
        await model.make_plan()
        model.confirm()

        def stop(change: Any) -> None:
            if model.progress_text.startswith("メンバー") and not model.stopping:
                model.stop()

        model.min_interval_s = 0  # type: ignore[misc]
        model.observe(stop, "progress_done")
        await model.start("apply", model.apply)
        assert model.result.left > 0
        assert "停止しました" in model.problem
        assert "残りだけを続けます" in model.next_step

    async def second(bench: Workbench) -> None:
        model = OnboardingPanel(bench, roster=roster).model
        await model.check_roster()
        plan = await model.make_plan()
        streams = await bench.ledger.streams("apply:")
        assert streams == [f"apply:{plan.plan_id}"]  # the same plan, so that every slip comes from one secret
        model.confirm()
        await model.start("apply", model.apply)
        assert model.result.complete
        assert tenant_problems(bench, city(10, 2), plan=plan) == []

    run(home, first)
    run(home, second)


def test_an_interrupted_apply_that_no_longer_fits_gives_way_to_a_new_plan(home: Path, roster: Path) -> None:
    async def work(bench: Workbench) -> None:
        model = OnboardingPanel(bench, roster=roster).model
        await model.check_roster()
        old = await model.make_plan()
        model.confirm()
        model.observe(lambda _: None if model.stopping else model.stop(), "progress_done")
        model.min_interval_s = 0  # type: ignore[misc]
        await model.start("apply", model.apply)
        assert model.result.left > 0
        model.unobserve_all("progress_done")
        person = city(10, 2).people[-1]
        await bench.client.users.create(
            {
                "domainId": bench.domain_id,
                "email": person.login_id,
                "userName": {"lastName": person.last_name, "firstName": person.first_name},
                "passwordConfig": {"passwordCreationType": "ADMIN", "password": "Kx7mTq9rbz"},
            }
        )
        new = await model.make_plan()
        assert new.plan_id != old.plan_id
        model.confirm()
        await model.start("apply", model.apply)
        assert model.result.complete
        assert tenant_problems(bench, city(10, 2)) == []

    run(home, work)


def test_a_roster_with_errors_stops_at_the_check(home: Path, tmp_path: Path) -> None:
    async def work(bench: Workbench) -> None:
        path = tmp_path / "bad.csv"
        header, rows = roster_rows(city(10, 2))
        write_csv(path, header, [*rows, rows[0]])
        panel = OnboardingPanel(bench, roster=path)
        report = await panel.check()
        assert not report.ok
        assert panel.model.plan is None
        assert "誤り" in panel.view.checked.value
        assert "直して" in panel.model.next_step

    run(home, work)


def test_uploads_are_private_and_no_path(home: Path, roster: Path) -> None:
    content = roster.read_bytes().decode("utf-8-sig").encode("cp932")

    async def work(bench: Workbench) -> None:
        panel = OnboardingPanel(bench)
        model = panel.model
        path = model.take_upload("../../名簿 令和９年.csv", content)
        assert path.parent == bench.home / "uploads"
        assert path.stat().st_mode & 0o077 == 0
        assert (await model.check_roster()).ok
        with pytest.raises(InputError):
            model.take_upload("x.exe", b"")
        file = {"type": "", "size": 0, "last_modified": bench.clock.now()}
        panel.view.upload.value = ({"name": "y.pdf", "content": memoryview(b""), **file},)
        assert "CSV" in model.problem
        panel.view.upload.value = ({"name": "z.csv", "content": memoryview(content), **file},)
        assert model.roster_path.endswith("z.csv")
        assert panel.view.upload.value == ()  # no roster stays in a widget
        units = "コード,名称,親コード\r\nA00,市長室,\r\n".encode("cp932")
        panel.view.units_upload.value = ({"name": "z.csv", "content": memoryview(units), **file},)
        assert model.problem == ""
        kept = {Path(model.orgunits_path): units, Path(model.roster_path): content}  # of the same name
        assert {one.parent.name for one in kept} == {"uploads", "units"}
        for one, there in kept.items():
            assert one.read_bytes() == there
            assert (one.stat().st_mode | one.parent.stat().st_mode) & 0o077 == 0
        assert panel.view.units_upload.value == ()

    run(home, work)


def test_files_come_when_somebody_presses(home: Path, roster: Path) -> None:
    sent: list[tuple[dict[str, Any], list[bytes]]] = []

    async def work(bench: Workbench) -> None:
        panel = OnboardingPanel(bench, roster=roster)
        model, view = panel.model, panel.view
        await model.check_roster()
        await model.make_plan()
        model.confirm()
        await model.apply()
        await model.make_review()
        await model.make_handouts()
        await model.make_reminders()
        await model.make_console_files()
        from ipywidgets.widgets.widget import _instances

        from bousai_kit.panels import files

        shelves = [one for one in _instances.values() if isinstance(one, files.Downloads) and one.made]
        made = {one.made[0].saved_as: one for one in shelves}
        reminders = next(name for name in made if name.startswith("声掛け一覧_"))
        review = f"計画の確認_{model.plan.plan_id}.xlsx"
        assert set(made) == {"配付資料.pdf", "管理者画面用_auto.zip", reminders, review}
        for name, shelf in made.items():
            shelf.send = lambda message, buffers=(): sent.append((message, list(buffers)))  # type: ignore[method-assign]
            shelf._handle_custom_msg({"do": "hello"}, [])
            assert [one["name"] for one in sent.pop()[0]["files"]] == [name]
            for wrong in (1, -1, None, "0"):
                shelf._handle_custom_msg({"do": "download", "file": wrong, "name": name}, [])
            assert sent == []
            ask = {"do": "download", "file": 0, "name": name, "of": 7}
            shelf._handle_custom_msg(ask, [])
            assert {(one["name"], one["of"], one["kind"]) for one, _ in sent} == {(name, 7, "file")}
            assert [one["more"] for one, _ in sent] == [True] * (len(sent) - 1) + [False]
            content = b"".join(piece for _, pieces in sent for piece in pieces)
            assert content[:2] in (b"%P", b"PK")
            assert content == shelf.made[0].read() or name.endswith("zip")
            assert len(str(shelf.get_state())) < 12_000  # the program, and nothing of a file
            assert name not in str(shelf.get_state())
            sent.clear()
        view.handing.papers.made[0].path.unlink()
        view.handing.papers._handle_custom_msg({"do": "download", "file": 0, "name": "配付資料.pdf"}, [])
        assert "もう一度作ってください" in sent[-1][0]["text"]
        files.send_file(view.handing.papers, "大.pdf", bytes(files.PIECE + 1), {"of": 1})
        assert [len(pieces[0]) for _, pieces in sent[-2:]] == [files.PIECE, 1]

    run(home, work)


def test_neither_name_nor_password_reaches_a_widget(home: Path, roster: Path) -> None:
    async def work(bench: Workbench) -> None:
        panel = OnboardingPanel(bench, roster=roster)
        await panel.check()
        path = roster.with_name("fewer.csv")
        write_csv(path, *roster_rows(without(city(10, 2), city(10, 2).people[0].staff_number)))
        panel.model.roster_path = str(path)
        panel.model.leavers = "suspend"
        panel.model.max_leavers = 5
        await panel.model.check_roster()
        await panel.model.make_plan()
        from ipywidgets import Widget
        from ipywidgets.widgets.widget import _instances

        shown = [str(one.get_state()) for one in list(_instances.values()) if isinstance(one, Widget)]
        shown += [panel.model.as_html(), repr(panel.report()), panel.report()._repr_html_()]
        assert len(shown) > 10
        for person in city(10, 2).people:
            assert not any(person.first_name in text for text in shown)
            assert not any(person.login_id in text for text in shown)

    run(home, work)


def test_rooms_are_a_choice_of_the_plan(home: Path, roster: Path) -> None:
    async def work(bench: Workbench) -> None:
        panel = OnboardingPanel(bench, roster=roster)
        model, view = panel.model, panel.view
        await model.check_roster()
        assert (await model.make_plan()).rooms == ()  # ten people are told one by one
        view.rooms.value = "always"
        assert model.plan is None  # another choice, another plan
        plan = await model.make_plan()
        assert plan.rooms
        assert "トークルーム" in view.counts.value
        model.confirm()
        model.stop_event.set()  # stopped before the first step: begun, and not at its end
        await model.apply()
        model.stop_event.clear()
        view.rooms.value = "auto"
        assert (await model.make_plan()).plan_id == plan.plan_id  # gone on with
        view.rooms.value = "never"
        other = await model.make_plan()
        assert other.plan_id != plan.plan_id
        assert other.rooms == ()

    run(home, work)


def test_the_samples_units_go_with_the_samples_roster_only(home: Path, roster: Path) -> None:
    content = roster.read_bytes()

    async def work(bench: Workbench) -> None:
        units = "../roster/sample_orgunits.csv"
        panel = OnboardingPanel(bench, roster="../roster/sample_roster.csv", orgunits=units)
        model, view = panel.model, panel.view
        assert model.orgunits_path == units
        model.roster_path = "../roster/sample_roster_修正_20270401-0900.csv"
        assert (model.orgunits_path, model.orgunits_note) == (units, "")
        model.take_upload("名簿_令和9年度.csv", content)
        assert model.orgunits_path == ""
        assert "見本の組織のファイルは外しました" in view.units_note.value
        await model.check_roster()
        plan = await model.make_plan()
        assert len(plan.units) < 20
        model.orgunits_path = "市の組織.csv"
        model.roster_path = str(roster)
        assert model.orgunits_path == "市の組織.csv"

    run(home, work)
