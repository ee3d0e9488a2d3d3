"""How long tokens live and what ends them; the error shapes of all hosts (part 1 §1.4 to §1.8, §10)."""

from __future__ import annotations

import httpx
import pytest

from bousai_kit.sandbox.choices import Choices
from tests.contract.authlab import HOUR, ask, bot, post, signed
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import Lab, trial, uid
from tests.sandbox.directorylab import PASSWORD, Desk, at_desk

DAY = 24 * HOUR
DELEGATION = Choices(delegation=True, people_answer=False, people_log_in=False, serial_service_s=0.0)


async def refreshed(bench: Lab, token: str) -> httpx.Response:
    return await post(bench, grant_type="refresh_token", refresh_token=token)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@paragraph("1 §1.4", "1 §1.5", "1 §10")
@pytest.mark.parametrize("life", [HOUR, DAY])
def test_an_access_token_lives_one_hour_or_twenty_four(life: int) -> None:
    async def test(bench: Lab) -> None:
        body = (await ask(bench)).json()
        assert set(body) == {"access_token", "refresh_token", "token_type", "expires_in", "scope"}
        assert body["expires_in"] == str(life), "quoted on the wire"
        await bench.clock.sleep(life - 1)
        assert (await bot(bench, body["access_token"])).status_code == 200
        await bench.clock.sleep(1)
        over = await bot(bench, body["access_token"])
        assert (over.status_code, over.json()["code"]) == (401, "UNAUTHORIZED")
        again = await ask(bench)
        assert again.status_code == 200, "a fresh JWT always buys another one"

    trial(test, choices=Choices(token_life_s=life, people_answer=False))


@paragraph("1 §1.5", "1 §1.6")
def test_a_refresh_token_lives_ninety_days() -> None:
    async def test(bench: Lab) -> None:
        first = (await ask(bench)).json()["refresh_token"]
        await bench.clock.sleep(90 * DAY - 1)
        again = await refreshed(bench, first)
        assert again.status_code == 200
        assert (await bot(bench, again.json()["access_token"])).status_code == 200
        await bench.clock.sleep(1)
        over = await refreshed(bench, first)
        assert (over.status_code, over.json()["error"]) == (400, "invalid_grant")

    trial(test)


@paragraph("1 §1.6")
def test_a_refresh_needs_the_client_and_the_right_grant() -> None:
    async def test(bench: Lab) -> None:
        token = (await ask(bench)).json()["refresh_token"]
        form = {"grant_type": "refresh_token", "refresh_token": token}
        stranger = await post(bench, **form, client_secret="wrong")
        assert (stranger.status_code, stranger.json()["error"]) == (401, "invalid_client")
        for grant in ("", "authorization_code", "client_credentials", "password"):
            wrong = await post(bench, **{**form, "grant_type": grant})
            assert (wrong.status_code, wrong.json()["error"]) == (400, "unsupported_grant_type"), grant
        for unknown in ("", "x", token[:-1]):
            answer = await refreshed(bench, unknown)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")

    trial(test)


@paragraph("1 §1.6")
def test_revoke_ends_the_token_that_is_named_and_no_other() -> None:
    async def test(bench: Lab) -> None:
        one, other = (await ask(bench)).json(), (await ask(bench)).json()
        for kind, hint in (("access_token", "access_token"), ("refresh_token", "refresh_token")):
            answer = await post(bench, "/revoke", token=one[kind], token_type_hint=hint)
            assert answer.status_code == 200
        assert (await bot(bench, one["access_token"])).status_code == 401
        assert (await refreshed(bench, one["refresh_token"])).json()["error"] == "invalid_grant"
        assert (await bot(bench, other["access_token"])).status_code == 200
        assert (await refreshed(bench, other["refresh_token"])).status_code == 200
        assert (await post(bench, "/revoke", token="never seen")).status_code == 200
        stranger = await post(bench, "/revoke", token=other["access_token"], client_id="somebody")
        assert stranger.json()["error"] == "invalid_client"
        assert (await bot(bench, other["access_token"])).status_code == 200

    trial(test)


@paragraph("1 §1.6")
def test_rotation_gives_a_chain_of_which_only_the_last_link_holds() -> None:
    async def test(bench: Lab) -> None:
        links = [(await ask(bench)).json()["refresh_token"]]
        for _ in range(3):
            answer = await refreshed(bench, links[-1])
            assert answer.status_code == 200
            links.append(answer.json()["refresh_token"])
        assert len(set(links)) == 4
        for old in links[:-1]:
            assert (await refreshed(bench, old)).json()["error"] == "invalid_grant"
        assert (await refreshed(bench, links[-1])).status_code == 200

    trial(test, choices=Choices(refresh_rotation=True, people_answer=False))


@paragraph("1 §1.2", "1 §1.6", "1 §4.8")
def test_a_delegated_token_is_the_member_until_the_member_is_suspended() -> None:
    async def test(desk: Desk) -> None:
        bench = desk.bench
        assertion = signed(bench, delegated_user="s00001@city-demo")
        body = (await ask(bench, assertion, scope="user.read")).json()
        me = await bench.api("GET", "/users/me", headers=bearer(body["access_token"]))
        assert me.json()["userId"] == uid(1)
        again = await refreshed(bench, body["refresh_token"])
        me = await bench.api("GET", "/users/me", headers=bearer(again.json()["access_token"]))
        assert me.json()["userId"] == uid(1), "a refreshed token is still the member's"
        await desk.done("POST", f"/users/{uid(1)}/suspend", None, 204)
        assert (await ask(bench, assertion)).json()["error"] == "invalid_grant"
        assert (await refreshed(bench, body["refresh_token"])).json()["error"] == "invalid_grant"
        for token in (body, again.json()):
            answer = await bench.api("GET", "/users/me", headers=bearer(token["access_token"]))
            assert answer.status_code == 401

    at_desk(test, people=1, choices=DELEGATION)


@paragraph("1 §1.6")
def test_a_changed_password_ends_the_tokens_of_that_member_alone() -> None:
    async def test(desk: Desk) -> None:
        bench = desk.bench
        user_id = (await desk.member())["userId"]
        mine, service = bench.bearer("user.read", user_id=user_id), bench.headers
        body = {"login": "taro@city-demo", "password": PASSWORD, "newPassword": "Neu-4829-qz"}
        assert (await bench.admin("POST", "/login", body)).json() == {"state": "again"}
        assert (await bench.api("GET", "/users/me", headers=mine)).status_code == 401
        assert (await bench.api("GET", "/users", headers=service)).status_code == 200

    at_desk(test)


@paragraph("1 §1.5", "1 §1.6")
def test_a_forced_logout_ends_the_refresh_token_too() -> None:
    async def test(desk: Desk) -> None:
        bench = desk.bench
        body = (await ask(bench, signed(bench, delegated_user="s00001@city-demo"))).json()
        answer = await desk.call("POST", f"/users/{uid(1)}/force-logout")
        assert (answer.status_code, answer.content) == (202, b""), "asynchronous: accepted, empty"
        await desk.clock.sleep(300)
        assert (await refreshed(bench, body["refresh_token"])).json()["error"] == "invalid_grant"

    at_desk(test, people=1, choices=DELEGATION)


@paragraph("1 §1.6", "1 §2.4")
def test_specified_ips_only_ends_every_token_and_a_new_one_is_bought_from_a_listed_address() -> None:
    async def test(bench: Lab) -> None:
        before = (await ask(bench)).json()["access_token"]
        listed = await bench.admin("PUT", "/console", {"allowed_ips": ["127.0.0.1/32"]})
        assert listed.status_code == 204
        sudden = await bot(bench, before)
        assert (sudden.status_code, sudden.json()["code"]) == (401, "UNAUTHORIZED")
        after = (await ask(bench)).json()["access_token"]
        assert (await bot(bench, after)).status_code == 200
        await bench.admin("PUT", "/console", {"allowed_ips": ["192.0.2.0/24"]})
        elsewhere = await bot(bench, (await ask(bench)).json()["access_token"])
        status, code, _ = Choices().address_not_allowed
        assert (elsewhere.status_code, elsewhere.json()["code"]) == (status, code)

    trial(test)


@paragraph("1 §1.8", "1 §2.4", "1 §10")
def test_three_shapes_of_errors_and_no_fourth() -> None:
    async def test(bench: Lab) -> None:
        api = await bench.api("GET", "/users/nobody")
        assert set(api.json()) == {"code", "description"}
        oauth = await ask(bench, "x")
        assert set(oauth.json()) == {"error", "error_description"}
        raw = {"Content-Type": "application/x-www-form-urlencoded"}
        token = await bench.http.post(f"{bench.sandbox.auth_url}/token", content=b"x", headers=raw)
        assert token.json() == {"returnCode": "99", "returnMessage": "UnexpectedError"}

    trial(test)


@paragraph("1 §1.9")
def test_a_token_carries_what_was_asked_for_and_no_more() -> None:
    async def test(bench: Lab) -> None:
        answer = (await ask(bench, scope="user.read bot.message user.read")).json()
        assert answer["scope"] == "user.read bot.message"
        headers = bearer(answer["access_token"])
        assert (await bench.api("GET", "/users", headers=headers)).status_code == 200
        assert (await bench.api("GET", "/groups", headers=headers)).status_code == 403
        assert (await bench.api("DELETE", f"/users/{uid(1)}", headers=headers)).status_code == 403

    trial(test)


@paragraph("1 §1.9")
@pytest.mark.parametrize("scope", ["user", "orgunit", "group", "directory", "bot", "board"])
def test_the_whole_scope_contains_its_read_half(scope: str) -> None:
    places = {
        "user": "/users",
        "orgunit": "/orgunits",
        "group": "/groups",
        "bot": "/bots",
        "board": "/boards",
    }

    async def test(bench: Lab) -> None:
        path = places.get(scope, "/users")
        for granted in (scope, f"{scope}.read"):
            answer = await bench.api("GET", path, headers=bench.bearer(granted))
            assert answer.status_code == 200, (granted, answer.text)

    trial(test)
