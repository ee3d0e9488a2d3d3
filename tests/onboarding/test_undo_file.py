"""An undo as a plan of its own: written, read by a second person, refused when it no longer fits."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.errors import ConfigError, GuardError, InputError
from bousai_kit.ledger import Ledger
from bousai_kit.onboarding import carry_undo, plan_undo
from bousai_kit.onboarding.plan_file import load_plan, save_plan
from bousai_kit.onboarding.undo_drift import UndoDrifted
from bousai_kit.onboarding.undo_file import load_undo, save_undo
from bousai_kit.onboarding.undo_items import KINDS
from bousai_kit.onboarding.undo_list import list_applied
from bousai_kit.onboarding.undo_review import undo_rows, undo_sheets, write_undo_review
from bousai_kit.sandbox.directory_state import first_login
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.steps import apply_on
from bousai_kit.tables import read_table
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import Killed, Killer, city, new_home, plan_for, reborn, run
from tests.onboarding.test_properties import groups, snapshot, user_of
from tests.onboarding.undolab import OLD_PHONE, carried, eventful, given, names_in, planned

Work = Callable[[Workbench], Awaitable[None]]


@pytest.fixture(scope="module")
def applied(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """A home in which something of every kind is left to take back; copied by each test."""
    home = new_home(founded, tmp_path_factory.mktemp("applied") / "home")
    found: list[Any] = []

    async def work(bench: Workbench) -> None:
        plan, before, _ = await eventful(bench)
        found.extend((plan.plan_id, before))

    run(home, work)
    return home, found[0], found[1]


@pytest.fixture
def there(applied: tuple[Path, str, dict[str, Any]], tmp_path: Path) -> tuple[Path, str, dict[str, Any]]:
    home, plan_id, before = applied
    shutil.copytree(home, tmp_path / "there")
    return tmp_path / "there", plan_id, before


def kept(home: Path, plan_id: str) -> Any:
    return load_plan(home / "plans" / f"{plan_id}.json")


def said_of(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {key.partition(" ")[0] for key in {*before, *after} if before.get(key) != after.get(key)}


def test_written_read_and_carried_out(there: Any, tmp_path: Path) -> None:
    home, plan_id, before = there
    path = tmp_path / "undo.json"

    async def work(bench: Workbench) -> None:
        plan = kept(home, plan_id)
        requests = bench.client.stats.requests
        made = await planned(bench, plan)
        assert all(getattr(made, name) for name, *_ in KINDS), "something of every kind"
        assert save_undo(made, path).stat().st_mode & 0o077 == 0
        loaded = load_undo(path)
        assert loaded == made
        assert not loaded.before
        text = path.read_text()
        assert not [name for name in names_in(plan) if name in text]
        # the second person
        book = write_undo_review(loaded, plan, tmp_path / "undo.xlsx")
        assert book.stat().st_mode & 0o077 == 0
        sheets = undo_sheets(loaded, plan)
        assert next(iter(sheets)) == "取り消せないもの"
        people = [list(map(str, row)) for row in sheets["人"][1]]
        assert ["改姓" in row[4] and row[3] for row in people if row[3] == "姓"] == ["姓"]
        assert OLD_PHONE in [row[5] for row in people]
        assert {row[0] for row in people} == {"削除", "一時停止", "一時停止を解除", "元に戻す"}
        assert all(row[2] for row in people), "each with a name"
        shown = " ".join(" ".join(row) for row in undo_rows(loaded, plan))
        assert not [name for name in names_in(plan) if name in shown]
        assert "携帯電話（登録前のとおり）" in shown
        without = undo_sheets(loaded, None)
        assert {row[2] for row in without["人"][1]} == {""}
        # nothing has happened yet; then it does, as it was said
        assert (await list_applied(bench.ledger, home=home, domain_id=bench.domain_id))[0].state == "applied"
        began = bench.client.stats.requests
        result = await carried(bench, loaded)
        assert (result.failed, result.left, result.undone) == ((), 0, len(made.steps()))
        assert bench.client.stats.requests - began <= made.calls + 2
        assert result.impossible == tuple(made.impossible)
        assert began - requests < 12
        after = snapshot(bench)
        left = {key for key in {*before, *after} if before.get(key) != after.get(key)}
        numbers = {str(after[key].get("userExternalKey")) for key in left if key.startswith("users ")}
        named = {one["subject"] for one in result.impossible}
        assert {f"職員番号 {one}" for one in numbers} <= named
        assert {key.partition(" ")[0] for key in left} == {"users"}, "all else is as before"
        again = await carried(bench, loaded)
        assert (again.undone, again.skipped) == (0, result.undone)
        assert (await list_applied(bench.ledger, home=home, domain_id=bench.domain_id))[0].state == "undone"
        with pytest.raises(GuardError, match="取り消されています"):
            await apply_on(bench, plan)
        with pytest.raises(GuardError, match="取り消しを取り消す"):
            await plan_undo(made.undo_id, **given(bench))

    run(home, work)
    assert read_table(tmp_path / "undo.xlsx").rows


def test_who_has_no_room_any_more_is_said(there: Any) -> None:
    home, plan_id, _ = there

    async def work(bench: Workbench) -> None:
        made = await planned(bench, kept(home, plan_id))
        rooms = [one for one in made.impossible if one["subject"].startswith("ルーム ")]
        assert rooms
        assert all("Bot のトークルームがなくなり" in one["reason"] for one in rooms)
        assert "取り消せないもの" in made.sentences()[0]

    run(home, work)


async def logs_in(bench: Workbench, plan: Any) -> bool:
    new = next(one for one in plan.creates if user_of(bench, one.person.staff_number)["isPending"])  # type: ignore[index]
    return first_login(bench.sandbox, str(user_of(bench, new.person.staff_number)["userId"]))  # type: ignore[arg-type, index]


async def regrouped(bench: Workbench, plan: Any) -> None:
    made = next(one for one in plan.groups if one.action == "create")
    await bench.client.groups.add_member(groups(bench)[made.key]["groupId"], plan.suspend[0].user_id)


async def let_in(bench: Workbench, plan: Any) -> None:
    await bench.client.users.unsuspend(plan.suspend[0].user_id)


async def renamed(bench: Workbench, plan: Any) -> None:
    item = next(one for one in plan.of("update") if "last_name" in one.changes)
    await bench.client.users.patch(item.user_id, {"userName": {"lastName": "三度目", "firstName": "名"}})


async def moved_on(bench: Workbench, plan: Any) -> None:
    unit = next(one for one in plan.units if "name" in one.changes)
    await bench.client.orgunits.patch(
        unit.unit_id, {"domainId": bench.domain_id, "orgUnitName": "三度目の名"}
    )


async def gone(bench: Workbench, plan: Any) -> None:
    await bench.client.users.delete(plan.of("update")[0].user_id)


async def nickname(bench: Workbench, plan: Any) -> None:
    await bench.client.users.patch(plan.people[0].user_id, {"nickName": "あだ名"})


async def stranger(bench: Workbench, plan: Any) -> None:
    names = {"lastName": "部外", "firstName": "者"}
    body = {"domainId": bench.domain_id, "email": "stranger@city-demo", "userName": names}
    secret = {"passwordCreationType": "ADMIN", "password": "Kx7mTq9rbz"}
    await bench.client.users.create({**body, "passwordConfig": secret})


@pytest.mark.parametrize("what", [logs_in, regrouped, let_in, renamed, moved_on, gone])
def test_refused_when_another_hand_was_at_it(there: Any, what: Any, tmp_path: Path) -> None:
    home, plan_id, _ = there

    async def work(bench: Workbench) -> None:
        plan = kept(home, plan_id)
        path = save_undo(await planned(bench, plan), tmp_path / "undo.json")
        for harmless in (nickname, stranger):
            await harmless(bench, plan)
        await what(bench, plan)
        before, events = snapshot(bench), await bench.ledger.head()
        with pytest.raises(UndoDrifted) as caught:
            await carried(bench, load_undo(path))
        assert plan_id in caught.value.hint
        assert (snapshot(bench), await bench.ledger.head()) == (before, events)
        result = await carried(bench, await planned(bench, plan))  # planned anew it goes
        assert (result.failed, result.left) == ((), 0)

    run(home, work)


def test_what_is_of_no_concern_is_not_refused(there: Any, tmp_path: Path) -> None:
    home, plan_id, _ = there

    async def work(bench: Workbench) -> None:
        plan = kept(home, plan_id)
        path = save_undo(await planned(bench, plan), tmp_path / "undo.json")
        for harmless in (nickname, stranger):
            await harmless(bench, plan)
        assert (await carried(bench, load_undo(path))).complete

    run(home, work)


def test_killed_after_the_effect_of_every_kind_of_step(there: Any, applied: Any, tmp_path: Path) -> None:
    """One life after the other, each ended before an outcome is written; then the same file in peace."""
    home, plan_id, _ = there
    path = tmp_path / "undo.json"
    shutil.copytree(applied[0], tmp_path / "peaceful")
    wanted: list[dict[str, Any]] = []

    async def peaceful(bench: Workbench) -> None:
        assert (await carried(bench, await planned(bench, kept(home, plan_id)))).complete
        wanted.append(snapshot(bench))

    async def killed(bench: Workbench) -> None:
        save_undo(await planned(bench, kept(home, plan_id)), path)
        kills = 0
        for kind in sorted((kind for _, kind, *_ in KINDS), key=in_turn):
            now = await planned(bench, kept(home, plan_id))
            if not any(step.startswith(f"{kind}:") for step in now.steps()):
                continue  # took effect when another kind was killed
            die_at(bench, kind)
            with pytest.raises(Killed):
                await carried(bench, load_undo(path))
            kills += 1
            await reborn(bench)
        assert kills > 8
        result = await carried(bench, load_undo(path))
        assert result.complete, result.as_json()
        assert snapshot(bench) == wanted[0]
        assert (await planned(bench, kept(home, plan_id))).nothing_to_do
        kinds = ("undo.step.done", "undo.step.settled_done")
        ends = await bench.ledger.read(stream=f"apply:{plan_id}", kinds=kinds)
        assert len({event.subject for event in ends}) == len(ends), "none twice"
        assert {event.subject for event in ends} <= load_undo(path).steps().keys()

    run(tmp_path / "peaceful", peaceful)
    run(home, killed)


def in_turn(kind: str) -> int:
    """As the kinds are carried out."""
    return ("room", "group", "user", "orgunit", "level", "position").index(kind.partition(".")[0])


def die_at(bench: Workbench, kind: str) -> None:
    """The process is gone with the effect done and no outcome written, at the first such step."""
    killer = Killer(bench)
    append = bench.ledger.append_many

    async def append_many(events: Any, *rest: Any, **more: Any) -> Any:
        if any(one.kind.startswith("undo.step.") and one.subject.startswith(f"{kind}:") for one in events):
            killer.dead = True
        return await append(events, *rest, **more)

    bench.ledger.append_many = append_many  # type: ignore[method-assign]


@pytest.mark.parametrize("seconds", [0.0, 1200.0, -3600.0])
def test_two_at_once_and_a_wrong_clock(
    there: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    home, plan_id, _ = there

    async def work(bench: Workbench) -> None:
        path = save_undo(await planned(bench, kept(home, plan_id)), tmp_path / "undo.json")
        bench.sandbox.latency_s = 0.3  # type: ignore[union-attr]
        bench.sandbox.faults = FaultPlan([Fault("drop", method="DELETE", probability=0.3)], seed=3)  # type: ignore[union-attr]
        other = await Ledger.open(bench.settings.ledger_url, clock=bench.clock)

        def tell(done: int, total: int, text: str) -> None:
            if done == 5 and seconds > 0:
                bench.clock.advance(seconds)  # type: ignore[attr-defined]
            elif done == 5 and seconds:
                now = bench.clock.now
                monkeypatch.setattr(bench.clock, "now", lambda: now() + timedelta(seconds=seconds))

        try:
            results = await asyncio.gather(
                carried(bench, load_undo(path), tell=tell),
                carry_undo(load_undo(path), clock=bench.clock, **(given(bench) | {"ledger": other})),
            )
        finally:
            await other.close()
        assert [one.failed for one in results] == [(), ()]
        steps, times = load_undo(path).steps().keys(), sum(one.undone for one in results)
        assert times == len(steps) or (seconds > 0 and times > len(steps)), "one takes the other for dead"
        kinds = ("undo.step.done", "undo.step.settled_done")
        ends = await bench.ledger.read(stream=f"apply:{plan_id}", kinds=kinds)
        assert {event.subject for event in ends} == steps
        assert (await carried(bench, load_undo(path))).undone == 0
        assert (await planned(bench, kept(home, plan_id))).nothing_to_do

    run(home, work)


def test_no_other_file_home_or_tenant(there: Any, founded: Path, tmp_path: Path) -> None:
    home, plan_id, _ = there
    path = tmp_path / "undo.json"

    async def work(bench: Workbench) -> None:
        made = await planned(bench, kept(home, plan_id))
        text = save_undo(made, path).read_text()
        document = json.loads(text)
        for bad in ("", text[: len(text) // 2], "[1]", '{"format": "bousai-onboarding-undo/1"}', "\ud800"):
            path.write_text(bad, "utf-8", "surrogatepass")
            with pytest.raises(InputError):
                load_undo(path)
        path.write_text(json.dumps({**document, "delete": []}))
        with pytest.raises(InputError, match="書き換えられています"):
            load_undo(path)
        save_undo(made, path)
        # one who mends the digest as well gets nothing done that would not be planned
        made.delete.clear()
        with pytest.raises(UndoDrifted):
            await carried(bench, load_undo(save_undo(made, tmp_path / "forged.json")))
        plan = kept(home, plan_id)
        other = replace(plan, notes=("別の計画",))
        save_plan(other, home / "plans" / f"{plan_id}.json")
        with pytest.raises(GuardError, match="内容が違います"):
            await carried(bench, load_undo(path))
        save_plan(plan, home / "plans" / f"{plan_id}.json")
        with pytest.raises(GuardError, match="別のテナント"):
            await carry_undo(
                load_undo(path), clock=bench.clock, **(given(bench) | {"domain_id": bench.domain_id + 1})
            )

    run(home, work)

    async def elsewhere(bench: Workbench) -> None:
        loaded = load_undo(path)
        here = given(bench) | {"domain_id": loaded.domain_id}
        with pytest.raises(ConfigError, match="別のフォルダ"):
            await carry_undo(loaded, clock=bench.clock, **here)

    run(new_home(founded, tmp_path / "other"), elsewhere)


def test_an_apply_that_went_on_after_the_undo_was_planned(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        before = snapshot(bench)
        plan = await plan_for(bench, city(6, 2))
        stop = asyncio.Event()

        def tell(done: int, total: int, text: str) -> None:
            if text.startswith("グループ"):
                stop.set()

        assert (await apply_on(bench, plan, stop=stop, tell=tell)).left
        half = await planned(bench, plan)
        assert half.delete
        assert (await apply_on(bench, plan)).complete
        with pytest.raises(UndoDrifted):
            await carried(bench, half)
        stop.clear()

        def later(done: int, total: int, text: str) -> None:
            if done == 3:
                stop.set()

        whole = await planned(bench, plan)
        assert (await carried(bench, whole, stop=stop, tell=later)).left
        with pytest.raises(GuardError, match="取り消されています"):
            await apply_on(bench, plan)
        assert (await carried(bench, whole)).complete
        assert snapshot(bench) == before

    run(home, work)


def test_what_was_applied_again_since_is_left(home: Path) -> None:
    """An undo is not undone by itself: a new plan brings everything back, and only its own undo takes it."""

    async def work(bench: Workbench) -> None:
        roster = city(6, 2)
        first = await plan_for(bench, roster)
        assert (await apply_on(bench, first)).complete
        assert (await carried(bench, await planned(bench, first))).complete
        before = snapshot(bench)
        await bench.clock.sleep(660)
        second = await plan_for(bench, roster)
        assert (await apply_on(bench, second)).complete
        again = await planned(bench, first)
        assert (again.delete, again.steps()) == ([], {})
        assert "取り消した後に登録し直されたもの 6 件" in {one["subject"] for one in again.impossible}
        assert (await carried(bench, await planned(bench, second))).complete
        assert snapshot(bench) == before

    run(home, work)


def test_whoever_begins_while_the_undo_runs_is_not_deleted(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city(6, 2))
        assert (await apply_on(bench, plan)).complete
        made = await planned(bench, plan)
        number = plan.creates[-1].person.staff_number
        user_id = str(user_of(bench, number)["userId"])  # type: ignore[index]

        def tell(done: int, total: int, text: str) -> None:
            if text.startswith("グループ") and user_of(bench, number)["isPending"]:  # type: ignore[index]
                first_login(bench.sandbox, user_id)  # type: ignore[arg-type]
                bench.clock.advance(120)  # type: ignore[attr-defined]

        result = await carried(bench, made, tell=tell)
        assert [one["staff_number"] for one in result.failed][:1] == [number]
        assert "利用を始めた" in result.failed[0]["reason"]
        assert (await list_applied(bench.ledger, home=home, domain_id=bench.domain_id))[0].state == "failed"
        assert user_of(bench, number) is not None
        again = await carried(bench, await planned(bench, plan))
        assert again.complete
        assert user_of(bench, number)["isSuspended"]  # type: ignore[index]

    run(home, work)
