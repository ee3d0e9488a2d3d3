"""A real Chromium in front of a real `bousai lab`; no request may leave loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parent.parent.parent
SHOTS = os.environ.get("BOUSAI_TEST_SHOTS", "")  # a folder: keep the screenshots there
FLAGS = (
    "--no-sandbox",  # root in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _chromium() -> str | None:
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found:
            return found
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser these tests are skipped, and say so; under CI they may not be."""
    here = [item for item in items if Path(__file__).parent in Path(str(item.path)).parents]
    for item in here:
        item.add_marker(pytest.mark.browser)
    if os.environ.get("CI") == "true":
        return
    reason = ""
    if _chromium() is None:
        reason = "Chromium がありません（CI では必ず実行されます）"
    else:
        try:
            import playwright  # noqa: F401
        except ImportError:
            reason = "playwright がありません（requirements-ci.lock に入っています）"
    if reason:
        for item in here:
            item.add_marker(pytest.mark.skip(reason=reason))


class Lab:
    """One `bousai lab` in a process of its own, on a home of its own."""

    def __init__(self, home: Path, *, time_scale: float) -> None:
        self.home = home
        env = {name: value for name, value in os.environ.items() if not name.startswith("BOUSAI_")}
        env["PYTHONPATH"] = str(ROOT)
        log = os.open(home.parent / "lab.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-X", "utf8", "-m", "bousai_kit", "lab", "--no-browser"),
                *("--home", str(home), "--time-scale", str(time_scale)),
            ],
            cwd=home.parent,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        os.close(log)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "lab ended before it was ready"
        self.url = str(json.loads(line)["url"])

    def page(self, notebook: str) -> str:
        """Address of a notebook, opened as a document."""
        return self.url.replace("00_start.ipynb", f"{notebook}.ipynb")

    def end_kernels(self) -> None:
        """What the notebooks had in memory is gone; what is on the home stays."""
        for kernel in json.loads(self.ask("GET", "/api/kernels")):
            self.ask("DELETE", f"/api/kernels/{kernel['id']}")

    def ask(self, method: str, path: str) -> bytes:
        """The server's own API, as its pages ask it."""
        base, token = self.url.partition("/doc/")[0], self.url.partition("token=")[2].partition("&")[0]
        request = urllib.request.Request(
            base + path, method=method, headers={"Authorization": f"token {token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())

    def stop(self) -> int:
        """As Ctrl-C does; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(30)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()


@pytest.fixture(scope="module")
def start_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Lab]]:
    """Start labs; all are stopped at the end."""
    labs: list[Lab] = []

    def start(home: Path | None = None, *, time_scale: float = 60.0) -> Lab:
        labs.append(Lab(home or tmp_path_factory.mktemp("lab") / "home", time_scale=time_scale))
        return labs[-1]

    yield start
    for lab in labs:
        lab.stop()


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Started once for every test that can do with a city which others have used."""
    started = Lab(tmp_path_factory.mktemp("city") / "home", time_scale=40.0)
    yield started
    assert started.stop() in (0, 130)


@pytest.fixture
def lab(shared_lab: Lab) -> Lab:
    """That lab without a kernel of another test: a notebook opened again begins anew."""
    shared_lab.end_kernels()
    return shared_lab


class Sight:
    """A page, what it asked for, and what it complained about."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.strangers: list[str] = []
        self.errors: list[str] = []
        page.on("request", self._request)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in (
            "127.0.0.1",
            "localhost",
        ):
            self.strangers.append(f"{parts.scheme}://{parts.hostname}")

    def press(self, label: str, *, timeout_s: float = 30.0) -> None:
        """Click the button of this label once it can be clicked."""
        button = self.page.get_by_role("button", name=label, exact=True).first
        button.scroll_into_view_if_needed(timeout=timeout_s * 1000)
        button.click(timeout=timeout_s * 1000)

    def type_into(self, label: str, text: str) -> None:
        """Fill the field with this label (ipywidgets ties no label to its input)."""
        field = self.page.locator(".widget-text").filter(has_text=label).locator("input").first
        field.fill(text)

    def wait_for(self, text: str, *, timeout_s: float = 60.0) -> None:
        """Until this text is on the page."""
        self.page.get_by_text(text).first.wait_for(timeout=timeout_s * 1000)

    def wait_until(self, condition: Callable[[], bool], *, what: str, timeout_s: float = 60.0) -> None:
        """Until a condition over the page holds."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
            self.page.wait_for_timeout(100)

    def text(self) -> str:
        """Everything that can be read on the page."""
        return str(self.page.locator("body").inner_text())

    def run_all(self) -> None:
        """Run every cell, as the menu does."""
        self.page.keyboard.press("Escape")
        self.page.evaluate(
            "() => window.jupyterapp && window.jupyterapp.commands.execute('notebook:run-all-cells')"
        )

    def shoot(self, name: str) -> None:
        """Keep a screenshot, when somebody wants to look."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=False)


_running: list[Any] = []  # the driver, the browser and its profile, for all tests of this folder


@pytest.fixture
def profile() -> Any:
    """A headless Chromium, as somebody has it who has opened a notebook before: with its cache."""
    from playwright.sync_api import sync_playwright

    if not _running:
        driver = sync_playwright().start()
        flags = list(FLAGS)
        browser = driver.chromium.launch(executable_path=_chromium(), headless=True, args=flags)
        context = browser.new_context(viewport={"width": 1280, "height": 1600}, locale="ja-JP")
        _running.extend((driver, browser, context))
    return _running[2]


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """With the last test of this folder it ends: the driver keeps a loop, and other tests run their own."""
    if _running and (nextitem is None or Path(__file__).parent not in Path(str(nextitem.path)).parents):
        driver, browser, context = _running
        _running.clear()
        context.close()
        browser.close()
        driver.stop()


@pytest.fixture
def sight(profile: Any, request: pytest.FixtureRequest) -> Iterator[Sight]:
    """A fresh page; at the end: nothing left loopback."""
    seen = Sight(profile.new_page())
    yield seen
    seen.shoot(f"end_{request.node.name}")
    seen.page.close()
    assert seen.strangers == []
