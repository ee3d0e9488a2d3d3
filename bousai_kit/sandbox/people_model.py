"""How simulated staff react: pure, drawn per person and message, whatever other requests do.

Times are mixtures of two lognormals, a quick look at the phone and a later one. Crisis-management staff
are fastest, heads slower (a deputy often answers for them), wards differ a little, Android a little from
iOS; who sits at a PC, or got no push, is slow. About four in five of those reached answer within 1800 s;
some later, some tap twice. Most of those who do not answer are away: they leave reminders unanswered too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

__all__ = [
    "Profile",
    "Reaction",
    "device_by_chance",
    "first_login_s",
    "leaves_after_s",
    "react_to_buttons",
    "react_to_text",
    "reads_after_s",
    "role_of",
    "ward_of",
]

LONGEST_S = 86_400.0
DEVICES = {"iOS": 1.0, "Android": 1.08, "PC": 4.0, "": 6.0}
NOT_INSTALLED = 0.025
REPLIES = (
    "了解しました。",
    "承知しました。",
    "確認しました。",
    "了解です。ただいま登庁中です。",
    "承知しました。状況を確認して報告します。",
    "ありがとうございます。異常ありません。",
)


@dataclass(frozen=True, slots=True)
class _Role:
    quick: float  # share of quick looks
    median_s: float  # of those
    away: float  # share of people who answer nothing at all, reminders neither
    deputy: float = 0.0  # chance that a deputy answers, later


ROLES = {
    "crisis": _Role(0.93, 40.0, 0.09),
    "liaison": _Role(0.82, 75.0, 0.15),
    "staff": _Role(0.74, 105.0, 0.18),
    "head": _Role(0.68, 130.0, 0.19, deputy=0.30),
    "executive": _Role(0.50, 180.0, 0.25, deputy=0.50),
}
MISSED = 0.04  # chance that a message stays unanswered by somebody who is not away
SLOW_MEDIAN_S = 700.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What matters about a person.

    Attributes
    ----------
    key : str
        Staff number, else another key that is the same on every tenant with this roster.
    role : str
        A key of `ROLES`.
    ward : str
        Name of the ward, or "".
    device : str
        ``iOS``, ``Android``, ``PC`` or "" (none given out).
    """

    key: str
    role: str
    ward: str
    device: str

    def installed(self, seed: int) -> bool:
        """Whether the app was ever put on the phone."""
        return _draw(seed, self.key, "app").random() >= NOT_INSTALLED


@dataclass(frozen=True, slots=True)
class Reaction:
    """One answer: so many seconds after the message; which button, or what is typed."""

    after_s: float
    button: int = -1
    text: str = ""


def _draw(seed: int, *parts: str) -> random.Random:
    return random.Random("|".join((str(seed), *parts)))  # noqa: S311 - repeatable on purpose


@lru_cache(maxsize=1024)
def _ward_factor(seed: int, ward: str) -> float:
    return math.exp(_draw(seed, "ward", ward).gauss(0.0, 0.2)) if ward else 1.0


def _look_s(chance: random.Random, seed: int, person: Profile, *, push: bool) -> float:
    """When the person looks at the message."""
    role = ROLES[person.role]
    quick = chance.random() < role.quick
    spread = chance.gauss(0.0, 1.0)
    deputy = chance.random() < role.deputy
    extra = chance.lognormvariate(math.log(90.0), 0.6)
    seconds = role.median_s * math.exp(0.75 * spread) if quick else SLOW_MEDIAN_S * math.exp(1.1 * spread)
    factor = DEVICES[person.device] * _ward_factor(seed, person.ward) * (1.0 if push else 4.0)
    return min(LONGEST_S, 3.0 + seconds * factor + (extra if deputy else 0.0))


def _away(seed: int, person: Profile, less: float = 1.0) -> bool:
    """Whether the person answers nothing on this tenant: off duty, telephone in the locker."""
    share = ROLES[person.role].away + (0.15 if person.device in ("PC", "") else 0.0)
    return _draw(seed, person.key, "away").random() < share * less


def react_to_buttons(
    seed: int, person: Profile, key: str, weights: Sequence[float], *, push: bool = True, order: bool = False
) -> list[Reaction]:
    """Taps on a message with buttons.

    Parameters
    ----------
    key : str
        Names the message; the same key gives the same reaction.
    weights : sequence of float
        How likely each button is.
    push : bool
        Whether the phone rang.
    order : bool
        The message orders something of this person: hardly anybody is silent.
    """
    chance = _draw(seed, person.key, key, "tap")
    silent, after = chance.random(), _look_s(chance, seed, person, push=push)
    less = 0.3 if order else 1.0
    if not weights or _away(seed, person, less) or silent < (MISSED if push else MISSED + 0.15) * less:
        return []
    first = chance.choices(range(len(weights)), weights)[0]
    taps = [Reaction(round(after, 3), first)]
    if chance.random() < 0.06:
        again = first if chance.random() < 0.6 else chance.choices(range(len(weights)), weights)[0]
        taps.append(Reaction(round(after + chance.lognormvariate(math.log(45.0), 0.7), 3), again))
    return taps


def react_to_text(seed: int, person: Profile, key: str, rate: float, *, push: bool = True) -> list[Reaction]:
    """A typed reply to a plain text, with chance `rate`."""
    chance = _draw(seed, person.key, key, "say")
    if chance.random() >= rate or _away(seed, person):
        return []
    after = 15.0 + 1.3 * _look_s(chance, seed, person, push=push)
    return [Reaction(round(min(LONGEST_S, after), 3), text=chance.choice(REPLIES))]


def leaves_after_s(seed: int, person: Profile, key: str, rate: float) -> float | None:
    """When the person leaves the room after this message, None: stays."""
    chance = _draw(seed, person.key, key, "leave")
    return 600.0 + 3000.0 * chance.random() if chance.random() < rate else None


def reads_after_s(seed: int, person: Profile, key: str, *, must: bool) -> float | None:
    """From a board post to its being opened, None: never."""
    chance = _draw(seed, person.key, key, "read")
    if chance.random() < (0.05 if must else 0.35):
        return None
    return 60.0 + (1800.0 if must else 7200.0) * DEVICES[person.device] * math.exp(
        1.0 * chance.gauss(0.0, 1.0)
    )


def first_login_s(seed: int, person: Profile, *, by_mail: bool = False) -> float | None:
    """From creation to the first completed login; None: never.

    Most come within minutes to hours, two or three in a hundred never.
    """
    chance = _draw(seed, person.key, "login")
    if chance.random() < 0.025:
        return None
    median = 2400.0 * (3.0 if by_mail else 1.0) * (2.5 if person.device in ("PC", "") else 1.0)
    return round(min(20 * 3600.0, 120.0 + median * math.exp(0.9 * chance.gauss(0.0, 1.0))), 3)


def device_by_chance(seed: int, key: str) -> str:
    """For people of whom the sandbox knows nothing."""
    return _draw(seed, key, "device").choices(("iOS", "Android", "PC", ""), (60, 35, 3, 2))[0]


def role_of(position: str, orgunits: Sequence[str], hq_role: str = "") -> str:
    """Role from the names of position and org units, or from the role in the disaster headquarters."""
    if hq_role in ("本部長", "副本部長") or any(word in position for word in ("市長", "副市長", "知事")):
        return "executive"
    if hq_role == "事務局" or any("危機管理" in unit or "防災" in unit for unit in orgunits):
        return "crisis"
    if hq_role == "連絡員" or any(word in position for word in ("連絡", "係長", "担当")):
        return "liaison"
    if hq_role in ("本部員", "区本部長") or position.endswith(("長", "理事", "監")):
        return "head"
    return "staff"


def ward_of(orgunits: Sequence[str]) -> str:
    """``北区`` from ``北区役所 総務課``; "" when no unit belongs to a ward."""
    for unit in orgunits:
        head, found, _ = unit.partition("区")
        if found and 0 < len(head) <= 6 and not any(letter in head for letter in "局部課室・ 　"):
            return head + "区"
    return ""
