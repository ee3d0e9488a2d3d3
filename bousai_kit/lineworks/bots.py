"""Bots, their registration, menus, files and rooms.

Administration of one bot is serialised (`routes`): the platform forbids parallel calls. A room cannot be
renamed, edited or listed; room creation is limited to 10 a minute.

Source: reference part 2 §1, §3 (vendor pages bot-…, bot-domain-…, bot-persistentmenu-…, bot-channel-…).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from bousai_kit.errors import ProtocolViolation
from bousai_kit.lineworks.actions import EVERYWHERE, Action, check_action, count, text, web
from bousai_kit.lineworks.base import Caller, InvalidContent, Json, as_object, quoted
from bousai_kit.lineworks.contents import BLOCKED_EXTENSIONS

__all__ = ["Attachments", "Bots", "Channels"]

Body = Mapping[str, Any]


class Bots:
    """Bots (vendor pages bot-…)."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    def list(self) -> AsyncIterator[Json]:
        """Bots of the tenant."""
        return self._client.pages("/bots", "bots")

    async def get(self, bot_id: int) -> Json:
        """One bot."""
        return as_object((await self._client.call("GET", quoted("bots", bot_id))).json())

    async def create(self, body: Body) -> Json:
        """Create a bot; it must be registered to a domain before anybody can use it."""
        _check_bot(body, required=True)
        answer = await self._client.call("POST", "/bots", json=dict(body))
        return as_object(answer.json())

    async def patch(self, bot_id: int, body: Body) -> Json:
        """Change what is in `body`. Domains dropped from ``allowDomains`` are unregistered."""
        _check_bot(body, required=False)
        return await self._admin("PATCH", bot_id, body=body)

    async def delete(self, bot_id: int) -> None:
        """Delete a bot."""
        await self._admin("DELETE", bot_id)

    async def issue_secret(self, bot_id: int) -> str:
        """Issue a new bot secret; the old one dies at once.

        Raises
        ------
        ProtocolViolation
            The answer holds none.
        """
        secret = (await self._admin("POST", bot_id, "secret")).get("secret")
        if not isinstance(secret, str) or not secret:
            raise ProtocolViolation("Bot Secret の再発行の応答に secret がありません。")
        return secret

    def domains(self, bot_id: int) -> AsyncIterator[Json]:
        """``{domainId, visible, allowToSelectedMember}`` of each domain the bot is registered to."""
        return self._client.pages(quoted("bots", bot_id, "domains"), "domains")

    async def register_domain(
        self, bot_id: int, domain_id: int, *, visible: bool = False, selected_only: bool = False
    ) -> Json:
        """Open the bot to a domain: to everybody, or with `selected_only` to chosen members."""
        body = {"visible": visible, "allowToSelectedMember": selected_only}
        return await self._admin("POST", bot_id, "domains", domain_id, body=body)

    async def patch_domain(self, bot_id: int, domain_id: int, body: Body) -> Json:
        """Change a registration."""
        return await self._admin("PATCH", bot_id, "domains", domain_id, body=body)

    async def remove_domain(self, bot_id: int, domain_id: int) -> None:
        """Take the bot away from a domain."""
        await self._admin("DELETE", bot_id, "domains", domain_id)

    def members(self, bot_id: int, domain_id: int) -> AsyncIterator[Any]:
        """Member ids that may use the bot; one entry ``"All users"`` when everybody may."""
        return self._client.pages(quoted("bots", bot_id, "domains", domain_id, "members"), "members")

    async def add_member(self, bot_id: int, domain_id: int, user_id: str) -> None:
        """Let one more member use the bot (no notice goes out)."""
        await self._admin("POST", bot_id, "domains", domain_id, "members", body={"userId": user_id})

    async def remove_member(self, bot_id: int, domain_id: int, user_id: str) -> None:
        """Take the bot away from one member."""
        await self._admin("DELETE", bot_id, "domains", domain_id, "members", user_id)

    async def set_menu(self, bot_id: int, actions: Sequence[Action]) -> Json:
        """Set the persistent menu: 1–4 buttons, labels of 1000, ``message``, ``uri`` or ``copy``."""
        count("content.actions", actions, 4)
        body = {
            "content": {
                "actions": [
                    check_action(f"content.actions[{n}]", action, allowed=EVERYWHERE, label=1000)
                    for n, action in enumerate(actions)
                ]
            }
        }
        return await self._admin("POST", bot_id, "persistentmenu", body=body)

    async def menu(self, bot_id: int) -> Json:
        """The persistent menu."""
        answer = await self._client.call("GET", quoted("bots", bot_id, "persistentmenu"))
        return as_object(answer.json())

    async def delete_menu(self, bot_id: int) -> None:
        """Remove the persistent menu."""
        await self._admin("DELETE", bot_id, "persistentmenu")

    async def _admin(self, method: str, bot_id: int, *rest: str | int, body: Body | None = None) -> Json:
        answer = await self._client.call(
            method, quoted("bots", bot_id, *rest), json=None if body is None else dict(body)
        )
        return as_object(answer.json())


class Channels:
    """Rooms (vendor pages bot-channel-…)."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    async def create(
        self, bot_id: int, members: Sequence[str], title: str = "", *, priority: int = 0
    ) -> Json:
        """Build a room of 1–100 members with the bot; ``{"channelId", "title"}``.

        An unknown outcome is settled by the room's ``join`` callback, else the room is built again under a
        new title.
        """
        if len(set(members)) != len(members):
            raise InvalidContent("members に同じメンバーが 2 回あります。", field="members")
        count("members", members, 100)
        text("title", title, 1000, required=False)
        answer = await self._client.call(
            "POST",
            quoted("bots", bot_id, "channels"),
            json={"members": list(members), **({"title": title} if title else {})},
            priority=priority,
        )
        return as_object(answer.json())

    async def get(self, bot_id: int, channel_id: str) -> Json:
        """``{"domainId", "channelId", "title", "channelType": {"type", "orgUnitId"?, "groupId"?}}``."""
        answer = await self._client.call("GET", quoted("bots", bot_id, "channels", channel_id))
        return as_object(answer.json())

    def members(self, bot_id: int, channel_id: str) -> AsyncIterator[str]:
        """User ids in the room."""
        return self._client.pages(
            quoted("bots", bot_id, "channels", channel_id, "members"),
            "members",
        )

    async def leave(self, bot_id: int, channel_id: str) -> None:
        """The bot leaves the room."""
        await self._client.call("DELETE", quoted("bots", bot_id, "channels", channel_id))


class Attachments:
    """Files for messages: two steps up, a redirect down (vendor pages bot-attachment-…)."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    async def upload(self, bot_id: int, name: str, content: bytes) -> str:
        """Upload a file; its id lives 24 hours.

        Raises
        ------
        InvalidContent
            The extension is blocked by default, or the name is empty.
        ForeignLocation
            The upload address is on a host that may not see the token.
        OutcomeUnknown
            No answer came. Nobody has seen the file: simply upload it again.
        """
        text("fileName", name, 255)
        if name.rpartition(".")[2].lower() in BLOCKED_EXTENSIONS and "." in name:
            raise InvalidContent("この拡張子のファイルは送信できません。", field="fileName")
        answer = await self._client.call(
            "POST",
            quoted("bots", bot_id, "attachments"),
            json={"fileName": name},
        )
        body = as_object(answer.json())
        url, file_id = body.get("uploadUrl"), body.get("fileId")
        if not isinstance(url, str) or not isinstance(file_id, str):
            raise ProtocolViolation("添付ファイルの登録の応答に uploadUrl と fileId がありません。")
        await self._client.upload(
            url, name=name, content=content, part="FileData", operation="attachments.upload"
        )
        return file_id

    async def download(self, bot_id: int, file_id: str) -> bytes:
        """Download a file that somebody sent to the bot."""
        answer = await self._client.call("GET", quoted("bots", bot_id, "attachments", file_id))
        return answer.content


def _check_bot(body: Body, *, required: bool) -> None:
    for name, most in (("botName", 100), ("photoUrl", 1000), ("description", 100), ("callbackUrl", 1000)):
        must = required and name != "callbackUrl"
        if must or body.get(name):
            text(name, body.get(name), most)
    if body.get("photoUrl"):
        web("photoUrl", body["photoUrl"])
    administrators = body.get("administrators")
    if required or administrators is not None:
        count("administrators", administrators or (), 3)
    if body.get("subadministrators") is not None:
        count("subadministrators", body["subadministrators"], 3, least=0)
    for name in ("administrators", "subadministrators", "allowDomains"):
        if len(set(body.get(name) or ())) != len(body.get(name) or ()):
            raise InvalidContent(f"{name} に同じ値が 2 回あります。", field=name)
