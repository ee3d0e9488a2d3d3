"""Members' states: pending, in use, suspended, awaiting, on leave, deleted (part 1 §4.1, §4.4, §4.8, §9)."""

from __future__ import annotations

from datetime import timedelta

from bousai_kit.sandbox.auth import issue
from bousai_kit.sandbox.directory_state import first_login
from bousai_kit.sandbox.tenant import iso
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import SILENT, uid
from tests.sandbox.directorylab import PASSWORD, Desk, at_desk, new_member

FLAGS = ("isPending", "isSuspended", "isDeleted", "isAwaiting")


BY_MAIL = {"passwordConfig": {"passwordCreationType": "MEMBER"}, "privateEmail": "taro@home.example.invalid"}


async def flags(desk: Desk, user_id: str) -> list[str]:
    user = await desk.get(f"/users/{user_id}")
    return [flag for flag in FLAGS if user[flag]]


# -- pending, in use (§4.1, §4.4) -------------------------------------------------------------------


@paragraph("1 §4.1", "1 §4.4")
def test_an_admin_password_needs_two_logins() -> None:
    """Log in, change the password, log in again, and only then leave 登録待ち."""

    async def test(desk: Desk) -> None:
        user_id = (await desk.member())["userId"]

        async def login(password: str, following: str | None = None) -> str:
            body = {"login": "taro@city-demo", "password": password}
            if following is not None:
                body["newPassword"] = following
            answer = await desk.bench.admin("POST", "/login", body)
            return str(answer.json()["state"])

        assert await login("Wrong-777x") == "wrong"
        assert await login(PASSWORD) == "change"
        assert await flags(desk, user_id) == ["isPending"]
        assert await login(PASSWORD, "Neu-4829-qz") == "again"
        assert await flags(desk, user_id) == ["isPending"]
        assert await login(PASSWORD) == "wrong"
        assert await login("Neu-4829-qz") == "in"
        assert await flags(desk, user_id) == []
        rows = [row for row in desk.tenant.table("audit").values() if row["service"] == "auth"]
        assert [row["ok"] for row in rows] == [False, True, True, False, True]

    at_desk(test)


@paragraph("1 §4.4")
def test_without_a_forced_change_one_login_is_enough() -> None:
    async def test(desk: Desk) -> None:
        config = {"passwordCreationType": "ADMIN", "password": PASSWORD, "changePasswordAtNextLogin": False}
        user_id = (await desk.member(passwordConfig=config))["userId"]
        answer = await desk.bench.admin("POST", "/login", {"login": "taro@city-demo", "password": PASSWORD})
        assert answer.json() == {"state": "in"}
        assert await flags(desk, user_id) == []

    at_desk(test)


@paragraph("1 §4.1", "1 §4.4")
def test_failed_logins_suspend() -> None:
    """SuspendedReason LOGIN_FAIL."""

    async def test(desk: Desk) -> None:
        user_id = (await desk.member())["userId"]
        first_login(desk.bench.sandbox, user_id)
        for _ in range(desk.bench.sandbox.choices.login_failures):
            assert await flags(desk, user_id) == []
            await desk.bench.admin("POST", "/login", {"login": "taro@city-demo", "password": "Wrong-777x"})
        user = await desk.get(f"/users/{user_id}")
        assert (user["isSuspended"], user["suspendedReason"]) == (True, "LOGIN_FAIL")
        answer = await desk.bench.admin("POST", "/login", {"login": "taro@city-demo", "password": PASSWORD})
        assert answer.json() == {"state": "suspended"}
        await desk.done("POST", f"/users/{user_id}/unsuspend", None, 204)
        assert await flags(desk, user_id) == []

    at_desk(test)


@paragraph("1 §4.1", "1 §9")
def test_simulated_people_log_in_by_themselves_and_the_auth_log_says_so() -> None:
    """IsPending turns false; each login is a row."""

    async def test(desk: Desk) -> None:
        for number in range(40):
            await desk.member(f"b{number:02d}")
        await desk.days(2)
        users = await desk.pages("/users", "users")
        active = [user["userId"] for user in users if not user["isPending"] and not user["isAdministrator"]]
        assert 36 <= len(active) <= 40
        rows = [row for row in desk.tenant.table("audit").values() if row["service"] == "auth"]
        assert sorted(row["user"] for row in rows) == sorted(active * 2)  # the first one changed the password

    at_desk(test, choices=SILENT)


@paragraph("1 §4.1")
def test_after_30_days_a_pending_member_cannot_start_until_invited_again() -> None:
    async def test(desk: Desk) -> None:
        user_id = (await desk.member("taro", **BY_MAIL))["userId"]
        await desk.days(30)
        assert first_login(desk.bench.sandbox, user_id) is False
        assert await flags(desk, user_id) == ["isPending"]
        await desk.done("POST", f"/users/{user_id}/send-invitation-email", {"usePrivateEmail": True}, 204)
        await desk.days(29.9)
        assert first_login(desk.bench.sandbox, user_id) is True
        assert await flags(desk, user_id) == []
        logins = [row["ok"] for row in desk.tenant.table("audit").values() if row["service"] == "auth"]
        assert logins == [False, True]  # the password was set from the invitation: one login

    at_desk(test)


@paragraph("1 §4.1", "1 §4.2")
def test_a_member_with_a_future_first_day_waits() -> None:
    """IsAwaiting until activationDate."""

    async def test(desk: Desk) -> None:
        begin = iso(desk.clock.now() + timedelta(days=3))
        user_id = (await desk.member(activationDate=begin))["userId"]
        assert await flags(desk, user_id) == ["isPending", "isAwaiting"]
        assert first_login(desk.bench.sandbox, user_id) is False
        await desk.wrong("POST", f"/users/{user_id}/suspend", None)
        await desk.days(2.9)
        assert "isAwaiting" in await flags(desk, user_id)
        later = iso(desk.clock.now() + timedelta(days=2))
        await desk.done("PATCH", f"/users/{user_id}", {"activationDate": later})
        await desk.days(1)
        assert "isAwaiting" in await flags(desk, user_id)  # the first date is no longer the one
        await desk.days(1.1)
        assert await flags(desk, user_id) == []  # who tried too early tries again
        await desk.done("PATCH", f"/users/{user_id}", {"activationDate": None})

    at_desk(test)


@paragraph("1 §4.1", "1 §4.2")
def test_with_sso_a_member_is_in_use_at_once_and_needs_an_external_key() -> None:
    async def test(desk: Desk) -> None:
        desk.tenant.set("sso", True)
        await desk.wrong("POST", "/users", new_member(passwordConfig=None), "userExternalKey")
        user = await desk.member(passwordConfig=None, userExternalKey="S1")
        assert user["isPending"] is False
        await desk.wrong("PATCH", f"/users/{user['userId']}", {"userExternalKey": None}, "userExternalKey")

    at_desk(test)


# -- suspended, logged out, on leave (§4.8) ---------------------------------------------------------


@paragraph("1 §4.8")
def test_suspend_and_unsuspend() -> None:
    """Only members in use, not the super admin."""

    async def test(desk: Desk) -> None:
        pending = (await desk.member())["userId"]
        for wrong in (pending, uid(0)):
            await desk.wrong("POST", f"/users/{wrong}/suspend", None)
        await desk.refused("POST", "/users/nobody/suspend", None, 404, "NOT_FOUND")
        headers = desk.bench.bearer(user_id=uid(1))
        assert (await desk.bench.api("GET", "/users/me", headers=headers)).status_code == 200
        await desk.done("POST", f"/users/{uid(1)}/suspend", None, 204)
        user = await desk.get(f"/users/{uid(1)}")
        assert (user["isSuspended"], user["suspendedReason"]) == (True, "MASTER")
        assert (await desk.bench.api("GET", "/users/me", headers=headers)).status_code == 401
        await desk.wrong("POST", f"/users/{uid(1)}/suspend", None)
        await desk.done("POST", f"/users/{uid(1)}/unsuspend", None, 204)
        user = await desk.get(f"/users/{uid(1)}")
        assert (user["isSuspended"], user["suspendedReason"]) == (False, None)
        await desk.wrong("POST", f"/users/{uid(1)}/unsuspend", None)
        assert [task for task, _ in desk.audited("admin")] == ["create", "suspend", "unsuspend"]

    at_desk(test, people=1)


@paragraph("1 §1.6", "1 §4.8")
def test_a_forced_logout_ends_the_members_tokens_within_minutes() -> None:
    async def test(desk: Desk) -> None:
        mine, others = (desk.bench.bearer(user_id=uid(number)) for number in (1, 2))
        await desk.done("POST", f"/users/{uid(1)}/force-logout", None, 202)
        await desk.clock.sleep(299)
        assert (await desk.bench.api("GET", "/users/me", headers=mine)).status_code == 401
        assert (await desk.bench.api("GET", "/users/me", headers=others)).status_code == 200

    at_desk(test, people=2)


@paragraph("1 §4.8")
def test_leave_of_absence_is_a_period() -> None:
    """Both or none, later settings overwrite earlier ones."""

    async def test(desk: Desk) -> None:
        path = f"/users/{uid(1)}"
        begin, end = (iso(desk.clock.now() + timedelta(days=days)) for days in (1, 3))
        await desk.wrong("POST", f"{path}/set-leave-of-absence", {"startTime": begin})
        await desk.wrong("POST", f"{path}/set-leave-of-absence", {"startTime": end, "endTime": begin})
        await desk.wrong("POST", f"{path}/set-leave-of-absence", {"startTime": "soon", "endTime": end})
        await desk.done("POST", f"{path}/set-leave-of-absence", {"startTime": begin, "endTime": end}, 204)
        shown = [(await desk.get(path))["leaveOfAbsence"]]
        for _ in range(2):
            await desk.days(1.5)
            shown.append((await desk.get(path))["leaveOfAbsence"])
        assert [leave["isLeaveOfAbsence"] for leave in shown] == [False, True, False]
        assert (shown[0]["startTime"], shown[0]["endTime"]) == (begin, end)
        await desk.done("POST", f"{path}/set-leave-of-absence", {}, 204)
        assert (await desk.get(path))["leaveOfAbsence"]["isLeaveOfAbsence"] is True
        await desk.done("POST", f"{path}/clear-leave-of-absence", None, 204)
        assert (await desk.get(path))["leaveOfAbsence"]["isLeaveOfAbsence"] is False

    at_desk(test, people=1)


# -- deleted (§4.1, §4.8) ---------------------------------------------------------------------------


@paragraph("1 §4.1", "1 §4.5", "1 §4.8")
def test_seven_days_to_come_back() -> None:
    """The login id stays taken, rooms are left at once and not joined again."""

    async def test(desk: Desk) -> None:
        room = await desk.bench.room(1, 2)
        group = await desk.group(members=[{"id": uid(1), "type": "USER"}, {"id": uid(2), "type": "USER"}])
        await desk.done("DELETE", f"/users/{uid(1)}", None, 204)
        assert await flags(desk, uid(1)) == ["isDeleted"]
        assert uid(1) in [user["userId"] for user in (await desk.get("/users"))["users"]]
        assert desk.tenant.table("channels")[room]["members"] == [uid(2)]
        members = (await desk.get(f"/groups/{group['groupId']}/members"))["members"]
        assert [member["id"] for member in members] == [uid(2)]
        await desk.wrong("POST", "/users", new_member("s00001"), "email")
        await desk.refused("DELETE", f"/users/{uid(1)}", None, 404, "NOT_FOUND")
        for method, path in (("PATCH", ""), ("POST", "/suspend"), ("POST", "/force-logout")):
            await desk.wrong(method, f"/users/{uid(1)}{path}", {}, "deleted")
        await desk.days(6.9)
        back = await desk.done("POST", f"/users/{uid(1)}/undelete")
        assert (back["userId"], back["isDeleted"]) == (uid(1), False)
        assert desk.tenant.table("channels")[room]["members"] == [uid(2)]
        await desk.wrong("POST", f"/users/{uid(1)}/undelete", None)
        await desk.days(1)
        assert await flags(desk, uid(1)) == []  # the end that was set is off the list

    at_desk(test, people=2)


@paragraph("1 §4.8")
def test_who_is_deleted_again_has_seven_days_again() -> None:
    """The end of the first time does not strike in the second."""

    async def test(desk: Desk) -> None:
        await desk.done("DELETE", f"/users/{uid(1)}", None, 204)
        await desk.days(4)
        await desk.done("POST", f"/users/{uid(1)}/undelete")
        await desk.done("DELETE", f"/users/{uid(1)}", None, 204)
        await desk.days(4)
        assert await flags(desk, uid(1)) == ["isDeleted"]
        await desk.days(3.1)
        await desk.refused("GET", f"/users/{uid(1)}", None, 404, "NOT_FOUND")

    at_desk(test, people=1)


@paragraph("1 §4.8")
def test_after_seven_days_the_member_is_gone_and_the_id_free() -> None:
    async def test(desk: Desk) -> None:
        await desk.done("DELETE", f"/users/{uid(1)}", None, 204)
        await desk.days(7.1)
        await desk.refused("GET", f"/users/{uid(1)}", None, 404, "NOT_FOUND")
        await desk.refused("POST", f"/users/{uid(1)}/undelete", None, 404, "NOT_FOUND")
        again = await desk.member("s00001", userExternalKey="S00001")
        assert again["userId"] != uid(1)

    at_desk(test, people=1)


@paragraph("1 §4.5", "1 §4.8")
def test_forcedelete_frees_the_login_id_at_once() -> None:
    """No way back; the new member is another one."""

    async def test(desk: Desk) -> None:
        ids = []
        for _ in range(3):
            user_id = (await desk.member("taro", userExternalKey="S9"))["userId"]
            ids.append(user_id)
            await desk.done("DELETE", f"/users/{user_id}/forcedelete", None, 204)
            await desk.refused("POST", f"/users/{user_id}/undelete", None, 404, "NOT_FOUND")
        assert len(set(ids)) == 3
        user_id = (await desk.member("taro"))["userId"]
        await desk.done("DELETE", f"/users/{user_id}", None, 204)
        await desk.done("DELETE", f"/users/{user_id}/forcedelete", None, 204)
        await desk.days(8)
        assert user_id not in desk.tenant.table("users")

    at_desk(test)


@paragraph("1 §4.8")
def test_a_token_of_a_purged_member_is_dead() -> None:
    async def test(desk: Desk) -> None:
        token = issue(
            desk.tenant, kind="access", scopes=["user"], life_s=1e6, now=desk.clock.now(), user_id=uid(1)
        )
        await desk.done("DELETE", f"/users/{uid(1)}/forcedelete", None, 204)
        answer = await desk.bench.api("GET", "/users", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401

    at_desk(test, people=1)


@paragraph("1 §4.8")
def test_administrators_stay() -> None:
    async def test(desk: Desk) -> None:
        for path in ("", "/forcedelete"):
            await desk.wrong("DELETE", f"/users/{uid(0)}{path}", None)
        await desk.wrong("PATCH", f"/users/{uid(0)}", {"privateEmail": None}, "privateEmail")

    at_desk(test)


# -- invited (§4.4, §4.8) ---------------------------------------------------------------------------


@paragraph("1 §4.4", "1 §4.8")
def test_invitations() -> None:
    """A mail leaves at once for MEMBER; to all once a day."""

    async def test(desk: Desk) -> None:
        mails = desk.tenant.table("mails")
        taro = (await desk.member("taro", **BY_MAIL))["userId"]
        hanako = (await desk.member("hanako"))["userId"]
        assert [mail["to"] for mail in mails.values()] == [BY_MAIL["privateEmail"]]
        path = f"/users/{hanako}/send-invitation-email"
        await desk.wrong("POST", path, {}, "usePrivateEmail")
        await desk.wrong("POST", path, {"usePrivateEmail": False}, "email")
        await desk.wrong("POST", path, {"usePrivateEmail": True})
        await desk.done("POST", path, {"usePrivateEmail": False, "email": "h@home.example.invalid"}, 204)
        await desk.wrong(
            "POST", f"/users/{uid(1)}/send-invitation-email", {"usePrivateEmail": True}, "pending"
        )
        await desk.done("POST", "/users/send-invitation-email", {}, 202)
        assert [mail["user"] for mail in mails.values()] == [taro, hanako, taro]
        await desk.wrong("POST", "/users/send-invitation-email", {}, "once a day")
        await desk.days(1)
        await desk.done("POST", "/users/send-invitation-email", None, 202)

    at_desk(test, people=1)
