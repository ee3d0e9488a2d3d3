"""Boards: posts, must-read, readers as a flag without a time (part 2 §9.1).

Who reads a post when is drawn per person and post, so nothing is stored of it: ``isRead`` is whether that
moment has passed. An unknown board is 403, as measured (part 1 §10.5); an unknown post 404.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bousai_kit.sandbox import directory_checks as check
from bousai_kit.sandbox import people, people_model, schemas
from bousai_kit.sandbox.bot_state import administrator, alive, full_name
from bousai_kit.sandbox.content_parts import obj, string
from bousai_kit.sandbox.directory_state import account
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad, missing
from bousai_kit.sandbox.tenant import Entity, Tenant, iso

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Sandbox

__all__ = ["LISTENERS", "OPERATIONS", "found"]

READ = ("board", "board.read")
WRITE = ("board",)
FIRST_BOARD = 4070000000094571001
FIRST_POST = 4070000000104571001


def found(tenant: Tenant, now: datetime) -> None:
    """One board."""
    number = tenant.next_number("board", FIRST_BOARD)
    board = {
        "boardId": number,
        "boardName": "防災掲示板",
        "description": "訓練と災害対応のお知らせ",
        "domainId": tenant.domain_id,
        "createdTime": iso(now),
        "modifiedTime": iso(now),
    }
    tenant.put("boards", str(number), board)


def _board(call: Call) -> tuple[str, Entity]:
    key = call.path["boardId"]
    board = call.tenant.table("boards").get(key)
    if board is None:
        raise ApiFault(*call.choices.unknown_board)
    return key, board


def _post(call: Call) -> tuple[str, Entity]:
    key, _ = _board(call)
    post = call.tenant.table("posts").get(call.path["postId"])
    if post is None or str(post["boardId"]) != key:
        raise missing("Post not found.")
    return call.path["postId"], post


# -- who has read -----------------------------------------------------------------------------------


def _reads_after(tenant: Tenant, post: Entity, user: Entity) -> float | None:
    """Seconds from the post to this member's reading it (None: never)."""
    key = f"post:{post['postId']}"
    cached: dict[str, float | None] = tenant.caches.setdefault(key, {})
    user_id = user["userId"]
    if user_id not in cached:
        person = people.profile(tenant, user)
        cached[user_id] = people_model.reads_after_s(tenant.seed, person, key, must=post["isMustRead"])
    return cached[user_id]


def _has_read(sandbox: Sandbox, post: Entity, user: Entity, passed: float | None = None) -> bool:
    """Whether that moment has passed; `passed`: seconds since the post, where many are asked for."""
    if user["userId"] == post["userId"]:
        return True
    after = _reads_after(sandbox.tenant, post, user)
    if after is None or not sandbox.choices.people_answer:
        return False
    return after <= (_passed(sandbox, post) if passed is None else passed) and alive(user)


def _passed(sandbox: Sandbox, post: Entity) -> float:
    return (sandbox.clock.now() - datetime.fromisoformat(post["at"])).total_seconds()


def _members(tenant: Tenant) -> list[Entity]:
    return [user for user in tenant.table("users").values() if not user.get("isDeleted")]


def _read_count(call: Call, post: Entity) -> int:
    sandbox, passed = call.sandbox, _passed(call.sandbox, post)
    return sum(_has_read(sandbox, post, user, passed) for user in _members(call.tenant)) + len(
        _gone(call, post)
    )


def _gone(call: Call, post: Entity) -> list[str]:
    """Names of those who had read it and are no longer there."""
    if not call.choices.readers_gone:
        return []
    users = call.tenant.table("users")
    return [name for user_id, name in post.get("gone", {}).items() if user_id not in users]


def _keep_reader(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    """Somebody is deleted: once purged, all that is left of a reader is the name, with a null for the id."""
    tenant = sandbox.tenant
    user = tenant.table("users").get(payload["id"])
    if user is None:
        return
    for key, post in list(tenant.table("posts").items()):
        if _has_read(sandbox, post, {**user, "isDeleted": False}):
            tenant.put(
                "posts", key, {**post, "gone": {**post.get("gone", {}), payload["id"]: full_name(user)}}
            )


def _keep_reader_purged(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    if account(sandbox.tenant, payload["id"]).get("purge") is None:  # else it was noted seven days ago
        _keep_reader(sandbox, payload)


# -- boards and posts -------------------------------------------------------------------------------


def _list_boards(call: Call) -> Reply:
    return Reply(200, call.page("boards", list(call.tenant.table("boards").items()), default=20, maximum=40))


def _get_board(call: Call) -> Reply:
    return Reply(200, _board(call)[1])


def _summary(call: Call, post: Entity) -> dict[str, Any]:
    shown = {name: post[name] for name in _LISTED}
    reader = call.token.user_id if call.token else ""
    user = call.tenant.table("users").get(reader)
    unread = user is not None and not _has_read(call.sandbox, post, user)
    return {**shown, "readCount": _read_count(call, post), "isUnread": unread}


def _whole(call: Call, post: Entity) -> dict[str, Any]:
    extra = {name: post[name] for name in ("body", "mustReadPeriod", "enableComment")}
    return {**_summary(call, post), **extra}


_LISTED = (
    "boardId",
    "postId",
    "title",
    "commentCount",
    "fileCount",
    "createdTime",
    "modifiedTime",
    "isMustRead",
    "userId",
    "userName",
)


def _page_of(call: Call, posts: list[tuple[str, Entity]]) -> Reply:
    return Reply(
        200, call.page("posts", posts, default=20, maximum=40, view=lambda post: _summary(call, post))
    )


def _posts(call: Call) -> list[tuple[str, Entity]]:
    return list(reversed(call.tenant.table("posts").items()))


def _list_posts(call: Call) -> Reply:
    key, _ = _board(call)
    return _page_of(call, [(name, post) for name, post in _posts(call) if str(post["boardId"]) == key])


def _must(call: Call) -> Reply:
    today = iso(call.now)[:10]
    return _page_of(call, [(name, post) for name, post in _posts(call) if _must_now(post, today)])


def _must_now(post: Entity, today: str) -> bool:
    period = post["mustReadPeriod"] or {}
    begin, end = period.get("startDate") or "", period.get("endDate") or "9999"
    return bool(post["isMustRead"] and begin <= today <= end)


def _recent(call: Call) -> Reply:
    start = call.now - timedelta(days=30)
    return _page_of(
        call, [(key, post) for key, post in _posts(call) if datetime.fromisoformat(post["at"]) >= start]
    )


def _checked(call: Call) -> dict[str, Any]:
    fields = call.json()
    title = string(fields, "title", "", call.choices.board_title_limit)
    body = string(fields, "body", "", call.choices.board_body_limit)
    period = fields.get("mustReadPeriod")
    if period is not None:
        entry = obj(period, "mustReadPeriod")
        for name in ("startDate", "endDate"):
            check.day(entry, name)
        period = {name: entry.get(name) or None for name in ("startDate", "endDate")}
        if (period["endDate"] or "9999") < (period["startDate"] or ""):
            raise bad("mustReadPeriod.endDate must not be before startDate.")
    return {
        "title": title,
        "body": body,
        "isMustRead": call.flag("isMustRead", False),
        "mustReadPeriod": period,
        "enableComment": call.flag("enableComment", call.choices.post_comments),
    }


def _create(call: Call) -> Reply:
    _, board = _board(call)
    fields = _checked(call)
    tenant = call.tenant
    author = call.token.user_id if call.token and call.token.user_id else administrator(tenant)
    number = tenant.next_number("post", FIRST_POST)
    post = {
        "boardId": board["boardId"],
        "postId": number,
        **fields,
        "commentCount": 0,
        "fileCount": 0,
        "createdTime": iso(call.now),
        "modifiedTime": iso(call.now),
        "userId": author,
        "userName": full_name(tenant.table("users").get(author) or {}),
        "at": call.now.isoformat(),
    }
    tenant.put("posts", str(number), post)
    _log(call, board, post, "create")
    return Reply(201, _whole(call, post))


def _log(call: Call, board: Entity, post: Entity, task: str) -> None:
    user = call.token.user_id if call.token else ""
    call.tenant.audit(
        "board", call.now, user=user, task=task, target=post["title"], board=board["boardName"], ok=True
    )


def _replace(call: Call) -> Reply:
    key, post = _post(call)
    post.update(_checked(call), modifiedTime=iso(call.now))
    call.tenant.touch("posts", key)
    _log(call, _board(call)[1], post, "update")
    return Reply(200, _whole(call, post))


def _get(call: Call) -> Reply:
    return Reply(200, _whole(call, _post(call)[1]))


def _delete(call: Call) -> Reply:
    key, post = _post(call)
    call.tenant.delete("posts", key)
    call.tenant.caches.pop(f"post:{post['postId']}", None)
    _log(call, _board(call)[1], post, "delete")
    return Reply(204)


def _readers(call: Call) -> Reply:
    _, post = _post(call)
    passed = _passed(call.sandbox, post)

    def view(user: Entity) -> dict[str, Any]:
        return {
            "userId": user["userId"],
            "userName": full_name(user),
            "isRead": _has_read(call.sandbox, post, user, passed),
        }

    def shown(entry: Entity | str) -> dict[str, Any]:
        gone = {"userId": None, "userName": entry, "isRead": True}
        return gone if isinstance(entry, str) else view(entry)

    rows: list[tuple[str, Any]] = [(user["userId"], user) for user in _members(call.tenant)]
    rows += [(f"gone {at}", name) for at, name in enumerate(_gone(call, post))]
    most = call.choices.readers_maximum
    return Reply(200, call.page("readers", rows, default=most, maximum=most, view=shown))


_DAY = schemas.text(10, null=True, pattern="^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")
_PERIOD = {**schemas.body({"startDate": _DAY, "endDate": _DAY}), "type": ["object", "null"]}
_BODY = schemas.body(
    {
        "title": schemas.text(200),
        "body": schemas.text(200_000),
        "isMustRead": schemas.FLAG,
        "enableComment": schemas.FLAG,
        "mustReadPeriod": _PERIOD,
    },
    "title",
    "body",
)
_PAGE = schemas.page(40)
_POSTS = "/boards/{boardId}/posts"
_ONE = "/boards/{boardId}/posts/{postId}"


def _op(name: str, method: str, path: str, handler: Any, success: int = 200, **more: Any) -> Operation:
    scopes = READ if method == "GET" else WRITE
    return Operation(
        f"boards.{name}",
        method,
        path,
        scopes,
        handler,
        success=success,
        limit="board",
        paragraph="2 §9.1",
        **more,
    )


OPERATIONS: tuple[Operation, ...] = (
    _op("list", "GET", "/boards", _list_boards, query=_PAGE),
    _op("get", "GET", "/boards/{boardId}", _get_board),
    _op("must", "GET", "/boards/must/posts", _must, query=_PAGE),
    _op("recent", "GET", "/boards/recent/posts", _recent, query=_PAGE),
    _op("posts.list", "GET", _POSTS, _list_posts, query=_PAGE),
    _op("posts.create", "POST", _POSTS, _create, 201, body=_BODY),
    _op("posts.get", "GET", _ONE, _get),
    _op("posts.replace", "PUT", _ONE, _replace, body=_BODY),
    _op("posts.delete", "DELETE", _ONE, _delete, 204),
    _op(
        "posts.readers",
        "GET",
        f"{_ONE}/readers",
        _readers,
        query=schemas.page(5000),
    ),
)
LISTENERS = {"user.deleted": _keep_reader, "user.purged": _keep_reader_purged}
