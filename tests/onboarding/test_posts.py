"""April: posts change hands; the plan shows them, the groups and rooms follow, the deputies are looked at."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.cli.plan_text import plan_text
from bousai_kit.onboarding.plan import build_plan
from bousai_kit.onboarding.plan_file import load_plan, save_plan
from bousai_kit.onboarding.posts import Post, count_posts, deputies_in_doubt, posts_of
from bousai_kit.onboarding.review import review_sheets, write_review
from bousai_kit.onboarding.tenant_view import Group, Unit
from bousai_kit.roster import Person, Roster, RosterUnit, sample_roster
from bousai_kit.steps import apply_on
from bousai_kit.tables import read_table
from tests.onboarding.onlab import bench_at, plan_for, tenant_problems
from tests.onboarding.test_plan import member, person, post, roster, view


def test_handed_over_filled_vacated_and_as_before() -> None:
    tenant = view(
        member(1),
        member(2, organizations=(post("u2", "p2"),)),
        member(3, organizations=(post("u2", "p1"),)),
    )
    people = roster(person(2, position="課長"), person(4, orgunit_code="A2", position="係長"))
    plan = build_plan(people, tenant, leavers="suspend", max_leavers=5)
    seen = {str(one.post): one for one in posts_of(plan)}
    handed = seen["第一課 課長"]
    assert handed.kind == "handed_over"
    assert [one[0] for one in handed.went] == ["S1"]
    assert handed.went[0][2] == "一時停止"
    assert [(one[0], one[2]) for one in handed.came] == [("S2", "第二課 係長から")]
    assert seen["第二課 係長"].kind == "handed_over"
    assert [one[2] for one in seen["第二課 係長"].after] == ["新規"]
    assert seen["第二課 課長"].kind == "vacated"
    assert plan.posts == {"filled": 0, "handed_over": 2, "reduced": 0, "vacated": 1, "unchanged": 0}


def test_where_several_hold_it_who_only_goes_or_only_comes_is_no_handing_over() -> None:
    both = view(member(1), member(2))
    fewer = build_plan(roster(person(1)), both, leavers="suspend", max_leavers=5)
    assert [(one.kind, len(one.went)) for one in posts_of(fewer)] == [("reduced", 1)]
    more = build_plan(roster(person(1), person(2), person(3)), both)
    assert [(one.kind, len(one.came)) for one in posts_of(more)] == [("filled", 1)]
    text = plan_text(fewer, None)
    assert "減員 第一課 課長：職員番号 S2（一時停止） → なし" in text
    assert "着任 第一課 課長：なし → 職員番号 S3（新規）" in plan_text(more, None)


def test_an_old_holder_who_stays_stands_beside_the_new_one_with_the_reason(tmp_path: Path) -> None:
    boss = member(9, administrator=True, organizations=(post("u2", "p2"),))
    tenant = view(
        member(1, pending=True),
        member(2, organizations=(post("u2", "p1"),)),
        member(3, suspended=True),  # last year's: holds nothing any more
        member(4, pending=True, organizations=(post("u2", "p2"),)),
        boss,
        groups=(Group("g", "bousai-all", "防災_全員", frozenset({"id1", "id2"})),),
    )
    people = roster(person(2), person(5, orgunit_code="A2", orgunit_name="第二課", position="係長"))
    plan = build_plan(people, tenant, leavers="suspend")
    assert (plan.suspend, plan.left_alone, [one.user_id for one in plan.stay]) == (
        (),
        5,
        ["id1", "id4", "id9"],
    )
    text = plan_text(plan, None)
    assert (
        "交代 第一課 課長：職員番号 S1（登録待ちのため一時停止できない） → 職員番号 S2（第二課 課長から）"
        in text
    )
    assert (
        "S4（登録待ちのため一時停止できない）、S9（管理者のためそのまま残る） → 職員番号 S5（新規）" in text
    )
    assert "管理画面で削除してください" in text
    assert "別の人を管理者にし" in text
    assert plan.groups[0].remove == ("id1",)
    rows = [row for row in review_sheets(plan)["人"][1] if row[0] == "そのまま"]
    assert [(row[2], row[3]) for row in rows] == [
        ("S1", "試験 太郎1"),
        ("S4", "試験 太郎4"),
        ("S9", "試験 太郎9"),
    ]
    loaded = load_plan(save_plan(plan, tmp_path / "plan.json"))
    assert (loaded.stay, posts_of(loaded)) == (plan.stay, posts_of(plan))

    kept = build_plan(people, tenant)  # nobody is asked to leave: only whose post is taken is named
    assert [(one.user_id, one.reason) for one in kept.stay] == [
        ("id1", "kept"),
        ("id4", "kept"),
        ("id9", "kept"),
    ]
    assert "交代 第一課 課長：職員番号 S1（名簿になく、そのまま残る）" in plan_text(kept, None)
    assert build_plan(roster(person(2, orgunit_code="A2")), tenant).stay == ()
    assert kept.groups[0].remove == ()


def test_a_unit_without_a_code_keeps_the_brackets_of_its_name(tmp_path: Path) -> None:
    units = (Unit("u1", "A1", "第一課"), Unit("u3", "", "調整室（仮）"))
    tenant = view(member(1, organizations=(post("u3"),)), units=units)
    plan = build_plan(roster(person(1), units=(RosterUnit("A1", "第一課"),)), tenant)
    for one in (plan, load_plan(save_plan(plan, tmp_path / "plan.json"))):
        assert [str(change.post) for change in posts_of(one)] == ["第一課 課長", "調整室（仮） 課長"]


def test_units_of_one_name_are_told_apart_and_a_renamed_one_is_the_same() -> None:
    offices = (Unit("u1", "A1", "総務課"), Unit("u2", "A2", "総務課"), Unit("u3", "A3", "旧称（仮）"))
    tenant = view(
        member(1),
        member(2, organizations=(post("u2"),)),
        member(3, organizations=(post("u3"),)),
        units=offices,
    )
    codes = (RosterUnit("A1", "総務課"), RosterUnit("A2", "総務課"), RosterUnit("A3", "新称"))
    people = roster(
        person(1, orgunit_code="A2", orgunit_name="総務課"),
        person(2, orgunit_code="A1", orgunit_name="総務課", deputy_for="S1"),
        person(4, orgunit_code="A3", orgunit_name="新称"),
        units=codes,
    )
    plan = build_plan(people, tenant, leavers="suspend", max_leavers=5)
    seen = {str(one.post): one for one in posts_of(plan)}
    assert {name: one.kind for name, one in seen.items()} == {
        "総務課（A1） 課長": "handed_over",
        "総務課（A2） 課長": "handed_over",
        "新称 課長": "handed_over",
    }
    assert [number for number, _ in deputies_in_doubt(plan)] == ["S2"]


def test_without_positions_in_the_tenant_a_post_is_a_unit() -> None:
    tenant = view(member(1), member(2, organizations=(post("u2"),)), positions=None)
    people = roster(
        person(1, orgunit_code="A2", orgunit_name="第二課", position="係長"), person(2, position="課長")
    )
    assert {str(one.post): one.kind for one in posts_of(build_plan(people, tenant))} == {
        "第二課": "handed_over",
        "第一課": "handed_over",
    }


def test_the_first_plan_fills_and_the_second_changes_nothing() -> None:
    people = roster(person(1), person(2, position="係長"))
    counts = build_plan(people, view()).posts
    assert counts == {"filled": 2, "handed_over": 0, "reduced": 0, "vacated": 0, "unchanged": 0}
    tenant = view(member(1), member(2, organizations=(post("u1", "p2"),)))
    assert build_plan(people, tenant).posts["unchanged"] == 2


def test_deputies_of_who_leaves_moves_or_is_not_there_are_named() -> None:
    tenant = view(*(member(number) for number in range(1, 8)))
    people = roster(
        person(2, orgunit_code="A2"),
        person(3, deputy_for="S1"),
        person(4, deputy_for="S2"),
        person(5, deputy_for="S3"),
        person(6, deputy_for="S77"),
        person(7, orgunit_code="A2", deputy_for="S3"),  # goes to another unit, the chief does not
    )
    plan = build_plan(people, tenant, leavers="suspend", max_leavers=5)
    doubts = dict(deputies_in_doubt(plan))
    assert set(doubts) == {"S3", "S4", "S6", "S7"}
    assert "本人が異動" in doubts["S7"]
    assert "第二課 課長" in doubts["S7"]
    assert "一時停止" in doubts["S3"]
    assert "第二課 課長" in doubts["S4"]
    assert any("代理順位" in note for note in plan.notes)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_every_holder_stands_in_the_table_once_before_and_once_after(data: st.DataObject) -> None:
    spot = st.tuples(st.sampled_from(("A1", "A2")), st.sampled_from(("課長", "係長", "")))
    was = data.draw(st.dictionaries(st.integers(1, 8), spot, max_size=8))
    now = data.draw(st.dictionaries(st.integers(1, 8), spot, min_size=1, max_size=8))
    units, positions = {"A1": "u1", "A2": "u2"}, {"課長": "p1", "係長": "p2", "": None}
    tenant = view(*(member(n, organizations=(post(units[u], positions[p]),)) for n, (u, p) in was.items()))
    people = roster(*(person(n, orgunit_code=u, position=p) for n, (u, p) in now.items()))
    plan = build_plan(people, tenant, leavers="suspend", max_leavers=99)
    changes = posts_of(plan)
    assert len({one.post for one in changes}) == len(changes)
    assert sorted(n for one in changes for n, _, _ in one.after) == sorted(f"S{n}" for n in now)
    assert sorted(n for one in changes for n, _, _ in one.before) == sorted(f"S{n}" for n in was)
    assert sum(count_posts(changes).values()) == len(changes)
    for one in changes:
        assert (one.kind == "unchanged") == (not one.came and not one.went)
    assert Post("第一課", "課長") < Post("第二課", "課長")


def april(before: Roster, seed: int, posts: int) -> Roster:
    """So many posts change hands: a third by newcomers, the others among those who are there."""
    chance = random.Random(seed)
    people = list(before.people)
    chosen = sorted(chance.sample(range(len(people)), posts))
    new, moving = chosen[: posts // 3], chosen[posts // 3 :]
    for n in new:
        old = people[n]
        number = str(990_000 + n)
        people[n] = replace(
            old, staff_number=number, login_id=f"shinnin{n:04d}@city-demo", first_name=f"新任{n}", phone=""
        )
    seats = [people[n] for n in moving]
    for n, seat in zip(moving, [*seats[1:], seats[0]], strict=True):
        fields = ("orgunit_code", "orgunit_name", "position", "hq_role", "ward", "bureau")
        people[n] = replace(people[n], **{name: getattr(seat, name) for name in fields})
    return replace(before, people=tuple(people), sha256=f"april-{seed}")


def numbers(people: tuple[Person, ...]) -> set[str]:
    return {one.staff_number for one in people}


def test_sixty_of_two_hundred_posts(home: Path, tmp_path: Path) -> None:
    before = sample_roster(200)
    after = april(before, 4, 60)

    async def main() -> None:
        async with await bench_at(home) as bench:
            assert (await apply_on(bench, await plan_for(bench, before, rooms="always"))).complete
            sandbox = bench.sandbox
            assert sandbox is not None
            for user in list(sandbox.tenant.table("users").values()):  # a year has passed: all are in use
                user["isPending"] = False
                sandbox.tenant.put("users", user["userId"], user)
            gone = numbers(before.people) - numbers(after.people)
            plan = await plan_for(bench, after, leavers="suspend", max_leavers=len(gone))
            assert (plan.count("create"), len(plan.suspend), len(gone)) == (20, 20, 20)
            posts = posts_of(plan)
            assert 40 <= sum(one.kind == "handed_over" for one in posts) <= 60
            assert {n for one in posts for n, _, said in one.before if said == "一時停止"} == gone
            assert {"rebuild"} <= {one.action for one in plan.rooms}
            assert any("作り直します" in note for note in plan.notes)
            assert load_plan(save_plan(plan, tmp_path / "plan.json")).posts == plan.posts

            result = await apply_on(bench, plan)
            assert result.complete, result
            assert not [one for one in tenant_problems(bench, after) if "group of all" not in one]
            suspended = {
                one["userExternalKey"] for one in sandbox.tenant.table("users").values() if one["isSuspended"]
            }
            assert suspended == gone
            rooms = [one for one in sandbox.tenant.table("channels").values() if one["bots"]]
            ids = {one["userId"] for one in sandbox.tenant.table("users").values() if one["isSuspended"]}
            assert not [room["title"] for room in rooms if ids & set(room["members"])], "nobody who left"
            again = await plan_for(bench, after, leavers="suspend")
            assert again.nothing_to_do, again.as_json()

    asyncio.run(main())


def test_the_second_person_reads_it_in_excel(tmp_path: Path) -> None:
    tenant = view(member(1), member(2), groups=(Group("g", "bousai-all", "防災_全員", frozenset({"id1"})),))
    people = roster(person(2, first_name="=1+1", orgunit_code="A2"), person(3, last_name="𠮷"))
    plan = build_plan(people, tenant, leavers="suspend", max_leavers=2)
    path = write_review(plan, tmp_path / "review.xlsx")
    assert path.stat().st_mode & 0o077 == 0
    titles = ["概要", "ポスト", "人", "組織", "職級・役職", "グループ", "トークルーム"]
    assert list(review_sheets(plan)) == titles
    cells = [cell for row in read_table(path).rows for cell in row]
    assert plan.plan_id in cells
    people_rows = list(review_sheets(plan)["人"][1])
    new = [row for row in people_rows if row[:4] == ("新規", 4, "S3", "𠮷 太郎3")]
    assert [row[4:] for row in new] == [
        ("ログインID", "", "a3@city"),
        ("所属", "", "第一課（A1）"),
        ("役職", "", "課長"),
    ]
    everybody = next(row for row in review_sheets(plan)["グループ"][1] if row[1] == "防災_全員")
    assert everybody[4:6] == (1, "S1"), "who is taken out"
    assert ("変更", 3, "S2", "試験 =1+1", "所属", "第一課（A1）", "第二課（A2）") in people_rows


def test_the_terminal_shows_what_changes_and_nobody_s_name_or_login() -> None:
    tenant = view(member(1, first_name="旧名", login_id="old1@city"), member(2))
    people = roster(person(1, first_name="新名", login_id="new1@city"), person(2, orgunit_code="A2"))
    text = plan_text(build_plan(people, tenant), None)
    assert "職員番号 S1：ログインID（名簿のとおり）、名（名簿のとおり）" in text
    assert "職員番号 S2：所属「第一課（A1）」→「第二課（A2）」" in text
    assert not [word for word in ("旧名", "新名", "old1", "new1", "試験") if word in text]
