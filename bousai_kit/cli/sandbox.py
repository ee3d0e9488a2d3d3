"""`bousai sandbox`: a LINE WORKS-compatible tenant on loopback, until stopped."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bousai_kit.cli import emit_ready, note, run

__all__ = ["register"]


class Plan(StrEnum):
    """Contracts of the service."""

    free = "free"
    standard = "standard"
    advanced = "advanced"


class Limiter(StrEnum):
    """Ways to count a minute."""

    fixed = "fixed"
    sliding = "sliding"
    bucket = "bucket"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def sandbox(
        people: Annotated[
            int, typer.Option(min=0, max=30000, help="メンバーの人数（見本名簿の先頭から。超える分は生成）。")
        ] = 200,
        seed: Annotated[int, typer.Option(help="乱数の種。同じ種なら同じ結果になります。")] = 1,
        port: Annotated[
            int, typer.Option(min=0, max=65535, help="API のポート番号（0 は空いている番号）。")
        ] = 0,
        faults: Annotated[Path | None, typer.Option(help="わざと起こす障害の設定（TOML）。")] = None,
        time_scale: Annotated[float, typer.Option(min=0.01, max=10000, help="時計の速さ（倍率）。")] = 1.0,
        env_file: Annotated[
            Path | None, typer.Option(help="接続設定を書くファイル（既定は一時フォルダ）。")
        ] = None,
        state: Annotated[
            Path | None, typer.Option(help="テナントを残すフォルダ。あれば続きから動かします。")
        ] = None,
        plan: Annotated[
            Plan, typer.Option(help="契約プラン（上限と、使える API が変わります）。")
        ] = Plan.standard,
        limiter: Annotated[
            Limiter, typer.Option(help="1 分の数え方：固定の窓、直前の 60 秒、トークンバケット。")
        ] = Limiter.fixed,
        json: Annotated[bool, typer.Option("--json", help="既定でも JSON を 1 行出します。")] = False,
    ) -> None:
        """LINE WORKS 互換の練習用サーバーを、この端末の中だけで動かします。止めるには Ctrl-C を押します。"""
        from bousai_kit.sandbox.standalone import run_sandbox

        run(
            lambda: run_sandbox(
                people=people,
                seed=seed,
                port=port,
                faults=faults,
                time_scale=time_scale,
                env_file=env_file,
                state=state,
                plan=plan.value,
                limiter=limiter.value,
                ready=emit_ready,
                note=note,
            )
        )
