"""What public clients rely on (part 2 §15), row by row: a stricter stand-in would refuse them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.contract.authlab import GRANT, HOUR, ask, bot, post, signed
from tests.contract.exports import CONTENTS, DAY
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import SILENT, Lab, trial, uid

TEXT = {"type": "text", "text": "了解"}


@paragraph("2 §15", "2 §2.1")
def test_keys_beside_content_and_an_echoed_postback() -> None:
    async def test(bench: Lab) -> None:
        path = f"/bots/{bench.bot}/users/{uid(1)}/messages"
        for body in (
            {"content": TEXT, "botId": bench.bot, "accountId": uid(1), "notification": True},
            {"content": {**TEXT, "postback": "bk1|x"}},
        ):
            assert (await bench.api("POST", path, body)).status_code == 201

    trial(test)


@paragraph("2 §15", "1 §1.2")
@pytest.mark.parametrize(
    ("iat", "exp"), [(0.25, 1800.75), (0, HOUR), (0, HOUR + 0.0004), (0.0, HOUR + 0.9), (0, 60)]
)
def test_times_of_the_assertion(iat: float, exp: float) -> None:
    async def test(bench: Lab) -> None:
        now = bench.clock.now().timestamp()
        whole = isinstance(iat, int) and isinstance(exp, int)
        times: dict[str, Any] = {"iat": now + iat, "exp": now + exp}
        answer = await ask(bench, signed(bench, **{k: int(v) if whole else v for k, v in times.items()}))
        assert answer.status_code == 200, answer.text

    trial(test)


@paragraph("2 §15", "1 §1.3")
def test_a_grant_type_that_is_encoded_twice() -> None:
    async def test(bench: Lab) -> None:
        answer = await ask(bench, grant_type=quote(GRANT, safe=""))
        assert answer.status_code == 200

    trial(test)


@paragraph("2 §15")
def test_login_ids_with_a_raw_at_in_the_path() -> None:
    async def test(bench: Lab) -> None:
        for path in ("/users/s00001@city-demo", "/users/s00001%40city-demo"):
            target = httpx.URL(bench.sandbox.api_url + path)
            answer = await bench.http.get(target, headers=bench.headers)
            assert answer.json()["userId"] == uid(1)
            sent = await bench.api("POST", f"/bots/{bench.bot}{path}/messages", {"content": TEXT})
            assert sent.status_code == 201

    trial(test)


@paragraph("2 §15", "1 §1.6")
@pytest.mark.parametrize("rotation", [False, True])
def test_a_refresh_answer_with_or_without_a_refresh_token(rotation: bool) -> None:
    async def test(bench: Lab) -> None:
        bought = (await ask(bench)).json()
        form = {"grant_type": "refresh_token", "refresh_token": bought["refresh_token"]}
        answer = await post(bench, **form)
        assert answer.status_code == 200
        assert ("refresh_token" in answer.json()) is rotation

    trial(test, choices=replace(SILENT, refresh_rotation=rotation))


@paragraph("2 §15", "1 §1.9")
def test_a_profile_scope_opens_a_member() -> None:
    async def test(bench: Lab) -> None:
        token = bench.bearer("user.profile.read")
        answer = await bench.api("GET", f"/users/{uid(1)}", headers=token)
        assert (answer.status_code, answer.json()["userId"]) == (200, uid(1))

    trial(test)


@paragraph("2 §15")
def test_unknown_query_parameters_are_ignored() -> None:
    async def test(bench: Lab) -> None:
        extra = {"unheardOf": "1", "orderBy": "createdTime", "_": "2027"}
        for path in (f"/bots/{bench.bot}", "/boards", f"/users/{uid(1)}", f"/bots/{bench.bot}/domains"):
            assert (await bench.api("GET", path, params=extra)).status_code == 200, path
        export = await bench.api("GET", CONTENTS, params={**DAY, **extra})
        assert export.status_code == 302
        sent = await bench.api(
            "POST", f"/bots/{bench.bot}/users/{uid(1)}/messages", {"content": TEXT}, params=extra
        )
        assert sent.status_code == 201

    trial(test)


@paragraph("2 §15")
@pytest.mark.parametrize("ends", [False, True])
def test_a_new_token_ends_older_ones_or_not(ends: bool) -> None:
    async def test(bench: Lab) -> None:
        first = (await ask(bench)).json()["access_token"]
        assert (await bot(bench, first)).status_code == 200
        second = (await ask(bench)).json()["access_token"]
        assert (await bot(bench, first)).status_code == (401 if ends else 200)
        assert (await bot(bench, second)).status_code == 200, "renewing once is enough"

    trial(test, choices=replace(SILENT, new_token_ends_older=ends))
