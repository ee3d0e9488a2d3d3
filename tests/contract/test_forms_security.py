"""Survey answers (part 2 §9.2) and the security switch (part 2 §10) by plain HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import Choices, Desk, at_desk, in_unit

FORM = "/forms/f1/responses"
SWITCH = "/security/external-browser"
TYPES = ("SINGLE_CHOICE", "MULTIPLE_CHOICE", "TEXT", "SINGLE_DATE", "MULTIPLE_DATE", "DROPDOWN")


def answered(*numbers: int, **more: Any) -> dict[str, Any]:
    """A form of member 1, answered by some members."""
    return {"managers": [uid(1)], "responses": [{"userId": uid(number), **more} for number in numbers]}


# -- forms ------------------------------------------------------------------------------------------


@paragraph("2 §9.2")
def test_forms_are_refused_for_service_accounts() -> None:
    """[C], and part 1 §1.1 [D]: a user's token is needed, of the creator or a co-manager."""

    async def test(desk: Desk) -> None:
        bench = desk.bench
        assert (await bench.admin("PUT", "/forms/f1", answered(2))).status_code == 204
        for path in (FORM, f"{FORM}/f1-000001/attachments/1"):
            await desk.refused("GET", path, None, 403, "ACCESS_DENIED")
        for number, scope, status in (
            (1, "form", 200),
            (1, "form.read", 200),
            (1, "board", 403),
            (2, "form", 403),
            (0, "form", 403),  # an administrator who is no manager of the form
        ):
            headers = bench.bearer(scope, user_id=uid(number))
            assert (await bench.api("GET", FORM, headers=headers)).status_code == status, (number, scope)
        answer = await bench.api("GET", "/forms/x/responses", headers=bench.bearer("form", user_id=uid(1)))
        assert (answer.status_code, answer.json()["code"]) == (403, "ACCESS_DENIED")
        for method, path in (("POST", "/forms"), ("POST", "/forms/f1"), ("GET", "/forms/f1")):
            await desk.refused(
                method, path, {} if method == "POST" else None, 404, "NOT_FOUND", "Api not exists"
            )

    at_desk(test, people=2)


@paragraph("2 §9.2")
def test_answers_carry_time_respondent_and_questions() -> None:
    async def test(desk: Desk) -> None:
        bench = desk.bench
        await desk.unit("危機管理室", orgUnitExternalKey="K")
        await desk.unit("課", orgUnitExternalKey="L")
        await desk.done(
            "PATCH", f"/users/{uid(2)}", {"organizations": in_unit("externalKey:K", "externalKey:L")}
        )
        questions = [{"questionId": f"q{at}", "questionType": kind} for at, kind in enumerate(TYPES)]
        await bench.admin("PUT", "/forms/f1", answered(2, questions=questions))
        listed = await bench.api("GET", FORM, headers=bench.bearer("form", user_id=uid(1)))
        assert listed.json() == {
            "responses": [
                {
                    "formId": "f1",
                    "responseId": "f1-000001",
                    "respondedTime": "2027-01-17T09:00:03+09:00",
                    "respondent": {
                        "id": uid(2),
                        "name": "試験 00002",
                        "email": "s00002@city-demo",
                        "organizationName": "防災市（練習用）",
                        "orgUnitName": "危機管理室",
                    },
                    "questions": questions,
                }
            ],
            "responseMetaData": {"nextCursor": None},
        }

    async def run(desk: Desk) -> None:
        await desk.clock.sleep(1)  # two units follow, a second each
        await test(desk)

    at_desk(run, people=2)


@paragraph("2 §9.2", "1 §2.3")
def test_pages_of_500_at_most_1000() -> None:
    async def test(desk: Desk) -> None:
        bench = desk.bench
        await bench.admin("PUT", "/forms/f1", answered(*[2] * 1001))
        headers = bench.bearer("form.read", user_id=uid(1))

        async def page(query: str) -> Any:
            return (await bench.api("GET", f"{FORM}{query}", headers=headers)).json()

        assert len((await page(""))["responses"]) == 500
        first = await page("?count=1000")
        rest = await page(f"?count=1000&cursor={first['responseMetaData']['nextCursor']}")
        numbers = [entry["responseId"] for entry in first["responses"] + rest["responses"]]
        assert numbers == [f"f1-{number:06d}" for number in range(1, 1002)]
        assert rest["responseMetaData"] == {"nextCursor": None}
        for count in (0, 1001):
            assert (await page(f"?count={count}"))["code"] == "INVALID_PARAMETER"

    at_desk(test, people=2)


@paragraph("2 §9.2", "1 §2.7")
def test_attachments_are_downloaded_in_two_steps() -> None:
    """That there is a download is documented; its path is ours."""

    async def test(desk: Desk) -> None:
        bench = desk.bench
        files = [{"fileName": "a.jpg", "hex": b"photo".hex()}]
        await bench.admin("PUT", "/forms/f1", answered(2, attachments=files))
        headers = bench.bearer("form", user_id=uid(1))
        path = f"{FORM}/f1-000001/attachments"
        answer = await bench.api("GET", f"{path}/1", headers=headers)
        assert (answer.status_code, answer.content) == (302, b"")
        assert not [name for name in answer.headers if name.lower().startswith("ratelimit")]
        url = answer.headers["Location"]
        assert url.startswith(bench.sandbox.storage_url)
        assert (await bench.http.get(url)).status_code == 401
        assert (await bench.http.get(url, headers=headers)).content == b"photo"
        await desk.clock.sleep(600)
        assert (await bench.http.get(url, headers=headers)).status_code == 404  # its time is over
        for wrong in (f"{path}/2", f"{FORM}/f1-000009/attachments/1"):
            assert (await bench.api("GET", wrong, headers=headers)).status_code == 404
        headers = bench.bearer("form", user_id=uid(2))
        assert (await bench.api("GET", f"{path}/1", headers=headers)).status_code == 403

    at_desk(test, people=2)


# -- security switch --------------------------------------------------------------------------------


@paragraph("2 §10")
def test_the_switch_for_external_browsers() -> None:
    async def test(desk: Desk) -> None:
        def state(used: bool) -> dict[str, Any]:
            return {"domainId": DOMAIN, "useExternalBrowser": used}

        assert await desk.get(SWITCH, domainId=DOMAIN) == state(False)
        for way, used in (("enable", True), ("enable", True), ("disable", False), ("disable", False)):
            answer = await desk.call("POST", f"{SWITCH}/{way}", {"domainId": DOMAIN})
            assert (answer.status_code, answer.content) == (204, b"")
            assert await desk.get(SWITCH, domainId=DOMAIN) == state(used)
        assert await desk.get(SWITCH) == state(False)  # the token's own domain

    at_desk(test)


@paragraph("2 §10")
def test_wrong_domains_are_400_unknown_ones_404() -> None:
    async def test(desk: Desk) -> None:
        for way in ("enable", "disable"):
            path = f"{SWITCH}/{way}"
            for body in (
                {},
                {"domainId": None},
                {"domainId": "x"},
                {"domainId": True},
                {"domainId": 1.5},
                [],
            ):
                await desk.wrong("POST", path, body)
            await desk.refused("POST", path, {"domainId": 7}, 404, "NOT_FOUND")
        for text in ("x", "1.5", "-1", "٣"):
            await desk.wrong("GET", f"{SWITCH}?domainId={text}", None, "domainId")
        await desk.refused("GET", f"{SWITCH}?domainId=7", None, 404, "NOT_FOUND")
        for method, path in (("GET", f"{SWITCH}/enable"), ("POST", SWITCH)):
            await desk.refused(method, path, None, 404, "NOT_FOUND", "Api not exists")

    at_desk(test)


@paragraph("2 §10", "1 §1.9")
def test_scopes_and_who_may_switch() -> None:
    async def test(desk: Desk) -> None:
        scope = "security.external-browser"
        body = {"domainId": DOMAIN}
        for scopes, read, write in (
            ((scope,), 200, 204),
            ((f"{scope}.read",), 200, 403),
            (("user",), 403, 403),
        ):
            headers = desk.bench.bearer(*scopes)
            assert (await desk.bench.api("GET", SWITCH, headers=headers)).status_code == read
            for way in ("enable", "disable"):
                answer = await desk.bench.api("POST", f"{SWITCH}/{way}", body, headers=headers)
                assert answer.status_code == write
        for number, status in ((0, 204), (1, 403)):
            headers = desk.bench.bearer(scope, user_id=uid(number))
            answer = await desk.bench.api("POST", f"{SWITCH}/enable", body, headers=headers)
            assert answer.status_code == status

    at_desk(test, people=1)


@paragraph("2 §10")
@pytest.mark.parametrize("delay", [300.0, 600.0])
def test_answers_may_follow_when_it_is_in_force(delay: float) -> None:
    """[D]: 5 to 10 minutes until it is in force; whether answers wait for that is a choice."""

    async def test(desk: Desk) -> None:
        async def used() -> bool:
            return bool((await desk.get(SWITCH))["useExternalBrowser"])

        await desk.done("POST", f"{SWITCH}/enable", {"domainId": DOMAIN}, 204)
        await desk.clock.sleep(delay - 1)
        assert await used() is False
        await desk.clock.sleep(1)
        assert await used() is True
        await desk.done("POST", f"{SWITCH}/disable", {"domainId": DOMAIN}, 204)
        assert await used() is True
        await desk.clock.sleep(delay)
        assert await used() is False

    at_desk(test, choices=Choices(external_browser_shows_s=delay, people_answer=False))


@paragraph("2 §10", "1 §1.5")
def test_narrowing_the_addresses_ends_the_tokens() -> None:
    """[H]: the side effect of "specified IPs only"; a new token works at once."""

    async def test(desk: Desk) -> None:
        bench = desk.bench
        assert (await bench.api("GET", SWITCH)).status_code == 200
        assert (await bench.admin("POST", "/tokens/revoke", {})).status_code == 200
        await desk.refused("GET", SWITCH, None, 401, "UNAUTHORIZED")
        assert (await bench.api("GET", SWITCH, headers=bench.bearer())).status_code == 200

    at_desk(test)
