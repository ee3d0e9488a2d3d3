"""Members, org units and groups (levels, positions and user types: `catalogues`).

Members and groups are changed with PATCH only: a PUT wipes what it leaves out (and closes a group's room).
Never two writes of one member at once; org-unit writes one at a time, a second apart.

Source: reference part 1 §3–§7 (vendor pages user-*, orgunit-*, group-*, directory-*).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any

from bousai_kit.lineworks.base import Caller, InvalidContent, Json, as_object, external_key, quoted
from bousai_kit.lineworks.catalogues import Levels, Positions, UserTypes

__all__ = ["Groups", "Levels", "OrgUnits", "Positions", "UserTypes", "Users", "external_key"]

ORGUNIT_REST_S = 1.0

Body = Mapping[str, Any]


class _Names:
    """Which names (userId, login id, external key) mean the same member, as requests and answers showed."""

    def __init__(self) -> None:
        self._known: dict[str, frozenset[str]] = {}

    def of(self, name: str) -> frozenset[str]:
        """All names of a member, as far as known."""
        name = name if name.startswith("externalKey:") else name.casefold()
        return self._known.get(name) or frozenset((name,))

    def same(self, names: Iterable[str]) -> None:
        """These names mean one member."""
        whole = frozenset().union(*(self.of(name) for name in names))
        for name in whole:
            self._known[name] = whole


class Users:
    """Members (vendor pages user-…). `user_id` is a userId, a login id or ``externalKey:…``."""

    def __init__(self, client: Caller) -> None:
        self._client = client
        self._names = _Names()

    def list(self, *, count: int = 100, priority: int = 0, **filters: Any) -> AsyncIterator[Json]:
        """All members, those deleted within the last 7 days included (``isDeleted``)."""
        return self._learning(
            self._client.pages(
                "/users",
                "users",
                operation="users.list",
                params={"domainId": self._client.domain_id, **filters},
                count=count,
                priority=priority,
            )
        )

    async def get(self, user_id: str, *, priority: int = 0) -> Json:
        """One member."""
        answer = await self._client.call("GET", self._path(user_id), operation="users.get", priority=priority)
        return self._learn(answer.json())

    async def create(self, body: Body, *, priority: int = 0) -> Json:
        """Create a member (201). Settle an unknown outcome by looking up the external key."""
        names = _names_of(body)
        self._names.same(names)
        async with self._alone(*names):
            answer = await self._client.call(
                "POST", "/users", operation="users.create", json=dict(body), priority=priority
            )
            return self._learn(answer.json())

    async def patch(self, user_id: str, body: Body, *, priority: int = 0) -> Json:
        """Change what is in `body`; arrays are replaced as a whole."""
        if "passwordConfig" in body:
            raise InvalidContent("パスワードは登録時にだけ設定できます。", field="passwordConfig")
        async with self._alone(user_id):
            answer = await self._client.call(
                "PATCH", self._path(user_id), operation="users.patch", json=dict(body), priority=priority
            )
            return self._learn(answer.json())

    async def suspend(self, user_id: str) -> None:
        """Stop a member from logging in; the data stays."""
        await self._write("POST", user_id, "suspend")

    async def unsuspend(self, user_id: str) -> None:
        """Lift a suspension."""
        await self._write("POST", user_id, "unsuspend")

    async def delete(self, user_id: str) -> None:
        """Delete; 7 days of grace, but rooms are left at once."""
        await self._write("DELETE", user_id)

    async def undelete(self, user_id: str) -> None:
        """Take a deletion back within 7 days."""
        await self._write("POST", user_id, "undelete")

    async def forcedelete(self, user_id: str) -> None:
        """Purge at once; the login id is free again."""
        await self._write("DELETE", user_id, "forcedelete")

    async def force_logout(self, user_id: str) -> None:
        """Log out everywhere (202; takes up to 5 minutes)."""
        await self._write("POST", user_id, "force-logout")

    async def move(self, user_id: str, body: Body) -> None:
        """Move to another domain of the tenant."""
        await self._write("POST", user_id, "move", body=body)

    async def set_leave_of_absence(self, user_id: str, *, start: datetime, end: datetime) -> None:
        """Enter a leave, in place of an earlier one."""
        await self._write(
            "POST",
            user_id,
            "set-leave-of-absence",
            body={"startTime": _iso("startTime", start), "endTime": _iso("endTime", end)},
        )

    async def clear_leave_of_absence(self, user_id: str) -> None:
        """Remove a leave."""
        await self._write("POST", user_id, "clear-leave-of-absence")

    async def send_invitation(self, user_id: str, *, email: str | None = None) -> None:
        """Mail the invitation again: to the private address, or to `email`. Pending members only."""
        body: Json = (
            {"usePrivateEmail": True} if email is None else {"usePrivateEmail": False, "email": email}
        )
        await self._write("POST", user_id, "send-invitation-email", body=body)

    async def send_invitations(self, *, result_to: str | None = None) -> None:
        """Mail all pending members who choose their own password (202; once a day)."""
        body: Json = {"domainId": self._client.domain_id}
        if result_to is not None:
            body["resultEmailReceiver"] = result_to
        await self._client.call(
            "POST", "/users/send-invitation-email", operation="users.send-invitations", json=body
        )

    async def add_alias(self, user_id: str, email: str) -> None:
        """Add an alias address (Advanced plan)."""
        await self._write("POST", user_id, "alias-emails", email)

    async def remove_alias(self, user_id: str, email: str) -> None:
        """Remove an alias address."""
        await self._write("DELETE", user_id, "alias-emails", email)

    def external_keys(self, *, has_key: bool | None = None, count: int = 100) -> AsyncIterator[Json]:
        """``{domainId, name, email, id, externalKey}`` of all members."""
        return self._client.pages(
            "/users/external-keys",
            "users",
            operation="users.external-keys",
            params={"domainId": self._client.domain_id, "hasExternalKey": has_key},
            count=count,
        )

    async def set_external_keys(self, keys: Mapping[str, str | None]) -> None:
        """Set (or with None remove) the keys of 1–50 members, all or none."""
        if not 1 <= len(keys) <= 50:
            raise InvalidContent("External Key は 1〜50 件ずつ設定できます。", field="users", limit=50)
        for key in keys.values():
            if key is not None:
                external_key(key)
        entries = [{"id": id_, "externalKey": key} for id_, key in keys.items()]
        async with self._alone(*keys):
            await self._client.call(
                "POST",
                "/users/external-keys",
                operation="users.set-external-keys",
                json={"users": entries},
            )

    async def _write(self, method: str, user_id: str, *verb: str, body: Body | None = None) -> None:
        async with self._alone(user_id):
            await self._client.call(
                method,
                self._path(user_id, *verb),
                operation=f"users.{verb[0] if verb else method.lower()}",
                json=None if body is None else dict(body),
            )

    def _path(self, user_id: str, *rest: str) -> str:
        if user_id == "me":
            raise InvalidContent("サービスアカウントでは userId に me を使えません。", field="userId")
        return quoted("users", user_id, *rest)

    def _learn(self, user: Any) -> Json:
        if not isinstance(user, dict):
            return {}
        self._names.same(_names_of(user))
        return user

    @contextlib.asynccontextmanager
    async def _alone(self, *names: str) -> AsyncIterator[None]:
        """No two writes of these members at once, by whichever of their names."""
        while True:
            known = {each for name in names for each in self._names.of(name)}
            async with self._client.alone(*(("user", each) for each in known)):
                if known >= {each for name in names for each in self._names.of(name)}:
                    yield
                    return

    async def _learning(self, users: AsyncIterator[Any]) -> AsyncIterator[Json]:
        async for user in users:
            yield self._learn(user)


class OrgUnits:
    """Org units; all writes one at a time and a second apart for the whole domain (orgunit-create)."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    def list(self, *, count: int = 100, priority: int = 0) -> AsyncIterator[Json]:
        """All org units."""
        return self._client.pages(
            "/orgunits",
            "orgUnits",
            operation="orgunits.list",
            params={"domainId": self._client.domain_id},
            count=count,
            priority=priority,
        )

    async def get(self, orgunit_id: str) -> Json:
        """One org unit."""
        answer = await self._client.call("GET", quoted("orgunits", orgunit_id), operation="orgunits.get")
        return as_object(answer.json())

    async def create(self, body: Body) -> Json:
        """Create; ``displayOrder`` is needed although the vendor's table does not say so."""
        return await self._write("POST", "create", "/orgunits", {"displayOrder": 1, **body})

    async def patch(self, orgunit_id: str, body: Body) -> Json:
        """Change what is in `body` (``email`` is required by the platform; ``displayOrder`` is ignored)."""
        return await self._write("PATCH", "patch", quoted("orgunits", orgunit_id), body)

    async def move(self, orgunit_id: str, *, display_order: int, parent_id: str | None = None) -> Json:
        """Move below another parent (None: top) and to a place among its siblings."""
        body = {"displayOrder": display_order, "parentOrgUnitId": parent_id}
        return await self._write("POST", "move", quoted("orgunits", orgunit_id, "move"), body)

    async def delete(self, orgunit_id: str) -> None:
        """Delete an empty org unit."""
        await self._write("DELETE", "delete", quoted("orgunits", orgunit_id), None)

    def members(self, orgunit_id: str) -> AsyncIterator[Json]:
        """Members of one org unit (not of those below it)."""
        return self._client.pages(
            quoted("orgunits", orgunit_id, "members"), "members", operation="orgunits.members"
        )

    async def _write(self, method: str, verb: str, path: str, body: Body | None) -> Json:
        lane = ("orgunits", self._client.domain_id)
        async with self._client.alone(lane, rest_s=ORGUNIT_REST_S, rest_key=lane):
            answer = await self._client.call(
                method, path, operation=f"orgunits.{verb}", json=None if body is None else dict(body)
            )
            return as_object(answer.json())


class Groups:
    """Groups (vendor pages group-…)."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    def list(self, *, count: int = 100, priority: int = 0) -> AsyncIterator[Json]:
        """All groups."""
        return self._client.pages(
            "/groups",
            "groups",
            operation="groups.list",
            params={"domainId": self._client.domain_id},
            count=count,
            priority=priority,
        )

    async def get(self, group_id: str) -> Json:
        """One group."""
        answer = await self._client.call("GET", quoted("groups", group_id), operation="groups.get")
        return as_object(answer.json())

    async def create(self, body: Body) -> Json:
        """Create; ``administrators`` and ``members`` are needed. Without ``useMessage`` there is no room."""
        answer = await self._client.call("POST", "/groups", operation="groups.create", json=dict(body))
        return as_object(answer.json())

    async def patch(self, group_id: str, body: Body) -> Json:
        """Change what is in `body`. ``useMessage: false`` deletes everybody's history: refused here."""
        if body.get("useMessage") is False:
            raise InvalidContent(
                "グループのトークルームを無効にすると全員の履歴が消えるため、この操作はできません。",
                field="useMessage",
            )
        answer = await self._client.call(
            "PATCH", quoted("groups", group_id), operation="groups.patch", json=dict(body)
        )
        return as_object(answer.json())

    async def delete(self, group_id: str) -> None:
        """Delete."""
        await self._client.call("DELETE", quoted("groups", group_id), operation="groups.delete")

    def members(self, group_id: str) -> AsyncIterator[Json]:
        """``{id, type, externalKey}``; nested units and groups unexpanded."""
        return self._client.pages(
            quoted("groups", group_id, "members"), "members", operation="groups.members"
        )

    async def add_member(self, group_id: str, member_id: str, *, type: str = "USER") -> None:
        """Add one ``USER``, ``ORGUNIT`` or ``GROUP`` (409 when it is there)."""
        await self._client.call(
            "POST",
            quoted("groups", group_id, "members"),
            operation="groups.add-member",
            json={"id": member_id, "type": type},
        )

    async def remove_member(self, group_id: str, member_id: str) -> None:
        """Remove one member."""
        await self._client.call(
            "DELETE", quoted("groups", group_id, "members", member_id), operation="groups.remove-member"
        )

    def administrators(self, group_id: str) -> AsyncIterator[Json]:
        """Group masters."""
        return self._client.pages(
            quoted("groups", group_id, "administrators"),
            "administrators",
            operation="groups.administrators",
        )

    async def add_administrator(self, group_id: str, user_id: str) -> None:
        """Add a group master (who must also be a member to use the room)."""
        await self._client.call(
            "POST",
            quoted("groups", group_id, "administrators"),
            operation="groups.add-administrator",
            json={"userId": user_id},
        )

    async def remove_administrator(self, group_id: str, user_id: str) -> None:
        """Remove a group master."""
        await self._client.call(
            "DELETE",
            quoted("groups", group_id, "administrators", user_id),
            operation="groups.remove-administrator",
        )


def _names_of(user: Mapping[str, Any]) -> list[str]:
    found = [user.get("userId"), user.get("email")]
    if isinstance(user.get("userExternalKey"), str) and user["userExternalKey"]:
        found.append("externalKey:" + user["userExternalKey"])
    return [name for name in found if isinstance(name, str) and name]


def _iso(field: str, moment: datetime) -> str:
    if moment.tzinfo is None:
        raise InvalidContent(f"{field} にはタイムゾーンが必要です。", field=field)
    return moment.isoformat(timespec="seconds")
