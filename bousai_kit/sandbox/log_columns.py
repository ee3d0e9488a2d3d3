"""Columns of the exports by service (part 2 §6.3, §7): easy to change, the reference knows only some.

Known: ``auth`` (both, and they differ), ``message`` (both), ``message-contents`` (Japanese), English of the
others [C, 2022]. The rest is our own reading of the screens (SB); services without known columns get the
common ones.
"""

from __future__ import annotations

from bousai_kit.sandbox.choices import Choices

__all__ = ["COLUMNS", "CONTENTS", "SERVICES", "columns_of"]

Columns = tuple[tuple[str, str, str], ...]
# (field, Japanese header, English header), in the order of the file; "": not in the file of that language
CONTENTS = "message-contents"

_COMMON: Columns = (
    ("at", "日時", "Date"),
    ("user", "メンバー", "User"),
    ("kind", "サービスタイプ", "Service Type"),
    ("task", "タスク", "Task"),
    ("target", "対象", "Target"),
    ("status", "ステータス", "Status"),
)

COLUMNS: dict[str, Columns] = {
    "auth": (
        ("text", "説明", ""),
        ("user", "メンバー", ""),
        ("at", "日時", ""),
        ("ip", "IPアドレス", ""),
        ("method", "ログイン方法", ""),
        ("kind", "サービスタイプ", ""),
        ("at", "", "Date"),
        ("user", "", "User"),
        ("text", "", "Description"),
        ("kind", "", "Service Type"),
        ("ip", "", "IP Address"),
    ),
    "message": (
        ("at", "日時", "Date"),
        ("sender", "送信者", "Sender"),
        ("receiver", "受信者", "Receiver"),
        ("channel", "チャンネルID", "Channel ID"),
        ("event", "イベント", "Event"),
    ),
    "message-join-exit": (
        ("at", "日時", "Date"),
        ("user", "メンバー", "User"),
        ("channel", "チャンネルID", "Channel ID"),
        ("event", "イベント", "Event"),
    ),
    CONTENTS: (
        ("at", "日時", "Date"),
        ("sender", "送信者", "Sender"),
        ("receiver", "受信者", "Receiver"),
        ("channel", "チャンネルID", "Channel ID"),
        ("text", "トーク", "Message"),
    ),
    "admin": (
        ("at", "日時", "Date"),
        ("service", "サービス", "Service"),
        ("target", "対象", "Event target"),
        ("kind", "サービスタイプ", "Service Type"),
        ("task", "タスク", "Task"),
        ("status", "ステータス", "Status"),
        ("user", "メンバー", "User"),
        ("ip", "IPアドレス", "IP Address"),
    ),
    "bot": _COMMON,
    "board": (
        ("at", "日時", "Date"),
        ("user", "メンバー", "User"),
        ("kind", "サービスタイプ", "Service Type"),
        ("task", "タスク", "Task"),
        ("target", "件名", "Subject"),
        ("board", "掲示板名", "Board Name"),
        ("status", "ステータス", "Status"),
    ),
    "form": (*_COMMON[:4], ("target", "アンケート名", "Form Title"), _COMMON[5]),
    "received-mail": (
        ("at", "受信日時", "Received Time"),
        ("status", "受信結果", "Reception Results"),
        ("ip", "送信サーバーIP", "Sent server IP"),
        ("target", "件名", "Subject"),
        ("sender", "送信者", "Sender"),
        ("receiver", "受信者", "Recipient"),
        ("size", "メールサイズ(Bytes)", "Mail Size(Bytes)"),
    ),
    "sent-mail": (
        ("at", "送信日時", "Sent Time"),
        ("target", "件名", "Subject"),
        ("sender", "送信者", "Sender"),
        ("receiver", "受信者", "Recipient"),
        ("status", "ステータス", "Status"),
        ("file", "添付ファイル", "Attachment"),
        ("size", "メールサイズ(Bytes)", "Mail Size(Bytes)"),
    ),
    "share": (
        ("at", "日時", "Date"),
        ("user", "メンバー", "User"),
        ("sender", "共有者", "Shared by"),
        ("task", "タスク", "Task"),
        ("kind", "サービスタイプ", "Service Type"),
        ("target", "共有先", "Shared with"),
    ),
    "drive": (*_COMMON[:4], ("target", "変更前", "Original"), ("after", "変更後", "Updates"), _COMMON[5]),
    "calendar": (
        *_COMMON[:4],
        ("target", "件名", "Subject"),
        ("calendar", "カレンダーID", "Calendar ID"),
        _COMMON[5],
    ),
    "note": (
        *_COMMON[:4],
        ("target", "件名", "Subject"),
        ("board", "掲示板名", "Board Name"),
        ("group", "組織/グループ", "Team/Group"),
        _COMMON[5],
    ),
}

EARLIER_MESSAGE: Columns = (  # audit `message` before it lost the text
    ("at", "日時", "Date"),
    ("sender", "送信者", "Sender"),
    ("receiver", "受信者", "Recipient"),
    ("channel", "トークルームID", ""),
    ("text", "トーク", "Message"),
)

SERVICES = (  # the union of all editions (part 2 §6.2)
    "admin", "auth", "board", "home", "bot", "drive", "received-mail", "sent-mail", "deleted-mail",
    "file-download", "developer-console", "developer", "mobile-capture", "message", "message-join-exit",
    "call", "share", "note", "task", "form", "calendar", "contact", "template", "ainote",
    "aistudio-regist", "aistudio-talk", "paperon", "delegated-api",
)  # fmt: skip
ALIASES = {"home": "board", "developer": "developer-console"}


def columns_of(service: str, language: str, choices: Choices) -> tuple[list[str], list[str]]:
    """Fields and headers of a service's export."""
    columns = COLUMNS.get(ALIASES.get(service, service), _COMMON)
    if service == "message" and choices.log_edition == "2023":
        columns = EARLIER_MESSAGE
    if language not in ("ja_JP", "en_US"):
        language = choices.log_other_languages
    named = [(field, ja if language == "ja_JP" else en) for field, ja, en in columns]
    return [field for field, header in named if header], [header for _, header in named if header]
