"""Sentences that a reader of a plan has to know. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bousai_kit.onboarding.items import GroupItem, LevelItem, PersonItem, Plan, PositionItem, RoomItem
from bousai_kit.onboarding.leavers import Leaving, namesakes
from bousai_kit.onboarding.posts import deputies_in_doubt
from bousai_kit.onboarding.tenant_view import CONSOLE_WAY, TenantView
from bousai_kit.onboarding.titles import Kind, title_notes

__all__ = ["ROOMS_LATER", "notes_of_diff", "notes_of_plan"]

FREE_PLAN = 60
ROOMS_LATER = (
    "登録できなかった行だけの名簿なので、トークルームは変えません。登録のあと、全員の名簿で計画を作り直すと、"
    "この人たちもルームに入ります。"
)


def notes_of_diff(
    view: TenantView,
    items: tuple[PersonItem, ...],
    groups: tuple[GroupItem, ...],
    *,
    leaving: Leaving,
    rooms: tuple[RoomItem, ...],
    titles: Mapping[Kind, Sequence[LevelItem | PositionItem]],
) -> list[str]:
    """What the comparison alone says."""
    notes = []
    if view.per_minute <= FREE_PLAN:
        notes.append(
            f"1 分あたりの上限が {view.per_minute} 回です。Free プランでは API による登録はできません。"
            f"{CONSOLE_WAY}"
        )
    for kind, mine in titles.items():
        notes += title_notes(kind, mine, items, view.titles(kind))
    unsettled = {one.reason for one in view.unsettled.values()}
    held = sum(item.action == "conflict" and item.reason in unsettled for item in items)
    if held:
        notes.append(
            f"{held:,} 名は、前の登録の結果が未確定のため、この計画では登録しません"
            "（進め方は一人ずつ示します）。"
        )
    conflicts = sum(item.action == "conflict" for item in items) - held
    if conflicts:
        notes.append(
            f"{conflicts:,} 名は、同じログインIDか職員番号のメンバーがすでにいるため登録しません"
            "（理由は一人ずつ示します）。"
        )
    members = (view.member_by_id(item.user_id) for item in items if item.action != "conflict")
    suspended = sum(member is not None and member.suspended for member in members)
    if suspended:
        notes.append(f"名簿の {suspended:,} 名は一時停止中です。解除は管理画面で行ってください。")
    if any("login_id" in item.changes for item in items):
        notes.append("ログインIDが変わる人がいます。本人に新しいログインIDを知らせてください。")
    restored = sum("state" in item.changes for item in items)
    if restored:
        notes.append(
            f"削除から 7 日以内の {restored:,} 名を復元します。"
            "パスワードは以前のままで、配付資料には載りません。"
        )
    waiting = len(leaving.staying("pending"))
    if waiting:
        notes.append(
            f"名簿にない {waiting:,} 名は登録待ち（未ログイン）のため一時停止できず、そのままにします。"
            "もう使わない人は、この計画を実行したあとに、管理画面で削除してください。"
        )
    masters = len(leaving.staying("administrator"))
    if masters:
        notes.append(
            f"名簿にない {masters:,} 名は管理者のため一時停止しません。異動や退職の人なら、管理画面で"
            "別の人を管理者にし、その人の管理者を外してから、計画を作り直してください。"
        )
    rebuilt = sum(one.action == "rebuild" for one in rooms)
    if rebuilt:
        notes.append(
            f"メンバーが変わった {rebuilt:,} 個のトークルームを作り直します。Bot は古いルームから退出し、"
            "過去のトークは古いルームに残ります。"
        )
    if any(item.action == "create" for item in groups) and not any(one.administrator for one in view.members):
        notes.append("管理者が見つからないため、新しいグループの管理者は名簿の先頭の人になります。")
    return notes


def notes_of_plan(plan: Plan, view: TenantView) -> list[str]:
    """What only the whole plan shows: who may be one person twice, whose deputy is gone, who drops out."""
    said = []
    twice = namesakes(plan.people, plan.suspend)
    if twice:
        pairs = "、".join(f"新規 {new} と一時停止 {old}" for new, old in twice[:5])
        more = f" ほか {len(twice) - 5:,} 組" if len(twice) > 5 else ""
        said.append(
            f"新規登録する人と一時停止する人に、同じ氏名が {len(twice):,} 組あります"
            f"（職員番号：{pairs}{more}）。"
            "職員番号が変わった同じ人なら、名簿の番号を前の番号に戻し、計画を作り直してください。"
        )
    dropped = _dropped(plan, view)
    strangers = len(dropped - (claimed := dropped & _claimed(plan, view)))
    if strangers:
        said.append(
            f"作り直すか退出するトークルームにいる {strangers:,} 名は、名簿になく一時停止もしないため、"
            "新しいルームに入りません。名簿に漏れがないか確かめてください。"
        )
    if claimed:
        said.append(
            f"作り直すか退出するトークルームにいる {len(claimed):,} 名は、同じログインIDか職員番号の行を"
            "登録しないため、新しいルームに入りません。その行を直してから計画を作り直してください。"
        )
    if plan.suspend:
        said.append(
            f"一時停止する {len(plan.suspend):,} 名に副管理者がいないか、管理画面で確かめてください"
            "（最高管理者のほかは、API では見分けられません）。"
        )
    doubts = len(deputies_in_doubt(plan))
    if doubts:
        said.append(f"代理する人か代理対象の人が動くため、{doubts:,} 名の代理順位を確かめてください。")
    return said


def _dropped(plan: Plan, view: TenantView) -> set[str]:
    """Members of rooms that end who are nobody of the plan."""
    ending = {one.channel_id for one in plan.rooms if one.action in ("rebuild", "leave")}
    known = {item.user_id for item in plan.people} | {one.user_id for one in plan.suspend}
    inside = {one for room in view.rooms if room.channel_id in ending for one in room.members} - known
    members = [member for member in map(view.member_by_id, inside) if member is not None]
    return {member.user_id for member in members if not (member.deleted or member.suspended)}


def _claimed(plan: Plan, view: TenantView) -> set[str]:
    """Members whose login id or number stands in a row that is a conflict."""
    rows = [item.person for item in plan.of("conflict")]
    found = [view.member_by_login(one.login_id) for one in rows]
    found += [view.member_by_key(one.staff_number) for one in rows]
    found += [view.member_by_number(one.staff_number) for one in rows]
    return {member.user_id for member in found if member is not None}
