"""Each rule by itself: which severity, which row and column, and never a name in the sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from bousai_kit.errors import RosterError
from bousai_kit.roster import Roster, require_ok
from bousai_kit.roster.columns import ROSTER

Make = Callable[..., Roster]
TITLES = {column.field: column.title for column in ROSTER}
OK, WARNING, ERROR = "", "warning", "error"


@pytest.mark.parametrize(
    ("field", "value", "severity", "said"),
    [
        ("staff_number", "", ERROR, "必須の値が空"),
        ("staff_number", "　", ERROR, "必須の値が空"),
        ("staff_number", "A" * 20, OK, ""),
        ("staff_number", "A" * 21, ERROR, "20 文字まで（21 文字）|20 文字までです"),
        *(("staff_number", f"1{symbol}2", ERROR, "External Key") for symbol in "%\\#/?"),
        ("staff_number", "1 2", OK, ""),
        ("staff_number", "１２３", WARNING, "全角"),
        ("staff_number", "2027-01-17", WARNING, "日付"),
        ("staff_number", "1月2日", WARNING, "日付"),
        ("staff_number", "1.23E+05", WARNING, "指数"),
        ("staff_number", "1\n2", ERROR, "制御文字"),
        ("last_name", "", ERROR, "必須の値が空"),
        ("first_name", "", ERROR, "必須の値が空"),
        ("last_name", "試" * 78, OK, ""),
        ("last_name", "試" * 79, ERROR, "合わせて 80 文字"),
        ("last_name", "試" * 10_000, ERROR, "10,000 文字"),
        ("last_name", "髙﨑", OK, ""),
        ("last_name", "𠮷", OK, ""),
        ("last_name", "\ufa19\uf9dc", OK, ""),
        ("last_name", "葛\U000e0100", OK, ""),
        ("last_name", "O'Neill-Smith (Jr.)", OK, ""),
        ("last_name", "マリア・テレサ", OK, ""),
        ("last_name", "佐々木ー〆", OK, ""),
        *(("last_name", f"試{symbol}験", ERROR, "使えない記号") for symbol in '"$%*:;<=>?\\|'),
        *(("last_name", f"試{symbol}験", OK, "") for symbol in "!@&()-_+[]{},./#'^~`"),
        ("last_name", "試験☆", WARNING, "記号"),
        ("last_name", "試\u200b験", WARNING, "目に見えない"),
        ("last_name", "\ue000験", WARNING, "外字"),
        ("last_name", "試\n験", ERROR, "制御文字"),
        ("last_name", "試\x00験", ERROR, "制御文字"),
        ("last_kana", "", OK, ""),
        ("last_kana", "シケン", OK, ""),
        ("last_kana", "ヴァン・デル", OK, ""),
        ("last_kana", "しけん", ERROR, "全角カタカナ"),
        ("last_kana", "Shiken", ERROR, "全角カタカナ"),
        ("last_kana", "試験", ERROR, "全角カタカナ"),
        ("last_kana", "ｼｹﾝ", WARNING, "半角カタカナ"),
        ("first_kana", "ア" * 100, OK, ""),
        ("first_kana", "ア" * 101, ERROR, "100 文字"),
        ("login_id", "", ERROR, "必須の値が空"),
        ("login_id", "ab@c", OK, ""),
        ("login_id", "a.b-c_9@city-demo.example", OK, ""),
        ("login_id", "shiken", ERROR, "「@」がありません"),
        ("login_id", "a@city-demo", ERROR, "2〜40 文字"),
        ("login_id", "a" * 40 + "@city-demo", OK, ""),
        ("login_id", "a" * 41 + "@city-demo", ERROR, "2〜40 文字"),
        ("login_id", "ab@" + "c" * 88, ERROR, "90 文字"),
        ("login_id", "Shiken@city-demo", ERROR, "大文字"),
        ("login_id", "ｓｈｉｋｅｎ@city-demo", ERROR, "全角"),
        ("login_id", "shiken＠city-demo", ERROR, "全角の「＠」"),
        ("login_id", "a..b@city-demo", ERROR, "連続"),
        ("login_id", "ab.@city-demo", ERROR, "末尾"),
        ("login_id", ".ab@city-demo", ERROR, "英数字から"),
        ("login_id", "-ab@city-demo", ERROR, "英数字から"),
        ("login_id", "a b@city-demo", ERROR, "英小文字"),
        ("login_id", "ab@city@demo", ERROR, "2 つ以上"),
        ("login_id", "ab@", ERROR, "「@」の後"),
        ("login_id", "ab@市", ERROR, "「@」の後"),
        ("orgunit_code", "", ERROR, "必須の値が空"),
        ("orgunit_code", "K/1", ERROR, "External Key"),
        ("orgunit_code", "K" * 101, ERROR, "100 文字"),
        ("orgunit_code", "危機管理", OK, ""),
        ("orgunit_name", "名" * 101, ERROR, "100 文字"),
        ("orgunit_name", "総務課#1", ERROR, "使えない記号「#」"),
        ("orgunit_name", "総務課(1)", OK, ""),
        ("position", "長" * 101, ERROR, "100 文字"),
        ("position", "2027-01-17", WARNING, "日付"),
        ("position", "課長\n代理", ERROR, "制御文字"),
        ("level", "級" * 101, ERROR, "職級は 100 文字"),
        ("level", "部長\n級", ERROR, "制御文字"),
        ("level", "7級（行政職）", OK, ""),
        ("deputy_order", "0", WARNING, "1 以上"),
        ("deputy_order", "一", WARNING, "1 以上"),
        ("device_os", "", WARNING, "端末がありません"),
        ("device_os", "なし", WARNING, "端末がありません"),
        ("device_os", "Windows", WARNING, "iOS、Android"),
        ("device_os", "ａｎｄｒｏｉｄ", OK, ""),
        ("device_os", "iPhone", OK, ""),
        ("phone", "", OK, ""),
        ("phone", "+81(90)0000-0000*1#2p3T", OK, ""),
        ("phone", "090 0000 9999", WARNING, "0900000"),
        ("phone", "０９０－００００－９９９９", WARNING, "090-0000-9999"),
        ("phone", "090−0000ー9999", WARNING, "090-0000-9999"),
        ("phone", "内線12", ERROR, "電話番号に使えない"),
        ("phone", "----", ERROR, "数字がありません"),
        ("phone", "1" * 101, ERROR, "100 文字まで"),
        ("private_email", "shiken@example.jp", OK, ""),
        ("private_email", "shiken", ERROR, "メールアドレスの形"),
        ("private_email", "a" * 64 + "@example.jp", OK, ""),
        ("private_email", "a" * 65 + "@example.jp", ERROR, "64 文字まで"),
        ("note", "自由に「書く」\n2 行目 \\ # %", OK, ""),
        ("note", "=1+1", WARNING, "「=」で始まって"),
        ("position", "=1+1", WARNING, "「=」で始まって"),
        ("note", "+1", OK, ""),
    ],
)
def test_one_value(make: Make, field: str, value: str, severity: str, said: str) -> None:
    roster = make({field: value})
    mine = [issue for issue in roster.issues if issue.column == TITLES[field]]
    if severity == OK:
        assert roster.issues == () or {issue.problem for issue in roster.issues} == {DEPUTY}
        return
    assert [issue.row for issue in mine] == [2] * len(mine)
    assert any(issue.severity == severity and re.search(said, issue.problem) for issue in mine), mine
    assert roster.ok is (severity != ERROR)
    assert all(issue.problem.endswith("。") for issue in mine)


DEPUTY = "代理順位がありますが、代理対象が空です。相手の職員番号を書くか、順位を消してください。"


def test_a_value_that_was_mended_is_the_mended_one(make: Make) -> None:
    person = make(
        {"last_kana": "ｼｹﾞﾝ", "phone": "０９０ー００００ー１２３４", "device_os": "アンドロイド"}
    ).people[0]
    assert (person.last_kana, person.phone, person.device_os) == ("シゲン", "090-0000-1234", "Android")


def test_names_and_logins_stay_as_typed(make: Make) -> None:
    typed = {"last_name": "\ufa19𠮷髙﨑 ", "first_name": "ﾊﾙ", "login_id": "Shiken@City-Demo"}
    person = make(typed).people[0]
    assert (person.last_name, person.first_name, person.login_id) == (
        "\ufa19𠮷髙﨑",
        "ﾊﾙ",
        "Shiken@City-Demo",
    )


def test_all_problems_come_at_once_and_in_the_order_of_the_rows(make: Make) -> None:
    roster = make(
        {"last_name": "", "login_id": "x", "device_os": ""},
        {"first_name": "", "last_kana": "か", "phone": "?"},
        {},
        {"staff_number": "1/2", "orgunit_code": ""},
    )
    assert [issue.row for issue in roster.issues] == [2, 2, 2, 3, 3, 3, 5, 5]
    with pytest.raises(RosterError, match=r"7 件の誤り.*2 行目") as caught:
        require_ok(roster)
    assert caught.value.issues == roster.issues


def test_warnings_alone_never_refuse(make: Make) -> None:
    roster = make({"device_os": "なし"}, {"note": "=1", "phone": "090-0000-0001", "deputy_for": "nobody"})
    assert len(roster.issues) == 3 + 1
    assert require_ok(roster) is roster


def test_no_sentence_and_no_repr_holds_a_name(make: Make) -> None:
    planted = {
        "last_name": "植込ＳＥＣＲＥＴ",
        "first_name": "=名?",
        "last_kana": "うえこみ",
        "phone": "植込",
        "login_id": "UEKOMI",
    }
    roster = make(planted, planted)
    said = " ".join(
        [*(issue.problem for issue in roster.issues), repr(roster), repr(roster.people), str(roster.issues)]
    )
    assert len(roster.issues) >= 8
    for name in ("植込", "ＳＥＣＲＥＴ", "うえこみ", "UEKOMI", "名?"):
        assert name not in said
    with pytest.raises(RosterError) as caught:
        require_ok(roster)
    assert "植込" not in f"{caught.value!r} {caught.value.sentence()}"


@pytest.mark.parametrize(
    ("field", "first", "second", "same"),
    [
        ("staff_number", "000001", "000001", True),
        ("staff_number", "000001", "１", False),
        ("staff_number", "123", "１２３", True),
        ("staff_number", "0123", "123", False),
        ("login_id", "shiken@city-demo", "shiken@city-demo", True),
        ("login_id", "shiken@city-demo", "SHIKEN@City-demo", True),
        ("login_id", "shiken@city-demo", "shiken@city-demo2", False),
    ],
)
def test_duplicates(make: Make, field: str, first: str, second: str, same: bool) -> None:
    roster = make({field: first}, {}, {field: second}, {field: first})
    found = [issue for issue in roster.issues if "重複" in issue.problem]
    assert [(i.row, i.column, i.severity) for i in found] == [
        (row, TITLES[field], ERROR) for row in ((4, 5) if same else (5,))
    ]
    assert all("2 行目と同じ" in issue.problem for issue in found)


def test_a_shared_phone(make: Make) -> None:
    roster = make({"phone": "090-0000-9999"}, {"phone": "09000009999"}, {"phone": ""}, {"phone": ""})
    assert [(i.row, i.column, i.severity) for i in roster.issues] == [(3, "携帯電話", WARNING)]


def chain(*targets: Any) -> list[dict[str, str]]:
    return [{"deputy_for": "" if target is None else str(target)} for target in targets]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (chain(None, "000001", "000002"), []),
        (chain(None, "０００００１", "shiken2@CITY-DEMO"), []),
        (chain("nobody", None), [(2, "誰も指していません")]),
        (chain("000001"), [(2, "自分自身")]),
        (chain("000002", "000001"), [(2, "輪になっています（2、3 行目）")]),
        (chain("000002", "000003", "000002", "000002"), [(3, "輪になっています（3、4 行目）")]),
        (chain("000002", "000001", "000004", "000003"), [(2, "2、3 行目"), (4, "4、5 行目")]),
        (chain("試験 春郎", None), [(2, "同じ氏名が複数")]),
    ],
)
def test_deputies(make: Make, rows: list[dict[str, str]], found: list[tuple[int, str]]) -> None:
    roster = make(*rows)
    assert [(i.row, i.column, i.severity) for i in roster.issues] == [
        (row, "代理対象", WARNING) for row, _ in found
    ]
    assert all(said in issue.problem for issue, (_, said) in zip(roster.issues, found, strict=True))


def test_a_deputy_may_be_named_when_only_one_has_that_name(make: Make) -> None:
    assert make({"first_name": "夏子"}, {"deputy_for": "試験夏子"}, {"deputy_for": "試験　夏子"}).issues == ()


def test_a_rank_without_anybody_to_stand_in_for(make: Make) -> None:
    roster = make({"deputy_order": "1"})
    assert [(i.row, i.column, i.severity, i.problem) for i in roster.issues] == [
        (2, "代理対象", WARNING, DEPUTY)
    ]


def test_the_mark_of_our_csv_before_a_phone_goes_without_a_word(make: Make) -> None:
    roster = make({"phone": "'090-0000-0001"})
    assert (roster.people[0].phone, roster.issues) == ("090-0000-0001", ())


def test_two_deputies_of_one_rank(make: Make) -> None:
    same = {"deputy_for": "000001", "deputy_order": "1"}
    roster = make({}, same, {**same, "deputy_order": "2"}, {**same, "deputy_order": "１"})
    assert [(i.row, i.column) for i in roster.issues] == [(5, "代理順位")]
    assert [person.deputy_order for person in roster.people] == [None, 1, 2, 1]


def test_a_long_circle_and_a_long_chain_are_followed(make: Make) -> None:
    rows = chain(*(f"{number:06d}" for number in range(2, 3001)), None)
    assert make(*rows).issues == ()
    rows[-1] = {"deputy_for": "000001"}
    issues = make(*rows).issues
    assert len(issues) == 1
    assert issues[0].problem.count("、") < 20


def test_heads_of_wards(make: Make) -> None:
    head = {"hq_role": "区本部長"}
    roster = make(
        {**head, "ward": "北区"},
        {**head, "ward": "西区"},
        {"ward": "港区"},
        {**head, "ward": " 西区"},
        {"ward": "港区"},
        head,
    )
    assert [(i.row, i.column, i.severity, i.problem[:4]) for i in roster.issues] == [
        (4, "本部役割", WARNING, "港区に区"),
        (5, "本部役割", WARNING, "西区の区"),
        (7, "区", WARNING, "区本部長"),
    ]
