"""A plan in words, for the terminal: staff numbers, no names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..onboarding.items import Plan

__all__ = ["plan_lines", "plan_text"]


def plan_lines(plan: Plan) -> list[str]:
    """What a plan would do, in a few sentences."""
    from ..onboarding.titles import KINDS

    said = plan.as_json()
    units, groups, rooms, posts = said["orgunits"], said["groups"], said["rooms"], said["posts"]
    titles = "".join(
        f"{kind.label}の新規 {said[kind.plural]['create']:,}、"
        for kind in KINDS
        if getattr(plan, kind.plural)
    )
    minutes = max(1, round(plan.eta_s / 60))
    return [
        f"新規登録 {plan.count('create'):,} 名、変更 {plan.count('update'):,} 名、"
        f"変更なし {plan.count('unchanged'):,} 名、一時停止 {len(plan.suspend):,} 名、"
        f"競合 {plan.count('conflict'):,} 名、名簿外でそのまま {plan.left_alone:,} 名",
        f"組織の新規 {units['create']:,}・変更 {units['update']:,}、{titles}"
        f"グループの新規 {groups['create']:,}・変更 {groups['update']:,}、"
        f"トークルームの新規 {rooms['create']:,}・作り直し {rooms['rebuild']:,}・退出 {rooms['leave']:,}",
        f"ポストの着任 {posts['filled']:,}・交代 {posts['handed_over']:,}・"
        f"減員 {posts['reduced']:,}・空席 {posts['vacated']:,}",
        f"通信 {plan.calls:,} 回、およそ {minutes:,} 分",
        *(f"注意：{sentence}" for sentence in plan.notes),
    ]


def plan_text(plan: Plan, out: Path | None) -> str:
    from ..onboarding.items import describe_change
    from ..onboarding.posts import KINDS, deputies_in_doubt, posts_of, say_numbers

    lines = [f"計画 {plan.plan_id}", *plan_lines(plan)]
    moved = [one for one in posts_of(plan) if one.before and one.kind != "unchanged"]
    for post in moved[:50]:
        before, after = (
            f"職員番号 {said}" if said else "なし" for said in map(say_numbers, (post.went, post.came))
        )
        lines.append(f"  {KINDS[post.kind]} {post.post}：{before} → {after}")
    for number, why in deputies_in_doubt(plan):
        lines.append(f"  代理の確認 職員番号 {number}：{why}")
    for item in plan.of("update")[:50]:
        changed = "、".join(describe_change(name, pair) for name, pair in item.changes.items())
        lines.append(f"  変更 {item.person.row} 行目 職員番号 {item.person.staff_number}：{changed}")
    reasons: dict[str, list[str]] = {}
    for item in plan.of("conflict"):
        who = f"{item.person.row} 行目 職員番号 {item.person.staff_number}"
        reasons.setdefault(item.reason, []).append(who)
    lines += [f"  競合 {'、'.join(who)}：{reason}" for reason, who in reasons.items()]
    if out is not None:
        lines.append(
            f"計画を {out} に保存しました。氏名などの内容は `bousai onboard review {out} --out FILE.xlsx` で"
            f"確かめ、`bousai onboard apply {out}` を実行してください。"
        )
    else:
        lines.append("実行するには --out PLAN.json を付けて計画を保存してください。")
    return "\n".join(lines)
