"""Members by plain HTTP: create, list, get, replace, patch, keys (part 1 §2.2 to §2.4, §4.2 to §4.7)."""

from __future__ import annotations

import json
from typing import Any

from bousai_kit.sandbox.directory_state import find_user, new_user
from bousai_kit.sandbox.tenant import Tenant
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import PASSWORD, STILL, Choices, Desk, at_desk, in_unit, new_member, part
from tests.yardstick import in_stints

# -- create (part 1 §4.5) ---------------------------------------------------------------------------


def test_the_smallest_body_that_is_known_to_work() -> None:
    """Part 1 §4.5: domainId, email, lastName, passwordConfig; one automatic organization without units."""

    async def test(desk: Desk) -> None:
        body = new_member(userName={"lastName": "試験"})
        user = await desk.done("POST", "/users", body, 201)
        assert user["email"] == "taro@city-demo"
        assert user["isPending"] is True
        assert [company["orgUnits"] for company in user["organizations"]] == [[]]
        assert user["userExternalKey"] is None  # §2.1: empty properties are there
        assert user["aliasEmails"] == []
        assert user["leaveOfAbsence"] == {"startTime": None, "endTime": None, "isLeaveOfAbsence": False}
        assert await desk.get(f"/users/{user['userId']}") == user
        assert desk.audited("admin") == [("create", user["userId"])]

    at_desk(test)


def test_every_property_comes_back() -> None:
    """Part 1 §4.2."""
    given: dict[str, Any] = {
        "userExternalKey": "S 1;0",
        "userName": {
            "lastName": "髙𠮷々",
            "firstName": "Ann-Marie (2)",
            "phoneticLastName": "タカヨシ",
            "phoneticFirstName": "アン・マリー",
        },
        "i18nNames": [{"language": "en_US", "firstName": "Ann", "lastName": "Takayoshi"}],
        "nickName": "たか",
        "privateEmail": "a.b+c@mail.example.invalid",
        "searchable": False,
        "telephone": "+81(6)0000-0000#12P3T",
        "cellPhone": "090-0000-0000",
        "location": "本庁舎",
        "task": "防災",
        "messenger": {"protocol": "CUSTOM", "customProtocol": "無線", "messengerId": "7"},
        "birthdayCalendarType": "SOLAR",
        "birthday": "1980-02-29",
        "locale": "ko_KR",
        "timeZone": "Asia/Seoul",
        "hiredDate": "2001-04-01",
        "employeeNumber": "000123",
        "activationDate": "2020-01-01T00:00:00+09:00",
    }

    async def test(desk: Desk) -> None:
        user = await desk.member(**given)
        assert {key: user[key] for key in given} == given

    at_desk(test)


def test_an_initial_password_is_never_given_back_nor_kept_readable() -> None:
    """Part 1 §4.2: passwordConfig is never returned."""

    async def test(desk: Desk) -> None:
        user = await desk.member()
        everything = json.dumps([user, await desk.get("/users"), list(desk.tenant.tables.items())])
        assert PASSWORD not in everything
        assert "password" not in json.dumps(user).lower()

    at_desk(test)


LOGIN_WRONG = [
    "a@city-demo",
    "x" * 41 + "@city-demo",
    "Taro@city-demo",
    ".taro@city-demo",
    "taro.@city-demo",
    "ta..ro@city-demo",
    "_taro@city-demo",
    "ta ro@city-demo",
    "taro",
    "@city-demo",
    "taro@",
    "太郎@city-demo",
    "taro@" + "x" * 90,
    "admin@city-demo",
    "a@b@c",
    "taro@-x",
]
NAME_WRONG: list[Any] = [
    {},
    {"lastName": ""},
    {"lastName": "  "},
    {"lastName": "x" * 81},
    {"lastName": "x" * 41, "firstName": "y" * 40},
    {"lastName": "試験<"},
    {"lastName": "試験", "firstName": "a\tb"},
    {"lastName": "試験😀"},
    {"lastName": 5},
    {"lastName": "試験", "phoneticLastName": "しけん"},
    {"lastName": "試験", "phoneticFirstName": "taro"},
    {"lastName": "試験", "phoneticLastName": "ア" * 101},
    "試験",
    None,
    [],
]
WRONG: list[tuple[str, Any]] = [
    *(("email", text) for text in LOGIN_WRONG),
    *(("email", value) for value in (None, "", 5, ["a"])),
    *(("userName", value) for value in NAME_WRONG),
    *(("userExternalKey", text) for text in ("a%b", "a\\b", "a#b", "a/b", "a?b", "x" * 101, 5)),
    *(("telephone", text) for text in ("+-*", "06 0000", "０６", "x" * 101, "12a", 6)),
    *(("cellPhone", text) for text in ("090—0000", "1" * 101)),
    *(
        ("privateEmail", text)
        for text in ("a", "a@", "@b", "x" * 65 + "@b.invalid", "a@" + "b" * 260, "a b@c")
    ),
    *(("birthday", text) for text in ("2026-02-30", "2020-W01-1", "20200101", 5)),
    ("birthdayCalendarType", "MOON"),
    ("hiredDate", "tomorrow"),
    ("employeeNumber", "x" * 21),
    ("employeeNumber", 123),
    ("locale", "fr_FR"),
    *(("timeZone", text) for text in ("Asia/Osaka", "../../etc/passwd", "x" * 61)),
    *(
        ("activationDate", text)
        for text in ("2027-01-01", "2027-01-01T00:00:00", "2027-01-01 00:00:00+09:00", 5)
    ),
    *(
        ("messenger", value)
        for value in ({}, {"protocol": "SMS", "messengerId": "1"}, {"protocol": "LINE"}, "LINE")
    ),
    ("messenger", {"protocol": "TWITTER", "messengerId": "1"}),  # §2.8: not taken any more
    ("searchable", "yes"),
    ("nickName", "x" * 101),
    ("domainId", None),
    ("domainId", "10000001"),
    ("domainId", True),
    ("aliasEmails", ["x@city-demo"]),  # Advanced only
    ("relations", [{"relationUserId": "u", "relationName": "x" * 51}] * 11),
    ("i18nNames", [{"language": "xx"}]),
    ("i18nNames", [{"language": "ja_JP"}, {"language": "ja_JP"}]),
    ("customProperties", {"nobody": 1}),
    ("organizations", {}),
    ("organizations", [{"domainId": DOMAIN, "primary": True, "orgUnits": [{}] * 31}]),
    ("organizations", [{"domainId": DOMAIN, "orgUnits": []}]),
    ("passwordConfig", {"passwordCreationType": "NOBODY"}),
    ("passwordConfig", {"passwordCreationType": "ADMIN"}),
    (
        "passwordConfig",
        {"passwordCreationType": "ADMIN", "password": PASSWORD, "changePasswordAtNextLogin": 1},
    ),
    ("passwordConfig", {}),  # MEMBER without a private address
    ("userTypeId", "any"),  # user types are off
]


def test_a_wrong_property_is_400_and_named() -> None:
    """Part 1 §2.4, §4.2: INVALID_PARAMETER, the text names it; nothing is made."""

    async def test(desk: Desk) -> None:
        for key, value in WRONG:
            answer = await desk.call("POST", "/users", new_member(**{key: value}))
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER"), (key, value)
            said = answer.json()["description"]
            assert key in said or said == STILL.not_on_this_plan[2] or "privateEmail" in said, (key, value)
        assert len((await desk.get("/users"))["users"]) == 1  # the administrator alone

    at_desk(test)


PASSWORDS_WRONG = [
    "Ab1-xy7",
    "Ab1-xy7-" * 3,
    "abzdefgh",
    "13572468",
    "Kx7-mTq9-aaa",
    "Kx7-mTq9-abc",
    "Kx7-mTq9-cba",
    "Kx7-mTq9-123",
    "Kx7-mTq9-@@@",
    "Kx7 mTq9-rb",
    "Kx7-mTq9-ん",
    "",
]


def test_the_password_policy() -> None:
    """Part 1 §4.4: 8 to 20, letters and digits, no three equal or following characters; not said again."""

    async def test(desk: Desk) -> None:
        for password in PASSWORDS_WRONG:
            config = {"passwordCreationType": "ADMIN", "password": password}
            said = await desk.wrong(
                "POST", "/users", new_member(passwordConfig=config), "passwordConfig.password"
            )
            assert not password or password not in said
        for number, password in enumerate(("Ab1cd2ef", "x7" * 10, "Kx7-mTq9-rb", "aBc13524")):
            config = {"passwordCreationType": "ADMIN", "password": password}
            await desk.done("POST", "/users", new_member(f"good{number}", passwordConfig=config), 201)

    at_desk(test)


def test_a_policy_with_symbols() -> None:
    """Part 1 §4.4: a tenant's setting."""

    async def test(desk: Desk) -> None:
        config = {"passwordCreationType": "ADMIN", "password": "Kx7mTq9rb"}
        await desk.wrong("POST", "/users", new_member(passwordConfig=config), "policy")

    at_desk(test, choices=Choices(password_policy="letters+digits+symbols"))


def test_duplicates_are_400_and_the_login_id_is_told_first() -> None:
    """Part 1 §2.4, §4.5."""

    async def test(desk: Desk) -> None:
        await desk.member("taro", userExternalKey="S1")
        said = await desk.wrong(
            "POST", "/users", new_member("taro", userExternalKey="S1"), "email is duplicated"
        )
        assert "taro@city-demo" in said
        await desk.wrong("POST", "/users", new_member("jiro", userExternalKey="S1"), "userExternalKey")
        other = await desk.member("jiro", userExternalKey="S2")
        await desk.wrong("PATCH", f"/users/{other['userId']}", {"email": "taro@city-demo"}, "email")
        await desk.wrong("PATCH", f"/users/{other['userId']}", {"userExternalKey": "S1"}, "userExternalKey")
        await desk.done(
            "PATCH", f"/users/{other['userId']}", {"email": "jiro@city-demo", "userExternalKey": "S2"}
        )

    at_desk(test)


# -- references (part 1 §2.2) -----------------------------------------------------------------------


def test_a_member_is_found_by_id_login_id_and_external_key() -> None:
    async def test(desk: Desk) -> None:
        user = await desk.member("taro", userExternalKey="S:1@x")
        for reference in (user["userId"], "taro@city-demo", "externalKey:S:1@x"):
            assert (await desk.get(f"/users/{part(reference)}"))["userId"] == user["userId"]
        for nobody in ("S:1@x", "jiro@city-demo", "externalKey:", "externalKey:s:1@x", "nobody"):
            await desk.refused("GET", f"/users/{part(nobody)}", None, 404, "NOT_FOUND")

    at_desk(test)


def test_a_changed_login_id_is_found_and_the_old_one_is_free() -> None:
    """Part 1 §2.2: email changes what matches, userId never changes."""

    async def test(desk: Desk) -> None:
        user = await desk.member("taro", userExternalKey="S1")
        changed = {"email": "ichiro@city-demo", "userExternalKey": "S9"}
        await desk.done("PATCH", "/users/taro%40city-demo", changed)
        assert (await desk.get("/users/ichiro%40city-demo"))["userId"] == user["userId"]
        await desk.refused("GET", "/users/taro%40city-demo", None, 404, "NOT_FOUND")
        await desk.refused("GET", "/users/externalKey%3AS1", None, 404, "NOT_FOUND")
        again = await desk.member("taro", userExternalKey="S1")
        assert again["userId"] != user["userId"]

    at_desk(test)


def test_a_service_account_is_not_me() -> None:
    """Part 1 §1.1."""

    async def test(desk: Desk) -> None:
        await desk.refused("GET", "/users/me", None, 403, "ACCESS_DENIED")

    at_desk(test)


# -- list (part 1 §2.3, §4.6) -----------------------------------------------------------------------


def test_pages_hold_everybody_once_in_order_of_creation() -> None:
    async def test(desk: Desk) -> None:
        for count in (1, 7, 100):
            users = await desk.pages("/users", "users", count=count)
            assert [user["userId"] for user in users] == [uid(number) for number in range(8)]
        down = await desk.pages("/users", "users", count=3, sortOrder="DESCENDING")
        assert [user["userId"] for user in down] == [uid(number) for number in reversed(range(8))]

    at_desk(test, people=7)


def test_more_than_100_gives_an_empty_page() -> None:
    """Part 1 §10.8, measured 2026-08-07: no error."""

    async def test(desk: Desk) -> None:
        for count in ("101", "1000", "9" * 40):
            page = await desk.get("/users", count=count)
            assert page == {"users": [], "responseMetaData": {"nextCursor": None}}
        for count in ("0", "-1", "x", "1.5"):
            await desk.wrong("GET", f"/users?count={count}", None, "count")
        await desk.wrong("GET", "/users?cursor=rubbish", None, "cursor")
        await desk.wrong("GET", "/users?orderBy=AGE", None, "orderBy")
        await desk.wrong("GET", "/users?sortOrder=UP", None, "sortOrder")
        await desk.refused("GET", "/users?domainId=7", None, 403, "ACCESS_DENIED")

    at_desk(test, people=2)


def test_names_sort_and_follow_changes() -> None:
    async def test(desk: Desk) -> None:
        for login, name in (("aa", "ウ"), ("bb", "ア"), ("cc", "イ")):
            await desk.member(login, userName={"lastName": name})

        async def names() -> list[str]:
            users = await desk.pages("/users", "users", orderBy="NAME", count=2)
            return [user["userName"]["lastName"] for user in users if user["isPending"]]

        assert await names() == ["ア", "イ", "ウ"]
        await desk.done("PATCH", "/users/bb%40city-demo", {"userName": {"lastName": "エ"}})
        assert await names() == ["イ", "ウ", "エ"]

    at_desk(test)


def test_a_page_goes_on_after_the_same_member_when_others_went() -> None:
    async def test(desk: Desk) -> None:
        first = await desk.get("/users", count=3)
        await desk.done("DELETE", f"/users/{uid(1)}/forcedelete", status=204)
        cursor = first["responseMetaData"]["nextCursor"]
        rest = await desk.get("/users", cursor=cursor, count=100)
        assert [user["userId"] for user in rest["users"]] == [uid(number) for number in (3, 4, 5)]

    at_desk(test, people=5)


# -- replace and patch (part 1 §2.1, §4.7) ----------------------------------------------------------


def test_put_wipes_what_is_left_out_and_patch_does_not() -> None:
    """Part 1 §2.1 [D]."""

    async def test(desk: Desk) -> None:
        unit = await desk.unit(orgUnitExternalKey="K1")
        full = {
            "userExternalKey": "S1",
            "employeeNumber": "000001",
            "cellPhone": "090-0000-0000",
            "searchable": False,
            "organizations": in_unit("externalKey:K1"),
        }
        user = await desk.member("taro", **full)
        path = f"/users/{user['userId']}"
        patched = await desk.done("PATCH", path, {"task": "防災"})
        assert patched == {**user, "task": "防災"}
        body = {key: new_member()[key] for key in ("domainId", "email", "userName")}
        wiped = await desk.done("PUT", path, body)
        for key, default in (
            ("userExternalKey", None),
            ("employeeNumber", None),
            ("task", None),
            ("searchable", True),
        ):
            assert wiped[key] == default
        assert wiped["organizations"][0]["orgUnits"] == []
        assert (await desk.get(f"/orgunits/{unit['orgUnitId']}/members"))["members"] == []
        assert wiped["userId"] == user["userId"]
        assert wiped["isPending"] is True
        await desk.refused("GET", "/users/externalKey%3AS1", None, 404, "NOT_FOUND")

    at_desk(test)


def test_put_needs_what_create_needs() -> None:
    async def test(desk: Desk) -> None:
        for missing in ("domainId", "email", "userName"):
            body = {key: new_member()[key] for key in ("domainId", "email", "userName") if key != missing}
            await desk.wrong("PUT", f"/users/{uid(1)}", body, missing)

    at_desk(test, people=1)


def test_patch_takes_null_as_empty_but_not_where_a_value_is_needed() -> None:
    async def test(desk: Desk) -> None:
        user = await desk.member("taro", userExternalKey="S1", cellPhone="1", nickName="た")
        path = f"/users/{user['userId']}"
        patched = await desk.done("PATCH", path, {"userExternalKey": None, "cellPhone": None, "nickName": ""})
        assert [patched[key] for key in ("userExternalKey", "cellPhone", "nickName")] == [None, None, None]
        await desk.wrong("PATCH", path, {"email": None}, "email")
        await desk.wrong("PATCH", path, {"userName": None}, "userName")
        await desk.wrong("PATCH", path, {"domainId": 2.5}, "domainId")
        assert await desk.get(path) == patched

    at_desk(test)


def test_a_password_is_only_taken_at_creation() -> None:
    """Part 1 §4.4."""

    async def test(desk: Desk) -> None:
        config = {"passwordConfig": {"passwordCreationType": "ADMIN", "password": PASSWORD}}
        await desk.wrong("PATCH", f"/users/{uid(1)}", config, "passwordConfig")

    at_desk(test, people=1)


def test_a_refused_change_changes_nothing() -> None:
    async def test(desk: Desk) -> None:
        before = await desk.get(f"/users/{uid(1)}")
        await desk.wrong("PATCH", f"/users/{uid(1)}", {"nickName": "た", "cellPhone": "x"}, "cellPhone")
        assert await desk.get(f"/users/{uid(1)}") == before
        assert desk.audited("admin") == []

    at_desk(test, people=1)


# -- organizations (part 1 §4.3) --------------------------------------------------------------------


def test_units_positions_and_levels_are_looked_up() -> None:
    async def test(desk: Desk) -> None:
        for feature in ("levels", "positions", "user_types"):
            desk.tenant.set(f"enabled:{feature}:{DOMAIN}", True)
        unit = await desk.unit("危機管理室", orgUnitExternalKey="K1")
        place = {"domainId": DOMAIN, "displayOrder": 1}
        await desk.done(
            "POST", "/directory/positions", {**place, "positionName": "課長", "positionExternalKey": "P"}, 201
        )
        level = {**place, "levelName": "7級", "executive": True, "levelExternalKey": "L"}
        await desk.done("POST", "/directory/levels", level, 201)
        kind = {**place, "userTypeName": "常勤", "userTypeCode": "full"}
        kind_id = (await desk.done("POST", "/directory/user-types", kind, 201))["userTypeId"]
        companies = in_unit("externalKey:K1", positionId="externalKey:P", isManager=True)
        companies[0]["levelId"] = "externalKey:L"
        user = await desk.member("taro", organizations=companies, userTypeId=kind_id)
        company = user["organizations"][0]
        shown = company["orgUnits"][0]
        assert (shown["orgUnitId"], shown["orgUnitName"]) == (unit["orgUnitId"], "危機管理室")
        assert (shown["positionName"], shown["isManager"], shown["useTeamFeature"]) == ("課長", True, True)
        assert (company["levelName"], company["executive"], company["primary"]) == ("7級", True, True)
        assert user["employmentTypeName"] == user["userTypeName"] == "常勤"
        await desk.done("PATCH", "/orgunits/externalKey%3AK1", {"orgUnitName": "防災局"})
        again = await desk.get("/users/taro%40city-demo")
        assert again["organizations"][0]["orgUnits"][0]["orgUnitName"] == "防災局"

    at_desk(test)


def test_wrong_organizations() -> None:
    async def test(desk: Desk) -> None:
        for key in ("A", "B"):
            await desk.unit(f"課{key}", orgUnitExternalKey=key)
        a, b = "externalKey:A", "externalKey:B"
        both = in_unit(a, b)
        both[0]["orgUnits"][1]["primary"] = True
        await desk.wrong("POST", "/users", new_member(organizations=both), "primary")
        await desk.wrong("POST", "/users", new_member(organizations=in_unit(a, a)), "twice")
        await desk.wrong("POST", "/users", new_member(organizations=in_unit(a, positionId="x")), "positionId")
        await desk.refused(
            "POST", "/users", new_member(organizations=in_unit("externalKey:C")), 404, "NOT_FOUND", "Org unit"
        )
        foreign = [{**in_unit(a)[0], "domainId": 7}]
        await desk.refused("POST", "/users", new_member(organizations=foreign), 403, "ACCESS_DENIED")
        assert len((await desk.get("/users"))["users"]) == 1

    at_desk(test)


def test_one_company_is_the_primary_one_else_the_first() -> None:
    """Part 1 §4.3."""

    async def test(desk: Desk) -> None:
        desk.tenant.set("domains", [DOMAIN, DOMAIN + 1])
        for given, primary in (((False, True), 1), ((False, False), 0), ((True, True), 0)):
            companies = [
                {"domainId": DOMAIN + at, "primary": flag, "orgUnits": []} for at, flag in enumerate(given)
            ]
            user = await desk.done("PATCH", f"/users/{uid(1)}", {"organizations": companies})
            assert [company["primary"] for company in user["organizations"]] == [primary == 0, primary == 1]

    at_desk(test, people=1)


def test_a_new_leader_replaces_the_one_so_far() -> None:
    """Part 1 §4.3: isManager replaces the current leader."""

    async def test(desk: Desk) -> None:
        unit = await desk.unit(orgUnitExternalKey="K")
        for login in ("taro", "jiro"):
            await desk.member(login, organizations=in_unit("externalKey:K", isManager=True))
        members = (await desk.get(f"/orgunits/{unit['orgUnitId']}/members"))["members"]
        assert [member["isManager"] for member in members] == [False, True]
        await desk.done(
            "PATCH", "/users/taro%40city-demo", {"organizations": in_unit("externalKey:K", isManager=True)}
        )
        members = (await desk.get(f"/orgunits/{unit['orgUnitId']}/members"))["members"]
        assert [member["isManager"] for member in members] == [True, False]

    at_desk(test)


# -- keys, relations, scopes ------------------------------------------------------------------------


def test_external_keys_in_bulk() -> None:
    """Part 1 §4.8: added, replaced, removed, all or none; 404, 409."""

    async def test(desk: Desk) -> None:
        path = "/users/external-keys"
        swapped = [{"id": uid(1), "externalKey": "S00002"}, {"id": uid(2), "externalKey": "S00001"}]
        await desk.done("POST", path, {"users": swapped}, 204)
        assert (await desk.get("/users/externalKey%3AS00002"))["userId"] == uid(1)
        await desk.done("POST", path, {"users": [{"id": uid(1), "externalKey": None}]}, 204)
        taken = [{"id": uid(1), "externalKey": "neu"}, {"id": uid(2), "externalKey": "S00003"}]
        await desk.refused("POST", path, {"users": taken}, 409, "CONFLICT")
        same = [{"id": uid(number), "externalKey": "same"} for number in (1, 2)]
        await desk.refused("POST", path, {"users": same}, 409, "CONFLICT")
        unknown = [{"id": uid(1), "externalKey": "x"}, {"id": "nobody", "externalKey": "y"}]
        await desk.refused("POST", path, {"users": unknown}, 404, "NOT_FOUND")
        for rubbish in ([], [{}], [{"id": uid(1), "externalKey": "a/b"}], [{"id": uid(1)}] * 51, None, [5]):
            await desk.wrong("POST", path, {"users": rubbish})
        keyless = await desk.get(path, hasExternalKey="false")
        assert [entry["id"] for entry in keyless["users"]] == [uid(1)]
        listed = await desk.pages(path, "users", hasExternalKey="true", count=2)
        assert [entry["externalKey"] for entry in listed] == ["S00000", "S00001", "S00003"]
        assert set(listed[0]) == {"domainId", "name", "email", "id", "externalKey"}

    at_desk(test, people=3)


def test_scopes_open_what_the_table_says() -> None:
    """Part 1 §3."""

    async def test(desk: Desk) -> None:
        bench = desk.bench
        reads = ("user", "user.read", "directory", "directory.read")
        for scope in reads:
            assert (await bench.api("GET", "/users", headers=bench.bearer(scope))).status_code == 200
        for scope in ("user.read", "directory.read", "bot", "orgunit"):
            answer = await bench.api("POST", "/users", new_member(), headers=bench.bearer(scope))
            assert (answer.status_code, answer.json()["code"]) == (403, "ACCESS_DENIED")
        headers = bench.bearer("user")
        assert (await bench.api("GET", "/users/external-keys", headers=headers)).status_code == 403
        assert (await bench.api("POST", "/users", new_member(), headers=headers)).status_code == 201

    at_desk(test)


def test_only_service_accounts_and_the_super_admin_write() -> None:
    """Part 1 §2.8, §3."""

    async def test(desk: Desk) -> None:
        bench = desk.bench
        for number, status in ((1, 403), (0, 200)):
            headers = bench.bearer(user_id=uid(number))
            answer = await bench.api("PATCH", f"/users/{uid(1)}", {"nickName": "x"}, headers=headers)
            assert answer.status_code == status
        assert (await bench.api("GET", "/users/me", headers=bench.bearer(user_id=uid(1)))).json()[
            "userId"
        ] == uid(1)

    at_desk(test, people=1)


def test_the_free_plan_reads_only() -> None:
    """Part 1 §3."""

    async def test(desk: Desk) -> None:
        assert (await desk.get("/users"))["users"]
        await desk.refused("POST", "/users", new_member(), 403, "ACCESS_DENIED")

    at_desk(test, plan="free")


def test_aliases_and_their_place_on_the_advanced_plan() -> None:
    """Part 1 §4.2: at most ten, nobody else's."""

    async def test(desk: Desk) -> None:
        path = f"/users/{uid(1)}/alias-emails"
        await desk.done("POST", f"{path}/kacho%40city-demo", None, 204)
        assert (await desk.get(f"/users/{uid(1)}"))["aliasEmails"] == ["kacho@city-demo"]
        await desk.wrong("POST", f"{path}/kacho%40city-demo", None)
        await desk.wrong("POST", "/users", new_member("kacho"), "email")
        await desk.done("DELETE", f"{path}/kacho%40city-demo", None, 204)
        await desk.refused("DELETE", f"{path}/kacho%40city-demo", None, 404, "NOT_FOUND")
        await desk.member("kacho")

    at_desk(test, people=1, plan="advanced")


# -- many people ------------------------------------------------------------------------------------


def test_thirty_thousand_members_are_made_found_and_paged_quickly() -> None:
    """A city: a member made, a look-up and a page cost no walk through all of them."""
    tenant = Tenant(domain_id=DOMAIN)

    def make() -> None:
        for number in range(30_000):
            new_user(
                tenant,
                email=f"b{number:05d}@city-demo",
                last_name="試験",
                first_name=str(number),
                external_key=f"B{number:05d}",
                units=("unit",),
            )

    def look_up() -> None:
        for number in range(0, 30_000, 3):
            found = find_user(tenant, f"b{number:05d}@city-demo")
            assert found is not None
            assert found is find_user(tenant, f"externalKey:B{number:05d}")

    _, made = in_stints(make)
    _, found = in_stints(look_up)
    assert made < 60, "a walk through all for each would be thousands"
    assert found < 60
