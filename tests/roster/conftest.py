"""Rosters made in a line: a good row, changed where a test says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.roster import Roster, read_roster
from bousai_kit.roster.columns import ROSTER
from bousai_kit.tables import csv_bytes

Make = Callable[..., Roster]


def good(number: int, **changes: str) -> dict[str, str]:
    """A row that the platform takes."""
    row = {
        "staff_number": f"{number:06d}",
        "last_name": "試験",
        "first_name": "春郎",
        "last_kana": "シケン",
        "first_kana": "ハルロウ",
        "login_id": f"shiken{number}@city-demo",
        "orgunit_code": "A00",
        "orgunit_name": "市長室",
        "device_os": "iOS",
        "phone": f"090-0000-{number:04d}",
    }
    return {**row, **changes}


def rows_of(*changes: dict[str, str]) -> list[dict[str, str]]:
    """Good rows, one for each set of changes."""
    return [good(number, **change) for number, change in enumerate(changes, 1)]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a roster (all columns) and read it."""

    def made(*changes: dict[str, str], **options: Any) -> Roster:
        path = tmp_path / "名簿.csv"
        rows = [[row.get(column.field, "") for column in ROSTER] for row in rows_of(*changes)]
        path.write_bytes(csv_bytes([column.title for column in ROSTER], rows))
        return read_roster(path, **options)

    return made
