"""`bousai lab` as a real process with an empty home: one ready line, Japanese, no news, gone when stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect

from bousai_kit.errors import ConfigError
from bousai_kit.lab import PORTS, choose_port, jupyter_environment
from bousai_kit.settings import isolated_settings

ROOT = Path(__file__).parent.parent
PATIENCE_S = 60.0
posix = pytest.mark.skipif(os.name != "posix", reason="Windows には SIGTERM の通知がない")


def until(what: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Poll something observable, with a deadline."""
    deadline = time.monotonic() + patience_s
    pause = threading.Event()
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.05)


class Lab:
    """One `bousai lab --no-browser`, ready."""

    def __init__(self, process: subprocess.Popen[str], ready: dict[str, Any], log: Path) -> None:
        self.process = process
        self.ready = ready
        self.log = log
        parts = urlsplit(ready["url"])
        self.token = parse_qs(parts.query)["token"][0]
        self.base = f"{parts.scheme}://{parts.netloc}"
        self.http = httpx.Client(
            base_url=self.base, trust_env=False, timeout=PATIENCE_S, follow_redirects=False,
            headers={"Authorization": f"token {self.token}"},
        )  # fmt: skip

    @property
    def stderr(self) -> str:
        return self.log.read_text("utf-8")

    def belonging(self) -> set[int]:
        """Processes that carry this server's token in their environment (the server and its kernels)."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                ours = self.token.encode() in (entry / "environ").read_bytes()
                if ours and (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                    found.add(int(entry.name))
        return found


@contextlib.contextmanager
def running(folder: Path, *args: str, **environ: str) -> Iterator[Lab]:
    """In a home where nothing is."""
    person, work = folder / "だれか", folder / "作業 フォルダ"
    for made in (person, work):
        made.mkdir(parents=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("BOUSAI_", "JUPYTER"))}
    env.update(HOME=str(person), XDG_DATA_HOME=str(person / "data"), PYTHONPATH=str(ROOT), **environ)
    log = folder / "stderr"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "bousai_kit", "lab", "--no-browser", *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=work, env=env,
        )  # fmt: skip
    lab: Lab | None = None
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text("utf-8")
        lab = Lab(process, json.loads(line), log)
        yield lab
    finally:
        if process.poll() is None:
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_S)
        if process.stdout is not None:
            process.stdout.close()
        if lab is not None:
            lab.http.close()


JOIN = """
import os
from bousai_kit.panels import open_bench
bench = await open_bench("sandbox")
await bench.client.bots.get(bench.bot_id)
f"{bench.sandbox.api_url} {bench.clock.speed} {os.path.basename(os.environ['BOUSAI_WORKING_FOLDER'])}"
"""


async def in_kernel(lab: Lab, kernel_id: str, code: str) -> str:
    """The value of the last line, as text, asked as a notebook page asks; the kernel must not raise."""
    url = f"{lab.base.replace('http', 'ws', 1)}/api/kernels/{kernel_id}/channels?token={lab.token}"
    header = {
        "msg_id": "m1",
        "msg_type": "execute_request",
        "session": "s1",
        "username": "",
        "version": "5.3",
    }
    ask = {
        "channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "buffers": [],
        "content": {"code": code, "silent": False, "store_history": False, "allow_stdin": False},
    }  # fmt: skip
    value = ""
    async with asyncio.timeout(PATIENCE_S), connect(url, proxy=None, max_size=None) as page:
        await page.send(json.dumps(ask))
        async for raw in page:
            told = json.loads(raw)
            if told["parent_header"].get("msg_id") != "m1":
                continue
            if told["msg_type"] == "execute_result":
                value = told["content"]["data"]["text/plain"].strip("'")
            if told["msg_type"] == "execute_reply":
                assert told["content"]["status"] == "ok", told["content"]
                break
    return value


def test_one_start(tmp_path: Path) -> None:
    """Everything that one start shows: the line, the page, its language, no news, its sandbox, its end."""
    with running(tmp_path) as lab:
        assert set(lab.ready) == {"ready", "url"}
        assert lab.ready["ready"] is True
        parts = urlsplit(lab.ready["url"])
        assert parts.hostname == "127.0.0.1"
        assert parts.path == "/doc/tree/00_start.ipynb"
        assert len(lab.token) >= 24

        # the page opens with the token in its address, and not without
        assert httpx.get(lab.ready["url"], trust_env=False, timeout=PATIENCE_S).status_code == 200
        bare = httpx.get(f"{lab.base}/api/contents", trust_env=False, timeout=PATIENCE_S)
        assert bare.status_code == 403
        names = {entry["name"] for entry in lab.http.get("/api/contents").json()["content"]}
        assert {name for name in names if name.endswith(".ipynb")} == {
            path.name for path in (ROOT / "notebooks").glob("*.ipynb")
        }

        # Japanese, without news, updates, extension manager, terminals
        def setting(plugin: str) -> Any:
            return lab.http.get(f"/lab/api/settings/{plugin}").json()["settings"]

        page = lab.http.get("/doc/tree/00_start.ipynb").text
        config = json.loads(page.split('id="jupyter-config-data"', 1)[1].split(">", 1)[1].split("<", 1)[0])
        assert "@jupyterlab/apputils-extension:announcements" in str(config["disabledExtensions"])
        assert lab.http.get("/lab/api/news").json() == {"news": []}
        assert lab.http.get("/lab/api/update").json() == {"notification": None}
        assert lab.http.get("/api/terminals").status_code == 404
        assert isinstance(setting("@jupyterlab/apputils-extension:notification"), dict)
        schema = lab.http.get("/lab/api/settings/@jupyterlab/translation-extension:plugin").json()["schema"]
        assert schema["properties"]["locale"]["default"] == "ja_JP"
        spoken = lab.http.get("/lab/api/translations/ja_JP").json()
        assert spoken["data"]["jupyterlab"]

        # its sandbox is served beside it, in the home of the profile
        (serving,) = (tmp_path / "だれか").rglob("serving.json")
        if os.name == "posix":
            assert serving.stat().st_mode & 0o077 == 0
        told = json.loads(serving.read_text())
        assert told["speed"] == 20
        assert httpx.get(f"{told['admin_url']}/ready", trust_env=False).status_code == 200

        # a kernel starts, finds the kit, and joins the sandbox
        kernel = lab.http.post("/api/kernels", json={"name": "python3"}).json()
        said = asyncio.run(in_kernel(lab, kernel["id"], JOIN))
        assert said == f"{told['api_url']} 20.0 作業 フォルダ"
        assert "Warning" not in lab.stderr
        assert lab.stderr.count("\n") == 1, lab.stderr  # where to look and how to stop, nothing else
        if os.name == "posix":
            lab.process.send_signal(signal.SIGTERM)
            assert lab.process.wait(PATIENCE_S) == 0
            assert lab.process.stdout is not None
            assert lab.process.stdout.read() == ""  # one line, then nothing more
            assert not serving.exists()
            assert "終了しました。" in lab.stderr
            assert "Traceback" not in lab.stderr
            assert lab.token not in lab.stderr
            if sys.platform == "linux":
                until(lambda: not lab.belonging(), 15)
    # nothing but the profile's own folder came into being in that home
    made = {path.name for path in (tmp_path / "だれか").iterdir()}
    assert made <= {
        "data",
        "Library",
        "AppData",
        ".npm",
    }  # the last where Node is installed: JupyterLab asks it
    assert list((tmp_path / "作業 フォルダ").iterdir()) == []


@posix
def test_killed_outright_its_server_and_kernels_go_too(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("/proc がない")
    with running(tmp_path, "--time-scale", "5") as lab:
        assert lab.http.post("/api/kernels", json={"name": "python3"}).status_code == 201
        until(lambda: len(lab.belonging()) >= 2)
        lab.process.kill()
        lab.process.wait(PATIENCE_S)
        until(lambda: not lab.belonging(), 30)
    with running(tmp_path / "again", "--time-scale", "5") as lab:
        lab.process.send_signal(signal.SIGINT)
        assert lab.process.wait(PATIENCE_S) == 0


def test_a_taken_port_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "bousai_kit", "lab", "--no-browser", "--port", str(port)],
            capture_output=True, text=True, cwd=tmp_path, timeout=PATIENCE_S, check=False,
            env={**os.environ, "BOUSAI_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert ended.returncode == 2
        assert ended.stdout == ""
        assert f"ポート {port} は使用中" in ended.stderr
        assert ended.stderr.count("\n") == 1
        with pytest.raises(ConfigError) as caught:
            choose_port(port)
        assert caught.value.setting == "--port"


def test_the_first_free_port() -> None:
    found = choose_port()
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", found)):
        other = choose_port()
        assert other != found
        assert other in PORTS or other > 1024
    assert choose_port(choose_port()) > 0


def test_nobodys_own_jupyter_settings_get_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", "/somebody/else")
    env = jupyter_environment(
        isolated_settings(tmp_path), token="t0ken", folder=tmp_path, given={"BOUSAI_PROFILE": "live"}
    )
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        assert Path(env[name]).is_relative_to(tmp_path)
        if os.name == "posix":
            assert Path(env[name]).stat().st_mode & 0o077 == 0
    assert env["BOUSAI_PROFILE"] == "live"
    assert env["BOUSAI_WORKING_FOLDER"] == str(tmp_path)
    assert "t0ken" not in " ".join(sys.argv)  # by environment: everybody can read a command line


def test_saved_notebooks_hold_no_results() -> None:
    strip = runpy.run_path(str(ROOT / "labconfig" / "jupyter_server_config.py"))["strip_outputs"]
    model = {
        "type": "notebook",
        "content": {
            "metadata": {"widgets": {"state": "試験 花子"}, "kernelspec": {}},
            "cells": [
                {"cell_type": "code", "execution_count": 3, "outputs": [{"text": "試験 花子"}], "source": "x",
                 "metadata": {"execution": {"iopub.status.busy": "…"}, "tags": ["parameters"]}},
                {"cell_type": "markdown", "source": "試験", "metadata": {}},
            ],
        },
    }  # fmt: skip
    strip(model=model, path="x.ipynb", contents_manager=None)
    assert "花子" not in json.dumps(model, ensure_ascii=False)
    assert model["content"]["cells"][0] == {  # type: ignore[index]
        "cell_type": "code", "execution_count": None, "outputs": [], "source": "x",
        "metadata": {"tags": ["parameters"]},
    }  # fmt: skip
    for other in ({"type": "file", "content": "text"}, {"type": "directory", "content": None}, {}):
        strip(model=dict(other))
    for path in (ROOT / "notebooks").glob("*.ipynb"):  # a lab saves by itself: that alone changes no file
        kept = json.loads(path.read_text(encoding="utf-8"))
        saved = json.loads(path.read_text(encoding="utf-8"))
        saved["metadata"]["kernelspec"]["display_name"] = "Python 3 (ipykernel)"
        saved["metadata"]["language_info"] |= {"version": "3.11.7", "pygments_lexer": "ipython3"}
        strip(model={"type": "notebook", "content": saved})
        assert saved == kept
