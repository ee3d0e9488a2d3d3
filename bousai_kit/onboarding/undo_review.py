"""An undo as an Excel file for the second person, what cannot be taken back first; and as rows for a screen.

The Excel file holds names, which are looked up in the plan that the home keeps. Nothing else here does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bousai_kit.files import write_private
from bousai_kit.onboarding.items import LABELS, PRIVATE, PersonItem, Plan
from bousai_kit.onboarding.undo_items import FIELDS, UndoPlan
from bousai_kit.tables import xlsx_bytes

__all__ = ["undo_rows", "undo_sheets", "write_undo_review"]

Sheet = tuple[Sequence[str], Iterable[Sequence[object]]]

_BEGUN = "利用を始めているため、削除しません"
_NO_NAMES = "この端末に登録の計画の控えがないため、氏名と、元の値は載っていません。"


def undo_sheets(undo: UndoPlan, plan: Plan | None) -> dict[str, Sheet]:
    """Sheet title → header and rows.

    Parameters
    ----------
    plan : Plan or None
        Of the apply: knows names and values. None, or another one: the sheets do without.
    """
    if plan is not None and plan.plan_id != undo.apply_id:
        plan = None
    return {
        "取り消せないもの": (
            ("対象", "理由"),
            [(one["subject"], one["reason"]) for one in undo.impossible] or [("なし", "")],
        ),
        "概要": (("項目", "内容"), list(_summary(undo, plan))),
        "人": (("すること", "職員番号", "氏名", "項目", "いま", "取り消した後"), list(_people(undo, plan))),
        "グループ": (
            ("すること", "グループ", "メンバー（職員番号）", "取り消した後の名称"),
            list(_groups(undo)),
        ),
        "組織": (("すること", "コード", "取り消した後"), list(_units(undo))),
        "役職など": (("すること", "名称"), list(_titles(undo))),
        "トークルーム": (
            ("すること", "名称"),
            [("Bot が退出（ルームと履歴は残ります）", undo.labels.get(one, one)) for one in undo.rooms],
        ),
    }


def write_undo_review(undo: UndoPlan, plan: Plan | None, path: Path) -> Path:
    """Write it (0600), whole or not at all."""
    write_private(path, xlsx_bytes(undo_sheets(undo, plan)))
    return path


def undo_rows(undo: UndoPlan, plan: Plan | None, *, most: int = 200) -> list[tuple[str, str, str]]:
    """What is done to whom or what, at most so many: for a screen that others may see, without names."""
    rows: list[tuple[str, str, str]] = []
    items = _items(plan)
    for what, user_id, why in _whom(undo):
        if len(rows) >= most:
            return rows
        rows.append((what, _label(undo, user_id), why))
    for user_id, wires in undo.restore[: most - len(rows)]:
        said = "、".join(_said_back(items.get(undo.labels.get(user_id, "")), wires))
        rows.append(("元に戻す", _label(undo, user_id), said))
    for sheet in (_groups(undo), _units(undo), _titles(undo)):
        rows += [(str(row[0]), str(row[1]), " ".join(str(one) for one in row[2:] if one)) for row in sheet]
    rows += [("Bot が退出", undo.labels.get(one, one), "") for one in undo.rooms]
    return rows[:most]


def _said_back(item: PersonItem | None, wires: Iterable[str]) -> Iterator[str]:
    """Now → then of each field; what is private is not shown."""
    for name in _fields(item, wires):
        if item is None:
            yield LABELS[name]
        elif name in PRIVATE:
            yield f"{LABELS[name]}（登録前のとおり）"
        else:
            old, new = item.changes[name]
            yield f"{LABELS[name]}「{new or 'なし'}」→「{old or 'なし'}」"


def _fields(item: PersonItem | None, wires: Iterable[str]) -> list[str]:
    """Fields of a plan; of an unknown one all that the properties can hold."""
    found = [name for wire in wires for name in FIELDS.get(wire, ()) if name in LABELS]
    return [name for name in found if item is None or name in item.changes]


def _items(plan: Plan | None) -> Mapping[str, PersonItem]:
    return {} if plan is None else {item.person.staff_number: item for item in plan.people}


def _whom(undo: UndoPlan) -> Iterator[tuple[str, str, str]]:
    """What, member, why: all but those who are set back."""
    for user_id in undo.delete:
        yield "削除", user_id, "7 日間は復元できます"
    for user_id in undo.suspend:
        yield "一時停止", user_id, _BEGUN
    for user_id in undo.unsuspend:
        yield "一時停止を解除", user_id, ""


def _label(undo: UndoPlan, user_id: str) -> str:
    return undo.labels.get(user_id) or user_id


def _summary(undo: UndoPlan, plan: Plan | None) -> Iterator[tuple[str, object]]:
    yield "取り消しの計画 ID", undo.undo_id
    yield "取り消す登録の ID", undo.apply_id
    if undo.made_at is not None:
        yield "作成日時（UTC）", f"{undo.made_at:%Y-%m-%d %H:%M:%S}"
    yield "取り消せないもの（件）", len(undo.impossible)
    for count, text in undo.counts():
        yield f"{count:,}", f"{text}。"
    yield "通信の回数", undo.calls
    yield "見込みの時間（分）", max(1, round(undo.eta_s / 60))
    for note in [*undo.notes, *([_NO_NAMES] if plan is None else [])]:
        yield "注意", note


def _people(undo: UndoPlan, plan: Plan | None) -> Iterator[tuple[object, ...]]:
    items = _items(plan)
    names = {number: item.person.name for number, item in items.items()}
    names |= {one.staff_number or one.user_id: one.name for one in plan.suspend} if plan is not None else {}
    for what, user_id, why in _whom(undo):
        label = _label(undo, user_id)
        yield what, label, names.get(label, ""), why, "", ""
    for user_id, wires in undo.restore:
        label = _label(undo, user_id)
        item = items.get(label)
        for name in _fields(item, wires):
            old, new = item.changes[name] if item is not None else ("", "")
            yield "元に戻す", label, names.get(label, ""), LABELS[name], new, old


def _groups(undo: UndoPlan) -> Iterator[tuple[object, ...]]:
    for one in undo.groups:
        yield "削除（トークの履歴ごと）", undo.labels.get(one, one), "", ""
    for one, name in undo.group_names:
        yield "名前を戻す", undo.labels.get(one, one), "", name
    for group_id, user_id, back in undo.group_members:
        what = "グループに戻す" if back else "グループから外す"
        yield what, undo.labels.get(group_id, group_id), _label(undo, user_id), ""


def _units(undo: UndoPlan) -> Iterator[tuple[object, ...]]:
    for one, name in undo.unit_changes:
        yield "名前を戻す", undo.labels.get(one, one), name
    for one, parent, _ in undo.unit_moves:
        yield "上位組織を戻す", undo.labels.get(one, one), undo.labels.get(parent, parent)
    for one in undo.units:
        yield "削除", undo.labels.get(one, one), ""


def _titles(undo: UndoPlan) -> Iterator[tuple[object, ...]]:
    for label, listed in (("役職", undo.positions), ("職級", undo.levels)):
        for one in listed:
            yield f"{label}を削除", undo.labels.get(one, one)
