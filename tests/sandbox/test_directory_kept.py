"""What the directory and boards hold is there again after the sandbox was stopped and opened anew."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.sandbox.botlab import DOMAIN, lab, uid
from tests.sandbox.directorylab import STILL, Desk, in_unit

BOARD = "/boards/4070000000094571001/posts"
SHOWN = (
    "/orgunits", "/orgunits/externalKey%3AK", "/orgunits/externalKey%3AK/orgunit-access-restrict",
    "/groups", "/groups/externalKey%3AG", "/directory/user-types", "/directory/employment-types",
    "/directory/profile-statuses", "/directory/users/custom-properties", BOARD, "/security/external-browser",
)  # fmt: skip


async def fill(desk: Desk) -> None:
    unit = {"domainId": DOMAIN, "orgUnitName": "危機管理室", "displayOrder": 1, "useMessage": True}
    await desk.done("POST", "/orgunits", {**unit, "orgUnitExternalKey": "K"}, 201)
    await desk.done("POST", "/orgunits/externalKey%3AK/orgunit-access-restrict", {"a": [1]}, 201)
    group = await desk.group(groupExternalKey="G", members=[{"id": "externalKey:K", "type": "ORGUNIT"}])
    await desk.bench.admin("PUT", f"/groups/{group['groupId']}/kind", {"kind": "DYNAMIC"})
    for kind, name in (("user-types", "userTypeName"), ("profile-statuses", "profileStatusName")):
        await desk.done("POST", f"/directory/{kind}/enable", None, 204)
        await desk.done(
            "POST", f"/directory/{kind}", {"domainId": DOMAIN, "displayOrder": 1, name: "一"}, 201
        )
    prop = {"domainId": DOMAIN, "propertyName": "blood", "displayName": "血液型", "propertyType": "STRING"}
    await desk.done("POST", "/directory/users/custom-properties", prop, 201)
    await desk.done("POST", BOARD, {"title": "t", "body": "b", "isMustRead": True}, 201)
    await desk.done("POST", "/security/external-browser/enable", {"domainId": DOMAIN}, 204)
    attached = [{"fileName": "a.jpg", "hex": "ff"}]
    form = {"managers": [uid(1)], "responses": [{"userId": uid(2), "attachments": attached}]}
    assert (await desk.bench.admin("PUT", "/forms/f", form)).status_code == 204


async def look(desk: Desk) -> list[Any]:
    headers = desk.bench.bearer("form", user_id=uid(1))
    answers = [await desk.bench.api("GET", "/forms/f/responses", headers=headers)]
    answers.append(await desk.bench.api("GET", "/forms/f/responses/f-000001/attachments/1", headers=headers))
    assert [answer.status_code for answer in answers] == [200, 302]
    return [answers[0].json(), *[await desk.get(path) for path in SHOWN]]


def test_all_of_it_is_there_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with lab(3, choices=STILL, path=tmp_path / "tenant.sqlite") as bench:
            desk = Desk(bench)
            await fill(desk)
            before = await look(desk)
            room = (
                await bench.admin("POST", "/staff/invite", {"kind": "ORGUNIT", "id": before[2]["orgUnitId"]})
            ).json()
            await desk.done("PATCH", f"/users/{uid(1)}", {"organizations": in_unit("externalKey:K")})
            await desk.clock.sleep(5)  # its callback leaves
        async with lab(3, choices=STILL, path=tmp_path / "tenant.sqlite") as bench:
            desk = Desk(bench)
            assert await look(desk) == before
            await desk.refused("PATCH", "/groups/externalKey%3AG", {"description": "x"}, 403, "ACCESS_DENIED")
            members = f"/bots/{bench.bot}/channels/{room['channelId']}/members"
            assert (await desk.get(members))["members"] == [uid(1)]
            await desk.done("PATCH", f"/users/{uid(2)}", {"organizations": in_unit("externalKey:K")})
            await desk.done("PATCH", f"/users/{uid(1)}", {"organizations": []})
            assert (await desk.get(members))["members"] == [uid(2)]
            await desk.clock.sleep(5)
            assert [event["members"] for event in bench.receiver.of("joined")] == [[uid(2)]]
            assert [event["members"] for event in bench.receiver.of("left")] == [[uid(1)]]

    asyncio.run(run())
