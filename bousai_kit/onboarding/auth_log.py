"""Who logged in when, and who tried in vain and why: the audit log ``auth``.

The export has no column for the outcome: a sentence says it. Its columns and its sentences stand in two
tables here (`COLUMNS`, `REASONS`); what neither table knows is said, never guessed in silence. A city adds
spellings of its own in ``BOUSAI_HOME/auth_log.yaml``, without touching the program::

    columns: {text: [ログイン結果], user: [ログインした人]}
    reasons: {password: [暗証番号]}
    success: [ログインできました]

Source: reference part 2 §6 (31 days a window, columns in Japanese and in English, dates).
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bousai_kit.clock import Clock, in_thread
from bousai_kit.errors import ApiError, InputError, LineWorksError, os_reason
from bousai_kit.logs.records import pick_encoding, read_rows
from bousai_kit.logs.talk import login_of

if TYPE_CHECKING:
    from bousai_kit.logs.archive import Archive, Piece

__all__ = [
    "COLUMNS",
    "REASONS",
    "SLACK",
    "AuthLog",
    "Login",
    "Words",
    "load_words",
    "pull_logins",
    "read_auth",
]

SERVICE = "auth"
KEPT = timedelta(days=180)  # by the platform
SLACK = timedelta(minutes=10)  # by which the kit's clock and the platform's may differ
OVERLAP = timedelta(days=1)  # asked for again: rows may appear late
FRESH = timedelta(minutes=3)  # not asked for again so soon: rows are late anyway, and downloads rest a minute
Fetch = Callable[[datetime, datetime], Awaitable[bytes]]

COLUMNS: Mapping[str, tuple[str, ...]] = {  # field -> headers, without blanks, in lower case
    "at": ("日時", "ログイン日時", "date", "datetime", "date/time", "time"),
    "user": ("メンバー", "ユーザー", "アカウント", "user", "member", "account"),
    "text": ("説明", "内容", "description", "detail", "details", "task", "タスク"),
    "result": ("結果", "ステータス", "result", "status"),  # in no export seen so far
}
_NEEDED = ("at", "user", "text")
REASONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # code, what is said, words of the sentence
    ("expired", "期限切れ", ("期限", "有効期間", "expire")),
    ("suspended", "一時停止中・ロック中", ("停止", "ロック", "suspend", "lock", "disabled")),
    ("not_begun", "利用開始前", ("待機", "利用開始前", "await", "not started", "not activated")),
    ("password", "パスワードの誤り", ("パスワード", "password", "credential")),
    (
        "second_factor",
        "2 段階認証の失敗",
        ("2段階", "二段階", "多要素", "認証コード", "otp", "2-step", "mfa"),
    ),
    (
        "network",
        "許可されていない場所・端末",
        ("ip", "ネットワーク", "端末", "device", "network", "許可されてい"),
    ),
    (
        "unknown_id",
        "ID の誤り",
        ("存在しない", "該当する", "no such", "not found", "unknown user", "id不一致"),
    ),
)
OTHER = "その他の理由"
_GOOD = ("成功", "succe")
_NOT_GOOD = ("不成功", "成功しません", "unsucce", "notsucce", "withoutsucce")
_NO_LOGIN = ("ログアウト", "logout", "loggedout", "logoff", "signout", "signedout", "変更しました", "changed")
OWN = "auth_log.yaml"
_HINT = (
    f"ファイルは保管してあります。見出しが変わっていたら、BOUSAI_HOME の {OWN} に"
    "「columns: {text: [新しい見出し]}」の形で書き加えてください（at 日時、user メンバー、text 説明）。"
)


@dataclass(frozen=True, slots=True)
class Words:
    """The two tables, with a city's own spellings first."""

    columns: Mapping[str, tuple[str, ...]]
    reasons: tuple[tuple[str, tuple[str, ...]], ...]
    success: tuple[str, ...] = _GOOD


_SHIPPED = Words(COLUMNS, tuple((code, words) for code, _, words in REASONS))


@dataclass(frozen=True, slots=True)
class Login:
    """One row about a login: ``reason`` is a code of `REASONS`, ``other``, or "" for a success."""

    at: datetime
    ok: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class AuthLog:
    """What the log holds.

    Attributes
    ----------
    by_login : dict
        Login id (lower case) → rows, oldest first.
    notes : tuple of str
        Japanese sentences: what could not be had or read.
    available : bool
        False: the log could not be had at all.
    """

    by_login: Mapping[str, tuple[Login, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    available: bool = True

    def __repr__(self) -> str:
        return f"<AuthLog people={len(self.by_login)} available={self.available}>"


@dataclass(frozen=True, slots=True)
class _Columns:
    at: int
    user: int
    text: int
    result: int
    width: int


def _plain(text: str) -> str:
    return re.sub(r"[\s_\-]", "", unicodedata.normalize("NFKC", text).removeprefix("\ufeff")).casefold()


def load_words(home: Path) -> Words:
    """The tables, and what the city has added to them.

    Raises
    ------
    InputError
        Its file is not what it should be.
    """
    import yaml

    path = home / OWN
    try:
        own = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return _SHIPPED
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _unusable(type(error).__name__) from None
    parts = own if isinstance(own, dict) else {"": None}
    added: dict[str, dict[str, tuple[str, ...]]] = {"columns": {}, "reasons": {}, "success": {}}
    codes = {"columns": set(COLUMNS), "reasons": {code for code, _, _ in REASONS}, "success": {""}}
    for part, said in parts.items():
        for code, words in (said if isinstance(said, dict) else {"": said}).items():
            listed: list[Any] = words if isinstance(words, list) else [words]
            if code not in codes.get(part, ()) or not all(isinstance(one, str) and one for one in listed):
                raise _unusable(f"{part} {code}".strip())
            added[part][code] = tuple(listed)
    columns = {name: added["columns"].get(name, ()) + words for name, words in COLUMNS.items()}
    reasons = tuple((code, added["reasons"].get(code, ()) + words) for code, _, words in REASONS)
    return Words(columns, reasons, added["success"].get("", ()) + _GOOD)


def _unusable(what: str) -> InputError:
    return InputError(f"{OWN} を使えません（{what}）。標準の見出しと文で読みました。", hint=_HINT)


def _find(header: Sequence[str], words: Words) -> _Columns:
    """Columns by name; where two would do, the spelling that stands first in the table.

    Raises
    ------
    InputError
        One that is needed is missing. (The cells are not repeated: they could be a row with names.)
    """
    names = [_plain(cell) for cell in header]
    found = {}
    for column, spellings in words.columns.items():
        found[column] = next((names.index(one) for one in map(_plain, spellings) if one in names), -1)
    missing = [COLUMNS[column][0] for column in _NEEDED if found[column] < 0]
    if missing:
        raise InputError(
            f"ログイン履歴（auth）として読めません（列「{'」「'.join(missing)}」がありません）。", hint=_HINT
        )
    return _Columns(**found, width=len(names))


def judge(text: str, words: Words = _SHIPPED) -> tuple[bool, str] | None:
    """What a sentence of the log says: success, or failure and why; None: it is about something else."""
    said = _plain(text)
    if any(_plain(word) in said for word in words.success) and not any(word in said for word in _NOT_GOOD):
        return True, ""
    if not said or any(word in said for word in _NO_LOGIN):
        return None
    for code, spellings in words.reasons:
        if any(_word(word, said, text) for word in spellings):
            return False, code
    return False, "other"


def _word(word: str, said: str, text: str) -> bool:
    if word.isascii() and len(word) <= 3:  # "ip" is no part of another word
        return (
            re.search(rf"(?<![a-z]){word}(?![a-z])", unicodedata.normalize("NFKC", text).casefold())
            is not None
        )
    return _plain(word) in said


def reason_label(code: str) -> str:
    """A reason as people say it."""
    return next((label for one, label, _ in REASONS if one == code), OTHER)


def read_auth(
    data: bytes, since: datetime, until: datetime, words: Words = _SHIPPED
) -> tuple[list[tuple[str, Login]], int]:
    """Rows with ``since`` ≤ t < ``until``, with their login id; and how many lines could not be read.

    Raises
    ------
    InputError
        No header, an unknown one, or an unknown encoding.
    """
    stream = io.TextIOWrapper(
        io.BytesIO(data), encoding=pick_encoding(data), errors="surrogateescape", newline=""
    )
    columns, records = read_rows(stream, partial(_find, words=words), what="ログイン履歴（auth）", hint=_HINT)
    rows: list[tuple[str, Login]] = []
    verdicts: dict[str, tuple[bool, str] | None] = {}  # there are few different sentences
    rejected = 0
    for record in records:
        if record.fields is None or record.at is None:
            rejected += 1
            continue
        if not since <= record.at < until:
            continue
        said = record.fields[columns.text]
        if columns.result >= 0:
            said += f" {record.fields[columns.result]}"
        if said not in verdicts:
            verdicts[said] = judge(said, words)
        verdict = verdicts[said]
        login_id = login_of(record.fields[columns.user])
        if verdict is not None and login_id:
            rows.append((login_id, Login(record.at, *verdict)))
    return rows, rejected


async def pull_logins(archive: Archive, fetch: Fetch | None, *, clock: Clock, since: datetime) -> AuthLog:
    """Pull what the archive does not hold yet, keep it as it came, and read the whole period.

    Parameters
    ----------
    fetch : callable or None
        ``await fetch(since, until)``; None: read only what has been kept.
    since : datetime
        The first account was made then. The platform keeps 180 days.

    Notes
    -----
    A log that is refused, not there, or cannot be read is a note, no error: everything else can be counted.
    """
    now = clock.now()
    since = min(max(since - SLACK, now - KEPT), now - timedelta(seconds=1)).replace(microsecond=0)
    notes: list[str] = []
    refused = False
    if fetch is not None:
        try:
            kept = archive.pieces(SERVICE, since, now)
            end = _kept_until(kept, since)
            if not kept or now - end >= FRESH:
                begin = min(max(since, end - OVERLAP), now - timedelta(seconds=1))
                pulled = await archive.pull(SERVICE, begin, now, fetch)
                notes += [
                    f"ログイン履歴の一部を取得できませんでした（{gap.reason}）。" for gap in pulled.gaps
                ]
        except LineWorksError as error:
            refused = True
            notes.append(_refusal(error))
    pieces = archive.pieces(SERVICE, since, now)
    words = _SHIPPED
    try:
        words = load_words(archive.folder.parent)
    except InputError as error:
        notes.append(error.sentence())
    found: dict[str, list[Login]] = {}
    for piece in pieces:
        await in_thread(clock, partial(_read, piece, words, found, notes))
    whole = {login_id: tuple(sorted(rows, key=lambda one: one.at)) for login_id, rows in found.items()}
    return AuthLog(whole, tuple(dict.fromkeys(notes)), bool(pieces) or not (refused or fetch is None))


def _refusal(error: LineWorksError) -> str:
    if isinstance(error, ApiError) and error.status in (401, 403):
        return (
            "ログイン履歴（監査ログ auth）を読む権限がないため、ログインの失敗は分かりません。"
            "Developer Console でアプリのスコープ audit.read を確認してください。"
        )
    return f"ログイン履歴（監査ログ auth）を取得できませんでした。{error.sentence()}"


def _kept_until(pieces: Sequence[Piece], since: datetime) -> datetime:
    """Where whole exports end that follow each other from the beginning."""
    end = since
    for piece in pieces:
        if piece.since > end or not piece.complete:
            break
        end = piece.until
    return end


def _read(piece: Piece, words: Words, found: dict[str, list[Login]], notes: list[str]) -> None:
    try:
        rows, rejected = read_auth(piece.path.read_bytes(), piece.since, piece.until, words)
    except InputError as error:
        notes.append(f"{piece.path.name}：{error.sentence()}")
        return
    except OSError as error:
        notes.append(f"保管したログイン履歴 {piece.path.name} を開けません（{os_reason(error)}）。")
        return
    for login_id, row in rows:
        found.setdefault(login_id, []).append(row)
    if not piece.complete:
        notes.append(f"{piece.path.name} は途中で切れています。切れる前までの行だけを使いました。")
    elif rejected:
        notes.append(f"{piece.path.name} の {rejected:,} 行は読み取れませんでした。")
