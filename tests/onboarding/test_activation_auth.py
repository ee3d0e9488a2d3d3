"""The auth log: both languages, any order of columns, damage, refusal; what cannot be read is said."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bousai_kit.clock import VirtualClock
from bousai_kit.errors import InputError, NotFound, PermissionDenied, ServiceUnavailable, TransportFailed
from bousai_kit.logs.archive import Archive
from bousai_kit.onboarding.auth_log import AuthLog, judge, pull_logins, read_auth, reason_label

NOW = datetime(2027, 3, 1, tzinfo=UTC)
SINCE = NOW - timedelta(days=40)
JA = "\ufeff説明,メンバー,日時,IPアドレス,ログイン方法,サービスタイプ\r\n"
EN = "\ufeffDate,User,Description,Service Type,IP Address\r\n"


def ja(*rows: str) -> bytes:
    return (JA + "".join(f"{row}\r\n" for row in rows)).encode()


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("ログインに成功しました。", (True, "")),
        ("Login succeeded.", (True, "")),
        ("LOGIN SUCCESS", (True, "")),
        ("Login unsuccessful", (False, "other")),
        ("ログインは成功しませんでした（ＰＡＳＳＷＯＲＤ）", (False, "password")),
        ("ログインに失敗しました。(パスワード不一致)", (False, "password")),
        ("Login failed. (Wrong password)", (False, "password")),
        ("パスワードの有効期間が過ぎています", (False, "expired")),
        ("アカウントがロックされています", (False, "suspended")),
        ("許可されていないIPアドレス", (False, "network")),
        ("2-step verification failed", (False, "second_factor")),
        ("Two devices, description: strip", (False, "network")),
        ("Description of a trip", (False, "other")),  # "ip" stands in both words
        ("ログアウトしました。", None),
        ("Logged out", None),
        ("パスワードを変更しました", None),
        ("", None),
    ],
)
def test_what_a_sentence_says(text: str, verdict: object) -> None:
    assert judge(text) == verdict
    assert reason_label("password") == "パスワードの誤り"
    assert reason_label("never heard of") == "その他の理由"


def test_both_languages_any_order_and_strange_columns() -> None:
    japanese, bad = read_auth(
        ja(
            "ログインに成功しました。,見本 太郎 (Mihon@city-demo),2027-02-01 09:00:00,192.0.2.1,ID/PW,",
            '"失敗, ""パスワード""",見本(旧姓 例) 花子(hanako@city-demo),2027/2/1 9:05,192.0.2.1,,',
        ),
        SINCE,
        NOW,
    )
    assert [(who, one.ok, one.reason) for who, one in japanese] == [
        ("mihon@city-demo", True, ""),
        ("hanako@city-demo", False, "password"),
    ]
    assert japanese[0][1].at == datetime(2027, 2, 1, tzinfo=UTC)
    assert bad == 0
    raw = EN + "2027-02-01T09:00:00+09:00,Taro (mihon@city-demo),Login failed,LINE WORKS,192.0.2.1\r\n"
    english, _ = read_auth(raw.encode(), SINCE, NOW)
    assert (english[0][0], english[0][1].ok, english[0][1].at) == (
        "mihon@city-demo",
        False,
        japanese[0][1].at,
    )
    odd = "新しい列,Account,ログイン日時,結果,内容\r\n?,mihon@city-demo,2027-02-01 09:00,成功,ログイン\r\n"
    found, _ = read_auth(odd.encode("cp932"), SINCE, NOW)
    assert found[0][1].ok


def test_damage_costs_lines_not_the_file() -> None:
    good = "ログインに成功しました。,A (a@x),2027-02-01 09:00:00,,,"
    rows, bad = read_auth(ja(good, "短い行", 'x,"開いたまま', good, "成功,B (b@x),きのう,,,"), SINCE, NOW)
    assert len(rows) == 2
    assert bad >= 3
    assert read_auth(ja(good), NOW, NOW + timedelta(days=1)) == ([], 0)


@pytest.mark.parametrize("raw", [b"", b"\xef\xbb\xbf", b"a,b,c\r\n1,2,3\r\n", "見本 太郎,x,y\r\n".encode()])
def test_an_unknown_header_is_refused_without_repeating_it(raw: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read_auth(raw, SINCE, NOW)
    assert "見本" not in caught.value.sentence()


class Service:
    """Answers with these rows and notes what it was asked."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[datetime, datetime]] = []

    async def __call__(self, since: datetime, until: datetime) -> bytes:
        self.asked.append((since, until))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def pull(home: Path, service: Service | None, *, days: int = 40, wait_days: int = 0) -> AuthLog:
    async def main() -> AuthLog:
        clock = VirtualClock(NOW + timedelta(days=wait_days))
        archive = Archive(home, None, clock)
        return await pull_logins(archive, service, clock=clock, since=NOW - timedelta(days=days))

    return asyncio.run(main())


GOOD = ja("ログインに成功しました。,A (a@x),2027-02-20 09:00:00,,,")


def test_windows_of_31_days_and_only_what_is_missing(tmp_path: Path) -> None:
    service = Service(GOOD)
    assert len(pull(tmp_path, service, days=400).by_login["a@x"]) == 1
    assert all(until - since <= timedelta(days=31) for since, until in service.asked)
    assert service.asked[0][0] >= NOW - timedelta(days=180)  # no longer kept by the platform
    assert len(service.asked) == 6
    again = Service(GOOD)
    assert len(pull(tmp_path, again, days=400, wait_days=3).by_login["a@x"]) == 1
    assert len(again.asked) == 1
    assert again.asked[0][0] >= NOW - timedelta(days=2)
    soon = Service(GOOD)
    assert len(pull(tmp_path, soon, days=400, wait_days=3).by_login["a@x"]) == 1
    assert soon.asked == []  # a minute ago is soon enough
    kept = pull(tmp_path, None, days=400, wait_days=3)
    assert kept.available
    assert len(kept.by_login["a@x"]) == 1


def test_a_truncated_log_is_used_as_far_as_it_goes_and_asked_for_again(tmp_path: Path) -> None:
    cut = Service(GOOD + b"downloadLogs error: something\r\n")
    found = pull(tmp_path, cut, days=20)
    assert len(found.by_login["a@x"]) == 1
    assert any("途中で切れ" in note for note in found.notes)
    whole = Service(GOOD + "ログインに失敗しました。,B (b@x),2027-02-21 09:00:00,,,\r\n".encode())
    mended = pull(tmp_path, whole, days=20)
    assert set(mended.by_login) == {"a@x", "b@x"}
    assert mended.notes == ()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionDenied(status=403, code="FORBIDDEN"), "audit.read"),
        (NotFound(status=404), "取得できませんでした"),
        (ServiceUnavailable(status=503), "取得できませんでした"),
        (TransportFailed("届きません。"), "取得できませんでした"),
    ],
)
def test_a_refused_log_is_said_and_no_error(tmp_path: Path, error: Exception, words: str) -> None:
    found = pull(tmp_path, Service(error), days=20)
    assert found.by_login == {}
    assert words in found.notes[0]
    assert "見本" not in repr(found)


def test_headers_nobody_knows_are_said_and_the_file_is_kept(tmp_path: Path) -> None:
    found = pull(tmp_path, Service(b"x,y,z\r\n1,2,3\r\n"), days=20)
    assert found.by_login == {}
    assert "見出しが変わっていたら" in found.notes[0]
    assert list((tmp_path / "archive" / "auth").glob("*.csv"))
    page = pull(tmp_path / "other", Service(b"<html>login</html>"), days=20)
    assert "CSV ではない" in page.notes[0]


def test_a_clock_ahead_of_everything(tmp_path: Path) -> None:
    """The first account lies in the future: the smallest window, no crash."""
    service = Service(JA.encode())
    assert pull(tmp_path, service, days=-30).by_login == {}
    assert len(service.asked) == 1


def test_a_city_adds_its_own_spellings(tmp_path: Path) -> None:
    raw = "ログイン日付,ログインした人,ログイン結果\r\n" + "".join(
        f"2027-02-2{day} 09:00:00,A (a@x),{said}\r\n"
        for day, said in enumerate(("ログインできました", "暗証番号が違います", "ログインに成功"))
    )
    service = Service(raw.encode())
    assert "見出しが変わっていたら" in pull(tmp_path, service, days=20).notes[0]
    (tmp_path / "auth_log.yaml").write_text(
        "columns: {at: [ログイン日付], user: [ログインした人], text: ログイン結果}\n"
        "reasons: {password: [暗証番号]}\nsuccess: [ログインできました]\n",
        encoding="utf-8",
    )
    found = pull(tmp_path, service, days=20)
    assert found.notes == ()
    assert [(one.ok, one.reason) for one in found.by_login["a@x"]] == [
        (True, ""),
        (False, "password"),
        (True, ""),
    ]


@pytest.mark.parametrize(
    "text",
    ["[", "a: 1", "columns: {never: [x]}", "columns: {at: [1]}", "reasons: [x]", "x", "success: {a: b}", ""],
)
def test_an_odd_file_of_spellings_is_said_and_left_aside(tmp_path: Path, text: str) -> None:
    (tmp_path / "auth_log.yaml").write_text(text, encoding="utf-8")
    found = pull(tmp_path, Service(GOOD), days=20)
    assert "auth_log.yaml を使えません" in found.notes[0]
    assert len(found.by_login["a@x"]) == 1
