"""``bousai onboard check``: is this roster fit to be planned? Without the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bousai_kit.errors import Issue, RosterError
from bousai_kit.roster.reading import read_roster

__all__ = ["Check", "check_roster"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was found.

    Attributes
    ----------
    people : int
        Rows that hold a person, those with errors too.
    issues : tuple of Issue
    hint : str
        What to do when the file as a whole cannot be used.
    """

    people: int
    issues: tuple[Issue, ...] = ()
    hint: str = ""

    @property
    def errors(self) -> int:
        """How many issues keep a row from being created."""
        return sum(issue.severity == "error" for issue in self.issues)

    @property
    def ok(self) -> bool:
        """Whether every row can be created; warnings do not matter."""
        return self.errors == 0

    def as_json(self) -> dict[str, object]:
        """The keys of ``onboard check --json``."""
        return {"people": self.people, "issues": [issue.as_json() for issue in self.issues]}

    def render_text(self) -> str:
        """Japanese lines for a terminal: one an issue, then the sum."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for issue in self.issues:
            kind = "誤り" if issue.severity == "error" else "注意"
            where = f"{issue.row} 行目" if issue.row else "全体"
            column = f"「{issue.column}」" if issue.column else ""
            yield f"{kind} {where}{column}: {issue.problem}"
        warnings = len(self.issues) - self.errors
        counted = f"{self.people:,} 人を確認しました。誤り {self.errors:,} 件、注意 {warnings:,} 件。"
        if not self.ok:
            yield counted + (
                self.hint or "誤りのある行は作成できません。名簿を直して、もう一度確認してください。"
            )
        elif warnings:
            yield counted + "注意は確認のうえ、そのまま進められます。"
        else:
            yield counted + "このまま計画に進めます。"


def check_roster(path: Path, orgunits: Path | None = None) -> Check:
    """Validate a roster and give all its problems at once; a file that cannot be used is a problem too.

    Parameters
    ----------
    path : Path
        Roster, CSV or XLSX.
    orgunits : Path, optional
        Organisation file.
    """
    try:
        roster = read_roster(path, orgunits=orgunits)
    except RosterError as error:
        whole = error.issues or (Issue(0, "", "error", f"{error}{error.hint}"),)
        return Check(people=0, issues=whole, hint=error.hint)
    return Check(people=len(roster.people), issues=roster.issues)
