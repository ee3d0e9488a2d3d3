"""``bousai onboard undo``, and what ``review`` and ``apply`` do with an undo that was written to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import Bar, Json, Yes, bench_for_cli, confirm, emit, note, overrides, run
from ._stopping import stop_on_signal

if TYPE_CHECKING:
    from ..onboarding.items import Plan
    from ..onboarding.undo import UndoPlan, UndoResult
    from ..workbench import Workbench

__all__ = ["apply_undo", "register_undo", "review_undo"]

SHOWN = 50

ApplyId = Annotated[str, typer.Argument(metavar="APPLY_ID", help="onboard apply の結果にある ID。")]
Out = Annotated[
    Path | None,
    typer.Option(metavar="UNDO.json", help="取り消しの計画の書き出し先。何も変更しません。"),
]


def register_undo(onboard: typer.Typer) -> None:
    """Add the command."""

    @onboard.command()
    def undo(apply_id: ApplyId, out: Out = None, yes: Yes = False, as_json: Json = False) -> None:
        """登録を、できる範囲で取り消します。取り消せないものを先に示します。

        --out を付けると、取り消しの計画をファイルに書くだけで、何も変更しません。
        `onboard review` で二人目が確かめ、`onboard apply` で実行します。
        """

        async def main() -> int:
            from ..steps import carry_undo_on, plan_undo_on

            async with bench_for_cli() as bench:
                made = await plan_undo_on(bench, apply_id)
                if out is not None:
                    return _write(made, _kept(bench.home, apply_id), out, as_json)
                _ask(bench, made, yes=yes)
                at_once = yes or bench.in_sandbox  # nobody looked: what is there now is taken back
                bar = Bar("取り消し", made.calls)
                with stop_on_signal() as stop, bar.interrupted("取り消し"):
                    result = await carry_undo_on(
                        bench, apply_id if at_once else made, stop=stop, tell=bar.update
                    )
            emit(result.as_json(), lambda: _text(result), as_json)
            return _code(result, stopped=stop.is_set())

        run(main)


async def apply_undo(path: Path, *, yes: bool, as_json: bool) -> int:
    """``onboard apply UNDO.json``."""
    from ..onboarding.undo_file import check_undo_place, load_undo
    from ..steps import carry_undo_on

    made = load_undo(path)
    async with bench_for_cli() as bench:
        check_undo_place(made, home=bench.home, domain_id=bench.domain_id)
        _ask(bench, made, yes=yes)
        bar = Bar("取り消し", made.calls)
        with stop_on_signal() as stop, bar.interrupted("取り消し"):
            result = await carry_undo_on(bench, made, stop=stop, tell=bar.update)
    emit(result.as_apply_json(), lambda: _text(result), as_json)
    return _code(result, stopped=stop.is_set())


def review_undo(path: Path, out: Path, *, as_json: bool) -> int:
    """``onboard review UNDO.json``."""
    from ..onboarding.undo_file import load_undo
    from ..onboarding.undo_review import write_undo_review
    from ..settings import load_settings

    made = load_undo(path)
    plan = _kept(load_settings(overrides=overrides()).home, made.apply_id)
    write_undo_review(made, plan, out)
    document = {"undo_id": made.undo_id, "apply_id": made.apply_id, "file": str(out)}
    said = "氏名を含みます。確認が済んだら削除してください。"
    if plan is None:
        said = "この端末に登録の計画の控えがないため、氏名は載っていません。"
    emit(document, f"{out} を作りました。{said}", as_json)
    return 0


def _kept(home: Path, apply_id: str) -> Plan | None:
    from ..errors import InputError
    from ..onboarding.plan_file import kept_plan

    try:
        return kept_plan(home, apply_id)
    except InputError:
        return None


def _ask(bench: Workbench, made: UndoPlan, *, yes: bool) -> None:
    for sentence in made.sentences():
        note(sentence)
    confirm(f"接続先：{bench.settings.profile}", yes=yes or bench.in_sandbox)


def _write(made: UndoPlan, plan: Plan | None, out: Path, as_json: bool) -> int:
    from ..onboarding.undo_file import save_undo
    from ..onboarding.undo_review import undo_rows

    save_undo(made, out)
    document = {**made.as_json(), "undone": 0, "failed": [], "file": str(out)}

    def text() -> str:
        lines = [f"取り消しの計画 {made.undo_id}（登録 {made.apply_id}）", *made.sentences()]
        for what, label, said in undo_rows(made, plan, most=SHOWN):
            lines.append(f"  {what} {label}" + (f"：{said}" if said else ""))
        minutes = max(1, round(made.eta_s / 60))
        lines += [
            f"通信 {made.calls:,} 回、およそ {minutes:,} 分",
            f"取り消しの計画を {out} に保存しました。`bousai onboard review {out} --out FILE.xlsx` で確かめ、"
            f"`bousai onboard apply {out}` を実行してください。",
        ]
        return "\n".join(lines)

    emit(document, text, as_json)
    return 0


def _code(result: UndoResult, *, stopped: bool) -> int:
    if stopped and result.left:
        return 130
    return 0 if result.complete else 1


def _text(result: UndoResult) -> str:
    lines = [
        f"{result.undone:,} 件を取り消しました（取り消し済み {result.skipped:,} 件、"
        f"失敗 {len(result.failed):,} 件、取り消せないもの {len(result.impossible):,} 件）。"
    ]
    for one in result.failed:
        who = f"職員番号 {one['staff_number']}" if one["staff_number"] else one["step"]
        lines.append(f"  {who}：{one['reason']}")
    if result.left:
        lines.append(f"残りは {result.left:,} 件です。")
    if not result.complete:
        lines.append("同じコマンドをもう一度実行すると、残りを続けます。")
    return "\n".join(lines)
