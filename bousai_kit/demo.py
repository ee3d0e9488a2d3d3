"""The main job, unattended: the four notebooks on an embedded sandbox, in a small city of their own.

The demo makes a folder that looks like a checkout (``notebooks/``, ``roster/``), runs every notebook there
in a kernel whose environment holds no setting of the caller, writes what came out as pages without any
reference to the network, and puts the folder in OUT's place at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bousai_kit.errors import BousaiKitError, ConfigError, os_reason
from bousai_kit.lab import leave_out_slow_parts

__all__ = ["MARKER", "NOTEBOOKS", "run_demo"]

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ("00_start", "10_onboarding", "20_drill", "30_latency")
MARKER = ".bousai-demo"
SCENARIO = "nankai_tsunami_2019.yaml"
PARAMETERS = {"30_latency": {"OUT": "../report"}}
CELL_S = 300

Tell = Callable[[str, int, int], None]


class DemoFailed(BousaiKitError):
    """A notebook of the demo stopped."""

    exit_code = 1
    default_hint = "もう一度実行し、同じ所で止まるときは担当者に連絡してください。"


async def run_demo(out: Path, *, people: int = 200, seed: int = 1, tell: Tell) -> dict[str, Any]:
    """Run the demo and leave its results in a folder.

    Parameters
    ----------
    out : Path
        Not there, empty, or made by an earlier demo.
    people : int
        The first so many of the sample roster, and generated ones beyond.
    seed : int
        The same seed gives the same numbers.
    tell : callable
        ``tell(label, done, total)``: how far it is.

    Returns
    -------
    dict
        ``people, onboarded, sent, acked, median_s, files`` as in ``demo --json``.

    Raises
    ------
    ConfigError
        `out` holds something else, or cannot be written.
    DemoFailed
        A notebook stopped; nothing was put in `out`.
    """
    check_out(out)
    with _workshop(out) as work:
        await asyncio.to_thread(make_city, work, people)
        pages: dict[str, Any] = {}
        for name in NOTEBOOKS:
            values = {"SEED": seed, **PARAMETERS.get(name, {})}
            pages[name] = await _execute(work, name, values, tell)
        tell("書き出し", 0, 1)
        await asyncio.to_thread(_write_pages, work, pages)
        summary = await _numbers(work / "home", people=people)
        files = {path.name: path for path in sorted([*work.glob("*.html"), *(work / "report").glob("*")])}
        summary["files"] = {name: path.relative_to(work).as_posix() for name, path in files.items()}
        (work / "summary.json").write_text(
            json.dumps(summary, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
        (work / MARKER).write_text("bousai demo\n", encoding="utf-8")
        put_in_place(work, out)
        tell("書き出し", 1, 1)
    names = {**summary["files"], "summary.json": "summary.json"}
    return {**summary, "files": {name: _shown(out / path) for name, path in names.items()}}


def _shown(path: Path) -> str:
    """A path from the working folder, where there is one."""
    try:
        return Path(os.path.relpath(path)).as_posix()
    except ValueError:  # another drive
        return path.as_posix()


# -- the folder -----------------------------------------------------------------------------------------


def check_out(out: Path) -> None:
    """Refuse a folder that holds anything but an earlier demo.

    Raises
    ------
    ConfigError
    """
    if out.is_dir():
        if (out / MARKER).is_file() or not any(out.iterdir()):
            return
    elif not out.exists() and not out.is_symlink():
        return
    raise ConfigError(
        f"{out} には demo 以外のファイルがあるため、書き込みません。",
        setting="--out",
        hint="--out に空のフォルダか、まだ無いフォルダを指定してください。",
    )


@contextlib.contextmanager
def _workshop(out: Path) -> Iterator[Path]:
    """A folder of this demo's own beside `out`; what is left of it is removed."""
    parent = out.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name or 'demo'}-", dir=parent))
    except OSError as error:
        raise ConfigError(
            f"{parent} に書き込めません（{os_reason(error)}）。",
            setting="--out",
            hint="--out を変えてください。",
        ) from None
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def put_in_place(work: Path, out: Path) -> None:
    """Make `work` the new `out`; an earlier demo's folder goes. With two at once the last one stays.

    Raises
    ------
    ConfigError
        Something else has been put into `out` meanwhile.
    """
    target = Path(os.path.realpath(out))
    for _ in range(100):
        check_out(target)
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            if target.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
                try:
                    os.replace(target, old / "gone")
                finally:
                    shutil.rmtree(old, ignore_errors=True)
        try:
            os.rename(work, target)
        except OSError:
            if not target.exists():
                raise
            continue  # another demo was quicker: replace it
        os.chmod(target, 0o755)  # noqa: S103 - pages for the office; home inside stays 0700
        return
    raise ConfigError(f"{out} を置き換えられません。", setting="--out", hint="--out を変えてください。")


def make_city(work: Path, people: int) -> None:
    """Notebooks, roster and scenario as in a checkout, with so many people."""
    from bousai_kit.roster import roster_rows, sample_roster
    from bousai_kit.tables import write_csv

    (work / "notebooks").mkdir()
    (work / "roster" / "scenarios").mkdir(parents=True)
    (work / "home").mkdir(mode=0o700)
    for name in NOTEBOOKS:
        shutil.copyfile(ROOT / "notebooks" / f"{name}.ipynb", work / "notebooks" / f"{name}.ipynb")
    shutil.copyfile(ROOT / "roster" / "scenarios" / SCENARIO, work / "roster" / "scenarios" / SCENARIO)
    shutil.copyfile(ROOT / "roster" / "sample_orgunits.csv", work / "roster" / "sample_orgunits.csv")
    header, rows = roster_rows(sample_roster(people))
    write_csv(work / "roster" / "sample_roster.csv", header, rows)


# -- the notebooks --------------------------------------------------------------------------------------


def kernel_environment(work: Path) -> dict[str, str]:
    """The caller's environment without any setting of the kit, of Jupyter or of a proxy."""
    foreign = ("BOUSAI_", "JUPYTER", "IPYTHON", "PYTHON")
    env = {name: value for name, value in os.environ.items() if not name.upper().startswith(foreign)}
    scratch = work / ".kernel"
    for name in ("config", "data", "ipython"):
        (scratch / name).mkdir(parents=True, exist_ok=True)
    return {
        **env,
        "BOUSAI_HOME": str(work / "home"),
        "BOUSAI_PROFILE": "sandbox",
        "JUPYTER_CONFIG_DIR": str(scratch / "config"),
        "JUPYTER_DATA_DIR": str(scratch / "data"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "IPYTHONDIR": str(scratch / "ipython"),
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        "PYTHONHASHSEED": "0",
    }


def with_parameters(notebook: Any, values: Mapping[str, Any]) -> Any:
    """Put a cell after the one tagged ``parameters`` that sets some of them."""
    from nbformat.v4 import new_code_cell

    lines = ["# demo が設定した値", *(f"{name} = {value!r}" for name, value in values.items())]
    for index, cell in enumerate(notebook.cells):
        if "parameters" in cell.metadata.get("tags", ()):
            added = new_code_cell("\n".join(lines), id="injected", metadata={"tags": ["injected-parameters"]})
            notebook.cells.insert(index + 1, added)
            break
    return notebook


async def _execute(work: Path, name: str, values: Mapping[str, Any], tell: Tell) -> Any:
    leave_out_slow_parts()
    import nbformat
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    class Watching(NotebookClient):
        """Shows the notebook's own progress bars while it runs."""

        def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
            content = msg.get("content", {})
            state = content.get("data", {}).get("state", {}) if msg["msg_type"].startswith("comm_") else {}
            if state.get("_model_name") == "IntProgressModel":
                bars[content["comm_id"]] = [0, 1]
            bar = bars.get(content.get("comm_id"))
            if bar is not None:
                bar[:] = [state.get("value", bar[0]), state.get("max", bar[1])]
                if bar[1] > 1:
                    tell(name, bar[0], bar[1])
            return super().process_message(msg, cell, cell_index)

    bars: dict[str, list[int]] = {}
    notebook = nbformat.read(work / "notebooks" / f"{name}.ipynb", as_version=4)
    with_parameters(notebook, values)
    specs = KernelSpecManager(kernel_dirs=[], ensure_native_kernel=True)  # this Python's, nobody's own
    with tempfile.TemporaryDirectory(prefix="bk-", ignore_cleanup_errors=True) as sockets:
        channel = {"transport": "ipc", "ip": f"{sockets}/k"} if os.name == "posix" else {}
        client = Watching(
            notebook,
            km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs, **channel),
            timeout=CELL_S,
            store_widget_state=False,
            resources={"metadata": {"path": str(work / "notebooks")}},
        )
        tell(name, 0, 1)
        try:
            await client.async_execute(env=kernel_environment(work))
        except CellExecutionError as error:
            said = _kit_sentence(notebook)
            raise DemoFailed(f"{name} が途中で止まりました（{error.ename}）。{said}") from None
        except CellTimeoutError:
            raise DemoFailed(f"{name} が時間内に終わりませんでした。") from None
        except (DeadKernelError, RuntimeError):
            hint = "空きメモリーを確認してください。"
            raise DemoFailed(f"{name} のカーネルを使えません。", hint=hint) from None
        finally:
            if client.km is not None:
                await client._async_cleanup_kernel()
    tell(name, 1, 1)
    return notebook


def _kit_sentence(notebook: Any) -> str:
    """The kit's own errors explain themselves; the text of any other stays out."""
    from bousai_kit import errors

    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("output_type") == "error" and hasattr(errors, output.get("ename", "")):
                return str(output.get("evalue", ""))
    return ""


# -- the results ----------------------------------------------------------------------------------------

_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block input_group -%}
<details class="bk-code"><summary>コード</summary>{{ super() }}</details>
{%- endblock -%}
"""


def render_page(notebook: Any, title: str) -> str:
    """An executed notebook as one page that needs nothing from anywhere.

    Parameters
    ----------
    notebook : NotebookNode
        Executed.
    title : str
        Title of the page.
    """
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    shown = {"text/html", "image/svg+xml", "image/png", "text/plain"}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "data" in output:
                output.data = {kind: data for kind, data in output.data.items() if kind in shown}
    notebook.metadata.pop("widgets", None)
    notebook.metadata["title"] = title
    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"bousai.html.j2": _TEMPLATE})],
        template_file="bousai.html.j2",
        language_code="ja",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    page, _ = exporter.from_notebook_node(notebook)
    return str(page)


def _write_pages(work: Path, pages: Mapping[str, Any]) -> None:
    for name, notebook in pages.items():
        title = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), name)
        page = render_page(notebook, title.splitlines()[0].lstrip("# "))
        (work / f"{name}.html").write_text(page, encoding="utf-8")
    shutil.rmtree(work / ".kernel", ignore_errors=True)


async def _numbers(home: Path, *, people: int) -> dict[str, Any]:
    """What the ledger says about the drill and the tenant about the accounts."""
    from bousai_kit.drills import drill_status, list_drills
    from bousai_kit.latency import analyse, read_drill
    from bousai_kit.settings import isolated_settings
    from bousai_kit.workbench import open_workbench

    async with await open_workbench(settings=isolated_settings(home), offline=True) as bench:
        onboarded = {
            event.subject for event in await bench.ledger.read(prefix="apply:", kinds=("user.created",))
        }
        drills = await list_drills(bench.ledger)
        if not drills:
            raise DemoFailed("訓練が台帳にありません。")
        state = await drill_status(bench.ledger, drills[0].drill_id)
        analysis = analyse(await read_drill(bench.ledger, drills[0].drill_id, as_of=bench.clock.now()))
    first = analysis.broadcasts[0]
    return {
        "people": people,
        "onboarded": len(onboarded),
        "sent": state.sent,
        "acked": state.acked,
        "median_s": first.total.curve.median_s,
        "drill_id": drills[0].drill_id,
    }
