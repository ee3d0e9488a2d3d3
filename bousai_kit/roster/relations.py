"""What only shows when rows are seen together: duplicates, deputies, heads of wards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bousai_kit.roster.columns import key
from bousai_kit.roster.model import Person
from bousai_kit.roster.rules import Report

__all__ = ["check_people"]

_HEAD = "区本部長"
_FEW, _NEARLY_ALL = 5, 0.8  # below so many numbers nothing is usual
_NOT_DIGITS = {code: None for code in range(128) if not chr(code).isdigit()}


def check_people(people: Sequence[Person], report: Report) -> None:
    """Report duplicates and shared telephones, deputies who lead nowhere, wards without or with two heads."""
    staff = [key(person.staff_number) for person in people]
    logins = [key(person.login_id).casefold() for person in people]
    _unique(people, report, "staff_number", staff)
    _unique(people, report, "login_id", logins)
    _lost_zeros(people, report, staff)
    _phones(people, report)
    _deputies(people, report, staff, logins)
    _wards(people, report)
    if people and not report.has("device_os"):
        report.warning(
            0,
            "device_os",
            "端末OS の列がありません。端末別の集計と、端末のない人の確認をするには、列を足してください。",
        )


def _unique(people: Sequence[Person], report: Report, name: str, values: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for person, value in zip(people, values, strict=True):
        if not value:
            continue
        row = first.setdefault(value, person.row)
        if row != person.row:
            report.error(
                person.row, name, f"{row} 行目と同じ値です（重複）。どちらかを直すか、消してください。"
            )


def _lost_zeros(people: Sequence[Person], report: Report, staff: Sequence[str]) -> None:
    """Numbers that are shorter than all the others: a spreadsheet takes zeros away without a word."""
    usual = _usual_width([number for number in staff if number.isascii() and number.isdigit()])
    for person, number in zip(people, staff, strict=True):
        if usual and len(number) < usual and number.isascii() and number.isdigit():
            report.warning(
                person.row,
                "staff_number",
                f"ほかの行は {usual} 桁です。Excel が先頭の 0 を消していないか確かめてください"
                f"（0 を補うと {number.zfill(usual)}）。",
            )


def _usual_width(numbers: Sequence[str]) -> int:
    """How many digits the numbers have: as nearly all, or as those that begin with 0; 0: nobody knows."""
    led = {len(number) for number in numbers if number[0] == "0"}
    if len(led) == 1:
        return max(led) if max(led) >= max(map(len, numbers)) else 0
    if not led and len(numbers) >= _FEW:
        width, count = Counter(map(len, numbers)).most_common(1)[0]
        return width if count >= len(numbers) * _NEARLY_ALL else 0
    return 0


def _phones(people: Sequence[Person], report: Report) -> None:
    first: dict[str, int] = {}
    for person in people:
        digits = person.phone.translate(_NOT_DIGITS)
        if digits:
            if digits.startswith("81") and len(digits) > 10:  # +81-90-… is 090-…
                digits = f"0{digits[2:].removeprefix('0')}"
            row = first.setdefault(digits, person.row)
            if row != person.row:
                report.warning(
                    person.row, "phone", f"{row} 行目と同じ電話番号です。共用の端末でないか確認してください。"
                )


def _deputies(people: Sequence[Person], report: Report, staff: Sequence[str], logins: Sequence[str]) -> None:
    by_staff: dict[str, int] = {}
    by_login: dict[str, int] = {}
    by_name: dict[str, list[int]] = {}
    if any(person.deputy_for for person in people):
        for index in range(len(people) - 1, -1, -1):
            by_staff[staff[index]] = by_login[logins[index]] = index
        for index, person in enumerate(people):
            by_name.setdefault(_name_key(person.name), []).append(index)
    target: dict[int, int] = {}
    ranks: dict[tuple[int, int], int] = {}
    for index, person in enumerate(people):
        if not person.deputy_for:
            if person.deputy_order is not None:
                report.warning(
                    person.row,
                    "deputy_for",
                    "代理順位がありますが、代理対象が空です。相手の職員番号を書くか、順位を消してください。",
                )
            continue
        wanted = key(person.deputy_for)
        found = by_staff.get(wanted, by_login.get(wanted.casefold()))
        if found is None:
            same = by_name.get(_name_key(wanted), [])
            if len(same) != 1:
                said = "同じ氏名が複数あります" if same else "名簿の誰も指していません"
                report.warning(person.row, "deputy_for", f"代理対象が{said}。職員番号で書いてください。")
                continue
            found = same[0]
        target[index] = found
        if person.deputy_order is not None:
            row = ranks.setdefault((found, person.deputy_order), person.row)
            if row != person.row:
                report.warning(
                    person.row,
                    "deputy_order",
                    f"{row} 行目と同じ代理対象・同じ順位です。順位を分けてください。",
                )
    _circles(people, target, report)


def _name_key(name: str) -> str:
    return "".join(key(name).split())


def _circles(people: Sequence[Person], target: dict[int, int], report: Report) -> None:
    """One issue a circle, at its first row."""
    done: set[int] = set()
    for start in target:
        path: dict[int, None] = {}
        at = start
        while at in target and at not in done and at not in path:
            path[at] = None
            at = target[at]
        if at in path:
            members = list(path)[list(path).index(at) :]
            rows = sorted(people[index].row for index in members)
            shown = "、".join(map(str, rows[:10])) + ("…" if len(rows) > 10 else "")
            said = "自分自身を指しています" if len(rows) == 1 else f"輪になっています（{shown} 行目）"
            report.warning(rows[0], "deputy_for", f"代理対象が{said}。誰かで終わるように直してください。")
        done.update(path)


def _wards(people: Sequence[Person], report: Report) -> None:
    first: dict[str, int] = {}
    head: dict[str, int] = {}
    for person in people:
        ward, leads = key(person.ward), key(person.hq_role) == _HEAD
        if ward:
            first.setdefault(ward, person.row)
        elif leads:
            report.warning(person.row, "ward", f"{_HEAD}ですが、区が空です。区の名前を書いてください。")
        if ward and leads:
            row = head.setdefault(ward, person.row)
            if row != person.row:
                report.warning(
                    person.row, "hq_role", f"{ward}の{_HEAD}が 2 人います（{row} 行目）。1 人にしてください。"
                )
    for ward, row in first.items():
        if ward not in head:
            report.warning(
                row,
                "hq_role",
                f"{ward}に{_HEAD}がいません。{_HEAD}にする人の「本部役割」を「{_HEAD}」にしてください。",
            )
