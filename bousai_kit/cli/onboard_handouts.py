"""``bousai onboard handouts``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import Bar, Json, bench_for_cli, emit, note, run
from ._stopping import at_the_keyboard

if TYPE_CHECKING:
    from ..onboarding.items import Plan
    from ..onboarding.slips import PlanHandouts
    from ..onboarding.tenant_view import Member
    from ..workbench import Workbench

__all__ = ["register_handouts"]

LEAST = 10
"""Characters of a passphrase."""

PlanFile = Annotated[
    Path | None, typer.Argument(metavar="PLAN.json", help="onboard plan が作った計画。", show_default=False)
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="配付資料の書き出し先。")]
Destroy = Annotated[
    bool,
    typer.Option("--destroy", help="配付を終え、初期パスワードを印刷できなくします（元の秘密を破棄）。"),
]
DeleteFiles = Annotated[
    bool,
    typer.Option("--delete-files", help="--destroy と一緒に、残っている配付資料のファイルも削除します。"),
]
Single = Annotated[bool, typer.Option("--single", help="1 人 1 ファイルの zip にします。")]
Cover = Annotated[
    bool,
    typer.Option("--cover", help="区・局ごとに、連絡員が受領印をもらう受領簿（パスワードなし）を付けます。"),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="職員番号", help="この人のページだけを作り直します（何度でも指定できます）。"
    ),
]
Invited = Annotated[
    bool, typer.Option("--invited", help="招待メールの人のページも作ります（パスワードは載りません）。")
]
Pending = Annotated[bool, typer.Option("--pending", help="ログイン済みの人のページを省きます。")]
Offline = Annotated[
    bool, typer.Option("--offline", help="誰がログイン済みかを LINE WORKS に確かめません（通信しません）。")
]
Passphrase = Annotated[
    bool, typer.Option("--passphrase", help="PDF を暗号化します。合言葉は、表示せずに尋ねます。")
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="PDF を暗号化します。合言葉は、このファイルの 1 行目です。"),
]
WriteTemplate = Annotated[
    bool,
    typer.Option("--write-template", help="文面のひな形を BOUSAI_HOME に置きます（書き換えて使えます）。"),
]


def register_handouts(onboard: typer.Typer) -> None:
    """Add ``handouts`` to ``onboard``."""

    @onboard.command()
    def handouts(
        plan: PlanFile = None,
        out: Out = None,
        destroy: Destroy = False,
        delete_files: DeleteFiles = False,
        single: Single = False,
        cover: Cover = False,
        only: Only = None,
        invited: Invited = False,
        pending: Pending = False,
        offline: Offline = False,
        passphrase: Passphrase = False,
        passphrase_file: PassphraseFile = None,
        write_template: WriteTemplate = False,
        as_json: Json = False,
    ) -> None:
        """配付資料（1 人 1 ページ、初期パスワードと QR コード）を作ります。"""
        if not (out or destroy or write_template):
            from ..errors import InputError

            raise InputError(
                "何をするかが指定されていません。",
                hint="配付資料を作るときは --out DIR、配付を終えるときは --destroy を付けてください。",
            )
        if plan is None and (out or destroy):
            raise typer.BadParameter("計画のファイルを指定してください", param_hint="PLAN.json")
        if delete_files and not destroy:
            raise typer.BadParameter("--destroy と一緒に指定してください", param_hint="--delete-files")

        async def main() -> int:
            from ..onboarding import load_plan

            made = None if plan is None else load_plan(plan)
            locked = _passphrase(passphrase, passphrase_file) if out is not None else None
            document: dict[str, Any] = {"files": [], "pages": 0}
            lines: list[str] = []
            look = out is not None and not offline
            async with bench_for_cli(offline=not look) as bench:
                if write_template:
                    _template(bench, document, lines)
                if made is not None and out is not None:
                    written = await _write(
                        bench,
                        made,
                        out,
                        look=look,
                        single=single,
                        covers=cover,
                        only=tuple(
                            one for text in only or () for one in text.replace("、", ",").split(",") if one
                        ),
                        with_invited=invited,
                        pending_only=pending,
                        passphrase=locked,
                    )
                    _report(written, document, lines, offline=offline)
                if made is not None and destroy:
                    await _destroy(bench, made, document, lines, delete_files=delete_files)
            emit(document, "\n".join(lines), as_json)
            return 0

        run(main)


def _passphrase(asked: bool, file: Path | None) -> str | None:
    """From a file or the keyboard; never from the command line, which every user of the machine can see."""
    from ..errors import InputError

    if file is not None:
        try:
            with file.open("rb") as opened:
                mode, said = os.fstat(opened.fileno()).st_mode, opened.read(1000)
        except OSError as error:
            raise InputError(f"合言葉のファイル {file} を開けません（{error.strerror}）。") from None
        if os.name == "posix" and mode & 0o077:
            raise InputError(
                f"合言葉のファイル {file} を、ほかの利用者が読める状態です。",
                hint=f"`chmod 600 {file}` を実行してから、もう一度実行してください。",
            )
        given = said.decode("utf-8-sig", "replace").splitlines()[0].strip() if said.strip() else ""
    elif asked:
        given = _asked()
    else:
        return None
    if len(given) < LEAST or not all("!" <= letter <= "~" for letter in given):
        raise InputError(
            f"合言葉は、半角の英字・数字・記号で {LEAST} 文字以上にしてください。",
            hint="開く人のパソコンやスマートフォンでも入力できる文字だけを使います。空白は使えません。",
        )
    return given


def _asked() -> str:
    import getpass

    from ..errors import InputError

    if not sys.stdin.isatty():
        raise InputError(
            "合言葉を尋ねる画面がありません。",
            hint="--passphrase-file FILE で、合言葉のファイルを指定してください。",
        )
    with at_the_keyboard():
        given = getpass.getpass("PDF を開く合言葉（表示されません）：", sys.stderr)
        again = getpass.getpass("もう一度：", sys.stderr)
    if again != given:
        raise InputError("2 回の合言葉が違います。何も作っていません。", hint="もう一度実行してください。")
    return given


async def _write(bench: Workbench, plan: Plan, out: Path, *, look: bool, **options: Any) -> PlanHandouts:
    from ..onboarding import handouts_for_plan

    members = await _members(bench) if look else None
    bar = Bar("配付資料", len(plan.creates))
    try:
        return await handouts_for_plan(
            plan,
            ledger=bench.ledger,
            clock=bench.clock,
            home=bench.home,
            out=out,
            font=bench.settings.font,
            members=members,
            now=bench.clock.now(),
            progress=bar.update,
            **options,
        )
    finally:
        bar.close()


async def _members(bench: Workbench) -> list[Member] | None:
    """The members of the tenant, to tell whose password is spent; None: they cannot be asked for."""
    from ..errors import BousaiKitError
    from ..onboarding.tenant_view import see_member

    with contextlib.suppress(BousaiKitError):
        return [
            see_member(user)
            async for user in bench.client.users.list()
            if user.get("domainId") in (None, bench.domain_id)
        ]
    return None


def _report(written: PlanHandouts, document: dict[str, Any], lines: list[str], *, offline: bool) -> None:
    made = written.handouts
    document |= made.as_json()
    document |= {
        "not_created": written.not_created,
        "invited": written.invited,
        "spent": written.spent,
        "expired": list(written.expired),
    }
    lists = f"（ほかに受領簿 {made.covers:,} ページ）" if made.covers else ""
    lines += [f"{made.pages:,} ページを作りました{lists}。", *[str(path) for path in made.files]]
    if made.pages > written.spent:
        lines.append("A5 の片面で印刷してください。両面にすると、別の人のパスワードが裏に刷られます。")
    if written.not_created:
        note(f"アカウントがまだない {written.not_created:,} 名のページはありません。")
    if not written.applied and made.pages:
        note("この計画はまだ実行されていません。配付は onboard apply の後にしてください。")
    if written.invited:
        note(
            f"招待メールの {written.invited:,} 名に、紙のパスワードはありません"
            "（--invited で、手順だけのページを作れます）。"
        )
    if written.spent:
        note(
            f"{written.spent:,} 名はログイン済みのため、パスワードを載せていません"
            "（ページごと省くには --pending を付けます）。"
        )
    if written.expired:
        note(
            f"登録から 30 日たった {len(written.expired):,} 名はパスワードが期限切れで、ページがありません"
            f"（管理画面で再発行してください）：職員番号 {_some(written.expired)}"
        )
    if made.boxes:
        note(
            f"{len(made.boxes):,} 名のページに、フォントにない字があり、□ になります"
            "（手で書き添えるか、その字を持つフォントを BOUSAI_FONT に指定してください）："
            f"職員番号 {_some(made.boxes)}"
        )
    if written.applied and not written.checked and not offline:
        note(
            "誰がログイン済みかを確かめられませんでした。ログイン済みの人の初期パスワードも載っている"
            "ことがあります。"
        )


def _some(numbers: Sequence[str]) -> str:
    more = f" ほか {len(numbers) - 10:,} 名" if len(numbers) > 10 else ""
    return "、".join(numbers[:10]) + more


def _template(bench: Workbench, document: dict[str, Any], lines: list[str]) -> None:
    from ..onboarding.handout_words import write_template

    path = write_template(bench.home)
    document["template"] = str(path)
    lines.append(f"文面のひな形を {path} に置きました。書き換えると、次の配付資料から使われます。")


async def _destroy(
    bench: Workbench, plan: Plan, document: dict[str, Any], lines: list[str], *, delete_files: bool
) -> None:
    from ..onboarding import destroy_secret
    from ..onboarding.slips import handout_files

    document["destroyed"] = await destroy_secret(plan, ledger=bench.ledger, home=bench.home)
    lines.append("配付を終えました。初期パスワードは、もう印刷できません（元になる秘密を破棄しました）。")
    left = handout_files(bench.home, plan.plan_id)
    if delete_files:
        for path in left:
            path.unlink(missing_ok=True)
        lines.append(f"配付資料のファイル {len(left):,} 個を削除しました。")
        document["deleted"], left = [str(path) for path in left], []
    document["left_files"] = [str(path) for path in left]
    if left:
        lines.append(
            "初期パスワードの載った次のファイルが残っています。不要なら削除してください（--delete-files）。"
        )
        lines += [f"  {path}" for path in left]
