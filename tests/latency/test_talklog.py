"""Talk logs to durations: a naive oracle, every dialect, every kind of damage, and both readers alike."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bousai_kit.errors import ConfigError, InputError
from bousai_kit.latency import analyse, talkscan
from bousai_kit.latency.durations import Broadcasts
from bousai_kit.latency.talklog import REJECTS, from_talk_log, read_broadcasts
from bousai_kit.roster import Person, Roster
from bousai_kit.tables import read_table

START = datetime(2027, 1, 17, 0, 0, tzinfo=UTC)
HEAD = ("日時", "送信者", "受信者", "チャンネルID", "トーク")
CITY = Roster(
    people=tuple(
        Person(
            row=i + 2,
            staff_number=f"90{i:02d}",
            last_name="試験",
            first_name=f"{i}号",
            login_id=f"t{i}@city-demo",
            ward=("北区", "西区")[i % 2],
            device_os="iOS",
        )
        for i in range(4)
    )
)
Message = tuple[int, int, str, str]  # seconds, person, room, text


def said(seconds: float, style: str = "%Y-%m-%d %H:%M:%S") -> str:
    return (START + timedelta(seconds=seconds, hours=9)).strftime(style)


def lines(messages: Sequence[Message], style: str = "%Y-%m-%d %H:%M:%S") -> list[list[str]]:
    return [
        [
            said(t, style),
            "[Bot]訓練" if who < 0 else f"試験 {who}号 (t{who}@city-demo)",
            "[Bot]訓練",
            room,
            text,
        ]
        for t, who, room, text in messages
    ]


def write_log(
    path: Path, rows: Sequence[Sequence[str]], *, head: Sequence[str] = HEAD, encoding: str = "utf-8-sig"
) -> Path:
    out = io.StringIO()
    csv.writer(out).writerows([head, *rows])
    path.write_bytes(out.getvalue().encode(encoding))
    return path


def write_list(path: Path, rows: Sequence[Sequence[Any]]) -> Path:
    head = ("broadcast_id", "sent_at", "login_id", "channel_id", "ack_code", "deadline_s")
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def run(
    folder: Path, rows: Sequence[Sequence[str]], listed: Sequence[Sequence[Any]], **options: Any
) -> Broadcasts:
    log = write_log(folder / "log.csv", rows, **options)
    return from_talk_log([log], write_list(folder / "list.csv", listed), CITY, rejects_folder=folder / "out")


def of(found: Broadcasts, broadcast: str = "b01") -> dict[str, tuple[float, bool, float]]:
    frame = found.frame[found.frame["broadcast_id"] == broadcast]
    return {
        person.partition("@")[0]: (duration, observed, late)
        for person, duration, observed, late in frame[["person", "duration_s", "observed", "late_s"]]
        .to_numpy()
        .tolist()
    }


# -- rules ----------------------------------------------------------------------------------------------


def test_first_reply_with_a_code_in_the_room_by_the_deadline(tmp_path: Path) -> None:
    messages = [
        (-5, 0, "r1", "了解"),  # before it was sent
        (10, 0, "r1", "確認中"),  # no code
        (20, 0, "r2", "了解"),  # another room
        (30, 0, "r1", "はい、了解しました"),
        (40, 0, "r1", "了解"),
        (700, 1, "r1", "無事です"),  # late
        (50, -1, "r1", "了解"),  # a bot
    ]
    found = run(tmp_path, lines(messages), [("b01", said(0), "", "r1", "了解|無事", 600)])
    assert found.rows_read == 7
    assert found.rows_rejected == 0
    assert found.rejects_file is None
    answers = of(found)
    assert answers["t0"][:2] == (30.0, True)
    assert answers["t1"] == (600.0, False, 700.0)
    assert answers["t2"][:2] == (600.0, False)
    [one] = analyse(found).as_json()["broadcasts"]
    assert (one["recipients"], one["delivered"], one["acked"], one["late"], one["censored"]) == (
        4,
        4,
        1,
        1,
        3,
    )
    assert [group["name"] for group in one["groups"]["ward"]] == ["北区", "西区"]
    json.dumps(analyse(found).as_json(), allow_nan=False)


def test_the_own_send_and_the_next_broadcast(tmp_path: Path) -> None:
    listed = [
        ("b01", said(0), "t0@city-demo", "", "", 1800),
        ("b01", said(60), "T1@City-Demo", "", "", 1800),
        ("b02", said(300), "", "", "", 1800),
    ]
    messages = [(90, 1, "r", "はい"), (330, 0, "r", "はい")]
    found = run(tmp_path, lines(messages), listed)
    first, second = of(found), of(found, "b02")
    assert first["t1"][:2] == (30.0, True)
    assert first["t0"][:2] == (300.0, False)  # cut by b02
    assert math.isnan(first["t0"][2])  # the reply is b02's, not a late one of b01
    assert second["t0"][:2] == (30.0, True)
    assert set(first) == {"t0", "t1"}
    assert list(found.deadlines_s) == ["b01", "b02"]


def test_a_late_answer_by_another_code_stays_visible(tmp_path: Path) -> None:
    listed = [("b01", said(0), "", "", "A了解", 1800), ("b02", said(300), "", "", "B了解", 1800)]
    found = run(tmp_path, lines([(400, 0, "r", "A了解"), (410, 0, "r", "B了解")]), listed)
    assert of(found)["t0"] == (300.0, False, 400.0)
    assert of(found, "b02")["t0"][:2] == (110.0, True)


def test_a_reply_within_the_second_of_its_send_came_at_once(tmp_path: Path) -> None:
    listed = [("b01", "2027-01-17T09:00:00.700+09:00", "", "", "", 60)]
    assert of(run(tmp_path, lines([(0, 0, "r", "はい")]), listed))["t0"][:2] == (0.0, True)


def test_somebody_who_is_not_in_the_roster_is_counted_and_said(tmp_path: Path) -> None:
    found = run(tmp_path, lines([(5, 9, "r", "はい")]), [("b01", said(0), "t9@city-demo", "", "", 60)])
    assert of(found)["t9"][:2] == (5.0, True)
    assert "名簿にない" in found.notes[0]


def test_a_login_without_domain_in_the_roster(tmp_path: Path) -> None:
    short = Roster(people=(Person(row=2, staff_number="1", last_name="試", first_name="験", login_id="T0"),))
    log = write_log(tmp_path / "log.csv", lines([(7, 0, "r", "はい")]))
    listed = write_list(tmp_path / "list.csv", [("b01", said(0), "", "", "", 60)])
    assert of(from_talk_log([log], listed, short))["t0"][:2] == (7.0, True)


def test_overlapping_exports_count_once(tmp_path: Path) -> None:
    rows = lines([(5, 0, "r", "はい"), (6, 1, "r", "はい")])
    one, two = (
        write_log(tmp_path / "a[1].csv", rows),
        write_log(tmp_path / "b.csv", rows[1:], encoding="cp932"),
    )
    listed = write_list(tmp_path / "list.csv", [("b01", said(0), "", "", "", 60)])
    found = from_talk_log([one, two], listed, CITY)
    assert [of(found)[who][0] for who in ("t0", "t1")] == [5.0, 6.0]
    assert found.rows_read == 3


def test_deadline_of_the_command_wins(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", lines([(50, 0, "r", "はい")]))
    listed = write_list(tmp_path / "list.csv", [("b01", said(0), "", "", "", 60)])
    assert of(from_talk_log([log], listed, CITY, deadline_s=40))["t0"][:2] == (40.0, False)


# -- a naive oracle -------------------------------------------------------------------------------------

TEXTS = st.sampled_from(["了解", "無事です", "確認中", "了解\n二行目", '"無事"', ""])
MESSAGES = st.lists(
    st.tuples(st.integers(-20, 200), st.integers(-1, 4), st.sampled_from(["r1", "r2"]), TEXTS), max_size=30
)
SENDS = st.lists(
    st.tuples(
        st.sampled_from(["b01", "b02", "b03"]),
        st.integers(0, 120),
        st.integers(-1, 4),
        st.sampled_from(["", "r1"]),
        st.sampled_from(["", "了解", "了解|無事"]),
        st.sampled_from([30, 100]),
    ),
    min_size=1,
    max_size=5,
)


def oracle(messages: Sequence[Message], sends: Sequence[Any]) -> dict[tuple[str, int], tuple[float, bool]]:
    every: dict[tuple[str, int], Any] = {}
    for key, sent, who, room, codes, deadline in sends:
        for person in range(4) if who < 0 else [who]:
            if (key, person) not in every or sent < every[key, person][0]:
                every[key, person] = (sent, room, [c for c in codes.split("|") if c], deadline)
    found = {}
    for (key, person), (sent, room, codes, deadline) in every.items():
        later = [s for (_, other), (s, *_) in every.items() if other == person and s > sent]
        cut = min([sent + deadline, *later])
        replies = [
            t
            for t, who, where, text in messages
            if who == person
            and t >= sent
            and room in ("", where)
            and (not codes or any(c in text for c in codes))
        ]
        first = min(replies, default=math.inf)
        found[key, person] = (first - sent, True) if first <= cut else (cut - sent, False)
    return found


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    MESSAGES, SENDS, st.sampled_from(["%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S+09:00"])
)
def test_as_plain_loops_say(tmp_path: Path, messages: list[Message], sends: list[Any], style: str) -> None:
    # equal sends of one broadcast to one person with different rules have no defined order
    seen: dict[tuple[str, int, int], Any] = {}
    for key, sent, who, *rest in sends:
        for person in range(-1, 5):
            mine = person in (who, -1) or who < 0
            if mine and seen.setdefault((key, sent, person), rest) != rest:
                return
    listed = [
        (key, said(sent), "" if who < 0 else f"t{who}@city-demo", room, codes, deadline)
        for key, sent, who, room, codes, deadline in sends
    ]
    found = run(tmp_path, lines(messages, style), listed)
    answers = {
        (key, int(person[1])): (duration, observed)
        for key, person, duration, observed in found.frame[
            ["broadcast_id", "person", "duration_s", "observed"]
        ]
        .to_numpy()
        .tolist()
    }
    assert answers == oracle(messages, sends)
    assert (found.rows_read, found.rows_rejected) == (len(messages), 0)


# -- damage ---------------------------------------------------------------------------------------------


def damaged(kind: str, data: bytes) -> bytes:
    rows = data.split(b"\r\n")
    if kind == "stray quote":
        rows[40] = rows[40].replace(b"r1", b'"r1')
    elif kind == "quote in a word":
        rows[40] = rows[40].replace(b"r1", b'r"1')
    elif kind == "half a file":
        return data[: len(data) * 2 // 3]
    elif kind == "trailer":
        return data + b"downloadLogs error: internal\r\n"
    elif kind == "no date":
        rows[40] = b"soon" + rows[40][19:]
    elif kind == "columns":
        rows[40] += b",more"
    elif kind == "bytes":
        rows[40] = rows[40].replace("了解".encode(), b"\xff\xfe\xe4")
    elif kind == "zeros":
        return data + b"\0" * 99
    elif kind == "blank lines":
        rows[40] += b"\r\n\r\n"
    elif kind == "second header":
        rows[40] = rows[0].removeprefix(b"\xef\xbb\xbf") + b"\r\n" + rows[40]
    return b"\r\n".join(rows)


@pytest.mark.parametrize(
    ("kind", "kept", "rejected"),
    [
        ("none", 100, 0),
        ("stray quote", 99, 1),
        ("quote in a word", 100, 0),
        ("half a file", None, None),
        ("trailer", 100, 1),
        ("no date", 99, 1),
        ("columns", 99, 1),
        ("bytes", 99, 1),
        ("zeros", 100, 1),
        ("blank lines", 100, 0),
        ("second header", 100, 1),
    ],
)
def test_every_row_is_kept_or_listed(
    kind: str, kept: int | None, rejected: int | None, tmp_path: Path
) -> None:
    log = write_log(tmp_path / "log.csv", lines([(i, i % 4, "r1", "了解") for i in range(100)]))
    data = damaged(kind, log.read_bytes())
    log.write_bytes(data)
    listed = write_list(tmp_path / "list.csv", [("b01", said(0), "", "", "", 1800)])
    found = from_talk_log([log], listed, CITY, rejects_folder=tmp_path / "out")
    if kept is None:
        assert found.rows_read + found.rows_rejected == data.count(b"2027-")
    else:
        assert (found.rows_read, found.rows_rejected) == (kept, rejected)
    if found.rows_rejected:
        assert found.rejects_file == str(tmp_path / "out" / REJECTS)
        table = read_table(Path(found.rejects_file))
        assert len(table.rows) == found.rows_rejected
        if kind in ("stray quote", "no date", "columns", "bytes"):
            assert table.rows[0][:2] == ("log.csv", "41")
        assert "試験" not in Path(found.rejects_file).read_text(encoding="utf-8-sig")
    else:
        assert found.rejects_file is None
    assert of(found)["t1"][:2] == (1.0, True)


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MESSAGES)
def test_both_readers_say_the_same(tmp_path: Path, messages: list[Message]) -> None:
    listed = [("b01", said(0), "", "", "了解", 100)]
    quick = run(tmp_path, lines(messages), listed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(talkscan, "_header", lambda head: None)  # as for a damaged file: Python reads it
        slow = run(tmp_path, lines(messages), listed)
    assert quick.frame.equals(slow.frame)
    assert (quick.rows_read, quick.rows_rejected) == (slow.rows_read, slow.rows_rejected)


def test_duckdb_reads_a_clean_file_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talkscan, "read_records", None)
    rows = lines([(5, 0, "r1", '無事です、\n"二行目", 以上')])
    assert of(run(tmp_path, rows, [("b01", said(0), "", "r1", "無事", 60)]))["t0"][:2] == (5.0, True)


def test_a_pasted_row_answers_for_nobody(tmp_path: Path) -> None:
    pasted = ",".join(lines([(20, 1, "r1", "了解")])[0])
    found = run(tmp_path, lines([(10, 0, "r1", f"これ\n{pasted}")]), [("b01", said(0), "", "", "了解", 60)])
    assert of(found)["t1"][1] is False
    assert of(found)["t0"][:2] == (10.0, True)
    assert (found.rows_read, found.rows_rejected) == (1, 1)


def test_dialects_and_columns_by_name(tmp_path: Path) -> None:
    rows = [[line[4], line[1], line[0], "iOS"] for line in lines([(5, 0, "", "了解"), (6, 1, "", "了解")])]
    for encoding in ("utf-8", "utf-8-sig", "cp932"):
        found = run(
            tmp_path, rows, [("b01", said(0), "", "", "了解", 60)],
            head=("Message", "Sender", "Date", "Device"), encoding=encoding,
        )  # fmt: skip
        assert [of(found)[who][0] for who in ("t0", "t1")] == [5.0, 6.0]
        assert found.rows_read == 2


# -- what cannot be used --------------------------------------------------------------------------------


def test_a_room_is_asked_for_and_the_log_has_none(tmp_path: Path) -> None:
    rows = [[line[0], line[1], line[4]] for line in lines([(5, 0, "", "了解")])]
    with pytest.raises(InputError, match="チャンネル ID の列がなく"):
        run(tmp_path, rows, [("b01", said(0), "", "r1", "", 60)], head=("日時", "送信者", "トーク"))


def test_no_talk_log_no_file_no_spark(tmp_path: Path) -> None:
    listed = write_list(tmp_path / "list.csv", [("b01", said(0), "", "", "", 60)])
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="トークログとして読めません"):
        from_talk_log([tmp_path / "x.csv"], listed, CITY)
    with pytest.raises(InputError, match="開けません"):
        from_talk_log([tmp_path / "none.csv"], listed, CITY)
    with pytest.raises(ConfigError, match="spark"):
        from_talk_log([tmp_path / "x.csv"], listed, CITY, engine="spark")


def test_every_mistake_of_the_list_at_once(tmp_path: Path) -> None:
    path = write_list(
        tmp_path / "list.csv",
        [("b01", "きのう", "", "", "", 60), ("", said(0), "", "", "", 60), ("b02", said(0), "", "", "", 0)],
    )
    with pytest.raises(InputError, match="誤りが 3 件") as caught:
        read_broadcasts(path)
    assert [(issue.row, issue.column) for issue in caught.value.issues] == [
        (2, "sent_at"), (3, "broadcast_id"), (4, "deadline_s"),
    ]  # fmt: skip
    (tmp_path / "short.csv").write_text("broadcast_id,login_id\nb01,\n", encoding="utf-8")
    with pytest.raises(InputError, match="「sent_at」「deadline_s」"):
        read_broadcasts(tmp_path / "short.csv")
