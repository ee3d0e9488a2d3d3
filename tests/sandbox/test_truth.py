"""``GET /truth``: the books of a tenant, complete enough to judge any client by."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

from bousai_kit.sandbox.faults import Fault, FaultPlan
from tests.sandbox.botlab import DOMAIN, SILENT, Lab, lab, trial, uid

NEW = {
    "domainId": DOMAIN,
    "userName": {"lastName": "訓練", "firstName": "花子"},
    "email": "kunren01@city-demo",
}
NEW |= {"privateEmail": "k@example.invalid", "passwordConfig": {"passwordCreationType": "MEMBER"}}


async def truth(bench: Lab) -> dict[str, Any]:
    answer = await bench.admin("GET", "/truth")
    assert answer.status_code == 200
    return dict(answer.json())


def test_messages_say_who_got_what_and_when_as_it_was_sent() -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1, "【訓練】連絡")
        await bench.clock.sleep(10)
        await bench.buttons(f"users/{uid(2)}", code="A1")
        await bench.buttons(f"users/{uid(3)}", code="A2")
        room = await bench.room(1, 2, title="本部")
        await bench.buttons(f"channels/{room}", code="A1")
        refused = await bench.api("POST", f"/bots/{bench.bot}/users/{uid(1)}/messages", {"content": {}})
        assert refused.status_code == 400
        one, two, three, all_of_them = (await truth(bench))["messages"]
        assert (one["user"], one["text"]) == (uid(1), "【訓練】連絡")
        assert one["content"] == {"type": "text", "text": "【訓練】連絡"}
        spent = datetime.fromisoformat(two["accepted_at"]) - datetime.fromisoformat(one["accepted_at"])
        assert spent.total_seconds() == 10
        labels = [[act["label"] for act in message["content"]["actions"]] for message in (two, three)]
        assert labels == [
            [f"{word} {code}" for word in ("無事です", "けが有り", "支援が必要")] for code in ("A1", "A2")
        ]
        assert two["content"]["actions"][0]["postback"] == "bk1|A1|safe"
        assert (all_of_them["user"], all_of_them["channel"]) == ("", room)
        assert sorted(all_of_them["members"]) == [uid(1), uid(2)]
        assert all_of_them["content"] == two["content"]

    trial(test)


def test_rooms_and_created_members_are_listed_with_their_moments() -> None:
    async def test(bench: Lab) -> None:
        await bench.clock.sleep(30)
        made = await bench.api("POST", "/users", NEW)
        assert made.status_code == 201, made.text
        again = await bench.api("POST", "/users", NEW)
        assert again.status_code in (400, 409)
        room = await bench.room(1, 2, title="本部")
        told = await truth(bench)
        [created] = told["created"]
        assert (created["user"], created["email"]) == (made.json()["userId"], "kunren01@city-demo")
        assert datetime.fromisoformat(created["at"]) == bench.clock.now()
        [opened] = told["rooms"]
        assert opened["channel"] == room
        assert (opened["title"], opened["type"], opened["bots"]) == ("本部", "MULTI_USERS", [bench.bot])
        assert sorted(opened["members"]) == [uid(1), uid(2)]
        assert datetime.fromisoformat(opened["opened_at"]) == bench.clock.now()
        left = {"user": uid(1), "channel": room}
        assert (await bench.admin("POST", "/staff/leave", left)).status_code == 204
        assert (await truth(bench))["rooms"][0]["members"] == [uid(2)]
        assert (await bench.api("DELETE", f"/users/{created['user']}")).status_code == 204
        assert [one["email"] for one in (await truth(bench))["created"]] == ["kunren01@city-demo"]

    trial(test)


def test_every_callback_is_listed_with_what_became_of_it(tmp_path: Path) -> None:
    kinds = ("lost", "duplicate", "bad_signature")
    plan = FaultPlan([Fault(kind, on="message", nth=(at,)) for at, kind in enumerate(kinds, start=2)])

    async def test() -> list[dict[str, Any]]:
        async with lab(3, faults=plan, choices=SILENT, path=tmp_path / "t.db") as bench:
            for number in range(1, 6):
                if number == 5:
                    bench.receiver.status = 500
                await bench.admin("POST", "/staff/say", {"user": uid(1), "text": f"{number}"})
                await bench.clock.sleep(5)
            told = await truth(bench)
            posts = [post for post in told["posts"] if post["type"] == "message"]
            assert [(post["outcome"], post["status"], post["forged"]) for post in posts] == [
                ("taken", 200, False),
                ("lost", 0, False),
                ("taken", 200, False),
                ("taken", 200, False),
                ("taken", 200, True),
                ("refused", 500, False),
            ]
            assert {(post["bot"], post["user"]) for post in posts} == {(bench.bot, uid(1))}
            assert all(post["issued_at"] < post["at"] for post in posts)
            taken = sum(post["outcome"] == "taken" for post in told["posts"])
            assert told["callbacks"] == {"taken": taken, "lost": 1, "refused": 1}
            return list(told["posts"])

    posts = asyncio.run(test())

    async def later() -> None:
        async with lab(path=tmp_path / "t.db", choices=SILENT) as bench:
            assert (await truth(bench))["posts"] == posts, "kept"

    asyncio.run(later())
