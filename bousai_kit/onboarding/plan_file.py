"""A plan as a file: JSON that a second person can read, for its owner's eyes (0600), refused when altered.

It holds names (that is what is reviewed), and no password nor anything from which one could be derived.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, replace
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from bousai_kit.errors import InputError, os_reason
from bousai_kit.files import write_private
from bousai_kit.onboarding.bulk import collecting_later
from bousai_kit.onboarding.items import (
    LABELS,
    GroupItem,
    Leaver,
    LevelItem,
    PersonItem,
    Plan,
    PositionItem,
    RoomItem,
    UnitItem,
)
from bousai_kit.onboarding.passwords import PlanSecret, home_mark, plans_folder
from bousai_kit.roster import Person

__all__ = [
    "content_digest",
    "keep_copy",
    "kept_plan",
    "load_plan",
    "plan_digest",
    "prepare_plan",
    "save_plan",
]

FORMAT = "bousai-onboarding-plan/3"
_LARGEST = 1 << 28
_LISTS = {
    "suspend": Leaver,
    "stay": Leaver,
    "units": UnitItem,
    "levels": LevelItem,
    "positions": PositionItem,
    "groups": GroupItem,
    "rooms": RoomItem,
}
_NAMES = {"units": "orgunits"}
_ROW = tuple(one.name for one in fields(Person) if one.name != "extra")
_REPEATED = (
    *("orgunit_code", "orgunit_name", "position", "level", "hq_role", "ward", "bureau", "device_os", "note"),
)
_PUT = tuple(
    (one.name, getattr(Person, one.name).__set__, one.default)
    for one in fields(Person)
    if one.name not in (*_REPEATED, "extra")
)
_PUT_REPEATED = tuple((name, getattr(Person, name).__set__) for name in _REPEATED)
_PUT_EXTRA = vars(Person)["extra"].__set__
_row = attrgetter(*_ROW)
_terse = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_plain = json.JSONEncoder(ensure_ascii=False)

T = TypeVar("T")


def prepare_plan(plan: Plan, home: Path) -> Plan:
    """Mark a plan as made in this home: its passwords come from a secret that is kept here."""
    return replace(plan, home_mark=home_mark(home, plan.plan_id)) if plan.creates else plan


def save_plan(plan: Plan, path: Path) -> Path:
    """Write a plan, readable and writable by its owner alone; replaces whole or not at all."""
    document = _document(plan)
    document["sha256"] = _digests(document)[0]
    write_private(path, b"".join(_written(document)))
    return path


def load_plan(path: Path) -> Plan:
    """Read a plan.

    Raises
    ------
    InputError
        Not there, no plan, of another version, or not as it was written.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path.name} は計画のファイルとしては大きすぎます。")
        with collecting_later():
            document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(
            f"計画のファイル {path} を開けません（{os_reason(error)}）。",
            hint="`bousai onboard plan 名簿 --out PLAN.json` で作ったファイルを指定してください。",
        ) from None
    except (ValueError, RecursionError):
        document = None
    found = document.get("format") if isinstance(document, dict) else None
    if isinstance(found, str) and found != FORMAT and found.startswith(FORMAT.rpartition("/")[0]):
        raise InputError(
            f"計画のファイル {path.name} は、別の版の bousai_kit で作られたため、使えません。",
            hint="`bousai onboard plan` で計画を作り直してください。",
        )
    if not isinstance(document, dict) or found != FORMAT:
        raise InputError(
            f"{path.name} は登録計画のファイルではありません。",
            hint="`bousai onboard plan 名簿 --out PLAN.json` で作ったファイルを指定してください。",
        )
    whole, bare = _digests(document)
    if document.get("sha256") != whole:
        raise InputError(
            f"計画のファイル {path.name} は、作成後に書き換えられています。",
            hint="名簿を直して `bousai onboard plan` で計画を作り直してください。",
        )
    try:
        with collecting_later():
            plan = _plan(document)
            object.__setattr__(plan, "content_sha256", bare)
            return plan
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"計画のファイル {path.name} の内容を解釈できません。", hint="計画を作り直してください。"
        ) from None


def plan_digest(plan: Plan) -> str:
    """SHA-256 of the plan as it is written: two plans with one are the same plan."""
    return _digests(_document(plan))[0]


def content_digest(plan: Plan) -> str:
    """The same without the mark of the home that made it; known already of a plan that was loaded."""
    return plan.content_sha256 or _digests(_document(plan))[1]


def keep_copy(plan: Plan, home: Path) -> Path:
    """Keep the plan beside its secret, so that it can be undone and looked at without the file."""
    path = plans_folder(home) / f"{PlanSecret(home, plan.plan_id).path.stem}.json"
    return path if path.exists() else save_plan(plan, path)


def kept_plan(home: Path, plan_id: str) -> Plan:
    """The plan of an apply of this home.

    Raises
    ------
    InputError
        There is none.
    """
    path = home / "plans" / f"{PlanSecret(home, plan_id).path.stem}.json"
    if not path.is_file():
        raise InputError(
            f"登録 {plan_id} の計画が、このフォルダ（BOUSAI_HOME）にありません。",
            hint="`bousai onboard apply` を実行したのと同じ BOUSAI_HOME で実行してください。",
        )
    return load_plan(path)


# -- out and in ---------------------------------------------------------------------------------------


def _document(plan: Plan) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "plan_id": plan.plan_id,
        "made_at": plan.made_at.isoformat(),
        "domain_id": plan.domain_id,
        "roster_sha256": plan.roster_sha256,
        "leavers": plan.leavers,
        "summary": {
            name: value for name, value in plan.as_json().items() if name not in ("plan_id", "notes")
        },
        "notes": list(plan.notes),
        "labels": dict(LABELS),
        "people": _Rows(plan.people),
        **{_NAMES.get(name, name): [_slim(one) for one in getattr(plan, name)] for name in _LISTS},
        "masters": list(plan.masters),
        "left_alone": plan.left_alone,
        "bot_id": plan.bot_id,
        "posts": dict(plan.posts),
        "calls": plan.calls,
        "eta_s": plan.eta_s,
        "home_mark": plan.home_mark,
        "passwords": plan.passwords,
    }


class _Rows:
    """The people as they are written, made a few hundred at a time and not kept."""

    def __init__(self, people: tuple[PersonItem, ...]) -> None:
        self.people = people

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, part: slice) -> list[dict[str, Any]]:
        return [_person(item) for item in self.people[part]]


def _person(item: PersonItem) -> dict[str, Any]:
    person = item.person
    said: dict[str, Any] = {"action": item.action}
    said |= {name: value for name, value in zip(_ROW, _row(person), strict=True) if _says(value)}
    if person.extra:
        said["extra"] = dict(person.extra)
    if item.user_id:
        said["user_id"] = item.user_id
    if item.changes:
        said["changes"] = {name: list(pair) for name, pair in item.changes.items()}
    if item.before:
        said["before"] = dict(item.before)
    if item.reason:
        said["reason"] = item.reason
    if item.unit_before:
        said["unit_before"] = list(item.unit_before)
    return said


def _slim(one: Any) -> dict[str, Any]:
    found = {each.name: getattr(one, each.name) for each in fields(one)}
    if "changes" in found:
        found["changes"] = {name: list(pair) for name, pair in found["changes"].items()}
    return {name: value for name, value in found.items() if _says(value) or name == "action"}


def _says(value: Any) -> bool:
    return bool(value) or value == 0  # not "", None or an empty list


def _digests(document: Mapping[str, Any]) -> tuple[str, str]:
    """Of the JSON in its tersest form with sorted keys: as it is, and with an empty mark of the home.

    Made piece by piece and encoded once: it is tens of megabytes long.
    """
    whole, bare, head = hashlib.sha256(), hashlib.sha256(), "{"
    for name in sorted(set(document) - {"sha256"}):
        lead = f"{head}{_terse.encode(name)}:".encode("utf-8", "surrogatepass")
        whole.update(lead)
        bare.update(lead)
        for part in _parts(document[name], _terse, ","):
            whole.update(part)
            bare.update(part if name != "home_mark" else b'""')
        head = ","
    for digest in (whole, bare):
        digest.update(b"{}" if head == "{" else b"}")
    return whole.hexdigest(), bare.hexdigest()


def _written(document: Mapping[str, Any]) -> Iterator[bytes]:
    """The same for a person to read: one line a thing."""
    head = "{\n "
    for name, value in document.items():
        yield f"{head}{_plain.encode(name)}: ".encode()
        yield from _parts(value, _plain, ",\n  ")
        head = ",\n "
    yield b"\n}\n"


def _parts(value: Any, encoder: json.JSONEncoder, between: str) -> Iterator[bytes]:
    """One value; a list of things a few hundred at a time."""
    if not isinstance(value, list | _Rows) or len(value) == 0:
        value = [] if isinstance(value, _Rows) else value
        yield encoder.encode(value).encode("utf-8", "surrogatepass")
        return
    head, encode = "[" + between[1:], encoder.encode
    for first in range(0, len(value), 500):
        some = value[first : first + 500]
        text = encode(some)[1:-1] if between == "," else between.join(map(encode, some))
        yield f"{head}{text}".encode("utf-8", "surrogatepass")
        head = between
    yield b"]"


def _plan(document: Mapping[str, Any]) -> Plan:
    lists: dict[str, Any] = {
        name: tuple(_made(kind, one) for one in document[_NAMES.get(name, name)])
        for name, kind in _LISTS.items()
    }
    return Plan(
        plan_id=str(document["plan_id"]),
        made_at=datetime.fromisoformat(document["made_at"]),
        domain_id=int(document["domain_id"]),
        roster_sha256=str(document["roster_sha256"]),
        leavers=str(document["leavers"]),
        people=_made_people(document["people"]),
        masters=tuple(document["masters"]),
        left_alone=int(document["left_alone"]),
        bot_id=int(document["bot_id"]),
        posts=dict(document["posts"]),
        notes=tuple(document["notes"]),
        calls=int(document["calls"]),
        eta_s=float(document["eta_s"]),
        home_mark=str(document["home_mark"]),
        passwords=_passwords(document),
        **lists,
    )


def _passwords(document: Mapping[str, Any]) -> str:
    way = str(document["passwords"])
    if way not in ("admin", "member"):
        raise ValueError(way)
    return way


def _made(kind: type[T], said: Mapping[str, Any]) -> T:
    return kind(**{name: _value(name, value) for name, value in said.items()})


def _made_people(said: list[Any]) -> tuple[PersonItem, ...]:
    """In the place of what was read, which is so given back one by one."""
    for place, one in enumerate(said):
        said[place] = _made_person(one)
    return tuple(said)


def _made_person(said: dict[str, Any]) -> PersonItem:
    """Field by field past the `__init__` of the frozen class, which takes three times as long."""
    person, take = object.__new__(Person), said.pop
    for name, put, usual in _PUT:
        put(person, take(name) if usual is MISSING else take(name, usual))
    for name, put in _PUT_REPEATED:
        put(person, sys.intern(take(name, "")))
    _PUT_EXTRA(person, take("extra", None) or {})
    if len(said) > 1:
        said = {name: _value(name, value) for name, value in said.items()}
    return PersonItem(person=person, **said)


def _value(name: str, value: Any) -> Any:
    if name == "changes":
        return {field: (str(pair[0]), str(pair[1])) for field, pair in value.items()}
    return tuple(value) if isinstance(value, list) else value
