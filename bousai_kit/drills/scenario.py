"""A scenario: what is sent to whom, when, and what is expected. Read from YAML, every problem with its place.

The file is described in interfaces §3. What this module takes besides: ``deadline_s`` of a single message,
``buttons`` of an inject, ``resend_after_s`` (kind ``actual``: so long after an unknown send the message goes
out again, marked 【再送】), ``route`` (``auto``, ``direct``, ``rooms``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from bousai_kit.drills import wording

__all__ = [
    "DEADLINE_S",
    "RESEND_AFTER_S",
    "DrillKind",
    "Expectation",
    "Message",
    "Reminder",
    "Scenario",
    "Unless",
    "Wave",
    "load_scenario",
]

DEADLINE_S = 1800.0
RESEND_AFTER_S = 120.0

Who = str | tuple[Mapping[str, Any], ...]
"""``"all"``, or selectors as `Roster.select` takes them."""


class DrillKind(Enum):
    """What the drill is, in the words of CAP 1.2."""

    EXERCISE = "exercise"
    ACTUAL = "actual"
    TEST = "test"

    @property
    def label(self) -> str:
        """On screens."""
        return {"exercise": "訓練", "actual": "実災害", "test": "試験"}[self.value]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an inject should lead to, for those who watch."""

    action: str
    within_s: float | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One text, with answer buttons or without."""

    id: str
    text: str
    buttons: tuple[str, ...] = ()
    deadline_s: float | None = None
    inject: bool = False
    expect: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True)
class Unless:
    """A wave is left out when so many have answered (of how many is for those who read the plan)."""

    answered: int
    of: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Wave:
    """Who gets which messages, so many seconds after the start."""

    who: Who
    after_s: float
    messages: tuple[str, ...]
    unless: Unless | None = None


@dataclass(frozen=True, slots=True)
class Reminder:
    """To those who are silent: every `after_s` seconds after their own send, at most `max` times."""

    after_s: float
    max: int = 1


@dataclass(frozen=True)
class Scenario:
    """What a scenario file says.

    Attributes
    ----------
    messages : tuple of Message
        Injects are among them, behind the others.
    waves : tuple of Wave
        By ``after_s``; injects are among them.
    notes : tuple of str
        Japanese sentences about what is odd but usable.
    sha256 : str
        Of the file's bytes.
    key : str
        Of what it says: the same however it is laid out, so that the open drill is found again.
    raw : bytes
        The file as it came.
    """

    title: str
    kind: DrillKind
    messages: tuple[Message, ...]
    targets: Who = "all"
    waves: tuple[Wave, ...] = ()
    reminders: tuple[Reminder, ...] = ()
    deadline_s: float = DEADLINE_S
    resend_after_s: float = RESEND_AFTER_S
    route: str = "auto"
    notes: tuple[str, ...] = ()
    sha256: str = ""
    key: str = ""
    source: Path | None = None
    raw: bytes = field(default=b"", repr=False)

    def message(self, message_id: str) -> Message:
        """The message of this id."""
        return next(message for message in self.messages if message.id == message_id)

    def reminder_times_s(self) -> tuple[float, ...]:
        """When somebody silent is reminded, in seconds after that person's own send, ascending."""
        return tuple(sorted({one.after_s * nth for one in self.reminders for nth in range(1, one.max + 1)}))


def load_scenario(path: Path | str) -> Scenario:
    """Read a scenario file.

    Raises
    ------
    ScenarioError
        It cannot be used; ``issues`` names every problem with its line and place.
    DrillGuardError
        All that is wrong is the mark: an exercise without 【訓練】 at a head, or an actual with it.
    InputError
        There is no such file, or its encoding cannot be told.
    """
    from bousai_kit.drills.scenario_reading import read_scenario
    from bousai_kit.tables import decode_text, read_bytes

    path = Path(path)
    raw = read_bytes(path, what="シナリオ")
    text, _ = decode_text(raw, what=f"シナリオ {path.name}")
    return read_scenario(text, raw=raw, source=path)


def scenario_key(values: Any) -> str:
    """Hash of what a document says."""
    text = json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def longest_text(scenario_reminders: int, *, buttons: bool, actual: bool) -> int:
    """Characters left for a text when the longest heading stands before it."""
    return wording.text_limit(buttons=buttons) - wording.longest_prefix(scenario_reminders, actual=actual)
