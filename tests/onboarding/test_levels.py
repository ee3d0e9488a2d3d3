"""Levels (職級) in the plan: matched, created, given, kept, taken back; positions go the same way."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.onboarding import build_plan, load_plan, plan_undo, save_plan
from bousai_kit.onboarding.bodies import build_update
from bousai_kit.onboarding.drift import TenantDrifted
from bousai_kit.onboarding.items import LevelItem
from bousai_kit.onboarding.titles import KINDS, LEVEL, Kind, Title
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.steps import carry_undo_on as undo
from tests.onboarding.onlab import Killed, Killer, apply, city, plan_for, reborn, run
from tests.onboarding.test_plan import DOMAIN, member, only, person, post, roster, view

LEVELS = (Title("l1", "部長級", 1), Title("l2", "7級", 2))


def held(kind: Kind, title_id: str | None) -> tuple[dict[str, Any], ...]:
    """Organizations of somebody with this level, or in this position."""
    return ({**post(), "levelId": title_id},) if kind is LEVEL else (post(position=title_id),)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.field)
def test_a_name_is_found_as_typed_or_in_another_width(kind: Kind) -> None:
    def plan(said: list[str], there: tuple[Title, ...], has: str | None) -> Any:
        rows = (person(n, **{"position": "", kind.field: name}) for n, name in enumerate(said, 1))
        tenant = {"positions": (), kind.plural: there}
        return build_plan(roster(*rows), view(member(1, organizations=held(kind, has)), **tenant))

    def items(made: Any) -> list[tuple[str, str, str]]:
        return [(one.action, one.name, one.id) for one in getattr(made, kind.plural)]

    narrow, wide = Title("n", "7級", 5), Title("w", "７級", 4)
    made = plan(["７級", "7級", "部長"], (narrow,), "n")
    assert items(made) == [("unchanged", "7級", "n"), ("create", "部長", "")]
    assert made.people[0].changes == {}, "what is held is what is named, in another width"
    assert [one.order for one in getattr(made, kind.plural)] == [5, 6]

    made = plan(["７級", "7級", " ７級"], (narrow, wide), "n")
    assert items(made) == [("unchanged", "７級", "w"), ("unchanged", "7級", "n")], "both are there: as typed"
    assert made.people[0].changes == {kind.field: ("7級", "７級")}
    assert any(f"「7級」という{kind.label}が 2 個あります" in note for note in made.notes)

    twins = (Title("b", "7級", 9), Title("a", "7級", 9))
    made = plan(["7級"], twins, "b")
    assert items(made) == [("unchanged", "7級", "a")]
    assert made.people[0].changes == {}, "either of two of one name is held"

    assert items(plan(["７級", "7級"], (), None)) == [("create", "７級", "")], "one, as it is written first"
    assert items(plan(["7級", "７級"], (), None)) == [("create", "7級", "")]


def test_a_blank_level_says_none_where_the_roster_has_any_and_nothing_else_is_lost() -> None:
    there = member(1, organizations=held(LEVEL, "l1"))
    some = build_plan(roster(person(1), person(2, level="７級")), view(there, member(2), levels=LEVELS))
    assert [item.changes for item in some.people] == [{"level": ("部長級", "")}, {"level": ("", "７級")}]
    assert some.people[0].before == {"organizations": [{**post(), "levelId": "l1"} | _clean(post())]}
    assert any("職級が空欄の 1 名は、いまの職級を外します" in note for note in some.notes)
    assert some.as_json()["levels"] == {"create": 0, "unchanged": 1}
    assert only(person(1), there, levels=LEVELS).action == "unchanged", (
        "no level in the roster: none is touched"
    )
    assert only(person(1, level="部長級"), there, levels=LEVELS).action == "unchanged"
    off = build_plan(roster(person(1, level="局長級")), view(there, levels=None))
    assert (off.levels, off.people[0].action) == ((), "unchanged")
    assert "このテナントでは職級の機能が無効のため、職級は登録しません。" in off.notes


def _clean(entry: dict[str, Any]) -> dict[str, Any]:
    seats = [{name: seat[name] for name in seat if name != "orgUnitName"} for seat in entry["orgUnits"]]
    return {"orgUnits": seats}


def test_the_level_goes_to_this_tenant_s_organization_and_everything_else_stays() -> None:
    other = {
        "domainId": DOMAIN + 1,
        "primary": False,
        "levelId": "theirs",
        "email": "a1@other",
        "orgUnits": [{"orgUnitId": "x", "primary": True, "positionId": "px", "isManager": True}],
    }
    second = {"orgUnitId": "u9", "primary": False, "positionId": "p2", "visible": False}
    own = {**post(), "levelId": "l1"}
    own["orgUnits"].append(second)
    there = member(organizations=(other, own))
    item = only(person(level="７級"), there, levels=LEVELS)
    assert item.changes == {"level": ("部長級", "７級")}
    sent = {"domain_id": DOMAIN, "unit_id": "u1", "position_id": "p1"}
    body = build_update(item, there, level_id="l2", **sent)
    assert body == {"organizations": [other, {**own, "levelId": "l2"} | _clean(own)]}
    nowhere = member(organizations=({"domainId": DOMAIN, "primary": True, "levelId": None, "orgUnits": []},))
    alone = replace(item, changes={"level": ("", "７級")})
    body = build_update(alone, nowhere, level_id="l2", **sent)
    assert body["organizations"][0] == {"domainId": DOMAIN, "primary": True, "levelId": "l2", "orgUnits": []}


def test_levels_stand_in_the_file_of_a_plan(tmp_path: Path) -> None:
    with_levels = build_plan(roster(person(level="局長級")), view(levels=LEVELS))
    assert with_levels.levels == (LevelItem("create", "局長級", 3),)
    path = save_plan(with_levels, tmp_path / "levels.json")
    assert load_plan(path) == with_levels
    said = json.loads(path.read_text("utf-8"))
    assert said["levels"] == [{"action": "create", "name": "局長級", "order": 3, "executive": False}]
    assert (said["summary"]["levels"], said["labels"]["level"]) == ({"create": 1, "unchanged": 0}, "職級")


# -- on a tenant ------------------------------------------------------------------------------------------


def graded(*levels: str) -> Any:
    """A city with a level in some rows, in the order given."""
    small = city(6, 1)
    people = tuple(replace(one, level=level) for one, level in zip(small.people, levels, strict=True))
    return replace(small, people=people, sha256=f"graded-{levels}")


def levels_of(bench: Any) -> list[str]:
    """Of the six, by the sandbox's books; "" for none."""
    tenant = bench.sandbox.tenant
    there = {
        row["userExternalKey"]: row["organizations"][0]["levelId"] for row in tenant.table("users").values()
    }
    names = {level_id: row["levelName"] for level_id, row in tenant.table("levels").items()}
    return [names.get(there.get(one.staff_number) or "", "") for one in city(6, 1).people]


async def make(bench: Any, name: str) -> str:
    body = {"domainId": bench.domain_id, "levelName": name, "displayOrder": 7, "executive": True}
    return str((await bench.client.levels.create(body))["levelId"])


def test_some_rows_have_one_and_it_is_taken_back_where_nobody_else_has_it(home: Path) -> None:
    async def work(bench: Any) -> None:
        await make(bench, "７級")
        first = graded("部長級", "7級", "", "7級", "", "局長級")
        plan = await plan_for(bench, first)
        assert plan.as_json()["levels"] == {"create": 2, "unchanged": 1}
        assert (await apply(bench, plan)).complete
        assert levels_of(bench) == ["部長級", "７級", "", "７級", "", "局長級"]
        made = {row["levelName"]: row for row in bench.sandbox.tenant.table("levels").values()}
        assert {name: (row["displayOrder"], row["executive"]) for name, row in made.items()} == {
            "７級": (7, True),
            "部長級": (8, False),
            "局長級": (9, False),
        }
        assert (await plan_for(bench, first)).nothing_to_do
        second = await plan_for(bench, graded("", "8級", "", "7級", "部長級", "局長級"))
        assert [dict(item.changes) for item in second.of("update")] == [
            {"level": ("部長級", "")},
            {"level": ("７級", "8級")},
            {"level": ("", "部長級")},
        ]
        assert (await apply(bench, second)).complete
        assert levels_of(bench) == ["", "8級", "", "７級", "部長級", "局長級"]
        users = bench.sandbox.tenant.table("users").values()
        last = next(one for one in users if one["userExternalKey"] == first.people[2].staff_number)
        companies = [{**one, "levelId": made["局長級"]["levelId"]} for one in last["organizations"]]
        await bench.client.users.patch(last["userId"], {"organizations": companies})
        result = await undo(bench, second.plan_id)
        assert (result.failed, result.impossible, result.left) == ((), (), 0)
        assert levels_of(bench) == ["部長級", "７級", "局長級", "７級", "", "局長級"]
        assert "8級" not in {row["levelName"] for row in bench.sandbox.tenant.table("levels").values()}
        boss = next(one for one in users if one["isAdministrator"])
        companies = [{**one, "levelId": made["部長級"]["levelId"]} for one in boss["organizations"]]
        await bench.client.users.patch(boss["userId"], {"organizations": companies})
        result = await undo(bench, plan.plan_id)
        assert [one["subject"] for one in result.impossible] == ["職級 部長級"]
        assert {row["levelName"] for row in bench.sandbox.tenant.table("levels").values()} == {
            "部長級",
            "７級",
        }

    run(home, work)


@pytest.mark.parametrize("what", ["renamed", "swapped", "off", "made", "given"])
def test_a_level_that_another_hand_touched_is_drift(home: Path, what: str) -> None:
    async def work(bench: Any) -> None:
        client = bench.client
        one, two = await make(bench, "部長級"), await make(bench, "課長級")
        roster = graded("部長級", "", "", "", "", "")
        assert (await apply(bench, await plan_for(bench, roster))).complete
        plan = await plan_for(bench, graded("部長級", "", "部長級", "局長級", "", ""))
        if what == "renamed":
            await client.levels.patch(one, {"levelName": "改めた級"})
        elif what == "swapped":  # the name is there, and means another level
            for level, name in ((one, "入れ替え中"), (two, "部長級"), (one, "課長級")):
                await client.levels.patch(level, {"levelName": name})
        elif what == "off":
            await client.levels.disable()
        elif what == "made":
            await make(bench, "局長級")
        else:
            user = (await client.users.get(f"externalKey:{roster.people[1].staff_number}"))["userId"]
            row = bench.sandbox.tenant.table("users")[user]
            await client.users.patch(user, {"organizations": [{**row["organizations"][0], "levelId": two}]})
        with pytest.raises(TenantDrifted, match="職員番号" if what == "given" else "職級"):
            await apply(bench, plan)

    run(home, work)


def test_levels_that_go_off_while_it_is_carried_out_fail_by_name_and_come_later(home: Path) -> None:
    async def work(bench: Any) -> None:
        roster = graded("部長級", "", "", "", "", "7級")
        plan = await plan_for(bench, roster)

        def tell(_done: int, _total: int, text: str) -> None:
            if text.startswith("職級 0/"):
                bench.sandbox.tenant.set(f"enabled:levels:{bench.domain_id}", False)

        result = await apply(bench, plan, tell=tell)
        said = [one["reason"] for one in result.failed if one["staff_number"]]
        assert said == ["職級「部長級」がまだ登録されていません。", "職級「7級」がまだ登録されていません。"]
        text = result.rejects.read_text("utf-8-sig")
        assert "職級" in text.splitlines()[0].split(",")
        assert "部長級" in text
        assert (await plan_for(bench, roster)).levels == ()
        bench.sandbox.tenant.set(f"enabled:levels:{bench.domain_id}", True)  # in the console
        result = await apply(bench, plan)
        assert result.complete, result.as_json()
        assert levels_of(bench) == ["部長級", "", "", "", "", "7級"]

    run(home, work)


@pytest.mark.parametrize("after", [False, True])
def test_a_level_whose_creation_is_unknown_is_settled_by_its_name(home: Path, *, after: bool) -> None:
    """The answer is lost, and the process is killed before it can look: the next one looks."""

    async def work(bench: Any) -> None:
        roster = graded("部長級", "", "", "", "", "7級")
        plan = await plan_for(bench, roster)
        bench.sandbox.faults = FaultPlan([Fault("drop" if after else "500", on="levels.create", after=after)])
        Killer(bench, 26)
        with contextlib.suppress(Killed):
            await apply(bench, plan)
        await reborn(bench)
        bench.sandbox.faults = FaultPlan()
        assert (await apply(bench, plan)).complete
        rows = bench.sandbox.tenant.table("levels").values()
        assert sorted(row["levelName"] for row in rows) == ["7級", "部長級"]
        assert levels_of(bench) == ["部長級", "", "", "", "", "7級"]
        assert (await undo(bench, plan.plan_id)).failed == ()
        assert not bench.sandbox.tenant.table("levels")

    run(home, work)


def test_what_was_renamed_or_is_hidden_since_is_left_and_named(home: Path) -> None:
    async def work(bench: Any) -> None:
        plan = await plan_for(bench, graded("部長級", "", "", "", "", "7級"))
        assert (await apply(bench, plan)).complete
        levels = {row["levelName"]: level for level, row in bench.sandbox.tenant.table("levels").items()}
        await bench.client.levels.patch(levels["7級"], {"levelName": "改めた級"})
        given: dict[str, Any] = {"client": bench.client, "ledger": bench.ledger, "home": bench.home}
        preview = await plan_undo(plan.plan_id, **given, domain_id=bench.domain_id)
        assert preview.levels == [levels["部長級"]]
        assert [one["subject"] for one in preview.impossible] == ["職級 7級"]
        await bench.client.levels.disable()
        preview = await plan_undo(plan.plan_id, **given, domain_id=bench.domain_id)
        assert (preview.levels, len(preview.delete)) == ([], 6)
        assert [one["subject"] for one in preview.impossible] == ["職級 部長級", "職級 7級"]
        assert all("職級の機能が無効" in one["reason"] for one in preview.impossible)

    run(home, work)
