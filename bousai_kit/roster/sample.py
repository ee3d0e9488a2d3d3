"""A city of people who do not exist: the shipped sample of 200, and as many generated ones as a test needs.

Everything follows from a person's number by formula, so the first N of a larger sample are the smaller one.
To write the shipped files again::

    python -c "from bousai_kit.roster.sample import write_sample; write_sample('roster')"
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from bousai_kit.errors import InputError
from bousai_kit.roster.model import Person, Roster, RosterUnit, roster_rows, unit_rows
from bousai_kit.roster.sample_city import BUREAUS, FIRST, OFFICES, SECOND, SURNAMES, WARDS
from bousai_kit.tables import csv_bytes, write_csv

__all__ = ["LARGEST", "SAMPLE", "sample_people", "sample_roster", "sample_units", "write_sample"]

SAMPLE = Path(__file__).parent.parent.parent / "roster" / "sample_roster.csv"
LARGEST = len(SURNAMES) * len(FIRST) * len(SECOND)  # 30,000 different names, and as many telephone numbers

_NOTE = "架空の人物"
_DOMAIN = "city-demo"
_EXECUTIVE, _CRISIS = "A00", "A10"
_CRISIS_ROLES = (  # position, deputises for the n-th of this list (-1: the mayor), in which order
    ("危機管理監", -1, 4),
    ("危機管理室長", 0, 1),
    ("課長", 1, 1),
    ("課長", 1, 2),
    ("課長", 1, 3),
    *(("課長代理", 2 + number // 2, 1 + number % 2) for number in range(6)),
    *(("係長", 5 + number, 1) for number in range(6)),
    *(("主任", None, None) for _ in range(7)),
)


@dataclass(frozen=True, slots=True)
class _Post:
    """A place in the city that somebody fills."""

    unit: str
    position: str
    hq_role: str = ""
    ward: str = ""
    bureau: str = ""
    deputy_for: int | None = None  # number of that person
    deputy_order: int | None = None


@lru_cache(maxsize=1)
def sample_units() -> tuple[RosterUnit, ...]:
    """The units of the city, parents before children."""
    units = [RosterUnit(_EXECUTIVE, "市長室", order=1)]
    units.append(RosterUnit(_CRISIS, "危機管理室", order=2, bureau="危機管理室"))
    code = {}
    for number, name in enumerate(BUREAUS, 1):
        code[name] = f"B{number:02d}"
        units.append(RosterUnit(code[name], name, order=2 + number, bureau=name))
    for number, name in enumerate(WARDS, 1):
        units.append(RosterUnit(f"W{number:02d}", f"{name}役所", order=2 + len(BUREAUS) + number, ward=name))
    seen: dict[str, int] = {}
    for bureau, office, _ in OFFICES:
        seen[bureau] = seen.get(bureau, 0) + 1
        unit = f"{code[bureau]}-{seen[bureau]}"
        units.append(RosterUnit(unit, f"{bureau} {office}", code[bureau], seen[bureau], bureau=bureau))
    for number, name in enumerate(WARDS, 1):
        units.append(RosterUnit(f"W{number:02d}-1", f"{name}役所 総務課", f"W{number:02d}", 1, ward=name))
    return tuple(replace(unit, top=not unit.parent_code) for unit in units)


@lru_cache(maxsize=1)
def _posts() -> tuple[_Post, ...]:
    """The 200 posts of the shipped sample."""
    posts = [_Post(_EXECUTIVE, "市長", "本部長")]
    posts += [_Post(_EXECUTIVE, "副市長", "副本部長", deputy_for=0, deputy_order=n) for n in (1, 2, 3)]
    first = len(posts)
    for position, target, order in _CRISIS_ROLES:
        whom = None if target is None else 0 if target < 0 else first + target
        posts.append(_Post(_CRISIS, position, "事務局", "", "危機管理室", whom, order))
    units = {unit.name: unit.code for unit in sample_units()}
    heads = [(bureau, bureau, position) for bureau, position in BUREAUS.items()]
    heads += [(f"{bureau} {office}", bureau, position) for bureau, office, position in OFFICES]
    for name, bureau, position in heads:
        head = len(posts)
        posts.append(_Post(units[name], position, "本部員", "", bureau))
        posts.append(_Post(units[name], "係長", "連絡員", "", bureau, head, 1))
    for name in WARDS:
        head, unit = len(posts), units[f"{name}役所"]
        posts.append(_Post(unit, "区長", "区本部長", name))
        posts.append(_Post(unit, "副区長", "区副本部長", name, "", head, 1))
        posts.append(_Post(f"{unit}-1", "総務課長", "連絡員", name, "", head + 1, 1))
    return tuple(posts)


@lru_cache(maxsize=1)
def _places() -> tuple[RosterUnit, ...]:
    return tuple(unit for unit in sample_units() if unit.ward or unit.bureau)


def _generated(number: int) -> _Post:
    """A post beyond the 200: staff of wards and bureaus in turn."""
    places = _places()
    unit = places[number * 7 % len(places)]
    position = ("係員", "係員", "主任", "係員", "係長")[number // len(places) % 5]
    return _Post(unit.code, position, "", unit.ward, unit.bureau)


def _staff_number(number: int) -> str:
    return str(900_001 + number)


def _person(number: int, post: _Post, names: dict[str, str]) -> Person:
    last, last_kana, romaji = SURNAMES[number % len(SURNAMES)]
    turn = number // len(SURNAMES)
    given = (turn * 7 + number % len(SURNAMES) * 31) % (len(FIRST) * len(SECOND))
    (head, head_kana), (tail, tail_kana) = FIRST[given % len(FIRST)], SECOND[given // len(FIRST)]
    share = (number * 37 + 5) % 100
    device = "iOS" if share < 55 else "Android" if share < 95 else "なし"
    if device == "なし" and post.hq_role.endswith(("本部長", "本部員")):
        device = "iOS"  # whoever decides has a phone
    prefix = ("090", "080", "070")[number // 10_000]
    return Person(
        row=number + 2,
        staff_number=_staff_number(number),
        last_name=last,
        first_name=head + tail,
        last_kana=last_kana,
        first_kana=head_kana + tail_kana,
        login_id=f"{romaji}{number + 1:04d}@{_DOMAIN}",
        orgunit_code=post.unit,
        orgunit_name=names[post.unit],
        position=post.position,
        hq_role=post.hq_role,
        ward=post.ward,
        bureau=post.bureau,
        deputy_order=post.deputy_order,
        deputy_for="" if post.deputy_for is None else _staff_number(post.deputy_for),
        device_os=device,
        phone="" if device == "なし" else f"{prefix}-0000-{number % 10_000:04d}",
        note=_NOTE,
    )


def _everybody(people: int) -> Iterator[Person]:
    posts, names = _posts(), {unit.code: unit.name for unit in sample_units()}
    for number in range(people):
        post = posts[number] if number < len(posts) else _generated(number)
        if post.deputy_for is not None and post.deputy_for >= people:
            post = replace(post, deputy_for=None, deputy_order=None)
        yield _person(number, post, names)


def sample_people(people: int = 200) -> tuple[Person, ...]:
    """The first so many people of the sample city: the shipped 200, and generated ones beyond.

    Parameters
    ----------
    people : int
        0 to 30,000.

    Raises
    ------
    InputError
        More people than there are different names.
    """
    if not 0 <= people <= LARGEST:
        raise InputError(
            f"見本の名簿は {LARGEST:,} 人までです（指定: {people:,}）。", hint="人数を減らしてください。"
        )
    return tuple(_everybody(people))


def sample_roster(people: int = 200) -> Roster:
    """The same people as a roster, with header and hash as if it had been read from its CSV.

    Raises
    ------
    InputError
        More people than there are different names.
    """
    roster = Roster(people=sample_people(people), units=sample_units())
    header, rows = roster_rows(roster)
    digest = hashlib.sha256(csv_bytes(header, rows)).hexdigest()
    return replace(roster, header=header, sha256=digest)


def write_sample(folder: str | Path) -> None:
    """Write the two shipped files."""
    write_csv(Path(folder) / "sample_roster.csv", *roster_rows(sample_roster(200)))
    write_csv(Path(folder) / "sample_orgunits.csv", *unit_rows(sample_units()))
