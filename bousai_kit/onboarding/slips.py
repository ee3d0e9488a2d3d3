"""Hand-outs of a plan, where they lie, and the end of its secret."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bousai_kit.clock import in_thread
from bousai_kit.errors import GuardError, InputError
from bousai_kit.files import write_private
from bousai_kit.ledger import NewEvent
from bousai_kit.onboarding.activation import EXPIRES
from bousai_kit.onboarding.facts import ACTIVATION
from bousai_kit.onboarding.handout_pdf import Slip
from bousai_kit.onboarding.handout_words import load_text
from bousai_kit.onboarding.handouts import Handouts, write_handouts
from bousai_kit.onboarding.items import PersonItem, Plan
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.passwords import PlanSecret, derive_password

if TYPE_CHECKING:
    from bousai_kit.clock import Clock
    from bousai_kit.ledger import Ledger
    from bousai_kit.onboarding.tenant_view import Member

__all__ = [
    "PRINTED",
    "PlanHandouts",
    "WaitingSecret",
    "destroy_secret",
    "handout_files",
    "handouts_for_plan",
    "open_creates",
    "waiting_secrets",
]

PRINTED = "handout.printed"
"""Ledger event: a page of this person (staff number) has been written."""
_MADE = re.compile(r"p(\d{8}-\d{6})-")


@dataclass(frozen=True, slots=True)
class PlanHandouts:
    """What was written.

    Attributes
    ----------
    handouts : Handouts
    not_created : int
        People of the plan who have no page because they have no account.
    applied : bool
        The plan has been applied; before that every new person gets a page.
    invited : int
        People who got an invitation by mail; they have a page only when asked for, without a password.
    spent : int
        Pages without password (or, with `pending_only`, people left out): somebody has logged in with it.
    expired : tuple of str
        Staff numbers of those whose 30 days are over: no page, the password is refused.
    checked : bool
        The members were looked at; else nothing is known of `expired`, and of `spent` what was seen before.
    """

    handouts: Handouts
    not_created: int
    applied: bool
    invited: int = 0
    spent: int = 0
    expired: tuple[str, ...] = ()
    checked: bool = False


async def handouts_for_plan(
    plan: Plan,
    *,
    ledger: Ledger,
    clock: Clock,
    home: Path,
    out: Path,
    font: Path | None = None,
    single: bool = False,
    passphrase: str | None = None,
    covers: bool = False,
    only: Collection[str] = (),
    with_invited: bool = False,
    members: Iterable[Member] | None = None,
    now: datetime | None = None,
    pending_only: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> PlanHandouts:
    """Write one page for each person whom this plan gave an account, by ward or bureau and unit by unit.

    Parameters
    ----------
    only : collection of str
        Staff numbers; default: everybody. They go to a file of their own.
    with_invited : bool
        Pages without password for those who have an invitation by mail, too.
    members : iterable of Member, optional
        The tenant's, read now: who has no account any more, or an expired one, has no page. Whoever has
        logged in, now or as seen before, has a page without the password.
    now : datetime, optional
        When `members` were read; needed to know who has expired.
    pending_only : bool
        No page for those who have logged in.

    Raises
    ------
    ConfigError
        The secret is not in this home or has been ended; the city's words cannot be used.
    InputError
        `only` names somebody to whom this plan gives no account.
    """
    journal = Journal(ledger, plan.plan_id)
    await journal.refresh()
    applied = journal.planned is not None
    text = load_text(home)
    chosen = _chosen(plan, only, with_invited=with_invited)
    wanted = [one for one in chosen if not applied or journal.done(_step(one))]
    not_created = len(chosen) - len(wanted)
    seen = {event.subject for event in await ledger.read(stream=ACTIVATION, kinds=("activation.seen",))}
    spent = {one.person.staff_number for one in plan.creates if journal.id(_step(one)) in seen}
    expired: set[str] = set()
    if members is not None and applied:
        states = {member.key: member for member in members if member.key and not member.deleted}
        spent |= {number for number, member in states.items() if not member.pending}
        if now is not None:
            expired = await _expired(ledger, journal, states, now)
        there = [one for one in wanted if one.person.staff_number in states]
        not_created += len(wanted) - len(there)
        wanted = [one for one in there if one.person.staff_number not in expired]
    said = spent & {one.person.staff_number for one in wanted}
    gone = tuple(sorted(expired & {one.person.staff_number for one in chosen}))
    if pending_only:
        wanted = [one for one in wanted if one.person.staff_number not in said]
    facts = PlanHandouts(
        Handouts((), 0), not_created, applied, len(plan.invited), len(said), gone, members is not None
    )
    if not wanted:
        return facts
    slips = _slips(plan, wanted, PlanSecret(home, plan.plan_id, plan.home_mark), journal, said)
    name = "handouts-again" if only else "handouts"
    stop = threading.Event()

    def tell(done: int, total: int) -> None:
        if stop.is_set():
            raise InterruptedError
        if progress is not None:
            progress(done, total)

    def write() -> Handouts:
        options = {"font": font, "single": single, "passphrase": passphrase, "covers": covers, "name": name}
        return write_handouts(slips, out, text=text, progress=tell, **options)  # type: ignore[arg-type]

    # before: a kill leaves none of them unknown
    await in_thread(clock, lambda: _note_files(home, plan.plan_id, [out]))
    try:
        written = await in_thread(clock, write)
    except asyncio.CancelledError:
        stop.set()  # the thread ends at the next part, and leaves no file
        raise
    await _printed(ledger, journal.stream, wanted)
    return PlanHandouts(
        written, not_created, applied, facts.invited, facts.spent, facts.expired, facts.checked
    )


def _chosen(plan: Plan, only: Collection[str], *, with_invited: bool) -> list[PersonItem]:
    """Whose pages are asked for, in the order of the units; one liaison's people in a row."""
    order = {unit.code: place for place, unit in enumerate(plan.units)}
    items = plan.creates if with_invited or only else plan.on_paper
    unknown = sorted(set(only) - {one.person.staff_number for one in plan.creates})
    if unknown:
        raise InputError(
            f"職員番号 {'、'.join(unknown[:5])} は、この計画で登録する人の中にいません。",
            hint="職員番号を確かめてください。すでに登録済みだった人のパスワードは、管理画面で再発行します。",
        )
    chosen = [one for one in items if not only or one.person.staff_number in only]
    by_unit = sorted(chosen, key=lambda one: order.get(one.person.orgunit_code, len(order)))
    groups = {group: place for place, group in enumerate(dict.fromkeys(map(_group, by_unit)))}
    return sorted(by_unit, key=lambda one: groups[_group(one)])


def _group(item: PersonItem) -> str:
    """Whose liaison hands the page out: as with reminders."""
    return item.person.ward or item.person.bureau


def _slips(
    plan: Plan, wanted: Sequence[PersonItem], secret: PlanSecret, journal: Journal, spent: set[str]
) -> list[Slip]:
    names = {unit.code: unit.name for unit in plan.units}
    paper = [one.person.staff_number for one in wanted if not plan.by_mail(one.person)]
    with_password = set(paper) - spent
    made = journal.planned is not None or journal.secret_ended
    key = secret.obtain(made=made) if paper else b""  # one that has been ended ends the pages
    return [
        Slip(
            key=one.person.staff_number,
            name=one.person.name,
            login_id=one.person.login_id,
            password=derive_password(key, plan.plan_id, one.person.staff_number)
            if one.person.staff_number in with_password
            else "",
            device_os=one.person.device_os,
            unit=names.get(one.person.orgunit_code) or one.person.orgunit_name,
            position=one.person.position,
            spent=one.person.staff_number in spent,
            group=_group(one),
        )
        for one in wanted
    ]


async def _expired(ledger: Ledger, journal: Journal, states: dict[str, Member], now: datetime) -> set[str]:
    """Those of this plan who have not logged in for 30 days."""
    events = await ledger.read(stream=journal.stream, kinds=("user.created",))
    made = {str(event.body.get("staff_number", "")): event.recorded_at for event in events}
    return {
        number
        for number, at in made.items()
        if number in states and states[number].pending and now - at >= EXPIRES
    }


async def _printed(ledger: Ledger, stream: str, wanted: Sequence[PersonItem]) -> None:
    for first in range(0, len(wanted), 500):
        people = [one.person.staff_number for one in wanted[first : first + 500]]
        await ledger.append_many([NewEvent(stream, PRINTED, number, {}) for number in people])


def _step(item: PersonItem) -> str:
    return f"user.create:{item.person.staff_number}"


# -- where they lie -----------------------------------------------------------------------------------


def _note_files(home: Path, plan_id: str, folders: Iterable[Path]) -> None:
    """Keep in mind in which folders pages with passwords have been written."""
    path = home / "plans" / f"{plan_id}.handouts"
    known = _folders(path)
    merged = list(dict.fromkeys([*known, *(str(folder.absolute()) for folder in folders)]))
    if merged != known:
        write_private(path, json.dumps(merged, ensure_ascii=False).encode())


def _folders(path: Path) -> list[str]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, list):
            return [str(one) for one in found]
    return []


def handout_files(home: Path, plan_id: str = "*") -> list[Path]:
    """Files with initial passwords that are still where the kit has put them, half written ones included.

    Parameters
    ----------
    plan_id : str
        Of one plan; default: of all plans of this home.
    """
    notes = sorted((home / "plans").glob(f"{plan_id}.handouts"))
    folders = {Path(one) for note in notes for one in _folders(note)}
    folders |= {one for one in (home / "handouts").glob(plan_id) if one.is_dir()}
    found: set[Path] = set()
    for folder in folders:
        for pattern in ("handouts*.pdf", "handouts*.zip", ".handouts*.part"):
            with contextlib.suppress(OSError):
                found |= {path for path in folder.glob(pattern) if path.is_file()}
    return sorted(found)


# -- the secret -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WaitingSecret:
    """A secret from which passwords can still be derived.

    Attributes
    ----------
    age : timedelta or None
        Since the plan was applied (or made); None: nobody knows.
    """

    plan_id: str
    age: timedelta | None


async def waiting_secrets(ledger: Ledger, home: Path, *, now: datetime) -> list[WaitingSecret]:
    """Secrets of this home that have not been ended, oldest first."""
    paths = [*(home / "plans").glob("*.secret"), *(home / "plans").glob("*.ending")]
    if not paths:
        return []
    events = await ledger.read(prefix="apply:", kinds=("apply.planned",))
    began = {event.stream.removeprefix("apply:"): event.recorded_at for event in events}
    found = []
    for plan_id in sorted({path.stem for path in paths}):
        at = began.get(plan_id)
        said = _MADE.match(plan_id)
        if at is None and said is not None:
            with contextlib.suppress(ValueError):
                at = datetime.strptime(said[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
        found.append(WaitingSecret(plan_id, None if at is None else max(timedelta(), now - at)))
    return sorted(found, key=lambda one: one.age or timedelta(), reverse=True)


def open_creates(plan: Plan, journal: Journal, later: Collection[str] = ()) -> list[str]:
    """Staff numbers whose account has yet to be made, or of which nobody knows.

    Parameters
    ----------
    later : collection of str
        Whom a later apply is about: what this plan has not begun for them is no longer its to do.
    """
    if journal.undone:
        return []
    waiting = []
    for item in plan.creates:
        number, state = item.person.staff_number, journal.state(_step(item))
        if number not in later if state is None else state.status not in ("done", "failed"):
            waiting.append(number)
    return waiting


async def _later(plan: Plan, journal: Journal) -> set[str]:
    """Whom applies are about that began after all that this plan has done."""
    since = max((state.at for state in journal.states.values()), default=plan.made_at)
    events = await journal.ledger.read(prefix="apply:", kinds=("apply.person",))
    return {one.subject for one in events if one.stream != journal.stream and one.recorded_at > since}


async def destroy_secret(plan: Plan, *, ledger: Ledger, home: Path) -> bool:
    """End the secret of a plan's passwords: afterwards nobody can derive them.

    Returns
    -------
    bool
        False: it had been ended before, or the plan has no passwords.

    Raises
    ------
    GuardError
        An account of the plan is still to be made, or unknown.
    ConfigError
        The secret is not in this home.
    """
    journal = Journal(ledger, plan.plan_id)
    await journal.refresh()
    secret = PlanSecret(home, plan.plan_id, plan.home_mark)
    if not (plan.on_paper or secret.left_over) or (journal.secret_ended and not secret.left_over):
        return False
    later = await _later(plan, journal)
    _refuse_open(plan, journal, later)
    if not secret.left_over:
        secret.read()  # says that it is not here
    with secret.ending():  # whoever intends a create from now on finds no secret
        await journal.refresh()
        _refuse_open(plan, journal, later)
        await ledger.append(journal.stream, "secret.ended", once=f"{journal.stream}|secret.ended")
    return True


def _refuse_open(plan: Plan, journal: Journal, later: Collection[str]) -> None:
    waiting = open_creates(plan, journal, later)
    if waiting:
        raise GuardError(
            f"まだ登録が終わっていない人が {len(waiting):,} 名いるため、秘密を破棄できません。",
            hint="`bousai onboard apply` を最後まで実行してから、もう一度実行してください。",
        )
