"""Levels, positions, user types by plain HTTP (part 1 §7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import Choices, Desk, at_desk, in_unit, part

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


@paragraph("1 §7")
@KINDS
def test_lists_have_pages_and_orders_may_be_equal_or_negative(kind: str) -> None:
    async def test(desk: Desk) -> None:
        path, prefix = await switched_on(desk, kind), PLACES[kind][0]
        plural = "userTypes" if kind == "user-types" else kind
        names = {"i18nNames": [{"language": "en_US", "name": "Chief"}]}
        made = [
            await desk.done("POST", path, of(kind, name, displayOrder=order, **names), 201)
            for name, order in (("一", -3), ("二", -3), ("三" * 100, 7))
        ]
        assert await desk.pages(path, plural, count=1) == made
        assert (await desk.get(path, count=100, domainId=DOMAIN))[plural] == made
        assert made[0]["i18nNames"] == names["i18nNames"]
        await desk.refused("GET", f"{path}?domainId=7", None, 403, "ACCESS_DENIED")
        long = await desk.done("POST", path, of(kind, "四", **{f"{prefix}ExternalKey": "x" * 100}), 201)
        assert long[f"{prefix}ExternalKey"] == "x" * 100
        await desk.wrong("POST", path, of(kind, "五", **{f"{prefix}ExternalKey": "x" * 101}))
        for sign in "%#/?":
            await desk.wrong("POST", path, of(kind, "六", **{f"{prefix}ExternalKey": f"K{sign}"}))

    at_desk(test)


@paragraph("1 §7")
def test_codes_of_user_types() -> None:
    """[D]: a letter first, then letters, digits, ``_``; at most 50."""

    async def test(desk: Desk) -> None:
        path = await switched_on(desk, "user-types")
        for at, code in enumerate(("a", "Z_9", "x" * 50)):
            made = await desk.done("POST", path, of("user-types", f"型{at}", userTypeCode=code), 201)
            assert made["userTypeCode"] == code
        for code in ("_a", "9a", "あ", "a b", "x" * 51):
            await desk.wrong("POST", path, of("user-types", "他", userTypeCode=code), "userTypeCode")
        await desk.refused("POST", path, of("user-types", "他", userTypeCode="a"), 409, "CONFLICT", "Code")

    at_desk(test)


@paragraph("1 §7")
def test_what_a_user_type_needs_is_a_choice() -> None:
    """[A]: the page marks nothing as required."""

    async def nothing(desk: Desk) -> None:
        path = await switched_on(desk, "user-types")
        made = await desk.done("POST", path, {"userTypeName": "臨時"}, 201)
        assert (made["domainId"], made["displayOrder"], made["userTypeCode"]) == (DOMAIN, 1, None)
        one = f"{path}/{made['userTypeId']}"
        assert (await desk.done("PUT", one, {"userTypeName": "正規"}))["userTypeName"] == "正規"
        await desk.wrong("PUT", one, {"userTypeName": "正規", "domainId": "x"}, "domainId")

    async def code(desk: Desk) -> None:
        path = await switched_on(desk, "user-types")
        await desk.wrong("POST", path, of("user-types", "他", userTypeCode=None), "userTypeCode")

    at_desk(nothing, choices=Choices(user_type_needs=(), people_answer=False))
    at_desk(code, choices=Choices(user_type_needs=("userTypeCode",), people_answer=False))


@paragraph("1 §7", "1 §3")
@pytest.mark.parametrize("status", [200, 204])
def test_the_switches(status: int) -> None:
    """Each for one domain; the status of success is a choice."""

    async def test(desk: Desk) -> None:
        for kind in (*PLACES, "profile-statuses"):
            path = f"/directory/{kind}"
            await desk.done("POST", f"{path}/enable", {"domainId": DOMAIN}, status)
            assert (await desk.call("GET", path)).status_code == 200
            await desk.refused("POST", f"{path}/disable", {"domainId": 7}, 403, "ACCESS_DENIED")
            await desk.wrong("POST", f"{path}/disable", {"domainId": "x"}, "domainId")
            assert (await desk.call("GET", path)).status_code == 200
            await desk.done("POST", f"{path}/disable", {"domainId": DOMAIN}, status)
            await desk.refused("GET", path, None, 403, "ACCESS_DENIED")
            headers = desk.bench.bearer("directory.read")
            assert (await desk.bench.api("POST", f"{path}/enable", headers=headers)).status_code == 403

    at_desk(test, choices=Choices(switch_status=status, people_answer=False))
