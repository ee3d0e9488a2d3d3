"""What a method and a path mean: the operation that the limit counts, and what it may not overlap with. Pure.

So that ``client.call`` holds the rules for every request, whether an API family made it or a person typed it:
no PUT on members and groups, never two writes of one member at once, org-unit writes a second apart,
administration of a bot one at a time, one log download at a time.

Source: reference part 1 §1.1, §2.5, §3; part 2 §1, §5, §6.1.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from bousai_kit.errors import GuardError
from bousai_kit.lineworks.base import InvalidContent

__all__ = ["Route", "Turn", "check_count", "names_of", "recognise"]

ORGUNIT_REST_S = 1.0
AUDIT_REST_S = 60.0

_TABLE = """
POST /users users.create
GET /users users.list
GET /users/{} users.get
PATCH /users/{} users.patch
DELETE /users/{} users.delete
DELETE /users/{}/forcedelete users.forcedelete
POST /users/{}/undelete users.undelete
POST /users/{}/suspend users.suspend
POST /users/{}/unsuspend users.unsuspend
POST /users/{}/force-logout users.force-logout
POST /users/{}/move users.move
POST /users/{}/set-leave-of-absence users.set-leave-of-absence
POST /users/{}/clear-leave-of-absence users.clear-leave-of-absence
POST /users/{}/send-invitation-email users.send-invitation
POST /users/send-invitation-email users.send-invitations
POST /users/{}/alias-emails/{} users.add-alias
DELETE /users/{}/alias-emails/{} users.remove-alias
POST /users/{}/photo users.set-photo
GET /users/{}/photo users.photo
DELETE /users/{}/photo users.delete-photo
GET /users/external-keys users.external-keys
POST /users/external-keys users.set-external-keys
POST /users/{}/user-profile-statuses users.add-status
GET /users/{}/user-profile-statuses users.statuses
GET /users/{}/user-profile-statuses/{} users.status
PUT /users/{}/user-profile-statuses/{} users.replace-status
PATCH /users/{}/user-profile-statuses/{} users.patch-status
DELETE /users/{}/user-profile-statuses/{} users.delete-status
POST /users/{}/link-to-line users.link-to-line
POST /users/{}/unlink-to-line users.unlink-to-line
POST /users/{}/link-to-works users.link-to-works
POST /users/link-to-line users.link-all-to-line
POST /users/unlink-to-line users.unlink-all-to-line
POST /users/link-to-works users.link-all-to-works
POST /orgunits orgunits.create
GET /orgunits orgunits.list
GET /orgunits/{} orgunits.get
PUT /orgunits/{} orgunits.replace
PATCH /orgunits/{} orgunits.patch
DELETE /orgunits/{} orgunits.delete
POST /orgunits/{}/move orgunits.move
GET /orgunits/{}/members orgunits.members
POST /orgunits/{}/orgunit-access-restrict orgunits.set-access
GET /orgunits/{}/orgunit-access-restrict orgunits.access
PUT /orgunits/{}/orgunit-access-restrict orgunits.replace-access
DELETE /orgunits/{}/orgunit-access-restrict orgunits.delete-access
GET /orgunits/external-keys orgunits.external-keys
POST /orgunits/external-keys orgunits.set-external-keys
POST /groups groups.create
GET /groups groups.list
GET /groups/{} groups.get
PATCH /groups/{} groups.patch
DELETE /groups/{} groups.delete
GET /groups/{}/members groups.members
POST /groups/{}/members groups.add-member
DELETE /groups/{}/members/{} groups.remove-member
GET /groups/{}/administrators groups.administrators
POST /groups/{}/administrators groups.add-administrator
DELETE /groups/{}/administrators/{} groups.remove-administrator
GET /groups/external-keys groups.external-keys
POST /groups/external-keys groups.set-external-keys
POST /directory/user-types/{}/orgunit-access-restrict user-types.set-access
GET /directory/user-types/{}/orgunit-access-restrict user-types.access
PUT /directory/user-types/{}/orgunit-access-restrict user-types.replace-access
DELETE /directory/user-types/{}/orgunit-access-restrict user-types.delete-access
POST /directory/users/custom-properties custom-properties.create
GET /directory/users/custom-properties custom-properties.list
GET /directory/users/custom-properties/{} custom-properties.get
PATCH /directory/users/custom-properties/{} custom-properties.patch
DELETE /directory/users/custom-properties/{} custom-properties.delete
POST /bots bots.create
GET /bots bots.list
GET /bots/{} bots.get
PUT /bots/{} bots.replace
PATCH /bots/{} bots.patch
DELETE /bots/{} bots.delete
POST /bots/{}/secret bots.secret
GET /bots/{}/domains bots.domains
POST /bots/{}/domains/{} bots.register-domain
PUT /bots/{}/domains/{} bots.replace-domain
PATCH /bots/{}/domains/{} bots.patch-domain
DELETE /bots/{}/domains/{} bots.remove-domain
GET /bots/{}/domains/{}/members bots.members
POST /bots/{}/domains/{}/members bots.add-member
DELETE /bots/{}/domains/{}/members/{} bots.remove-member
POST /bots/{}/persistentmenu bots.set-menu
GET /bots/{}/persistentmenu bots.menu
DELETE /bots/{}/persistentmenu bots.delete-menu
POST /bots/{}/richmenus richmenus.create
GET /bots/{}/richmenus richmenus.list
GET /bots/{}/richmenus/{} richmenus.get
DELETE /bots/{}/richmenus/{} richmenus.delete
POST /bots/{}/richmenus/{}/image richmenus.image
GET /bots/{}/richmenus/{}/image richmenus.get-image
POST /bots/{}/richmenus/{}/set-default richmenus.set-default
POST /bots/{}/users/{}/richmenus richmenus.set-for-user
GET /bots/{}/users/{}/richmenus richmenus.of-user
DELETE /bots/{}/users/{}/richmenus richmenus.delete-for-user
POST /bots/{}/attachments attachments.create
GET /bots/{}/attachments/{} attachments.get
POST /bots/{}/users/{}/messages messages.to-user
POST /bots/{}/channels/{}/messages messages.to-channel
POST /bots/{}/channels channels.create
GET /bots/{}/channels/{} channels.get
GET /bots/{}/channels/{}/members channels.members
DELETE /bots/{}/channels/{} channels.leave
GET /boards boards.list
GET /boards/{} boards.get
GET /boards/{}/posts boards.posts
GET /boards/must/posts boards.must
GET /boards/recent/posts boards.recent
POST /boards/{}/posts boards.post
GET /boards/{}/posts/{} boards.get-post
PUT /boards/{}/posts/{} boards.replace-post
DELETE /boards/{}/posts/{} boards.delete-post
GET /boards/{}/posts/{}/readers boards.readers
GET /audits/logs/download audit.download
GET /monitoring/message-contents/download monitoring.download
GET /forms/{}/responses forms.responses
GET /forms/{}/responses/{}/attachments/{} forms.attachment
POST /security/external-browser/enable security.enable-external-browser
POST /security/external-browser/disable security.disable-external-browser
GET /security/external-browser security.external-browser
"""
_CATALOGUES = ("levels", "positions", "user-types", "employment-types", "profile-statuses", "custom-fields")
_CATALOGUE = """
POST  create
GET  list
GET /{} get
PUT /{} replace
PATCH /{} patch
DELETE /{} delete
POST /enable enable
POST /disable disable
GET /external-keys external-keys
POST /external-keys set-external-keys
"""
_LITERAL = re.compile(r"[a-z]{1,24}(?:-[a-z]{1,24})*")
_FAMILIES = {"audits": "audit"}  # as the known limits name them
_COUNTS = {"boards": 40, "boards.readers": 5000, "forms": 1000}  # items a page; 100 elsewhere
_REPLACED = frozenset({"users", "groups"})
_FOR_ALL = frozenset({"send-invitation-email", "link-to-line", "unlink-to-line", "link-to-works"})
_NO_ADMINISTRATION = frozenset({"users", "channels", "attachments"})
_TELLING = frozenset(
    {"users.list", "users.get", "users.create", "users.patch", "users.undelete", "users.move"}
    | {"users.external-keys"}
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a request may not overlap with.

    Attributes
    ----------
    keys : tuple
        One at a time each.
    members : tuple of str
        Names of members that it writes (userId, login id, ``externalKey:…``).
    one_member : bool
        Those names are all of one member (a creation).
    named : tuple of tuple of str
        Names that mean the same member each, once it is done.
    rest_s : float
        It leaves so long after the last that rested by `rest_key` has ended.
    """

    keys: tuple[Hashable, ...] = ()
    members: tuple[str, ...] = ()
    one_member: bool = False
    named: tuple[tuple[str, ...], ...] = ()
    rest_s: float = 0.0
    rest_key: Hashable = None


@dataclass(frozen=True, slots=True)
class Route:
    """A recognised request.

    Attributes
    ----------
    operation : str
        What the limit counts, e.g. ``"users.create"``; of an unknown route its method and shape.
    turn : Turn or None
        None: it may overlap with anything.
    tells_names : bool
        Its answer tells which names mean the same member.
    """

    operation: str
    turn: Turn | None
    tells_names: bool


def recognise(method: str, path: str, body: Any = None, *, domain_id: int = 0) -> Route:
    """Say what a request is.

    Parameters
    ----------
    method : str
        Upper case.
    path : str
        Below the API's base.
    body : optional
        As it will be sent: a creation and a list of external keys name their members there.
    domain_id : int
        Org units rest per domain.

    Raises
    ------
    GuardError
        It would replace a member or a group (PUT).
    InvalidContent
        ``me``: no member for a service account.
    """
    parts = path.split("/")[1:]
    if "%" in path:
        parts = [unquote(part) for part in parts]
    if method == "PUT" and len(parts) == 2 and parts[0] in _REPLACED:
        raise GuardError(
            "メンバーとグループの全項目置き換え（PUT）は行いません。省略した項目が消えるためです。",
            hint="変更する項目だけを PATCH で送ってください。",
        )
    if parts[0] == "users" and parts[1:2] == ["me"]:
        raise InvalidContent("サービスアカウントでは userId に me を使えません。", field="userId")
    operation = _operation(method, parts)
    return Route(operation, _turn(method, parts, body, domain_id), operation in _TELLING)


def _operation(method: str, parts: list[str]) -> str:
    node: Any = _TREE
    for part in parts:
        found = node.get(part)
        node = found if found is not None else node.get("{}")
        if node is None:
            break
    else:
        known = node.get(f" {method}")
        if known is not None:
            return str(known)
    shape = "/".join(part if _LITERAL.fullmatch(part) else "{}" for part in parts)
    family = shape.partition("/")[0]
    return f"{_FAMILIES.get(family, family)}.{method.lower()} /{shape}"


def _turn(method: str, parts: list[str], body: Any, domain_id: int) -> Turn | None:
    head, rest = parts[0], parts[1:]
    if method == "GET":
        if head == "audits" and rest == ["logs", "download"]:
            return Turn(("log downloads",), rest_s=AUDIT_REST_S, rest_key="audit")
        return Turn(("log downloads",)) if head == "monitoring" else None
    if head == "users":
        return _member_turn(rest, body)
    if head == "orgunits" and (len(rest) < 2 or rest[1] == "move") and rest != ["external-keys"]:
        lane = ("orgunits", domain_id)
        return Turn((lane,), rest_s=ORGUNIT_REST_S, rest_key=lane)
    if head == "bots" and not (len(rest) > 1 and rest[1] in _NO_ADMINISTRATION):
        return Turn((("bot", rest[0] if rest else "new"),))
    return None


def _member_turn(rest: list[str], body: Any) -> Turn | None:
    if not rest:
        return Turn(members=tuple(names_of(body)), one_member=True)
    if rest == ["external-keys"]:
        entries = body.get("users") if isinstance(body, Mapping) else None
        names = [names_of(entry) for entry in entries] if isinstance(entries, list) else []
        named = tuple(tuple(each) for each in names if len(each) > 1)
        return Turn(members=tuple(name for each in names for name in each), named=named)
    if len(rest) == 1 and rest[0] in _FOR_ALL:
        return None
    renamed = names_of(body) if len(rest) == 1 or rest[1] == "move" else []
    return Turn(members=(rest[0], *renamed))


def check_count(operation: str, params: Mapping[str, Any] | None) -> None:
    """Refuse a page size that the platform does not know: it answers an empty page, as if nobody were there.

    Raises
    ------
    InvalidContent
    """
    wanted = (params or {}).get("count")
    if wanted is None:
        return
    family = operation.partition(".")[0]
    most = _COUNTS.get(operation, _COUNTS.get(family, 100))
    if not str(wanted).isascii() or not str(wanted).isdecimal() or not 1 <= int(wanted) <= most:
        raise InvalidContent(f"count は 1〜{most} で指定してください。", field="count", limit=most)


def names_of(user: Any) -> list[str]:
    """The names that mean a member, of a user object or of an entry of the list of external keys."""
    if not isinstance(user, Mapping):
        return []
    found = [user.get("userId") or user.get("id"), user.get("email")]
    key = user.get("userExternalKey") or user.get("externalKey")
    if isinstance(key, str) and key:
        found.append(f"externalKey:{key}")
    return [name for name in found if isinstance(name, str) and name]


def _tree() -> dict[str, Any]:
    """Nested: segment -> node, ``" METHOD"`` -> operation."""
    tree: dict[str, Any] = {}
    lines = [line.split(" ") for line in _TABLE.strip().splitlines()]
    for name in _CATALOGUES:
        lines += [
            [method, f"/directory/{name}{path}", f"{name}.{verb}"]
            for method, path, verb in (line.split(" ") for line in _CATALOGUE.strip().splitlines())
        ]
    for method, path, operation in lines:
        node = tree
        for part in path.split("/")[1:]:
            node = node.setdefault(part, {})
        node[f" {method}"] = operation
    return tree


_TREE = _tree()
