"""Choices about bots, messages, rooms, callbacks, people, logs, boards, forms; part of `choices.Choices`.

As in `choices`: every field names the paragraph of the reference and its evidence tag.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BotChoices"]

Refusal = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class BotChoices:
    """What the sandbox does where part 2 is silent."""

    # -- bots (part 2 §1) ---------------------------------------------------------------------------
    max_bots: int = 300  # 2 §1.1 [D]
    bot_list_maximum: int = 100  # 2 §1.1: fields and range unknown; by analogy with the domains
    all_users_position: str = (
        "members"  # 2 §1.3: {"members": ["All users"]}, or "string": {"members": "All users"}
    )
    domain_not_allowed: Refusal = (403, "FORBIDDEN", "The domain is not allowed for the bot.")  # SB
    domain_again: Refusal = (409, "CONFLICT", "The bot is registered to the domain already.")  # SB
    bot_member_again: Refusal = (409, "CONFLICT", "The member is there already.")  # SB
    menu_status: int = 201  # 2 §1.4: not stated
    richmenu_status: int = 201  # 2 §1.5: not stated
    richmenu_put_status: int = 200  # 2 §1.5 [C]: image, default, menu of a member
    menu_while_richmenus: Refusal = (400, "INVALID_PARAMETER", "A rich menu exists.")  # 2 §1.4 [D], status SB
    menu_bounds_inside: bool = True  # 2 §1.5 SB: an area must lie within the size
    attachment_life_s: float = 86400.0  # 2 §1.6 [D]
    attachment_status: int = 201  # 2 §1.6: 200 or 201
    upload_field_names: tuple[str, ...] = (
        "filedata",
    )  # 2 §1.6: `FileData` and `Filedata`, compared in lower case
    upload_spent: Refusal = (404, "NOT_FOUND", "The URL has been used.")  # 2 §1.6 [D], status SB
    upload_without_part: bool = False  # SB: whether a bare body is taken as the file
    max_file_bytes: int = 20 << 20  # 2 §1.6: a talk setting of the tenant
    download_ticket_s: float = 600.0  # 2 §12.7 SB: life of a download URL

    extensions_blocked_at: str = "message"  # 2 §1.6 [D] of file messages; "both": at the upload too
    blocked_extensions: tuple[str, ...] = (
        "bat", "cmd", "com", "cpl", "exe", "scr", "js", "vbs", "wsf", "hta",
    )  # fmt: skip  # 2 §1.6 [D]: the default, which the administrator edits
    callback_events: tuple[str, ...] = (
        "text", "location", "sticker", "image", "file", "audio", "video",
    )  # fmt: skip  # 2 §1.2 [C]; whether `audio` and `video` are taken: NF

    # -- messages (part 2 §2) -----------------------------------------------------------------------
    bot_not_allowed: Refusal = (403, "FORBIDDEN", "The member is not allowed to use the bot.")  # 2 §2.7 SB
    suspended_member: Refusal | None = (
        403,
        "FORBIDDEN",
        "The member is suspended.",
    )  # 2 §2.7 SB; None: accepted
    not_in_room: Refusal = (403, "FORBIDDEN", "The bot is not in the channel.")  # 2 §2.7 SB
    ungranted_scope: str = "token"  # 2 §2.7 [C]: refused at the "token" request, or with 401 at the "call"
    unknown_fields: str = "accept"  # 2 §12.1: unknown keys are taken and noted; "refuse": 400
    message_text_limit: int = 1000  # 2 §2.3 NF: `text` of a message action
    uri_limit: int = 1000  # 2 §2.3 NF
    copy_text_limit: int = 1000  # 2 §2.3 NF
    audio_refused: tuple[str, ...] = ("mp3",)  # 2 §2.2 [C]: extensions of an audio that is refused
    template_image_bytes: int = 1 << 20  # 2 §1.6, §2.2 [D]: images of templates and quick replies
    carousel_lines: bool = True  # 2 §2.2 [D]: 4 lines, 2 beside an image or title; SB: counted by line breaks
    flex_equal_width: bool = True  # 2 §2.5 [D]: bubbles of one carousel have one `size`
    link_limit: int = 1000  # 2 §2.2 NF: `contentText`, `linkText`, `link`
    image_carousel_columns: int = 10  # 2 §2.2 NF
    flex_bubble_bytes: int = 10 << 10  # 2 §2.5 NF
    flex_carousel_bytes: int = 30 << 10  # 2 §2.5 [D]
    flex_message_actions: bool = True  # 2 §2.5 NF: whether `message` and `postback` are taken inside Flex
    button_sends: str = "label"  # 2 §2.3 [D]: the label; "text": the action's own text where it has one
    uri_schemes: tuple[str, ...] = ("http", "https", "tel", "mailto", "line", "lineworks")  # NF

    # -- rooms (part 2 §3) --------------------------------------------------------------------------
    room_needs_group_join: bool = False  # NF: whether `enableGroupJoin` is needed to create a room
    room_of_one: str = (
        "talk"  # 2 §4.2: a room made for one member is the 1:1 room (`begin`); "room": a room like others
    )
    talk_is_not_left: Refusal = (403, "FORBIDDEN", "A 1:1 talk is left by its member.")  # SB
    push_below: int = 500  # 2 §1.2 [D]: rooms of so many members get no push

    # -- callbacks (part 2 §4) ----------------------------------------------------------------------
    callback_lag_s: float = 0.08  # SB: between the event and its POST
    callback_timeout_s: float = 10.0  # 2 §4.1 NF
    callback_lease_s: float = 60.0  # SB: a POST cut off by the death of this process is made by its successor
    callback_parallel: int = 32  # SB
    callbacks_leave_loopback: bool = False  # SB: a stand-in posts to this machine only
    postback_has_channel_in_1to1: bool = True  # 2 §4.2: listed as required, omission not stated
    join_in_1to1: bool = True  # 2 §4.2 [D]: `join`/`joined` of 1:1 rooms, announced to stop
    join_without_fraction: bool = False  # 2 §4.2: the sample of `join` has no fraction of a second
    callback_types: tuple[str, ...] = (
        "message", "postback", "join", "leave", "joined", "left", "begin", "end",
    )  # fmt: skip  # 2 §4.1 [D]: each can be switched in the Developer Console

    # -- people (part 2 §12.11) ---------------------------------------------------------------------
    people_answer: bool = True  # False: everybody stays silent (tests speak through the admin host)
    people_log_in: bool = True  # False: created members stay pending
    people_leave_rate: float = 0.002  # chance that a member leaves a bot-made room after a message
    people_say_rate: float = 0.12  # chance of a typed reply to a plain text in a 1:1 room

    # -- logs (part 2 §6, §7) -----------------------------------------------------------------------
    log_caller: Refusal = (403, "ACCESS_DENIED", "Access is denied.")  # 2 §6.1, §7 [D], status SB
    log_menu_opened: bool = True  # 2 §6.1, §7 [D]: whether administrators have accepted the console's pop-up
    file_log_on: bool = False  # 2 §6.1 [H]: file access is logged once that is switched on
    log_delay_s: float = 60.0  # 2 §12.8 SB: until a row appears
    log_retention_days: int = 180  # 2 §6.1 [H]
    file_log_retention_days: int = 31  # 2 §6.1 [H]
    log_span_days: int = 31  # 2 §6.1 [D]
    log_ticket_s: float = 600.0  # 2 §12.7 SB: life of a download URL
    log_open_s: float = 60.0  # 2 §12.7 SB: an unfetched URL keeps the next request out so long
    log_parallel: Refusal = (429, "TOO_MANY_REQUESTS", "Another download is in progress.")  # 2 §12.7 SB
    log_spent: Refusal = (404, "NOT_FOUND", "The download URL has expired.")  # 2 §6.1, status SB
    log_date_style: str = (
        "plain"  # 2 §6.3: "plain" 2027-01-17 09:15:42, "slash" 2027/01/17 09:15:42, "iso" with offset
    )
    log_edition: str = "2026"  # 2 §6.3: "2023" gives audit `message` as before: with the text, other headers
    log_crlf: bool = True  # 2 §12.8 SB
    log_bom: bool = True  # 2 §6.3 [C]
    log_person_blank: bool = True  # 2 §6.3: `name (login)` with or without the blank
    log_room_receiver: str = "title"  # 2 §6.3 NF: "title" of the room, or "members"
    log_other_languages: str = "en_US"  # ko_KR, zh_CN, zh_TW: headers unknown
    log_channel_filter: bool = True  # 2 §7 [C]: `channelId` narrows message contents
    postback_in_log: bool = False  # 2 §7 NF: assume no

    # -- boards, forms (part 2 §9) ------------------------------------------------------------------
    unknown_board: Refusal = (403, "ACCESS_DENIED", "Access is denied.")  # 1 §10.5 [M]
    readers_maximum: int = 5000  # 2 §9.1 [D]
    readers_gone: bool = True  # 2 §9.1 [D] `userId` may be null; SB: those who read it and were purged
    board_title_limit: int = 200  # 2 §9.1 NF
    board_body_limit: int = 200_000  # 2 §9.1 NF
    post_comments: bool = True  # 2 §9.1 NF: `enableComment` where it is left out
    unknown_form: Refusal = (403, "ACCESS_DENIED", "Access is denied.")  # SB

    # -- security switch (part 2 §10) ---------------------------------------------------------------
    external_browser_shows_s: float = 0.0  # 2 §10 [D]: in force after 5-10 minutes; in answers: SB at once
