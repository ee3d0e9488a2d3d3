"""The tables of ``10_onboarding``: by row and staff number, never by name (widgets outlive the screen)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bousai_kit.panels.base import esc, table_html

if TYPE_CHECKING:
    from bousai_kit.onboarding.activation import Status
    from bousai_kit.onboarding.apply import ApplyResult
    from bousai_kit.onboarding.items import Plan
    from bousai_kit.roster import Check

__all__ = [
    "changes_table",
    "check_table",
    "counts_table",
    "group_table",
    "posts_table",
    "result_table",
    "status_table",
]

_PRIVATE = {"last_name", "first_name", "last_kana", "first_kana", "phone", "login_id"}


def check_table(checked: Check | None) -> str:
    """All problems of the roster."""
    if checked is None:
        return ""
    if not checked.issues:
        return f"<p>{checked.people:,} 名を確認しました。誤りも注意もありません。</p>"
    rows = [
        (one.row or None, one.column, "誤り" if one.severity == "error" else "注意", one.problem)
        for one in sorted(checked.issues, key=lambda one: (one.severity != "error", one.row))
    ]
    caption = f"名簿の確認（{checked.people:,} 名、誤り {checked.errors:,} 件、"
    caption += f"注意 {len(checked.issues) - checked.errors:,} 件）"
    return table_html(caption, ("行", "列", "種類", "内容と直し方"), rows)


def counts_table(plan: Plan | None) -> str:
    """What the plan would do, in numbers."""
    if plan is None:
        return ""
    said = plan.as_json()
    rows: list[tuple[object, ...]] = [
        ("メンバー", plan.count("create"), plan.count("update"), plan.count("unchanged")),
        *(
            (label, said[key]["create"], said[key].get("update", 0), said[key]["unchanged"])
            for label, key in (("組織", "orgunits"), ("役職", "positions"), ("グループ", "groups"))
        ),
    ]
    rooms, posts = said["rooms"], said["posts"]
    if plan.rooms:
        rows.append(("トークルーム", rooms["create"], rooms["rebuild"], rooms["unchanged"]))
    more = [
        ("交代するポスト", posts["handed_over"]),
        ("空席になるポスト", posts["vacated"]),
        ("一時停止する人", len(plan.suspend)),
        ("登録できない人（競合）", plan.count("conflict")),
        ("名簿になく、そのままにする人", plan.left_alone),
        ("通信の回数", plan.calls),
        ("見込みの時間（分）", max(1, round(plan.eta_s / 60))),
    ]
    notes = "".join(f"<li>{esc(sentence)}</li>" for sentence in plan.notes)
    return (
        table_html("計画の内容", ("対象", "新規", "変更", "変更なし"), rows)
        + table_html("計画のその他", ("項目", "数"), more)
        + (f"<ul>{notes}</ul>" if notes else "")
    )


def changes_table(plan: Plan | None) -> str:
    """What changes for whom; whose name changes to what stands in the roster."""
    from bousai_kit.onboarding.items import LABELS

    if plan is None:
        return ""
    rows: list[tuple[object, ...]] = []
    for item in plan.of("conflict"):
        rows.append((item.person.row, item.person.staff_number, "登録しません", item.reason))
    for item in plan.of("update"):
        said = "、".join(_change(LABELS, name, pair) for name, pair in item.changes.items())
        rows.append((item.person.row, item.person.staff_number, "変更", said))
    for leaver in plan.suspend:
        rows.append((None, leaver.staff_number or leaver.user_id, "一時停止", "名簿にない人"))
    names = {unit.code: unit.name for unit in plan.units}
    for item in plan.creates:
        where = f"{names.get(item.person.orgunit_code, '')} {item.person.position}".strip()
        rows.append((item.person.row, item.person.staff_number, "新規", where))
    return table_html("一人ずつの内容", ("名簿の行", "職員番号", "すること", "内容"), rows) if rows else ""


def posts_table(plan: Plan | None) -> str:
    """Which posts change hands, from whom to whom, and whose place as a deputy is in doubt."""
    from bousai_kit.onboarding.posts import KINDS, deputies_in_doubt, posts_of

    if plan is None:
        return ""
    rows = [
        (
            KINDS[one.kind],
            str(one.post),
            "、".join(number for number, _, _ in one.went) or "なし",
            "、".join(number for number, _, _ in one.came) or "なし",
        )
        for one in posts_of(plan)
        if one.kind in ("handed_over", "vacated") or (one.kind == "filled" and plan.count("unchanged"))
    ]
    text = (
        table_html("ポストの異動", ("区分", "ポスト", "前任（職員番号）", "後任（職員番号）"), rows)
        if rows
        else ""
    )
    doubts = deputies_in_doubt(plan)
    return text + (table_html("代理順位の確認", ("職員番号", "理由"), doubts) if doubts else "")


def _change(labels: Mapping[str, str], name: str, pair: tuple[str, str]) -> str:
    if name in _PRIVATE:
        return f"{labels[name]}（名簿のとおり）"
    return f"{labels[name]}「{pair[0] or 'なし'}」→「{pair[1] or 'なし'}」"


def result_table(result: ApplyResult | None) -> str:
    """How the apply ended, and what is left."""
    if result is None:
        return ""
    rows: list[tuple[object, ...]] = [
        ("今回実行した件数", result.done),
        ("以前に実行済みの件数", result.skipped),
        ("失敗", len(result.failed)),
        ("未確定", len(result.unknown)),
        ("停止で残った件数", result.left),
    ]
    text = table_html("登録の結果", ("項目", "件数"), rows)
    left = [
        (one["row"], one["staff_number"] or one["step"], one["reason"])
        for one in (*result.failed, *result.unknown)
    ]
    if left:
        text += table_html("残ったもの", ("名簿の行", "職員番号など", "理由"), left)
    if result.orphans:
        lost = [(title, "Bot の参加通知がなく、退出できません") for title in result.orphans]
        text += table_html("孤立したトークルーム", ("名称", "理由"), lost)
    if result.rejects is not None:
        text += f"<p>登録できなかった行：{esc(result.rejects)}（直して、名簿として使えます）</p>"
    return text


def status_table(status: Status | None) -> str:
    """The funnel, in all and by device."""
    if status is None:
        return ""
    header = ("端末", "対象", "登録済み", "ログイン済み", "ログイン率", "Bot の反応あり")
    groups = [("全員", status.as_json()), *status.by_device_os.items()]
    rows = [
        (
            name,
            counts["planned"],
            counts["created"],
            counts["active"],
            f"{counts['active'] / counts['created']:.0%}" if counts["created"] else "－",
            counts["reachable"],
        )
        for name, counts in groups
    ]
    text = table_html("ログインの状況", header, rows)
    if status.stuck:
        stuck = [(one["staff_number"], one["reason"]) for one in status.stuck]
        text += table_html("対応が必要な人", ("職員番号", "理由"), stuck)
    return text


def group_table(status: Status | None, by: str) -> str:
    """The funnel by ``ward`` or ``bureau``."""
    if status is None:
        return ""
    label = {"ward": "区", "bureau": "局"}[by]
    groups: Mapping[str, Mapping[str, int]] = getattr(status, f"by_{by}")
    rows = [
        (name, counts["planned"], counts["active"], counts["pending"], counts["reachable"])
        for name, counts in groups.items()
    ]
    header = (label, "対象", "ログイン済み", "登録待ち", "Bot の反応あり")
    return table_html(f"{label}ごとのログインの状況", header, rows)
