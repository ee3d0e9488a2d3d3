"""Attachments in two steps, and their download over a 302 (part 2 §1.6).

The file lies in table ``blobs`` as base64, its description in ``attachments`` by file id.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from bousai_kit.sandbox import tickets
from bousai_kit.sandbox.bot_state import bot_of
from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.content_parts import string
from bousai_kit.sandbox.contents import File, extension_allowed
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad, missing
from bousai_kit.sandbox.schemas import body, text
from bousai_kit.sandbox.tenant import Tenant

__all__ = ["OPERATIONS", "file_lookup", "parse_form", "put_file"]

TALK = ("bot.message", "bot")
READ = ("bot.message", "bot", "bot.read")
MAX_UPLOAD = Choices().max_file_bytes + (1 << 16)


def put_file(tenant: Tenant, bot_id: str, name: str, data: bytes | None, now: datetime, life_s: float) -> str:
    """Keep a file (``data`` None: announced, not uploaded yet); its id."""
    number = tenant.next_number("file")
    file_id = f"jp1.{number:x}.{secrets.token_hex(12)}"
    expires = (now + timedelta(seconds=life_s)).isoformat()
    tenant.put(
        "attachments",
        file_id,
        {
            "bot": bot_id,
            "name": name,
            "there": data is not None,
            "size": len(data or b""),
            "expires": expires,
        },
    )
    if data is not None:
        tenant.put("blobs", file_id, {"b": base64.b64encode(data).decode()})
    return file_id


def read_file(tenant: Tenant, bot_id: str, file_id: str, now: datetime) -> tuple[str, bytes] | None:
    """Name and bytes of an uploaded file, None when there is none (any more)."""
    entry = tenant.table("attachments").get(file_id)
    if entry is None or not entry["there"] or entry["bot"] != bot_id:
        return None
    if datetime.fromisoformat(entry["expires"]) <= now:
        return None
    return entry["name"], base64.b64decode(tenant.table("blobs")[file_id]["b"])


def file_lookup(tenant: Tenant, bot_id: str, now: datetime) -> Callable[[str], File | None]:
    """For `check_content`: a bot's files."""

    def find(file_id: str) -> File | None:
        entry = tenant.table("attachments").get(file_id)
        if entry is None or not entry["there"] or entry["bot"] != bot_id:
            return None
        if datetime.fromisoformat(entry["expires"]) <= now:
            return None
        return File(str(entry["name"]), int(entry.get("size", 0)))

    return find


def _announce(call: Call) -> Reply:
    bot_id, _ = bot_of(call)
    name = string(call.json(), "fileName", "", 1000) or ""
    if call.choices.extensions_blocked_at == "both" and not extension_allowed(name, call.choices):
        raise bad("fileName: files of this extension are blocked.")
    life = call.choices.attachment_life_s
    file_id = put_file(call.tenant, bot_id, name, None, call.now, life)
    url = tickets.give(call, "uploads", life, file=file_id)
    return Reply(200, {"fileId": file_id, "uploadUrl": url})


def _upload(call: Call) -> Reply:
    ticket = tickets.look(call, "uploads")
    if ticket["used"]:
        raise ApiFault(*call.choices.upload_spent)
    data = _file_of(call)
    if len(data) > call.choices.max_file_bytes:
        raise ApiFault(*call.choices.body_too_large, "The file is too large.")
    entry = call.tenant.table("attachments").get(ticket["file"])
    if entry is None:
        raise missing("The file is unknown.")
    tickets.spend(call)
    entry["there"], entry["size"] = True, len(data)
    call.tenant.touch("attachments", ticket["file"])
    call.tenant.put("blobs", ticket["file"], {"b": base64.b64encode(data).decode()})
    return Reply(call.choices.attachment_status, {"fileId": ticket["file"], "fileName": entry["name"]})


def _file_of(call: Call) -> bytes:
    kind = call.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        if call.choices.upload_without_part and call.body:
            return call.body
        raise bad("Content-Type must be multipart/form-data.")
    for name, data in parse_form(kind, call.body):
        if name.lower() in call.choices.upload_field_names:
            return data
    raise bad("FileData is required.")


def parse_form(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """The parts of a ``multipart/form-data`` body as (name, bytes).

    Raises
    ------
    ApiFault
        400: no boundary, or a body that does not keep to it.
    """
    _, _, rest = content_type.partition("boundary=")
    boundary = (
        rest[1:].partition('"')[0] if rest.startswith('"') else rest.partition(";")[0].strip()
    ).encode("latin-1", "replace")
    if not 1 <= len(boundary) <= 200:
        raise bad("The multipart boundary is missing.")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--") or len(pieces) > 102:
        raise bad("The multipart body is malformed.")
    parts: list[tuple[str, bytes]] = []
    for piece in pieces[1:-1]:
        head, found, data = piece.lstrip(b" \t").removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = _part_name(head)
        if not found or name is None:
            raise bad("The multipart body is malformed.")
        parts.append((name, data))
    return parts


def _part_name(head: bytes) -> str | None:
    for line in head.decode("utf-8", "replace").split("\r\n"):
        field, _, value = line.partition(":")
        if field.strip().lower() == "content-disposition":
            for item in value.split(";")[1:]:
                key, _, text = item.partition("=")
                if key.strip().lower() == "name":
                    return text.strip().strip('"')
    return None


def _get(call: Call) -> Reply:
    bot_id, _ = bot_of(call)
    file_id = call.path["fileId"]
    if file_lookup(call.tenant, bot_id, call.now)(file_id) is None:
        raise missing("File not found.")
    url = tickets.give(call, "files", call.choices.download_ticket_s, file=file_id, bot=bot_id)
    return Reply(302, None, {"Location": url})


def _download(call: Call) -> Reply:
    ticket = tickets.look(call, "files")
    found = read_file(call.tenant, ticket["bot"], ticket["file"], call.now)
    if found is None:
        raise missing("File not found.")
    if call.choices.file_log_on:
        user = call.token.user_id if call.token else ""
        call.tenant.audit("file-download", call.now, user=user, task="download", target=found[0], ok=True)
    return Reply(200, raw=found[1], content_type="application/octet-stream")


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "attachments.create",
        "POST",
        "/bots/{botId}/attachments",
        TALK,
        _announce,
        body=body({"fileName": text(1000)}, "fileName"),
        paragraph="2 §1.6",
    ),
    Operation(
        "attachments.get",
        "GET",
        "/bots/{botId}/attachments/{fileId}",
        READ,
        _get,
        success=302,
        paragraph="2 §1.6",
    ),
    Operation(
        "attachments.upload",
        "POST",
        "/uploads/{ticket}",
        (),
        _upload,
        success=201,
        host="storage",
        limit="none",
        max_body=MAX_UPLOAD,
        paragraph="2 §1.6",
    ),
    Operation(
        "attachments.download",
        "GET",
        "/files/{ticket}",
        (),
        _download,
        host="storage",
        limit="none",
        paragraph="2 §1.6",
    ),
)
