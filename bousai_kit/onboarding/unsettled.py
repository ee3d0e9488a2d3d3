"""Accounts that some apply may have made without the tenant showing them yet.

A create whose answer was lost, or that has just been answered, can take effect, or appear in the list of
members, a while later. The apply that began it settles that itself; any other one has to wait, or the person
would be registered, and mailed, twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bousai_kit.errors import InputError
from bousai_kit.onboarding.plan_file import kept_plan
from bousai_kit.roster import Person

if TYPE_CHECKING:
    from bousai_kit.ledger import Event, Ledger

__all__ = ["SURE", "Unsettled", "held_rows", "unsettled_creates"]

SURE = timedelta(minutes=10)
"""What has not taken effect by then never will."""

_CREATE = "user.create:"
_KINDS = (
    "step.intended",
    "step.done",
    "step.failed",
    "step.unknown",
    "step.settled_done",
    "step.settled_absent",
)
_FIRST_LOOK = 256


@dataclass(frozen=True, slots=True)
class Unsettled:
    """One account that may be on its way.

    Attributes
    ----------
    apply_id : str
        Whose step it was.
    at : datetime
        When it was begun last.
    login_id : str
        As far as the plan lies in this home.
    """

    apply_id: str
    at: datetime
    login_id: str = field(default="", repr=False)

    @property
    def reason(self) -> str:
        """Why another plan does not register this person now."""
        return (
            f"前の登録（{self.apply_id}）の結果が未確定です。二重に登録しないため、ここでは登録しません。"
            "前の計画をもう一度実行して結果を確かめるか、10 分ほどたってから計画を作り直してください。"
        )


async def unsettled_creates(
    ledger: Ledger,
    *,
    now: datetime,
    shown: Collection[str] = (),
    home: Path | None = None,
    but: str = "",
) -> dict[str, Unsettled]:
    """Staff number → what may be on its way; reads only the end of the ledger.

    Parameters
    ----------
    shown : collection of str
        Staff numbers that the tenant shows: there is nothing to wait for.
    home : Path, optional
        Where applied plans are kept: they tell login ids, which the ledger does not.
    but : str
        An apply that looks after its own steps.
    """
    begun: dict[tuple[str, str], dict[int, datetime]] = {}
    start = await _before(ledger, now - SURE)
    for event in await ledger.read(after=start, prefix="apply:", kinds=_KINDS):
        if event.subject.startswith(_CREATE) and event.stream != f"apply:{but}":
            _take(begun.setdefault((event.stream, event.subject), {}), event)
    found: dict[str, Unsettled] = {}
    for (stream, step), attempts in begun.items():
        recent = [at for at in attempts.values() if at > now - SURE]
        number = step.removeprefix(_CREATE)
        if recent and number not in shown and (number not in found or max(recent) > found[number].at):
            found[number] = Unsettled(stream.removeprefix("apply:"), max(recent))
    return _with_logins(found, home) if home is not None else found


def _take(attempts: dict[int, datetime], event: Event) -> None:
    """Only an answer that it failed says that an attempt has no effect; what was done may not show yet."""
    attempt = int(event.body.get("attempt", 1))
    if event.kind == "step.intended":
        attempts[attempt] = event.recorded_at
    elif event.kind == "step.failed":
        attempts.pop(attempt, None)


async def _before(ledger: Ledger, moment: datetime) -> int:
    """A place in the ledger from which on everything after this moment stands."""
    head, _ = await ledger.head()
    back = _FIRST_LOOK
    while back < head:
        event = (await ledger.read(after=head - back, limit=1))[0]
        if event.recorded_at < moment:
            return head - back
        back *= 4
    return 0


def _with_logins(found: Mapping[str, Unsettled], home: Path) -> dict[str, Unsettled]:
    logins: dict[tuple[str, str], str] = {}
    for apply_id in {one.apply_id for one in found.values()}:
        try:
            plan = kept_plan(home, apply_id)
        except InputError:
            continue
        logins |= {(apply_id, one.person.staff_number): one.person.login_id for one in plan.creates}
    return {
        number: Unsettled(one.apply_id, one.at, logins.get((one.apply_id, number), ""))
        for number, one in found.items()
    }


def held_rows(people: Iterable[Person], unsettled: Mapping[str, Unsettled]) -> dict[str, str]:
    """Staff number → why this person is not registered now: the number or the login id is on its way."""
    if not unsettled:
        return {}
    logins = {one.login_id.casefold(): one for one in unsettled.values() if one.login_id}
    found = {}
    for person in people:
        one = unsettled.get(person.staff_number) or logins.get(person.login_id.casefold())
        if one is not None:
            found[person.staff_number] = one.reason
    return found
