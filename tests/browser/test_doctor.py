"""00_start: all is well; when something is wrong, what to do first is in sight and the rest folded away."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from tests.browser.test_notebooks import opened, until_next


def admin(home: Path, path: str, body: object) -> None:
    """A switch of the consoles, on the tenant that this lab serves."""
    serving = [json.loads(file.read_text()) for file in (home / "sandbox").glob("*.json")]
    (url,) = [one["admin_url"] for one in serving if "admin_url" in one]
    request = urllib.request.Request(
        url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status in (200, 204)


def test_00_start(sight: Any, lab: Any) -> None:
    opened(sight, lab, "00_start")
    all_is_well(sight)
    sight.shoot("00_start")
    try:
        troubles(sight, lab)
    finally:  # others work on this tenant
        admin(lab.home, "/scopes", {"scopes": []})
        admin(lab.home, "/console", {"key": "valid", "allowed_ips": []})
    all_is_well(sight)


def all_is_well(sight: Any) -> None:
    sight.press("接続を確認する")
    until_next(sight, "準備ができています")
    table = sight.page.locator(".bk-table td")
    sight.wait_until(lambda: "要対応" not in table.all_inner_texts(), what="nothing to do")
    assert table.all_inner_texts().count("正常") >= 10


def troubles(sight: Any, lab: Any) -> None:
    few = ["bot", "bot.message", "user", "orgunit", "directory", "monitoring.read", "board"]
    for name, path, body, first, count in (
        ("scopes", "/scopes", {"scopes": few}, "「OAuth Scopes」に「group」を追加してください。", 2),
        ("key", "/console", {"key": "expired"}, "秘密鍵（Private Key）を発行し直して", 1),
        ("address", "/console", {"key": "valid", "allowed_ips": ["203.0.113.0/24"]}, "IP アドレス", 1),
    ):
        admin(lab.home, path, body)
        sight.press("接続を確認する")
        sight.page.locator(".bk-next", has_text=first).first.wait_for(timeout=60_000)
        if path == "/scopes":
            admin(lab.home, path, {"scopes": []})
        sight.wait_for(f"対応が必要な項目（{count} 件")
        folds = sight.page.locator(".bk details summary")
        assert "直すと確認できる項目" in folds.first.inner_text()
        assert sight.page.locator(".bk details[open]").count() == 0
        sight.shoot(f"doctor_{name}")
