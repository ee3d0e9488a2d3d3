"""``bousai onboard status``, ``invite``, ``reminders``: seeing to it that everybody gets in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import Bar, Json, Yes, bench_for_cli, confirm, emit, note, run
from ._stopping import stop_on_signal

if TYPE_CHECKING:
    from ..onboarding.activation import Status
    from ..onboarding.invitations import Invitations, InviteResult

__all__ = ["register_activation"]

NO_GROUP = "（記入なし）"
SHOWN = 50  # people on a terminal; --json and the reminder list hold all
RosterOption = Annotated[
    Path | None, typer.Option(metavar="ROSTER", help="この名簿の人を対象にします（省略時は登録した人）。")
]
Auth = Annotated[
    bool,
    typer.Option("--auth/--no-auth", help="ログイン履歴（監査ログ auth）も取得します。"),
]


def register_activation(onboard: typer.Typer) -> None:
    """Add the commands to ``bousai onboard``."""

    @onboard.command()
    def status(
        roster: RosterOption = None,
        plot: Annotated[
            Path | None, typer.Option(metavar="F.png", help="日ごとの人数のグラフを書き出します。")
        ] = None,
        auth: Auth = True,
        as_json: Json = False,
    ) -> None:
        """登録、案内、ログイン、Bot の反応の人数と、止まっている人とその理由を示します。"""

        async def main() -> int:
            from ..clock import in_thread
            from ..roster import read_roster
            from ..steps import status_on

            people = None if roster is None else read_roster(roster)
            async with bench_for_cli() as bench:
                found = await status_on(bench, people, auth=auth)
                document = found.as_json()
                if plot is not None:
                    from ..files import write_private
                    from ..onboarding.curve import draw_curve

                    font = bench.settings.font
                    png = await in_thread(bench.clock, lambda: draw_curve(found.curve, font=font))
                    write_private(plot, png)
                    document["plot"] = {"file": str(plot), "alt": found.curve.alt()}
            for sentence in found.notes:
                note(sentence)
            emit(document, lambda: status_text(found), as_json)
            return 0

        run(main)

    @onboard.command()
    def invite(
        only: Annotated[
            list[str] | None, typer.Option(metavar="職員番号", help="この人だけ（何度でも指定できます）。")
        ] = None,
        roster: RosterOption = None,
        yes: Yes = False,
        as_json: Json = False,
    ) -> None:
        """まだログインしていない人に、招待メールをもう一度送ります（1 人 1 日 1 通まで）。"""

        async def main() -> int:
            from ..onboarding.invitations import plan_invitations
            from ..roster import read_roster
            from ..steps import invite_on

            people = None if roster is None else read_roster(roster)
            numbers = [
                number for text in only or () for number in text.replace("、", ",").split(",") if number
            ]
            async with bench_for_cli() as bench:
                planned = await plan_invitations(
                    bench.client, bench.ledger, domain_id=bench.domain_id, roster=people, only=numbers
                )
                count = len(planned.invitees)
                for line in _others(planned):
                    note(line)
                if count:
                    question = f"接続先：{bench.settings.profile}\n{count:,} 名に招待メールを送ります。"
                    confirm(question, yes=yes or bench.in_sandbox, word="招待")
                bar = Bar("招待", count)
                with stop_on_signal() as stop, bar.interrupted("招待メールの送信"):
                    result = await invite_on(bench, planned, stop=stop, tell=bar.update)
            document = {
                **result.as_json(),
                "others_by": dict(Counter(one["code"] for one in planned.others)),
                "others": [one for one in planned.others if one["code"] != "logged_in"],
            }
            emit(document, lambda: _invite_text(planned, result), as_json)
            missed = bool(numbers) and planned.waiting > 0
            if stop.is_set() and result.left:
                return 130
            return 1 if result.failed or result.unknown or result.left or missed else 0

        run(main)

    @onboard.command()
    def reminders(
        roster: Annotated[Path, typer.Argument(metavar="ROSTER", help="名簿（CSV か XLSX）。")],
        out: Annotated[Path, typer.Option(metavar="F.xlsx", help="書き出し先（氏名を含みます）。")],
        split: Annotated[
            bool,
            typer.Option(
                "--split", help="区・局ごとのファイルも作ります（連絡員に、担当の人だけを渡せます）。"
            ),
        ] = False,
        auth: Auth = True,
        as_json: Json = False,
    ) -> None:
        """止まっている人の一覧を、区・局ごとのシートにして連絡員に渡せる Excel にします。"""
        if out.suffix.lower() != ".xlsx":
            raise typer.BadParameter("拡張子を .xlsx にしてください", param_hint="--out")

        async def main() -> int:
            from ..onboarding.reminders import DELETE_IT, require_empty, split_folder, write_reminders
            from ..roster import read_roster
            from ..steps import status_on

            if split:
                require_empty(out)
            people = read_roster(roster)
            async with bench_for_cli() as bench:
                found = await status_on(bench, people, auth=auth)
            written = write_reminders(people, found, out, split=split)
            for sentence in found.notes:
                note(sentence)
            text = f"{written.path} に {written.people:,} 名（{written.sheets:,} シート）を書き出しました。"
            if written.nobody:
                text += (
                    f"渡す相手が名簿にない {written.nobody:,} 名は、シート「渡す相手なし」にあります。"
                    "渡す相手を決めてください。"
                )
            if written.files:
                text += (
                    f"{split_folder(out)} に、区・局ごとのファイルを {len(written.files):,} 個作りました。"
                )
            text += DELETE_IT if written.people else "いま対応が必要な人はいません。"
            emit(written.as_json(), text, as_json)
            return 0

        run(main)


def status_text(found: Status) -> str:
    """The funnel, the groups and who is stuck, for a terminal."""
    from ..onboarding.stuck import REASONS

    lines = [
        f"対象 {found.planned:,} 名、アカウント作成済み {found.created:,} 名、案内済み {found.invited:,} 名、"
        f"ログイン済み {found.active:,} 名、未ログイン（登録待ち） {found.pending:,} 名、"
        f"Bot の反応あり {found.reachable:,} 名"
    ]
    if found.uninvited:
        lines.append(
            f"  ログイン済みのうち {found.uninvited:,} 名は、案内（配付資料・招待メール）の記録がありません。"
        )
    for name, counts in found.by_device_os.items():
        lines.append(f"  端末 {name}：{counts['active']:,}/{counts['planned']:,} 名がログイン済み")
    lines += [
        f"  {label}（ログイン済み/対象）：{said}"
        for label, groups in (("区", found.by_ward), ("局", found.by_bureau))
        if (said := _shares(groups))
    ]
    if found.stuck:
        said = "、".join(f"{REASONS[code]} {count:,} 名" for code, count in found.stuck_by.items())
        lines.append(f"対応が必要な人 {len(found.stuck):,} 名（{said}）")
    for one in found.stuck[:SHOWN]:
        to = f"（渡す相手：職員番号 {one['give_to']}）" if one["give_to"] else ""
        lines.append(f"  要対応 職員番号 {one['staff_number']}：{one['reason']} → {one['todo']}{to}")
    if len(found.stuck) > SHOWN:
        rest = len(found.stuck) - SHOWN
        lines.append(f"  ほか {rest:,} 名（全員は --json か onboard reminders で出せます）")
    return "\n".join(lines)


def _shares(groups: Mapping[str, Mapping[str, int]]) -> str:
    """Each group in few letters, those first in which most have still to log in."""
    ordered = sorted(groups.items(), key=lambda one: one[1]["active"] - one[1]["planned"])
    return "、".join(
        f"{name} {counts['active']:,}/{counts['planned']:,}"
        for name, counts in ordered
        if name != NO_GROUP  # nobody is in a ward and in a bureau
    )


def _others(planned: Invitations) -> list[str]:
    found: dict[tuple[str, str], list[str]] = {}
    for one in planned.others:
        if one["code"] != "logged_in":
            todo = (
                one["todo"].replace(one["staff_number"], "職員番号") if one["staff_number"] else one["todo"]
            )
            found.setdefault((one["reason"], todo), []).append(one["staff_number"])
    return [
        f"送らない人 {len(numbers):,} 名：{reason}{todo} 職員番号 {'、'.join(numbers[:10])}"
        + (" ほか" if len(numbers) > 10 else "")
        for (reason, todo), numbers in found.items()
    ]


def _invite_text(planned: Invitations, result: InviteResult) -> str:
    if not planned.invitees:
        return "招待メールを送れる人はいませんでした。何も送っていません。"
    lines = [
        f"招待メールを {len(result.sent):,} 名に送りました（失敗 {len(result.failed):,} 名、"
        f"届いたか分からない {len(result.unknown):,} 名、別の画面が送った {len(result.elsewhere):,} 名）。"
    ]
    listed: list[dict[str, Any]] = [*result.failed, *result.unknown]
    lines += [f"  職員番号 {one['staff_number']}：{one['reason']}" for one in listed[:SHOWN]]
    if result.unknown:
        lines.append("届いたか分からない人には、二重に送らないよう今日は送りません。本人に尋ねてください。")
    if result.left:
        lines.append(f"{result.left:,} 名が残っています。同じコマンドで続けてください。")
    return "\n".join(lines)
