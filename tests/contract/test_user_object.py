"""The user object by its properties: values at their limit, what is read only, defaults (part 1 §4.2)."""

from __future__ import annotations

from typing import Any

import pytest

from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.directory_state import set_account
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import PASSWORD, Desk, at_desk, in_unit, new_member

AT_THE_LIMIT: list[tuple[str, Any]] = [
    ("email", "a" * 40 + "@city-demo"),
    ("email", "a0@city-demo"),
    ("email", "0a.b_c-d@city-demo"),
    ("email", "ab@" + "x" * 87),
    ("userExternalKey", "x" * 100),
    ("userName", {"lastName": "字" * 80}),
    ("userName", {"firstName": "字" * 80}),
    ("userName", {"lastName": "字" * 40, "firstName": "字" * 40}),
    ("userName", {"lastName": "!@&()-_+[]{},./#'^~`"}),
    ("userName", {"lastName": "字", "phoneticLastName": "カ" * 100, "phoneticFirstName": "ー" * 100}),
    ("i18nNames", [{"language": "en_US", "firstName": "x" * 100, "lastName": "y" * 100}]),
    ("i18nNames", [{"language": x} for x in ("ja_JP", "ko_KR", "en_US", "zh_CN", "zh_TW")]),
    ("nickName", "x" * 100),
    ("privateEmail", "x" * 64 + "@" + "y" * 191),
    ("telephone", "0" * 100),
    ("telephone", "1+-*#PTpt()"),
    ("cellPhone", "0" * 100),
    ("location", "x" * 100),
    ("task", "x" * 100),
    ("messenger", {"protocol": "CUSTOM", "customProtocol": "x" * 100, "messengerId": "y" * 100}),
    *(("messenger", {"protocol": name, "messengerId": "y"}) for name in ("LINE", "FACEBOOK", "X")),
    ("birthday", "1904-02-29"),
    ("birthdayCalendarType", "LUNAR"),
    ("employeeNumber", "x" * 20),
    ("employeeNumber", "0"),
    ("activationDate", "2030-04-01T00:00:00+09:00"),
    *(("locale", x) for x in ("ja_JP", "ko_KR", "en_US", "zh_CN", "zh_TW")),
    ("timeZone", "America/Argentina/ComodRivadavia"),
]
OVER: list[tuple[str, Any]] = [
    ("email", "ab@" + "x" * 88),
    ("userExternalKey", "x" * 101),
    ("userName", {"lastName": "字" * 81}),
    ("userName", {"lastName": "字" * 40, "firstName": "字" * 41}),
    ("userName", {"lastName": "字", "phoneticLastName": "カ" * 101}),
    *(("userName", {"lastName": f"字{letter}"}) for letter in '"$%*:;<=>?\\|'),
    ("i18nNames", [{"language": "en_US", "firstName": "x" * 101}]),
    ("nickName", "x" * 101),
    ("privateEmail", "x" * 64 + "@" + "y" * 192),
    ("privateEmail", "x" * 65 + "@y"),
    ("telephone", "0" * 101),
    ("telephone", "+-*#PTpt()"),
    ("location", "x" * 101),
    ("task", "x" * 101),
    ("messenger", {"protocol": "CUSTOM", "customProtocol": "x" * 101, "messengerId": "y"}),
    ("messenger", {"protocol": "LINE", "messengerId": "y" * 101}),
    ("messenger", {"protocol": "LINE", "messengerId": ""}),
    ("messenger", {"protocol": "CUSTOM", "messengerId": "y"}),
    ("birthday", "1900-02-29"),
    ("employeeNumber", "x" * 21),
    ("activationDate", "2030-04-01T00:00:00.0+09:00"),
]


@paragraph("1 §4.2")
def test_a_value_at_its_limit_is_taken_and_one_beyond_is_not() -> None:
    async def test(desk: Desk) -> None:
        for number, (key, value) in enumerate(AT_THE_LIMIT, 10):
            user = await desk.done("POST", "/users", new_member(f"m{number}", **{key: value}), 201)
            shown = user[key]
            if isinstance(value, dict):
                shown = {name: item for name, item in shown.items() if item is not None}
            if key != "i18nNames":
                assert shown == value, key
        for key, value in OVER:
            await desk.wrong("POST", "/users", new_member("over", **{key: value}), key)

    at_desk(test)


@paragraph("1 §4.2", "1 §4.7")
def test_what_is_read_only_is_not_written() -> None:
    """Authority and state cannot be changed by a body: only in the console, or by calls of their own."""
    tried = {
        "userId": "another",
        "isAdministrator": True,
        "isPending": True,
        "isSuspended": True,
        "isDeleted": True,
        "isAwaiting": True,
        "suspendedReason": "MASTER",
        "leaveOfAbsence": {"isLeaveOfAbsence": True},
        "userTypeName": "x",
        "employmentTypeName": "x",
    }

    async def test(desk: Desk) -> None:
        before = await desk.get(f"/users/{uid(1)}")
        assert await desk.done("PATCH", f"/users/{uid(1)}", tried) == before
        bare = {key: before[key] for key in ("domainId", "email", "userName", "userExternalKey")}
        put = await desk.done("PUT", f"/users/{uid(1)}", {**bare, **tried})
        assert {key: put[key] for key in tried} == {key: before[key] for key in tried}
        made = await desk.member("taro", **tried)
        assert (made["isAdministrator"], made["isSuspended"], made["isDeleted"]) == (False, False, False)
        assert made["userId"] != "another"

    at_desk(test, people=1)


@paragraph("1 §4.2", "1 §10")
def test_a_sub_administrator_does_not_show_and_cannot_be_deleted() -> None:
    """`isAdministrator` is true for super administrators alone, as measured."""

    async def test(desk: Desk) -> None:
        set_account(desk.tenant, uid(1), sub_administrator=True)  # given in the console
        shown = [(await desk.get(f"/users/{uid(number)}"))["isAdministrator"] for number in (0, 1)]
        assert shown == [True, False]
        await desk.wrong("DELETE", f"/users/{uid(1)}", None, "Administrators")
        await desk.done("POST", f"/users/{uid(1)}/suspend", None, 204)
        await desk.done("DELETE", f"/users/{uid(1)}/forcedelete", None, 204)

    at_desk(test, people=1)


@paragraph("1 §4.2")
def test_defaults_of_what_is_not_sent() -> None:
    async def test(desk: Desk) -> None:
        user = await desk.member()
        assert (user["searchable"], user["locale"], user["timeZone"]) == (True, "ja_JP", "Asia/Tokyo")
        await desk.unit(orgUnitExternalKey="K")
        user = await desk.member("jiro", organizations=in_unit("externalKey:K"))
        (unit,) = user["organizations"][0]["orgUnits"]
        flags = {key: unit[key] for key in ("isManager", "visible", "useTeamFeature", "primary")}
        assert flags == {"isManager": False, "visible": True, "useTeamFeature": True, "primary": True}
        assert user["organizations"][0]["organizationName"]

    at_desk(test)


@paragraph("1 §4.2", "1 §4.4")
def test_the_default_password_kind_is_member_and_needs_a_private_address() -> None:
    async def test(desk: Desk) -> None:
        for config in (None, {}, {"passwordCreationType": "MEMBER"}):
            await desk.wrong("POST", "/users", new_member(passwordConfig=config), "privateEmail")
        mail = {"privateEmail": "taro@home.example.invalid", "passwordConfig": None}
        user = await desk.done("POST", "/users", new_member(**mail), 201)
        assert user["isPending"] is True
        assert "passwordConfig" not in user
        only_kind = {"passwordCreationType": "ADMIN"}
        await desk.wrong("POST", "/users", new_member("x1", passwordConfig=only_kind), "password")

    at_desk(test)


@paragraph("1 §4.2")
def test_who_is_related_shows_their_external_key() -> None:
    async def test(desk: Desk) -> None:
        entry = {"relationUserId": "s00002@city-demo", "relationName": "課長"}
        shown = await desk.done("PATCH", f"/users/{uid(1)}", {"relations": [entry] * 10})
        expected = {"relationUserId": uid(2), "relationName": "課長", "externalKey": "S00002"}
        assert shown["relations"] == [expected] * 10
        await desk.wrong("PATCH", f"/users/{uid(1)}", {"relations": [entry] * 11}, "relations")
        nobody = {"relations": [{**entry, "relationUserId": "nobody"}]}
        await desk.refused("PATCH", f"/users/{uid(1)}", nobody, 404, "NOT_FOUND")

    at_desk(test, people=2)


@paragraph("1 §4.2")
def test_x_is_taken_for_twitter_where_twitter_still_is() -> None:
    async def test(desk: Desk) -> None:
        given = {"protocol": "TWITTER", "messengerId": "a"}
        user = await desk.member(messenger=given)
        assert user["messenger"] == {"protocol": "X", "customProtocol": None, "messengerId": "a"}

    at_desk(test, choices=Choices(people_answer=False, people_log_in=False, messenger_twitter=True))


@paragraph("1 §4.2", "1 §2.4")
def test_both_duplicates_name_the_address_alone() -> None:
    async def test(desk: Desk) -> None:
        await desk.member("taro", userExternalKey="S1")
        said = await desk.wrong("POST", "/users", new_member("taro", userExternalKey="S1"))
        assert "email" in said
        assert "userExternalKey" not in said
        await desk.done("DELETE", "/users/taro%40city-demo", None, 204)
        await desk.wrong("POST", "/users", new_member("taro"), "email")  # still taken for seven days
        await desk.wrong("POST", "/users", new_member("jiro", userExternalKey="S1"), "userExternalKey")

    at_desk(test)


@paragraph("1 §1.9")
@pytest.mark.parametrize(
    ("scope", "there", "not_there"),
    [
        ("user.email.read", {"userId", "email"}, {"userName", "cellPhone", "isPending"}),
        ("user.profile.read", {"userId", "userName", "cellPhone"}, {"email", "privateEmail", "isPending"}),
    ],
)
def test_a_narrow_scope_reads_a_part(scope: str, there: set[str], not_there: set[str]) -> None:
    async def test(desk: Desk) -> None:
        headers = desk.bench.bearer(scope)
        for path in (f"/users/{uid(1)}", "/users"):
            answer = await desk.bench.api("GET", path, headers=headers)
            assert answer.status_code == 200
            user = answer.json()["users"][0] if path == "/users" else answer.json()
            assert there <= set(user)
            assert not not_there & set(user)
        for method, path in (
            ("PATCH", f"/users/{uid(1)}"),
            ("GET", "/orgunits"),
            ("GET", "/users/external-keys"),
        ):
            assert (await desk.bench.api(method, path, {}, headers=headers)).status_code == 403
        whole = desk.bench.bearer(scope, "user.read")
        user = (await desk.bench.api("GET", f"/users/{uid(1)}", headers=whole)).json()
        assert there | not_there <= set(user)

    at_desk(test, people=1)


@paragraph("1 §4.5")
def test_without_organizations_there_is_an_automatic_one() -> None:
    async def test(desk: Desk) -> None:
        for given in (None, []):
            login = f"m{given is None:d}x"
            user = await desk.member(login, organizations=given)
            (company,) = user["organizations"]
            assert (company["domainId"], company["primary"], company["orgUnits"]) == (DOMAIN, True, [])
        assert PASSWORD not in str(user)

    at_desk(test)


@paragraph("1 §4.2", "1 §3")
def test_a_user_type_may_be_named_by_key_and_under_its_old_name() -> None:
    """Both names are shown, the old one deprecated; while user types are off there is none."""

    async def test(desk: Desk) -> None:
        await desk.wrong("PATCH", f"/users/{uid(1)}", {"userTypeId": "externalKey:T"}, "userTypeId")
        await desk.done("POST", "/directory/user-types/enable", None, 204)
        kind = {"domainId": DOMAIN, "displayOrder": 1, "userTypeName": "常勤", "userTypeExternalKey": "T"}
        type_id = (await desk.done("POST", "/directory/user-types", kind, 201))["userTypeId"]
        for name in ("userTypeId", "employmentTypeId"):
            await desk.done("PATCH", f"/users/{uid(1)}", {"userTypeId": None})
            user = await desk.done("PATCH", f"/users/{uid(1)}", {name: "externalKey:T"})
            for prefix in ("userType", "employmentType"):
                shown = [user[f"{prefix}{part}"] for part in ("Id", "ExternalKey", "Name")]
                assert shown == [type_id, "T", "常勤"]
        await desk.done("POST", "/directory/user-types/disable", None, 204)
        user = await desk.get(f"/users/{uid(1)}")
        assert (user["userTypeId"], user["employmentTypeName"]) == (None, None)

    at_desk(test, people=1)
