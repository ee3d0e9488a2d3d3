"""The roster: who the people are, read from what a person made in Excel, with all its problems at once."""

from __future__ import annotations

from bousai_kit.roster.check import Check, check_roster
from bousai_kit.roster.model import Person, Roster, RosterUnit, require_ok, roster_rows
from bousai_kit.roster.reading import read_roster
from bousai_kit.roster.sample import SAMPLE, sample_roster

__all__ = [
    "SAMPLE",
    "Check",
    "Person",
    "Roster",
    "RosterUnit",
    "check_roster",
    "read_roster",
    "require_ok",
    "roster_rows",
    "sample_roster",
]
