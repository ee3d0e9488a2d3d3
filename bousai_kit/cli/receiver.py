"""`bousai receiver`: the bot's callback endpoint on a socket."""

from __future__ import annotations

from typing import Annotated

import typer

from bousai_kit.cli import emit_ready, note, overrides, run

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def receiver(
        host: Annotated[str, typer.Option(help="待ち受けるアドレス。")] = "127.0.0.1",
        port: Annotated[
            int, typer.Option(min=0, max=65535, help="ポート番号（0 は空いている番号）。")
        ] = 8000,
        json: Annotated[bool, typer.Option("--json", help="既定でも JSON を 1 行出します。")] = False,
    ) -> None:
        """Bot のコールバックを受け取り、台帳に記録します。止めるには Ctrl-C を押します。"""
        from bousai_kit.receiver import serve_receiver
        from bousai_kit.settings import load_settings

        given = overrides()
        run(
            lambda: serve_receiver(
                load_settings(overrides=given), host=host, port=port, ready=emit_ready, note=note
            )
        )
