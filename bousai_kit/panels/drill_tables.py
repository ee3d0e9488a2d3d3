"""Tables of ``20_drill``. People are named by staff number: names stay in the roster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bousai_kit.panels.base import esc, table_html

if TYPE_CHECKING:
    from bousai_kit.drills import DrillPlan, DrillState

__all__ = [
    "answers_table",
    "counts_table",
    "plan_table",
    "preview",
    "silent_table",
    "unsettled_table",
    "wards_table",
]

KINDS = {"exercise": "訓練", "actual": "実災害", "test": "試験"}


def plan_table(plan: DrillPlan | None) -> str:
    """Waves, the way, and who cannot be reached."""
    if plan is None:
        return ""
    rows = [
        (
            f"{wave['after_s']:g} 秒後",
            "、".join(wave["messages"]),
            wave["people"],
            wave["calls"],
            _condition(wave.get("unless")),
        )
        for wave in plan.waves
    ]
    kind = KINDS[plan.scenario.kind.value]
    shown = table_html(
        f"送信の計画（{kind}「{plan.scenario.title}」、訓練 ID {plan.drill_id}）",
        ("いつ", "本文", "人数", "送信回数", "条件"),
        rows,
    )
    shown += f"<p>{esc(plan.route.reason)}</p>"
    if plan.unreachable:
        people = [(one.staff_number, one.reason) for one in plan.unreachable]
        caption = f"送信できない人 {len(people):,} 人"
        shown += table_html(caption, ("職員番号", "理由"), people, limit=50)
    return shown + "".join(f"<p>注意：{esc(note)}</p>" for note in plan.notes)


def _condition(unless: Any) -> str:
    if not unless:
        return ""
    of = f" / {unless['of']}" if unless.get("of") else ""
    return f"{unless['answered']}{of} 人が答えていれば送らない"


def preview(plan: DrillPlan | None) -> str:
    """Every text as people will see it, with its buttons."""
    if plan is None:
        return ""
    from bousai_kit.drills.wording import build_label

    shown = []
    for message in plan.scenario.messages:
        buttons = "".join(
            f"<span style='display:inline-block;border:1px solid #0b57a4;border-radius:4px;"
            f"padding:.1em .8em;margin:.2em .4em .2em 0'>{esc(build_label(answer, plan.short_code))}</span>"
            for answer in message.buttons
        )
        kind = "状況付与" if message.inject else "本文"
        shown.append(
            f"<figure style='margin:.4em 0'><figcaption>{kind} {esc(message.id)}</figcaption>"
            f"<div style='white-space:pre-wrap;border:1px solid #b8b8b8;background:#f7f9fb;"
            f"padding:.5em .8em;max-width:40em'>{esc(message.text)}</div><div>{buttons}</div></figure>"
        )
    return "".join(shown)


def counts_table(model: Any) -> str:
    """The five numbers that matter while it runs."""
    if not model.recipients:
        return ""
    names = ("対象", "送信", "応答", "未応答", "期限後", "不明")
    counts = (model.recipients, model.sent, model.acked, model.silent, model.late, model.unknown)
    header = (*names, "受付拒否") if model.refused else names
    row = (*counts, model.refused) if model.refused else counts
    return table_html("いまの状況（人）", header, [row])


def wards_table(standing: DrillState | None) -> str:
    """By ward (people without one by bureau): how many have answered, and who has not."""
    if standing is None or not standing.reaches:
        return ""
    people = standing.people_by_verdict()
    groups: dict[str, list[str]] = {}
    for user, person in standing.people.items():
        groups.setdefault(str(person.get("ward") or person.get("bureau") or "（区・局なし）"), []).append(
            user
        )
    rows = []
    for name, members in groups.items():
        counts = [sum(user in people[what] for user in members) for what in ("acked", "silent", "late")]
        missing = len(members) - sum(user in people["sent"] for user in members)
        waiting = [_who(standing, user) for user in members if user in people["silent"]]
        rows.append(
            (name, len(members), *counts, missing, "、".join(waiting[:12]) + ("…" if waiting[12:] else ""))
        )
    rows.sort(key=lambda row: (-int(str(row[3])), str(row[0])))
    header = ("区・局", "対象", "応答", "未応答", "期限後", "未送信・不明", "未応答の人（職員番号と役割）")
    return table_html("区・局ごとの応答（未応答の多い順）", header, rows, limit=120)


def answers_table(standing: DrillState | None) -> str:
    """What was answered to each message that asks something; the last tap counts."""
    if standing is None:
        return ""
    from bousai_kit.drills.result import result_of

    rows = [
        (one["id"], one["sent"], one["acked"], one["late"], one["silent"], _said(one["answers"]))
        for one in result_of(standing).messages
        if one["answers"]
    ]
    header = ("本文", "送信", "応答", "期限後", "未応答", "回答")
    return table_html("本文ごとの回答（人）", header, rows)


def _said(answers: dict[str, int]) -> str:
    return "、".join(f"{name} {count:,}" for name, count in answers.items())


def silent_table(standing: DrillState | None) -> str:
    """Everybody who has not answered, to be called."""
    if standing is None or not standing.reaches:
        return ""
    silent = standing.people_by_verdict()["silent"]
    rows = [
        (
            person.get("staff_number"),
            person.get("ward") or person.get("bureau"),
            person.get("hq_role"),
            person.get("device_os"),
        )
        for user, person in standing.people.items()
        if user in silent
    ]
    if not rows:
        return ""
    rows.sort(key=lambda row: (str(row[1]), str(row[0])))
    return table_html(
        f"未応答の人 {len(rows):,} 人", ("職員番号", "区・局", "本部役割", "端末"), rows, limit=500
    )


def unsettled_table(standing: DrillState | None) -> str:
    """What is unknown or was refused, and why."""
    if standing is None:
        return ""
    found = [("不明", one) for one in standing.open_attempts()]
    found += [("届いていない（要再送）", one) for one in standing.absent_attempts()]
    found += [("受付拒否", one) for one in standing.refused_attempts()]
    rows = [
        (what, _who(standing, one.subject), one.message_id, one.reason or "応答がありません")
        for what, one in found
    ]
    return (
        table_html("届いたか分からない・受け付けられなかった送信", ("状態", "職員番号", "本文", "理由"), rows)
        if rows
        else ""
    )


def _who(standing: DrillState, user: str) -> str:
    person = standing.people.get(user, {})
    role = f"（{person['hq_role']}）" if person.get("hq_role") else ""
    return f"{person.get('staff_number', '')}{role}"
