"""How many requests a plan takes, and how long at the tenant's limits. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from bousai_kit.lineworks.pacing import WINDOW_S, known_limit
from bousai_kit.onboarding.items import Plan

__all__ = ["at_limit_s", "count_calls", "estimate_s", "phase_s"]

PEAK_S = 1800.0
ORGUNIT_S = 1.0  # counted at the server: the way there and back is within it
ANSWER_S = 0.1
AT_ONCE = 16


def count_calls(plan: Plan) -> Counter[str]:
    """Requests by operation."""
    calls: Counter[str] = Counter()
    for unit in plan.units:
        if unit.action == "create":
            calls["orgunits.create"] += 1
        elif unit.action == "update":
            calls["orgunits.patch"] += "name" in unit.changes
            calls["orgunits.move"] += "parent" in unit.changes
    calls["levels.create"] = sum(one.action == "create" for one in plan.levels)
    calls["positions.create"] = sum(one.action == "create" for one in plan.positions)
    calls["users.create"] = plan.count("create")
    for person in plan.of("update"):
        calls["users.undelete"] += "state" in person.changes
        calls["users.patch"] += bool(set(person.changes) - {"state"})
    calls["users.suspend"] = len(plan.suspend)
    for group in plan.groups:
        calls["groups.create"] += group.action == "create"
        calls["groups.patch"] += "name" in group.changes
        calls["groups.add-member"] += len(group.add)
        calls["groups.remove-member"] += len(group.remove)
    calls["channels.create"] = sum(one.action in ("create", "rebuild") for one in plan.rooms)
    calls["channels.leave"] = sum(one.action in ("rebuild", "leave") for one in plan.rooms)
    return +calls


def at_limit_s(calls: int, limit: int) -> float:
    """When the last of so many requests may leave: whole windows at once, half the rate after 30 minutes."""
    peak = int(PEAK_S / WINDOW_S) * limit
    if calls <= peak:
        return max(0, calls - 1) // limit * WINDOW_S
    return PEAK_S + (calls - peak) / (limit / 2) * WINDOW_S


_OPERATIONS = {
    "level.create": "levels.create",
    "position.create": "positions.create",
    "user.create": "users.create",
    "user.update": "users.patch",
    "user.suspend": "users.suspend",
    "user.unsuspend": "users.unsuspend",
    "user.delete": "users.delete",
    "user.restore": "users.patch",
    "group.create": "groups.create",
    "group.update": "groups.patch",
    "group.add": "groups.add-member",
    "group.remove": "groups.remove-member",
    "group.member": "groups.remove-member",
    "group.name": "groups.patch",
    "group.delete": "groups.delete",
    "level.delete": "levels.delete",
    "position.delete": "positions.delete",
    "room.create": "channels.create",
    "room.leave": "channels.leave",
}


def phase_s(steps: Iterable[str], limit: Callable[[str], int]) -> float:
    """Seconds that steps of one phase take, by their keys.

    Parameters
    ----------
    limit : callable
        Requests a minute of an operation.
    """
    kinds = Counter(step.partition(":")[0] for step in steps)
    units = sum(count for kind, count in kinds.items() if kind.startswith("orgunit."))
    spans = []
    for kind, count in kinds.items():
        if kind in _OPERATIONS:
            most = limit(_OPERATIONS[kind])
            last = (count - 1) % most + 1  # the answers of earlier windows come while they last
            spans.append(at_limit_s(count, most) + ANSWER_S * (1 + last // AT_ONCE))
    return units * ORGUNIT_S + max(spans, default=0.0)


def estimate_s(
    calls: Mapping[str, int], *, reading: int, per_minute: int, limits: Mapping[str, int]
) -> float:
    """Seconds from the first request to the last answer.

    Parameters
    ----------
    calls : mapping
        From `count_calls`.
    reading : int
        Requests that reading the tenant takes.
    per_minute : int
        What the tenant allows for an operation of which nothing else is known.
    limits : mapping
        Requests a minute by operation.
    """

    def limit(operation: str) -> int:
        return limits.get(operation) or min(known_limit(operation), per_minute)

    phases: dict[str, float] = {"reading": at_limit_s(reading, limit("users.list")) + reading * ANSWER_S}
    for operation, count in calls.items():
        phase = {"orgunits": "1", "positions": "2", "users": "3", "channels": "5"}.get(
            operation.partition(".")[0], "4"
        )
        if phase == "1":
            phases[phase] = phases.get(phase, 0.0) + count * ORGUNIT_S
        else:
            answers = ANSWER_S * (1 + count // AT_ONCE)
            phases[phase] = max(phases.get(phase, 0.0), at_limit_s(count, limit(operation)) + answers)
    return sum(phases.values())
