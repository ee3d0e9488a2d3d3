"""Hand-outs of a plan, and the end of its secret."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.doctor import examine
from bousai_kit.errors import ConfigError, GuardError, InputError
from bousai_kit.onboarding import destroy_secret, handouts_for_plan, onboarding_status, prepare_plan
from bousai_kit.onboarding import slips as module
from bousai_kit.onboarding.items import Plan
from bousai_kit.onboarding.passwords import PlanSecret, derive_password
from bousai_kit.onboarding.tenant_view import see_member
from bousai_kit.sandbox.directory_state import first_login
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import apply, changed, city, plan_for, run, without
from tests.onboarding.papers import read_page


def test_a_page_for_everybody_who_got_an_account(home: Path, tmp_path: Path) -> None:
    from pypdf import PdfReader

    async def work(bench: Workbench) -> None:
        roster = city()
        bad = roster.people[2].staff_number
        plan = prepare_plan(
            await plan_for(bench, changed(roster, bad, login_id="admin@city-demo")), bench.home
        )
        await apply(bench, plan)
        out = tmp_path / "配付"
        written = await handouts_for_plan(
            plan, ledger=bench.ledger, clock=bench.clock, home=bench.home, out=out
        )
        assert written.handouts.pages == 11
        assert written.not_created == 1
        (path,) = written.handouts.files
        assert os.stat(path).st_mode & 0o077 == 0
        pages = [read_page(page) for page in PdfReader(path).pages]
        assert len(pages) == 11
        person = plan.people[0].person
        secret = PlanSecret(bench.home, plan.plan_id).read()
        assert person.login_id in pages[0]
        assert derive_password(secret, plan.plan_id, person.staff_number) in pages[0].replace("\n", "")

    run(home, work)


def test_the_secret_ends_when_nothing_is_open(home: Path, tmp_path: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = prepare_plan(await plan_for(bench, city()), bench.home)
        given: dict[str, Any] = {"ledger": bench.ledger, "home": bench.home}
        with pytest.raises(GuardError) as refused:  # not applied yet
            await destroy_secret(plan, **given)
        assert refused.value.exit_code == 3
        assert bench.sandbox is not None
        rules = [Fault("500", on="users.create", nth=(3, 4)), Fault("503", on="users.get")]
        bench.sandbox.faults = FaultPlan(rules)
        result = await apply(bench, plan)
        assert result.unknown
        with pytest.raises(GuardError):
            await destroy_secret(plan, **given)
        assert PlanSecret(bench.home, plan.plan_id).exists
        bench.sandbox.faults = FaultPlan()
        assert (await apply(bench, plan)).complete
        assert await destroy_secret(plan, **given) is True
        assert await destroy_secret(plan, **given) is False
        assert not list((bench.home / "plans").glob("*.secret"))
        assert not list((bench.home / "plans").glob("*.ending"))
        with pytest.raises(ConfigError):
            await handouts_for_plan(plan, clock=bench.clock, **given, out=tmp_path / "out")
        assert (await apply(bench, plan)).complete  # nothing is left, so nothing needs it

    run(home, work)


def test_an_end_that_was_killed_is_finished_by_the_next(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = prepare_plan(await plan_for(bench, city(4, 1)), bench.home)
        await apply(bench, plan)
        secret = PlanSecret(bench.home, plan.plan_id)
        os.replace(secret.path, secret.path.with_suffix(".ending"))  # as a kill leaves it
        assert await destroy_secret(plan, ledger=bench.ledger, home=bench.home) is True
        assert not secret.left_over

    run(home, work)


def test_a_create_that_begins_while_the_secret_ends_is_not_sent(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city(4, 1)
        plan = prepare_plan(await plan_for(bench, roster), bench.home)
        PlanSecret(bench.home, plan.plan_id).ensure()
        with PlanSecret(bench.home, plan.plan_id).ending():
            pass
        before = len(bench.sandbox.tenant.table("users"))  # type: ignore[union-attr]
        await bench.ledger.append(f"apply:{plan.plan_id}", "secret.ended")
        with pytest.raises(ConfigError):
            await apply(bench, plan)
        assert len(bench.sandbox.tenant.table("users")) == before  # type: ignore[union-attr]

    run(home, work)


def test_open_means_neither_done_nor_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        bad = roster.people[2].staff_number
        plan = prepare_plan(
            await plan_for(bench, changed(roster, bad, login_id="admin@city-demo")), bench.home
        )
        await apply(bench, plan)
        journal = module.Journal(bench.ledger, plan.plan_id)
        await journal.refresh()
        assert module.open_creates(plan, journal) == []  # the refused row keeps nobody waiting

        async def meanwhile(_: Plan, journal: module.Journal) -> set[str]:
            body = {"attempt": 2, "run": "another"}
            await bench.ledger.append(journal.stream, "step.intended", f"user.create:{bad}", body)
            return set()

        with monkeypatch.context() as patched:  # another process tries the refused row again just now
            patched.setattr(module, "_later", meanwhile)
            with pytest.raises(GuardError):
                await destroy_secret(plan, ledger=bench.ledger, home=bench.home)
        assert PlanSecret(bench.home, plan.plan_id).exists
        await bench.ledger.append(journal.stream, "step.failed", f"user.create:{bad}", {"attempt": 2})
        assert await destroy_secret(plan, ledger=bench.ledger, home=bench.home) is True
        with pytest.raises(ConfigError, match="秘密"):
            await apply(bench, plan)  # the refused row cannot get a password any more

    run(home, work)


def test_a_plan_that_a_later_one_has_replaced_lets_its_secret_go(home: Path, tmp_path: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city(4, 1)
        given: dict[str, Any] = {"ledger": bench.ledger, "home": bench.home}
        last = roster.people[-1].staff_number
        await bench.ledger.append("apply:p-before", "apply.person", last, {})  # an earlier one counts nothing
        await bench.clock.sleep(60)
        early = prepare_plan(await plan_for(bench, roster), bench.home)
        await handouts_for_plan(early, clock=bench.clock, **given, out=tmp_path / "out")  # printed too soon
        await bench.clock.sleep(60)
        await apply(bench, prepare_plan(await plan_for(bench, without(roster, last)), bench.home))
        with pytest.raises(GuardError, match="1 名"):  # whom no other apply has taken over
            await destroy_secret(early, **given)
        await apply(bench, prepare_plan(await plan_for(bench, roster), bench.home))
        assert await destroy_secret(early, **given) is True
        assert not PlanSecret(bench.home, early.plan_id).left_over

    run(home, work)


def pages_of(path: Path) -> list[str]:
    from pypdf import PdfReader

    return ["".join(read_page(page).split()) for page in PdfReader(path).pages]


async def members_of(bench: Workbench) -> list[Any]:
    return [see_member(user) async for user in bench.client.users.list()]


def test_pages_go_by_unit_and_each_is_written_down_by_staff_number(home: Path, tmp_path: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city())
        await apply(bench, plan)
        given: dict[str, Any] = {"ledger": bench.ledger, "home": bench.home, "out": tmp_path / "out"}
        written = await handouts_for_plan(plan, clock=bench.clock, **given, covers=True)
        pages = pages_of(written.handouts.files[0])
        units = [unit.code for unit in plan.units]
        wanted = sorted(plan.creates, key=lambda one: units.index(one.person.orgunit_code))
        groups = list(dict.fromkeys(one.person.ward or one.person.bureau for one in wanted))
        wanted.sort(key=lambda one: groups.index(one.person.ward or one.person.bureau))
        assert (written.handouts.pages, written.handouts.covers) == (12, len(groups))
        people = [page for page in pages if "受領簿" not in page]
        assert all(one.person.login_id in page for one, page in zip(wanted, people, strict=True))
        events = await bench.ledger.read(stream=f"apply:{plan.plan_id}", kinds=(module.PRINTED,))
        assert [event.subject for event in events] == [one.person.staff_number for one in wanted]
        assert all(not event.body for event in events)
        one = wanted[3].person.staff_number
        again = await handouts_for_plan(plan, clock=bench.clock, **given, only=[one])
        assert again.handouts.pages == 1
        assert again.handouts.files[0].name == "handouts-again.pdf"
        assert len(pages_of(written.handouts.files[0])) == 12 + len(groups)  # the other file stays
        events = await bench.ledger.read(stream=f"apply:{plan.plan_id}", kinds=(module.PRINTED,))
        assert [event.subject for event in events].count(one) == 2
        with pytest.raises(InputError, match="Z999"):
            await handouts_for_plan(plan, clock=bench.clock, **given, only=[one, "Z999"])

    run(home, work)


def test_who_has_logged_in_or_is_too_late_or_gone_has_no_page_that_misleads(
    home: Path, tmp_path: Path
) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city())
        assert bench.sandbox is not None
        bench.sandbox.choices = replace(bench.sandbox.choices, people_log_in=False)
        await apply(bench, plan)
        users = [one for one in bench.sandbox.tenant.table("users").values() if one["isPending"]]
        first_login(bench.sandbox, users[0]["userId"])
        await bench.client.users.delete(users[1]["userId"])
        given: dict[str, Any] = {"ledger": bench.ledger, "home": bench.home, "out": tmp_path / "out"}
        members = await members_of(bench)
        now = bench.clock.now()
        written = await handouts_for_plan(plan, clock=bench.clock, **given, members=members, now=now)
        assert (written.handouts.pages, written.spent, written.not_created) == (11, 1, 1)
        pages = pages_of(written.handouts.files[0])
        spent = [page for page in pages if "もう使えません" in page]
        assert [users[0]["email"] in page for page in spent] == [True]
        secret = PlanSecret(bench.home, plan.plan_id).read()
        own = derive_password(secret, plan.plan_id, users[0]["userExternalKey"])
        assert not any(own in page for page in pages)
        assert not any(users[1]["email"] in page for page in pages)
        fewer = await handouts_for_plan(
            plan, clock=bench.clock, **given, members=members, now=now, pending_only=True
        )
        assert (fewer.handouts.pages, fewer.spent) == (10, 1)
        late = await handouts_for_plan(
            plan, clock=bench.clock, **given, members=members, now=now + timedelta(days=30)
        )
        assert (late.handouts.pages, len(late.expired)) == (1, 10)  # whoever is in, is in
        assert users[0]["userExternalKey"] not in late.expired
        await onboarding_status(bench.client, bench.ledger, domain_id=bench.domain_id)
        offline = await handouts_for_plan(plan, clock=bench.clock, **given)  # nobody asks the tenant
        assert (offline.spent, offline.checked) == (1, False)
        assert not any(own in page for page in pages_of(offline.handouts.files[0]))

    run(home, work)


def test_whoever_is_invited_has_a_page_only_when_asked_for(home: Path, tmp_path: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        number = roster.people[1].staff_number
        plan = await plan_for(
            bench, changed(roster, number, private_email="home1@mail.example"), passwords="member"
        )
        await apply(bench, plan)
        given: dict[str, Any] = {"ledger": bench.ledger, "home": bench.home, "out": tmp_path / "out"}
        written = await handouts_for_plan(plan, clock=bench.clock, **given)
        assert (written.handouts.pages, written.invited, written.not_created) == (11, 1, 0)
        assert not any(roster.people[1].login_id in page for page in pages_of(written.handouts.files[0]))
        everybody = await handouts_for_plan(plan, clock=bench.clock, **given, with_invited=True)
        assert everybody.handouts.pages == 12
        (own,) = [page for page in pages_of(everybody.handouts.files[0]) if roster.people[1].login_id in page]
        secret = PlanSecret(bench.home, plan.plan_id).read()
        assert derive_password(secret, plan.plan_id, number) not in own
        assert "招待メール" in own

    run(home, work)


def test_files_with_passwords_are_known_wherever_they_were_put(home: Path, tmp_path: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = prepare_plan(await plan_for(bench, city()), bench.home)
        await apply(bench, plan)
        given: dict[str, Any] = {"ledger": bench.ledger, "home": bench.home}
        assert module.handout_files(bench.home) == []
        (waiting,) = await module.waiting_secrets(bench.ledger, bench.home, now=bench.clock.now())
        assert waiting.plan_id == plan.plan_id
        await bench.clock.sleep(86400 * 3)
        (waiting,) = await module.waiting_secrets(bench.ledger, bench.home, now=bench.clock.now())
        assert waiting.age is not None
        assert waiting.age.days == 3
        outside = await handouts_for_plan(plan, clock=bench.clock, **given, out=tmp_path / "usb")
        inside = await handouts_for_plan(
            plan, clock=bench.clock, **given, out=home / "handouts" / plan.plan_id, single=True
        )
        (tmp_path / "usb" / ".handouts.pdf.99.aa.part").write_bytes(b"half")
        (tmp_path / "usb" / "something.pdf").write_bytes(b"of somebody")
        known = module.handout_files(bench.home)
        assert set(known) == {
            *outside.handouts.files,
            *inside.handouts.files,
            tmp_path / "usb" / ".handouts.pdf.99.aa.part",
        }
        found = (await examine(bench)).render_text()
        assert "3 日前" in found
        assert "ほか" not in found
        assert str(outside.handouts.files[0]) in found
        assert await destroy_secret(plan, **given)
        assert await module.waiting_secrets(bench.ledger, bench.home, now=bench.clock.now()) == []
        assert module.handout_files(bench.home, plan.plan_id) == known  # the secret is gone, they are not
        assert "初期パスワードの載った配付資料" in (await examine(bench)).render_text()
        for path in known:
            path.unlink()
        assert "残っている初期パスワードの秘密はありません" in (await examine(bench)).render_text()

    run(home, work)


def test_a_stop_while_writing_leaves_neither_file_nor_event(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city())
        await apply(bench, plan)
        begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
        whole = module.write_handouts

        def slow(*args: Any, progress: Any, **kwargs: Any) -> Any:
            begun.set()
            go_on.wait(30)
            try:
                progress(0, 12)  # the next part
                return whole(*args, progress=progress, **kwargs)
            finally:
                ended.set()

        monkeypatch.setattr(module, "write_handouts", slow)
        given: dict[str, Any] = {"ledger": bench.ledger, "home": bench.home, "out": tmp_path / "out"}
        task = asyncio.create_task(handouts_for_plan(plan, clock=bench.clock, **given))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert await asyncio.to_thread(ended.wait, 30)
        assert not (tmp_path / "out").exists()
        assert not await bench.ledger.read(stream=f"apply:{plan.plan_id}", kinds=(module.PRINTED,))

    run(home, work)
