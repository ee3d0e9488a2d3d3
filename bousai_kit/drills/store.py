"""The folder of a drill, ``BOUSAI_HOME/drills/ID/`` (0700, files 0600).

====================  =====================================================================================
``roster.*``          the roster that was used, as it came (its hash is in the ledger)
``scenario.yaml``     the scenario, as it came
``people.json``       user id → login id: the export shows login ids, the ledger holds none
``lock``              held by the process that conducts the drill
====================  =====================================================================================
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from bousai_kit.drills.scenario import Scenario
from bousai_kit.errors import DrillError
from bousai_kit.files import write_private
from bousai_kit.locks import take_lock
from bousai_kit.roster import Roster

__all__ = ["DrillLock", "drill_folder", "keep_inputs", "read_logins", "roster_file"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,80}")


def drill_folder(home: Path, drill_id: str) -> Path:
    """Where a drill keeps its files.

    Raises
    ------
    DrillError
        The id could not be a drill's.
    """
    if not _ID.fullmatch(drill_id):
        raise DrillError(
            "訓練 ID は半角の英数字と「-」です。", hint="`bousai drill list` で訓練 ID を確認してください。"
        )
    return Path(home) / "drills" / drill_id


def keep_inputs(
    home: Path, drill_id: str, scenario: Scenario, roster: Roster, logins: Mapping[str, str]
) -> None:
    """Keep what the drill was made from; what is there already from before stays."""
    folder = drill_folder(home, drill_id)
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)
    if roster_file(home, drill_id) is None:
        name, raw = _roster_bytes(roster)
        write_private(folder / name, raw)
    if scenario.raw and not (folder / "scenario.yaml").exists():
        write_private(folder / "scenario.yaml", scenario.raw)
    known = read_logins(home, drill_id)
    if dict(logins) != known:
        merged = {**known, **logins}
        write_private(folder / "people.json", json.dumps(merged, ensure_ascii=False, indent=0).encode())


def roster_file(home: Path, drill_id: str) -> Path | None:
    """The roster that a drill used."""
    folder = drill_folder(home, drill_id)
    return next((path for path in sorted(folder.glob("roster.*")) if path.suffix != ".part"), None)


def read_logins(home: Path, drill_id: str) -> dict[str, str]:
    """User id → login id; {} where the folder is not (another machine)."""
    try:
        found = json.loads((drill_folder(home, drill_id) / "people.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(user): str(login) for user, login in found.items()} if isinstance(found, dict) else {}


def _roster_bytes(roster: Roster) -> tuple[str, bytes]:
    if roster.source is not None:
        with contextlib.suppress(OSError):
            raw = roster.source.read_bytes()
            if hashlib.sha256(raw).hexdigest() == roster.sha256:
                return f"roster{roster.source.suffix.lower() or '.csv'}", raw
    from bousai_kit.roster import roster_rows
    from bousai_kit.tables import csv_bytes

    header, rows = roster_rows(roster)
    return "roster.csv", csv_bytes(header, rows)


class DrillLock:
    """One process conducts a drill at a time; ends with the process, however it ends.

    Parameters
    ----------
    home : Path or None
        None: no folder, no lock (the ledger's keys alone keep dispatches single).
    """

    def __init__(self, home: Path | None, drill_id: str) -> None:
        self._path = None if home is None else drill_folder(home, drill_id) / "lock"
        self._file: int | None = None

    def take(self) -> bool:
        """Try to get it, without waiting."""
        if self._path is None or self._file is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            held = take_lock(file)
        except OSError:
            held = False
        if not held:
            os.close(file)
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
