"""``--faults FILE``: each kind and each selector by plain HTTP, what a file may say, and one bad day."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from bousai_kit.errors import InputError
from bousai_kit.sandbox.faults import CALLBACK_KINDS, LONGEST_S, REQUEST_KINDS, FaultPlan, load_faults
from tests.drills import stage
from tests.sandbox.botlab import Lab, trial, uid
from tests.sandbox.test_sockets import on_sockets

ROOT = Path(__file__).parents[2]
GUIDE, BAD_DAY = ROOT / "docs" / "faults.md", ROOT / "docs" / "examples" / "bad_day.toml"
KINDS = (*REQUEST_KINDS, *CALLBACK_KINDS)
SEND = 'on = "messages.to_user"'


def plan_of(folder: Path, *rules: str, seed: int = 1) -> FaultPlan:
    """A plan as a person writes it: a TOML file."""
    path = folder / "faults.toml"
    path.write_text(f"seed = {seed}\n" + "".join(f"[[fault]]\n{rule}\n" for rule in rules), "utf-8")
    return load_faults(path)


def got(bench: Lab) -> list[str]:
    """Texts that really reached somebody, in order."""
    return [message["text"] for message in bench.truth()["messages"]]


async def sends(bench: Lab, count: int) -> list[int]:
    """Statuses of so many messages "1", "2", …; 0: the connection broke."""
    statuses = []
    for number in range(1, count + 1):
        try:
            statuses.append((await bench.text(1, f"{number}")).status_code)
        except httpx.TransportError:
            statuses.append(0)
    return statuses


# -- each kind of request fault ---------------------------------------------------------------------

ANSWERED = {  # rule: statuses of three messages, and which of them arrived
    'kind = "429"': ([201, 429, 201], "13"),
    'kind = "500"': ([201, 500, 201], "13"),
    'kind = "500"\nafter = true': ([201, 500, 201], "123"),
    'kind = "503"': ([201, 503, 201], "13"),
    'kind = "503"\nafter = true': ([201, 503, 201], "123"),
    'kind = "refuse"': ([201, 0, 201], "13"),
    'kind = "drop"': ([201, 0, 201], "123"),
    'kind = "slow"': ([201, 201, 201], "123"),
    'kind = "slow"\nafter = true': ([201, 201, 201], "123"),
    'kind = "revoke"': ([201, 401, 401], "1"),
    'kind = "redirect"': ([201, 307, 201], "13"),
    'kind = "foreign"': ([201, 307, 201], "13"),
    'kind = "no_headers"': ([201, 201, 201], "123"),
}


@pytest.mark.parametrize("rule", ANSWERED, ids=lambda rule: rule.replace("\n", " "))
def test_a_request_fault_strikes_the_second_of_three(tmp_path: Path, rule: str) -> None:
    statuses, arrived = ANSWERED[rule]

    async def test(bench: Lab) -> None:
        assert await sends(bench, 3) == statuses
        assert got(bench) == list(arrived)

    trial(test, faults=plan_of(tmp_path, f"{rule}\n{SEND}\nnth = 2"))


def test_a_storm_of_429_says_when_it_is_over(tmp_path: Path) -> None:
    async def test(bench: Lab) -> None:
        answer = await bench.text(1)
        assert (answer.status_code, answer.json()["code"]) == (429, "TOO_MANY_REQUESTS")
        assert answer.headers["ratelimit-reset"] == "8"
        assert answer.headers["ratelimit-remaining"] == "0"
        await bench.clock.sleep(30.5)
        assert (await bench.text(1)).status_code == 201

    trial(test, faults=plan_of(tmp_path, f'kind = "429"\n{SEND}\nuntil_s = 30\nseconds = 8'))


def test_slow_is_slow_before_or_after_the_work(tmp_path: Path) -> None:
    async def test(bench: Lab, *, after: bool) -> None:
        begin = bench.clock.now()
        answer = asyncio.create_task(bench.text(1))
        await bench.clock.sleep(10)
        assert got(bench) == (["【訓練】連絡です。"] if after else [])
        assert (await answer).status_code == 201
        assert bench.clock.now() - begin == timedelta(seconds=25)
        assert len(got(bench)) == 1

    for after in (False, True):
        rule = f'kind = "slow"\n{SEND}\nseconds = 25\nafter = {json.dumps(after)}'
        trial(lambda bench, late=after: test(bench, after=late), faults=plan_of(tmp_path, rule))


def test_a_redirect_leads_to_the_same_call_and_a_foreign_one_leads_away(tmp_path: Path) -> None:
    async def test(bench: Lab) -> None:
        path = f"/bots/{bench.bot}/users/{uid(1)}/messages?a=1"
        body = {"content": {"type": "text", "text": "あ"}}
        moved, away = [await bench.api("POST", path, body) for _ in range(2)]
        assert got(bench) == []
        where = moved.headers["location"]
        assert where.startswith(bench.sandbox.storage_url)
        assert where.endswith("?a=1")
        assert (await bench.http.post(where, json=body, headers=bench.headers)).status_code == 201
        assert got(bench) == ["あ"]
        assert httpx.URL(away.headers["location"]).host not in bench.sandbox.hosts()

    rules = ('kind = "redirect"\nnth = 1', 'kind = "foreign"\nnth = 2')
    trial(test, faults=plan_of(tmp_path, *rules))


def test_an_export_breaks_off_or_leads_away(tmp_path: Path) -> None:
    rules = (
        'kind = "truncate"\non = "logs.fetch"\nnth = 1',
        'kind = "foreign"\non = "monitoring.*"\nnth = 2',
    )

    async def test(bench: Lab) -> None:
        for number in range(20):
            await bench.text(1 + number % 5)
        query = {"startTime": "2027-01-17T00:00:00+09:00", "endTime": "2027-01-18T00:00:00+09:00"}
        exports = []
        for _ in range(3):
            await bench.clock.sleep(120)
            answer = await bench.api("GET", "/monitoring/message-contents/download", params=query)
            assert answer.status_code == 302
            where = httpx.URL(answer.headers["location"])
            if where.host in bench.sandbox.hosts():
                exports.append((await bench.http.get(where, headers=bench.headers)).content)
            else:
                exports.append(b"")
        broken, away, whole = exports
        assert away == b""
        lines = broken.splitlines()
        assert lines[-1].startswith(b"downloadLogs error"), "the vendor's trailer"
        rows = whole.splitlines()
        assert lines[:-2] == rows[: len(lines) - 2], "what is there is as it should be"
        assert rows[len(lines) - 2].startswith(lines[-2]), "the last row may be half a row"
        assert len(lines) - 1 < len(rows)

    trial(test, faults=plan_of(tmp_path, *rules))


def test_headers_go_missing(tmp_path: Path) -> None:
    async def test(bench: Lab) -> None:
        shown = ["ratelimit-limit" in (await bench.text(1)).headers for _ in range(3)]
        assert shown == [True, False, True]

    trial(test, faults=plan_of(tmp_path, f'kind = "no_headers"\n{SEND}\nnth = 2'))


def test_the_token_can_fail_too(tmp_path: Path) -> None:
    async def test(bench: Lab) -> None:
        url = bench.sandbox.auth_url
        answers = [await bench.http.post(f"{url}/token", data={"grant_type": "x"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [503, 401]
        assert (await bench.http.post(f"{url}/revoke", data={})).status_code != 503

    trial(test, faults=plan_of(tmp_path, 'kind = "503"\non = "auth.token"\ntimes = 1'))


# -- each kind of callback fault --------------------------------------------------------------------

CALLED = {  # kind: what the receiver gets of "1", "2", "3", the second being struck
    "lost": "13",
    "duplicate": "1223",
    "delay": "132",
    "reorder": "132",
    "bad_signature": "123",
}


@pytest.mark.parametrize("kind", CALLBACK_KINDS)
def test_a_callback_fault_strikes_the_second_of_three(tmp_path: Path, kind: str) -> None:
    more = "\nseconds = 20" if kind == "delay" else ""

    async def test(bench: Lab) -> None:
        taps: list[Any] = []
        for number in "123":
            taps.append(bench.clock.now())
            said = await bench.admin("POST", "/staff/say", {"user": uid(1), "text": number})
            assert said.status_code == 204
            await bench.clock.sleep(1)
        await bench.clock.sleep(120)
        heard = bench.receiver.of("message")
        assert "".join(event["content"]["text"] for event in heard) == CALLED[kind]
        assert bench.receiver.badly_signed == (kind == "bad_signature")
        if kind == "delay":
            late = bench.receiver.arrived[-1] - taps[1]
            assert timedelta(seconds=20) <= late < timedelta(seconds=21)
        assert len(bench.receiver.of("begin")) == 1, "another type is left alone"

    trial(test, faults=plan_of(tmp_path, f'kind = "{kind}"\non = "message"\nnth = 2{more}'))


def test_every_kind_is_tried_here_and_explained_in_the_guide() -> None:
    tried = {rule.split('"')[1] for rule in ANSWERED} | {"truncate"} | set(CALLED)
    assert tried == set(KINDS)
    guide = GUIDE.read_text("utf-8")
    keys = ("on", "method", "path", "nth", "every", "probability", "times", "from_s", "until_s", "seconds")
    for word in (*KINDS, *keys, "after", "seed"):
        assert f"`{word}`" in guide, word


# -- each selector ----------------------------------------------------------------------------------

CHOSEN = {
    "": "500 500 500 500 500 500",
    "nth = 3": "201 201 500 201 201 201",
    "nth = [1, 4, 99]": "500 201 201 500 201 201",
    "every = 2": "201 500 201 500 201 500",
    "every = 2\ntimes = 2": "201 500 201 500 201 201",
    "times = 3": "500 500 500 201 201 201",
    "nth = 1\nevery = 3": "500 201 500 201 201 500",
    'on = "messages.*"\nmethod = "post"\nnth = 1': "500 201 201 201 201 201",
    'method = "GET"': "201 201 201 201 201 201",
    'path = "/bots/*/users/*/messages"\nnth = 2': "201 500 201 201 201 201",
    'path = "/users/*"': "201 201 201 201 201 201",
    'on = "users.*"': "201 201 201 201 201 201",
    "from_s = 25": "201 201 201 500 500 500",
    "until_s = 25": "500 500 500 201 201 201",
    "from_s = 10\nuntil_s = 30\nevery = 2": "201 201 500 201 201 201",
    "probability = 1": "500 500 500 500 500 500",
}


@pytest.mark.parametrize("rule", CHOSEN, ids=lambda rule: rule.replace("\n", " ") or "all")
def test_a_selector_chooses_among_six_messages_ten_seconds_apart(tmp_path: Path, rule: str) -> None:
    async def test(bench: Lab) -> None:
        statuses = []
        for _ in range(6):
            statuses.append(str((await bench.text(1)).status_code))
            await bench.api("GET", f"/bots/{bench.bot}")  # another operation is not counted
            await bench.clock.sleep(10)
        assert " ".join(statuses) == CHOSEN[rule]

    on = "" if "on =" in rule else 'on = "messages.*"\n'
    trial(test, faults=plan_of(tmp_path, f'kind = "500"\n{on}{rule}'))


def test_chance_is_the_seed_s_and_no_other_request_s(tmp_path: Path) -> None:
    drawn: dict[tuple[int, bool], list[int]] = {}

    async def test(bench: Lab, *, seed: int, among_others: bool) -> None:
        statuses = []
        for _ in range(60):
            if among_others:
                await bench.api("GET", f"/bots/{bench.bot}")
            statuses.append((await bench.text(1)).status_code)
        drawn[seed, among_others] = statuses

    for seed, among in ((5, False), (5, True), (6, False)):
        rule = 'kind = "503"\non = "messages.*"\nprobability = 0.3'
        trial(
            lambda bench, n=seed, others=among: test(bench, seed=n, among_others=others),
            faults=plan_of(tmp_path, rule, seed=seed),
        )
    assert drawn[5, False] == drawn[5, True] != drawn[6, False]
    assert 8 <= drawn[5, False].count(503) <= 28


def test_rules_add_up(tmp_path: Path) -> None:
    async def test(bench: Lab) -> None:
        begin = bench.clock.now()
        assert await sends(bench, 2) == [500, 0]
        assert bench.clock.now() - begin == timedelta(seconds=6)
        assert got(bench) == ["1", "2"], "slow and processed, then an error; slow, processed and dropped"

    slow = f'kind = "slow"\n{SEND}\nseconds = 3'
    late, gone = (f'kind = "500"\n{SEND}\nafter = true\nnth = 1', f'kind = "drop"\n{SEND}\nnth = 2')
    trial(test, faults=plan_of(tmp_path, slow, late, gone))


# -- over a real socket -----------------------------------------------------------------------------


def over_sockets(test: Callable[[Lab], Awaitable[None]], faults: FaultPlan, speed: float) -> None:
    async def run() -> None:
        async with on_sockets(faults=faults, speed=speed) as bench:
            await test(bench)

    asyncio.run(run())


async def bytes_of_a_post(bench: Lab) -> bytes:
    """All that the server sends for one message on a bare connection, up to its end."""
    api = httpx.URL(bench.sandbox.api_url)
    body = json.dumps({"content": {"type": "text", "text": "あ"}}).encode()
    lines = (
        f"POST {api.path}/bots/{bench.bot}/users/{uid(1)}/messages HTTP/1.1",
        f"Host: {api.host}",
        f"Authorization: {bench.headers['Authorization']}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    reader, writer = await asyncio.open_connection(api.host, api.port)
    try:
        writer.write("\r\n".join((*lines, "", "")).encode() + body)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize(("kind", "arrived"), [("refuse", 0), ("drop", 1)])
def test_a_broken_connection_looks_the_same_before_and_after_the_work(
    tmp_path: Path, kind: str, arrived: int
) -> None:
    """That is the whole trouble: no client can tell the two apart."""

    async def test(bench: Lab) -> None:
        assert await bytes_of_a_post(bench) == b""
        assert len(got(bench)) == arrived
        assert (await bytes_of_a_post(bench)).startswith(b"HTTP/1.1 201")
        assert len(got(bench)) == arrived + 1

    over_sockets(test, plan_of(tmp_path, f'kind = "{kind}"\n{SEND}\nnth = 1'), speed=1.0)


@pytest.mark.parametrize("after", ["false", "true"])
def test_whoever_hangs_up_on_a_slow_server_has_sent_it_all_the_same(tmp_path: Path, after: str) -> None:
    async def test(bench: Lab) -> None:
        url = f"{bench.sandbox.api_url}/bots/{bench.bot}/users/{uid(1)}/messages"
        content = {"content": {"type": "text", "text": "あ"}}
        begin = bench.clock.now()
        with pytest.raises(httpx.ReadTimeout):
            await bench.http.post(
                url, json=content, headers=bench.headers, timeout=httpx.Timeout(20, read=0.1)
            )
        await bench.clock.sleep(101)
        [message] = bench.truth()["messages"]
        waited = datetime.fromisoformat(message["accepted_at"]) - begin
        assert (waited < timedelta(seconds=100)) == (after == "true")
        assert (await bench.text(2)).status_code == 201

    rule = f'kind = "slow"\n{SEND}\nnth = 1\nseconds = 100\nafter = {after}'
    over_sockets(test, plan_of(tmp_path, rule), speed=50.0)


# -- what a file may say ----------------------------------------------------------------------------

MISTAKES = {
    'kind = "earthquake"': ("3 行目、1 番目の [[fault]]: kind は", '"429"', '"bad_signature"'),
    "kind = 500": ("3 行目", "引用符で囲んだ", '"500"'),
    'kind = "500"\nwhen = 3': ("「when」という項目はありません", "probability", "until_s"),
    'kind = "500"\non = "message.*"': ("「message.*」に当てはまる操作はありません", "messages.*"),
    'kind = "lost"\non = "messages.*"': ("当てはまるコールバックはありません", "postback", "joined"),
    'kind = "500"\non = ""': ("on は、", "messages.*"),
    'kind = "500"\nmethod = "SEND"': ("method は、", "GET, POST, PUT, PATCH, DELETE"),
    'kind = "500"\npath = "bots"': ("path は、", "/bots/"),
    'kind = "500"\nnth = 0': ("nth は、1 以上の整数", "[3, 7]"),
    'kind = "500"\nnth = []': ("nth は、1 以上の整数",),
    'kind = "500"\nnth = [1, true]': ("nth は、1 以上の整数",),
    'kind = "500"\nnth = 1.5': ("nth は、1 以上の整数",),
    'kind = "500"\nevery = -1': ("every は、1 以上の整数",),
    'kind = "500"\ntimes = 0': ("times は、1 以上の整数",),
    'kind = "500"\nprobability = 0': ("probability は、0 より大きく 1 以下",),
    'kind = "500"\nprobability = 5': ("probability は、0 より大きく 1 以下",),
    'kind = "500"\nprobability = nan': ("probability は、0 より大きく 1 以下",),
    'kind = "500"\nfrom_s = -1': ("from_s は、0 以上の秒数",),
    'kind = "500"\nuntil_s = inf': ("until_s は、0 以上の秒数",),
    f'kind = "slow"\nseconds = {LONGEST_S + 1}': ("seconds は、0 以上の秒数",),
    'kind = "500"\nfrom_s = 9\nuntil_s = 3': ("until_s は from_s より後",),
    'kind = "500"\nafter = 1': ("after は、true か false",),
    'kind = "drop"\nafter = true': ("after は kind が slow, 500, 503 のときだけ",),
    'kind = "lost"\nseconds = 3': ("seconds は kind が slow, delay, 429 のときだけ",),
    'kind = "lost"\nmethod = "POST"': ("method は kind が 429,",),
    'kind = "duplicate"\npath = "/x"': ("path は kind が 429,",),
}


@pytest.mark.parametrize("rule", MISTAKES, ids=lambda rule: rule.replace("\n", " "))
def test_a_mistake_is_said_with_its_place_and_what_is_allowed(tmp_path: Path, rule: str) -> None:
    with pytest.raises(InputError) as caught:
        plan_of(tmp_path, f"\n{rule}".removeprefix("\n"))
    said = str(caught.value)
    assert "faults.toml" in said
    assert "2 行目、1 番目の [[fault]]" in said.replace("3 行目", "2 行目")
    for part in MISTAKES[rule]:
        assert part.replace("3 行目", "2 行目") in said
    assert [issue.row for issue in caught.value.issues] == [2]
    assert caught.value.exit_code == 2
    assert "docs/faults.md" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("seed = 'x'", ("seed の値",)),
        ("seed = true", ("seed の値",)),
        ("other = 1", ("other", "seed（整数）と [[fault]]")),
        ("fault = 3", ("[[fault]]",)),
        ("fault = [1, 2]", ("1 番目の fault: 表", "2 番目の fault: 表")),
        ("seed = 1\n[[fault]\nkind = '500'", ("TOML として読めません", "2 行目")),
        ("seed =", ("TOML として読めません",)),
        ("a = " + "[" * 5000, ("TOML として読めません",)),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    path = tmp_path / "計画.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError) as caught:
        load_faults(path)
    assert "計画.toml" in str(caught.value)
    for part in parts:
        assert part in str(caught.value)
    with pytest.raises(InputError, match="開けません"):
        load_faults(tmp_path)
    with pytest.raises(InputError, match="開けません"):
        load_faults(tmp_path / "none.toml")


def test_all_mistakes_are_said_at_once_and_the_command_leaves_with_2(tmp_path: Path) -> None:
    from bousai_kit.cli import build_app

    path = tmp_path / "f.toml"
    path.write_text('[[fault]]\nkind = "x"\n\n# 説明\n[[fault]]\nkind = "drop"\nnth = 0\nmade = 1\n', "utf-8")
    done = CliRunner().invoke(build_app("sandbox"), ["sandbox", "--people", "0", "--faults", str(path)])
    assert (done.exit_code, done.stdout) == (2, "")
    for part in ("f.toml", "1 行目、1 番目", "5 行目、2 番目", "「made」", "nth は"):
        assert part in done.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_a_file_from_any_editor_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "f.toml"
    path.write_bytes('# わざと起こす障害\r\n[[fault]]\r\nkind = "drop"\r\n'.encode(encoding))
    assert [fault.kind for fault in load_faults(path).faults] == ["drop"]


# -- while it runs ----------------------------------------------------------------------------------


def test_rules_come_and_go_through_the_admin_host() -> None:
    async def test(bench: Lab) -> None:
        await bench.clock.sleep(100)
        now = (await bench.admin("GET", "/faults")).json()
        assert now == {"seed": 1, "elapsed_s": 100.0, "fault": []}
        storm = {"kind": "429", "on": "messages.*", "from_s": 110.0, "until_s": 140.0}
        assert (await bench.admin("POST", "/faults", {"fault": [storm]})).status_code == 200
        more = {"fault": [{"kind": "drop", "on": "messages.*", "from_s": 150.0, "times": 1}]}
        assert (await bench.admin("POST", "/faults", more)).status_code == 200
        seen = []
        for _ in range(7):
            seen += await sends(bench, 1)
            await bench.clock.sleep(10)
        assert seen == [201, 429, 429, 429, 429, 0, 201]
        told = (await bench.admin("GET", "/faults")).json()["fault"]
        assert [(rule["kind"], rule["done"]) for rule in told] == [("429", 4), ("drop", 1)]
        for wrong in ({"fault": [{"kind": "?"}]}, {"fault": [{"kind": "drop", "nth": 0}]}, {"x": 1}):
            for method in ("PUT", "POST"):
                refused = await bench.admin(method, "/faults", wrong)
                assert refused.status_code == 400
                assert "障害設定" in refused.json()["description"]
        assert len((await bench.admin("GET", "/faults")).json()["fault"]) == 2, "a mistake changes nothing"
        assert (await bench.admin("PUT", "/faults", {})).json()["fault"] == []

    trial(test)


# -- a bad day --------------------------------------------------------------------------------------


def test_a_drill_on_a_bad_day_reaches_everybody_once(tmp_path: Path) -> None:
    """The shipped example: no duplicate, nobody lost, everything known at the end."""

    async def run() -> None:
        text = "【訓練】震度6弱を想定した安否確認です。"
        bad = load_faults(BAD_DAY)
        stage.found(tmp_path / "home", 24)
        async with stage.bench_of(tmp_path / "home", *bad.faults, seed=bad.seed) as bench:
            scenario = stage.SAFETY + "reminders: [{after_s: 300, max: 1}]\ndeadline_s: 900\n"
            made = await stage.plan(bench, scenario, stage.sample_roster(24))
            await stage.conduct(bench, made.drill_id)
            for _ in range(8):
                stage.check_truth(bench, await stage.state_of(bench, made.drill_id))
                settled = await stage.settle(bench, made.drill_id)
                if not settled.unknown and settled.sent == settled.recipients:
                    break
                await stage.conduct(bench, made.drill_id, wait=False)
            state = await stage.state_of(bench, made.drill_id)
            assert state.open_attempts() == []
            assert stage.got(bench, text) == dict.fromkeys(state.people, 1)
            truth = stage.answered(bench, made.drill_id, "b01")
            seen = {user for (_, user), reach in state.reaches.items() if reach.answer is not None}
            assert seen <= set(truth), "no badly signed answer counts unless the log has it too"
            assert len(seen) >= 0.9 * len(truth)
            struck = {fault.kind for fault in bad.faults if fault.done}
            assert struck >= set(KINDS) - {"redirect", "foreign", "bad_signature", "reorder"}, struck

    asyncio.run(run())
