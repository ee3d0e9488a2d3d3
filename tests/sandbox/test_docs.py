"""The samples of docs/sandbox.md, taken from the page and run against a served sandbox."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.sandbox.test_serve import READY, served, through_sh

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
posix = pytest.mark.skipif(sys.platform == "win32", reason="sh, and signals of POSIX")


def block(heading: str, language: str) -> str:
    """The first code block of a language below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found is not None, heading
    return found[1]


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("市の 'フォルダ'")
    with served("--people", "3", "--env-file", str(folder / "sandbox.env")) as (_, ready):
        yield through_sh(folder / "sandbox.env"), ready


def run(command: list[str], env: dict[str, str]) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BOUSAI_", "PYTHON"))}
    proxies = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(
        command, env={**clean, **proxies, **env}, capture_output=True, text=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def texts(ready: dict[str, Any]) -> list[str]:
    told = httpx.get(ready["admin_url"] + "/truth", trust_env=False).json()
    assert told["defects"] == []
    return [message["text"] for message in told["messages"]]


@posix
def test_the_python_sample_sends_a_message(tenant: tuple[dict[str, str], dict[str, Any]]) -> None:
    env, ready = tenant
    sample = block("With Python", "python")
    assert len(sample.strip().splitlines()) <= 16
    status, left = run([sys.executable, "-X", "utf8", "-c", sample], env).split()
    assert status == "201"
    assert int(left) in (238, 239)
    assert "【訓練】連絡です。" in texts(ready)


@posix
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="curl and openssl")
def test_the_curl_sample_sends_a_message(tenant: tuple[dict[str, str], dict[str, Any]]) -> None:
    env, ready = tenant
    assert run(["/bin/sh", "-eu", "-c", block("With curl", "sh")], env) == "201"
    assert "【訓練】届いたら返信してください。" in texts(ready)


@posix
def test_the_page_lists_what_the_ready_line_the_options_and_the_truth_hold(
    tenant: tuple[dict[str, str], dict[str, Any]],
) -> None:
    _, ready = tenant
    shown = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    assert set(json.loads(shown[1])) == set(ready) == READY
    told = httpx.get(ready["admin_url"] + "/truth", trust_env=False).json()
    listed = PAGE.partition("`GET /truth` tells")[2]
    for key in told:
        assert f"`{key}" in listed, key
    for name in ("messages", "answers", "posts"):
        for key in told[name][0] if told[name] else ():
            assert f"`{key}`" in listed, (name, key)

    from typer.main import get_command

    from bousai_kit.cli import build_app

    command: Any = get_command(build_app("sandbox"))
    given = {option for one in command.commands["sandbox"].params for option in one.opts}
    for option in given - {"--json", "--help", "-h"}:
        assert f"| `{option}" in PAGE, option


def test_both_pages_are_linked() -> None:
    for readme in ("README.md", "README.ja.md"):
        text = (ROOT / readme).read_text("utf-8")
        assert "(docs/sandbox.md)" in text
        assert "(docs/faults.md)" in text
