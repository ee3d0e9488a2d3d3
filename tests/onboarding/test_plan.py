"""The diff of a roster against a tenant: pure, item by item."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.errors import Issue, RosterError
from bousai_kit.onboarding.bodies import build_update
from bousai_kit.onboarding.estimate import estimate_s
from bousai_kit.onboarding.groups import group_key
from bousai_kit.onboarding.plan import FewLeavers, PartOfRoster, build_plan, clean_organizations
from bousai_kit.onboarding.rooms import BuiltRoom
from bousai_kit.onboarding.tenant_view import Group, Member, TenantView, Unit, see_member
from bousai_kit.onboarding.titles import Title
from bousai_kit.roster import Person, Roster, RosterUnit

AT = datetime(2027, 1, 17, tzinfo=UTC)
DOMAIN = 10000001
NAMES = ("last_name", "first_name", "last_kana", "first_kana")
UNITS = (Unit("u1", "A1", "第一課"), Unit("u2", "A2", "第二課", "u1"))
POSITIONS = (Title("p1", "課長", 1), Title("p2", "係長", 2))


def post(unit: str = "u1", position: str | None = "p1", **more: Any) -> dict[str, Any]:
    seat = {"orgUnitId": unit, "primary": True, "positionId": position, "isManager": True, "orgUnitName": "x"}
    return {"domainId": DOMAIN, "primary": True, "levelId": None, "orgUnits": [seat | more]}


def member(number: int = 1, **fields: Any) -> Member:
    given: dict[str, Any] = {
        "user_id": f"id{number}",
        "key": f"S{number}",
        "login_id": f"a{number}@city",
        "last_name": "試験",
        "first_name": f"太郎{number}",
        "staff_number": f"S{number}",
        "organizations": (post(),),
    }
    return Member(**given | fields)


def person(number: int = 1, **fields: Any) -> Person:
    given: dict[str, Any] = {
        "row": number + 1,
        "staff_number": f"S{number}",
        "last_name": "試験",
        "first_name": f"太郎{number}",
        "login_id": f"a{number}@city",
        "orgunit_code": "A1",
        "orgunit_name": "第一課",
        "position": "課長",
    }
    return Person(**given | fields)


def view(*members: Member, **fields: Any) -> TenantView:
    boss = Member("boss", login_id="kanri@city", last_name="管理", administrator=True)
    given: dict[str, Any] = {"members": (boss, *members), "units": UNITS, "positions": POSITIONS}
    return TenantView(DOMAIN, AT, **given | fields)


def roster(*people: Person, **fields: Any) -> Roster:
    given: dict[str, Any] = {"units": (RosterUnit("A1", "第一課"), RosterUnit("A2", "第二課", "A1"))}
    return Roster(people=people, sha256="x", **given | fields)


def only(people: Person, *members: Member, **fields: Any) -> Any:
    return build_plan(roster(people), view(*members, **fields)).people[0]


def test_new_unchanged_changed() -> None:
    assert only(person()).action == "create"
    assert only(person(), member()).action == "unchanged"
    item = only(person(position="係長", first_name="花子", orgunit_code="A2"), member())
    assert item.action == "update"
    assert item.changes == {
        "first_name": ("太郎1", "花子"),
        "orgunit": ("第一課（A1）", "第二課（A2）"),
        "position": ("課長", "係長"),
    }
    assert set(item.before) == {"userName", "organizations"}


def test_a_blank_says_nothing() -> None:
    there = member(last_kana="シケン", first_kana="タロウ", phone="090")
    assert only(person(), there).action == "unchanged"


def test_a_blank_position_says_none_where_the_roster_has_any() -> None:
    plan = build_plan(roster(person(1, position=""), person(2)), view(member(1), member(2)))
    assert plan.people[0].changes == {"position": ("課長", "")}
    nothing = build_plan(roster(person(1, position=""), person(2, position="")), view(member(1), member(2)))
    assert nothing.nothing_to_do is False  # groups
    assert [item.action for item in nothing.people] == ["unchanged", "unchanged"]


def test_names_are_kept_as_typed() -> None:
    assert only(person(last_name="髙"), member(last_name="高")).changes == {"last_name": ("高", "髙")}
    assert only(person(last_name="\ufa19"), member(last_name="神")).action == "update"


def test_nobody_gets_a_second_account_under_another_login_id() -> None:
    by_hand = member(key="", login_id="yamada@city")
    item = only(person(), by_hand)
    assert (item.action, item.user_id) == ("conflict", "id1"), (
        "nothing is written, but the row means this one"
    )
    assert "同じ職員番号" in item.reason
    assert only(person(), replace(by_hand, last_name="別人")).user_id == ""
    assert only(person(), replace(by_hand, key="SSO-1")).action == "conflict"
    assert only(person(), replace(by_hand, deleted=True)).action == "create"
    plan = build_plan(roster(person()), view(by_hand), leavers="suspend", max_leavers=5)
    assert plan.suspend == ()


def test_somebody_made_by_hand_is_recognised_and_a_stranger_is_a_conflict() -> None:
    by_hand = member(key="", staff_number="")
    assert only(person(), by_hand).changes == {"external_key": ("", "S1"), "staff_number": ("", "S1")}
    assert only(person(), replace(by_hand, login_id="A1@City")).action == "update"
    assert only(person(), replace(by_hand, last_name="別人")).action == "conflict"
    assert only(person(), member(key="S9")).action == "conflict"
    assert only(person(), member(key="", staff_number="S9")).action == "conflict"
    item = only(person(), member(key="S1", login_id="old@city"), member(2))
    assert item.changes == {"login_id": ("old@city", "a1@city")}
    taken = only(person(), member(key="S1", login_id="old@city"), member(2, login_id="a1@city"))
    assert taken.action == "conflict"


def test_a_number_that_somebody_else_has_now_takes_no_account_over() -> None:
    new = {"last_name": "別姓", "first_name": "花子", "login_id": "hanako@city"}
    item = only(person(**new), member())
    assert item.action == "conflict"
    assert "使い回し" in item.reason
    for same in new:  # one thing alike: married, a name put right, another login id
        assert only(person(**{name: new[name] for name in new if name != same}), member()).action == "update"
    rekeyed = only(person(), member(key="SSO-1"))
    assert rekeyed.action == "conflict"
    assert "External Key" in rekeyed.reason


def test_who_is_suspended_is_counted_whatever_changes() -> None:
    plan = build_plan(roster(person(1), person(2, position="係長")), crowd(2, suspended=True))
    assert [item.action for item in plan.people] == ["unchanged", "update"]
    assert "名簿の 2 名は一時停止中です。解除は管理画面で行ってください。" in plan.notes


def test_who_was_deleted_comes_back() -> None:
    assert only(person(), member(deleted=True)).changes == {"state": ("削除済み（7 日以内）", "復元")}


def test_positions_that_are_off_are_left_out() -> None:
    plan = build_plan(roster(person(position="部長")), view(member(), positions=None))
    assert plan.positions == ()
    assert plan.people[0].action == "unchanged"
    assert any("役職" in note for note in plan.notes)


def test_units_by_key_then_by_their_only_name() -> None:
    def actions(*units: Unit) -> list[str]:
        return [unit.action for unit in build_plan(roster(person()), view(units=units)).units]

    assert actions(*UNITS) == ["unchanged", "unchanged"]
    assert actions() == ["create", "create"]
    assert actions(Unit("x", "", "第一課"), Unit("y", "", "第二課", "x")) == ["unchanged", "unchanged"]
    assert (
        actions(Unit("x", "", "第一課"), Unit("z", "", "第一課"), Unit("y", "A2", "第二課", "x"))[0]
        == "create"
    )
    renamed = build_plan(roster(person()), view(units=(Unit("u1", "A1", "旧一課"), UNITS[1])))
    assert renamed.units[0].changes == {"name": ("旧一課", "第一課")}
    moved = build_plan(roster(person()), view(units=(UNITS[0], Unit("u2", "A2", "第二課"))))
    assert moved.units[1].changes == {"parent": ("", "第一課（A1）")}
    flat = roster(person(), units=(RosterUnit("A1", "A1"), RosterUnit("A2", "第二課")))
    assert [unit.action for unit in build_plan(flat, view()).units] == ["unchanged", "unchanged"]
    at_top = roster(person(), units=(RosterUnit("A1", "第一課"), RosterUnit("A2", "第二課", top=True)))
    assert build_plan(at_top, view()).units[1].changes == {"parent": ("第一課（A1）", "")}


# -- leavers ------------------------------------------------------------------------------------------


def crowd(members: int, **fields: Any) -> TenantView:
    return view(*(member(number, **fields) for number in range(1, members + 1)))


def people(first: int, last: int) -> Roster:
    return roster(*(person(number) for number in range(first, last + 1)))


def test_people_outside_the_roster_are_left_alone() -> None:
    plan = build_plan(people(1, 3), crowd(10))
    assert (len(plan.suspend), plan.left_alone) == (0, 8)


def test_leavers_are_suspended_but_no_administrator() -> None:
    plan = build_plan(people(1, 198), crowd(200), leavers="suspend")
    assert [leaver.user_id for leaver in plan.suspend] == ["id199", "id200"]
    assert plan.left_alone == 1


def test_a_roster_of_nobody_suspends_nobody_whatever_is_allowed() -> None:
    with pytest.raises(PartOfRoster, match="一人もいません"):
        build_plan(roster(), crowd(3), leavers="suspend", max_leavers=100)
    assert build_plan(roster(), crowd(3)).left_alone == 4


def test_half_of_the_city_needs_the_number_of_the_other_half_and_names_who_drops_out_of_a_room() -> None:
    room = BuiltRoom("c1", "main/1", "防災_本庁（x）", tuple(f"id{n}" for n in range(1, 41)))
    tenant = replace(crowd(40), rooms=(room,), bot_id=1)
    half = people(1, 20)
    with pytest.raises(FewLeavers, match="20 名"):
        build_plan(half, tenant, leavers="suspend")
    assert "20 名は、名簿になく一時停止もしないため、" in " ".join(build_plan(half, tenant).notes)
    allowed = build_plan(half, tenant, leavers="suspend", max_leavers=20)
    assert (len(allowed.suspend), "新しいルームに入りません" in " ".join(allowed.notes)) == (20, False)


def test_whose_row_is_a_conflict_stays_in_the_room_and_others_of_that_number_are_named() -> None:
    room = BuiltRoom("c1", "main/1", "防災_本庁（x）", tuple(f"id{n}" for n in range(1, 5)))
    tenant = replace(crowd(4), rooms=(room,), bot_id=1)
    taken = replace(
        people(1, 5), people=(replace(person(1), login_id="a4@city"), *people(2, 3).people, person(5))
    )
    plan = build_plan(taken, tenant)
    assert [item.action for item in plan.people] == ["conflict", "unchanged", "unchanged", "create"]
    assert [(one.action, one.members) for one in plan.rooms] == [("rebuild", ("S1", "S2", "S3", "S5"))]
    assert plan.left_alone == 3
    said = [note for note in plan.notes if "新しいルームに入りません" in note]
    assert len(said) == 1
    assert "1 名は、同じログインIDか職員番号の行を登録しないため" in said[0]


def test_one_person_under_two_staff_numbers_is_said() -> None:
    again = person(77, first_name="太郎1", login_id="new@city")
    plan = build_plan(roster(again, person(2)), crowd(2), leavers="suspend", max_leavers=5)
    assert "新規 S77 と一時停止 S1" in " ".join(plan.notes)
    same_login = build_plan(
        roster(replace(again, login_id="a1@city"), person(2)), crowd(2), leavers="suspend"
    )
    assert (same_login.suspend, same_login.count("conflict")) == ((), 1)
    assert "番号が変わった同じ人なら" in same_login.of("conflict")[0].reason
    stranger = build_plan(roster(person(77, login_id="a1@city")), crowd(2))
    assert "別の人" in stranger.of("conflict")[0].reason
    assert "同じ人なら" not in stranger.of("conflict")[0].reason


@pytest.mark.parametrize(
    ("members", "leaving", "refused"),
    [(300, 10, False), (300, 11, True), (100, 5, False), (100, 6, True), (19, 1, True)],
)
def test_more_leavers_than_ten_or_one_in_twenty_need_a_number(
    members: int, leaving: int, refused: bool
) -> None:
    tenant = crowd(members - 1)  # and the administrator
    wanted = people(1, members - 1 - leaving)
    if refused:
        with pytest.raises(FewLeavers) as said:
            build_plan(wanted, tenant, leavers="suspend")
        assert said.value.exit_code == 3
        assert f"--max-leavers {leaving}" in said.value.hint
        with pytest.raises(FewLeavers):
            build_plan(wanted, tenant, leavers="suspend", max_leavers=leaving - 1)
    plan = build_plan(wanted, tenant, leavers="suspend", max_leavers=leaving if refused else None)
    assert len(plan.suspend) == leaving
    assert any("副管理者" in note for note in plan.notes) is bool(leaving)


def test_pending_suspended_and_claimed_members_are_not_suspended() -> None:
    tenant = view(
        member(1),
        member(2, pending=True),
        member(3, suspended=True),
        member(4, deleted=True),
        member(5, key="S9"),
    )
    plan = build_plan(roster(person(1), person(5)), tenant, leavers="suspend")
    assert plan.suspend == ()
    assert plan.people[1].action == "conflict"
    assert any("登録待ち" in note for note in plan.notes)


# -- groups -------------------------------------------------------------------------------------------


def test_groups_for_all_the_headquarters_bureaus_and_wards() -> None:
    plan = build_plan(
        roster(
            person(1, hq_role="本部長", bureau="危機/管理"),
            person(2, ward="北区"),
            person(3, hq_role="連絡員", ward="北区"),
        ),
        view(),
    )
    named = {group.name: group.members for group in plan.groups}
    assert named == {
        "防災_全員": ("S1", "S2", "S3"),
        "防災_災害対策本部": ("S1",),
        "防災_局_危機/管理": ("S1",),
        "防災_区_北区": ("S2", "S3"),
    }
    keys = [group.key for group in plan.groups]
    assert len(set(keys)) == 4
    assert not any(set(key) & set("%\\#/?") for key in keys)
    assert group_key("bureau", "危機/管理") != group_key("bureau", "危機?管理")


def test_groups_follow_the_roster_and_keep_strangers() -> None:
    north, south = group_key("ward", "北区"), group_key("ward", "南区")
    groups = (
        Group("g1", group_key("all"), "防災_全員", frozenset({"id1", "id2", "stranger"})),
        Group("g2", north, "防災_区_北区", frozenset({"id1", "id2", "stranger"})),
        Group("g3", south, "防災_区_南区", frozenset({"id2"})),
        Group("g4", "other", "山岳部", frozenset({"id1"})),
    )
    plan = build_plan(
        roster(person(1, ward="北区"), person(2, ward="")), view(member(1), member(2), groups=groups)
    )
    found = {group.key: (group.action, group.add, group.remove) for group in plan.groups}
    assert found == {
        group_key("all"): ("unchanged", (), ()),
        north: ("update", (), ("id2",)),
        south: ("update", (), ("id2",)),
    }


# -- the rest -----------------------------------------------------------------------------------------


def test_a_roster_with_errors_is_not_planned() -> None:
    broken = roster(person(), issues=(Issue(2, "姓", "error", "空です。"),))
    with pytest.raises(RosterError):
        build_plan(broken, view())


def test_equal_inputs_give_an_equal_plan_and_id() -> None:
    one, two = (build_plan(people(1, 5), crowd(3)) for _ in range(2))
    assert one == two
    assert one.plan_id == two.plan_id != build_plan(people(1, 4), crowd(3)).plan_id
    assert "試験" not in repr(one) + repr(one.people[0]) + repr(crowd(3)) + repr(crowd(3).members[1])


def test_eta_knows_windows_and_the_half_rate() -> None:
    def eta(count: int) -> float:
        return estimate_s({"users.create": count}, reading=4, per_minute=240, limits={})

    assert eta(200) < 10
    assert 60 < eta(300) < 75
    assert 3600 * 3 < eta(30_000) < 3600 * 4  # 30 minutes at the peak, then half
    assert estimate_s({"users.create": 200}, reading=4, per_minute=60, limits={}) > 180
    assert estimate_s({"orgunits.create": 20}, reading=1, per_minute=240, limits={}) > 20


def test_a_move_keeps_other_posts_and_leadership_where_it_was() -> None:
    other = {"orgUnitId": "u9", "primary": False, "positionId": "p2", "isManager": True, "visible": False}
    entry = post()
    entry["orgUnits"].append(other)
    item = only(person(orgunit_code="A2"), member(organizations=(entry,)))
    there = member(organizations=(entry,))
    body = build_update(item, there, domain_id=DOMAIN, unit_id="u2", position_id=None, level_id=None)
    assert body["organizations"][0]["orgUnits"] == [
        {"orgUnitId": "u2", "primary": True, "positionId": "p1"},
        {"orgUnitId": "u9", "primary": False, "positionId": "p2", "isManager": True, "visible": False},
    ]
    held = only(person(position="係長"), there)
    body = build_update(held, there, domain_id=DOMAIN, unit_id="u1", position_id="p2", level_id=None)
    assert body["organizations"][0]["orgUnits"][0] == {
        "orgUnitId": "u1",
        "primary": True,
        "positionId": "p2",
        "isManager": True,
    }


@settings(max_examples=60)
@given(st.data())
def test_doing_what_the_plan_says_leaves_nothing_to_do(data: st.DataObject) -> None:
    """A tiny tenant made of the plan's own words: a second plan of the same roster is empty."""
    word = st.sampled_from(["試験", "髙橋", "𠮷野", ""])
    wanted = [
        person(
            n,
            last_kana=data.draw(st.sampled_from(["シケン", ""])),
            first_name=data.draw(word) or "太郎",
            position=data.draw(st.sampled_from(["課長", "係長", ""])),
            orgunit_code=data.draw(st.sampled_from(["A1", "A2"])),
        )
        for n in range(1, 5)
    ]
    there = [
        member(n, first_name=data.draw(word), deleted=data.draw(st.booleans()))
        for n in range(1, data.draw(st.integers(1, 5)))
    ]
    plan = build_plan(roster(*wanted), view(*there))
    units, positions = {"A1": "u1", "A2": "u2"}, {"課長": "p1", "係長": "p2", "": None}
    with_positions = any(one.position for one in wanted)
    after = []
    for item in plan.people:
        one = item.person
        seen = next(
            (m for m in there if m.user_id == item.user_id),
            member(int(one.staff_number[1:]), organizations=()),
        )
        _, held = seen.primary_unit(DOMAIN)
        seat = post(units[one.orgunit_code], positions[one.position] if with_positions else held or None)
        names = {name: getattr(one, name) or getattr(seen, name) for name in NAMES}
        after.append(replace(seen, organizations=(seat,), deleted=False, **names))
    again = build_plan(roster(*wanted), view(*after))
    assert [item.action for item in again.people] == ["unchanged"] * 4


def test_of_an_organization_only_what_is_read_or_written_back_is_kept() -> None:
    seat = {"orgUnitId": "u1", "primary": True, "positionId": None, "visible": False, "orgUnitName": "課"}
    entry = {"domainId": DOMAIN, "primary": True, "levelId": "v1", "email": "a@city", "levelName": "正規"}
    seen = see_member({"userId": "m1", "organizations": [{**entry, "orgUnits": [seat]}, {"orgUnits": None}]})
    del seat["orgUnitName"], entry["levelName"]
    assert seen.organizations == ({**entry, "orgUnits": [seat]}, {"orgUnits": []})
    assert clean_organizations(seen) == list(seen.organizations)
    assert seen.primary_unit(DOMAIN) == ("u1", "")
