"""Members: the user object, passwords, create, list (part 1 §4.2, §4.4 to §4.6), scopes (§3)."""

from __future__ import annotations

import json
from typing import Any

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import PASSWORD, STILL, Choices, Desk, at_desk, new_member

# -- create (§4.2, §4.5) ----------------------------------------------------------------------------


@paragraph("1 §4.5", "1 §2.1")
def test_the_smallest_body_that_is_known_to_work() -> None:
    """DomainId, email, lastName, passwordConfig; one automatic organization without units."""

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


@paragraph("1 §4.2")
def test_every_property_comes_back() -> None:
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


@paragraph("1 §2.4", "1 §4.2")
def test_a_wrong_property_is_400_and_named() -> None:
    """INVALID_PARAMETER, the text names it; nothing is made."""

    async def test(desk: Desk) -> None:
        for key, value in WRONG:
            answer = await desk.call("POST", "/users", new_member(**{key: value}))
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER"), (key, value)
            said = answer.json()["description"]
            assert key in said or said == STILL.not_on_this_plan[2] or "privateEmail" in said, (key, value)
        assert len((await desk.get("/users"))["users"]) == 1  # the administrator alone

    at_desk(test)


@paragraph("1 §2.4", "1 §4.5")
def test_duplicates_are_400_and_the_login_id_is_told_first() -> None:
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


# -- passwords (§4.4) -------------------------------------------------------------------------------


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


@paragraph("1 §4.4")
def test_the_password_policy() -> None:
    """8 to 20, letters and digits, no three equal or following characters; not said again."""

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


@paragraph("1 §4.4")
def test_a_policy_with_symbols() -> None:
    """A tenant's setting."""

    async def test(desk: Desk) -> None:
        config = {"passwordCreationType": "ADMIN", "password": "Kx7mTq9rb"}
        await desk.wrong("POST", "/users", new_member(passwordConfig=config), "policy")

    at_desk(test, choices=Choices(password_policy="letters+digits+symbols"))


@paragraph("1 §4.2", "1 §4.4")
def test_an_initial_password_is_never_given_back_nor_kept_readable() -> None:
    """PasswordConfig is never returned."""

    async def test(desk: Desk) -> None:
        user = await desk.member()
        everything = json.dumps([user, await desk.get("/users"), list(desk.tenant.tables.items())])
        assert PASSWORD not in everything
        assert "password" not in json.dumps(user).lower()

    at_desk(test)


@paragraph("1 §4.4")
def test_a_password_is_only_taken_at_creation() -> None:
    async def test(desk: Desk) -> None:
        config = {"passwordConfig": {"passwordCreationType": "ADMIN", "password": PASSWORD}}
        await desk.wrong("PATCH", f"/users/{uid(1)}", config, "passwordConfig")

    at_desk(test, people=1)


# -- list (§4.6) ------------------------------------------------------------------------------------


@paragraph("1 §4.6")
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


# -- who may (§3) -----------------------------------------------------------------------------------


@paragraph("1 §3")
def test_scopes_open_what_the_table_says() -> None:
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


@paragraph("1 §3")
def test_only_service_accounts_and_the_super_admin_write() -> None:
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


@paragraph("1 §3", "1 §1.9")
def test_the_free_plan_reads_only() -> None:
    async def test(desk: Desk) -> None:
        assert (await desk.get("/users"))["users"]
        await desk.refused("POST", "/users", new_member(), 403, "ACCESS_DENIED")

    at_desk(test, plan="free")
