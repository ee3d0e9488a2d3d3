"""The same roster as the admin console's bulk files, for a tenant whose API refuses (Free plan, no scope).

The console takes 100 members a file and shows no preview; so everything that it would refuse is said here
first. Its headers could not all be read: they stand in a table that a city edits (`console_table`).
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bousai_kit.errors import Issue, PermissionDenied, RosterError
from bousai_kit.onboarding.console_table import COLUMNS_FILE, METHODS, ConsoleColumn, ConsoleTable
from bousai_kit.onboarding.plan import diff
from bousai_kit.onboarding.tenant_view import TenantView, see_member, see_unit
from bousai_kit.onboarding.titles import KINDS, LEVEL, POSITION, Kind, plan_titles
from bousai_kit.roster import Person, Roster, RosterUnit, require_ok
from bousai_kit.roster.columns import key

if TYPE_CHECKING:
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = ["MEMBERS_PER_FILE", "UNITS_PER_FILE", "ConsoleFile", "ConsoleFiles", "LeftOut", "plan_console",
           "see_tenant"]  # fmt: skip

MEMBERS_PER_FILE = 100
UNITS_PER_FILE = 1000
FREE_UNITS = 100
THERE = "すでに登録されています。"
_DEEPEST = 15
_SYMBOLS = frozenset("!@&()-_+[]{},./ ")
_TITLES = {"last_name": "姓", "first_name": "名"}


@dataclass(frozen=True, slots=True, repr=False)
class ConsoleFile:
    """One file: what it is called (without the kind), and what stands in it."""

    stem: str
    sheet: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    staff_numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row of the roster that stands in no file, and why."""

    row: int
    staff_number: str
    reason: str

    @property
    def as_it_should_be(self) -> bool:
        """Nobody has to do anything about it."""
        return self.reason == THERE


@dataclass(frozen=True, slots=True, repr=False)
class ConsoleFiles:
    """Everything that is to be written.

    Attributes
    ----------
    method : str
        ``auto``, ``admin`` or ``member``.
    orgunits, members : tuple of ConsoleFile
        In the order in which they are to be taken in.
    left_out : tuple of LeftOut
    levels, positions : tuple of str
        That have to be there before the members.
    domain : str
        What stands behind the ``@`` of every login id; the files hold what stands before it.
    notes : tuple of str
        Sentences that whoever uses the files has to know.
    """

    method: str
    table: ConsoleTable
    orgunits: tuple[ConsoleFile, ...] = ()
    members: tuple[ConsoleFile, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    levels: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    domain: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def people(self) -> int:
        """People in the files."""
        return sum(len(one.rows) for one in self.members)

    @property
    def holds_passwords(self) -> bool:
        """Whoever reads the files can log in as somebody."""
        return self.method == "admin" and self.people > 0


async def see_tenant(client: LineWorksClient, *, domain_id: int) -> TenantView | None:
    """What may be read of the tenant, so that nobody is added twice; None: not even its members.

    Raises
    ------
    LineWorksError
        Anything but a refusal.
    """
    try:
        users = [one async for one in client.users.list()]
    except PermissionDenied:
        return None
    units = []
    with contextlib.suppress(PermissionDenied):
        units = [see_unit(one) async for one in client.orgunits.list()]
    members = (see_member(one) for one in users if one.get("domainId") in (None, domain_id))
    return TenantView(domain_id, client.clock.now(), tuple(members), tuple(units))


def plan_console(
    roster: Roster,
    table: ConsoleTable,
    *,
    method: str = "auto",
    view: TenantView | None = None,
    password_of: Callable[[str], str] | None = None,
) -> ConsoleFiles:
    """Divide a roster into files that the console takes.

    Parameters
    ----------
    table : ConsoleTable
    method : str
        ``auto``, ``admin`` or ``member``.
    view : TenantView, optional
        Who and what is there already stands in no file; None: nobody knows.
    password_of : callable, optional
        Staff number to initial password, for ``admin``.

    Raises
    ------
    RosterError
        The roster has errors, or values that the console would refuse; ``issues`` holds all of them.
    """
    require_ok(roster)
    if method not in METHODS:
        raise ValueError("method is auto, admin or member")
    if method == "admin" and password_of is None:
        raise ValueError("admin passwords come from somewhere")
    seen = view if view is not None else TenantView(0, datetime(2019, 1, 1, tzinfo=UTC))
    plan = diff(roster.people, roster.units, seen)
    people = tuple(one.person for one in plan.people if one.action == "create")
    new = {one.code for one in plan.units if one.action == "create"}
    city = _City(roster.units)
    units = tuple(unit for unit in roster.units if unit.code in new)
    columns = table.templates[method]
    issues = [*_people_issues(people, columns, city), *_unit_issues(units, city, seen)]
    if issues:
        raise _refused(issues)
    domains = [person.login_id.rpartition("@")[2] for person in people]
    return ConsoleFiles(
        method=method,
        table=table,
        orgunits=tuple(_unit_files(units, table.templates["orgunits"], city)),
        members=tuple(_member_files(people, method, columns, city, password_of)),
        left_out=tuple(
            LeftOut(one.person.row, one.person.staff_number, one.reason or _there(one.changes))
            for one in plan.people
            if one.action != "create"
        ),
        levels=_named(LEVEL, people),
        positions=_named(POSITION, people),
        domain=domains[0] if domains else "",
        notes=(*_notes(seen, view, units, domains), *_no_column(people, columns)),
    )


def _named(kind: Kind, people: Sequence[Person]) -> tuple[str, ...]:
    """The levels or positions of these people."""
    return tuple(one.name for one in plan_titles(kind, people, ()))


def _no_column(people: Sequence[Person], columns: Sequence[ConsoleColumn]) -> Iterator[str]:
    """A city's own table may know no levels, or no positions."""
    for kind in KINDS:
        if _named(kind, people) and all(column.value != kind.field for column in columns):
            yield (
                f"見出しの表（{COLUMNS_FILE}）に value: {kind.field} の列がないため、名簿の{kind.label}は"
                "ファイルに入りません。画面の見本にあれば、列を足してください。"
            )


def _there(changes: Mapping[str, tuple[str, str]]) -> str:
    if "state" in changes:
        return "削除から 7 日以内のメンバーです。管理者画面で復元してください。"
    names = "、".join(_LABEL[name] for name in changes if name in _LABEL)
    said = f"名簿と違う項目（{names}）は、管理者画面で直してください。" if names else ""
    return THERE + said


_LABEL = {
    "login_id": "ログインID", "last_name": "姓", "first_name": "名", "last_kana": "姓カナ",
    "first_kana": "名カナ", "orgunit": "所属", "phone": "携帯電話",
}  # fmt: skip


# -- what the console refuses -------------------------------------------------------------------------


def _refused(issues: Sequence[Issue]) -> RosterError:
    first = issues[0]
    where = f"{first.row} 行目 {first.column}" if first.row else first.column
    return RosterError(
        f"管理者画面が受け付けない値が {len(issues):,} 件あります（最初は {where}: {first.problem}）",
        issues=issues,
        hint="名簿を直してから、もう一度実行してください。ファイルはまだ作っていません。",
    )


def _people_issues(
    people: Sequence[Person], columns: Sequence[ConsoleColumn], city: _City
) -> Iterator[Issue]:
    usual = Counter(person.login_id.rpartition("@")[2].casefold() for person in people).most_common(1)
    domain = usual[0][0] if usual else ""
    ids: dict[str, int] = {}
    needed = [one for one in columns if one.required and one.value not in ("", "blank", "id", "password")]
    for person in people:
        local, _, after = person.login_id.rpartition("@")
        if after.casefold() != domain:
            yield Issue(
                person.row, "ログインID", "error",
                f"管理者画面に入れるのは「@」より前だけです。この行の「@{after}」はほかの行の「@{domain}」と"
                "違い、名簿と違うログインIDになります。そろえるか、この行を別の名簿に分けてください。",
            )  # fmt: skip
        elif local in ids:
            yield Issue(
                person.row, "ログインID", "error",
                f"「@」より前が {ids[local]} 行目と同じです。どちらかを変えてください。",
            )  # fmt: skip
        ids.setdefault(local, person.row)
        for name, title in _TITLES.items():
            refused = _symbol(getattr(person, name))
            if refused:
                yield Issue(
                    person.row, title, "error",
                    f"管理者画面の一括追加では使えない記号「{refused}」があります"
                    "（使える記号は ! @ & ( ) - _ + [ ] { } , . / です）。別の字に変えてください。",
                )  # fmt: skip
        for column in needed:
            if not city.of_person(column.value, person):
                yield Issue(
                    person.row, _ROSTER_TITLES.get(column.value, column.header), "error",
                    f"管理者画面で必須の列「{column.header}」に入れる値がありません。名簿に書き足してください。",
                )  # fmt: skip


_ROSTER_TITLES = {
    "private_email": "私用メール", "last_kana": "姓カナ", "first_kana": "名カナ", "phone": "携帯電話",
    "orgunit_name": "所属名", "orgunit_path": "所属名", "position": "役職", "level": "職級",
    "hq_role": "本部役割", "ward": "区", "bureau": "局", "note": "備考",
}  # fmt: skip


def _symbol(name: str) -> str:
    return next((c for c in name if c.isascii() and not c.isalnum() and c not in _SYMBOLS), "")


def _unit_issues(units: Sequence[RosterUnit], city: _City, view: TenantView) -> Iterator[Issue]:
    """The console refuses the same name twice at the last level, wherever it stands."""
    above = {code for path in city.paths.values() for code in path[:-1]}
    parents = {unit.parent_id for unit in view.units}
    taken = {key(one.name): "（登録済み）" for one in view.units if one.unit_id not in parents}
    for unit in units:
        if len(city.paths[unit.code]) > _DEEPEST:
            yield Issue(
                0, "上位組織コード", "error",
                f"組織コード {unit.code} は {len(city.paths[unit.code])} 段目です。"
                f"組織の階層は {_DEEPEST} 段までなので、上の段をまとめてください。",
            )  # fmt: skip
        if unit.code in above:
            continue
        same = taken.setdefault(key(unit.name), unit.code)
        if same != unit.code:
            yield Issue(
                0, "組織名", "error",
                f"組織コード {unit.code} の組織名は、{same} と同じです。管理者画面は末端の組織の同じ名前を"
                "受け付けません。「北区役所 総務課」のように、上の組織の名前を付けて区別してください。",
            )  # fmt: skip


def _notes(
    seen: TenantView, view: TenantView | None, units: Sequence[RosterUnit], domains: Sequence[str]
) -> Iterator[str]:
    if view is None:
        yield (
            "テナントのメンバーを読めないため、すでに登録されている人を除いていません。"
            "画面が「使用中のID」として断った行は、登録済みかどうかを確かめてください。"
        )
    theirs = Counter(one.login_id.rpartition("@")[2].casefold() for one in seen.members).most_common(1)
    if theirs and domains and theirs[0][0] != domains[0].casefold():
        yield (
            f"名簿のログインIDは「@{domains[0]}」ですが、テナントのメンバーは「@{theirs[0][0]}」です。"
            "追加した人のログインIDは「@」の後がテナントのものになります。"
        )
    if len(units) + len(seen.units) > FREE_UNITS:
        count = len(units) + len(seen.units)
        yield f"組織が {count:,} になります。Free プランの組織は {FREE_UNITS} までです。"


# -- rows -----------------------------------------------------------------------------------------------


def _unit_files(
    units: Sequence[RosterUnit], columns: Sequence[ConsoleColumn], city: _City
) -> Iterator[ConsoleFile]:
    for number, start in enumerate(range(0, len(units), UNITS_PER_FILE), 1):
        chosen = units[start : start + UNITS_PER_FILE]
        yield ConsoleFile(
            f"1_組織_{number:02d}",
            "組織",
            tuple(one.header for one in columns),
            tuple(tuple(one.text or city.of_unit(one.value, unit) for one in columns) for unit in chosen),
        )


def _member_files(
    people: Sequence[Person],
    method: str,
    columns: Sequence[ConsoleColumn],
    city: _City,
    password_of: Callable[[str], str] | None,
) -> Iterator[ConsoleFile]:
    def cell(column: ConsoleColumn, person: Person) -> str:
        if column.value == "password":
            return password_of(person.staff_number) if password_of is not None else ""
        return column.text or city.of_person(column.value, person)

    for number, start in enumerate(range(0, len(people), MEMBERS_PER_FILE), 1):
        chosen = people[start : start + MEMBERS_PER_FILE]
        yield ConsoleFile(
            f"2_メンバー_{METHODS[method]}_{number:03d}",
            "メンバー",
            tuple(one.header for one in columns),
            tuple(tuple(cell(column, person) for column in columns) for person in chosen),
            tuple(person.staff_number for person in chosen),
        )


class _City:
    """Names and paths of the units; they come parents first."""

    def __init__(self, units: Sequence[RosterUnit]) -> None:
        self.names = {unit.code: unit.name for unit in units}
        self.paths: dict[str, tuple[str, ...]] = {}
        for unit in units:
            self.paths[unit.code] = (*self.paths.get(unit.parent_code, ()), unit.code)

    def path(self, codes: Sequence[str]) -> str:
        """``局/部/課``."""
        return "/".join(self.names[code] for code in codes)

    def of_unit(self, value: str, unit: RosterUnit) -> str:
        """What stands in a cell of an org-unit file."""
        path = self.paths[unit.code]
        if value in ("name", "code", "parent_code", "order"):
            return str(getattr(unit, value))
        return {
            "parent_name": self.names.get(unit.parent_code, ""),
            "parent_path": self.path(path[:-1]),
            "path": self.path(path),
            "level": str(len(path)),
        }.get(value, "")

    def of_person(self, value: str, person: Person) -> str:
        """What stands in a cell of a member file."""
        if value in ("", "blank"):
            return ""
        if value == "id":
            return person.login_id.rpartition("@")[0]
        if value == "external_key":
            return person.staff_number
        if value == "orgunit_name":
            return self.names.get(person.orgunit_code) or person.orgunit_name
        if value == "orgunit_path":
            return self.path(self.paths.get(person.orgunit_code, ()))
        return str(getattr(person, value))
