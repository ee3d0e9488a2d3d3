"""Take an apply back, as far as the platform can; what it cannot is said first (`undo_plan`).

At once (`undo_apply`), or as a plan that a second person reads before it is carried out (`plan_undo`,
`undo_file`, `carry_undo`). Either way the tenant is looked at anew before anything is taken back.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import GuardError, InputError
from bousai_kit.onboarding.carry import LOOK_AROUND_S, WORKERS, Carrier, Tell
from bousai_kit.onboarding.estimate import estimate_s, phase_s
from bousai_kit.onboarding.journal import AT_ONCE, Journal, State
from bousai_kit.onboarding.living import Living
from bousai_kit.onboarding.plan_file import content_digest, kept_plan
from bousai_kit.onboarding.steps import GIVEN_UP_S
from bousai_kit.onboarding.tenant_view import TenantView, read_tenant
from bousai_kit.onboarding.undo_drift import came_true, check_undo_drift
from bousai_kit.onboarding.undo_file import check_undo_place, name_undo
from bousai_kit.onboarding.undo_items import UndoPlan
from bousai_kit.onboarding.undo_plan import build_undo
from bousai_kit.onboarding.undo_steps import UndoWork
from bousai_kit.onboarding.unsettled import SURE

if TYPE_CHECKING:
    from bousai_kit.clock import Clock
    from bousai_kit.ledger import Ledger
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = ["UndoPlan", "UndoResult", "build_undo", "carry_undo", "plan_undo", "undo_apply"]

_MADE = ("step.done", "step.settled_done")
_UNDO_ID = re.compile(r"u\d{8}-\d{6}-[0-9a-f]{8}")
_STILL_AT_WORK = timedelta(seconds=90)
_ON_THE_LINE = timedelta(seconds=GIVEN_UP_S)


@dataclass(frozen=True, slots=True)
class UndoResult:
    """What one run took back.

    Attributes
    ----------
    apply_id, undo_id : str
    undone, skipped : int
        Steps done in this run; steps that earlier runs had done.
    failed : tuple of dict
        ``step, row, staff_number, reason``: what could not be taken back, or may not have been.
    unknown : tuple of dict
        Those of them of which nobody knows.
    impossible : tuple of dict
        ``subject, reason``.
    left : int
        Steps that a stop kept from being reached, or that the apply ended meanwhile.
    """

    apply_id: str
    undone: int
    failed: tuple[dict[str, Any], ...] = ()
    impossible: tuple[dict[str, str], ...] = ()
    elapsed_s: float = 0.0
    left: int = 0
    skipped: int = 0
    unknown: tuple[dict[str, Any], ...] = ()
    undo_id: str = ""

    @property
    def complete(self) -> bool:
        """Nothing is left of what can be taken back."""
        return not (self.failed or self.left)

    def as_json(self) -> dict[str, Any]:
        """The keys of ``onboard undo --json``."""
        return {
            "apply_id": self.apply_id,
            "undo_id": self.undo_id,
            "undone": self.undone,
            "failed": list(self.failed),
            "impossible": list(self.impossible),
            "elapsed_s": self.elapsed_s,
            "left": self.left,
            "skipped": self.skipped,
        }

    def as_apply_json(self) -> dict[str, Any]:
        """With the keys of ``onboard apply --json`` as well."""
        failed = [one for one in self.failed if one not in self.unknown]
        return {**self.as_json(), "done": self.undone, "failed": failed, "unknown": list(self.unknown)}


@dataclass(frozen=True, slots=True)
class _Sight:
    """What was seen: the undo as it would be planned now, and what it was made from."""

    undo: UndoPlan
    view: TenantView
    applied: Journal
    journal: Journal
    living: Living

    def at_work(self, now: datetime) -> bool:
        """Something that the apply has begun may still be on its way."""
        return any(self._on_its_way(state, now) for state in self.applied.states.values())

    def _on_its_way(self, state: State, now: datetime) -> bool:
        age = abs(now - state.at)
        if state.status != "open" or age >= _STILL_AT_WORK:
            return False
        return age < _ON_THE_LINE or not self.living.is_over(state.run)


async def plan_undo(
    apply_id: str, *, client: LineWorksClient, ledger: Ledger, home: Path, domain_id: int
) -> UndoPlan:
    """Look at what an undo would do; changes nothing.

    Raises
    ------
    InputError
        This home knows no such apply.
    GuardError
        It is another tenant's, or an undo itself.
    """
    sight = await _look(apply_id, client=client, ledger=ledger, home=home, domain_id=domain_id)
    return sight.undo


async def carry_undo(
    planned: UndoPlan,
    *,
    client: LineWorksClient,
    ledger: Ledger,
    clock: Clock,
    home: Path,
    domain_id: int,
    stop: asyncio.Event | None = None,
    tell: Tell | None = None,
) -> UndoResult:
    """Carry a planned undo out; the same call again goes on with what is left.

    Parameters
    ----------
    planned : UndoPlan
        From `plan_undo`, or from a file. What is done is looked up anew and must be the same.
    stop : asyncio.Event, optional
        Once set, what is under way is finished and nothing more is begun.
    tell : callable, optional
        Told steps ended, all steps, and what is being done.

    Raises
    ------
    GuardError
        It is another tenant's, or the tenant has drifted since it was planned: nothing was taken back.
    ConfigError
        It was made in another home.
    InputError
        This home knows no such apply.
    LineWorksError
        Something that every step would meet; what had been done is in the ledger.
    """
    check_undo_place(planned, home=home, domain_id=domain_id)
    began = clock.monotonic()
    if tell is not None:
        tell(0, 0, "テナントの状態を確認しています…")
    sight = await _look(planned.apply_id, client=client, ledger=ledger, home=home, domain_id=domain_id)
    if planned.plan_sha256 != sight.undo.plan_sha256:
        raise GuardError(
            "取り消しの計画が、この登録のものではありません。何も変更していません。",
            hint=f"`bousai onboard undo {planned.apply_id} --out UNDO.json` で作り直してください。",
        )
    check_undo_drift(planned, sight.undo, sight.journal)
    return await _carry(sight, planned.undo_id, client, clock, began, stop, tell)


async def undo_apply(
    apply_id: str,
    *,
    client: LineWorksClient,
    ledger: Ledger,
    clock: Clock,
    home: Path,
    domain_id: int,
    stop: asyncio.Event | None = None,
    tell: Tell | None = None,
) -> UndoResult:
    """Plan an undo and carry it out; the same call again goes on with what is left.

    Raises
    ------
    InputError, GuardError
        See `plan_undo`.
    LineWorksError
        Something that every step would meet; what had been done is in the ledger.
    """
    began = clock.monotonic()
    sight = await _look(apply_id, client=client, ledger=ledger, home=home, domain_id=domain_id)
    return await _carry(sight, sight.undo.undo_id, client, clock, began, stop, tell)


async def _look(
    apply_id: str, *, client: LineWorksClient, ledger: Ledger, home: Path, domain_id: int
) -> _Sight:
    if _UNDO_ID.fullmatch(apply_id):
        raise GuardError(
            "取り消しを取り消すことはできません。",
            hint="元に戻すには、名簿から `bousai onboard plan` で新しい計画を作って実行してください"
            "（削除から 7 日以内の人は復元されます）。",
        )
    plan = kept_plan(home, apply_id)
    if plan.domain_id != domain_id:
        raise GuardError("この登録は別のテナント（ドメイン）のものです。何も変更していません。")
    applied, journal = Journal(ledger, apply_id), Journal(ledger, apply_id, undo=True)
    await applied.refresh()
    if applied.planned is None:
        raise InputError(
            f"登録 {apply_id} は台帳にありません。",
            hint="ID を確かめてください（`onboard apply` の結果にあります）。",
        )
    digest = str(applied.planned.get("plan_sha256"))
    if content_digest(plan) != digest:
        raise GuardError(
            f"このフォルダにある計画 {apply_id} は、実行されたものと内容が違います。何も変更していません。",
            hint="登録を実行した BOUSAI_HOME の控え（plans フォルダ）を確かめてください。",
        )
    await journal.refresh()  # before the view: what is done by now and yet there was brought back
    done = {step: state.at for step, state in journal.states.items() if state.status == "done"}
    view = await read_tenant(client, domain_id=domain_id, ledger=ledger, bot_id=plan.bot_id)
    await applied.refresh()  # after it: whatever is seen in it has its intent here
    await journal.refresh()
    unsure = any(".create:" in key and not state.id for key, state in applied.states.items())
    undo = build_undo(
        plan,
        view,
        applied,
        elsewhere=await _made_elsewhere(ledger, applied.stream) if unsure else set(),
        left_since={step.partition(":")[2] for step in journal.states if step.startswith("room.leave:")},
        undone={step for step, at in done.items() if view.read_at - at > SURE},
        settling={step for step, at in done.items() if view.read_at - at <= SURE},
    )
    undo.domain_id, undo.made_at, undo.plan_sha256 = domain_id, view.read_at, digest
    sight = _Sight(undo, view, applied, journal, Living(home, apply_id, journal.run))
    undo.notes += await _notes(sight)
    calls, reading = undo.count_calls(), max(1, view.requests)
    undo.calls = sum(calls.values()) + reading
    undo.eta_s = estimate_s(calls, reading=reading, per_minute=view.per_minute, limits={})
    return replace(sight, undo=name_undo(undo, home))


async def _made_elsewhere(ledger: Ledger, stream: str) -> set[str]:
    """Ids of what other applies than this one have made."""
    found: set[str] = set()
    after = 0
    while events := await ledger.read(after=after, prefix="apply:", kinds=_MADE, limit=AT_ONCE):
        for event in events:
            after = event.seq
            if event.stream != stream and ".create:" in event.subject:
                found.add(str(event.body.get("id", "")))
    return found - {""}


async def _notes(sight: _Sight) -> list[str]:
    undo, applied, notes = sight.undo, sight.applied, []
    if not applied.undone and sight.at_work(sight.view.read_at):
        notes.append(
            "この登録は、いまも別の画面で実行されているかもしれません。止めてから取り消してください。"
        )
    lost = {key for key, _ in applied.in_doubt if key.startswith("user.create:")}
    lost = {key for key in lost if not applied.done(key) and not _shown(key, sight)}
    if lost:
        notes.append(
            f"登録できたか分からない {len(lost):,} 名は、いまはテナントに見えません。"
            "後から現れることがあるため、10 分ほどたってから、もう一度取り消してください。"
        )
    pages = await applied.ledger.read(stream=applied.stream, kinds=("handout.printed",))
    printed = {event.subject for event in pages} & {undo.labels.get(one) for one in undo.delete}
    if printed:
        notes.append(
            f"削除する人のうち {len(printed):,} 名分の配付資料（初期パスワードの紙）が作られています。"
            "渡した紙を回収し、残っている紙とファイルを破棄してください。"
        )
    return notes


def _shown(step: str, sight: _Sight) -> bool:
    """The tenant shows who was to be created, or it is too late for that."""
    old = abs(sight.view.read_at - sight.applied.states[step].at) >= SURE
    return old or sight.view.member_by_key(step.partition(":")[2]) is not None


async def _carry(
    sight: _Sight,
    undo_id: str,
    client: LineWorksClient,
    clock: Clock,
    began: float,
    stop: asyncio.Event | None,
    tell: Tell | None,
) -> UndoResult:
    undo, applied, journal = sight.undo, sight.applied, sight.journal
    known = {key: (state.at, state.status) for key, state in applied.states.items()}
    ledger, stream = journal.ledger, journal.stream
    await ledger.append(stream, "undo.begun", body={"undo_id": undo_id}, once=f"{stream}|undo.begun")
    await journal.refresh()
    await _settle(sight)
    before = sum(state.status == "done" for state in journal.states.values())
    work = UndoWork(undo, sight.view, client)
    total, foreseen = 0, {}
    for title, steps, _ in work.phases():
        keys = [step.key for step in steps()]
        total += len(keys)
        left = (key for key in keys if not journal.done(key))
        foreseen[title] = phase_s(left, lambda operation: client.gate.pacer(operation).limit)
    carrier = Carrier(
        journal, clock=clock, stop=stop, tell=tell, total=total, foreseen=foreseen, undoing=True
    )
    for title, steps, workers in work.phases():
        await carrier.phase(title, steps(), workers=workers or WORKERS)
    await applied.refresh()
    while sight.at_work(clock.now()) and not carrier.stopped:  # it hears of the undo and ends what it began
        if tell is not None:
            tell(total, total, "実行中の登録が止まるのを待っています…")
        await clock.sleep(LOOK_AROUND_S)
        await applied.refresh()
    since = sum(known.get(key) != (state.at, state.status) for key, state in applied.states.items())
    since = max(since, sight.at_work(clock.now()))  # told not to wait
    unknown = tuple(_named(one, undo) for one in carrier.unknown)
    result = UndoResult(
        apply_id=undo.apply_id,
        undone=carrier.done,
        failed=(*(_named(one, undo) for one in carrier.failed), *unknown),
        impossible=tuple(undo.impossible),
        elapsed_s=clock.monotonic() - began,
        left=carrier.left + since,
        skipped=before + carrier.skipped,
        unknown=unknown,
        undo_id=undo_id,
    )
    said = {"undo_id": undo_id, "undone": result.undone, "impossible": len(undo.impossible)}
    how = "ended" if result.complete else "stopped" if result.left else "failed"
    await ledger.append(stream, f"undo.{how}", body=said)
    return result


async def _settle(sight: _Sight) -> None:
    """What an earlier run began, and is not planned any more because it took effect, gets its outcome."""
    planned, journal = sight.undo.steps(), sight.journal
    for step, state in list(journal.states.items()):
        if state.status in ("open", "unknown") and step not in planned:
            true = came_true(step, sight.view)
            if true is not None:
                made = {"id": step.rpartition(":")[2]} if true else {}
                await journal.end(step, "settled_done" if true else "settled_absent", **made)


def _named(entry: dict[str, Any], undo: UndoPlan) -> dict[str, Any]:
    """A step that failed, with the staff number of the person."""
    kind, _, rest = str(entry["step"]).partition(":")
    number = undo.labels.get(rest.rpartition(":")[2]) if kind.startswith(("user.", "group.member")) else None
    return {**entry, "staff_number": number or None}
