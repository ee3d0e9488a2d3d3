"""``bousai logs``."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from . import Json, bench_for_cli, emit, note, run

__all__ = ["parse_moment", "register"]


def parse_moment(text: str) -> datetime:
    """A date or time in ISO 8601; without an offset it is Japan's.

    Raises
    ------
    typer.BadParameter
    """
    try:
        moment = datetime.fromisoformat(text.strip().replace("/", "-"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo("Asia/Tokyo"))
        return moment.astimezone(ZoneInfo("UTC"))
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "日時は 2027-01-17、2027-01-17T09:00、2027-01-17T09:00:00+09:00 の形で指定してください"
        ) from None


def register(app: typer.Typer) -> None:
    """Add the commands."""
    logs = typer.Typer(help="監査ログとトーク内容を取得し、原本のまま保管します。", no_args_is_help=True)
    app.add_typer(logs, name="logs")

    @logs.command()
    def pull(
        service: Annotated[
            str, typer.Argument(help="message-contents（トーク内容）か監査ログの種類（auth、message など）。")
        ],
        since: Annotated[
            datetime, typer.Option(parser=parse_moment, metavar="日時", help="この日時から（日本時間）。")
        ],
        until: Annotated[
            datetime, typer.Option(parser=parse_moment, metavar="日時", help="この日時の直前まで。")
        ],
        as_json: Json = False,
    ) -> None:
        """期間のログを取得します（31 日ごと。欠けと途中切れを確かめます）。"""

        async def main() -> int:
            from ..logs.archive import check_service, plan_windows

            check_service(service)
            windows = plan_windows(since, until)
            if len(windows) > 1:
                note(f"{len(windows)} 回に分けて取得します。")
            async with bench_for_cli() as bench:
                got = await bench.archive.pull(service, since, until, partial(bench.fetch_log, service))
            lines = [f"{got.rows:,} 行を {len(got.files)} ファイルに保管しました。"]
            lines += [f"  {path}" for path in got.files]
            for gap in got.gaps:
                note(f"欠け：{gap.since.isoformat()} から {gap.until.isoformat()} まで（{gap.reason}）")
            for warning in got.warnings:
                note(f"注意：{warning}")
            emit(got.as_json(), "\n".join(lines), as_json)
            return 1 if got.gaps else 0

        run(main)

    @logs.command()
    def verify(as_json: Json = False) -> None:
        """保管したログが、取得したときのままか確かめます。"""

        async def main() -> int:
            async with bench_for_cli(offline=True) as bench:
                found = await bench.archive.verify()
            state = "すべて取得時のままです。" if found.ok else "異常があります。"
            text = "\n".join([f"{found.files} ファイル：{state}", *found.broken])
            emit(found.as_json(), text, as_json)
            return 0 if found.ok else 1

        run(main)
