"""Custom properties of members and their values by plain HTTP (part 1 §4.2, §7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import Choices, Desk, at_desk, new_member

PATH = "/directory/users/custom-properties"


def prop(name: str, kind: str = "STRING", **more: Any) -> dict[str, Any]:
    return {"domainId": DOMAIN, "propertyName": name, "displayName": "名", "propertyType": kind, **more}


def options(count: int) -> list[dict[str, str]]:
    return [{"optionName": f"o{at}", "displayName": f"名{at}"} for at in range(count)]


@paragraph("1 §7", "1 §4.2")
def test_custom_properties_and_their_values() -> None:
    """Part 1 §4.2, §7."""

    async def test(desk: Desk) -> None:
        for wrong in (
            prop("1a"),
            prop("a b"),
            prop("x" * 121),
            prop("a", "FLOAT"),
            prop("a", displayName="x" * 21),
            prop("a", options=[{"optionName": "x", "displayName": "x"}]),
            prop("a", readAccessType="NOBODY"),
            prop("a", "DATE", options=[{"optionName": str(n), "displayName": "x"} for n in range(2)]),
        ):
            await desk.wrong("POST", PATH, wrong)
        options = [{"optionName": name, "displayName": name} for name in ("A", "B")]
        made = await desk.done("POST", PATH, prop("blood", options=options), 201)
        for name, kind, more in (
            ("num", "INTEGER", {}),
            ("day", "DATE", {}),
            ("site", "LINK", {}),
            ("many", "STRING", {"multiValued": True}),
        ):
            await desk.done("POST", PATH, prop(name, kind, **more), 201)
        await desk.refused("POST", PATH, prop("blood"), 409, "CONFLICT")
        assert len((await desk.get(PATH))["customProperties"]) == 5
        assert await desk.get(f"{PATH}/blood") == await desk.get(f"{PATH}/{made['customPropertyId']}") == made
        await desk.done("PATCH", f"{PATH}/blood", {"displayName": "血液型"})
        await desk.wrong("PATCH", f"{PATH}/blood", {"propertyType": "DATE"})
        values = {
            "blood": "A",
            "num": 7,
            "day": "2026-01-17",
            "site": {"text": "t", "link": "l"},
            "many": ["x", "y"],
        }
        one = f"/users/{uid(1)}"
        shown = await desk.done("PATCH", one, {"customProperties": values})
        assert shown["customProperties"] == values
        for name, value in (
            ("blood", "C"),
            ("num", "7"),
            ("num", True),
            ("day", "x"),
            ("day", 5),
            ("site", "l"),
            ("many", "x"),
            ("many", ["x"] * 11),
            ("nobody", 1),
            ("blood", ["A"]),
        ):
            await desk.wrong("PATCH", one, {"customProperties": {name: value}}, name)
        assert (await desk.done("PATCH", one, {"customAttributes": {"num": 1}}))["customProperties"] == {
            "num": 1
        }
        await desk.done("DELETE", f"{PATH}/num", None, 204)
        assert (await desk.get(one))["customProperties"] == {}
        await desk.refused("GET", f"{PATH}/num", None, 404, "NOT_FOUND")

    at_desk(test, people=1)


@paragraph("1 §7")
def test_a_property_is_made_shown_changed_deleted() -> None:
    async def test(desk: Desk) -> None:
        made = await desk.done("POST", PATH, prop("site", displayOrder=-1), 201)
        assert made == {
            **prop("site", displayOrder=-1),
            "customPropertyId": made["customPropertyId"],
            "multiValued": False,
            "options": [],
            "mandatory": False,
            "readAccessType": "ALL",
            "writeAccessType": "ADMIN",
        }
        one = f"{PATH}/site"
        changes = {
            "displayName": "名" * 20,
            "mandatory": True,
            "readAccessType": "ADMIN_AND_SELF",
            "writeAccessType": "ADMIN_AND_SELF",
            "options": options(2),
        }
        assert await desk.done("PATCH", one, changes) == {**made, **changes}
        await desk.wrong("PATCH", one, {"domainId": "x"}, "domainId")
        await desk.done("DELETE", f"{PATH}/{made['customPropertyId']}", None, 204)
        for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
            await desk.refused(method, one, body, 404, "NOT_FOUND")

    at_desk(test)


WRONG: list[tuple[str, Any]] = [
    ("domainId", None),
    ("propertyName", None),
    ("propertyName", "x" * 121),
    ("propertyName", "あ"),
    ("displayName", None),
    ("displayName", "x" * 21),
    ("propertyType", None),
    ("propertyType", "string"),
    ("displayOrder", "1"),
    ("multiValued", 1),
    ("mandatory", "no"),
    ("options", options(1)),
    ("options", [*options(2), *options(1)]),
    ("options", [{"optionName": "x" * 101, "displayName": "x"}, *options(1)]),
    ("options", [{"optionName": "x", "displayName": "x" * 21}, *options(1)]),
    ("options", [{"optionName": "x"}, *options(1)]),
    ("readAccessType", "ADMIN"),
    ("writeAccessType", "ALL"),
]


@paragraph("1 §7")
def test_wrong_properties_are_400_and_named() -> None:
    async def test(desk: Desk) -> None:
        for key, value in WRONG:
            answer = await desk.call("POST", PATH, {**prop("a"), key: value})
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER"), (key, value)
            assert key in answer.json()["description"], (key, value)
        assert (await desk.get(PATH))["customProperties"] == []
        for name in ("_", "x" * 120, "a_1"):
            await desk.done("POST", PATH, prop(name), 201)
        extreme = [{"optionName": "x" * 100, "displayName": "y" * 20}, *options(1)]
        assert (await desk.done("POST", PATH, prop("b", options=extreme), 201))["options"] == extreme

    at_desk(test)


@paragraph("1 §7")
def test_fifty_a_domain_in_one_list() -> None:
    """[D]: at most 50; the list has no paging."""

    async def test(desk: Desk) -> None:
        for number in range(50):
            await desk.done("POST", PATH, prop(f"p{number}"), 201)
        await desk.wrong("POST", PATH, prop("p50"), "50")
        listed = await desk.get(PATH, count=1)
        assert list(listed) == ["customProperties"]
        assert len(listed["customProperties"]) == 50

    at_desk(test)


@paragraph("1 §7", "1 §10")
@pytest.mark.parametrize("name", ["customProperties", "customAttributes"])
def test_the_list_has_either_name(name: str) -> None:
    """JP and EN pages differ (§10.15); both are taken on the way in."""

    async def test(desk: Desk) -> None:
        made = await desk.done("POST", PATH, prop("blood"), 201)
        assert await desk.get(PATH) == {name: [made]}
        for sent in ("customProperties", "customAttributes"):
            user = await desk.done("PATCH", f"/users/{uid(1)}", {sent: {"blood": sent}})
            assert user[name] == {"blood": sent}

    at_desk(test, people=1, choices=Choices(custom_properties_name=name, people_answer=False))


@paragraph("1 §7")
def test_what_a_patch_may_change_is_a_choice() -> None:
    async def test(desk: Desk) -> None:
        await desk.done("POST", PATH, prop("a"), 201)
        await desk.done("POST", PATH, prop("b"), 201)
        await desk.wrong("PATCH", f"{PATH}/a", {"propertyType": "DATE"}, "propertyType")
        renamed = await desk.done("PATCH", f"{PATH}/a", {"propertyName": "c", "multiValued": True})
        assert (renamed["propertyName"], renamed["multiValued"]) == ("c", True)
        await desk.refused("PATCH", f"{PATH}/c", {"propertyName": "b"}, 409, "CONFLICT")
        await desk.wrong("PATCH", f"{PATH}/c", {"propertyName": "1"}, "propertyName")

    at_desk(test, choices=Choices(property_fixed=("propertyType",), people_answer=False))


@paragraph("1 §7", "1 §3")
def test_scopes() -> None:
    async def test(desk: Desk) -> None:
        for scope, read, write in (("directory", 200, 201), ("directory.read", 200, 403), ("user", 403, 403)):
            headers = desk.bench.bearer(scope)
            assert (await desk.bench.api("GET", PATH, headers=headers)).status_code == read
            answer = await desk.bench.api("POST", PATH, prop("a"), headers=headers)
            assert answer.status_code == write

    at_desk(test)


@paragraph("1 §7", "1 §4.2")
@pytest.mark.parametrize("held", [True, False])
def test_a_mandatory_property_can_become_mandatory_in_the_api(held: bool) -> None:
    async def test(desk: Desk) -> None:
        await desk.done("POST", PATH, prop("blood", mandatory=True), 201)
        await desk.done("POST", PATH, prop("site"), 201)
        one, filled = f"/users/{uid(1)}", {"customProperties": {"blood": "A"}}
        await desk.done("PATCH", one, {"nickName": "一"})  # untouched: nothing is asked
        await desk.member("full", **filled)
        if held:
            await desk.wrong("POST", "/users", new_member("none"), "customProperties.blood")
            await desk.wrong("PATCH", one, {"customProperties": {"site": "x"}}, "customProperties.blood")
            await desk.wrong("PATCH", one, {"customProperties": None}, "customProperties.blood")
            await desk.wrong("PUT", one, {**new_member("s00001"), "passwordConfig": None}, "customProperties")
        else:
            await desk.member("none")
        await desk.done("PATCH", one, filled)

    at_desk(test, people=1, choices=Choices(mandatory_properties=held, people_answer=False))


@paragraph("1 §7")
def test_some_values_are_for_administrators_and_oneself() -> None:
    async def test(desk: Desk) -> None:
        bench, both = desk.bench, {"blood": "A", "site": "x"}
        await desk.done("POST", PATH, prop("blood", readAccessType="ADMIN_AND_SELF"), 201)
        await desk.done("POST", PATH, prop("site"), 201)
        await desk.done("PATCH", f"/users/{uid(1)}", {"customProperties": both})
        for number, seen in ((0, both), (1, both), (2, {"site": "x"})):
            headers = bench.bearer("user.read", user_id=uid(number))
            one = (await bench.api("GET", f"/users/{uid(1)}", headers=headers)).json()
            assert one["customProperties"] == seen
            listed = (await bench.api("GET", "/users", headers=headers)).json()["users"]
            assert [user["customProperties"] for user in listed if user["userId"] == uid(1)] == [seen]
        assert (await desk.get(f"/users/{uid(1)}"))["customProperties"] == both  # the service account

    at_desk(test, people=2)
