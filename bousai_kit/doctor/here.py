"""Checks of this machine: settings, key, ledger, secrets, disk, font, versions."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bousai_kit.clock import SystemClock, in_thread
from bousai_kit.doctor.checks import Trouble
from bousai_kit.errors import LedgerCorrupt, LedgerError
from bousai_kit.onboarding.leftovers import KEPT_FOR, old_files_with_names
from bousai_kit.settings import Settings, read_private_key
from bousai_kit.settings.font import font_file

if TYPE_CHECKING:
    from bousai_kit.workbench import Workbench

__all__ = ["Here", "versions"]

LEAST_FREE_BYTES = 300 << 20
"""A drill of 30,000 people and the export of a month fit in."""
_LEAST = {  # older ones queue clicks, answer elsewhere, or cannot read what this kit writes
    "duckdb": (2, 0),
    "httpx": (0, 28),
    "ipykernel": (7, 4),
    "ipywidgets": (8, 1, 9),
    "jupyterlab": (4, 6),
}
_FONTS = (b"OTTO", b"\x00\x01\x00\x00", b"true", b"ttcf")


class Here:
    """What needs no network.

    Parameters
    ----------
    bench : Workbench
    ledger_trouble : LedgerError, optional
        Why the ledger of the settings could not be opened; the bench then has another one.
    """

    def __init__(self, bench: Workbench, ledger_trouble: LedgerError | None) -> None:
        self.bench = bench
        self.ledger_trouble = ledger_trouble

    async def settings(self) -> str:
        bench, settings = self.bench, self.bench.settings
        bench.require_credentials()
        if bench.in_sandbox:
            return "プロファイル「sandbox」（練習用。実際には送信されません）"
        if settings.is_loopback:
            return f"プロファイル「{settings.profile}」（試験用サーバー。この端末の中だけで動きます）"
        return f"プロファイル「{settings.profile}」（実際のテナントです）"

    async def key(self) -> str:
        if self.bench.sandbox is None:
            read_private_key(self.bench.settings)
        return "秘密鍵を読み取れました。"

    async def ledger(self) -> str:
        if self.ledger_trouble is not None:
            raise self.ledger_trouble
        found = await self.bench.ledger.verify()
        if not found.ok:
            raise LedgerCorrupt(f"台帳の連鎖が途切れています（{len(found.broken)} か所）。")
        return f"記録 {found.events} 件、改ざんは見つかりません。"

    async def secrets(self) -> str | tuple[str, str]:
        from bousai_kit.onboarding.slips import handout_files, waiting_secrets

        bench = self.bench
        waiting = await waiting_secrets(bench.ledger, bench.home, now=bench.clock.now())
        files = handout_files(bench.home)
        said, todo = [], []
        if waiting:
            days = [one.age.days for one in waiting if one.age is not None]
            oldest = f"（最も古いものは {max(days):,} 日前）" if days else ""
            said.append(f"初期パスワードの元になる秘密が {len(waiting)} 件残っています{oldest}。")
            todo.append(
                "配付が済んだら、10_onboarding の「配付を終える（以後は印刷できません）」を押すか、"
                "`bousai onboard handouts PLAN.json --destroy` で秘密を破棄してください。"
            )
        if files:
            shown = "、".join(str(path) for path in files[:3])
            more = f" ほか {len(files) - 3:,} 個" if len(files) > 3 else ""
            said.append(f"初期パスワードの載った配付資料が残っています（{shown}{more}）。")
            todo.append(
                "配付が済んだら、配付資料を削除してください"
                "（--destroy に --delete-files を付けると一緒に削除します）。"
            )
        return ("".join(said), "".join(todo)) if said else "残っている初期パスワードの秘密はありません。"

    async def home(self) -> str | tuple[str, str]:
        return await in_thread(self.bench.clock, functools.partial(_home, self.bench.settings))

    async def font(self) -> str:
        head = b""
        with contextlib.suppress(OSError, ImportError):
            path = font_file(self.bench.settings.font)
            with path.open("rb") as file:
                head = file.read(4)
        if head in _FONTS:
            return f"日本語フォントを使えます（{path.name}）。"
        if self.bench.settings.font is not None:
            raise Trouble(
                f"BOUSAI_FONT のファイル（{self.bench.settings.font}）をフォントとして読み取れません。",
                "BOUSAI_FONT を外すか、日本語の OTF または TTF ファイルを指定してください。",
            )
        raise Trouble(
            "同梱の日本語フォントを読み取れません。",
            "`python3 bousai.py doctor` のように bousai.py から起動し、部品を入れ直してください。",
        )


def _home(settings: Settings) -> str | tuple[str, str]:
    folder = settings.home
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as probe:
            probe.write(b"x" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
        free = shutil.disk_usage(folder).free
    except OSError as error:
        if getattr(error, "errno", None) in (28, 122):  # ENOSPC, EDQUOT
            raise _full(folder, 0) from None
        raise Trouble(
            f"保存先のフォルダ（{folder}）に書き込めません。",
            "BOUSAI_HOME を、自分が書き込めるこの端末のフォルダに変えてください。",
        ) from None
    if free < LEAST_FREE_BYTES:
        raise _full(folder, free)
    said = f"{folder} に書き込めます（空き {free / (1 << 30):,.1f} GB）。"
    old = old_files_with_names(folder, now=SystemClock().now())
    if not old:
        return said
    shown = "、".join(str(path) for path, _ in old[:3]) + (f" ほか {len(old) - 3:,} 個" if old[3:] else "")
    return (
        f"{said}氏名の入った名簿、下書き、一覧が {len(old):,} 個、{KEPT_FOR.days} 日以上前から残っています"
        f"（最も古いものは {old[0][1].days:,} 日前：{shown}）。",
        "もう使わないファイルは削除してください。",
    )


def _full(folder: Path, free: int) -> Trouble:
    return Trouble(
        f"保存先のディスク（{folder}）の空き容量が {free >> 20} MB しかありません。",
        f"不要なファイルを片付けて {LEAST_FREE_BYTES >> 20} MB 以上を空けるか、"
        "BOUSAI_HOME を別のディスクに変えてください。",
    )


async def versions() -> str:
    """Python and the parts that make a difference; needs nothing."""
    old = []
    for name, least in _LEAST.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            old.append(f"{name} なし")
            continue
        numbers = tuple(int(part) for part in re.findall(r"\d+", found)[: len(least)])
        if numbers < least:
            old.append(f"{name} {found}")
    if old:
        raise Trouble(
            f"必要な部品が古いか、入っていません（{'、'.join(old)}）。",
            "`python3 bousai.py doctor` のように bousai.py から起動し、正しい版を入れてください。",
        )
    from bousai_kit import __version__

    return f"必要な部品がそろっています（bousai_kit {__version__}、Python {sys.version.split()[0]}）。"
