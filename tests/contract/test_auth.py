"""The token host: service-account JWT, refresh, revoke, scopes, its errors (part 1 §1)."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bousai_kit.sandbox.choices import Choices
from tests.contract.authlab import GRANT, HOUR, MINUTE, ask, bot, claims, post, signed
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import Lab, trial


@paragraph("1 §1.3", "1 §1.4")
def test_a_token_is_bought_with_a_signed_assertion() -> None:
    async def test(bench: Lab) -> None:
        answer = await ask(bench)
        body = answer.json()
        assert answer.status_code == 200
        assert body["token_type"] == "Bearer"
        assert body["expires_in"] == "86400"  # a string of digits
        assert body["scope"] == "bot bot.message"
        assert {"+", "/"} <= set(body["access_token"]), "awkward letters are there to be encoded"
        assert answer.headers["cache-control"] == "no-store"
        assert (await bot(bench, body["access_token"])).status_code == 200

    trial(test)


@paragraph("1 §1.2", "1 §1.3", "1 §10")
@pytest.mark.parametrize(
    "changes",
    [
        {"iat": 0.25},
        {"aud": "https://auth.worksmobile.com/oauth2/v2.0/token", "jti": "1"},
        {"exp": 60 * MINUTE},
        {"exp": 1},
    ],
    ids=["float iat", "more claims", "sixty minutes", "short"],
)
def test_what_public_clients_send_is_taken(changes: dict[str, Any]) -> None:
    async def test(bench: Lab) -> None:
        now = int(bench.clock.now().timestamp())
        times = {name: now + value for name, value in changes.items() if name in ("iat", "exp")}
        assert (await ask(bench, signed(bench, **{**changes, **times}))).status_code == 200
        twice = await ask(bench, grant_type=quote(GRANT, safe=""))
        assert twice.status_code == 200, "the official sample encodes the grant type twice"

    trial(test)


@paragraph("1 §1.2", "1 §1.8")
@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"sub": "somebody@city-demo"},
        {"sub": None},
        {"exp": None},
        {"iat": None},
        {"iat": True},
        {"exp": 61 * MINUTE},
        {"iat": -2 * HOUR, "exp": -90 * MINUTE},
        {"iat": 10 * MINUTE, "exp": 20 * MINUTE},
        {"exp": 1e999},
        {"delegated_user": "s00001@city-demo"},
    ],
    ids=lambda changes: ",".join(f"{key}={value}" for key, value in changes.items()),
)
def test_a_wrong_claim_is_refused(changes: dict[str, Any]) -> None:
    async def test(bench: Lab) -> None:
        now = int(bench.clock.now().timestamp())
        if not isinstance(changes.get("iat"), bool):
            times = {
                name: now + value
                for name, value in changes.items()
                if name in ("iat", "exp") and value is not None and value != float("inf")
            }
        else:
            times = {}
        answer = await ask(bench, signed(bench, **{**changes, **times}))
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_grant"
        assert answer.json()["error_description"]

    trial(test)


@paragraph("1 §1.2")
def test_a_string_for_a_time_is_refused() -> None:
    async def test(bench: Lab) -> None:
        now = int(bench.clock.now().timestamp())
        head = {"alg": "RS256", "typ": "JWT"}
        texts = claims(bench, iat=str(now), exp=str(now + 600))
        assertion = jwt.api_jws.encode(
            json.dumps(texts).encode(), bench.sandbox.credentials.private_key_pem, "RS256", head
        )
        answer = await ask(bench, assertion)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")

    trial(test)


@paragraph("1 §1.2", "1 §1.8")
def test_an_assertion_of_another_hand_is_refused() -> None:
    async def test(bench: Lab) -> None:
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = serialization.load_pem_private_key(
            bench.sandbox.credentials.private_key_pem.encode(), None
        ).public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        good = signed(bench)
        head, body, mac = good.split(".")
        blank = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
        by_secret = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
        for assertion in (
            signed(bench, other),
            f"{blank}.{body}.",
            f"{by_secret}.{body}.{base64.urlsafe_b64encode(pem[:32]).decode().rstrip('=')}",
            f"{head}.{body}.{mac}=",
            f"{head}.{body}",
            f"{head}.{body[:-4]}.{mac}",
            good + ".",
            "あ",
            "",
        ):
            answer = await ask(bench, assertion or " ")
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant"), assertion[:40]

    trial(test)


@paragraph("1 §1.2")
def test_times_are_judged_by_the_tenant_s_clock() -> None:
    async def test(bench: Lab) -> None:
        assertion = signed(bench)
        await bench.clock.sleep(29 * MINUTE)
        assert (await ask(bench, assertion)).status_code == 200
        await bench.clock.sleep(2 * MINUTE)
        assert (await ask(bench, assertion)).json()["error"] == "invalid_grant"

    trial(test)


@paragraph("1 §1.8")
def test_the_client_is_checked_first() -> None:
    async def test(bench: Lab) -> None:
        for form in ({"client_secret": "wrong"}, {"client_id": "wrong"}, {"client_secret": "秘密"}):
            answer = await ask(bench, "no assertion at all", **form)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")

    trial(test)


@paragraph("1 §1.8", "1 §1.9", "1 §10")
def test_one_scope_that_is_off_refuses_all() -> None:
    async def test(bench: Lab) -> None:
        for scope in ("bot no.such.scope", "", "bot,user"):
            answer = await ask(bench, scope=scope)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope"), scope
        assert (await bench.admin("PUT", "/scopes", {"scopes": ["bot", "user.read"]})).status_code == 204
        assert (await ask(bench, scope="bot user.read")).status_code == 200
        assert (await ask(bench, scope="bot bot.message")).json()["error"] == "invalid_scope"
        assert (await bench.admin("PUT", "/scopes", {"scopes": ["nonsense"]})).status_code == 400

    trial(test)


@paragraph("1 §1.9")
def test_the_free_plan_has_no_audit() -> None:
    async def test(bench: Lab) -> None:
        assert (await ask(bench, scope="bot")).status_code == 200
        assert (await ask(bench, scope="bot audit.read")).json()["error"] == "invalid_scope"

    trial(test, plan="free")


@paragraph("1 §1.8", "1 §10")
def test_what_cannot_be_parsed_has_a_shape_of_its_own() -> None:
    async def test(bench: Lab) -> None:
        url = f"{bench.sandbox.auth_url}/token"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for body in (b"client_id", b"\xff\xfe", b"a=%ff&b=%fe"):
            answer = await bench.http.post(url, content=body, headers=form)
            assert answer.status_code == 400
            assert answer.json() == {"returnCode": "99", "returnMessage": "UnexpectedError"}, body
        assert (await bench.http.post(url, json={})).status_code == 415
        assert (await bench.http.post(url, content=b"a=" + b"x" * (1 << 17), headers=form)).status_code == 413
        assert (await bench.http.get(url)).status_code == 404
        assert (await bench.http.post(url + "/more", data={})).status_code == 404

    trial(test)


@paragraph("1 §1.6", "1 §10")
def test_a_refresh_token_buys_another_access_token() -> None:
    async def test(bench: Lab) -> None:
        first = (await ask(bench)).json()
        answer = await post(bench, grant_type="refresh_token", refresh_token=first["refresh_token"])
        again = answer.json()
        assert answer.status_code == 200
        assert again["scope"] == first["scope"]
        assert (again["token_type"], again["expires_in"]) == ("Bearer", "86400")
        assert again["access_token"] != first["access_token"]
        assert "refresh_token" not in again, "rotation is off"
        for token in (first["access_token"], again["access_token"]):
            assert (await bot(bench, token)).status_code == 200
        raw = first["refresh_token"].replace("+", " ")
        broken = await post(bench, grant_type="refresh_token", refresh_token=raw)
        assert broken.json()["returnCode"] == "99", "as measured for a + that was not encoded"
        swapped = await post(bench, grant_type="refresh_token", refresh_token=first["access_token"])
        assert swapped.json()["error"] == "invalid_grant"

    trial(test)


@paragraph("1 §1.6")
def test_rotation_ends_the_old_refresh_token() -> None:
    async def test(bench: Lab) -> None:
        first = (await ask(bench)).json()
        form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        again = (await post(bench, **form)).json()
        assert again["refresh_token"] != first["refresh_token"]
        assert (await post(bench, **form)).json()["error"] == "invalid_grant"

    trial(test, choices=Choices(refresh_rotation=True, people_answer=False))


@paragraph("1 §1.5", "1 §1.6")
def test_a_token_ends() -> None:
    async def test(bench: Lab) -> None:
        token = (await ask(bench)).json()["access_token"]
        await bench.clock.sleep(24 * HOUR - 1)
        assert (await bot(bench, token)).status_code == 200
        await bench.clock.sleep(2)
        answer = await bot(bench, token)
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")

        token = (await ask(bench)).json()["access_token"]
        assert (await post(bench, "/revoke", token=token)).status_code == 200
        assert (await bot(bench, token)).status_code == 401
        assert (await post(bench, "/revoke")).json()["error"] == "invalid_request"

        token = (await ask(bench)).json()["access_token"]
        assert (await bench.admin("POST", "/tokens/revoke")).json()["ended"] >= 1
        assert (await bot(bench, token)).status_code == 401

    trial(test)


@paragraph("1 §2.1", "1 §2.4", "1 §10")
def test_the_bearer_header_is_read_strictly() -> None:
    async def test(bench: Lab) -> None:
        token = (await ask(bench)).json()["access_token"]
        assert (await bot(bench, token, header="bearer {}")).status_code == 200
        for header in ("Bearer  {}", "Token {}", "{}", "Bearer {}x", "Bearer"):
            answer = await bot(bench, token, header=header)
            assert answer.status_code == 401, header
            assert answer.json()["description"] == "Malformed authentication token"
        bare = await bench.http.get(f"{bench.sandbox.api_url}/bots/{bench.bot}")
        assert bare.json() == {"code": "UNAUTHORIZED", "description": "Authentication token is required."}
        refresh = (await ask(bench)).json()["refresh_token"]
        assert (await bot(bench, refresh)).status_code == 401, "not an access token"

    trial(test)


@paragraph("1 §1.2")
def test_a_token_acts_as_a_member_where_delegation_is_on() -> None:
    async def test(bench: Lab) -> None:
        login = bench.tenant.table("users")["u00001-0000-4000-8000-000000000000"]["email"]
        assert (await ask(bench, signed(bench, delegated_user=login))).status_code == 200
        answer = await ask(bench, signed(bench, delegated_user="nobody@city-demo"))
        assert answer.json()["error"] == "invalid_grant"

    trial(test, choices=Choices(delegation=True, people_answer=False))
