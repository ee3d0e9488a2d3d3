"""Log exports: audit logs and message contents, as raw CSV bytes.

One download at a time (never in parallel), audit downloads at least a minute apart (`routes`), spans of at
most 31 days. The answer is a 302 to another host; a download that breaks starts again from the request, as
the address works once.

Source: reference part 1 §9, part 2 §6, §7 (vendor pages audit-log-download, content-log-download).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from bousai_kit.errors import TruncatedExport
from bousai_kit.lineworks.base import Caller, InvalidContent

__all__ = ["MAX_SPAN", "Audit", "Monitoring", "check_complete"]

MAX_SPAN = timedelta(days=31)
_TRAILER = b"downloadLogs error"
_FILTERS = ("include", "exclude", "only")


class Audit:
    """Audit logs of any service (scope ``audit.read``)."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    async def download(
        self,
        *,
        service: str,
        since: datetime,
        until: datetime,
        language: str = "ja_JP",
        bot_messages: str = "include",
        domain_id: int | None = None,
    ) -> bytes:
        """Download one window.

        Parameters
        ----------
        service : str
            ``auth``, ``message``, ``admin``, …
        since, until : datetime
            Aware; at most 31 days apart.
        language : str
            Of the header row and the sentences.
        bot_messages : {"include", "exclude", "only"}
        domain_id : int, optional
            Another domain of the same tenant; default: the caller's own.

        Returns
        -------
        bytes
            As it came: UTF-8 with BOM. It may be cut off: see `check_complete`.

        Raises
        ------
        InvalidContent
            The span or a parameter is out of range; nothing was asked.
        ApiError, ForeignLocation, TransportFailed
        """
        params = _window(since, until, language, bot_messages, domain_id)
        answer = await self._client.call(
            "GET", "/audits/logs/download", params={"service": service, **params}
        )
        return answer.content


class Monitoring:
    """Message contents (scope ``monitoring.read``)."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    async def download(
        self,
        *,
        since: datetime,
        until: datetime,
        language: str = "ja_JP",
        bot_messages: str = "include",
        roger_messages: str | None = None,
        domain_id: int | None = None,
    ) -> bytes:
        """Download one window; parameters, result and errors as `Audit.download`.

        `roger_messages` (as `bot_messages`) is seen in other clients only, not in the vendor's pages.
        """
        params = _window(since, until, language, bot_messages, domain_id)
        if roger_messages is not None:
            params["rogerMessageFilterType"] = _filter("roger_messages", roger_messages)
        answer = await self._client.call("GET", "/monitoring/message-contents/download", params=params)
        return answer.content


def _filter(name: str, value: str) -> str:
    if value not in _FILTERS:
        raise InvalidContent(
            f"{name} は include・exclude・only です。", field=f"{name.split('_')[0]}MessageFilterType"
        )
    return value


def _window(
    since: datetime, until: datetime, language: str, bot_messages: str, domain_id: int | None
) -> dict[str, Any]:
    if since.tzinfo is None or until.tzinfo is None:
        raise InvalidContent("期間の時刻にはタイムゾーンが必要です。", field="startTime")
    if not timedelta(0) < until - since <= MAX_SPAN:
        raise InvalidContent(
            "ログの期間は、開始より後の終了まで 31 日以内で指定してください。", field="endTime", limit=31
        )
    return {
        "startTime": since,
        "endTime": until,
        "language": language,
        "botMessageFilterType": _filter("bot_messages", bot_messages),
        "domainId": domain_id,
    }


def check_complete(raw: bytes) -> None:
    """Look for the vendor's trailer: a failure while streaming is written as the file's last line.

    Raises
    ------
    TruncatedExport
        Rows are missing; ``.raw`` holds the export as it came.
    """
    tail = raw.rstrip(b"\r\n \x00\t")
    cut = max(tail.rfind(b"\n"), tail.rfind(b"\r")) + 1
    last = tail[cut:].removeprefix(b"\xef\xbb\xbf").lstrip(b' "')
    if not last.startswith(_TRAILER):
        return
    quoted_open = tail.count(b'"', 0, cut) % 2 == 1
    if quoted_open and tail[cut:].count(b'"') % 2 == 1:
        return  # the last line of a quoted message that says so, closed properly
    error = TruncatedExport("ログの取得が途中で切れています（行が欠けています）。")
    error.raw = raw
    raise error
