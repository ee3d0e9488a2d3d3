"""What hangs on a member: alias addresses, photo, status texts, links to LINE and WORKS (part 1 §3, §4.8)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from bousai_kit.sandbox import directory_checks as check
from bousai_kit.sandbox import routes_user_statuses, schemas, tickets
from bousai_kit.sandbox.content_parts import string
from bousai_kit.sandbox.directory_rules import USERS, USERS_READ, managed, noted
from bousai_kit.sandbox.directory_state import put_user, set_account
from bousai_kit.sandbox.ops import ApiFault, Call, Listener, Operation, Reply, bad, missing
from bousai_kit.sandbox.routes_attachments import parse_form
from bousai_kit.sandbox.routes_users import the_user, writable_user
from bousai_kit.sandbox.user_body import unique_user

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Sandbox

__all__ = ["LISTENERS", "OPERATIONS"]

ONE = "/users/{userId}"
PHOTO_BYTES = 10_485_760
PHOTOS = "photos"


# -- alias addresses --------------------------------------------------------------------------------


def _add_alias(call: Call) -> Reply:
    user = writable_user(call)
    if call.sandbox.limits.plan != "advanced":
        raise ApiFault(*call.choices.not_on_this_plan)
    alias = check.address(call.path["email"], "email", 90)
    aliases = [*user["aliasEmails"], alias]
    if len(aliases) > 10:
        raise bad("aliasEmails must have at most 10 items.")
    user = {**user, "aliasEmails": aliases}
    unique_user(call, user)
    put_user(call.tenant, user)
    noted(call, "update", user["userId"])
    return Reply(call.choices.alias_status)


def _drop_alias(call: Call) -> Reply:
    user = writable_user(call)
    alias = call.path["email"]
    if alias not in user["aliasEmails"]:
        raise missing("Alias not found.")
    put_user(call.tenant, {**user, "aliasEmails": [item for item in user["aliasEmails"] if item != alias]})
    noted(call, "update", user["userId"])
    return Reply(call.choices.alias_status)


# -- photo ------------------------------------------------------------------------------------------


def _announce(call: Call) -> Reply:
    user, fields = writable_user(call), call.json()
    string(fields, "fileName", "", 1000)
    size = check.number(fields, "fileSize", low=1)
    if size > PHOTO_BYTES:
        raise bad(f"fileSize must be at most {PHOTO_BYTES}.")
    url = tickets.give(call, PHOTOS, call.choices.attachment_life_s, user=user["userId"], size=size, way="in")
    return Reply(200, {"uploadUrl": url})


def _upload(call: Call) -> Reply:
    ticket = tickets.look(call, PHOTOS)
    if ticket["used"] or ticket["way"] != "in" or ticket["user"] not in call.tenant.table("users"):
        raise missing("The URL is unknown or has been used.")
    parts = parse_form(call.headers.get("content-type", ""), call.body)
    data = next((data for name, data in parts if name.lower() in call.choices.upload_field_names), None)
    if data is None:
        raise bad("Filedata is required.")
    if len(data) != ticket["size"]:
        raise bad("The file has another size than announced.")
    tickets.spend(call)
    call.tenant.put("blobs", f"photo:{ticket['user']}", {"b": base64.b64encode(data).decode()})
    return Reply(call.choices.photo_status)


def _photo(call: Call) -> Reply:
    user = the_user(call)
    if f"photo:{user['userId']}" not in call.tenant.table("blobs"):
        raise missing("Photo not found.")
    url = tickets.give(call, PHOTOS, call.choices.download_ticket_s, user=user["userId"], way="out")
    return Reply(302, None, {"Location": url})


def _download(call: Call) -> Reply:
    ticket = tickets.look(call, PHOTOS)
    blob = call.tenant.table("blobs").get(f"photo:{ticket['user']}")
    if blob is None or ticket["way"] != "out":
        raise missing("Photo not found.")
    return Reply(200, raw=base64.b64decode(blob["b"]), content_type="image/jpeg")


def _drop_photo(call: Call) -> Reply:
    user = writable_user(call)
    if call.tenant.delete("blobs", f"photo:{user['userId']}") is None:
        raise missing("Photo not found.")
    return Reply(204)


# -- what goes with a member ------------------------------------------------------------------------


def _purged(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    sandbox.tenant.delete("blobs", f"photo:{payload['id']}")
    routes_user_statuses.drop_statuses(sandbox.tenant, payload["id"])


LISTENERS: dict[str, Listener] = {"user.purged": _purged}


# -- links ------------------------------------------------------------------------------------------


def _link(name: str, *, on: bool) -> Any:
    def one(call: Call) -> Reply:
        user = writable_user(call)
        set_account(call.tenant, user["userId"], **{name: on})
        noted(call, "update", user["userId"])
        return Reply(204)

    def everybody(call: Call) -> Reply:
        managed(call)
        for user_id, user in list(call.tenant.table("users").items()):
            if user["domainId"] == call.domain_id and not user["isDeleted"]:
                set_account(call.tenant, user_id, **{name: on})
        noted(call, "update", "*")
        return Reply(202)

    return one, everybody


def _links() -> tuple[Operation, ...]:
    found: list[Operation] = []
    for path, name, on in (
        ("link-to-line", "line", True),
        ("unlink-to-line", "line", False),
        ("link-to-works", "works", True),
    ):
        one, everybody = _link(name, on=on)
        label = path.replace("-", "_")
        where = "1 §3"
        found.append(
            Operation(f"users.{label}", "POST", f"{ONE}/{path}", ("user",), one, success=204, paragraph=where)
        )
        found.append(
            Operation(
                f"users.{label}.all",
                "POST",
                f"/users/{path}",
                ("user",),
                everybody,
                success=202,
                paragraph=where,
            )
        )
    return tuple(found)


_ALIAS = f"{ONE}/alias-emails/{{email}}"
_PHOTO = f"{ONE}/photo"
_SIZE = {"type": "integer", "minimum": 1, "maximum": PHOTO_BYTES}
_PHOTO_BODY = schemas.body({"fileName": schemas.text(1000), "fileSize": _SIZE}, "fileName", "fileSize")


def _op(name: str, method: str, path: str, handler: Any, success: int, **more: Any) -> Operation:
    where = "1 §4.8"
    scopes: tuple[str, ...] = USERS_READ if method == "GET" else USERS
    if more.get("host"):
        scopes = ()
    return Operation(f"users.{name}", method, path, scopes, handler, success=success, paragraph=where, **more)


OPERATIONS: tuple[Operation, ...] = (
    _op("alias.add", "POST", _ALIAS, _add_alias, 204),
    _op("alias.remove", "DELETE", _ALIAS, _drop_alias, 204),
    _op("photo.announce", "POST", _PHOTO, _announce, 200, body=_PHOTO_BODY),
    _op("photo.get", "GET", _PHOTO, _photo, 302),
    _op("photo.delete", "DELETE", _PHOTO, _drop_photo, 204),
    _op(
        "photo.upload", "POST", f"/{PHOTOS}/{{ticket}}", _upload, 200,
        host="storage", limit="none", max_body=PHOTO_BYTES + (1 << 16),
    ),
    _op("photo.download", "GET", f"/{PHOTOS}/{{ticket}}", _download, 200, host="storage", limit="none"),
    *_links(),
    *routes_user_statuses.OPERATIONS,
)  # fmt: skip
