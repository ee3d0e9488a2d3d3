"""Plan a drill: who gets what by which way, who cannot be reached and why. Sends nothing.

The plan is written into the ledger, so that the drill id is fixed and `run` continues it, wherever it runs.
Planning an open drill again looks at the tenant again: whoever has logged in meanwhile becomes a recipient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bousai_kit.clock import Clock
from bousai_kit.drills import wording
from bousai_kit.drills.opening import fix_drill, rooms_of, wave_body, write_people
from bousai_kit.drills.people import Recipient, Unreachable, match_people, people_of_waves, read_members
from bousai_kit.drills.route import Route, choose_route, estimate_s
from bousai_kit.drills.scenario import Scenario
from bousai_kit.drills.store import keep_inputs
from bousai_kit.errors import DrillError
from bousai_kit.roster import Roster

if TYPE_CHECKING:
    from bousai_kit.ledger import Ledger
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = ["DrillPlan", "Recipient", "Unreachable", "plan_drill"]


@dataclass(frozen=True, repr=False)
class DrillPlan:
    """What a drill is going to do.

    Attributes
    ----------
    people : tuple of Recipient
    unreachable : tuple of Unreachable
    waves : tuple of dict
        ``wave, after_s, messages, people, calls, eta_s`` and what it is left out for.
    continued : bool
        The open drill of the same scenario and roster was found.
    notes : tuple of str
        Japanese sentences worth reading before anything is sent.
    """

    drill_id: str
    scenario: Scenario
    people: tuple[Recipient, ...]
    unreachable: tuple[Unreachable, ...]
    route: Route
    waves: tuple[dict[str, Any], ...]
    short_code: str
    state: str = "planned"
    continued: bool = False
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return f"<DrillPlan {self.drill_id} recipients={self.recipients} route={self.route.name}>"

    @property
    def recipients(self) -> int:
        """How many people it goes to."""
        return len(self.people)

    @property
    def calls(self) -> int:
        """First messages, as calls."""
        return self.route.calls

    @property
    def eta_s(self) -> float:
        """Until the last first message is accepted, the pauses between waves left out."""
        return self.route.eta_s

    def as_json(self) -> dict[str, Any]:
        """Keys of ``drill plan --json``."""
        return {
            "drill_id": self.drill_id,
            "title": self.scenario.title,
            "kind": self.scenario.kind.value,
            "state": self.state,
            "continued": self.continued,
            "recipients": self.recipients,
            "unreachable": [one.as_json() for one in self.unreachable],
            "route": self.route.name,
            "reason": self.route.reason,
            "calls": self.calls,
            "eta_s": self.eta_s,
            "waves": list(self.waves),
            "messages": [
                {
                    "id": one.id,
                    "text": one.text,
                    "buttons": [wording.build_label(b, self.short_code) for b in one.buttons],
                }
                for one in self.scenario.messages
            ],
            "deadline_s": self.scenario.deadline_s,
            "notes": list(self.notes),
        }


async def plan_drill(
    scenario: Scenario,
    roster: Roster,
    *,
    client: LineWorksClient,
    ledger: Ledger,
    clock: Clock | None = None,
    home: Path | None = None,
    bot_id: int | None = None,
    domain_id: int | None = None,
    limits: Mapping[str, int] | None = None,
    new: bool = False,
    planned_by: str = "",
    tell: Callable[[int, int, str], None] | None = None,
) -> DrillPlan:
    """Plan, and fix the drill id.

    Parameters
    ----------
    clock : Clock, optional
        Default: the client's.
    home : Path, optional
        Where the roster that is used is kept (``drills/ID/``); None: nowhere.
    bot_id : int, optional
        The bot that will speak: an unknown one is found now and not later.
    limits : mapping, optional
        Calls a minute by operation; default: what the client has learned.
    new : bool
        Do not continue the open drill of this scenario and roster.

    Raises
    ------
    DrillError
        Nobody is meant, or nobody can be reached.
    LineWorksError
        The tenant cannot be asked.
    """
    clock = clock or client.clock
    if bot_id is not None:
        await client.bots.get(bot_id)
    waves = people_of_waves(scenario, roster)
    meant = {person.row: person for members in waves for person in members}
    if not meant:
        raise DrillError(
            "シナリオの宛先に当てはまる人が名簿にいません。",
            hint="targets と waves の who を確認してください。",
        )
    people, unreachable, logins = match_people(list(meant.values()), waves, await read_members(client, tell))
    operation = "messages.to-user"
    limit = (limits or {}).get(operation) or client.gate.pacer(operation).limit
    groups = [
        ({one.user_id for one in people if index in one.waves}, len(wave.messages))
        for index, wave in enumerate(scenario.waves)
    ]
    silent = {one.user_id for one in unreachable if one.user_id}
    rooms = await rooms_of(ledger)
    route = choose_route(groups, rooms, limit=limit, wanted=scenario.route, silent=silent)
    state, continued = await fix_drill(
        scenario, roster, ledger=ledger, clock=clock, route=route, new=new, planned_by=planned_by,
        domain_id=domain_id,
    )  # fmt: skip
    await write_people(ledger, state, people, unreachable, route)
    if home is not None:
        keep_inputs(home, state.drill_id, scenario, roster, logins)
    return DrillPlan(
        drill_id=state.drill_id,
        scenario=scenario,
        people=tuple(people),
        unreachable=tuple(unreachable),
        route=route,
        waves=tuple(_wave_json(scenario, groups, limit)),
        short_code=str(state.plan.get("short_code", "")),
        state=state.state,
        continued=continued,
        notes=tuple(_notes(scenario, roster, people, unreachable, groups)),
    )


# -- for people -----------------------------------------------------------------------------------------


def _wave_json(scenario: Scenario, groups: list[tuple[set[str], int]], limit: int) -> list[dict[str, Any]]:
    found = []
    for index, (wave, (people, messages)) in enumerate(zip(scenario.waves, groups, strict=True)):
        calls = len(people) * messages
        body = {"wave": index, **wave_body(wave), "people": len(people), "calls": calls}
        found.append({**body, "eta_s": estimate_s(calls, limit)})
    return found


def _notes(
    scenario: Scenario,
    roster: Roster,
    people: list[Recipient],
    unreachable: list[Unreachable],
    groups: list[tuple[set[str], int]],
) -> list[str]:
    notes = list(scenario.notes)
    if roster.errors:
        notes.append(
            f"名簿に {len(roster.errors)} 件の誤りがあります（`bousai onboard check` で確認できます）。"
        )
    if unreachable:
        notes.append(f"{len(unreachable)} 人には送信できません（理由は一覧にあります）。")
    if not people:
        notes.append("送信できる人が 1 人もいません。")
    for index, (members, _) in enumerate(groups):
        if not members:
            notes.append(f"{index + 1} 番目の送信（waves）には、送信できる人がいません。")
    for wave in scenario.waves:
        if wave.unless is not None and wave.unless.of is not None and wave.unless.answered > len(people):
            notes.append(
                f"条件の {wave.unless.answered} 人は、送信できる {len(people)} 人より多くなっています。"
            )
    return notes
