"""Members, org units and groups (levels, positions and user types: `catalogues`).

Members and groups are changed with PATCH only: a PUT wipes what it leaves out (and closes a group's room).
Never two writes of one member at once; org-unit writes one at a time, a second apart (`routes` knows, the
client holds it).

Source: reference part 1 §3–§7 (vendor pages user-*, orgunit-*, group-*, directory-*).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from bousai_kit.lineworks.base import InvalidContent, Json, as_object, external_key, quoted
from bousai_kit.lineworks.catalogues import Levels, Positions, UserTypes
from bousai_kit.lineworks.keys import Keyed

__all__ = ["Groups", "Levels", "OrgUnits", "Positions", "UserTypes", "Users", "external_key"]

Body = Mapping[str, Any]


class Users(Keyed):
    """Members (vendor pages user-…). `user_id` is a userId, a login id or ``externalKey:…``."""

    _path, _items = ("users",), ("users",)

    def list(self, *, count: int = 100, priority: int = 0, **filters: Any) -> AsyncIterator[Json]:
        """All members, those deleted within the last 7 days included (``isDeleted``)."""
        return self._client.pages(
            "/users",
            "users",
            params={"domainId": self._client.domain_id, **filters},
            count=count,
            priority=priority,
        )

    async def get(self, user_id: str, *, priority: int = 0) -> Json:
        """One member."""
        answer = await self._client.call("GET", _member(user_id), priority=priority)
        return as_object(answer.json())

    async def create(self, body: Body, *, priority: int = 0) -> Json:
        """Create a member (201). Settle an unknown outcome by looking up the external key."""
        answer = await self._client.call("POST", "/users", json=dict(body), priority=priority)
        return as_object(answer.json())

    async def patch(self, user_id: str, body: Body, *, priority: int = 0) -> Json:
        """Change what is in `body`; arrays are replaced as a whole."""
        if "passwordConfig" in body:
            raise InvalidContent("パスワードは登録時にだけ設定できます。", field="passwordConfig")
        answer = await self._client.call("PATCH", _member(user_id), json=dict(body), priority=priority)
        return as_object(answer.json())

    async def suspend(self, user_id: str) -> None:
        """Stop a member from logging in; the data stays."""
        await self._write("POST", user_id, "suspend")

    async def unsuspend(self, user_id: str) -> None:
        """Lift a suspension."""
        await self._write("POST", user_id, "unsuspend")

    async def delete(self, user_id: str) -> None:
        """Delete; 7 days of grace, but rooms are left at once."""
        await self._write("DELETE", user_id)

    async def undelete(self, user_id: str) -> Json:
        """Take a deletion back within 7 days (not after a purge); rooms and talks do not come back."""
        return await self._write("POST", user_id, "undelete")

    async def forcedelete(self, user_id: str) -> None:
        """Purge at once; the login id is free again."""
        await self._write("DELETE", user_id, "forcedelete")

    async def force_logout(self, user_id: str) -> None:
        """Log out everywhere (202; takes up to 5 minutes)."""
        await self._write("POST", user_id, "force-logout")

    async def move(self, user_id: str, body: Body) -> Json:
        """Move to another domain of the tenant; logs stay behind."""
        return await self._write("POST", user_id, "move", body=body)

    async def set_leave_of_absence(
        self, user_id: str, *, start: datetime | None = None, end: datetime | None = None
    ) -> None:
        """Enter a leave, in place of an earlier one: from `start` to `end`, or from now on with neither."""
        if (start is None) != (end is None):
            raise InvalidContent(
                "休職の開始と終了は、両方を指定するか、両方を省いてください。", field="endTime"
            )
        body: Json = {}
        if start is not None and end is not None:
            body = {"startTime": _iso("startTime", start), "endTime": _iso("endTime", end)}
            if end <= start:
                raise InvalidContent("休職の終了は開始より後にしてください。", field="endTime")
        await self._write("POST", user_id, "set-leave-of-absence", body=body)

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
        await self._client.call("POST", "/users/send-invitation-email", json=body)

    async def add_alias(self, user_id: str, email: str) -> None:
        """Add an alias address (Advanced plan)."""
        await self._write("POST", user_id, "alias-emails", email)

    async def remove_alias(self, user_id: str, email: str) -> None:
        """Remove an alias address."""
        await self._write("DELETE", user_id, "alias-emails", email)

    async def _write(self, method: str, user_id: str, *verb: str, body: Body | None = None) -> Json:
        answer = await self._client.call(
            method, _member(user_id, *verb), json=None if body is None else dict(body)
        )
        return as_object(answer.json())


class OrgUnits(Keyed):
    """Org units; all writes one at a time and a second apart for the whole domain (orgunit-create)."""

    _path, _items = ("orgunits",), ("orgUnits",)

    def list(self, *, count: int = 100, priority: int = 0) -> AsyncIterator[Json]:
        """All org units."""
        return self._client.pages(
            "/orgunits",
            "orgUnits",
            params={"domainId": self._client.domain_id},
            count=count,
            priority=priority,
        )

    async def get(self, orgunit_id: str) -> Json:
        """One org unit."""
        answer = await self._client.call("GET", quoted("orgunits", orgunit_id))
        return as_object(answer.json())

    async def create(self, body: Body) -> Json:
        """Create; ``displayOrder`` is needed although the vendor's table does not say so."""
        return await self._write("POST", "/orgunits", {"displayOrder": 1, **body})

    async def patch(self, orgunit_id: str, body: Body) -> Json:
        """Change what is in `body` (``email`` is required by the platform; ``displayOrder`` is ignored)."""
        return await self._write("PATCH", quoted("orgunits", orgunit_id), body)

    async def move(self, orgunit_id: str, *, display_order: int, parent_id: str | None = None) -> Json:
        """Move below another parent (None: top) and to a place among its siblings."""
        body = {"displayOrder": display_order, "parentOrgUnitId": parent_id}
        return await self._write("POST", quoted("orgunits", orgunit_id, "move"), body)

    async def delete(self, orgunit_id: str) -> None:
        """Delete an empty org unit."""
        await self._write("DELETE", quoted("orgunits", orgunit_id), None)

    def members(self, orgunit_id: str) -> AsyncIterator[Json]:
        """Members of one org unit (not of those below it)."""
        return self._client.pages(quoted("orgunits", orgunit_id, "members"), "members")

    async def _write(self, method: str, path: str, body: Body | None) -> Json:
        answer = await self._client.call(method, path, json=None if body is None else dict(body))
        return as_object(answer.json())


class Groups(Keyed):
    """Groups (vendor pages group-…)."""

    _path, _items = ("groups",), ("groups",)

    def list(self, *, count: int = 100, priority: int = 0) -> AsyncIterator[Json]:
        """All groups."""
        return self._client.pages(
            "/groups",
            "groups",
            params={"domainId": self._client.domain_id},
            count=count,
            priority=priority,
        )

    async def get(self, group_id: str) -> Json:
        """One group."""
        answer = await self._client.call("GET", quoted("groups", group_id))
        return as_object(answer.json())

    async def create(self, body: Body) -> Json:
        """Create; ``administrators`` and ``members`` are needed. Without ``useMessage`` there is no room."""
        answer = await self._client.call("POST", "/groups", json=dict(body))
        return as_object(answer.json())

    async def patch(self, group_id: str, body: Body) -> Json:
        """Change what is in `body`. ``useMessage: false`` deletes everybody's history: refused here."""
        if body.get("useMessage") is False:
            raise InvalidContent(
                "グループのトークルームを無効にすると全員の履歴が消えるため、この操作はできません。",
                field="useMessage",
            )
        answer = await self._client.call("PATCH", quoted("groups", group_id), json=dict(body))
        return as_object(answer.json())

    async def delete(self, group_id: str) -> None:
        """Delete."""
        await self._client.call("DELETE", quoted("groups", group_id))

    def members(self, group_id: str) -> AsyncIterator[Json]:
        """``{id, type, externalKey}``; nested units and groups unexpanded."""
        return self._client.pages(quoted("groups", group_id, "members"), "members")

    async def add_member(self, group_id: str, member_id: str, *, type: str = "USER") -> None:
        """Add one ``USER``, ``ORGUNIT`` or ``GROUP`` (409 when it is there)."""
        await self._client.call(
            "POST",
            quoted("groups", group_id, "members"),
            json={"id": member_id, "type": type},
        )

    async def remove_member(self, group_id: str, member_id: str) -> None:
        """Remove one member."""
        await self._client.call("DELETE", quoted("groups", group_id, "members", member_id))

    def administrators(self, group_id: str) -> AsyncIterator[Json]:
        """Group masters."""
        return self._client.pages(
            quoted("groups", group_id, "administrators"),
            "administrators",
        )

    async def add_administrator(self, group_id: str, user_id: str) -> None:
        """Add a group master (who must also be a member to use the room)."""
        await self._client.call(
            "POST",
            quoted("groups", group_id, "administrators"),
            json={"userId": user_id},
        )

    async def remove_administrator(self, group_id: str, user_id: str) -> None:
        """Remove a group master."""
        await self._client.call(
            "DELETE",
            quoted("groups", group_id, "administrators", user_id),
        )


def _member(user_id: str, *rest: str) -> str:
    return quoted("users", user_id, *rest)


def _iso(field: str, moment: datetime) -> str:
    if moment.tzinfo is None:
        raise InvalidContent(f"{field} にはタイムゾーンが必要です。", field=field)
    return moment.isoformat(timespec="seconds")
