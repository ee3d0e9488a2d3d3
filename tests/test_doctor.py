"""`bousai doctor` against a served tenant: each trouble ends in one sentence of what to do."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dotenv import dotenv_values

from bousai_kit import cli
from bousai_kit.doctor import Check, Examination, examine
from bousai_kit.settings import isolated_settings
from bousai_kit.workbench import open_workbench

ROOT = Path(__file__).parent.parent
JAPANESE_SENTENCE = re.compile(r"[ぁ-んァ-ヶ一-龠].*。$")


class Tenant:
    """`bousai sandbox` in a process of its own, and the settings that fit it."""

    def __init__(self, process: subprocess.Popen[str], ready: dict[str, Any], env_file: Path) -> None:
        self.process = process
        self.ready = ready
        self.env = {name: value or "" for name, value in dotenv_values(env_file, interpolate=False).items()}

    @property
    def secrets(self) -> list[str]:
        key = Path(self.env["BOUSAI_PRIVATE_KEY_FILE"]).read_text().splitlines()[1]
        return [self.env["BOUSAI_CLIENT_SECRET"], self.env["BOUSAI_BOT_SECRET"], key]

    def admin(self, method: str, path: str, body: object) -> None:
        request = urllib.request.Request(
            self.ready["admin_url"] + path, data=json.dumps(body).encode(), method=method,
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status in (200, 204)


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    folder = tmp_path_factory.mktemp("tenant")
    env_file = folder / "sandbox.env"
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "bousai_kit", "sandbox", "--people", "3", "--env-file", str(env_file)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (folder / "stderr").read_text()
        yield Tenant(process, json.loads(line), env_file)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


class Visit:
    """One `bousai doctor --json` in this process."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        self.found = json.loads(out)
        self.text = Examination(
            tuple(Check(c["name"], c["ok"], c["detail"], c["hint"]) for c in self.found["checks"])
        ).render_text()

    def check(self, name: str) -> dict[str, Any]:
        (one,) = [check for check in self.found["checks"] if check["name"] == name]
        return dict(one)

    @property
    def wrong(self) -> list[str]:
        return [check["name"] for check in self.found["checks"] if not check["ok"]]


@pytest.fixture
def visit(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Any]:
    seen: list[Visit] = []

    def go(expected: int = 2, /, **changes: str) -> Visit:
        monkeypatch.chdir(tmp_path)
        for name, value in {**tenant.env, "BOUSAI_HOME": str(tmp_path / "home"), **changes}.items():
            monkeypatch.setenv(name, value)
        tenant.admin("POST", "/limits/reset", {})  # more visits than anybody makes in a minute
        gc.collect()  # as in a process of its own: nothing is left of an earlier client
        capsys.readouterr()
        code = cli.main(["doctor", "--json"])
        out, err = capsys.readouterr()
        assert code == expected, out + err
        seen.append(Visit(code, out, err))
        return seen[-1]

    yield go
    for one in seen:
        shown = one.out + one.err + one.text
        assert "Traceback" not in shown
        for secret in tenant.secrets:
            assert secret not in shown
        last = one.text.strip().splitlines()[-1]
        assert JAPANESE_SENTENCE.search(last)
        if one.code:
            assert one.err.count("\n") == 1
            assert one.err.strip() == last
            hint = last.partition("：")[2] if last.startswith("次にすること") else last
            assert hint.count("。") in (1, 2)
            for check in one.found.get("checks", ()):
                assert check["ok"] == (check["hint"] == "")


def test_all_well(visit: Any) -> None:
    seen = visit(0)
    assert seen.found["ok"] is True
    assert seen.wrong == []
    assert seen.err == ""
    assert {check["name"] for check in seen.found["checks"]} >= {
        "settings", "key", "ledger", "token", "clock", "scope:user", "scope:bot", "bot", "receiver", "logs",
    }  # fmt: skip
    for check in seen.found["checks"]:
        assert {"name", "ok", "detail", "hint"} <= set(check)
    assert seen.text.strip().endswith("すべて正常です。")


def test_a_wrong_key(visit: Any, tmp_path: Path) -> None:
    key = tmp_path / "other.pem"
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key.write_bytes(
        other.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    key.chmod(0o600)
    seen = visit(BOUSAI_PRIVATE_KEY_FILE=str(key))
    assert seen.check("key")["ok"]
    assert seen.check("clock")["ok"]  # the refusal came with the server's time
    assert seen.wrong[0] == "token"
    assert "秘密鍵" in seen.check("token")["hint"]
    assert seen.check("logs")["hint"] == "先に「トークン」を直してください。"
    assert "秘密鍵" in seen.err


@pytest.mark.parametrize(
    ("raw", "mode", "says"),
    [(b"no key at all", 0o600, "PEM"), (b"x", 0o644, "chmod 600"), (None, 0, "見つかりません")],
)
def test_a_key_file_that_is_none(visit: Any, tmp_path: Path, raw: bytes | None, mode: int, says: str) -> None:
    key = tmp_path / "key.pem"
    if raw is not None:
        key.write_bytes(raw)
        key.chmod(mode)
    seen = visit(BOUSAI_PRIVATE_KEY_FILE=str(key))
    assert seen.wrong[0] == "key"
    assert says in seen.check("key")["detail"] + seen.check("key")["hint"]
    assert seen.check("token")["detail"] == "確認できませんでした。"
    assert seen.check("ledger")["ok"]  # what needs no key is checked all the same


@pytest.mark.parametrize(("ahead_s", "says"), [(600, "約 10 分進んで"), (-600, "約 10 分遅れて")])
def test_a_clock_that_is_ten_minutes_off(visit: Any, ahead_s: int, says: str) -> None:
    speed = 1.001 if ahead_s > 0 else 0.999
    origin = datetime.now(UTC) - timedelta(seconds=600 / 0.001)
    seen = visit(BOUSAI_TIME_SCALE=f"{speed}@{origin.isoformat()}")
    assert says in seen.check("clock")["detail"]
    assert "clock" in seen.wrong
    if "token" in seen.wrong:
        assert says in seen.check("token")["hint"]
    assert "NTP" in seen.err


@pytest.mark.parametrize(("number", "what"), [("999999999", "BOUSAI_BOT_ID"), ("1", "BOUSAI_BOT_ID")])
def test_an_unknown_bot(visit: Any, number: str, what: str) -> None:
    seen = visit(BOUSAI_BOT_ID=number)
    assert seen.check("token")["ok"]
    assert seen.check("scope:user")["ok"]
    assert seen.wrong[0] == "scope:bot"
    assert what in seen.err


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_no_network(visit: Any) -> None:
    base = f"http://127.0.0.1:{closed_port()}"
    began = time.monotonic()
    seen = visit(BOUSAI_API_URL=f"{base}/v1.0", BOUSAI_AUTH_URL=f"{base}/oauth2/v2.0")
    assert time.monotonic() - began < 15  # two visits; a drill would be patient for more than a minute
    assert seen.wrong[0] == "network:auth"
    assert "ネットワーク" in seen.err
    assert seen.check("clock")["detail"] == "確認できませんでした。"
    assert seen.check("logs")["hint"] == "先に「接続（認証サーバー）」を直してください。"
    assert seen.check("ledger")["ok"]


def test_a_proxy_that_is_not_there(visit: Any) -> None:
    """A real tenant's addresses, and every way out leads to a closed port of this machine."""
    secret = "pr0xy-passw0rd"
    seen = visit(
        BOUSAI_PROFILE="live", BOUSAI_API_URL="https://api.invalid/v1.0", BOUSAI_TIME_SCALE="1",
        BOUSAI_AUTH_URL="https://auth.invalid/oauth2/v2.0", BOUSAI_DOWNLOAD_HOSTS="",
        HTTPS_PROXY=f"http://city:{secret}@127.0.0.1:{closed_port()}",
    )  # fmt: skip
    assert seen.wrong[0] == "proxy"
    assert "HTTPS_PROXY" in seen.err
    assert secret not in seen.out + seen.err + seen.text


def test_only_the_api_cannot_be_reached(visit: Any) -> None:
    began = time.monotonic()
    seen = visit(BOUSAI_API_URL=f"http://127.0.0.1:{closed_port()}/v1.0")
    assert time.monotonic() - began < 40
    assert seen.check("token")["ok"]
    assert seen.wrong[0] == "network:api"
    assert seen.check("scope:group")["hint"] == "先に「接続（API）」を直してください。"
    assert "ネットワーク" in seen.err


def test_a_missing_scope(visit: Any, tenant: Tenant) -> None:
    from bousai_kit.workbench import SCOPES

    tenant.admin(
        "PUT", "/scopes", {"scopes": [one for one in SCOPES if one not in ("orgunit", "audit.read")]}
    )
    try:
        seen = visit()
        assert seen.check("token")["ok"]
        assert seen.check("scope:user")["ok"]
        assert seen.wrong == ["scope:orgunit", "scope:audit.read", "logs"]
        assert "「orgunit」を追加" in seen.err
        assert "監査ログの取得" in seen.check("scope:audit.read")["detail"]
        assert "audit.read" in seen.check("logs")["hint"]
    finally:
        tenant.admin("PUT", "/scopes", {"scopes": []})
    assert visit(0).wrong == []  # and once it is mended


def test_settings_are_missing(visit: Any) -> None:
    seen = visit(BOUSAI_CLIENT_ID="", BOUSAI_PRIVATE_KEY_FILE="")
    assert seen.wrong[0] == "settings"
    detail = seen.check("settings")["detail"]
    assert "BOUSAI_CLIENT_ID" in detail
    assert "BOUSAI_PRIVATE_KEY_FILE" in detail
    assert "BOUSAI_BOT_ID" not in detail
    assert seen.check("key")["hint"] == "先に「設定」を直してください。"
    assert "README" in seen.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOUSAI_CLIENT_SECRET", "not-the-secret"),
        ("BOUSAI_CLIENT_ID", "nobody"),
        ("BOUSAI_SERVICE_ACCOUNT", "nobody.serviceaccount@city-demo"),
    ],
)
def test_another_credential_is_wrong(visit: Any, name: str, value: str) -> None:
    seen = visit(**{name: value})
    assert seen.wrong[0] == "token"
    assert "Developer Console" in seen.err
    assert value not in seen.out + seen.err + seen.text


def test_a_login_id_in_place_of_the_service_account(visit: Any) -> None:
    seen = visit(BOUSAI_SERVICE_ACCOUNT="taro@city-demo")
    assert seen.wrong[0] == "token"
    assert "「@」の後まで" in seen.err
    assert "taro" not in seen.out + seen.err + seen.text


def test_what_waits_is_one_line(visit: Any) -> None:
    seen = visit(BOUSAI_CLIENT_ID="")
    assert seen.text.count("未確認") == 1
    assert seen.text.count("→") == 1
    assert "秘密鍵" in seen.text


def test_another_domain(visit: Any) -> None:
    seen = visit(BOUSAI_DOMAIN_ID="77777")
    assert "bot" in seen.wrong or "scope:user" in seen.wrong


def test_a_broken_ledger_and_everything_else_is_still_looked_at(visit: Any, tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    from bousai_kit.clock import SystemClock
    from bousai_kit.ledger import Ledger

    async def write() -> None:
        url = f"sqlite:///{tmp_path / 'home' / 'ledger.db'}"
        async with await Ledger.open(url, clock=SystemClock()) as ledger:
            for _ in range(3):
                await ledger.append("s", "k", "u1")

    asyncio.run(write())
    with closing(sqlite3.connect(tmp_path / "home" / "ledger.db")) as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for name in names:
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute("UPDATE events SET subject = 'u2' WHERE seq = 2")
        db.commit()
    seen = visit()
    assert seen.wrong == ["ledger"]
    assert "途切れています" in seen.check("ledger")["detail"]


def test_an_external_receiver_that_is_not_there(visit: Any) -> None:
    seen = visit(
        BOUSAI_RECEIVER=f"https://127.0.0.1:{closed_port()}/callback",
        BOUSAI_RECEIVER_TOKEN="token-0123456789",
    )
    assert seen.wrong == ["bot:callback", "receiver"]
    assert "受信サーバー" in seen.check("receiver")["detail"]
    assert "token-0123456789" not in seen.out + seen.err + seen.text
    assert visit(BOUSAI_RECEIVER_TOKEN="").wrong == ["bot:callback", "receiver"]


def test_a_restricted_bot(visit: Any, tenant: Tenant) -> None:
    async def patch(body: dict[str, object]) -> None:
        from bousai_kit.settings import load_settings

        async with await open_workbench(settings=load_settings()) as bench:
            await bench.client.bots.patch(bench.bot_id, body)

    assert visit(0).wrong == []  # sets the variables that `patch` reads
    asyncio.run(patch({"enableGroupJoin": False}))
    try:
        seen = visit()
        assert seen.wrong == ["bot:rooms"]
        assert "招待" in seen.err
    finally:
        asyncio.run(patch({"enableGroupJoin": True}))


def test_as_a_real_process(tenant: Tenant, tmp_path: Path) -> None:
    """The whole way once: a shell, an env file with the wrong key, exit code 2, one sentence."""
    home = tmp_path / "home"
    base = {**os.environ, **tenant.env, "BOUSAI_HOME": str(home)}
    fine = subprocess.run(
        [sys.executable, "-m", "bousai_kit", "doctor", "--json"],
        capture_output=True, text=True, cwd=tmp_path, env=base, timeout=60, check=False,
    )  # fmt: skip
    assert fine.returncode == 0, fine.stdout + fine.stderr
    assert json.loads(fine.stdout)["ok"] is True
    assert fine.stderr == ""
    wrong = subprocess.run(
        [sys.executable, "-m", "bousai_kit", "doctor"],
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
        env={**base, "BOUSAI_BOT_ID": "123"},
    )  # fmt: skip
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stdout + wrong.stderr
    assert wrong.stdout.splitlines()[-1].startswith("次にすること")
    for secret in tenant.secrets:
        assert secret not in fine.stdout + wrong.stdout + wrong.stderr


# -- in process ---------------------------------------------------------------------------------------------


def test_in_process_it_needs_nothing_and_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            before = dict(await bench.client.bots.get(bench.bot_id))
            for _ in range(2):
                found = await examine(bench)
                assert found.ok, found.render_text()
            assert await bench.client.bots.get(bench.bot_id) == before
            assert await bench.ledger.read() == []
            assert bench.clock.monotonic() < 5

    asyncio.run(main())


def test_a_defect_in_one_check_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:

            async def broken(*_: Any, **__: Any) -> None:
                raise KeyError("試験 花子")

            monkeypatch.setattr(bench.ledger, "verify", broken)
            found = await examine(bench)
            assert [check.name for check in found.checks if not check.ok] == ["ledger"]
            assert "KeyError" in found.render_text()
            assert "花子" not in found.render_text()

    asyncio.run(main())


def test_secrets_that_wait_are_counted(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "plans").mkdir()
        (tmp_path / "plans" / "p1.secret").write_text("x")
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            found = await examine(bench)
            assert found.ok
            assert (
                "注意　  初期パスワード：初期パスワードの元になる秘密が 1 件残っています"
                in found.render_text()
            )
            assert "--destroy" in found.render_text()
            assert found.next_step == "すべて使えます（注意 1 件）。"

    asyncio.run(main())


def test_files_with_names_that_have_lain_for_a_month_are_named(tmp_path: Path) -> None:
    old, new = tmp_path / "uploads" / "drafts" / "ab" / "1.json", tmp_path / "uploads" / "名簿.csv"
    old.parent.mkdir(parents=True)
    for path, days in ((old, 40.5), (new, 29.0)):
        path.write_text("x")
        at = path.stat().st_mtime - days * 86400
        os.utime(path, (at, at))

    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            (home,) = (check for check in (await examine(bench)).checks if check.name == "home")
            assert home.ok
            assert "氏名の入った名簿、下書き、一覧が 1 個" in home.detail
            assert "40 日前" in home.detail
            assert str(old) in home.detail
            assert str(new) not in home.detail
            assert "削除" in home.hint

    asyncio.run(main())
