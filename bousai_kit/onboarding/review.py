"""A plan as an Excel file for the second person: posts, people, units, groups, rooms, and what to look at.

It holds names, as the plan file does: written for its owner alone, and meant to be deleted after the review.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bousai_kit.files import write_private
from bousai_kit.onboarding.items import LABELS, STAYS, PersonItem, Plan
from bousai_kit.onboarding.posts import KINDS, count_posts, deputies_in_doubt, posts_of
from bousai_kit.onboarding.titles import KINDS as TITLES
from bousai_kit.tables import xlsx_bytes

__all__ = ["review_sheets", "write_review"]

Sheet = tuple[Sequence[str], Iterable[Sequence[object]]]

_ACTIONS = {
    "create": "新規", "update": "変更", "unchanged": "変更なし", "conflict": "登録しません",
    "rebuild": "作り直し", "leave": "退出",
}  # fmt: skip

_IN_THE_CONSOLE = {
    "pending": "（もう使わない人は、管理画面で削除）",
    "administrator": "（異動や退職の人は、管理画面で管理者を替える）",
}


def review_sheets(plan: Plan) -> dict[str, Sheet]:
    """Sheet title → header and rows."""
    numbers = {item.user_id: item.person.staff_number for item in plan.people if item.user_id}
    numbers |= {leaver.user_id: leaver.staff_number for leaver in plan.suspend}
    return {
        "概要": (("項目", "数"), list(_summary(plan))),
        "ポスト": (("区分", "所属", "役職", "本部役割", "前任", "後任"), list(_posts(plan))),
        "人": (("すること", "名簿の行", "職員番号", "氏名", "項目", "いま", "計画"), list(_people(plan))),
        "組織": (
            ("すること", "コード", "名称", "上位組織", "変更"),
            [
                (_ACTIONS[one.action], one.code, one.name, one.parent_code, _said(one.changes))
                for one in plan.units
            ],
        ),
        "職級・役職": (
            ("すること", "種類", "名称", "並び順"),
            [
                (_ACTIONS[one.action], kind.label, one.name, one.order)
                for kind in TITLES
                for one in getattr(plan, kind.plural)
            ],
        ),
        "グループ": (
            ("すること", "名称", "人数", "入る人", "外す人数", "外す人", "変更"),
            [
                (
                    _ACTIONS[one.action],
                    one.name,
                    len(one.members),
                    "、".join(one.members if one.action == "create" else one.add),
                    len(one.remove),
                    "、".join(numbers.get(user_id) or user_id for user_id in one.remove),
                    _said(one.changes),
                )
                for one in plan.groups
            ],
        ),
        "トークルーム": (
            ("すること", "名称", "人数", "入る人（職員番号）"),
            [
                (_ACTIONS[one.action], one.title, len(one.members), "、".join(one.members))
                for one in plan.rooms
            ],
        ),
    }


def write_review(plan: Plan, path: Path) -> Path:
    """Write it (0600), whole or not at all."""
    write_private(path, xlsx_bytes(review_sheets(plan)))
    return path


def _summary(plan: Plan) -> Iterator[tuple[str, object]]:
    yield "計画 ID", plan.plan_id
    yield "作成日時（UTC）", f"{plan.made_at:%Y-%m-%d %H:%M:%S}"
    for action, label in (("create", "新規登録"), ("update", "変更"), ("unchanged", "変更なし")):
        yield f"{label}（名）", plan.count(action)
    yield "一時停止（名）", len(plan.suspend)
    yield "登録しない人・競合（名）", plan.count("conflict")
    yield "名簿になく、そのままにする人（名）", plan.left_alone
    for kind, count in count_posts(posts_of(plan)).items():
        yield f"ポスト：{KINDS[kind]}", count
    yield "通信の回数", plan.calls
    yield "見込みの時間（分）", max(1, round(plan.eta_s / 60))
    for note in plan.notes:
        yield "注意", note
    for number, why in deputies_in_doubt(plan):
        yield f"代理の確認：職員番号 {number}", why


def _posts(plan: Plan) -> Iterator[tuple[object, ...]]:
    def holders(people: Iterable[tuple[str, str, str]]) -> str:
        return "、".join(f"{name}（{number}{'、' + said if said else ''}）" for number, name, said in people)

    for one in sorted(posts_of(plan), key=lambda change: change.kind == "unchanged"):
        yield (
            KINDS[one.kind],
            one.post.unit,
            one.post.position,
            "、".join(one.roles),
            holders(one.before),
            holders(one.after),
        )


def _people(plan: Plan) -> Iterator[tuple[object, ...]]:
    units = {unit.code: unit.name for unit in plan.units}
    for item in plan.people:
        person = item.person
        who = (person.row, person.staff_number, person.name)
        if item.action == "create":
            for name, value in _new(item, plan, units):
                yield _ACTIONS[item.action], *who, LABELS[name], "", value
        elif not item.changes:
            yield _ACTIONS[item.action], *who, "", "", item.reason
        for name, (old, new) in item.changes.items():
            yield _ACTIONS[item.action], *who, LABELS[name], old, new
    for leaver in plan.suspend:
        post = f"{leaver.unit} {leaver.position}".strip()
        yield "一時停止", None, leaver.staff_number, leaver.name, "名簿にない人", post, ""
    for leaver in plan.stay:
        post = f"{leaver.unit} {leaver.position}".strip()
        said = STAYS[leaver.reason] + _IN_THE_CONSOLE.get(leaver.reason, "")
        yield "そのまま", None, leaver.staff_number, leaver.name, "名簿にない人", post, said


def _new(item: PersonItem, plan: Plan, units: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What a new account will hold: nobody can look it up anywhere before it is made."""
    person = item.person
    yield "login_id", person.login_id
    yield "orgunit", f"{units.get(person.orgunit_code, '')}（{person.orgunit_code}）"
    if person.position and plan.positions:
        yield "position", person.position
    if person.level and plan.levels:
        yield "level", person.level


def _said(changes: Mapping[str, tuple[str, str]]) -> str:
    return "、".join(f"{LABELS[name]}「{old}」→「{new}」" for name, (old, new) in changes.items())
