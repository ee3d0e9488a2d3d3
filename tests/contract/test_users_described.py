"""The description of members' bodies is honest: what is taken fits it, most of what is refused does not."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.paragraphs import paragraph
from tests.contract.test_described import description, fits
from tests.contract.test_user_object import AT_THE_LIMIT, OVER
from tests.contract.test_users import WRONG
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import Desk, at_desk, in_unit, new_member
from tests.sandbox.test_hostile import SCALARS, spoil

NUMBER = itertools.count(1)
ADDRESS = "taro@home.example.invalid"


def member() -> dict[str, Any]:
    """A body with everything in it, to be spoilt."""
    number = next(NUMBER)
    company = in_unit("externalKey:K", isManager=False, visible=True, useTeamFeature=None, positionId=None)
    company[0] |= {"email": None, "levelId": None}
    return new_member(
        f"m{number}",
        userExternalKey=f"M{number}",
        userName={"lastName": "試験", "firstName": "花子", "phoneticLastName": "シケン"},
        i18nNames=[{"language": "en_US", "firstName": "Hanako", "lastName": "Shiken"}],
        nickName="はな",
        privateEmail=ADDRESS,
        aliasEmails=[],
        searchable=True,
        telephone="06-0000-0000",
        cellPhone=None,
        location="本庁",
        task="",
        messenger={"protocol": "CUSTOM", "customProtocol": "無線", "messengerId": "1"},
        birthdayCalendarType="SOLAR",
        birthday="1980-01-01",
        hiredDate="2001-04-01",
        locale="ja_JP",
        timeZone="Asia/Tokyo",
        employeeNumber="000001",
        activationDate="2030-04-01T00:00:00+09:00",
        customProperties={},
        relations=[{"relationUserId": uid(1), "relationName": "上司"}],
        organizations=company,
    )


def bodies(chance: random.Random) -> list[dict[str, Any]]:
    found = [{**member(), key: value} for key, value in (*AT_THE_LIMIT, *OVER, *WRONG)]
    found += [{**member(), key: value} for key in member() for value in chance.sample(SCALARS, 5)]
    found += [{key: value for key, value in member().items() if key != left_out} for left_out in member()]
    for _ in range(150):
        found.append(spoil(chance, member()))
    return found


def misfit(name: str, body: Any) -> list[str]:
    """Where a body is not as described."""
    return [f"{error.json_path}: {error.message[:200]}" for error in description(name).iter_errors(body)]


async def tried(
    desk: Desk, name: str, method: str, path: Callable[[], str], given: list[Any], success: int, least: int
) -> None:
    """Whatever is taken is described; of what is refused, `least` in a hundred is described as wrong."""
    right = refused = 0
    for body in given:
        answer = await desk.call(method, path(), body)
        described = fits(name, body)
        if answer.status_code == success:
            assert described, f"taken, but not as described: {misfit(name, body)}"
        else:
            refused += 1
            right += not described
            assert answer.status_code in (400, 403, 404, 409), answer.text
    assert refused > 10
    assert right * 100 >= least * refused, (right, refused)


@paragraph("1 §4.2", "1 §4.3", "1 §4.4", "1 §4.5", "1 §4.7")
@pytest.mark.parametrize(
    ("name", "method", "path", "success"),
    [
        ("users.create", "POST", "/users", 201),
        ("users.replace", "PUT", f"/users/{uid(2)}", 200),
        ("users.patch", "PATCH", f"/users/{uid(2)}", 200),
    ],
)
def test_members_are_as_described(name: str, method: str, path: str, success: int) -> None:
    async def test(desk: Desk) -> None:
        await desk.unit(orgUnitExternalKey="K")
        given = bodies(random.Random(7))
        if name != "users.create":
            for body in given:
                if isinstance(body, dict):
                    body.pop("passwordConfig", None)
        await tried(desk, name, method, lambda: path, [*given, *SCALARS], success, 70)

    at_desk(test, people=2)


@paragraph("1 §4.7", "1 §4.8", "1 §3")
def test_what_is_done_to_members_is_as_described() -> None:
    leave = {"startTime": "2027-02-01T00:00:00+09:00", "endTime": "2027-03-01T00:00:00+09:00"}
    calls: list[tuple[str, str, str, dict[str, Any], int]] = [
        ("users.leave.set", "POST", "set-leave-of-absence", leave, 204),
        ("users.invite", "POST", "send-invitation-email", {"usePrivateEmail": False, "email": ADDRESS}, 204),
        ("users.photo.announce", "POST", "photo", {"fileName": "a.jpg", "fileSize": 5}, 200),
        (
            "users.statuses.create",
            "POST",
            "user-profile-statuses",
            {**leave, "statusText": "出張", "profileStatusId": None},
            201,
        ),
        (
            "users.move",
            "POST",
            "move",
            {
                "domainId": DOMAIN + 1,
                "email": "neu@other-demo",
                "userExternalKey": "N",
                "organizations": [{"domainId": DOMAIN + 1, "primary": True, "orgUnits": []}],
                "preserveGroup": True,
            },
            200,
        ),
    ]

    async def test(desk: Desk) -> None:
        desk.tenant.set("domains", [DOMAIN, DOMAIN + 1])
        chance = random.Random(7)
        logins: list[str] = []

        async def fresh() -> None:
            logins.append(f"f{next(NUMBER)}")
            await desk.member(logins[-1])

        for name, method, path, good, success in calls:
            given: list[Any] = [
                good,
                *({**good, key: value} for key in good for value in chance.sample(SCALARS, 10)),
            ]
            given += [spoil(chance, good) for _ in range(30)]
            for body in given:
                await fresh()
                answer = await desk.call(method, f"/users/{logins[-1]}%40city-demo/{path}", body)
                if answer.status_code == success:
                    assert fits(name, body), f"{name}: taken, but not as described: {misfit(name, body)}"
                    if name == "users.move":
                        user_id = answer.json()["userId"]
                        await desk.done("DELETE", f"/users/{user_id}/forcedelete", None, 204)
            assert answer.status_code != 500

    at_desk(test, people=1)
