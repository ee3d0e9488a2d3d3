"""`bousai lab`: JupyterLab on the notebooks, with the home's sandbox beside it."""

from __future__ import annotations

from typing import Annotated

import typer

from bousai_kit.cli import emit_ready, note, overrides, run

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def lab(
        port: Annotated[int, typer.Option(min=0, max=65535, help="ポート番号（既定は空いている番号）。")] = 0,
        no_browser: Annotated[bool, typer.Option("--no-browser", help="ブラウザーを開きません。")] = False,
        time_scale: Annotated[float, typer.Option(min=0.01, help="サンドボックスの時計の速さ。")] = 20.0,
        seed: Annotated[int, typer.Option(help="サンドボックスの乱数の種。")] = 1,
        json: Annotated[bool, typer.Option("--json", help="既定でも JSON を 1 行出します。")] = False,
    ) -> None:
        """ノートブック（JupyterLab）を開きます。止めるには Ctrl-C を押します。"""
        from bousai_kit.lab import serve_lab
        from bousai_kit.settings import load_settings

        given = overrides()
        run(
            lambda: serve_lab(
                load_settings(overrides=given),
                port=port,
                browser=not no_browser,
                time_scale=time_scale,
                seed=seed,
                given=given,
                ready=emit_ready,
                note=note,
            )
        )
