"""``bousai drill``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import Bar, Json, Yes, bench_for_cli, confirm, emit, note, run

if TYPE_CHECKING:
    from ..drills import DrillPlan, DrillResult, DrillState
    from ..workbench import Workbench

__all__ = ["register"]

Scenario = Annotated[Path, typer.Argument(metavar="SCENARIO", help="シナリオ（YAML）。")]
Names = Annotated[Path, typer.Option("--roster", metavar="R", help="名簿（CSV か XLSX）。")]
Id = Annotated[str, typer.Argument(metavar="ID", help="訓練 ID（`bousai drill list` で分かります）。")]
New = Annotated[bool, typer.Option("--new", help="開いている訓練を続けず、新しい訓練を始めます。")]

WORDS = {"exercise": "訓練", "actual": "実災害", "test": "試験"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    drill = typer.Typer(help="一斉送信の訓練を計画・実行し、応答を集めます。", no_args_is_help=True)
    app.add_typer(drill, name="drill")

    @drill.command()
    def plan(scenario: Scenario, roster: Names, new: New = False, as_json: Json = False) -> None:
        """誰に・どの経路で・何分で届くか、届かない人とその理由を示します（送信しません）。"""

        async def main() -> int:
            async with bench_for_cli() as bench:
                made = await _plan(bench, scenario, roster, new=new)
            emit(made.as_json(), lambda: _plan_text(made), as_json)
            return 0

        run(main)

    @drill.command(name="run")
    def run_(
        scenario: Scenario,
        roster: Names,
        yes: Yes = False,
        no_wait: Annotated[
            bool, typer.Option("--no-wait", help="今送るべきものを送り終えたら戻ります（続きは resume）。")
        ] = False,
        new: New = False,
        reason: Annotated[
            str, typer.Option(metavar="理由", help="実災害で、ほかに承認できる人がいないときの理由。")
        ] = "",
        as_json: Json = False,
    ) -> None:
        """送信し、再通知し、応答を集めます。同じシナリオと名簿の開いている訓練があれば続けます。"""

        async def main() -> int:
            from ..drills import DrillKind, drill_status, load_scenario
            from ..drills.conduct import check_may_run

            made = load_scenario(scenario)
            async with bench_for_cli() as bench:
                planned = await _plan(bench, scenario, roster, new=new)
                if planned.continued:
                    note(f"開いている訓練 {planned.drill_id} を続けます（新しく始めるには --new）。")
                for sentence in planned.notes:
                    note(f"注意：{sentence}")
                actual = made.kind is DrillKind.ACTUAL
                if actual and not reason.strip():
                    check_may_run(await drill_status(bench.ledger, planned.drill_id))
                if actual or not bench.in_sandbox:
                    confirm(_question(bench, planned), yes=yes, word=WORDS[made.kind.value])
                if actual and reason.strip():  # only now: who has not confirmed has approved nothing
                    await _approve_alone(bench, planned.drill_id, reason)
                found = await _conduct(bench, planned.drill_id, wait=not no_wait)
            return _say(found, as_json)

        run(main)

    @drill.command()
    def approve(
        drill_id: Id,
        by: Annotated[
            str, typer.Option(metavar="職員番号", help="承認する人（既定：この端末の利用者名）。")
        ] = "",
        as_json: Json = False,
    ) -> None:
        """実災害（kind: actual）の送信を、2 人目として承認します。"""

        async def main() -> int:
            from ..drills import approve_drill
            from ..settings import account_name

            async with bench_for_cli(offline=True) as bench:
                done = await approve_drill(
                    bench.ledger,
                    drill_id,
                    clock=bench.clock,
                    approved_by=by or account_name(),
                    at_console=not by,
                )
            if done.same_account:
                note(
                    "注意：計画した人と同じ利用者名です。別の人が承認したことを確かめてください"
                    "（次からは --by に承認した人の職員番号を指定できます）。"
                )
            text = f"訓練 {drill_id} の送信を {done.approved_by} が承認しました。"
            emit(done.as_json(), text, as_json)
            return 0

        run(main)

    @drill.command(name="list")
    def list_(as_json: Json = False) -> None:
        """台帳にある訓練を新しい順に示します。"""

        async def main() -> int:
            from ..drills import list_drills
            from ..drills.result import STATES

            async with bench_for_cli(offline=True) as bench:
                found = await list_drills(bench.ledger)
            lines = [
                f"{one.drill_id}  {STATES[one.state]}  送信 {one.sent:,}/{one.recipients:,}"
                f"  応答 {one.acked:,}  不明 {one.open_unknown:,}  {one.title}"
                for one in found
            ]
            text = "\n".join(lines) or "訓練はまだありません。"
            emit({"drills": [one.as_json() for one in found]}, text, as_json)
            return 0

        run(main)

    @drill.command()
    def status(drill_id: Id, as_json: Json = False) -> None:
        """台帳だけを読み、訓練の今の状況を示します（通信しません）。"""

        async def main() -> int:
            from ..drills import drill_status
            from ..drills.result import result_of

            async with bench_for_cli(offline=True) as bench:
                state = await drill_status(bench.ledger, drill_id)
            return _say(result_of(state), as_json)

        run(main)

    @drill.command()
    def resume(
        drill_id: Id,
        yes: Yes = False,
        no_wait: Annotated[bool, typer.Option("--no-wait", help="送り終えたら戻ります。")] = False,
        as_json: Json = False,
    ) -> None:
        """届いていない人とまだ送っていない人に送り、続きから再開します（不明なものは再送しません）。"""

        async def main() -> int:
            from ..drills import drill_status
            from ..drills.conduct import check_may_run

            async with bench_for_cli() as bench:
                state = await drill_status(bench.ledger, drill_id)
                check_may_run(state)
                if state.kind == "actual" or not bench.in_sandbox:
                    question = (
                        f"{_where(bench)}訓練 {drill_id}「{state.title}」を再開し、まだの人に送信します。"
                    )
                    confirm(question, yes=yes, word=WORDS.get(state.kind, "はい"))
                found = await _conduct(bench, drill_id, wait=not no_wait)
            return _say(found, as_json)

        run(main)

    @drill.command()
    def settle(drill_id: Id, as_json: Json = False) -> None:
        """届いたか不明な送信を、本人の応答とログで確定します（送信しません）。"""

        async def main() -> int:
            from ..drills import drill_status
            from ..steps import settle_on

            async with bench_for_cli() as bench:
                await drill_status(bench.ledger, drill_id)
                bar = Bar("ログを待っています")

                def tell(done: float, total: float, sentence: str) -> None:
                    bar.label = sentence
                    bar.update(round(done), round(total))

                found = await settle_on(bench, drill_id, tell=tell)
                bar.close()
            return _say(found, as_json)

        run(main)

    @drill.command()
    def close(drill_id: Id, as_json: Json = False) -> None:
        """訓練を終了します（以後は送信も集計もしません）。"""

        async def main() -> int:
            from ..drills import close_drill

            async with bench_for_cli(offline=True) as bench:
                found = await close_drill(bench.ledger, drill_id, clock=bench.clock)
            return _say(found, as_json)

        run(main)


# -- what several of them do ------------------------------------------------------------------------------


async def _plan(bench: Workbench, scenario: Path, roster: Path, *, new: bool) -> DrillPlan:
    from ..drills import load_scenario
    from ..roster import read_roster
    from ..settings import account_name
    from ..steps import plan_on

    made, people = load_scenario(scenario), read_roster(roster)
    bar = Bar("宛先を確認しています")
    planned = await plan_on(
        bench,
        made,
        people,
        new=new,
        planned_by=account_name(),
        tell=lambda done, total, _: bar.update(done, total),
    )
    bar.close()
    return planned


async def _approve_alone(bench: Workbench, drill_id: str, reason: str) -> None:
    """One person's reason in place of a second person's approval of an `actual`."""
    from ..drills import approve_drill
    from ..settings import account_name

    await approve_drill(bench.ledger, drill_id, clock=bench.clock, approved_by=account_name(), reason=reason)


async def _conduct(bench: Workbench, drill_id: str, *, wait: bool) -> DrillResult:
    from ..steps import conductor_on

    conductor = conductor_on(bench, drill_id)
    bar = Bar("送信", 0)

    def tell(state: DrillState) -> None:
        people = state.people_by_verdict()
        detail = f"応答 {len(people['acked'])} 期限後 {len(people['late'])} 不明 {len(people['unknown'])}"
        bar.update(len(people["sent"]), len(state.people), detail)

    try:
        async with bench.receiving():
            return await conductor.run(tell=tell, wait=wait)
    finally:
        bar.close()


def _say(found: DrillResult, as_json: bool) -> int:
    for sentence in found.notes if as_json else ():
        note(sentence)
    emit(found.as_json(), found.render_text, as_json)
    return 0 if found.ok else 1


def _where(bench: Workbench) -> str:
    if bench.in_sandbox:
        return "【サンドボックス】"
    return "【試験用サーバー】" if bench.settings.is_loopback else "【本番】実際に送信されます。"


def _question(bench: Workbench, planned: DrillPlan) -> str:
    lines = [
        f"{_where(bench)}{WORDS[planned.scenario.kind.value]}「{planned.scenario.title}」を"
        f" {planned.recipients:,} 人に送信します（送信できない人 {len(planned.unreachable):,}）。",
        planned.route.reason,
        *(f"  [{one.id}] {one.text}" for one in planned.scenario.messages),
    ]
    return "\n".join(lines)


def _plan_text(planned: DrillPlan) -> str:
    lines: list[Any] = [
        f"訓練 {planned.drill_id}「{planned.scenario.title}」（{planned.scenario.kind.label}）",
        f"  送信先 {planned.recipients:,} 人、送信できない人 {len(planned.unreachable):,} 人",
        f"  経路 {planned.route.name}：{planned.route.reason}",
    ]
    for wave in planned.waves:
        lines.append(
            f"  {wave['after_s']:>6g} 秒後  {', '.join(wave['messages'])}  {wave['people']:,} 人"
            f"（{wave['calls']:,} 回、約 {wave['eta_s']:g} 秒）"
        )
    lines += [f"  送信できません：{one.staff_number}（{one.reason}）" for one in planned.unreachable]
    lines += [f"  注意：{sentence}" for sentence in planned.notes]
    return "\n".join(map(str, lines))
