"""Groups: create, list, get, replace, patch, delete; members, administrators (part 1 §6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from bousai_kit.sandbox import directory_checks as check
from bousai_kit.sandbox import schemas
from bousai_kit.sandbox.content_parts import array, obj, string
from bousai_kit.sandbox.directory_index import drop, find, groups_above, index, put, rows_of_domain
from bousai_kit.sandbox.directory_rules import (
    DIRECTORY,
    DIRECTORY_READ,
    KINDS,
    find_or_404,
    key_operations,
    known_domain,
    managed,
    noted,
    ordinary,
    resolve,
    same_domain,
    unique_key,
    units_of,
)
from bousai_kit.sandbox.directory_state import find_user
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad, conflict
from bousai_kit.sandbox.tenant import Entity

__all__ = ["OPERATIONS"]

FULL = ("group", *DIRECTORY)
READ = ("group", "group.read", *DIRECTORY_READ)
FEATURES = ("useNote", "useCalendar", "useTask", "useFolder")
TABLES = {"USER": "users", "ORGUNIT": "orgunits", "GROUP": "groups"}
FLAGS = ("useServiceNotification", "useMessage", *FEATURES, "useMail")
KINDS_OF_GROUPS = ("NORMAL", "EXTERNAL", "DYNAMIC")
MOST_MEMBERS = 100_000  # the number is not known (part 1 §11); a bound for one body


def _blank(domain_id: int) -> Entity:
    return {
        "domainId": domain_id,
        "groupName": "",
        "groupExternalKey": None,
        "description": None,
        "visible": True,
        "useServiceNotification": False,
        "serviceManageable": True,
        "administrators": [],
        "members": [],
        "useMessage": False,
        **dict.fromkeys(FEATURES, False),
        "useMail": False,
    }


def _the_group(call: Call) -> Entity:
    group = find(call.tenant, "groups", call.path["groupId"])
    return find_or_404(group if group is not None and _seen(group, _mine(call)) else None, "Group")


def _mine(call: Call) -> set[str] | None:
    """Ids of the groups of an ordinary member who asks; None: all are seen."""
    user = ordinary(call)
    return None if user is None else {*groups_above(call.tenant, (user["userId"], *units_of(user)))}


def _seen(group: Entity, mine: set[str] | None) -> bool:
    """A group that is not ``visible`` is found by its members only (part 1 §6)."""
    return mine is None or group["visible"] or group["groupId"] in mine


def _ours(call: Call) -> Entity:
    """The group of the path, to be changed: external and dynamic ones are not (part 1 §6)."""
    managed(call)
    group = _the_group(call)
    if group.get("kind", "NORMAL") != "NORMAL":
        raise ApiFault(*call.choices.group_not_editable)
    return group


def _make(call: Call) -> Reply:
    """The admin host's hand: no call of the API makes a group an external or a dynamic one."""
    group = _the_group(call)
    kind = check.one_of(call.json(), "kind", KINDS_OF_GROUPS)
    if kind is None:
        raise bad("kind is required.")
    put(call.tenant, "groups", group["groupId"], {**group, "kind": kind})
    return Reply(204)


def _shown(call: Call, group: Entity) -> Entity:
    shown = {key: value for key, value in group.items() if key not in ("closedAt", "kind")}
    shown["members"] = [_member_view(call, member) for member in group["members"]]
    return shown


def _member_view(call: Call, member: Entity) -> Entity:
    kind = KINDS[TABLES[member["type"]]]
    owner = call.tenant.table(kind.table).get(member["id"], {})
    return {"id": member["id"], "externalKey": owner.get(kind.key), "type": member["type"]}


# -- the body ---------------------------------------------------------------------------------------


def _read(call: Call, fields: dict[str, Any], before: Entity, *, partial: bool) -> Entity:
    group: Entity = dict(before)
    if not partial:  # feature flags that are left out fall back to false (part 1 §6)
        group |= {key: value for key, value in _blank(before["domainId"]).items() if key != "domainId"}
    if not partial or "groupName" in fields:
        group["groupName"] = string(fields, "groupName", "", 100)
        if not str(group["groupName"]).strip():
            raise bad("groupName is required.")
    if "groupExternalKey" in fields:
        group["groupExternalKey"] = check.external_key(fields, "groupExternalKey")
    if "description" in fields:
        group["description"] = string(fields, "description", "", 300, required=False) or None
    for key in ("visible", "serviceManageable"):
        if key in fields:
            group[key] = check.flag(fields, key, default=True)
    for key in FLAGS:
        if key in fields:
            group[key] = check.flag(fields, key, default=False)
    plan = call.sandbox.limits.plan
    if fields.get("useMail") and plan != "advanced" and call.choices.group_mail_needs_advanced:
        status, code, text = call.choices.not_on_this_plan
        raise ApiFault(status, code, f"useMail: {text}")
    for key in FEATURES:
        if group[key] and not group["useMessage"]:
            if fields.get(key):
                raise bad(f"{key} needs useMessage.")
            group[key] = False
    if not partial or "administrators" in fields:
        group["administrators"] = _administrators(call, fields.get("administrators"))
    if not partial or "members" in fields:
        group["members"] = _members_of(call, fields.get("members"), before)
    return group


def _administrators(call: Call, value: Any) -> list[Entity]:
    found: list[Entity] = []
    for at, entry in enumerate(array(value, "administrators", low=1, high=1000)):
        path = f"administrators[{at}]"
        item = {"userId": resolve(call, "users", obj(entry, path).get("userId"), f"{path}.userId")}
        if item in found:
            raise bad(f"{path} is there twice.")
        found.append(item)
    return found


def _members_of(call: Call, value: Any, group: Entity) -> list[Entity]:
    found: dict[str, Entity] = {}
    already = {member["id"] for member in group["members"]}
    for at, entry in enumerate(array(value, "members", low=0, high=MOST_MEMBERS)):
        member = _member(call, entry, f"members[{at}]", group, already)
        if member["id"] in found:
            raise bad(f"members[{at}] is there twice.")
        found[member["id"]] = member
    return list(found.values())


def _member(call: Call, entry: Any, path: str, group: Entity, already: set[str]) -> Entity:
    fields = obj(entry, path)
    kind = check.one_of(fields, "type", tuple(TABLES), path)
    where = f"{path}.id" if path else "id"
    if kind is None:
        raise bad(f"{path}.type is required." if path else "type is required.")
    member_id = resolve(call, TABLES[kind], fields.get("id"), where)
    own_id = group["groupId"]
    if kind == "GROUP" and own_id and member_id in (own_id, *groups_above(call.tenant, (own_id,))):
        raise bad(f"{where}: a group cannot be in itself.")
    if kind == "USER" and member_id not in already:
        most = call.choices.groups_per_member
        if index(call.tenant, "groups").count("member", member_id) >= most:
            raise bad(f"{where}: a member belongs to at most {most} groups.")
    return {"id": member_id, "type": kind}


def _unique(call: Call, group: Entity) -> None:
    unique_key(call, "groups", group["groupExternalKey"], group["groupId"])
    owner = index(call.tenant, "groups").one("name", (group["domainId"], group["groupName"]))
    if owner is not None and owner != group["groupId"]:
        raise ApiFault(*call.choices.name_taken, "groupName is duplicated.")


# -- handlers ---------------------------------------------------------------------------------------


def _create(call: Call) -> Reply:
    managed(call)
    tenant, fields = call.tenant, call.json()
    domain_id = known_domain(call, fields)
    limit = 1000 if call.sandbox.limits.plan == "free" else call.choices.max_groups
    if len(tenant.table("groups")) >= limit:
        raise bad(f"A tenant has at most {limit} groups.")
    group = _read(call, fields, {**_blank(domain_id), "groupId": ""}, partial=False)
    _unique(call, group)
    group["groupId"] = tenant.new_id("group")
    _keep(call, "create", group)
    if group["useMessage"]:
        call.sandbox.signal("group.room_opened", id=group["groupId"])
    return Reply(201, _shown(call, group))


def _keep(call: Call, task: str, group: Entity) -> None:
    put(call.tenant, "groups", group["groupId"], group)
    noted(call, task, group["groupName"])
    for group_id in (group["groupId"], *groups_above(call.tenant, (group["groupId"],))):
        call.sandbox.signal("group.changed", id=group_id)


def _list(call: Call) -> Reply:
    rows: Sequence[tuple[str, Entity]] = rows_of_domain(call.tenant, "groups", call.domain_id)
    mine = _mine(call)
    if mine is not None:
        rows = [(key, group) for key, group in rows if _seen(group, mine)]
    return Reply(200, call.page("groups", rows, view=lambda group: _shown(call, group)))


def _get(call: Call) -> Reply:
    return Reply(200, _shown(call, _the_group(call)))


def _update(call: Call) -> Reply:
    partial = call.operation.method == "PATCH"
    before, fields = _ours(call), call.json()
    same_domain(call, fields, before)
    group = _read(call, fields, before, partial=partial)
    _unique(call, group)
    opened, closed = (
        (group["useMessage"] and not before["useMessage"]),
        (before["useMessage"] and not group["useMessage"]),
    )
    if opened and "closedAt" in before:
        ended = datetime.fromisoformat(before["closedAt"]) + timedelta(days=call.choices.group_history_days)
        if call.now >= ended:
            raise ApiFault(*call.choices.group_room_lost)
        group.pop("closedAt", None)
    if closed:  # everybody's history is gone; within 30 days it comes back (part 1 §6)
        group["closedAt"] = call.now.isoformat()
    _keep(call, "update", group)
    if opened or closed:
        call.sandbox.signal("group.room_opened" if opened else "group.room_closed", id=group["groupId"])
    return Reply(200, _shown(call, group))


def _delete(call: Call) -> Reply:
    group, tenant = _ours(call), call.tenant
    above = groups_above(tenant, (group["groupId"],))
    for group_id in index(tenant, "groups").all("member", group["groupId"]):
        holder = tenant.table("groups")[group_id]
        members = [member for member in holder["members"] if member["id"] != group["groupId"]]
        put(tenant, "groups", group_id, {**holder, "members": members})
    drop(tenant, "groups", group["groupId"])
    noted(call, "delete", group["groupName"])
    call.sandbox.signal("group.deleted", id=group["groupId"])
    for group_id in above:
        call.sandbox.signal("group.changed", id=group_id)
    return Reply(204)


# -- members and administrators ---------------------------------------------------------------------


def _members(call: Call) -> Reply:
    rows = [(member["id"], member) for member in _the_group(call)["members"]]
    return Reply(200, call.page("members", rows, view=lambda member: _member_view(call, member)))


def _add_member(call: Call) -> Reply:
    group = _ours(call)
    already = {member["id"] for member in group["members"]}
    member = _member(call, call.json(), "", group, already)
    if member["id"] in already:
        raise conflict("The member is already in the group.")
    _keep(call, "update", {**group, "members": [*group["members"], member]})
    return Reply(201)


def _drop_member(call: Call) -> Reply:
    group, reference = _ours(call), call.path["memberId"]
    members = [member for member in group["members"] if not _is(call, member, reference)]
    if len(members) == len(group["members"]):
        find_or_404(None, "Member")
    _keep(call, "update", {**group, "members": members})
    return Reply(204)


def _is(call: Call, member: Entity, reference: str) -> bool:
    if member["id"] == reference:
        return True
    if member["type"] == "USER":
        found = find_user(call.tenant, reference)
    else:
        found = find(call.tenant, TABLES[member["type"]], reference) if ":" in reference else None
    return found is not None and found[KINDS[TABLES[member["type"]]].id] == member["id"]


def _masters(call: Call) -> Reply:
    rows = [(entry["userId"], entry) for entry in _the_group(call)["administrators"]]
    return Reply(200, call.page("administrators", rows))


def _add_master(call: Call) -> Reply:
    group = _ours(call)
    entry = {"userId": resolve(call, "users", call.json().get("userId"), "userId")}
    if entry in group["administrators"]:
        raise conflict("The member is already an administrator of the group.")
    _keep(call, "update", {**group, "administrators": [*group["administrators"], entry]})
    return Reply(201)


def _drop_master(call: Call) -> Reply:
    group = _ours(call)
    user = find_or_404(find_user(call.tenant, call.path["userId"]), "User")
    masters = [entry for entry in group["administrators"] if entry["userId"] != user["userId"]]
    if len(masters) == len(group["administrators"]):
        find_or_404(None, "Administrator")
    if not masters:
        raise bad("A group has at least one administrator.")
    _keep(call, "update", {**group, "administrators": masters})
    return Reply(204)


_MEMBER = schemas.body({"id": schemas.text(1000), "type": schemas.one_of(*TABLES)}, "id", "type")
_MASTER = schemas.body({"userId": schemas.text(1000)}, "userId")
_FIELDS: dict[str, Any] = {
    "domainId": schemas.DOMAIN,
    "groupName": schemas.text(100),
    "groupExternalKey": schemas.key(check.USER_KEY),
    "description": schemas.text(300, null=True),
    "administrators": schemas.array_of(_MASTER, low=1, high=1000),
    "members": schemas.array_of(_MEMBER),
    **dict.fromkeys(("visible", "serviceManageable", *FLAGS), schemas.FLAG_OR_NULL),
}
_KIND = schemas.body({"kind": schemas.one_of(*KINDS_OF_GROUPS)}, "kind")
_ONE = "/groups/{groupId}"
_WHOLE = schemas.body(_FIELDS, "domainId", "groupName", "administrators", "members")


def _op(name: str, method: str, path: str, handler: Any, success: int = 200, **more: Any) -> Operation:
    scopes = READ if method == "GET" else FULL
    return Operation(
        f"groups.{name}", method, path, scopes, handler, success=success, paragraph="1 §6", **more
    )


OPERATIONS: tuple[Operation, ...] = (
    _op("create", "POST", "/groups", _create, 201, body=_WHOLE),
    _op("list", "GET", "/groups", _list, query=schemas.PAGE),
    _op("get", "GET", _ONE, _get),
    _op("replace", "PUT", _ONE, _update, body=_WHOLE),
    _op("patch", "PATCH", _ONE, _update, body=schemas.partial(_FIELDS)),
    _op("delete", "DELETE", _ONE, _delete, 204),
    _op("members.list", "GET", f"{_ONE}/members", _members, query=schemas.PAGE),
    _op("members.add", "POST", f"{_ONE}/members", _add_member, 201, body=_MEMBER),
    _op("members.remove", "DELETE", f"{_ONE}/members/{{memberId}}", _drop_member, 204),
    _op("administrators.list", "GET", f"{_ONE}/administrators", _masters, query=schemas.PAGE),
    _op("administrators.add", "POST", f"{_ONE}/administrators", _add_master, 201, body=_MASTER),
    _op("administrators.remove", "DELETE", f"{_ONE}/administrators/{{userId}}", _drop_master, 204),
    *key_operations("groups"),
    Operation(
        "admin.group_kind", "PUT", f"{_ONE}/kind", (), _make, success=204, host="admin", limit="none",
        body=_KIND,
    ),
)  # fmt: skip
