"""``bousai onboard``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import Bar, Json, Yes, bench_for_cli, confirm, emit, note, run
from ._stopping import stop_on_signal
from .onboard_activation import register_activation
from .onboard_console import register_console
from .onboard_handouts import register_handouts
from .onboard_undo import apply_undo, register_undo, review_undo
from .plan_text import plan_lines, plan_text

if TYPE_CHECKING:
    from ..onboarding.apply import ApplyResult

__all__ = ["register"]

RosterFile = Annotated[Path, typer.Argument(metavar="ROSTER", help="名簿（CSV か XLSX）。")]
OrgUnits = Annotated[Path | None, typer.Option(metavar="F", help="組織の一覧（CSV か XLSX）。")]
PlanFile = Annotated[Path, typer.Argument(metavar="PLAN.json", help="onboard plan が作った計画。")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    onboard = typer.Typer(help="名簿からアカウントを登録し、ログインまで見届けます。", no_args_is_help=True)
    app.add_typer(onboard, name="onboard")
    register_console(onboard)

    @onboard.command()
    def check(roster: RosterFile, orgunits: OrgUnits = None, as_json: Json = False) -> None:
        """名簿を確かめます（通信しません）。"""

        def main() -> int:
            from ..roster import check_roster

            found = check_roster(roster, orgunits)
            emit(found.as_json(), found.render_text, as_json)
            return 0 if found.ok else 2

        run(main)

    @onboard.command()
    def plan(
        roster: RosterFile,
        orgunits: OrgUnits = None,
        leavers: Annotated[
            str,
            typer.Option(
                metavar="keep|suspend", help="名簿にない人：そのまま（keep）か一時停止（suspend）。"
            ),
        ] = "keep",
        max_leavers: Annotated[
            int | None, typer.Option(min=0, metavar="N", help="一時停止してよい人数の上限。")
        ] = None,
        rooms: Annotated[
            str,
            typer.Option(
                metavar="auto|always|never",
                help="訓練で使うトークルーム。auto: 個別送信では時間がかかる人数のときに作ります。",
            ),
        ] = "auto",
        passwords: Annotated[
            str,
            typer.Option(
                metavar="admin|member",
                help="初期パスワードの渡し方。admin: 全員に紙で配ります（メールは出ません）。member: 私用"
                "メールのある人には、実行と同時に招待メールが送られます。",
            ),
        ] = "admin",
        out: Annotated[Path | None, typer.Option(metavar="PLAN.json", help="計画の書き出し先。")] = None,
        as_json: Json = False,
    ) -> None:
        """名簿とテナントを比べ、登録計画を作ります（何も変更しません）。"""
        if leavers not in ("keep", "suspend"):
            raise typer.BadParameter("keep か suspend を指定してください", param_hint="--leavers")
        if rooms not in ("auto", "always", "never"):
            raise typer.BadParameter("auto、always、never のどれかを指定してください", param_hint="--rooms")

        if passwords not in ("admin", "member"):
            raise typer.BadParameter("admin か member を指定してください", param_hint="--passwords")

        async def main() -> int:
            from ..onboarding import build_plan, prepare_plan, save_plan
            from ..roster import read_roster, require_ok
            from ..steps import tenant_on

            people = require_ok(read_roster(roster, orgunits=orgunits))
            async with bench_for_cli() as bench:
                view = await tenant_on(bench)
                given: dict[str, Any] = {"leavers": leavers, "max_leavers": max_leavers, "rooms": rooms}
                made = build_plan(people, view, passwords=passwords, **given)
                document = made.as_json()
                if out is not None:
                    made = prepare_plan(made, bench.home)
                    save_plan(made, out)
                    document["file"] = str(out)
            emit(document, lambda: plan_text(made, out), as_json)
            return 0

        run(main)

    @onboard.command()
    def review(
        plan: PlanFile,
        out: Annotated[Path, typer.Option(metavar="FILE.xlsx", help="書き出し先（氏名を含みます）。")],
        as_json: Json = False,
    ) -> None:
        """計画（取り消しの計画も）を、二人目が確かめるための Excel にします。"""

        def main() -> int:
            from ..onboarding import load_plan
            from ..onboarding.review import write_review
            from ..onboarding.undo_file import is_undo_file

            if is_undo_file(plan):
                return review_undo(plan, out, as_json=as_json)
            made = load_plan(plan)
            write_review(made, out)
            text = f"{out} を作りました。氏名を含みます。確認が済んだら削除してください。"
            emit({"plan_id": made.plan_id, "file": str(out)}, text, as_json)
            return 0

        run(main)

    @onboard.command()
    def apply(plan: PlanFile, yes: Yes = False, as_json: Json = False) -> None:
        """計画（取り消しの計画も）を実行します。途中で止まっても、同じコマンドで続きから再開します。"""

        async def main() -> int:
            from ..onboarding import load_plan
            from ..onboarding.undo_file import is_undo_file
            from ..rehearsal import let_a_day_pass
            from ..steps import apply_on

            if is_undo_file(plan):
                return await apply_undo(plan, yes=yes, as_json=as_json)
            made = load_plan(plan)
            async with bench_for_cli() as bench:
                question = "\n".join([f"接続先：{bench.settings.profile}", *plan_lines(made)])
                if yes or bench.in_sandbox:  # nobody is asked, so that it is said at least
                    for sentence in made.password_notes():
                        note(sentence)
                confirm(question, yes=yes or bench.in_sandbox)
                bar = Bar("登録", made.calls)
                with stop_on_signal() as stop, bar.interrupted("登録"):
                    result = await apply_on(bench, made, stop=stop, tell=bar.update)
                if stop.is_set() and result.left:
                    emit(result.as_json(), lambda: _apply_text(result), as_json)
                    return 130
                if waited := await let_a_day_pass(bench, result.apply_id):
                    note(
                        f"【サンドボックス】登録した {waited:,} 名が初回ログインできるように、"
                        "練習用の時計を 1 日進めました。"
                    )
            emit(result.as_json(), lambda: _apply_text(result), as_json)
            return 0 if result.complete else 1

        run(main)

    register_undo(onboard)
    register_handouts(onboard)
    register_activation(onboard)


def _apply_text(result: ApplyResult) -> str:
    lines = [
        f"{result.done:,} 件を実行しました（実行済み {result.skipped:,} 件、失敗 {len(result.failed):,} 件、"
        f"未確定 {len(result.unknown):,} 件、{result.elapsed_s:,.0f} 秒）。登録 ID：{result.apply_id}"
    ]
    if result.left:
        lines.append(f"途中で止めました。残りは {result.left:,} 件です。")
    lines += _items((*result.failed, *result.unknown))
    if result.rejects is not None:
        lines.append(
            f"登録できなかった行：{result.rejects}（直して、--leavers を付けずに onboard plan に使えます）"
        )
    lines += [
        f"  孤立したルーム：{title}（Bot の参加通知がなく、退出できません）" for title in result.orphans
    ]
    if result.refused:
        from ..onboarding.tenant_view import CONSOLE_WAY

        lines.append(CONSOLE_WAY)
    elif result.left or result.unknown:
        lines.append("同じコマンドをもう一度実行すると、残りを続けます。")
    elif result.failed:
        lines.append(
            "同じコマンドをもう一度実行すると、失敗したものだけをやり直します。"
            "名簿の誤りなら、名簿を直して計画を作り直してください。"
        )
    return "\n".join(lines)


def _items(items: Any) -> list[str]:
    return [
        f"  {one['row']} 行目 職員番号 {one['staff_number']}：{one['reason']}"
        if one.get("staff_number")
        else f"  {one['step']}：{one['reason']}"
        for one in items
    ]
