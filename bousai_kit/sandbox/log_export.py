"""The CSV exports of audit and monitoring (part 2 §6.3, §7), rendered from what the tenant remembers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bousai_kit.sandbox import bot_state, journal
from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.log_columns import ALIASES, CONTENTS, columns_of
from bousai_kit.sandbox.tenant import JST, Entity, Tenant

__all__ = ["Window", "render"]

TYPES = {  # event wording: the Japanese one is a placeholder, as in the reference
    "text": ("テキスト", "Text"),
    "sticker": ("スタンプ", "Sticker"),
    "image": ("写真", "Photo"),
    "video": ("動画", "Video"),
    "audio": ("音声", "Audio"),
    "file": ("ファイル", "File"),
    "location": ("位置情報", "Location"),
    "link": ("リンク", "Link"),
}
TEMPLATE = ("テンプレート", "Template")
WORDS = {
    "create": ("追加", "Add"),
    "update": ("変更", "Modify"),
    "delete": ("削除", "Delete"),
    "undelete": ("削除取消", "Undelete"),
    "suspend": ("一時停止", "Suspend"),
    "unsuspend": ("一時停止解除", "Unsuspend"),
    "invite": ("招待", "Invite"),
    "logout": ("強制ログアウト", "Force logout"),
}


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked for.

    Attributes
    ----------
    since, until : datetime
        Rows with ``since <= time < until``.
    asked_at : datetime
        Rows younger than the delay at this moment are not there yet.
    bots : str
        ``include``, ``exclude`` or ``only``.
    roger : str
        The same for Roger; there is none here, so ``only`` gives no row.
    """

    service: str
    since: datetime
    until: datetime
    asked_at: datetime
    language: str
    bots: str = "include"
    roger: str = "include"
    channel: str = ""
    domain_id: int = 0


def render(tenant: Tenant, window: Window, choices: Choices) -> bytes:
    """One export as it goes over the wire."""
    fields, headers = columns_of(window.service, window.language, choices)
    keep_days = choices.log_retention_days
    if window.service == "file-download":
        keep_days = choices.file_log_retention_days
    since = max(window.since, window.asked_at - timedelta(days=keep_days))
    until = min(
        window.until, window.asked_at - timedelta(seconds=choices.log_delay_s) + timedelta(milliseconds=1)
    )
    source = _Source(tenant, window, choices, journal.ms(since), journal.ms(until))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n" if choices.log_crlf else "\n")
    writer.writerow(headers)
    for at, row in sorted(source.rows(), key=lambda item: item[0]):
        row["at"] = _moment(at, choices)
        writer.writerow([row.get(field, "") for field in fields])
    return out.getvalue().encode("utf-8-sig" if choices.log_bom else "utf-8", "replace")


def _moment(at: int, choices: Choices) -> str:
    local = journal.moment(at).astimezone(JST)
    if choices.log_date_style == "iso":
        return local.isoformat(timespec="seconds")
    return local.strftime("%Y/%m/%d %H:%M:%S" if choices.log_date_style == "slash" else "%Y-%m-%d %H:%M:%S")


class _Source:
    """Rows of one window, with names put in."""

    def __init__(self, tenant: Tenant, window: Window, choices: Choices, since: int, until: int) -> None:
        self.tenant = tenant
        self.window = window
        self.choices = choices
        self.since, self.until = since, until
        self.japanese = window.language == "ja_JP" or (
            window.language != "en_US" and choices.log_other_languages == "ja_JP"
        )
        self._names: dict[str, str] = {}
        self._domain_users: dict[str, bool] = {}

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        service = ALIASES.get(self.window.service, self.window.service)
        if service in (CONTENTS, "message"):
            return self._talk()
        if service == "message-join-exit":
            return self._moves()
        return self._audit(service)

    # -- talk ---------------------------------------------------------------------------------------

    def _talk(self) -> Iterator[tuple[int, dict[str, Any]]]:
        window = self.window
        if window.roger == "only":
            return
        for row in journal.rows(self.tenant, bot_state.LOG, since=self.since, until=self.until):
            at, kind, bot, user, channel = row[:5]
            by_bot = kind in ("b", "r")
            if kind not in ("b", "r", "t") or (window.bots == "exclude" and by_bot):
                continue
            if (window.bots == "only" and not by_bot) or (window.channel and window.channel != channel):
                continue
            if user and not self._here(user):
                continue
            text = self.tenant.table("texts").get(row[5], {})
            in_room = kind == "r" or (kind == "t" and row[8])
            said = text.get("x", "")
            if kind == "t" and row[7] and self.choices.postback_in_log:
                said = f"{said} ({row[7]})"
            yield (
                at,
                {
                    "sender": self._bot(bot) if by_bot else self._person(user),
                    "receiver": self._room(channel)
                    if in_room
                    else self._person(user)
                    if by_bot
                    else self._bot(bot),
                    "channel": channel,
                    "text": said,
                    "event": self._event(by_bot, text.get("t", "")),
                },
            )

    def _event(self, by_bot: bool, kind: str) -> str:
        ja, en = TYPES.get(kind, TEMPLATE)
        if self.japanese:
            return f"{'Botメッセージ送信' if by_bot else 'メッセージ送信'}({ja})"
        return f"{'Bot message sent' if by_bot else 'Message sent'} ({en})"

    def _moves(self) -> Iterator[tuple[int, dict[str, Any]]]:
        words = {"i": ("参加", "Joined"), "o": ("退出", "Left")}
        for row in journal.rows(self.tenant, bot_state.LOG, since=self.since, until=self.until):
            at, kind, bot, user, channel = row[:5]
            if kind in words and (not user or self._here(user)):
                who = self._person(user) if user else self._bot(bot)
                yield at, {"user": who, "channel": channel, "event": words[kind][0 if self.japanese else 1]}

    # -- names --------------------------------------------------------------------------------------

    def _here(self, user_id: str) -> bool:
        """Whether a member is of the domain that is asked for."""
        user = self.tenant.table("users").get(user_id)
        return user is None or user.get("domainId", self.window.domain_id) == self.window.domain_id

    def _person(self, user_id: str) -> str:
        if user_id not in self._names:
            self._names[user_id] = bot_state.person_cell(self.tenant, user_id, self.choices)
        return self._names[user_id]

    def _bot(self, bot_id: str) -> str:
        bot = self.tenant.table("bots").get(bot_id) or self.tenant.table("former").get(f"bot:{bot_id}", {})
        return f"[Bot]{bot.get('botName', '')}"

    def _room(self, channel_id: str) -> str:
        channel = self.tenant.table("channels").get(channel_id, {})
        if self.choices.log_room_receiver == "members":
            return ", ".join(self._person(user) for user in channel.get("members", ()))
        return str(channel.get("title") or channel_id)

    # -- everything else ----------------------------------------------------------------------------

    def _audit(self, service: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for entry in self.tenant.table("audit").values():
            if entry["service"] != service:
                continue
            at = journal.ms(datetime.fromisoformat(entry["at"]).astimezone(UTC))
            if self.since <= at < self.until:
                yield at, self._audit_row(service, entry)

    def _audit_row(self, service: str, entry: Entity) -> dict[str, Any]:
        ok = entry.get("ok", True)
        user = str(entry.get("user") or "")
        task = str(entry.get("task") or "")
        row: dict[str, Any] = {
            **{key: value for key, value in entry.items() if isinstance(value, str | int)},
            "user": self._who(user),
            "target": self._who(str(entry.get("target") or "")),
            "kind": entry.get("kind") or "API",
            "ip": entry.get("ip") or "192.0.2.10",
            "status": ("成功" if ok else "失敗") if self.japanese else ("Success" if ok else "Failure"),
        }
        if task in WORDS:
            row["task"] = WORDS[task][0 if self.japanese else 1]
        if service == "auth":
            row["method"] = entry.get("method") or "ID/PW"
            row["kind"] = entry.get("kind") or "LINE WORKS"
            row["text"] = self._login(ok, str(entry.get("reason") or ""))
        return row

    def _who(self, text: str) -> str:
        if text in self.tenant.table("users") or text in self.tenant.table("former"):
            return self._person(text)
        if not text:
            return "[SERVICE]"
        return text

    def _login(self, ok: bool, reason: str) -> str:
        if ok:
            return "ログインに成功しました。" if self.japanese else "Login succeeded."
        if self.japanese:
            return f"ログインに失敗しました。({reason or 'パスワード不一致'})"
        return f"Login failed. ({reason or 'Wrong password'})"
