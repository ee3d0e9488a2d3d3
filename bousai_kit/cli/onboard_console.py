"""``bousai onboard console``: the roster as files for the admin console."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import Json, bench_for_cli, emit, note, overrides, run

if TYPE_CHECKING:
    from ..onboarding.console import ConsoleFiles
    from ..onboarding.tenant_view import TenantView

__all__ = ["register_console"]


def register_console(onboard: typer.Typer) -> None:
    """Add the command to ``bousai onboard``."""

    @onboard.command()
    def console(
        roster: Annotated[Path | None, typer.Argument(metavar="ROSTER", help="名簿（CSV か XLSX）。")] = None,
        orgunits: Annotated[
            Path | None, typer.Option(metavar="F", help="組織の一覧（CSV か XLSX）。")
        ] = None,
        passwords: Annotated[
            str,
            typer.Option(
                metavar="auto|admin|member",
                help="パスワードの作り方。auto: 画面が自動で作る、admin: ファイルに書く、"
                "member: 本人が招待メールから決める。",
            ),
        ] = "auto",
        out: Annotated[
            Path | None, typer.Option(metavar="DIR", help="書き出し先（新しいフォルダー）。")
        ] = None,
        kind: Annotated[str, typer.Option("--format", metavar="xlsx|csv", help="ファイルの種類。")] = "xlsx",
        no_tenant: Annotated[
            bool, typer.Option("--no-tenant", help="テナントを読みません（登録済みの人を除きません）。")
        ] = False,
        write_columns: Annotated[
            bool, typer.Option("--write-columns", help="見出しの表を BOUSAI_HOME に写します（直すため）。")
        ] = False,
        destroy: Annotated[
            bool, typer.Option("--destroy", help="admin のパスワードの元になる秘密を破棄します。")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """API が使えないとき、管理者画面の一括追加に使うファイルを作ります（登録はしません）。"""
        if passwords not in ("auto", "admin", "member"):
            raise typer.BadParameter(
                "auto、admin、member のどれかを指定してください", param_hint="--passwords"
            )
        if kind not in ("xlsx", "csv"):
            raise typer.BadParameter("xlsx か csv を指定してください", param_hint="--format")
        if roster is None and not (write_columns or destroy):
            raise typer.BadParameter("名簿を指定してください", param_hint="ROSTER")
        if roster is not None and out is None:
            raise typer.BadParameter("書き出し先を指定してください", param_hint="--out")

        async def main() -> int:
            from ..errors import RosterError
            from ..onboarding.console import plan_console
            from ..onboarding.console_files import ConsolePasswords, write_console
            from ..onboarding.console_table import load_console_table, write_console_table
            from ..roster import Check, read_roster, require_ok
            from ..settings import load_settings

            home = load_settings(overrides=overrides()).home
            document: dict[str, Any] = {"files": [], "people": 0}
            lines: list[str] = []
            if write_columns:
                path = write_console_table(home)
                document["columns"] = str(path)
                lines.append(f"見出しの表を {path} に写しました。画面の見本と見比べて直してください。")
            if roster is not None and out is not None:
                people = require_ok(read_roster(roster, orgunits=orgunits))
                table = load_console_table(home)
                view = None if no_tenant else await _tenant()
                try:
                    made = plan_console(
                        people, table, method=passwords, view=view, password_of=ConsolePasswords(home)
                    )
                except RosterError as error:  # all of it at once: no other command would say it
                    found = Check(len(people.people), error.issues, error.hint)
                    emit({**document, **found.as_json()}, found.render_text, as_json)
                    return 2
                paths = write_console(made, out, kind=kind)
                document |= _document(made, [str(path) for path in paths])
                lines += _text(made, document["files"])
                if made.holds_passwords:
                    note(
                        "【重要】ファイルに全員の初期パスワードが書かれています"
                        "（この利用者だけが読めます）。"
                        "配り終えたらフォルダーを消し、`bousai onboard console --destroy` で元も破棄します。"
                    )
            if destroy:
                document["destroyed"] = ConsolePasswords(home).destroy()
                lines.append(
                    "パスワードの元になる秘密を破棄しました。"
                    if document["destroyed"]
                    else "破棄する秘密はありません。"
                )
            emit(document, "\n".join(lines), as_json)
            return 0

        run(main)


async def _tenant() -> TenantView | None:
    """What can be read of the tenant; a sentence when that is nothing."""
    from ..errors import ConfigError, LineWorksError
    from ..onboarding.console import see_tenant

    try:
        async with bench_for_cli() as bench:
            return await see_tenant(bench.client, domain_id=bench.domain_id)
    except (ConfigError, LineWorksError) as error:
        note(f"テナントを読めませんでした（{error}）")
        return None


def _document(made: ConsoleFiles, files: list[str]) -> dict[str, Any]:
    return {
        "files": files,
        "people": made.people,
        "orgunits": sum(len(one.rows) for one in made.orgunits),
        "passwords": made.method,
        "holds_passwords": made.holds_passwords,
        "confirmed": made.table.confirmed,
        "already": sum(one.as_it_should_be for one in made.left_out),
        "left_out": [
            {"row": one.row, "staff_number": one.staff_number, "reason": one.reason}
            for one in made.left_out
            if not one.as_it_should_be  # those stand in the file that comes with the others
        ],
        "notes": list(made.notes),
    }


def _text(made: ConsoleFiles, files: list[str]) -> list[str]:
    lines = [
        f"管理者画面の一括追加用に、{made.people:,} 名分のファイルを作りました（{len(files):,} 個）。",
        *(f"  {path}" for path in files),
        f"「{Path(files[-1]).name}」の順に取り込んでください。",
    ]
    if not made.table.confirmed:
        lines.append(
            "【未確認】見出しは画面で確かめていません。取り込む前に、手順のとおり見本と見比べてください。"
        )
    if made.left_out:
        there = sum(one.as_it_should_be for one in made.left_out)
        said = f"（うち {there:,} 名は、すでに登録されています）" if there else ""
        lines.append(
            f"ファイルに入れていない人が {len(made.left_out):,} 名います{said}。一覧は手順にあります。"
        )
    return lines + [f"【注意】{one}" for one in made.notes]
