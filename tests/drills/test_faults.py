"""A service that fails, and a kit that dies: nobody gets anything twice, nobody is lost in silence."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.drills import Conductor, drill_status
from bousai_kit.ledger import Ledger
from bousai_kit.lineworks.client import LineWorksClient, Shared
from bousai_kit.sandbox.faults import Fault
from bousai_kit.workbench import Workbench
from tests.drills import stage
from tests.drills.stage import (
    SAFETY,
    answered,
    bench_of,
    check_truth,
    conduct,
    found,
    got,
    plan,
    settle,
    state_of,
)

TEXT = "【訓練】震度6弱を想定した安否確認です。"
SENDS = "messages.*"
STORMS: dict[str, list[Fault]] = {
    "500 before": [Fault("500", on=SENDS, probability=0.2)],
    "500 after": [Fault("500", on=SENDS, probability=0.2, after=True)],
    "503 after": [Fault("503", on=SENDS, every=4, after=True)],
    "dropped": [Fault("drop", on=SENDS, probability=0.25)],
    "refused": [Fault("refuse", on=SENDS, probability=0.3)],
    "no network at first": [Fault("refuse", on=SENDS, until_s=40.0)],
    "429 storm": [Fault("429", on=SENDS, until_s=100.0)],
    "token gone": [Fault("revoke", on=SENDS, nth=(5, 30))],
    "moved": [Fault("redirect", on=SENDS, every=6)],
    "slow": [Fault("slow", on=SENDS, every=6, seconds=40.0)],
    "slow after": [Fault("slow", on=SENDS, every=5, seconds=40.0, after=True)],
    "answers lost": [Fault("lost", on="message", probability=0.5)],
    "answers twice, late, overtaking": [
        Fault("duplicate", on="message", probability=0.4),
        Fault("delay", on="message", probability=0.4, seconds=200.0),
        Fault("reorder", on="message", probability=0.3),
    ],
    "everything": [
        Fault("drop", on=SENDS, probability=0.1),
        Fault("500", on=SENDS, probability=0.1),
        Fault("503", on=SENDS, probability=0.1, after=True),
        Fault("refuse", on=SENDS, probability=0.1),
        Fault("429", on=SENDS, probability=0.1, times=3),
        Fault("lost", probability=0.3),
        Fault("duplicate", probability=0.3),
        Fault("truncate", nth=(1, 2)),
    ],
}


def storm(name: str) -> list[Fault]:
    return [
        Fault(
            **{
                field: getattr(one, field)
                for field in Fault.__dataclass_fields__
                if field not in ("seen", "done")
            }
        )
        for one in STORMS[name]
    ]


async def until_all_is_known(bench: Workbench, drill_id: str, *, turns: int = 6) -> None:
    """Settle and resume, as an operator does; the truth is looked at after every step."""
    for _ in range(turns):
        before = sum(got(bench, TEXT).values())
        settled = await settle(bench, drill_id)
        assert sum(got(bench, TEXT).values()) == before, "settle never sends"
        check_truth(bench, await state_of(bench, drill_id))
        if not settled.unknown and settled.sent == settled.recipients:
            break
        await conduct(bench, drill_id, wait=False)
        check_truth(bench, await state_of(bench, drill_id))
    state = await state_of(bench, drill_id)
    assert state.open_attempts() == []
    assert got(bench, TEXT) == dict.fromkeys(state.people, 1)


@pytest.mark.parametrize(
    ("name", "seed"), [*((name, 1) for name in STORMS), *(("everything", n) for n in (2, 3))]
)
def test_storms(tmp_path: Path, name: str, seed: int) -> None:
    async def run() -> None:
        found(tmp_path / "home", 16, seed=seed)
        async with bench_of(tmp_path / "home", *storm(name), seed=seed) as bench:
            scenario = SAFETY + "reminders: [{after_s: 300, max: 1}]\ndeadline_s: 900\n"
            made = await plan(bench, scenario, stage.sample_roster(16))
            result = await conduct(bench, made.drill_id)
            check_truth(bench, await state_of(bench, made.drill_id))
            assert result.sent + len(result.refused) <= result.recipients
            await until_all_is_known(bench, made.drill_id)
            state = await state_of(bench, made.drill_id)
            truth = answered(bench, made.drill_id, "b01")
            assert {user for (_, user), reach in state.reaches.items() if reach.answer is not None} <= set(
                truth
            )
            if name in ("answers lost", "everything"):  # the log brings what no callback brought
                seen = {user for (_, user), reach in state.reaches.items() if reach.answer is not None}
                assert len(seen) >= 0.9 * len(truth)

    asyncio.run(run())


def test_a_room_of_errors_ends_with_a_list_and_not_with_an_exception(tmp_path: Path) -> None:
    async def run() -> None:
        found(tmp_path / "home", 12)
        async with bench_of(tmp_path / "home", Fault("refuse", on=SENDS)) as bench:
            made = await plan(bench)
            result = await conduct(bench, made.drill_id)
            assert (result.sent, len(result.refused), result.ok) == (0, result.recipients, False)
            assert {one["code"] for one in result.refused} == {"TransportFailed"}
            bench.sandbox.faults.faults.clear()  # type: ignore[union-attr]
            assert (await conduct(bench, made.drill_id, wait=False)).sent == made.recipients
            check_truth(bench, await state_of(bench, made.drill_id))

    asyncio.run(run())


def test_a_log_that_is_late_calls_nothing_absent(tmp_path: Path) -> None:
    async def run() -> None:
        found(tmp_path / "home", 24)
        async with bench_of(tmp_path / "home", Fault("drop", on=SENDS, every=4)) as bench:
            sandbox: Any = bench.sandbox
            sandbox.choices = type(sandbox.choices)(log_delay_s=5000.0)
            made = await plan(bench, SAFETY + "deadline_s: 60\n")
            result = await conduct(bench, made.drill_id)
            assert result.unknown
            settled = await settle(bench, made.drill_id)
            assert (
                len(settled.unknown)
                == len([one for one in settled.unknown if one["message_id"] == "b01"])
                > 0
            )
            assert "不明のまま" in settled.notes[-1]
            await bench.clock.sleep(6000)
            assert (await settle(bench, made.drill_id)).unknown == ()
            check_truth(bench, await state_of(bench, made.drill_id))

    asyncio.run(run())


def test_of_a_real_one_what_is_unknown_goes_out_again_and_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        found(tmp_path / "home", 24)
        async with bench_of(tmp_path / "home", Fault("500", on=SENDS, every=5, times=4)) as bench:
            scenario = SAFETY.replace("exercise", "actual").replace("【訓練】", "")
            made = await plan(bench, scenario + "resend_after_s: 60\ndeadline_s: 300\n")
            from bousai_kit.drills import approve_drill

            await approve_drill(bench.ledger, made.drill_id, clock=bench.clock, approved_by="900009")
            result = await conduct(bench, made.drill_id)
            assert (result.sent, result.unknown) == (result.recipients, ())
            plain, again = (
                got(bench, TEXT.removeprefix("【訓練】")),
                got(bench, "【再送】" + TEXT.removeprefix("【訓練】")),
            )
            assert len(again) == 4
            assert set(plain) | set(again) == {one.user_id for one in made.people}
            assert max(plain.values()) == max(again.values()) == 1
            state = await state_of(bench, made.drill_id)
            late = [one for one in state.attempts.values() if one.attempt == "resend1"]
            assert all((one.intended_at - stage.BEGINNING).total_seconds() >= 60 for one in late)

    asyncio.run(run())


def test_what_waited_too_long_for_its_turn_does_not_leave_any_more(tmp_path: Path) -> None:
    """Another machine on the same ledger (no lock in common) has called it absent and sent it again."""

    async def run() -> None:
        found(tmp_path / "home", 8)
        async with bench_of(tmp_path / "home", Fault("429", on=SENDS, until_s=420.0)) as bench:
            made = await plan(bench, SAFETY + "deadline_s: 60\n", stage.sample_roster(8))
            first = asyncio.create_task(conduct(bench, made.drill_id, wait=False))
            await bench.clock.sleep(10.0)
            assert (await state_of(bench, made.drill_id)).open_attempts(), (
                "intended, and waiting for its turn"
            )
            await settle(bench, made.drill_id, home=None)
            other = LineWorksClient(
                bench.client._exchange._http,
                account=bench.client.auth._account,
                api_url=bench.client._exchange._api,
                auth_url=bench.client._exchange._token_url.removesuffix("/token"),
                domain_id=bench.domain_id,
                clock=bench.clock,
                random=random.Random(2),
                shared=Shared(clock=bench.clock),
            )
            again = Conductor(
                drill_id=made.drill_id, client=other, ledger=bench.ledger, bot_id=bench.bot_id, home=None
            )
            await again.run(wait=False)
            await first
            await until_all_is_known(bench, made.drill_id)
            assert got(bench, TEXT) == dict.fromkeys((one.user_id for one in made.people), 1)
            check_truth(bench, await state_of(bench, made.drill_id))
            await other.aclose()

    asyncio.run(run())


# -- the kit dies ---------------------------------------------------------------------------------------


class Killed(BaseException):
    """From here on this process does nothing any more."""


class Mortal:
    """Counts every point at which a process could die, and dies at one of them."""

    def __init__(self, at: int, die: Callable[[], None] | None = None) -> None:
        self.at, self.count, self.dead, self.die = at, 0, False, die
        self.life: asyncio.Task[None] | None = None

    def point(self) -> None:
        self.count += 1
        if self.count >= self.at or self.dead:
            if self.die is not None:
                self.die()
            if not self.dead and self.life is not None:
                asyncio.get_running_loop().call_soon(self.life.cancel)  # nobody waits for a dead one
            self.dead = True
            raise Killed


class MortalLedger:
    """The real ledger, with a chance to die before and after each commit."""

    def __init__(self, real: Ledger, mortal: Mortal) -> None:
        self._real, self._mortal = real, mortal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def append(self, stream: str, *args: Any, **more: Any) -> Any:
        self._mortal.point()
        written = await self._real.append(stream, *args, **more)
        self._mortal.point()
        return written

    async def append_many(self, events: Any) -> Any:
        if events and events[0].stream == "callbacks":  # the receiver of the same process
            if self._mortal.dead:
                return [None] * len(events)  # nobody is there; the service does not send it again
            return await self._real.append_many(events)
        self._mortal.point()
        written = await self._real.append_many(events)
        self._mortal.point()
        return written


def make_mortal(bench: Workbench, mortal: Mortal) -> None:
    bench.ledger = MortalLedger(bench.ledger, mortal)  # type: ignore[assignment]
    exchange = bench.client._exchange
    real = exchange.run

    async def run(*args: Any, **more: Any) -> Any:
        mortal.point()
        answer = await real(*args, **more)
        mortal.point()
        return answer

    exchange.run = run  # type: ignore[method-assign]


SHORT = SAFETY + "deadline_s: 120\nreminders: [{after_s: 45, max: 1}]\n"


async def live_until(
    home: Path, at: int, *faults: Fault, die: Callable[[], None] | None = None
) -> tuple[str, bool]:
    """One life: plan, run, settle, resume; the drill's id ("" if it came to none) and whether it lived on."""
    drill_id = ""
    async with bench_of(home, *faults) as bench:
        mortal = Mortal(at, die)
        make_mortal(bench, mortal)

        async def life() -> None:
            nonlocal drill_id
            drill_id = (await plan(bench, SHORT, stage.sample_roster(10))).drill_id
            await conduct(bench, drill_id)
            await settle(bench, drill_id)
            await conduct(bench, drill_id, wait=False)

        mortal.life = asyncio.create_task(life())
        try:
            await mortal.life
        except (Killed, asyncio.CancelledError):
            pass
        finally:
            bench.ledger = bench.ledger._real  # type: ignore[attr-defined]
    return drill_id, not mortal.dead


async def judge(home: Path) -> None:
    """Another life takes it up and brings it to its end."""
    async with bench_of(home) as bench:
        made = await plan(bench, SHORT, stage.sample_roster(10))
        await conduct(bench, made.drill_id)
        check_truth(bench, await state_of(bench, made.drill_id))
        await until_all_is_known(bench, made.drill_id)
        assert (await drill_status(bench.ledger, made.drill_id)).sent == made.recipients
        assert (await bench.ledger.verify()).ok


@pytest.mark.parametrize("part", range(4))
def test_abandoned_at_any_point_and_taken_up_again(tmp_path: Path, part: int) -> None:
    """Dies at drawn points, up to three times in a row, with a service that drops every ninth answer."""
    chance = random.Random(f"lives {part}")

    async def run() -> None:
        for turn in range(3):
            home = tmp_path / str(turn) / "home"
            found(home, 10, seed=part + 1)
            for _ in range(chance.randint(1, 3)):
                await live_until(home, chance.randint(1, 75), Fault("drop", on=SENDS, every=9))
            await judge(home)

    asyncio.run(run())


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 needs fork")
@pytest.mark.parametrize("point", [3, 9, 12, 17, 20, 26, 31, 38, 47, 55])
def test_killed_by_the_system_and_taken_up_again(tmp_path: Path, point: int) -> None:
    home = tmp_path / "home"
    found(home, 10)
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(live_until(home, point, die=lambda: os.kill(os.getpid(), signal.SIGKILL)))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it was to be killed in the middle"
    asyncio.run(judge(home))
