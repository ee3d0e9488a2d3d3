"""From an opened notebook to its first panel on screen, in a real Chromium on a real `bousai lab`.

Goal (design §7): at most 3 s after the notebook opens. Each round has a fresh browser context and a fresh
kernel. The peer in the same round is JupyterLab itself: from the address to the notebook's cells on screen.

    python bench/first_panel.py [--rounds 5] [--notebook 20_drill]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
GOAL_S = 3.0


def start_lab(home: Path) -> tuple[subprocess.Popen[str], str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("BOUSAI_")}
    env["PYTHONPATH"] = str(ROOT)
    line = [sys.executable, "-P", "-m", "bousai_kit", "lab", "--no-browser", "--home", str(home)]
    process = subprocess.Popen(
        line, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    return process, str(json.loads(process.stdout.readline())["url"])


def end_kernels(url: str) -> None:
    """The next round begins with a fresh kernel, as a person's first look does."""
    parts = urlsplit(url)
    base, token = f"{parts.scheme}://{parts.netloc}", parse_qs(parts.query)["token"][0]
    with httpx.Client(base_url=base, headers={"Authorization": f"token {token}"}, trust_env=False) as http:
        for session in http.get("/api/sessions").json():
            http.delete(f"/api/sessions/{session['id']}").raise_for_status()


def look(browser: Any, url: str) -> tuple[float, float]:
    """Seconds from the address to the cells, and from the cells to the panel."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, locale="ja-JP")
    page = context.new_page()
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    opened = time.perf_counter()
    page.locator(".bk-panel .bk-banner").first.wait_for(timeout=60_000)
    shown = time.perf_counter()
    context.close()
    return opened - began, shown - opened


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--notebook", default="00_start")
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("no Chromium here", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="bk-bench-", ignore_cleanup_errors=True) as folder:
        process, url = start_lab(Path(folder) / "home")
        url = url.replace("00_start", given.notebook)
        rounds = []
        try:
            with sync_playwright() as driver:
                flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
                browser = driver.chromium.launch(executable_path=chromium, args=flags)
                for _ in range(given.rounds):
                    rounds.append(look(browser, url))
                    end_kernels(url)
                browser.close()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    opening, panel = ([one[place] for one in rounds] for place in (0, 1))
    ratios = [after / before for before, after in rounds]
    for name, values in (("address to cells, s", opening), ("cells to panel, s", panel), ("ratio", ratios)):
        print(
            f"{name:22} min {min(values):.2f}  median {statistics.median(values):.2f}  max {max(values):.2f}"
        )
    met = statistics.median(panel) <= GOAL_S
    print(f"goal: panel at most {GOAL_S:.0f} s after the notebook opens: {'met' if met else 'NOT met'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
