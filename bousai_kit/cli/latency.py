"""``bousai latency``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import Json, bench_for_cli, emit, note, overrides, run

if TYPE_CHECKING:
    from ..latency.durations import Broadcasts

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def latency(
        more: Annotated[
            list[Path] | None, typer.Argument(metavar="[F…]", help="--talk-log に続けるファイル。")
        ] = None,
        drill: Annotated[str, typer.Option(metavar="ID", help="訓練 ID（台帳から分析します）。")] = "",
        talk_log: Annotated[
            list[Path] | None, typer.Option(metavar="F…", help="トーク内容のログ（いくつでも）。")
        ] = None,
        broadcasts: Annotated[Path | None, typer.Option(metavar="F", help="一斉送信の一覧（CSV）。")] = None,
        roster: Annotated[Path | None, typer.Option(metavar="R", help="名簿（CSV か XLSX）。")] = None,
        deadline: Annotated[
            float | None, typer.Option(min=1, metavar="秒", help="応答期限（各人の送信から）。")
        ] = None,
        engine: Annotated[str, typer.Option(metavar="duckdb|spark", help="集計の方式。")] = "duckdb",
        out: Annotated[Path | None, typer.Option(metavar="DIR", help="報告書の書き出し先。")] = None,
        as_json: Json = False,
    ) -> None:
        """一斉送信から応答までの時間を、応答のない人を打ち切りとして数えて分析します。"""
        logs = [*(talk_log or []), *(more or [])]
        if bool(drill) == bool(logs) or (logs and (broadcasts is None or roster is None)):
            raise typer.BadParameter(
                "--drill か、--talk-log・--broadcasts・--roster の組のどちらかを指定してください",
                param_hint="--drill / --talk-log",
            )
        if engine not in ("duckdb", "spark"):
            raise typer.BadParameter("duckdb か spark を指定してください", param_hint="--engine")

        async def main() -> int:
            from ..latency.analysis import analyse
            from ..latency.report import build_report, render_text
            from ..settings import load_settings

            if drill:
                found = await _from_ledger(drill, deadline)
            else:
                assert broadcasts is not None
                assert roster is not None
                from ..latency.talklog import from_talk_log
                from ..roster import read_roster

                found = from_talk_log(
                    logs,
                    broadcasts,
                    read_roster(roster),
                    deadline_s=deadline,
                    engine=engine,
                    rejects_folder=out,
                )
            analysis = analyse(found)
            for sentence in found.notes:
                note(f"注意：{sentence}")
            document = analysis.as_json()
            text = render_text(analysis)
            if out is not None:
                files = build_report(analysis, out, font=load_settings(overrides=overrides()).font)
                document["files"] = {name: str(path) for name, path in files.items()}
                text += "\n" + "\n".join(f"  {path}" for path in files.values())
            emit(document, text, as_json)
            return 1 if found.incomplete else 0

        run(main)


async def _from_ledger(drill_id: str, deadline_s: float | None) -> Broadcasts:
    import warnings

    from ..errors import DataQualityWarning
    from ..latency.durations import read_drill

    async with bench_for_cli(offline=True) as bench:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataQualityWarning)  # said by the caller, as a sentence
            return await read_drill(bench.ledger, drill_id, as_of=bench.clock.now(), deadline_s=deadline_s)
