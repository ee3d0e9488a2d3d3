"""The command line: thin twins of the notebook steps.

Every area is a module here with ``register(app)``; only the area that was asked for is imported. A command
does its work in ``run(main)``, prints through ``emit``, and says how far it is on stderr.

Exit codes: 0 done; 1 done, some items failed or are unknown; 2 usage, setting or input file wrong;
3 refused by a guard; 130 interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bousai_kit.cli._stopping import typed_line
from bousai_kit.cli._terminal import Bar, emit, emit_ready, emitted, forget, note, plain
from bousai_kit.errors import BousaiKitError, GuardError, os_reason

if TYPE_CHECKING:
    from bousai_kit.workbench import Workbench

__all__ = [
    "Bar",
    "Json",
    "Yes",
    "bench_for_cli",
    "build_app",
    "confirm",
    "emit",
    "emit_ready",
    "main",
    "note",
    "overrides",
    "plain",
    "run",
    "run_async",
]

Json = Annotated[bool, typer.Option("--json", help="結果を JSON 1 件として標準出力に出します。")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="確認を省きます（自動実行用）。")]

_ORDER = ("demo", "lab", "doctor", "onboard", "drill", "latency", "logs", "receiver", "sandbox")
_HELP = (
    "防災担当者のための LINE WORKS キット：名簿の登録、一斉送信訓練、応答時間の分析。\n\n"
    "どのコマンドにも --profile 名前（接続先）、--home フォルダ（台帳の置き場所）を付けられます。"
)
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # click's, wherever typer keeps it
_given: dict[str, str] = {}  # --profile and --home of this command line, as variable names
_line: list[str] = []  # this command line


def overrides() -> dict[str, str]:
    """Settings given as options on this command line (they win over everything else)."""
    return dict(_given)


def build_app(only: str | None = None) -> typer.Typer:
    """Put the commands together.

    Parameters
    ----------
    only : str, optional
        The command that was asked for: when a module of that name exists, no other is imported.
    """
    app = typer.Typer(
        name="bousai",
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"]},
    )

    @app.callback()
    def root() -> None:
        """Kept a group even while one area alone is loaded."""

    root.__doc__ = None
    names = [path.stem for path in sorted(Path(__file__).parent.glob("*.py")) if path.stem[0] != "_"]
    if only is not None and only.replace("-", "_") in names:
        names = [only.replace("-", "_")]
    names.sort(key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    for name in names:
        module = importlib.import_module(f"{__name__}.{name}")
        if hasattr(module, "register"):  # the others are parts of an area
            module.register(app)
    return app


def __getattr__(name: str) -> Any:
    if name == "app":  # all areas; for tests and other programs
        return build_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def run_async(work: Coroutine[Any, Any, int]) -> int:
    """Run to the end; Ctrl-C and SIGTERM cancel it, so that it can leave in order.

    Raises
    ------
    KeyboardInterrupt
        It was interrupted.
    """

    async def guarded() -> int:
        task = asyncio.current_task()
        stopped = False

        def stop() -> None:
            nonlocal stopped
            stopped = True
            if task is not None:
                task.cancel()

        if task is not None:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, a thread
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        try:
            return await work
        except asyncio.CancelledError:
            if stopped:
                raise KeyboardInterrupt from None
            raise

    return asyncio.run(guarded())


def run(command: Callable[[], Awaitable[int | None] | int | None]) -> NoReturn:
    """Run one command and leave with its exit code; errors become a sentence on stderr.

    Parameters
    ----------
    command : callable
        Returns the exit code (None: 0), or a coroutine that does.

    Raises
    ------
    typer.Exit
        Always; it carries the exit code.
    """

    async def as_coroutine(awaited: Awaitable[int | None]) -> int:
        return await awaited or 0

    try:
        result = command()
        code = run_async(as_coroutine(result)) if inspect.isawaitable(result) else result
    except typer.Exit:
        raise
    except (Exception, KeyboardInterrupt, asyncio.CancelledError) as error:
        code = report(error)
    raise typer.Exit(code or 0)


@contextlib.asynccontextmanager
async def bench_for_cli(**kwargs: Any) -> AsyncIterator[Workbench]:
    """Open the workbench from the settings of this command line and close it afterwards.

    Further keyword arguments go to `open_workbench`.
    """
    from bousai_kit.settings import load_settings
    from bousai_kit.workbench import open_workbench

    bench = await open_workbench(settings=load_settings(overrides=overrides()), **kwargs)
    try:
        yield bench
    finally:
        await bench.close()


def confirm(question: str, *, yes: bool, word: str = "はい") -> None:
    """Let a human agree before anything is sent.

    Parameters
    ----------
    question : str
        What is about to happen, with numbers.
    yes : bool
        Agreed beforehand (``--yes``).
    word : str
        What has to be typed.

    Raises
    ------
    GuardError
        Nobody agreed (exit code 3).
    """
    if yes:
        return
    if not sys.stdin.isatty():
        hint = "内容を確かめ、--yes を付けてもう一度実行してください。"
        raise GuardError("確認が必要な操作です。", hint=hint)
    note(question)
    if typed_line(f"実行するには「{word}」と入力して Enter を押してください：") != word:
        raise GuardError("確認されなかったため、何もしませんでした。", hint="")


def report(error: BaseException) -> int:
    """Say on stderr what went wrong and what to do; the exit code to leave with.

    With ``--json``, when nothing has been printed yet, stdout gets the same as one document.
    """
    if isinstance(error, BousaiKitError):
        said, hint, code = str(error), error.hint, error.exit_code
    elif isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        said, code = "中断しました。", 130
        hint = "ここまでの結果は台帳に残っています。同じコマンドで続きから再開できます。"
    elif isinstance(error, _USAGE_ERROR):
        said, hint, code = _usage(error), "使い方は --help で確認できます。", 2
    elif isinstance(error, OSError) and error.strerror:
        where = f"（{error.filename}）" if error.filename else ""
        said, code = f"ファイルまたは通信の操作に失敗しました：{os_reason(error)}{where}。", 2
        hint = "場所、権限、ディスクの空き容量を確認してから、もう一度実行してください。"
    else:  # a defect: neither its text nor its frames go on the screen, they could hold anything
        said, code = f"プログラムの誤りで止まりました（{type(error).__name__}{_place(error)}）。", 2
        hint = "BOUSAI_DEBUG=1 を付けて実行した結果を、個人情報を除いて担当者に送ってください。"
    note(f"{said} {hint}".strip().replace("\n", " "))
    if os.environ.get("BOUSAI_DEBUG") == "1" and code == 2:
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    if "--json" in _line and not emitted():
        emit({"ok": False, "error": said, "hint": hint, "exit_code": code}, "", True)
    return code


def _place(error: BaseException) -> str:
    """Module and line of the innermost frame of the kit."""
    place, trace = "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        if name.startswith("bousai_kit."):
            place = f"、{name} {trace.tb_lineno} 行"
        trace = trace.tb_next
    return place


def _usage(error: Any) -> str:
    """What was wrong on the command line, in Japanese."""
    kind = type(error).__name__
    if kind == "NoSuchOption":
        similar = ", ".join(sorted(error.possibilities or ()))
        nearest = f"（候補：{similar}）" if similar else ""
        return f"{error.option_name} というオプションはありません。{nearest}"
    param = getattr(error, "param", None)
    name = getattr(error, "param_hint", None) or "引数"
    if param is not None:
        name = param.opts[0] if param.opts[0][:1] == "-" else (param.metavar or param.name or "").upper()
    if kind == "MissingParameter":
        return f"{name} を指定してください。"
    if kind == "BadParameter":
        return f"{name} の値が正しくありません（{_in_japanese(str(error.message))}）。"
    if kind == "BadOptionUsage":
        return f"{error.option_name} の書き方が正しくありません（値の有無を確認してください）。"
    message = str(getattr(error, "message", ""))
    if message.startswith("No such command"):
        return f"{message.removeprefix('No such command').strip(' .')} というコマンドはありません。"
    if kind == "NoArgsIsHelpError" or message.startswith("Missing command"):
        return "コマンドを指定してください。"
    if "unexpected extra argument" in message:
        return f"余分な引数があります：{message.partition('(')[2].removesuffix(')').rpartition('(')[2]}。"
    return f"コマンドの書き方が正しくありません（{message}）。"


_REASONS = (
    ("valid integer", "整数で指定してください"),
    ("valid number", "数値で指定してください"),
    ("greater than or equal to ", "{} 以上で指定してください"),
    ("less than or equal to ", "{} 以下で指定してください"),
    ("greater than ", "{} より大きい値で指定してください"),
    ("less than ", "{} より小さい値で指定してください"),
    ("does not exist", "ファイルまたはフォルダがありません"),
)


def _in_japanese(message: str) -> str:
    for english, japanese in _REASONS:
        if english in message:
            return japanese.format(message.partition(english)[2].strip(" ."))
    return message


def _take_globals(args: Sequence[str]) -> list[str]:
    """Take ``--profile`` and ``--home`` out, wherever they stand."""
    _given.clear()
    left: list[str] = []
    rest = iter(args)
    for arg in rest:
        name, equals, value = arg.partition("=")
        if arg == "--":
            return [*left, arg, *rest]
        if name in ("--profile", "--home"):
            value = value if equals else next(rest, "")
            if not value:
                raise typer.BadParameter("値がありません", param_hint=name)
            _given["BOUSAI_" + name[2:].upper()] = value
        else:
            left.append(arg)
    return left


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``bousai``; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    forget()
    _line[:] = sys.argv[1:] if argv is None else argv
    try:
        args = _take_globals(_line)
        command = typer.main.get_command(build_app(next((arg for arg in args if arg[:1] != "-"), None)))
        code = command.main(args or ["--help"], prog_name="bousai", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except typer.Exit as left:
        return left.exit_code
    except BrokenPipeError:  # the reader went away: nothing left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except typer.Abort:
        return report(KeyboardInterrupt())
    except (Exception, KeyboardInterrupt) as error:
        return report(error)
    finally:
        _given.clear()  # the next command of this process is another one
