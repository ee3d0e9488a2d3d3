"""Who is counted from when to when: every rule of the module's docstring."""

from __future__ import annotations

import asyncio
import math
import random
from datetime import timedelta
from pathlib import Path

import pytest

from bousai_kit.clock import VirtualClock
from bousai_kit.errors import AnalysisError, DataQualityWarning
from bousai_kit.latency import analyse, read_drill
from bousai_kit.ledger import Ledger
from tests.latency.invented import DRILL, START, Drill, at, rows


def test_clock_starts_with_the_own_send() -> None:
    found = rows(Drill().send("a", seconds=0).send("b", seconds=90).tap("a", 100).tap("b", 100).fold())
    assert (found["a"]["duration_s"], found["a"]["observed"]) == (100.0, True)
    assert (found["b"]["duration_s"], found["b"]["observed"]) == (10.0, True)


def test_a_reminder_or_resend_does_not_start_it_again() -> None:
    drill = Drill().send("a").send("a", seconds=300, attempt="r1").tap("a", 400)
    assert rows(drill.fold())["a"]["duration_s"] == 400.0


def test_the_first_send_that_arrived_counts() -> None:
    drill = Drill().dispatch("intended", "a", 0).dispatch("refused", "a", 1, code="INVALID")
    drill.send("a", seconds=300, attempt="resend1").tap("a", 400)
    assert rows(drill.fold())["a"]["duration_s"] == 100.0


def test_double_tap_the_first_gives_the_time() -> None:
    drill = Drill().send("a").tap("a", 30).tap("a", 20, recorded=31).tap("a", 500)
    found = rows(drill.fold())["a"]
    assert (found["duration_s"], found["observed"], math.isnan(found["late_s"])) == (20.0, True, True)


def test_silent_people_are_censored_at_the_deadline() -> None:
    found = rows(Drill(deadline_s=600).send("a").fold())["a"]
    assert (found["duration_s"], found["observed"]) == (600.0, False)
    assert rows(Drill(deadline_s=600).send("a").fold(deadline_s=60))["a"]["duration_s"] == 60.0


def test_an_answer_on_the_deadline_is_in_time_one_after_it_is_late() -> None:
    found = rows(Drill(deadline_s=600).send("a", "b").tap("a", 600).tap("b", 600.001).fold())
    assert (found["a"]["duration_s"], found["a"]["observed"]) == (600.0, True)
    assert (found["b"]["duration_s"], found["b"]["observed"]) == (600.0, False)
    assert found["b"]["late_s"] == pytest.approx(600.001)
    result = analyse(Drill(deadline_s=600).send("a", "b").tap("a", 600).tap("b", 601).fold()).broadcasts[0]
    assert (result.total.acked, result.total.late, result.total.censored) == (1, 1, 1)


def test_a_message_may_have_a_deadline_of_its_own() -> None:
    drill = Drill(deadline_s=1800).send("a")
    drill.events[0].body["messages"][0]["deadline_s"] = 120
    assert rows(drill.fold())["a"]["duration_s"] == 120.0


def test_the_next_broadcast_to_the_same_person_ends_the_waiting() -> None:
    drill = Drill("b01", "b02").send("a", "b").send("a", seconds=200, message="b02")
    drill.tap("a", 250, "b01").tap("a", 260, "b02")
    first, second = rows(drill.fold()), rows(drill.fold(), "b02")
    assert (first["a"]["duration_s"], first["a"]["observed"], first["a"]["late_s"]) == (200.0, False, 250.0)
    assert first["b"]["duration_s"] == 1800.0  # nothing else was sent to b
    assert (second["a"]["duration_s"], second["a"]["observed"]) == (60.0, True)


def test_the_close_and_the_moment_of_the_analysis_end_it_too() -> None:
    assert rows(Drill().send("a").close(700).fold())["a"]["duration_s"] == 700.0
    assert rows(Drill().send("a").fold(as_of=50))["a"]["duration_s"] == 50.0
    assert rows(Drill().send("a").fold(as_of=None))["a"]["duration_s"] == 0.0  # the latest event: the send
    late = rows(Drill().send("a").close(700).tap("a", 720).fold())["a"]
    assert (late["observed"], late["late_s"]) == (False, 720.0)


def test_an_answer_by_a_clock_ahead_of_the_analysis_is_in_time() -> None:
    found = rows(Drill().send("a", "b").tap("a", 52, recorded=50).fold(as_of=50))
    assert (found["a"]["duration_s"], found["a"]["observed"]) == (52.0, True)
    assert found["b"]["observed"] is False


def test_undelivered_are_in_no_denominator_and_listed_with_the_reason() -> None:
    drill = Drill().person("a", "b", "c", ward="北区").send("a")
    drill.dispatch("intended", "b", 0).dispatch("refused", "b", 1, description="端末なし")
    drill.dispatch("intended", "c", 0).dispatch("unknown", "c", 1).dispatch("settled_absent", "c", 400)
    drill.add("drill.unreachable", "9999", {"reason": "アカウントがありません"}, -40)
    source = drill.fold()
    found = rows(source)
    assert [found[key]["outcome"] for key in "abc"] == ["delivered", "undelivered", "undelivered"]
    assert [found[key]["reason"] for key in "abc"] == ["", "端末なし", "ログに無し"]
    assert math.isnan(found["b"]["duration_s"])
    result = analyse(source).broadcasts[0]
    assert (result.total.recipients, result.total.delivered, result.total.undelivered) == (3, 1, 2)
    assert result.undelivered == ("b", "c")
    assert result.groups["ward"][0].recipients == 3
    assert source.unreachable == {"9999": "アカウントがありません"}


def test_unknown_is_neither_delivered_nor_undelivered() -> None:
    drill = Drill().send("a").dispatch("intended", "b", 0).dispatch("intended", "c", 0)
    drill.dispatch("unknown", "c", 5)
    result = analyse(drill.fold()).broadcasts[0]
    assert (result.total.delivered, result.total.unknown) == (1, 2)
    assert result.unknown == ("b", "c")


def test_an_answer_settles_an_unknown_and_an_export_does() -> None:
    drill = Drill().dispatch("intended", "a", 10).dispatch("unknown", "a", 20).tap("a", 70)
    drill.dispatch("intended", "b", 10).dispatch("unknown", "b", 20)
    drill.dispatch("settled_delivered", "b", 400, issued_at=at(15).isoformat())
    found = rows(drill.fold())
    assert (found["a"]["outcome"], found["a"]["duration_s"]) == ("delivered", 60.0)  # from the intent
    assert (found["b"]["outcome"], found["b"]["duration_s"]) == ("delivered", 1800.0)
    assert found["b"]["sent_at"] == at(15)


def test_an_answer_found_in_the_log_counts_as_one() -> None:
    drill = (
        Drill().send("a").add("ack.found", "a", {"message_id": "b01", "answered_at": at(80).isoformat()}, 900)
    )
    assert rows(drill.fold())["a"]["duration_s"] == 80.0


def test_a_clock_that_runs_behind_gives_zero_and_a_note() -> None:
    with pytest.warns(DataQualityWarning, match="時計のずれ"):
        source = Drill().send("a", seconds=10).tap("a", 9.2).fold()
    assert rows(source)["a"]["duration_s"] == 0.0
    assert len(source.notes) == 1


def test_a_room_reaches_its_members() -> None:
    drill = Drill().person("a", "b", room="r1")
    drill.add("drill.recipient", "c", {"room": "r2"}, -50)
    drill.send("r1", members=["a", "b"]).send("r2", seconds=5).tap("b", 12).tap("c", 12)
    found = rows(drill.fold())
    assert found["a"]["observed"] is False
    assert (found["b"]["duration_s"], found["c"]["duration_s"]) == (12.0, 7.0)


def test_a_message_without_buttons_asks_nothing() -> None:
    drill = Drill("b01", "i01")
    drill.events[0].body["messages"][1]["buttons"] = []
    drill.send("a").send("a", seconds=60, message="i01").tap("a", 90)
    source = drill.fold()
    assert set(source.frame["broadcast_id"]) == set(source.deadlines_s) == {"b01"}
    assert rows(source)["a"]["duration_s"] == 90.0  # the notice in between ended no waiting
    assert "i01" in source.notes[0]
    only = Drill("i01").send("a", message="i01")
    only.events[0].body["messages"][0]["buttons"] = []
    with pytest.raises(AnalysisError, match="応答ボタンのある一斉送信"):
        only.fold()


def test_answers_of_strangers_and_other_drills_count_for_nobody() -> None:
    drill = Drill().send("a").tap("z", 20)
    drill.tap("a", 20, data="bk1|drill=other|m=b01|a=0").tap("a", 21, data="こんにちは")
    assert rows(drill.fold())["a"]["observed"] is False


def test_the_same_button_under_two_messages_answers_the_latest_before_the_tap() -> None:
    drill = Drill("b01", "b02")
    for message in drill.events[0].body["messages"]:
        message["buttons"] = [{"label": "了解", "postback": "ok"}]
    drill.send("a").send("a", seconds=100, message="b02").tap("a", 130, data="ok")
    assert rows(drill.fold())["a"]["observed"] is False
    assert rows(drill.fold(), "b02")["a"]["duration_s"] == 30.0


def test_order_of_the_events_given_does_not_matter() -> None:
    drill = (
        Drill("b01", "b02").person("a", "b").send("a", "b").tap("a", 40).send("b", seconds=50, message="b02")
    )
    straight = drill.fold().frame
    random.Random(7).shuffle(drill.events)
    assert drill.fold().frame.equals(straight)


def test_an_exercise_is_called_one() -> None:
    for kind, title, said in (
        ("exercise", "津波", "【訓練】津波"),
        ("exercise", "【訓練】津波", "【訓練】津波"),
        ("test", "送信", "【試験】送信"),
        ("actual", "津波", "津波"),
    ):
        drill = Drill().send("a")
        drill.events[0].body.update(kind=kind, title=title)
        assert drill.fold().title == said


def test_nothing_sent_or_two_drills_is_an_error_with_a_hint() -> None:
    with pytest.raises(AnalysisError, match="まだ何も送信されていません"):
        Drill().person("a").fold()
    mixed = Drill().send("a").add("drill.planned", "", {}, 0, stream="drill:other")
    with pytest.raises(AnalysisError, match="複数の訓練"):
        mixed.fold()


def test_read_from_the_ledger_with_the_clock_held(tmp_path: Path) -> None:
    async def main() -> None:
        clock = VirtualClock(START)
        async with await Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock) as ledger:
            drill = Drill().person("a", ward="北区").send("a").tap("a", 33)
            for event in drill.events:
                await ledger.append(event.stream, event.kind, event.subject, event.body)
            for held in (None, clock):
                source = await read_drill(
                    ledger, DRILL, as_of=START + timedelta(hours=2), deadline_s=900, clock=held
                )
                found = rows(source)["a"]
                assert (found["duration_s"], found["ward"], found["staff_number"]) == (33.0, "北区", "9a")
                assert source.deadlines_s == {"b01": 900}
            with pytest.raises(AnalysisError, match="台帳にありません"):
                await read_drill(ledger, "nothing", as_of=START)

    asyncio.run(main())
