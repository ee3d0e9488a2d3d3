"""From the hand-out to the last day: who has logged in, who may come back, who leads (part 1 §4, §9)."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest

from bousai_kit.sandbox.tenant import iso
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import PASSWORD, STILL, Desk, at_desk, in_unit, new_member

NEW = "Neu-4829-qz"


async def login(desk: Desk, name: str, password: str, following: str | None = None) -> str:
    body = {"login": f"{name}@city-demo", "password": password}
    if following is not None:
        body["newPassword"] = following
    return str((await desk.bench.admin("POST", "/login", body)).json()["state"])


async def export(desk: Desk, service: str, language: str = "en_US") -> list[dict[str, str]]:
    """Rows of an audit log: 302, then the file with the token."""
    await desk.clock.sleep(desk.bench.sandbox.choices.log_open_s + 120)
    until = desk.clock.now()
    span = {"startTime": iso(until - timedelta(days=31)), "endTime": iso(until), "language": language}
    found = await desk.call("GET", "/audits/logs/download", params={"service": service, **span})
    assert found.status_code == 302, found.text
    answer = await desk.bench.http.get(found.headers["location"], headers=desk.bench.headers)
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


# -- has this person logged in? (§9) ----------------------------------------------------------------


@paragraph("1 §9", "1 §4.1")
def test_is_pending_is_the_only_sign_of_a_first_login_that_the_directory_gives() -> None:
    async def test(desk: Desk) -> None:
        user = await desk.member()
        words = ("status", "lastLogin", "lastAccess", "device", "appInstalled")
        assert not [key for key in user if any(word.lower() in key.lower() for word in words)]
        assert await login(desk, "taro", PASSWORD, NEW) == "again"
        assert (await desk.get(f"/users/{user['userId']}"))["isPending"] is True
        assert await login(desk, "taro", NEW) == "in"
        after = await desk.get(f"/users/{user['userId']}")
        assert after == {**user, "isPending": False}

    at_desk(test)


@paragraph("1 §9")
@pytest.mark.parametrize("language", ["en_US", "ja_JP"])
def test_each_try_to_log_in_is_a_row_of_the_auth_log(language: str) -> None:
    async def test(desk: Desk) -> None:
        await desk.member()
        for password, following in (("Wrong-777x", None), (PASSWORD, None), (PASSWORD, NEW), (NEW, None)):
            await login(desk, "taro", password, following)
        rows = await export(desk, "auth", language)
        assert len(rows) == 4
        words = [" ".join(row.values()) for row in rows]
        assert all("taro@city-demo" in line for line in words)
        assert len({tuple(row) for row in rows}) == 1, "one header"
        ended = [[value for value in row.values() if value and "taro" not in value] for row in rows]
        assert ended[0] != ended[3], "a failure does not read like a success"

    at_desk(test)


@paragraph("1 §9")
def test_what_administrators_do_to_members_is_in_the_admin_log() -> None:
    async def test(desk: Desk) -> None:
        user_id = (await desk.member())["userId"]
        await desk.done("POST", f"/users/{uid(1)}/suspend", None, 204)
        await desk.done("DELETE", f"/users/{user_id}", None, 204)
        rows = await export(desk, "admin")
        assert len(rows) == 3
        assert len({" ".join(row.values()) for row in rows}) == 3

    at_desk(test, people=1)


# -- pending (§4.1, §4.4) ---------------------------------------------------------------------------


@paragraph("1 §4.1", "1 §4.4")
def test_an_admin_password_that_nobody_used_for_30_days_is_worth_nothing() -> None:
    async def test(desk: Desk) -> None:
        user_id = (await desk.member())["userId"]
        await desk.days(29.9)
        assert await login(desk, "taro", PASSWORD) == "change"
        await desk.days(0.2)
        assert await login(desk, "taro", PASSWORD, NEW) == "expired"
        assert (await desk.get(f"/users/{user_id}"))["isPending"] is True
        mail = {"usePrivateEmail": False, "email": "taro@home.example.invalid"}
        await desk.done("POST", f"/users/{user_id}/send-invitation-email", mail, 204)
        assert await login(desk, "taro", PASSWORD, NEW) == "again"
        assert await login(desk, "taro", NEW) == "in"
        await desk.wrong("POST", f"/users/{user_id}/send-invitation-email", mail, "pending")

    at_desk(test)


@paragraph("1 §4.4")
def test_failures_count_from_the_last_success_on() -> None:
    async def test(desk: Desk) -> None:
        config = {"passwordCreationType": "ADMIN", "password": PASSWORD, "changePasswordAtNextLogin": False}
        await desk.member(passwordConfig=config)
        for _ in range(3):
            for _ in range(STILL.login_failures - 1):
                assert await login(desk, "taro", "Wrong-777x") == "wrong"
            assert await login(desk, "taro", PASSWORD) == "in"
        for _ in range(STILL.login_failures):
            assert await login(desk, "taro", "Wrong-777x") == "wrong"
        assert await login(desk, "taro", PASSWORD) == "suspended"
        user = await desk.get("/users/taro%40city-demo")
        assert (user["isSuspended"], user["suspendedReason"]) == (True, "LOGIN_FAIL")
        assert user["email"] == "taro@city-demo", "data stays"
        await desk.done("POST", "/users/taro%40city-demo/unsuspend", None, 204)
        assert await login(desk, "taro", PASSWORD) == "in"

    at_desk(test)


@paragraph("1 §4.1", "1 §4.4")
def test_a_password_is_case_sensitive_and_a_new_one_must_meet_the_policy() -> None:
    async def test(desk: Desk) -> None:
        await desk.member()
        assert await login(desk, "taro", PASSWORD.swapcase()) == "wrong"
        for poor in ("short1", "abcdefgh", "Neu-4829-qqq", "Neu-4829-zyx"):
            body = {"login": "taro@city-demo", "password": PASSWORD, "newPassword": poor}
            answer = await desk.bench.admin("POST", "/login", body)
            assert answer.status_code == 400, poor
            assert poor not in answer.text
        assert await login(desk, "taro", PASSWORD, NEW) == "again"

    at_desk(test)


@paragraph("1 §4.4", "1 §4.8")
def test_an_invitation_to_all_goes_once_a_day_to_those_who_need_one() -> None:
    by_mail = {"passwordConfig": {"passwordCreationType": "MEMBER"}}

    async def test(desk: Desk) -> None:
        for login_id in ("aa", "bb"):
            await desk.member(login_id, privateEmail=f"{login_id}@home.example.invalid", **by_mail)
        await desk.member("cc", privateEmail="cc@home.example.invalid")  # ADMIN
        await desk.done("DELETE", "/users/bb%40city-demo", None, 204)
        mails = desk.tenant.table("mails")
        first = len(mails)
        for wrong in ({"resultEmailReceiver": "x"}, {"resultEmailReceiver": "x" * 257}, {"domainId": "1"}):
            await desk.wrong("POST", "/users/send-invitation-email", wrong)
        await desk.done("POST", "/users/send-invitation-email", {"domainId": DOMAIN}, 202)
        assert [mail["to"] for mail in list(mails.values())[first:]] == ["aa@home.example.invalid"]
        await desk.wrong("POST", "/users/send-invitation-email", {}, "once a day")

    at_desk(test, people=1)


@paragraph("1 §4.8")
def test_an_invitation_names_where_it_goes() -> None:
    async def test(desk: Desk) -> None:
        await desk.member(privateEmail="taro@home.example.invalid")
        path = "/users/taro%40city-demo/send-invitation-email"
        mails = desk.tenant.table("mails")
        other = "h@home.example.invalid"
        for wrong in (
            {},
            {"usePrivateEmail": "true"},
            {"usePrivateEmail": False},
            {"usePrivateEmail": False, "email": "no address"},
            {"usePrivateEmail": False, "email": "x" * 60 + "@" + "y" * 196},
        ):
            await desk.wrong("POST", path, wrong)
        await desk.done("POST", path, {"usePrivateEmail": True, "email": other}, 204)
        await desk.done("POST", path, {"usePrivateEmail": False, "email": other}, 204)
        assert [mail["to"] for mail in mails.values()] == ["taro@home.example.invalid", other]

    at_desk(test)


# -- leave, suspended, deleted (§4.8) ---------------------------------------------------------------


@paragraph("1 §4.8", "1 §4.1")
def test_a_later_leave_overwrites_an_earlier_one() -> None:
    async def test(desk: Desk) -> None:
        path, now = f"/users/{uid(1)}", desk.clock.now()
        for days in ((1, 2), (0, 5), (3, 4)):
            begin, end = (iso(now + timedelta(days=day)) for day in days)
            body = {"startTime": begin, "endTime": end}
            await desk.done("POST", f"{path}/set-leave-of-absence", body, 204)
            leave = (await desk.get(path))["leaveOfAbsence"]
            assert leave == {**body, "isLeaveOfAbsence": days[0] == 0}
        user = await desk.get(path)
        assert (user["isSuspended"], user["isPending"], user["isDeleted"]) == (False, False, False)
        for wrong in (
            {"endTime": end},
            {"startTime": begin, "endTime": None},
            {"startTime": 5, "endTime": 6},
        ):
            await desk.wrong("POST", f"{path}/set-leave-of-absence", wrong)
        assert (await desk.get(path))["leaveOfAbsence"] == {**body, "isLeaveOfAbsence": False}

    at_desk(test, people=1)


@paragraph("1 §4.8")
def test_who_is_deleted_is_listed_for_seven_days_and_takes_no_change() -> None:
    async def test(desk: Desk) -> None:
        await desk.done("POST", f"/users/{uid(1)}/suspend", None, 204)
        await desk.done("DELETE", f"/users/{uid(1)}", None, 204)
        listed = {user["userId"]: user["isDeleted"] for user in (await desk.get("/users"))["users"]}
        assert listed == {uid(0): False, uid(1): True, uid(2): False}
        for method, path, body in (
            ("PATCH", "", {"task": "x"}),
            ("PUT", "", new_member("s00001")),
            ("POST", "/unsuspend", None),
            ("POST", "/set-leave-of-absence", {}),
            ("POST", "/send-invitation-email", {"usePrivateEmail": True}),
            ("POST", "/photo", {"fileName": "a.jpg", "fileSize": 1}),
            ("POST", "/move", {"domainId": DOMAIN + 1}),
        ):
            await desk.wrong(method, f"/users/{uid(1)}{path}", body, "deleted")
        back = await desk.done("POST", f"/users/{uid(1)}/undelete")
        assert (back["isDeleted"], back["isSuspended"]) == (False, True)

    at_desk(test, people=2)


@paragraph("1 §4.8")
def test_the_super_administrator_stays() -> None:
    async def test(desk: Desk) -> None:
        desk.tenant.set("domains", [DOMAIN, DOMAIN + 1])
        for method, path, body in (
            ("DELETE", "", None),
            ("DELETE", "/forcedelete", None),
            ("POST", "/suspend", None),
            ("POST", "/move", {"domainId": DOMAIN + 1}),
        ):
            await desk.wrong(method, f"/users/{uid(0)}{path}", body)
        assert (await desk.get(f"/users/{uid(0)}"))["isAdministrator"] is True

    at_desk(test)


@paragraph("1 §4.3", "1 §4.8")
def test_a_leader_who_comes_back_does_not_push_out_the_new_one() -> None:
    async def test(desk: Desk) -> None:
        unit = (await desk.unit(orgUnitExternalKey="K"))["orgUnitId"]
        leads = in_unit("externalKey:K", isManager=True)

        async def leaders() -> list[str]:
            members = (await desk.get(f"/orgunits/{unit}/members"))["members"]
            return [member["userId"] for member in members if member["isManager"]]

        for number in (1, 2):
            await desk.done("PATCH", f"/users/{uid(1)}", {"organizations": leads})
            await desk.done("DELETE", f"/users/{uid(1)}", None, 204)
            if number == 2:
                await desk.done("PATCH", f"/users/{uid(2)}", {"organizations": leads})
            await desk.done("POST", f"/users/{uid(1)}/undelete")
            assert await leaders() == [uid(number)]

    at_desk(test, people=2)


# -- move (§4.7) ------------------------------------------------------------------------------------


@paragraph("1 §4.7")
@pytest.mark.parametrize("kept", [True, False, None])
def test_a_move_takes_key_address_and_units_at_once_and_keeps_groups_if_told(kept: bool | None) -> None:
    async def test(desk: Desk) -> None:
        desk.tenant.set("domains", [DOMAIN, DOMAIN + 1])
        there = {"domainId": DOMAIN + 1, "orgUnitName": "局", "displayOrder": 1, "orgUnitExternalKey": "T"}
        await desk.done("POST", "/orgunits", there, 201)
        for number in (1, 2):
            await desk.unit(f"課{number}", orgUnitExternalKey=f"K{number}")
        group = await desk.group(members=[{"id": uid(1), "type": "USER"}])
        units = in_unit("externalKey:T", isManager=True)
        units[0]["domainId"] = DOMAIN + 1
        body: dict[str, Any] = {
            "domainId": DOMAIN + 1,
            "email": "neu@other-demo",
            "userExternalKey": "N1",
            "organizations": units,
            **({} if kept is None else {"preserveGroup": kept}),
        }
        path = f"/users/{uid(1)}/move"
        await desk.wrong("POST", path, {**body, "preserveGroup": "yes"}, "preserveGroup")
        await desk.wrong("POST", path, {**body, "email": "s00002@city-demo"}, "email")
        await desk.wrong("POST", path, {**body, "userExternalKey": "S00002"}, "userExternalKey")
        assert (await desk.get(f"/users/{uid(1)}"))["domainId"] == DOMAIN, "refused: not moved by half"
        moved = await desk.done("POST", path, body)
        assert [moved[key] for key in ("domainId", "email", "userExternalKey")] == [
            DOMAIN + 1,
            "neu@other-demo",
            "N1",
        ]
        assert moved["organizations"][0]["orgUnits"][0]["orgUnitName"] == "局"
        members = (await desk.get(f"/groups/{group['groupId']}"))["members"]
        assert [member["id"] for member in members] == ([uid(1)] if kept else [])
        assert (await desk.get("/users/externalKey%3AN1"))["userId"] == uid(1)

    at_desk(test, people=2)
