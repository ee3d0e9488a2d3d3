"""`bousai demo`: the main job, unattended."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bousai_kit.cli import Bar, Json, emit, note, run

__all__ = ["register"]

_LABELS = {
    "00_start": "1/5 接続の確認   ",
    "10_onboarding": "2/5 名簿の登録   ",
    "20_drill": "3/5 一斉送信訓練 ",
    "30_latency": "4/5 応答時間分析 ",
    "書き出し": "5/5 書き出し     ",
}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def demo(
        people: Annotated[int, typer.Option(min=1, max=30_000, help="人数（見本名簿の先頭から）。")] = 200,
        seed: Annotated[int, typer.Option(help="乱数の種。同じ種なら同じ結果になります。")] = 1,
        out: Annotated[Path, typer.Option(help="結果を置くフォルダ。")] = Path("out/demo"),
        json: Json = False,
    ) -> None:
        """登録から訓練、分析までを無人で通しで行います（サンドボックスのみ。実際には送信されません）。"""

        async def work() -> int:
            from bousai_kit.demo import run_demo

            bars: dict[str, Bar] = {}

            def tell(label: str, done: int, total: int) -> None:
                if label not in bars:
                    for bar in bars.values():
                        bar.close()
                    bars[label] = Bar(_LABELS.get(label, label), total)
                bars[label].update(done, total)

            note("【サンドボックス】実際には送信されません。")
            result = await run_demo(out, people=people, seed=seed, tell=tell)
            emit(result, lambda: _text(result), json)
            return 0

        run(work)


def _text(result: dict[str, object]) -> str:
    median = result["median_s"]
    files = result["files"]
    assert isinstance(files, dict)
    lines = [
        f"名簿 {result['people']} 名、登録 {result['onboarded']} 名、"
        f"到達 {result['sent']} 名、期限内の応答 {result['acked']} 名。",
        "応答は半数に達していません。" if median is None else f"応答時間の中央値 {median:.0f} 秒。",
        "結果：",
        *(f"  {path}" for path in files.values()),
    ]
    return "\n".join(lines)
