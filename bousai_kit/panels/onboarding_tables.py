"""The tables of ``10_onboarding``: by row and staff number, never by name (widgets outlive the screen)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bousai_kit.panels.base import esc, table_html

if TYPE_CHECKING:
    from bousai_kit.onboarding.activation import Status
    from bousai_kit.onboarding.apply import ApplyResult
    from bousai_kit.onboarding.invitations import Invitations, InviteResult
    from bousai_kit.onboarding.items import Plan
    from bousai_kit.roster import Check

__all__ = [
    "changes_table",
    "check_table",
    "counts_table",
    "funnel_html",
    "group_table",
    "invitations_html",
    "others_table",
    "posts_table",
    "result_table",
    "status_table",
    "stuck_table",
]


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
            for label, key in (
                ("組織", "orgunits"),
                *([("職級", "levels")] if plan.levels else []),
                ("役職", "positions"),
                ("グループ", "groups"),
            )
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
        "<div class='bk-side'><div>"
        + table_html("計画の内容", ("対象", "新規", "変更", "変更なし"), rows)
        + "</div><div>"
        + table_html("計画のその他", ("項目", "数"), more)
        + "</div></div>"
        + (f"<ul>{notes}</ul>" if notes else "")
    )


def changes_table(plan: Plan | None) -> str:
    """What changes for whom; whose name changes to what stands in the roster."""
    from bousai_kit.onboarding.items import describe_change

    if plan is None:
        return ""
    rows: list[tuple[object, ...]] = []
    for item in plan.of("conflict"):
        rows.append((item.person.row, item.person.staff_number, "登録しません", item.reason))
    for item in plan.of("update"):
        said = "、".join(describe_change(name, pair) for name, pair in item.changes.items())
        rows.append((item.person.row, item.person.staff_number, "変更", said))
    for leaver in plan.suspend:
        rows.append((None, leaver.staff_number or leaver.user_id, "一時停止", "名簿にない人"))
    names = {unit.code: unit.name for unit in plan.units}
    for item in plan.creates:
        level = item.person.level if plan.levels else ""
        where = " ".join(filter(None, (names.get(item.person.orgunit_code, ""), item.person.position, level)))
        rows.append((item.person.row, item.person.staff_number, "新規", where))
    return table_html("一人ずつの内容", ("名簿の行", "職員番号", "すること", "内容"), rows) if rows else ""


def posts_table(plan: Plan | None) -> str:
    """Which posts change hands, from whom to whom, and whose place as a deputy is in doubt."""
    from bousai_kit.onboarding.posts import KINDS, deputies_in_doubt, posts_of, say_numbers

    if plan is None:
        return ""
    rows = [
        (
            KINDS[one.kind],
            str(one.post),
            say_numbers(one.went) or "なし",
            say_numbers(one.came) or "なし",
        )
        for one in posts_of(plan)
        if one.kind in ("handed_over", "reduced", "vacated")
        or (one.kind == "filled" and plan.count("unchanged"))
    ]
    text = (
        table_html("ポストの異動", ("区分", "ポスト", "前任（職員番号）", "後任（職員番号）"), rows)
        if rows
        else ""
    )
    doubts = deputies_in_doubt(plan)
    return text + (table_html("代理順位の確認", ("職員番号", "理由"), doubts) if doubts else "")


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
        text += "<p>登録できなかった行だけのファイルを作りました。直して、手順 1 の名簿として使えます。</p>"
    return text


_STAGES = (
    ("planned", "対象"),
    ("created", "登録済み"),
    ("invited", "案内済み（配付資料・招待メール）"),
    ("active", "ログイン済み"),
    ("reachable", "Bot の反応あり"),
)


def funnel_html(status: Status | None) -> str:
    """Stage by stage, with a bar each; the numbers say the same."""
    if status is None:
        return ""
    rows = []
    for name, label in _STAGES:
        count: int = getattr(status, name)
        share = count / status.planned if status.planned else 0.0
        bar = f"<div style='background:#0b57a4;height:1em;width:{100 * min(1.0, share):.1f}%'></div>"
        rows.append(
            f"<tr><th scope='row'>{esc(label)}</th><td class='bk-n'>{count:,}</td>"
            f"<td class='bk-n'>{share:.0%}</td><td style='width:22em' aria-hidden='true'>{bar}</td></tr>"
        )
    notes = list(status.notes)
    if status.uninvited:
        notes.insert(
            0,
            f"ログイン済みのうち {status.uninvited:,} 名は、案内（配付資料・招待メール）の記録がありません。",
        )
    said = "".join(f"<p>注意：{esc(note)}</p>" for note in notes)
    return (
        f"<table class='bk-table'><caption>どこまで進んだか（対象 {status.planned:,} 名）</caption>"
        "<thead><tr><th scope='col'>段階</th><th scope='col'>人数</th><th scope='col'>割合</th>"
        f"<th scope='col'>対象に対する割合の棒</th></tr></thead><tbody>{''.join(rows)}</tbody></table>{said}"
    )


def status_table(status: Status | None, *, stuck: bool = True) -> str:
    """The funnel, in all and by device; with `stuck` also who needs help."""
    if status is None:
        return ""
    header = ("端末", "対象", "登録済み", "案内済み", "ログイン済み", "ログイン率", "Bot の反応あり")
    groups = [("全員", status.as_json()), *status.by_device_os.items()]
    rows = [
        (
            name,
            counts["planned"],
            counts["created"],
            counts["invited"],
            counts["active"],
            f"{counts['active'] / counts['created']:.0%}" if counts["created"] else "－",
            counts["reachable"],
        )
        for name, counts in groups
    ]
    return table_html("ログインの状況", header, rows) + (stuck_table(status) if stuck else "")


def stuck_table(status: Status | None, code: str = "") -> str:
    """Who needs help, why, what to do and whom to ask; only one reason when a code is given."""
    from bousai_kit.onboarding.stuck import REASONS

    if status is None:
        return ""
    found = [one for one in status.stuck if code in ("", one["code"])]
    if not found:
        waiting = status.created - status.active
        if waiting > 0:
            return (
                f"<p>まだログインしていない人が {waiting:,} 名いますが、登録から日が浅く、"
                "いま対応が必要な人はいません。</p>"
            )
        return "<p>いま対応が必要な人はいません。</p>"
    rows = [
        (
            one["staff_number"],
            one["ward"] or one["bureau"],
            one["reason"],
            _without_commands(one["todo"]),
            one["give_to"] or "（連絡員なし）",
        )
        for one in found
    ]
    caption = f"対応が必要な人（{REASONS[code] if code else 'すべて'}、{len(found):,} 名）"
    return table_html(caption, ("職員番号", "区・局", "理由", "すること", "渡す相手"), rows)


def invitations_html(planned: Invitations | None, result: InviteResult | None) -> str:
    """How many a mail would reach now; how the last sending ended."""
    text = ""
    if result is not None:
        text = f"<p>招待メールを {len(result.sent):,} 名に送りました。</p>"
        failed = [(one["staff_number"], one["reason"]) for one in (*result.failed, *result.unknown)]
        if failed:
            text += table_html("送れなかった、または届いたか分からない人", ("職員番号", "理由"), failed)
        if result.elsewhere:
            text += f"<p>{len(result.elsewhere):,} 名には、別の画面が今日送っています。</p>"
        if result.left:
            text += f"<p>{result.left:,} 名が残っています。もう一度調べて、続けてください。</p>"
    if planned is None:
        return text
    return text + f"<p>いま招待メールを送れる人：{len(planned.invitees):,} 名（1 人 1 日 1 通まで）</p>"


def _without_commands(todo: str) -> str:
    """What to do, without the command that does it: here it is a button."""
    return re.sub(r"（onboard [^）]*）", "", todo)


def others_table(planned: Invitations | None) -> str:
    """Who gets no mail, why, and what to do instead; those who have logged in left out."""
    rows = [
        (one["staff_number"], one["reason"], _without_commands(one["todo"]))
        for one in (() if planned is None else planned.others)
        if one["code"] != "logged_in"
    ]
    return table_html("招待メールを送らない人", ("職員番号", "理由", "すること"), rows) if rows else ""


def group_table(status: Status | None, by: str) -> str:
    """The funnel by ``ward`` or ``bureau``."""
    if status is None:
        return ""
    label = {"ward": "区", "bureau": "局"}[by]
    groups: Mapping[str, Mapping[str, int]] = getattr(status, f"by_{by}")
    rows = [
        (name, *(counts[key] for key in ("planned", "invited", "active", "pending", "reachable")))
        for name, counts in groups.items()
    ]
    header = (label, "対象", "案内済み", "ログイン済み", "登録待ち", "Bot の反応あり")
    return table_html(f"{label}ごとのログインの状況", header, rows)
