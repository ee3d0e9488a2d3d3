"""The pure parts: wording, route, fold, evidence."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.drills import wording
from bousai_kit.drills.evidence import Evidence, find_answers, match_rows
from bousai_kit.drills.result import result_of
from bousai_kit.drills.route import choose_route, estimate_s
from bousai_kit.drills.state import DrillState, fold
from bousai_kit.latency.durations import _named
from bousai_kit.ledger import Event
from bousai_kit.logs.talk import TalkRow

T0 = datetime(2027, 1, 17, tzinfo=UTC)
ID = "20270117-0900-abcde"


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


# -- wording --------------------------------------------------------------------------------------------


def test_a_tap_names_drill_and_message_for_every_reader() -> None:
    said = wording.build_postback(ID, "b01", 2)
    assert said == f"bk1|drill={ID}|m=b01|a=2"
    assert wording.parse_postback(said) == (ID, "b01", 2)
    assert _named(said, ID) == ["b01"]
    for junk in ("", "start", said + "|x=1", said.replace("bk1", "bk2"), "bk1|drill=|m=|a="):
        assert wording.parse_postback(junk) is None


def test_the_mark_stays_at_the_head_whatever_the_attempt() -> None:
    text = "【訓練】安否確認"
    assert wording.build_text(text, attempt="first", actual=False) == text
    assert wording.build_text(text, attempt="r2", actual=False) == "【訓練】（再通知2）安否確認"
    assert wording.build_text(text, attempt="resend1", actual=False) == text
    assert wording.build_text("避難", attempt="resend1", actual=True) == "【再送】避難"
    assert wording.build_text("避難", attempt="r1", actual=True) == "（再通知1）避難"
    with pytest.raises(ValueError, match="second"):
        wording.build_text(text, attempt="second", actual=False)


def test_codes_fit_into_labels_and_differ() -> None:
    codes = {wording.short_code(ID, turn) for turn in range(200)}
    assert len(codes) > 195
    assert all(len(code) == wording.CODE_LENGTH for code in codes)
    assert len(wording.build_label("あ" * 15, "ACDE")) == wording.LABEL_LENGTH


# -- route ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "limit", "low", "high"),
    [
        (0, 240, 0, 0),
        (200, 240, 1, 2),
        (200, 60, 180, 182),
        (241, 240, 60, 61),
        (7200, 240, 1740, 1745),
        (30_000, 240, 219 * 60, 221 * 60),  # the half-rate rule beyond 30 minutes
    ],
)
def test_how_long_it_takes(calls: int, limit: int, low: float, high: float) -> None:
    assert low <= estimate_s(calls, limit) <= high


def test_many_people_go_by_rooms_where_there_are_some_and_the_reason_says_so() -> None:
    people = {f"u{n}" for n in range(30_000)}
    rooms = {f"r{n}": [f"u{m}" for m in range(n * 100, n * 100 + 100)] for n in range(299)}
    found = choose_route([(people, 1)], rooms, limit=240)
    assert found.name == "rooms"
    assert found.calls == 299 + 100
    assert found.eta_s < 120
    assert "299 ルーム" in found.reason
    assert choose_route([(people, 1)], {}, limit=240).name == "direct"
    assert choose_route([(people, 1)], rooms, limit=240, wanted="direct").calls == 30_000


def test_few_people_get_their_own_message() -> None:
    people = {f"u{n}" for n in range(200)}
    rooms = {"r0": [f"u{n}" for n in range(100)]}
    found = choose_route([(people, 1)], rooms, limit=240)
    assert (found.name, found.calls) == ("direct", 200)
    assert choose_route([(people, 2)], rooms, limit=240, wanted="rooms").calls == (1 + 100) * 2


def test_a_room_with_a_stranger_or_an_overlap_is_not_used() -> None:
    people = {"a", "b", "c"}
    stranger = choose_route([(people, 1)], {"r": ["a", "b", "z"]}, limit=240, wanted="rooms")
    assert (stranger.name, stranger.rooms) == ("direct", {})
    waiting = choose_route([(people, 1)], {"r": ["a", "b", "z"]}, limit=240, wanted="rooms", silent={"z"})
    assert waiting.rooms == {"r": ("a", "b")}, "z has not logged in: nobody else reads it there"
    overlap = choose_route([(people, 1)], {"r": ["a", "b"], "s": ["b", "c"]}, limit=240, wanted="rooms")
    assert overlap.calls == 2
    assert len(overlap.rooms) == 1


# -- the fold -------------------------------------------------------------------------------------------


class Book:
    """Events by hand."""

    def __init__(self, *, kind: str = "exercise", deadline_s: float = 600.0) -> None:
        self.events: list[Event] = []
        buttons = [{"label": "無事 A", "postback": wording.build_postback(ID, "b01", 1), "answer": "無事"}]
        buttons += [{"label": "けが A", "postback": wording.build_postback(ID, "b01", 2), "answer": "けが"}]
        message = {"id": "b01", "text": "【訓練】あ", "buttons": buttons}
        body = {"title": "t", "kind": kind, "deadline_s": deadline_s, "messages": [message], "waves": []}
        self.add(0, "drill.planned", ID, body)
        for user in ("u1", "u2", "u3"):
            self.add(0, "drill.recipient", user, {"staff_number": user[1:], "waves": [0]})
        self.add(0, "drill.started", ID, {"at": at(0).isoformat()})

    def add(self, when: float, kind: str, subject: str, body: dict[str, Any], stream: str = "") -> Book:
        seq = len(self.events) + 1
        self.events.append(
            Event(seq, at(when), stream or f"drill:{ID}", kind, subject, body, None, "", "", "")
        )
        return self

    def dispatch(self, when: float, what: str, user: str, attempt: str = "first", **more: Any) -> Book:
        body = {"message_id": "b01", "dispatch": f"b01/{attempt}/{user}", "at": at(when).isoformat(), **more}
        return self.add(when, f"dispatch.{what}", user, body)

    def tap(self, when: float, user: str, answer: int = 1, *, issued: float | None = None) -> Book:
        body = {
            "postback": wording.build_postback(ID, "b01", answer),
            "issued_at": at(when if issued is None else issued).isoformat(),
        }
        return self.add(when, "callback.message", user, body, "callbacks")

    def state(self) -> DrillState:
        return fold(ID, self.events)


def numbers(state: DrillState) -> dict[str, Any]:
    return result_of(state).as_json()


def test_first_tap_is_the_time_last_tap_the_answer() -> None:
    book = Book().dispatch(0, "intended", "u1").dispatch(0, "accepted", "u1", accepted_at=at(1).isoformat())
    book.tap(30, "u1", 1, issued=30).tap(50, "u1", 1, issued=45).tap(55, "u1", 2, issued=40)
    state = book.state()
    answer = state.reaches["b01", "u1"].answer
    assert answer is not None
    assert (answer.first_at, answer.choice, answer.taps) == (at(30), 1, 3)  # the last *pressed* one counts
    assert (state.acked, state.late) == (1, 0)


@pytest.mark.parametrize(
    ("tap", "verdict"), [(600.9, "acked"), (601, "acked"), (601.001, "late"), (5000, "late")]
)
def test_the_deadline_runs_from_each_persons_own_send(tap: float, verdict: str) -> None:
    book = Book().dispatch(0, "intended", "u1").dispatch(0, "accepted", "u1", accepted_at=at(1).isoformat())
    assert book.tap(tap, "u1").state().verdict(("b01", "u1")) == verdict


def test_a_resend_starts_the_clock_again_a_reminder_does_not() -> None:
    book = Book().dispatch(0, "intended", "u1").dispatch(1, "unknown", "u1")
    book.dispatch(400, "settled_absent", "u1").dispatch(500, "intended", "u1", "resend1")
    book.dispatch(500, "accepted", "u1", "resend1", accepted_at=at(500).isoformat())
    assert book.tap(1099, "u1").state().acked == 1
    other = Book().dispatch(0, "intended", "u2").dispatch(0, "accepted", "u2", accepted_at=at(0).isoformat())
    other.dispatch(300, "intended", "u2", "r1").dispatch(
        300, "accepted", "u2", "r1", accepted_at=at(300).isoformat()
    )
    assert other.tap(601, "u2").state().late == 1


def test_an_own_answer_settles_what_was_unknown() -> None:
    book = Book().dispatch(0, "intended", "u1").dispatch(30, "unknown", "u1").dispatch(0, "intended", "u2")
    assert [one.subject for one in book.state().open_attempts()] == ["u1", "u2"]
    state = book.tap(60, "u1").state()
    assert [one.subject for one in state.open_attempts()] == ["u2"]
    assert (state.sent, state.acked) == (1, 1)


def test_answers_of_strangers_are_kept_aside() -> None:
    book = Book().dispatch(0, "intended", "u1").dispatch(0, "accepted", "u1")
    state = book.tap(5, "stranger").tap(6, "u3").state()
    assert [(message, user) for message, user, _ in state.aside] == [("b01", "stranger"), ("b01", "u3")]
    assert (state.acked, state.sent) == (0, 1)


def test_another_drills_tap_is_not_ours() -> None:
    book = Book().dispatch(0, "intended", "u1").dispatch(0, "accepted", "u1")
    body = {"postback": wording.build_postback(ID + "x", "b01", 1), "issued_at": at(3).isoformat()}
    assert book.add(3, "callback.message", "u1", body, "callbacks").state().acked == 0


def test_of_a_real_one_the_stated_resend_decides() -> None:
    book = Book(kind="actual").dispatch(0, "intended", "u1").dispatch(1, "unknown", "u1")
    assert len(book.state().open_attempts()) == 1
    book.dispatch(121, "intended", "u1", "resend1").dispatch(121, "accepted", "u1", "resend1")
    state = book.state()
    assert (state.sent, state.open_attempts()) == (1, [])


def test_who_has_become_unreachable_is_no_recipient_until_tried() -> None:
    book = Book().add(1, "drill.unreachable", "1", {"reason": "停止中", "code": "suspended"})
    book.dispatch(2, "intended", "u2").dispatch(2, "accepted", "u2")
    book.add(3, "drill.unreachable", "2", {"reason": "停止中", "code": "suspended"})
    state = book.state()
    assert set(state.people) == {"u2", "u3"}
    back = book.add(4, "drill.recipient", "u1", {"staff_number": "1", "waves": [0]}).state()
    assert set(back.people) == {"u1", "u2", "u3"}
    assert set(back.unreachable) == {"2"}


def test_a_post_to_a_room_reaches_all_who_are_in_it() -> None:
    book = Book().add(
        1, "dispatch.intended", "room1",
        {"message_id": "b01", "dispatch": "b01/first/room1", "members": ["u1", "u2"]},
    )  # fmt: skip
    body = {
        "message_id": "b01",
        "dispatch": "b01/first/room1",
        "accepted_at": at(2).isoformat(),
        "members": ["u1", "u2"],
    }
    state = book.add(2, "dispatch.accepted", "room1", body).tap(9, "u2").state()
    assert (state.sent, state.acked) == (2, 1)
    assert len(state.attempts) == 1


_steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["intended", "accepted", "refused", "unknown", "settled_delivered", "settled_absent", "tap"]
        ),
        st.sampled_from(["u1", "u2", "u3", "x"]),
        st.sampled_from(["first", "r1", "resend1"]),
        st.integers(0, 900),
    ),
    max_size=30,
)


@settings(max_examples=120, deadline=None)
@given(_steps, st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_of_the_events_gives_the_same_status(
    steps: list[tuple[str, str, str, int]], chance: random.Random
) -> None:
    book = Book()
    for what, user, attempt, when in steps:
        book.tap(when, user, 1 + when % 2) if what == "tap" else book.dispatch(when, what, user, attempt)
    expected = numbers(book.state())
    shuffled = [*book.events, *chance.choices(book.events, k=10)]
    chance.shuffle(shuffled)
    assert numbers(fold(ID, shuffled)) == expected
    growing = DrillState(ID)
    for event in book.events:
        growing.take(event)
        growing.take(event)
    assert numbers(growing) == expected
    assert expected["acked"] + expected["late"] + expected["silent"] <= expected["sent"] <= 4


# -- evidence -------------------------------------------------------------------------------------------

LOGINS = {"u1": "a@city", "u2": "b@city", "u3": "c@city"}


def row(when: float, to: str = "", said: str = "【訓練】あ", *, by: str = "") -> TalkRow:
    return TalkRow(at(when), by or "[Bot]防災", by, not by, to, to, "c", said, 1)


def match(book: Book, rows: list[TalkRow], *others: DrillState) -> dict[str, Any]:
    found = match_rows(book.state(), Evidence(rows, LOGINS), others, before=at(5000), slack_s=120.0)
    return {"rows": set(found.rows), "trustworthy": found.trustworthy}


def test_a_row_proves_one_dispatch_and_the_accepted_ones_come_first() -> None:
    book = Book().dispatch(0, "intended", "u1").dispatch(0, "accepted", "u1", accepted_at=at(0).isoformat())
    book.dispatch(50, "intended", "u1", "resend1").dispatch(50, "unknown", "u1", "resend1")
    assert match(book, [row(0, "a@city")])["rows"] == {"b01/first/u1"}
    assert match(book, [row(0, "a@city"), row(50, "a@city")])["rows"] == {"b01/first/u1", "b01/resend1/u1"}


def test_reminder_and_first_are_told_apart_by_what_they_say() -> None:
    book = Book().dispatch(0, "intended", "u1").dispatch(0, "unknown", "u1")
    assert match(book, [row(1, "a@city", "【訓練】（再通知1）あ")])["rows"] == set()
    assert match(book, [row(1, "b@city")])["rows"] == set()
    assert match(book, [row(1, "a@city", by="a@city")])["rows"] == set()
    assert match(book, [row(1000, "a@city")])["rows"] == set()
    assert match(book, [row(1, "a@city")])["rows"] == {"b01/first/u1"}


def test_a_log_without_what_was_accepted_proves_nothing() -> None:
    book = Book().dispatch(0, "intended", "u1").dispatch(0, "unknown", "u1")
    book.dispatch(0, "intended", "u2").dispatch(0, "accepted", "u2", accepted_at=at(0).isoformat())
    assert match(book, [])["trustworthy"] is False
    assert match(book, [row(0, "b@city")]) == {"rows": {"b01/first/u2"}, "trustworthy": True}


def test_the_same_text_of_another_drill_is_not_ours() -> None:
    book = Book().dispatch(30, "intended", "u1").dispatch(30, "unknown", "u1")
    other = Book().dispatch(0, "intended", "u1").dispatch(0, "accepted", "u1", accepted_at=at(0).isoformat())
    assert match(book, [row(0, "a@city")], other.state())["rows"] == set()
    assert match(book, [row(0, "a@city"), row(30, "a@city")], other.state())["rows"] == {"b01/first/u1"}


def test_an_export_that_shows_the_buttons_too_is_read_all_the_same() -> None:
    book = Book().dispatch(0, "intended", "u1").dispatch(0, "unknown", "u1")
    book.dispatch(0, "intended", "u2").dispatch(0, "accepted", "u2", accepted_at=at(0).isoformat())
    rows = [
        row(0, "b@city", "【訓練】あ\n[無事 A][けが A]"),
        row(1, "a@city", "【訓練】あ\n[無事 A][けが A]"),
    ]
    assert match(book, rows) == {"rows": {"b01/first/u1", "b01/first/u2"}, "trustworthy": True}


def test_taps_that_only_the_log_has_are_found_and_known_ones_are_not_counted_twice() -> None:
    book = Book().dispatch(0, "intended", "u1").dispatch(0, "accepted", "u1", accepted_at=at(0).isoformat())
    book.dispatch(0, "intended", "u2").dispatch(0, "accepted", "u2", accepted_at=at(0).isoformat())
    book.tap(42.318, "u1", 1)
    rows = [
        row(42, "[Bot]", "無事 A", by="a@city"),
        row(70, "[Bot]", "けが A", by="b@city"),
        row(71, "[Bot]", "了解です", by="c@city"),
        row(90, "[Bot]", "けが A", by="a@city"),
    ]
    found = find_answers(book.state(), Evidence(rows, LOGINS))
    assert found == [("b01", "u2", at(70), 2), ("b01", "u1", at(90), 2)]


def test_every_pair_of_outcomes_ends_somewhere() -> None:
    outcomes = ["accepted", "refused", "unknown", "settled_delivered", "settled_absent"]
    for first, second in itertools.product(outcomes, outcomes):
        book = Book().dispatch(0, "intended", "u1").dispatch(1, first, "u1").dispatch(2, second, "u1")
        verdict = book.state().verdict(("b01", "u1"))
        if "accepted" in (first, second) or first == "settled_delivered" or second == "settled_delivered":
            assert verdict == "silent", (first, second)
        if first == "settled_absent" and second == "unknown":
            assert verdict == "refused"


def test_a_row_that_nobody_else_sent_forbids_to_call_it_absent_even_when_a_clock_was_set() -> None:
    book = Book().dispatch(0, "intended", "u1").dispatch(0, "accepted", "u1", accepted_at=at(0).isoformat())
    book.dispatch(1300, "intended", "u2").dispatch(1330, "unknown", "u2")  # 20 minutes ahead by then
    (unknown,) = book.state().open_attempts()
    for rows, certain in (([row(0, "a@city"), row(100, "b@city")], False), ([row(0, "a@city")], True)):
        found = match_rows(book.state(), Evidence(rows, LOGINS), before=at(5000), slack_s=300.0)
        assert unknown.key not in found.rows
        assert found.trustworthy
        assert found.can_say(unknown) is certain


def test_what_was_settled_before_takes_no_row_from_what_is_open() -> None:
    book = Book().dispatch(0, "intended", "u1").dispatch(1, "unknown", "u1")
    book.dispatch(300, "settled_absent", "u1").dispatch(300, "intended", "u1", "resend1")
    book.dispatch(301, "unknown", "u1", "resend1")
    assert match(book, [row(300, "a@city")])["rows"] == {"b01/resend1/u1"}
