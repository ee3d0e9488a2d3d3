"""Every trouble of a tenant, made for real in the sandbox, and the sentence that somebody then reads."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bousai_kit.doctor import Check, Examination, examine, visit
from bousai_kit.doctor.visit import NAMES
from bousai_kit.settings import isolated_settings
from bousai_kit.workbench import SCOPES, Workbench, open_workbench

JAPANESE = re.compile(r"[ぁ-んァ-ヶ一-龠]")


@asynccontextmanager
async def opened(home: Path, **changes: Any) -> AsyncIterator[Workbench]:
    settings = isolated_settings(home).model_copy(update=changes)
    async with await open_workbench(settings=settings) as bench:
        yield bench


async def admin(bench: Workbench, method: str, path: str, body: object) -> None:
    assert bench.sandbox is not None
    async with httpx.AsyncClient(mounts=bench.sandbox.mounts()) as http:
        answer = await http.request(method, bench.sandbox.admin_url + path, json=body)
    assert answer.status_code in (200, 204), answer.text


def judged(found: Examination) -> Examination:
    """What holds for every visit: the fixed keys, one sentence and one thing to do, no English talk."""
    assert [check.name for check in found.checks] == list(NAMES)
    for check in found.checks:
        assert check.ok == (check.hint == "")
        for text in (check.detail, check.hint):
            assert "Traceback" not in text
            assert "\n" not in text
        assert JAPANESE.search(check.detail)
        if not check.ok:
            assert check.detail.endswith("。")
            assert check.detail.count("。") == 1, check.detail
            assert check.hint.endswith("。")
            assert check.hint.count("。") <= 2, check.hint
            assert check.hint.removesuffix("。").endswith("ください"), check.hint
    json = found.as_json()
    assert set(json) >= {"ok", "checks"}
    for entry in json["checks"]:  # type: ignore[attr-defined]
        assert {"name", "ok", "detail", "hint"} <= set(entry)
    return found


def one(found: Examination, name: str) -> Check:
    (check,) = [check for check in found.checks if check.name == name]
    return check


async def bot(bench: Workbench, fields: dict[str, Any]) -> None:
    await bench.client.bots.patch(bench.bot_id, fields)


async def members_only(bench: Workbench) -> None:
    assert bench.sandbox is not None
    key = f"{bench.bot_id}/{bench.domain_id}"
    bench.sandbox.tenant.table("bot_domains")[key]["allowToSelectedMember"] = True


async def unregistered(bench: Workbench) -> None:
    assert bench.sandbox is not None
    bench.sandbox.tenant.delete("bot_domains", f"{bench.bot_id}/{bench.domain_id}")


def console(**fields: Any) -> Callable[[Workbench], Awaitable[None]]:
    return lambda bench: admin(bench, "PUT", "/console", fields)


def scopes(*missing: str) -> Callable[[Workbench], Awaitable[None]]:
    left = [scope for scope in SCOPES if scope not in missing]
    return lambda bench: admin(bench, "PUT", "/scopes", {"scopes": left})


def fault(**fields: Any) -> Callable[[Workbench], Awaitable[None]]:
    return lambda bench: admin(bench, "PUT", "/faults", {"fault": [fields]})


TROUBLES: list[tuple[str, Callable[[Workbench], Awaitable[None]], list[str], str]] = [
    ("scope missing", scopes("group"), ["scope:group"], "「OAuth Scopes」に「group」を追加"),
    ("scope to send missing", scopes("bot.message"), ["scope:bot.message"], "一斉送信と訓練に必要"),
    ("two scopes missing", scopes("user", "directory"), ["scope:user", "scope:directory"], "名簿の登録"),
    ("address not listed", console(allowed_ips=["203.0.113.0/24"]), ["api"], "グローバル IP アドレス"),
    ("key reissued", console(key="reissued"), ["token"], "秘密鍵"),
    ("key expired", console(key="expired"), ["token"], "秘密鍵（Private Key）を発行し直して"),
    ("audit closed", console(closed=["audit.download"]), ["logs"], "監査ログの取得を断られました（403）"),
    ("contents closed", console(closed=["monitoring.download"]), ["logs"], "トーク内容のログの取得を断"),
    ("free plan", lambda b: admin(b, "PUT", "/limits", {"plan": "free"}),
     ["scope:directory", "scope:audit.read", "scope:monitoring.read"], "契約プランを確認してください"),
    ("bot for some only", members_only, ["bot:members"], "「すべてのメンバー」"),
    ("bot in no domain", unregistered, ["bot"], "Bot を追加してください"),
    ("bot not in rooms", lambda b: bot(b, {"enableGroupJoin": False}), ["bot:rooms"], "招待"),
    ("members closed", console(closed=["users.list"]), ["scope:user"], "BOUSAI_DOMAIN_ID"),
    ("directory closed", console(closed=["positions.list"]), ["scope:directory"], "役職"),
    ("export cut off", fault(on="logs.fetch", kind="truncate"), ["logs"], "途中で切れています"),
    ("foreign location", fault(on="monitoring.download", kind="foreign"), ["logs"], "DOWNLOAD_HOSTS"),
    ("auth host broken", fault(on="auth.token", kind="503"), ["token"], "障害情報"),
    ("token storm", fault(on="auth.token", kind="429", seconds=3), ["token"], "（429）"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "wrong", "says"), [t[1:] for t in TROUBLES], ids=[t[0] for t in TROUBLES])
def test_a_trouble_and_its_sentence(
    tmp_path: Path, make: Callable[[Workbench], Awaitable[None]], wrong: list[str], says: str
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as bench:
            assert judged(await examine(bench)).ok
            bench.clock.advance(61)  # type: ignore[attr-defined]  # the audit log may be asked again
            await make(bench)
            found = judged(await examine(bench))
            assert [check.name for check in found.wrong] == wrong
            assert says in " ".join(check.detail + check.hint for check in found.wrong)
            assert found.next_step.startswith(f"次にすること（{found.wrong[0].label}）")
            for check in found.unseen:
                assert check.hint in {f"先に「{cause.label}」を直してください。" for cause in found.wrong}

    asyncio.run(main())


def test_a_mended_trouble_is_seen_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as bench:
            for body, wrong in (
                ({"key": "expired"}, ["token"]),
                ({"key": "valid", "allowed_ips": ["203.0.113.7"]}, ["api"]),
                ({"allowed_ips": ["127.0.0.0/8"]}, []),
            ):
                await admin(bench, "PUT", "/console", body)
                assert [check.name for check in judged(await examine(bench)).wrong] == wrong

    asyncio.run(main())


def test_a_revoked_token_is_no_trouble(tmp_path: Path) -> None:
    """Switching IP restriction ends the tokens; whoever has a key gets another one."""

    async def main() -> None:
        async with opened(tmp_path) as bench:
            await bench.client.bots.get(bench.bot_id)
            await admin(bench, "POST", "/tokens/revoke", {})
            assert judged(await examine(bench)).ok

    asyncio.run(main())


def test_boards_are_a_choice(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as bench:
            await scopes("board")(bench)
            found = judged(await examine(bench))
            assert found.ok
            assert "不要です" in one(found, "scope:board").detail

    asyncio.run(main())


def test_it_costs_a_handful_of_requests(tmp_path: Path) -> None:
    """Nothing but GET, the token apart; each operation at most twice."""

    async def main() -> None:
        async with opened(tmp_path) as bench:
            seen: list[Any] = []
            bench.tracer = seen.append
            await examine(bench)
            assert {trace.method for trace in seen if trace.operation != "token"} == {"GET"}
            assert len(seen) <= 12

    asyncio.run(main())


# -- what cannot be opened ------------------------------------------------------------------------------


def looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Examination:
    monkeypatch.chdir(tmp_path)
    for name in ("BOUSAI_PROFILE", "BOUSAI_API_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"BOUSAI_HOME": str(tmp_path / "home"), **variables}.items():
        monkeypatch.setenv(name, value)
    return judged(asyncio.run(visit()))


GARBAGE = ("＠＠", "-1", "http://example.com", "\x01", "/nowhere/at/all")
VARIABLES = (
    "PROFILE", "API_URL", "AUTH_URL", "DOWNLOAD_HOSTS", "CLIENT_ID", "CLIENT_SECRET", "SERVICE_ACCOUNT",
    "PRIVATE_KEY_FILE", "PRIVATE_KEY_PASSPHRASE", "DOMAIN_ID", "BOT_ID", "BOT_SECRET", "HOME", "LEDGER_URL",
    "RECEIVER", "RECEIVER_TOKEN", "LOG_DELAY_S", "TIME_SCALE", "FONT", "LINE_URL", "LINE_CHANNEL_TOKEN",
)  # fmt: skip


@pytest.mark.parametrize("name", VARIABLES)
def test_garbage_in_one_setting_is_a_line_of_the_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for value in GARBAGE:
        if name == "HOME" and value in ("/nowhere/at/all", "-1"):
            continue  # a folder like any other
        looked(tmp_path, monkeypatch, **{f"BOUSAI_{name}": value})


@pytest.mark.parametrize(
    ("name", "value", "said", "todo"),
    [
        ("API_URL", "http://www.worksapis.com/v1.0", "秘密が漏れます", "https:// の URL を指定"),
        ("AUTH_URL", "https://auth.worksmobile.com:port/x", "URL として読み取れません", "もう一度実行して"),
        ("DOWNLOAD_HOSTS", "https://storage.example/", "パスは不要です", "ホスト名だけを"),
        ("DOMAIN_ID", "１０００", "BOUSAI_DOMAIN_ID", "半角数字の番号を指定して"),
    ],
)
def test_what_is_wrong_with_a_setting_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str, todo: str
) -> None:
    found = one(looked(tmp_path, monkeypatch, **{f"BOUSAI_{name}": value}), "settings")
    assert said in found.detail
    assert todo in found.hint


def test_another_domains_ledger_leaves_the_rest_to_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bousai_kit.clock import SystemClock
    from bousai_kit.ledger import Ledger

    async def other() -> None:
        (tmp_path / "home").mkdir()
        url = f"sqlite:///{tmp_path / 'home' / 'ledger.db'}"
        await (await Ledger.open(url, clock=SystemClock(), domain_id=77)).close()

    asyncio.run(other())
    found = looked(tmp_path, monkeypatch)
    assert [check.name for check in found.wrong] == ["ledger"]
    assert "別のドメイン（77）" in one(found, "ledger").detail
    assert one(found, "token").ok


def test_no_ledger_at_all_leaves_the_rest_to_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "not-a-ledger.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 500)
    found = looked(tmp_path, monkeypatch, BOUSAI_LEDGER_URL=f"sqlite:///{tmp_path / 'not-a-ledger.db'}")
    assert [check.name for check in found.wrong] == ["ledger"]


def test_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only for the ledger of the settings: the spare one stands elsewhere."""
    from bousai_kit.ledger import sqlite_file

    real = sqlite_file.network_filesystem
    monkeypatch.setattr(
        sqlite_file, "network_filesystem", lambda path: "nfs4" if path.name == "share.db" else real(path)
    )
    found = looked(tmp_path, monkeypatch, BOUSAI_LEDGER_URL=f"sqlite:///{tmp_path / 'share.db'}")
    assert [check.name for check in found.wrong] == ["ledger"]
    assert "nfs4" in one(found, "ledger").detail


def test_a_locked_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    from bousai_kit.ledger.sqlite import SqliteBackend

    looked(tmp_path, monkeypatch)
    hurried = {"domain_id": None, "patience_s": 0.05}
    monkeypatch.setattr(SqliteBackend.__init__, "__kwdefaults__", hurried)
    with sqlite3.connect(tmp_path / "home" / "ledger.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        found = looked(tmp_path, monkeypatch)
    other.close()
    assert [check.name for check in found.wrong] == ["ledger"]
    assert "使用中" in one(found, "ledger").detail
    assert "ノートブックやコマンドが終わってから" in one(found, "ledger").hint


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("a file, no folder")
    found = looked(tmp_path, monkeypatch)
    assert len(found.wrong) == 1
    assert found.wrong[0].name in ("home", "ledger", "settings")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bousai_kit.doctor import here

    monkeypatch.setattr(here, "LEAST_FREE_BYTES", 1 << 60)
    found = looked(tmp_path, monkeypatch)
    assert [check.name for check in found.wrong] == ["home"]
    assert "空き容量" in one(found, "home").detail


def test_a_font_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "font.otf").write_text("no font")
    found = looked(tmp_path, monkeypatch, BOUSAI_FONT=str(tmp_path / "font.otf"))
    assert [check.name for check in found.wrong] == ["font"]


def test_old_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bousai_kit.doctor import here

    monkeypatch.setattr(here, "_LEAST", {"ipykernel": (999,), "no-such-part": (1,)})
    found = looked(tmp_path, monkeypatch)
    assert [check.name for check in found.wrong] == ["versions"]
    assert "ipykernel" in one(found, "versions").detail
    assert "no-such-part なし" in one(found, "versions").detail


# -- whatever the server answers ------------------------------------------------------------------------


class Hostile(httpx.AsyncBaseTransport):
    """Lets some requests through and answers the others as it likes."""

    def __init__(
        self, inner: httpx.AsyncBaseTransport, now: dict[str, Any], strike: Callable[[httpx.Request], bool]
    ) -> None:
        self.inner, self.now, self.strike = inner, now, strike

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.now["answer"]
        if not (self.now["strike"] and self.strike(request)):
            return await self.inner.handle_async_request(request)
        if isinstance(answer, type):
            raise answer("on purpose", request=request)
        status, content, headers = answer
        if content is None:  # what it really answers, cut off
            real = await self.inner.handle_async_request(request)
            content = (await real.aread())[: len(await real.aread()) // 2]
            status = real.status_code
        return httpx.Response(status, content=content, headers=headers)


HTML = b"<!DOCTYPE html><html><title>Login</title>" + b"x" * 3000 + b"</html>"
ANSWERS: dict[str, Any] = {
    **{f"{n} empty": (n, b"", {}) for n in (200, 204, 400, 401, 403, 404, 407, 409, 418, 500, 503)},
    **{f"{status} html": (status, HTML, {"Content-Type": "text/html"}) for status in (200, 401, 403, 502)},
    "302 to a login page": (302, b"", {"Location": "https://proxy.city.invalid/login"}),
    "307 nowhere": (307, b"", {}),
    "200 list": (200, b"[]", {}),
    "200 object": (200, b"{}", {}),
    "200 wrong types": (200, b'{"users": 3, "domains": [7, {"domainId": null}], "access_token": 5}', {}),
    "200 binary": (200, bytes(range(256)) * 4, {}),
    "200 deep": (200, b"[" * 50_000, {}),
    "400 secrets": (400, b'{"error": "invalid_grant", "error_description": "SECRET"}', {}),
    "cut off": (200, None, {}),
    "refused": httpx.ConnectError,
    "reset": httpx.ReadError,
    "no answer": httpx.ReadTimeout,
    "no connection": httpx.ConnectTimeout,
}  # fmt: skip
STRIKES: dict[str, Callable[[httpx.Request], bool]] = {
    "auth": lambda request: request.url.host.startswith("auth."),
    "token": lambda request: request.url.path.endswith("/token"),
    "api": lambda request: request.url.host.startswith("api."),
    "calls": lambda request: request.url.path.startswith("/v1.0/"),
    "users": lambda request: request.url.path == "/v1.0/users",
    "bot": lambda request: "/bots/" in request.url.path,
    "domains": lambda request: request.url.path.endswith("/domains"),
    "storage": lambda request: request.url.host.startswith("storage."),
}


@pytest.mark.parametrize("strike", STRIKES)
def test_whatever_the_server_answers_is_said_in_sentences(tmp_path: Path, strike: str) -> None:
    async def main() -> None:
        async with opened(tmp_path) as bench:  # one visit after the other, as somebody who tries again
            sandbox = bench.sandbox
            assert sandbox is not None
            real, now = sandbox.mounts(), {"strike": False, "answer": None}
            hostile = {pattern: Hostile(inner, now, STRIKES[strike]) for pattern, inner in real.items()}
            sandbox.mounts = lambda: hostile  # type: ignore[method-assign,assignment,return-value]
            for answer in ANSWERS.values():
                if isinstance(answer, tuple) and b"SECRET" in (answer[1] or b""):
                    secret = sandbox.credentials.client_secret.encode()
                    answer = (answer[0], answer[1].replace(b"SECRET", secret), answer[2])
                began = bench.clock.monotonic()
                now.update(strike=True, answer=answer)
                found = judged(await examine(bench))
                text = found.render_text()
                assert sandbox.credentials.client_secret not in text
                assert sandbox.credentials.bot_secret not in text
                assert "予期しない誤り" not in text, text
                assert bench.clock.monotonic() - began < 300
                refused = isinstance(answer, type) or answer[0] >= 400
                if strike == "token" or (refused and strike in ("auth", "users", "domains")):
                    assert not found.ok or answer[1] is None, (strike, answer)
                now["strike"] = False
                bench.clock.advance(61)  # type: ignore[attr-defined]
            assert judged(await examine(bench)).ok

    asyncio.run(main())
