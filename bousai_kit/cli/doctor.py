"""``bousai doctor``."""

from __future__ import annotations

import typer

from bousai_kit.cli import Json, emit, note, overrides, run

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def doctor(as_json: Json = False) -> None:
        """設定・鍵・プロキシ・接続・時計・トークン・スコープ・Bot・受信・台帳・ログを確認します。"""

        async def main() -> int:
            from bousai_kit.doctor import visit

            found = await visit(overrides())
            emit(found.as_json(), found.render_text, as_json)
            if not found.ok and as_json:
                note(found.next_step)
            return 0 if found.ok else 2

        run(main)
