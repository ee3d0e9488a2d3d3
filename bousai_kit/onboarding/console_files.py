"""The console's bulk files on the disk, and the sheet of paper that says what to do with them."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from bousai_kit.errors import InputError, os_reason
from bousai_kit.files import write_private
from bousai_kit.onboarding.console import MEMBERS_PER_FILE, UNITS_PER_FILE, ConsoleFile, ConsoleFiles
from bousai_kit.onboarding.console_table import COLUMNS_FILE, METHODS
from bousai_kit.onboarding.passwords import PlanSecret, derive_password
from bousai_kit.tables import xlsx_bytes

__all__ = ["CONSOLE_ID", "README", "ConsolePasswords", "readme_text", "write_console"]

README = "手順.txt"
CONSOLE_ID = "console"
"""What the secret is called in place of a plan's id."""
_OURS = re.compile(r"1_組織_[0-9]{2,}\.(?:xlsx|csv)|2_メンバー_[^_/]+_[0-9]{3,}\.(?:xlsx|csv)|手順\.txt")
_HEAD = "管理者画面で一括追加する手順"


class ConsolePasswords:
    """Initial passwords for the files, from one secret that stays in ``BOUSAI_HOME`` until it is ended.

    A person's password stays the same while the roster is mended and the files are made again: a page that
    has been handed out stays right.
    """

    def __init__(self, home: Path) -> None:
        self._secret = PlanSecret(home, CONSOLE_ID)
        self._bytes = b""

    def __repr__(self) -> str:
        return "<ConsolePasswords>"

    def __call__(self, staff_number: str) -> str:
        """The password of one person."""
        self._bytes = self._bytes or self._secret.ensure()
        return derive_password(self._bytes, CONSOLE_ID, staff_number)

    def destroy(self) -> bool:
        """End the secret; False: there was none."""
        if not self._secret.left_over:
            return False
        with self._secret.ending():
            self._bytes = b""
        return True


def write_console(files: ConsoleFiles, out: Path, *, kind: str = "xlsx") -> tuple[Path, ...]:
    """Write the files and the steps into a folder of their own (0700, each file 0600).

    Files of an earlier run are replaced, so that nobody is added from an old one.

    Raises
    ------
    InputError
        The folder holds something else.
    """
    if kind not in ("xlsx", "csv"):
        raise ValueError("kind is xlsx or csv")
    whole = Path(os.path.abspath(out))
    old = _ours(whole)
    part = whole.with_name(f".{whole.name}.part")  # one name, so that a run that was killed leaves nothing
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, mode=0o700)
        names = []
        for one in (*files.orgunits, *files.members):
            names.append(f"{one.stem}.{kind}")
            write_private(part / names[-1], _csv(one) if kind == "csv" else _xlsx(one))
        text = readme_text(files, names, kind=kind)
        write_private(part / README, text.replace("\n", "\r\n").encode("utf-8-sig"))
        _put(part, whole, old, (*names, README))
    except OSError as error:
        raise InputError(
            f"フォルダー {out} に書き込めません（{os_reason(error)}）。",
            hint="中のファイルを Excel などで開いていたら閉じ、空き容量と書き込みの権限を確かめてから、"
            "もう一度実行してください。",
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return tuple(out / name for name in (*names, README))


def _put(part: Path, out: Path, old: Sequence[Path], names: Sequence[str]) -> None:
    """Old files go before new ones come: whatever ends us, nobody is added from a file of an earlier run."""
    if not out.exists():
        part.rename(out)
        return
    out.chmod(0o700)
    for path in old:
        if path.name != README:
            path.unlink()
    for name in names if old else reversed(names):  # one by which the folder is known as ours is always there
        os.replace(part / name, out / name)


def _ours(out: Path) -> list[Path]:
    if not out.exists():
        return []
    if not out.is_dir():
        raise InputError(
            f"{out} はフォルダーではありません。", hint="--out には新しいフォルダーを指定してください。"
        )
    found = list(out.iterdir())
    foreign = [path.name for path in found if not _OURS.fullmatch(path.name) or not path.is_file()]
    readme = out / README
    if foreign or (
        found and not (readme.is_file() and _HEAD in readme.read_text("utf-8-sig", "replace")[:200])
    ):
        shown = "、".join(sorted(foreign)[:3]) or "手順.txt のないファイル"
        raise InputError(
            f"フォルダー {out} に、ほかのファイルがあります（{shown}）。",
            hint="--out には、空のフォルダーか、新しいフォルダーを指定してください。",
        )
    return found


def _xlsx(one: ConsoleFile) -> bytes:
    return xlsx_bytes({one.sheet: (one.header, one.rows)})


def _csv(one: ConsoleFile) -> bytes:
    """As it stands: the console reads it, and a mark against formulas would become part of a name."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerows((one.header, *one.rows))
    return buffer.getvalue().encode("utf-8-sig")


def readme_text(files: ConsoleFiles, names: list[str], *, kind: str = "xlsx") -> str:
    """The steps, in the console's words, for whoever sits in front of it."""
    return "\n".join(_lines(files, names, kind)) + "\n"


def _lines(files: ConsoleFiles, names: list[str], kind: str) -> Iterator[str]:
    yield _HEAD
    yield "=" * 40
    yield (
        f"対象 {files.people:,} 名（パスワードの作り方：{METHODS[files.method]}）。"
        "氏名を含みます。終わったら、このフォルダーごと消してください。"
    )
    if files.holds_passwords:
        yield (
            "【重要】メンバーのファイルには、全員の初期パスワードが書かれています。"
            "メールで送らず、共有フォルダーに置かないでください。"
        )
    yield ""
    yield from _compare(files)
    for note in files.notes:
        yield f"【注意】{note}"
    if kind == "csv":
        yield (
            "【注意】CSV は Excel で開かずに取り込んでください"
            "（先頭の 0 が消え、「+」で始まる電話番号が計算されます）。"
        )
    steps = [*_steps(files, names)]
    yield "取り込む順序" if steps else "取り込むものはありません（名簿の全員が登録されています）。"
    for number, (title, lines) in enumerate(steps, 1):
        yield f"{number}. {title}"
        yield from (f"     {line}" for line in lines)
    if files.left_out:
        yield ""
        yield f"ファイルに入れていない人（{len(files.left_out):,} 名）"
        yield from (f"  {one.row} 行目 職員番号 {one.staff_number}：{one.reason}" for one in files.left_out)


def _compare(files: ConsoleFiles) -> Iterator[str]:
    table = files.table
    if table.confirmed:
        return
    yield (
        "【未確認】見出しと順序は、画面の見本で確かめていません。取り込む前に、次のとおり見比べてください。"
    )
    for number, step in enumerate(table.compare, 1):
        yield f"  {number}) {step}"
    guessed = table.guesses(files.method, *(["orgunits"] if files.orgunits else []))
    if guessed:
        yield f"  推測で書いた見出し：{'、'.join(guessed)}"
    yield (
        f"  違うところは `bousai onboard console --write-columns` で {COLUMNS_FILE} を写して直し、"
        "もう一度ファイルを作ります。確かめたら confirmed を true にします。"
    )
    yield ""


def _steps(files: ConsoleFiles, names: list[str]) -> Iterator[tuple[str, list[str]]]:
    method = METHODS[files.method]
    if files.orgunits:
        title = f"「組織」→「組織一括追加」（1 ファイル {UNITS_PER_FILE:,} 件まで。番号の順に）"
        yield title, [name for name in names if name.startswith("1_")]
    for label, names_of in (("職級", files.levels), ("役職", files.positions)):
        if names_of:
            title = f"「{label}」に次の {len(names_of):,} 個があるかを確かめ、なければ追加"
            yield title, ["、".join(names_of)]
    if not files.members:
        return
    members = [name for name in names if name.startswith("2_")]
    yield (
        f"「メンバー」→「メンバー一括追加」→ パスワード「{method}」（1 ファイル {MEMBERS_PER_FILE} 名まで）",
        [
            *(f"{name}（{len(one.rows)} 名）" for name, one in zip(members, files.members, strict=True)),
            f"「ID」には「@」より前だけを入れてあります。ログインIDは「ID@{files.domain}」です。",
            "エラーの行が出たら、名簿を直して、もう一度このファイルを作ります。",
        ],
    )
    late = (
        "30 日以内にパスワードを決めないと「登録待ち（期限終了）」になります。"
        "管理者画面で再発行してください。"
    )
    yield _AFTER[files.method], [late]


_AFTER = {
    "auto": "「完了」画面を閉じる前に、「印刷」か「メールで送る」で、ID と仮のパスワードを本人に渡す",
    "admin": "初期パスワードを本人に渡す（「完了」画面の「印刷」が使えます）。渡し終えたら、"
    "このフォルダーを消し、`bousai onboard console --destroy` でパスワードの元も破棄する",
    "member": "本人の個人メールアドレスに招待が届く。届かない人には、管理者画面から招待を送り直す",
}
