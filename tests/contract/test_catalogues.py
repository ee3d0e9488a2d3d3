"""Levels, positions, user types, custom properties by plain HTTP (part 1 §7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import Desk, at_desk, in_unit, part

PLACES = {
    "levels": ("level", {"executive": False}),
    "positions": ("position", {}),
    "user-types": ("userType", {"userTypeCode": "a_1"}),
}
KINDS = pytest.mark.parametrize("kind", list(PLACES))


def of(kind: str, name: str, **more: Any) -> dict[str, Any]:
    prefix, needed = PLACES[kind]
    code = {"userTypeCode": f"c{sum(map(ord, name))}"} if kind == "user-types" else {}
    return {"domainId": DOMAIN, "displayOrder": 1, f"{prefix}Name": name, **needed, **code, **more}


async def switched_on(desk: Desk, kind: str) -> str:
    await desk.done("POST", f"/directory/{kind}/enable", {"domainId": DOMAIN}, 204)
    return f"/directory/{kind}"


@KINDS
@paragraph("1 §7")
def test_the_feature_has_to_be_on(kind: str) -> None:
    """Part 1 §7 [A]: 403 while it is off."""

    async def test(desk: Desk) -> None:
        path = f"/directory/{kind}"
        for method, below in (("GET", ""), ("POST", ""), ("GET", "/x"), ("GET", "/external-keys")):
            await desk.refused(method, path + below, of(kind, "一"), 403, "ACCESS_DENIED")
        await switched_on(desk, kind)
        entry = await desk.done("POST", path, of(kind, "一"), 201)
        await desk.done("POST", f"{path}/disable", None, 204)
        await desk.refused("GET", path, None, 403, "ACCESS_DENIED")
        await desk.done("POST", f"{path}/enable", None, 204)
        plural = "userTypes" if kind == "user-types" else kind
        assert (await desk.get(path))[plural] == [entry]

    at_desk(test)


@KINDS
@paragraph("1 §7")
def test_made_shown_changed_deleted(kind: str) -> None:
    async def test(desk: Desk) -> None:
        path, prefix = await switched_on(desk, kind), PLACES[kind][0]
        entry = await desk.done("POST", path, of(kind, "課長", **{f"{prefix}ExternalKey": "P\\1"}), 201)
        assert entry[f"{prefix}Name"] == "課長"
        for reference in (entry[f"{prefix}Id"], "externalKey:P\\1"):
            assert await desk.get(f"{path}/{part(reference)}") == entry
        one = f"{path}/{entry[f'{prefix}Id']}"
        patched = await desk.done("PATCH", one, {"displayOrder": -5})
        assert patched == {**entry, "displayOrder": -5}
        put = await desk.done("PUT", one, of(kind, "次長", displayOrder=2))
        assert (put[f"{prefix}Name"], put[f"{prefix}ExternalKey"], put["displayOrder"]) == ("次長", None, 2)
        await desk.done("DELETE", one, None, 204)
        await desk.refused("GET", one, None, 404, "NOT_FOUND")
        await desk.refused("DELETE", one, None, 404, "NOT_FOUND")

    if kind == "user-types":

        async def without_backslash(desk: Desk) -> None:
            path = await switched_on(desk, kind)
            await desk.wrong("POST", path, of(kind, "x", userTypeExternalKey="P\\1"), "userTypeExternalKey")

        at_desk(without_backslash)
    else:
        at_desk(test)


@KINDS
@paragraph("1 §7")
def test_names_and_keys_are_unique(kind: str) -> None:
    """Part 1 §2.4, §7: 409."""

    async def test(desk: Desk) -> None:
        path, prefix = await switched_on(desk, kind), PLACES[kind][0]
        plural = "userTypes" if kind == "user-types" else kind
        first = await desk.done("POST", path, of(kind, "課長", **{f"{prefix}ExternalKey": "P1"}), 201)
        second = await desk.done("POST", path, of(kind, "係長"), 201)  # the same displayOrder is fine
        await desk.refused("POST", path, of(kind, "課長"), 409, "CONFLICT", f"{prefix}Name")
        await desk.refused("POST", path, of(kind, "新", **{f"{prefix}ExternalKey": "P1"}), 409, "CONFLICT")
        one = f"{path}/{second[f'{prefix}Id']}"
        await desk.refused("PATCH", one, {f"{prefix}Name": "課長"}, 409, "CONFLICT")
        await desk.done("PATCH", one, {f"{prefix}Name": "係長"})
        keys = [{"id": second[f"{prefix}Id"], "externalKey": "P1"}]
        await desk.refused("POST", f"{path}/external-keys", {plural: keys}, 409, "CONFLICT")
        keys.append({"id": first[f"{prefix}Id"], "externalKey": None})
        await desk.done("POST", f"{path}/external-keys", {plural: keys}, 204)
        listed = (await desk.get(f"{path}/external-keys", hasExternalKey="true"))[plural]
        assert [entry["id"] for entry in listed] == [second[f"{prefix}Id"]]

    at_desk(test)


@KINDS
@paragraph("1 §7")
def test_wrong_properties(kind: str) -> None:
    async def test(desk: Desk) -> None:
        path, prefix = await switched_on(desk, kind), PLACES[kind][0]
        wrong: list[tuple[str, Any]] = [
            ("domainId", None),
            ("displayOrder", None),
            ("displayOrder", "1"),
            ("displayOrder", True),
            (f"{prefix}Name", None),
            (f"{prefix}Name", ""),
            (f"{prefix}Name", "x" * 101),
            (f"{prefix}Name", 1),
            (f"{prefix}ExternalKey", "a?"),
            ("i18nNames", {}),
        ]
        if kind == "levels":
            wrong += [("executive", None), ("executive", "no")]
        if kind == "user-types":
            wrong += [("userTypeCode", text) for text in ("1a", "a-b", "x" * 51)]
        for key, value in wrong:
            answer = await desk.call("POST", path, of(kind, "課長", **{key: value}))
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER"), (key, value)
            assert key in answer.json()["description"], (key, value)
        await desk.wrong("GET", f"{path}?count=101", None, "count")

    at_desk(test)


@paragraph("1 §7")
def test_a_deleted_or_switched_off_position_is_no_longer_shown() -> None:
    async def test(desk: Desk) -> None:
        path = await switched_on(desk, "positions")
        position = await desk.done("POST", path, of("positions", "課長"), 201)
        await desk.unit(orgUnitExternalKey="K")
        companies = in_unit("externalKey:K", positionId=position["positionId"])
        await desk.done("PATCH", f"/users/{uid(1)}", {"organizations": companies})

        async def held() -> Any:
            return (await desk.get(f"/users/{uid(1)}"))["organizations"][0]["orgUnits"][0]["positionName"]

        assert await held() == "課長"
        await desk.done("PATCH", f"{path}/{position['positionId']}", {"positionName": "室長"})
        assert await held() == "室長"
        await desk.done("POST", f"{path}/disable", None, 204)
        assert await held() is None
        await desk.wrong("PATCH", f"/users/{uid(1)}", {"organizations": companies}, "positionId")
        await desk.done("POST", f"{path}/enable", None, 204)
        assert await held() == "室長"
        await desk.done("DELETE", f"{path}/{position['positionId']}", None, 204)
        assert await held() is None
        await desk.refused("PATCH", f"/users/{uid(1)}", {"organizations": companies}, 404, "NOT_FOUND")

    at_desk(test, people=1)


@paragraph("1 §3", "1 §7")
def test_catalogues_need_the_scope_directory() -> None:
    """Part 1 §7, §3."""

    async def test(desk: Desk) -> None:
        await switched_on(desk, "positions")
        bench = desk.bench
        for scope, read, write in (("directory", 200, 201), ("directory.read", 200, 403), ("user", 403, 403)):
            headers = bench.bearer(scope)
            assert (await bench.api("GET", "/directory/positions", headers=headers)).status_code == read
            answer = await bench.api("POST", "/directory/positions", of("positions", scope), headers=headers)
            assert answer.status_code == write

    at_desk(test)


@paragraph("1 §7", "1 §4.2")
def test_custom_properties_and_their_values() -> None:
    """Part 1 §4.2, §7."""
    path = "/directory/users/custom-properties"

    def prop(name: str, kind: str = "STRING", **more: Any) -> dict[str, Any]:
        return {"domainId": DOMAIN, "propertyName": name, "displayName": "名", "propertyType": kind, **more}

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
            await desk.wrong("POST", path, wrong)
        options = [{"optionName": name, "displayName": name} for name in ("A", "B")]
        made = await desk.done("POST", path, prop("blood", options=options), 201)
        for name, kind, more in (
            ("num", "INTEGER", {}),
            ("day", "DATE", {}),
            ("site", "LINK", {}),
            ("many", "STRING", {"multiValued": True}),
        ):
            await desk.done("POST", path, prop(name, kind, **more), 201)
        await desk.refused("POST", path, prop("blood"), 409, "CONFLICT")
        assert len((await desk.get(path))["customProperties"]) == 5
        assert await desk.get(f"{path}/blood") == await desk.get(f"{path}/{made['customPropertyId']}") == made
        await desk.done("PATCH", f"{path}/blood", {"displayName": "血液型"})
        await desk.wrong("PATCH", f"{path}/blood", {"propertyType": "DATE"})
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
        await desk.done("DELETE", f"{path}/num", None, 204)
        assert (await desk.get(one))["customProperties"] == {}
        await desk.refused("GET", f"{path}/num", None, 404, "NOT_FOUND")

    at_desk(test, people=1)
