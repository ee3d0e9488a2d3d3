"""`bousai sandbox`: a real process on real sockets, and the env file it writes (interfaces §2)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from bousai_kit.clock import parse_time_scale
from bousai_kit.errors import ConfigError
from bousai_kit.sandbox.envfile import key_beside, quoted
from bousai_kit.sandbox.standalone import time_scale_text
from bousai_kit.settings import load_settings, read_private_key

READY = {"ready", "api_url", "auth_url", "storage_url", "admin_url", "env_file", "pid"}
VARIABLES = {
    "PROFILE", "API_URL", "AUTH_URL", "DOWNLOAD_HOSTS", "CLIENT_ID", "CLIENT_SECRET", "SERVICE_ACCOUNT",
    "PRIVATE_KEY_FILE", "DOMAIN_ID", "BOT_ID", "BOT_SECRET", "TIME_SCALE", "LINE_URL", "LINE_CHANNEL_TOKEN",
}  # fmt: skip
START_S = 60.0
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and sh of POSIX")


def command(*options: str) -> list[str]:
    return [sys.executable, "-X", "utf8", "-m", "bousai_kit", "sandbox", *options]


@contextlib.contextmanager
def served(*options: str, **more: Any) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The process and its ready line."""
    process = subprocess.Popen(
        command(*options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **more
    )
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], START_S)[0], "no ready line"
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield process, json.loads(line)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], how: int = signal.SIGTERM) -> tuple[int, str, str]:
    process.send_signal(how)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def refused(*options: str) -> str:
    done = subprocess.run(
        command(*options), capture_output=True, text=True, encoding="utf-8", timeout=START_S
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


@contextlib.contextmanager
def log_in(env: dict[str, str | None]) -> Iterator[httpx.Client]:
    """A client that knows the env file and nothing else."""
    value = {name.removeprefix("BOUSAI_"): str(text) for name, text in env.items()}
    now = parse_time_scale(value["TIME_SCALE"]).now().timestamp()
    claims = {"iss": value["CLIENT_ID"], "sub": value["SERVICE_ACCOUNT"], "iat": now, "exp": now + 600}
    key = Path(value["PRIVATE_KEY_FILE"]).read_text()
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": jwt.encode(claims, key, algorithm="RS256"),
        "client_id": value["CLIENT_ID"],
        "client_secret": value["CLIENT_SECRET"],
        "scope": "bot user",
    }
    with httpx.Client(base_url=value["API_URL"], trust_env=False) as http:
        answer = http.post(value["AUTH_URL"] + "/token", data=form)
        assert answer.status_code == 200, answer.text
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield http


def through_sh(path: Path) -> dict[str, str]:
    """What a shell makes of the file."""
    script = 'set -a; . "$1"; env -0'
    done = subprocess.run(["/bin/sh", "-c", script, "sh", str(path)], capture_output=True, env={}, check=True)
    pairs = (line.partition("=") for line in done.stdout.decode().split("\0") if line)
    return {name: text for name, _, text in pairs if name.startswith("BOUSAI_")}


@posix
def test_it_serves_a_tenant_that_the_env_file_describes(tmp_path: Path) -> None:
    folder = tmp_path / "市 の 'フォルダ'"
    folder.mkdir()
    env_file = folder / ".env"
    with served("--people", "45", "--seed", "3", "--env-file", str(env_file)) as (process, ready):
        assert set(ready) == READY
        assert ready["ready"] is True
        assert ready["pid"] == process.pid
        assert ready["env_file"] == str(env_file)
        netlocs = {httpx.URL(ready[name]).netloc for name in READY if name.endswith("_url")}
        assert len(netlocs) == 4
        assert all(netloc.startswith(b"127.0.0.1:") for netloc in netlocs)

        by_sh, by_dotenv = through_sh(env_file), dict(dotenv_values(env_file))
        assert by_sh == by_dotenv
        assert set(by_sh) == {f"BOUSAI_{name}" for name in VARIABLES}
        lines = env_file.read_text("utf-8").splitlines()
        assert all(line.split("=", 1)[0] in by_sh for line in lines), "nothing but NAME=value"
        assert env_file.stat().st_mode & 0o777 == 0o600
        assert key_beside(env_file).stat().st_mode & 0o777 == 0o600
        assert Path(by_sh["BOUSAI_PRIVATE_KEY_FILE"]) == key_beside(env_file)

        for settings in (
            load_settings(cwd=folder, environ={}),
            load_settings(cwd=tmp_path, environ=by_sh),
        ):
            assert settings.api_url == ready["api_url"]
            assert settings.is_loopback
            assert not settings.is_sandbox
            assert settings.receiver == "embedded"
            assert settings.line_url.startswith("http://127.0.0.1:")
            assert "PRIVATE KEY" in read_private_key(settings)
            assert settings.bot_secret is not None
            assert settings.bot_secret.get_secret_value() == by_sh["BOUSAI_BOT_SECRET"]
            assert abs(settings.clock().now() - datetime.now(UTC)) < timedelta(seconds=5)

        with log_in(by_dotenv) as http:
            users = http.get("/users", params={"count": 100}).json()["users"]
            assert len(users) == 46
            assert sum(user["isAdministrator"] for user in users) == 1
            members = [user for user in users if not user["isAdministrator"]]
            assert sum(user["isPending"] for user in members) == 1
            assert all(user["organizations"][0]["orgUnits"] for user in members)
            assert http.get(f"/bots/{by_sh['BOUSAI_BOT_ID']}").json()["enableCallback"]
            answer = http.get("/users", params={"count": 1})
            assert answer.headers["ratelimit-limit"] == "240"
            assert answer.headers["ratelimit-remaining"] == "238", "a fixed window of the Standard plan"
            spoken = datetime.strptime(answer.headers["date"], "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=UTC)
            assert abs(spoken - datetime.now(UTC)) < timedelta(seconds=5)

        code, out, err = ended(process)
        assert (code, out) == (0, ""), "one line on stdout, then nothing more"
        assert err.splitlines() == [f"接続設定は {env_file} にあります。止めるには Ctrl-C を押します。"]
        with pytest.raises(httpx.ConnectError):
            httpx.get(ready["admin_url"] + "/ready", trust_env=False)


@posix
def test_any_number_may_run_and_nothing_is_left(tmp_path: Path) -> None:
    home = tmp_path / "home"
    fast = ("--people", "0", "--time-scale", "50")
    environment = {**os.environ, "BOUSAI_HOME": str(home), "TMPDIR": str(tmp_path)}
    with served(*fast, env=environment) as (one, first), served(*fast, env=environment) as (two, second):
        assert first["env_file"] != second["env_file"]
        envs = [dotenv_values(ready["env_file"]) for ready in (first, second)]
        assert envs[0]["BOUSAI_CLIENT_SECRET"] != envs[1]["BOUSAI_CLIENT_SECRET"]
        for env in envs:
            clock = parse_time_scale(str(env["BOUSAI_TIME_SCALE"]))
            assert clock.speed == 50
            with log_in(env) as http:
                assert len(http.get("/users").json()["users"]) == 1
            told = httpx.get(first["admin_url"] + "/truth", trust_env=False).json()
            assert told["members"]["active"] == 0
        crossed = {**envs[0], "BOUSAI_CLIENT_SECRET": envs[1]["BOUSAI_CLIENT_SECRET"]}
        with pytest.raises(AssertionError, match="invalid_client"), log_in(crossed):
            pass
        assert ended(one, signal.SIGINT)[0] == 0
        assert ended(two)[0] == 0
    assert list(tmp_path.iterdir()) == [], "neither home nor env file nor key"


@posix
def test_a_kept_tenant_goes_on_even_after_kill_9(tmp_path: Path) -> None:
    state = tmp_path / "state"
    before: dict[str, str | None] = {}
    readings: list[datetime] = []
    for turn in range(3):
        with served("--people", "3", "--state", str(state), "--time-scale", "1" if turn == 2 else "500") as (
            process,
            ready,
        ):
            env = dict(dotenv_values(ready["env_file"]))
            assert Path(ready["env_file"]).parent == state
            clock = parse_time_scale(str(env["BOUSAI_TIME_SCALE"]))
            assert not readings or clock.now() >= readings[-1], "no clock runs backwards"
            with log_in(env) as http:
                bot = f"/bots/{env['BOUSAI_BOT_ID']}"
                if turn:
                    kept = ("CLIENT_ID", "CLIENT_SECRET", "BOT_SECRET", "DOMAIN_ID")
                    assert all(env[f"BOUSAI_{name}"] == before[f"BOUSAI_{name}"] for name in kept)
                    assert http.get(bot).json()["botName"] == f"名前 {turn - 1}"
                assert http.patch(bot, json={"botName": f"名前 {turn}"}).status_code == 200
            before = env
            readings.append(clock.now())
            process.kill() if turn == 0 else ended(process)


def test_what_cannot_be_used_is_said_before_anything_is_served(tmp_path: Path) -> None:
    precious = tmp_path / "precious.env"
    precious.write_text("BOUSAI_API_URL=https://www.worksapis.com/v1.0\n", "utf-8")
    said = refused("--people", "0", "--env-file", str(precious))
    assert "上書きしません" in said
    assert precious.read_text("utf-8").startswith("BOUSAI_API_URL=https://www")
    assert [path.name for path in tmp_path.iterdir()] == ["precious.env"]

    wrong = tmp_path / "faults.toml"
    wrong.write_text("[[fault]]\nkind='earthquake'\n", "utf-8")
    assert "kind" in refused("--people", "0", "--faults", str(wrong))


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("--people", "0", "--port", str(port), "--env-file", str(tmp_path / "e"))
    assert str(port) in said
    assert "--port" in said
    assert not (tmp_path / "e").exists()


# -- pure parts -------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


@given(
    speed=st.one_of(st.just(1.0), st.floats(0.01, 10_000)),
    ahead_s=st.one_of(st.none(), st.floats(-1e6, 1e6)),
    later_s=st.floats(0, 86_400),
)
def test_a_clock_goes_on_from_any_reading(speed: float, ahead_s: float | None, later_s: float) -> None:
    reading = None if ahead_s is None else NOW + timedelta(seconds=ahead_s)
    try:
        text = time_scale_text(speed, start=NOW, reading=reading)
    except ConfigError:
        assert speed != 1.0
        assert abs(speed - 1.0) < 0.01
        return
    factor, _, origin = text.partition("@")
    begin = datetime.fromisoformat(origin)
    assert parse_time_scale(text).speed == float(factor)
    assert abs(float(factor) - speed) < 0.01 or abs(float(factor) / speed - 1) < 1e-9
    at_start = begin + (NOW - begin) * float(factor)
    expected = NOW if reading is None else max(NOW, reading)
    assert timedelta(0) <= at_start - expected < timedelta(seconds=1)
    at_later = begin + (NOW + timedelta(seconds=later_s) - begin) * float(factor)
    assert at_later >= at_start


@posix
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).filter(lambda text: "\0" not in text)
)
def test_sh_and_dotenv_read_every_value_alike(text: str) -> None:
    from io import StringIO

    try:
        line = f"BOUSAI_X={quoted(text)}\n"
    except ConfigError:
        assert any(mark in text for mark in "$\\`'\"\n")
        return
    assert dotenv_values(stream=StringIO(line))["BOUSAI_X"] == text
    if len(text) > 12:  # a shell for some of them
        script = f'{line}printf %s "$BOUSAI_X"'
        assert (
            subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True).stdout.decode() == text
        )
