"""Send a message to one person or to a room. There is no message id, no receipt, no idempotency key.

Source: reference part 2 §2 (vendor pages bot-user-message-send, bot-channel-message-send).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bousai_kit.lineworks.actions import (
    Action,
    CameraAction,
    CameraRollAction,
    CopyAction,
    LocationAction,
    MessageAction,
    PostbackAction,
    QuickReply,
    QuickReplyItem,
    UriAction,
)
from bousai_kit.lineworks.base import Caller, InvalidContent, Reply, quoted
from bousai_kit.lineworks.contents import (
    Audio,
    ButtonTemplate,
    Content,
    File,
    Image,
    Link,
    Location,
    Sticker,
    Text,
    Video,
)
from bousai_kit.lineworks.templates import (
    Carousel,
    CarouselColumn,
    Cover,
    Flex,
    ImageCarousel,
    ImageColumn,
    ListElement,
    ListTemplate,
)

__all__ = [
    "Accepted",
    "Action",
    "Audio",
    "ButtonTemplate",
    "CameraAction",
    "CameraRollAction",
    "Carousel",
    "CarouselColumn",
    "Content",
    "CopyAction",
    "Cover",
    "File",
    "Flex",
    "Image",
    "ImageCarousel",
    "ImageColumn",
    "InvalidContent",
    "Link",
    "ListElement",
    "ListTemplate",
    "Location",
    "LocationAction",
    "MessageAction",
    "Messages",
    "PostbackAction",
    "QuickReply",
    "QuickReplyItem",
    "Sticker",
    "Text",
    "UriAction",
    "Video",
]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The platform took the message (201); whether anybody sees it, nobody is told.

    Attributes
    ----------
    requested_at, accepted_at : datetime
        Kit clock, aware UTC: when the request left that was taken, and when the 201 was in.
    server_date : datetime or None
        The answer's ``Date`` header.
    """

    requested_at: datetime
    accepted_at: datetime
    server_date: datetime | None


class Messages:
    """Messages of a bot; a raw mapping goes out as it is, a `Content` has had its limits checked."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    async def to_user(
        self,
        bot_id: int,
        user_id: str,
        content: Content | Mapping[str, Any],
        *,
        priority: int = 0,
        leave_by: datetime | None = None,
    ) -> Accepted:
        """Send to one person (userId or login id; an external key is not accepted here).

        Parameters
        ----------
        priority : int
            Smaller goes first among the messages that wait.
        leave_by : datetime, optional
            Later it is not sent any more (`TransportFailed`).

        Raises
        ------
        OutcomeUnknown
            It may have been delivered; it is not sent again.
        InvalidContent, ApiError, TransportFailed
        """
        if user_id.startswith("externalKey:"):
            raise InvalidContent(
                "メッセージの宛先に External Key は使えません（userId かログイン ID を指定）。",
                field="userId",
            )
        answer = await self._client.call(
            "POST",
            quoted("bots", bot_id, "users", user_id, "messages"),
            json=_body(content),
            priority=priority,
            leave_by=leave_by,
        )
        return _accepted(answer)

    async def to_channel(
        self,
        bot_id: int,
        channel_id: str,
        content: Content | Mapping[str, Any],
        *,
        priority: int = 0,
        leave_by: datetime | None = None,
    ) -> Accepted:
        """Post to a room; in rooms of 500 or more no push notification fires.

        Raises
        ------
        OutcomeUnknown
            It may have been delivered; it is not sent again.
        ApiError, TransportFailed
        """
        answer = await self._client.call(
            "POST",
            quoted("bots", bot_id, "channels", channel_id, "messages"),
            json=_body(content),
            priority=priority,
            leave_by=leave_by,
        )
        return _accepted(answer)


def _body(content: Content | Mapping[str, Any]) -> dict[str, Any]:
    return {"content": content.to_wire() if isinstance(content, Content) else dict(content)}


def _accepted(answer: Reply) -> Accepted:
    return Accepted(answer.requested_at, answer.answered_at, answer.server_date)
