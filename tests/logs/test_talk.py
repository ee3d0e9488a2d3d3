"""Talk logs in every dialect and in pieces: each line is a row, part of one, or on the list."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.errors import InputError
from bousai_kit.logs.records import MAX_CELL, parse_moment
from bousai_kit.logs.talk import TalkLog, login_of, read_talk

START = datetime(2027, 1, 17, 0, 15, 42, tzinfo=UTC)
TARO = "試験 太郎 (shiken.taro@city-demo)"
BOT = "[Bot]防災訓練"
NEW = ("日時", "送信者", "受信者", "チャンネルID", "トーク")
HEADERS = {
    "japanese": NEW,
    "japanese 2023": ("日時", "送信者", "受信者", "トークルームID", "トーク"),
    "english": ("Date", "Sender", "Receiver", "Channel ID", "Message"),
    "english 2022": ("Date", "Sender", "Recipient", "Message"),
    "other order": ("トーク", "チャンネルID", "受信者", "端末", "送信者", "日時"),
}
STYLES = {"dash": "%Y-%m-%d %H:%M:%S", "slash": "%Y/%m/%d %H:%M:%S", "iso": "%Y-%m-%dT%H:%M:%S+09:00"}


def jst(moment: datetime, style: str = "dash") -> str:
    return (moment + timedelta(hours=9)).strftime(STYLES[style])


def export(
    rows: Sequence[Sequence[str]],
    header: Sequence[str] = NEW,
    *,
    encoding: str = "utf-8-sig",
    end: str = "\r\n",
) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=end)
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode(encoding)


def row(number: int, text: str = "了解", sender: str = TARO) -> list[str]:
    return [jst(START + timedelta(seconds=number)), sender, BOT, "9c0e-0001", text]


# -- dialects -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "cp932"])
@pytest.mark.parametrize("style", list(STYLES))
@pytest.mark.parametrize("header", HEADERS.values(), ids=list(HEADERS))
def test_every_dialect(header: Sequence[str], style: str, encoding: str) -> None:
    text = '[K7] 無事です\n"階段"で、待機, 避難'
    cells = {"日": jst(START, style), "D": jst(START, style), "送": TARO, "S": TARO, "受": BOT, "R": BOT}
    line = [
        text if h in ("トーク", "Message") else "9c0e-0001" if "ID" in h else cells.get(h[0], "?")
        for h in header
    ]
    log = read_talk(export([line, line], header, encoding=encoding))
    assert log.rejected == ()
    assert len(log.rows) == 2
    found = log.rows[0]
    assert (found.at, found.sender_login, found.is_bot) == (START, "shiken.taro@city-demo", False)
    assert (found.receiver, found.receiver_login) == (BOT, "")
    assert (found.text, found.line, log.rows[1].line) == (text, 2, 4)
    assert found.channel_id == ("" if len(header) == 4 else "9c0e-0001")
    assert log.encoding == encoding


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2027-01-17 09:15:42", START),
        ("2027/01/17 09:15:42", START),
        ("2027/1/17 9:15", START.replace(second=0)),
        ("2027-01-17T09:15:42+09:00", START),
        ("2027-01-17T00:15:42Z", START),
        ("2027-01-17T00:15:42.250+0000", START.replace(microsecond=250_000)),
        ("2027-01-16T19:15:42-05:00", START),
        (" 2027-01-17 09:15:42 ", START),
        ("2027-02-30 09:15:42", None),
        ("2027-01-17", None),
        ("2027-01-17 24:00:00", None),
        ("２０２７-01-17 09:15:42", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("0001-01-01 00:00:00", None),
        ("日時", None),
        ("", None),
    ],
)
def test_moments(cell: str, moment: datetime | None) -> None:
    assert parse_moment(cell) == moment


@pytest.mark.parametrize(
    ("cell", "login"),
    [
        ("試験 太郎 (Shiken@City-Demo)", "shiken@city-demo"),
        ("試験 太郎(shiken@city-demo)", "shiken@city-demo"),
        ("試験（総務） (shiken@city-demo) ", "shiken@city-demo"),
        ("試験（shiken@city-demo）", "shiken@city-demo"),
        ("偽 (boss@city-demo) (shiken@city-demo)", "shiken@city-demo"),
        ("shiken@city-demo", "shiken@city-demo"),
        ("[Bot]防災訓練", ""),
        ("[Bot]偽 (shiken@city-demo)", ""),
        ("試験 (a@d), 見本 (b@d)", ""),
        ("対策本部", ""),
        ("", ""),
    ],
)
def test_logins(cell: str, login: str) -> None:
    assert login_of(cell) == login


def test_bots_are_told_apart() -> None:
    log = read_talk(export([row(0, sender=BOT), row(1)]))
    assert [one.is_bot for one in log.rows] == [True, False]


def test_rows_show_no_name() -> None:
    log = read_talk(export([row(0, "個人の話")]))
    assert "太郎" not in repr(log) + repr(log.rows[0])
    assert "個人" not in repr(log.rows[0])


# -- what is no talk log --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "見出しの行がありません"),
        (b"\xef\xbb\xbf\r\n\r\n", "見出しの行がありません"),
        ("日時,送信者,受信者,チャンネルID,イベント\r\n".encode(), "トーク"),
        ("説明,メンバー,日時\r\n".encode(), "送信者"),
        ("日時,送信者,トーク".encode("utf-16"), "UTF-16"),
        ("日時,送信者,トーク\r\n".encode("euc-jp"), "がありません"),
        ("日時,送信者,トーク,メッセージ\r\n".encode(), "2 つあります"),
        (b"PK\x03\x04\x14\x00\x00\x00", "がありません"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "がありません"),
        (b"<html><body>login</body></html>", "がありません"),
    ],
)
def test_anything_else_is_an_error_with_a_hint(data: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read_talk(data)
    assert caught.value.hint


# -- damage ---------------------------------------------------------------------------------------------


def test_the_vendors_trailer_is_no_row_and_said() -> None:
    log = read_talk(export([row(0), row(1)]) + b"downloadLogs error: timeout\r\n")
    assert (len(log.rows), log.truncated) == (2, True)
    assert log.rejected[0][0] == 4
    assert "途中で切れています" in log.rejected[0][1]
    quoting = read_talk(export([row(0, "downloadLogs error と出た\ndownloadLogs error")]))
    assert (len(quoting.rows), quoting.truncated, quoting.rejected) == (1, False, ())


def test_a_stray_quote_costs_one_line() -> None:
    lines = export([row(i) for i in range(9)]).decode("utf-8-sig").splitlines()
    lines[4] = lines[4].replace("了解", '"了解')
    log = read_talk("\r\n".join(lines).encode())
    assert [one.line for one in log.rows] == [2, 3, 4, 6, 7, 8, 9, 10]
    assert [line for line, _ in log.rejected] == [5]


def test_a_quote_inside_a_word_costs_nothing() -> None:
    raw = f'{",".join(NEW)}\n{jst(START)},{TARO},{BOT},c,5"の管\n'.encode()
    assert read_talk(raw).rows[0].text == '5"の管'


def test_half_a_file() -> None:
    whole = export([row(i, "了解\n二行目") for i in range(20)])
    for cut in range(200, len(whole), 37):
        log = read_talk(whole[:cut])
        full = read_talk(whole)
        kept = len(log.rows)
        assert log.rows[: kept - 1] == full.rows[: kept - 1]
        assert kept + len({line for line, _ in log.rejected}) >= whole[:cut].count(b"2027-")


def test_bytes_that_are_no_text_cost_their_line() -> None:
    lines = export([row(i) for i in range(5)]).split(b"\r\n")
    lines[3] = lines[3].replace("了解".encode(), b"\xff\xfe\xe4")
    log = read_talk(b"\r\n".join(lines))
    assert [one.line for one in log.rows] == [2, 3, 5, 6]
    assert log.rejected[0][0] == 4
    zeros = read_talk(export([row(0)]) + b"\0" * 512)
    assert (len(zeros.rows), len(zeros.rejected)) == (1, 1)


def test_a_pasted_row_is_a_message_not_a_row() -> None:
    """Nobody answers for somebody else by pasting a log line."""
    pasted = ",".join(row(50, "無事です", "幹部 (boss@city-demo)"))
    log = read_talk(export([row(0, f"これを見て\n{pasted}\nおわり"), row(1)]))
    assert [one.sender_login for one in log.rows] == ["shiken.taro@city-demo"] * 2
    assert [line for line, _ in log.rejected] == [3]  # listed all the same: it could be damage


def test_a_quote_that_never_closes_does_not_swallow_the_file() -> None:
    rows = [row(i) for i in range(3000)]
    text = export(rows).decode("utf-8-sig").replace("了解", '"了解', 1)
    text = text[:-4] + '終"\r\n'  # the very last text ends in a quote: the two would meet
    log = read_talk(text.encode())
    assert len(log.rows) == 2999
    assert [line for line, _ in log.rejected] == [2]
    assert len(text) > MAX_CELL


def test_wrong_widths_and_dates_are_listed_blank_lines_are_nothing() -> None:
    rows = [
        row(0),
        [],
        ["", "", "", "", ""],
        row(1)[:4],
        [*row(2), "more"],
        ["いつか", *row(3)[1:]],
        list(NEW),
    ]
    log = read_talk(export(rows))
    assert [one.line for one in log.rows] == [2]
    assert [line for line, _ in log.rejected] == [5, 6, 7, 8]


def test_old_line_ends() -> None:
    for end in ("\n", "\r", "\r\n"):
        log = read_talk(
            export([row(0, "一 二"), row(1)], end=end).replace("一 二".encode(), '"一\n二"'.encode())
        )
        assert (len(log.rows), log.rejected) == (2, ())


WORDS = st.text(alphabet='了解無事,"\n\r ab、。\t', max_size=12)
DAMAGE = st.sampled_from(
    ["", "", "", "", "stray", "open", "lost column", "more columns", "no date", "bytes", "blank", "nul"]
)


@settings(deadline=None, max_examples=250)
@given(
    st.lists(st.tuples(WORDS, DAMAGE), min_size=1, max_size=25),
    st.sampled_from(["utf-8-sig", "utf-8", "cp932"]),
    st.sampled_from([b"", b"downloadLogs error\r\n", b'"', b"\0\0\0"]),
    st.integers(0, 60),
)
def test_no_row_is_neither_kept_nor_listed(
    wanted: list[tuple[str, str]], encoding: str, tail: bytes, cut: int
) -> None:
    """Every original row stands among the rows by its own second, or its first line is on the list."""
    data, starts = export([], encoding=encoding), {}
    for number, (text, damage) in enumerate(wanted):
        line = export([row(number, text)], encoding=encoding)[len(export([], encoding=encoding)) :]
        if damage == "stray":
            line = line.replace(BOT.encode(encoding.removesuffix("-sig")), b'x"y', 1)
        elif damage == "open":
            line = line.replace(b"9c0e", b'"9c0e', 1)
        elif damage == "lost column":
            line = line.replace(b",9c0e-0001", b"", 1)
        elif damage == "more columns":
            line = b"".join([line[:30], b",", line[30:]]) if b'"' not in line[:31] else line
        elif damage == "no date":
            line = b"2027-99-99 00:00:00" + line[19:]
        elif damage == "bytes":
            line = line.replace(b"9c0e", b"9c\x80\xff0e", 1)
        elif damage == "nul":
            line = line.replace(b"9c0e", b"9c\0e", 1)
        elif damage == "blank":
            line = b"\r\n" + line
            starts[number] = _lines(data) + 1
        starts.setdefault(number, _lines(data))
        data += line
    data += tail
    data = data[: len(data) - cut] if cut < len(data) - 60 else data
    try:
        log = read_talk(data)
    except InputError:
        pytest.fail("a header stands there")
    _all_there(log, starts, _lines(data))


def _lines(data: bytes) -> int:
    """Line on which the next byte stands."""
    return len(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))


def _all_there(log: TalkLog, starts: dict[int, int], last: int) -> None:
    kept, listed = {one.line for one in log.rows}, {line for line, _ in log.rejected}
    assert not kept & listed
    for line in starts.values():
        assert line in kept or line in listed or line > last
