"""Files as a personnel section really sends them: what Excel did to them, and whether a clerk is told."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.errors import RosterError
from bousai_kit.roster import Roster, read_roster
from bousai_kit.roster.columns import ROSTER, key
from tests.roster.conftest import good

Make = Callable[..., Roster]
Sheet = Any
TITLES = [column.title for column in ROSTER]
FIELDS = [column.field for column in ROSTER]


def book(tmp_path: Path, fill: Callable[[Any, Any], None]) -> Path:
    """A workbook that a test fills itself."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as made:
        fill(made, made.add_worksheet("名簿"))
    path = tmp_path / "名簿.xlsx"
    path.write_bytes(buffer.getvalue())
    return path


def rows(sheet: Sheet, *changes: dict[str, Any], at: int = 0) -> None:
    """The usual header and good rows, numbers as numbers."""
    sheet.write_row(at, 0, TITLES)
    for number, change in enumerate(changes, 1):
        row = {**good(number), **change}
        for place, name in enumerate(FIELDS):
            value = row.get(name, "")
            if isinstance(value, str):
                sheet.write_string(at + number, place, value)
            else:
                sheet.write_number(at + number, place, value)


def said(roster: Roster, title: str) -> list[tuple[int, str, str]]:
    return [(i.row, i.severity, i.problem) for i in roster.issues if i.column == title]


# -- zeros that Excel took away ---------------------------------------------------------------------


def test_a_number_among_texts_lost_its_zeros(tmp_path: Path) -> None:
    path = book(tmp_path, lambda _, sheet: rows(sheet, {}, {"staff_number": 123}, {}))
    roster = read_roster(path)
    assert [person.staff_number for person in roster.people] == ["000001", "123", "000003"]
    [(row, severity, problem)] = said(roster, "職員番号")
    assert (row, severity) == (3, "warning")
    assert "6 桁" in problem
    assert "000123" in problem


def test_all_stored_as_numbers_and_nearly_all_of_one_width(make: Make) -> None:
    numbers = ["123456", "234567", "345678", "456789", "1234"]
    assert [row for row, _, _ in said(make(*({"staff_number": n} for n in numbers)), "職員番号")] == [6]


@pytest.mark.parametrize(
    "numbers",
    [
        ["1", "22", "333", "4444", "55555"],  # numbers that simply count
        ["123456", "1234"],  # too few to know
        ["A1", "B22", "000001"],
        ["0012", "000012"],  # two widths with zeros: nobody knows
        ["0012", "123456"],  # longer ones than those with zeros
    ],
)
def test_no_guess_where_nobody_knows_the_width(make: Make, numbers: list[str]) -> None:
    assert said(make(*({"staff_number": number} for number in numbers)), "職員番号") == []


@pytest.mark.parametrize(
    ("phone", "told"),
    [
        (9000001234, True),
        ("90-0000-1234", True),
        (612345678, True),
        ("090-0000-1234", False),
        ("+81-90-0000-1234", False),
        ("0612345678", False),
        ("119", False),
        ("1234", False),
    ],
)
def test_a_phone_without_its_zero(tmp_path: Path, phone: str | int, told: bool) -> None:
    roster = read_roster(book(tmp_path, lambda _, sheet: rows(sheet, {"phone": phone})))
    assert [severity for _, severity, problem in said(roster, "携帯電話") if "先頭の 0" in problem] == (
        ["warning"] if told else []
    )
    assert roster.people[0].phone == str(phone)


def test_a_unit_code_without_its_zeros_names_the_one_that_is_meant(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "units.csv"
    path.write_text("組織コード,組織名\n0012,甲課\n", "utf-8")
    roster = make({"orgunit_code": "12"}, {"orgunit_code": "0012"}, {"orgunit_code": "13"}, orgunits=path)
    assert [(row, "「0012」" in problem) for row, _, problem in said(roster, "所属コード")] == [
        (2, True),
        (4, False),
    ]


# -- sheets -----------------------------------------------------------------------------------------


def test_hidden_rows_are_people_too_and_that_is_said(tmp_path: Path) -> None:
    def fill(made: Any, sheet: Sheet) -> None:
        rows(sheet, *[{}] * 30)
        for row in range(2, 30):
            sheet.set_row(row, None, None, {"hidden": True})
        sheet.set_row(40, None, None, {"hidden": True})  # blank
        sheet.set_column(3, 4, None, None, {"hidden": True})  # a column is no row

    roster = read_roster(book(tmp_path, fill))
    assert len(roster.people) == 30
    [issue] = roster.issues
    assert (issue.row, issue.column, issue.severity) == (3, "", "warning")
    assert "28 行" in issue.problem
    assert "3、4、5" in issue.problem
    assert "…" in issue.problem


def test_a_second_sheet_with_people_is_named(tmp_path: Path) -> None:
    def fill(made: Any, sheet: Sheet) -> None:
        sheet.write_string(0, 0, "職員名簿")
        rows(made.add_worksheet("市長部局"), {})
        rows(made.add_worksheet("消防局"), {"staff_number": "900002"}, at=3)
        made.add_worksheet("凡例").write_row(0, 0, ["記号", "意味"])
        hidden = made.add_worksheet("旧名簿")
        rows(hidden, {})
        hidden.hide()

    roster = read_roster(book(tmp_path, fill))
    assert len(roster.people) == 1
    [(row, severity, problem)] = said(roster, "")
    assert (row, severity) == (1, "warning")
    assert "「市長部局」だけ" in problem
    assert "（「消防局」）" in problem


def test_merged_cells_count_for_every_row_below(tmp_path: Path) -> None:
    def fill(made: Any, sheet: Sheet) -> None:
        rows(sheet, {}, {}, {}, {"orgunit_name": "乙課", "orgunit_code": "B"})
        for name, value in (("orgunit_code", "A00"), ("orgunit_name", "市長室")):
            sheet.merge_range(1, FIELDS.index(name), 3, FIELDS.index(name), value)

    roster = read_roster(book(tmp_path, fill))
    assert [person.orgunit_name for person in roster.people] == ["市長室"] * 3 + ["乙課"]
    assert roster.issues == ()


def test_a_name_merged_over_two_columns_is_an_error_of_the_second(tmp_path: Path) -> None:
    def fill(made: Any, sheet: Sheet) -> None:
        rows(sheet, {})
        sheet.merge_range(1, 1, 1, 2, "試験 春郎", made.add_format({"bold": True}))

    assert [(row, severity) for row, severity, _ in said(read_roster(book(tmp_path, fill)), "名")] == [
        (2, "error")
    ]


def test_a_formula_of_a_blank_cell_gives_a_zero(tmp_path: Path) -> None:
    """Its stored value is 0: nothing in the file tells it from a typed one, but in a name it is odd."""

    def fill(made: Any, sheet: Sheet) -> None:
        rows(sheet, {})
        for name in ("first_name", "position", "ward"):
            sheet.write_formula(1, FIELDS.index(name), "=VLOOKUP(A2,X:Y,2)", None, 0)

    roster = read_roster(book(tmp_path, fill))
    for title in ("名", "役職", "区"):
        [(row, severity, problem), *_] = said(roster, title)
        assert (row, severity) == (2, "warning")
        assert "「0」" in problem
    assert roster.ok


@pytest.mark.parametrize("name", ["氏名", "氏 名", "名前", "FULL NAME"])
def test_a_name_in_one_column_is_to_be_divided(tmp_path: Path, name: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"職員番号,{name},ログインID,所属コード\n1,試験 春郎,shiken@city-demo,A\n", "utf-8")
    with pytest.raises(RosterError) as caught:
        read_roster(path)
    assert [issue.column for issue in caught.value.issues] == ["姓", "名"]
    assert all(f"「{name}」の列を「姓」と「名」の 2 列に分けて" in i.problem for i in caught.value.issues)


def test_a_header_of_two_lines_says_so(tmp_path: Path) -> None:
    def fill(made: Any, sheet: Sheet) -> None:
        sheet.write_row(0, 0, ["職員番号", "氏名", "", "ログインID", "所属コード"])
        sheet.write_row(1, 1, ["姓", "名"])
        sheet.merge_range(0, 1, 0, 2, "氏名")
        sheet.write_row(2, 0, ["000001", "試験", "春郎", "shiken@city-demo", "A00"])

    with pytest.raises(RosterError) as caught:
        read_roster(book(tmp_path, fill))
    assert all("2 段" in issue.problem for issue in caught.value.issues)


@pytest.mark.parametrize(
    "header",
    [
        "職員番号,姓,名,姓（カナ）,名（カナ）,ログインＩＤ,所属ｺｰﾄﾞ,端末ＯＳ,携帯電話番号",
        "職員No.,氏,名（漢字）,ﾌﾘｶﾞﾅ(姓),ﾌﾘｶﾞﾅ(名),ﾛｸﾞｲﾝID,組織コード,端末 OS,携帯",
        "Employee Number,Family Name,Given Name,Last Kana,First Kana,LOGIN ID,Org Unit Code,Device,Mobile",
        "【必須】職員番号,姓*,名※,姓（ふりがな）,名（ふりがな）,ログインID（必須）,部署コード,ＯＳ,携帯番号",
    ],
)
def test_headers_as_people_write_them(tmp_path: Path, header: str) -> None:
    path = tmp_path / "r.csv"
    row = "000001,試験,春郎,シケン,ハルロウ,shiken@city-demo,A00,iOS,090-0000-0000"
    path.write_bytes(f"{header}\r\n{row}\r\n".encode("cp932"))
    roster = read_roster(path)
    assert roster.issues == ()
    person = roster.people[0]
    assert (person.last_kana, person.first_kana, person.phone) == ("シケン", "ハルロウ", "090-0000-0000")


# -- letters ----------------------------------------------------------------------------------------


def test_names_are_kept_and_matched(make: Make) -> None:
    typed = ["髙﨑", "\ufa19田", "神田", "𠮷野", "葛\U000e0100城", "か\u3099", "が"]
    roster = make(*({"last_name": name} for name in typed))
    assert [person.last_name for person in roster.people] == typed
    assert key(typed[1]) == key(typed[2])
    assert key(typed[5]) == key(typed[6])
    assert [(i.row, i.column, i.severity) for i in roster.issues] == [(7, "姓", "warning")]
    assert "濁点" in roster.issues[0].problem


def test_kana_from_a_mac_become_one_letter_each(make: Make) -> None:
    apart = unicodedata.normalize("NFD", "ガパヴ")
    roster = make({"last_kana": apart})
    assert roster.people[0].last_kana == "ガパヴ"
    assert [(row, severity) for row, severity, _ in said(roster, "姓カナ")] == [(2, "warning")]


@pytest.mark.parametrize(
    "field", ["staff_number", "orgunit_code", "ward", "bureau", "hq_role", "orgunit_name"]
)
def test_letters_that_nobody_sees(make: Make, field: str) -> None:
    title = TITLES[FIELDS.index(field)]
    found = said(make({field: "A1\u200b"}), title)
    assert [(row, severity) for row, severity, problem in found if "目に見えない文字" in problem] == [
        (2, "warning")
    ]


@pytest.mark.parametrize(
    ("address", "severity", "kept"),
    [
        ("taro@example.jp", "", ""),
        ("t.a+r_o@mail.example.co.jp", "", ""),
        ("ｔａｒｏ@example.jp", "warning", "taro@example.jp"),
        ("taro＠example.jp", "warning", "taro@example.jp"),
        ("太郎@example.jp", "error", ""),
        ("taro@example", "error", ""),
        ("taro@example..jp", "error", ""),
        ("taro@-example.jp", "error", ""),
        ("taro@example.jp.", "error", ""),
        ("ta ro@example.jp", "error", ""),
        ("taro@example.jp;hana@example.jp", "error", ""),
        ("a" * 64 + "@example.jp", "", ""),
        ("a" * 65 + "@example.jp", "error", ""),
        ("ab@" + "c" * 250 + ".jp", "", ""),  # 253 behind the @, 256 in all
        ("ab@" + "c" * 251 + ".jp", "error", ""),
        ("abc@" + "c" * 249 + ".jp", "", ""),
        ("abc@" + "c" * 250 + ".jp", "error", ""),  # 253 behind the @, 257 in all
    ],
)
def test_private_addresses(make: Make, address: str, severity: str, kept: str) -> None:
    roster = make({"private_email": address})
    assert [found for _, found, _ in said(roster, "私用メール")] == ([severity] if severity else [])
    assert roster.people[0].private_email == (kept or address)


@pytest.mark.parametrize(
    ("field", "fine", "beyond"),
    [
        ("staff_number", "1" * 20, "1" * 21),
        ("last_name", "試" * 78, "試" * 79),  # 80 with the first name
        ("last_kana", "ア" * 100, "ア" * 101),
        ("first_kana", "ア" * 100, "ア" * 101),
        ("login_id", "a" * 40 + "@city-demo", "a" * 41 + "@city-demo"),
        ("login_id", "ab@" + "c" * 87, "ab@" + "c" * 88),
        ("login_id", "ab@c", "a@c"),
        ("orgunit_code", "K" * 100, "K" * 101),
        ("orgunit_name", "名" * 100, "名" * 101),
        ("position", "長" * 100, "長" * 101),
        ("level", "級" * 100, "級" * 101),
        ("phone", "0" * 100, "0" * 101),
    ],
)
def test_at_the_limit_and_one_beyond(make: Make, field: str, fine: str, beyond: str) -> None:
    title = TITLES[FIELDS.index(field)]
    assert said(make({field: fine}), title) == []
    assert [severity for _, severity, _ in said(make({field: beyond}), title)] == ["error"]


def test_a_phone_written_abroad_and_at_home_is_one_phone(make: Make) -> None:
    roster = make({"phone": "+81-90-0000-0001"}, {"phone": "090-0000-0001"}, {"phone": "+81 (0)90-0000-0001"})
    shared = [row for row, _, problem in said(roster, "携帯電話") if "同じ電話番号" in problem]
    assert shared == [3, 4]


def test_what_cannot_be_created_is_an_error_and_all_else_a_warning(make: Make) -> None:
    """The list of the interface, one row each."""
    errors = ("必須", "重複", "受け付け", "文字まで", "使えない")
    roster = make(
        {"last_name": ""},
        {"staff_number": "000001"},
        {"login_id": "shiken1@city-demo"},
        {"last_kana": "しけん"},
        {"device_os": ""},
        {"phone": "090-0000-0001"},
        {"ward": "北区"},
        {"ward": "西区", "hq_role": "区本部長"},
        {"ward": "西区", "hq_role": "区本部長"},
        {"deputy_for": "nobody"},
        {"deputy_for": "000011"},
        {"note": "=1+1"},
    )
    found = {issue.row: issue.severity for issue in roster.issues}
    assert found == {
        **dict.fromkeys((2, 3, 4, 5), "error"),
        **dict.fromkeys((6, 7, 8, 10, 11, 12, 13), "warning"),
    }
    assert all(
        any(word in issue.problem for word in errors) for issue in roster.issues if issue.severity == "error"
    )


# -- whatever is typed ------------------------------------------------------------------------------

TYPED = st.text(
    st.one_of(
        st.sampled_from(
            "試髙﨑𠮷\ufa19がガｶﾞAaＡ0０１-_.@＠/\\%#?'\"=+ \u3000\u200b\u3099\U000e0100\ue000\n\t,;☆"
        ),
        st.characters(
            exclude_categories=["Cs"], exclude_characters="\x00\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
        ),
    ),
    max_size=12,
)
MENDED = ("last_kana", "first_kana", "phone", "private_email", "device_os", "deputy_order")


@given(data=st.data(), workbook=st.booleans(), order=st.permutations(range(len(ROSTER))))
@settings(max_examples=120, deadline=None)
def test_whatever_is_typed_is_kept_or_reported(
    data: st.DataObject, workbook: bool, order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    fields = data.draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=4, unique=True))
    typed = {name: data.draw(TYPED, label=name) for name in fields}
    row = {**good(1), **typed}
    header = [TITLES[n] for n in order]
    cells = [row.get(FIELDS[n], "") for n in order]
    path = tmp_path_factory.mktemp("typed") / "r.xlsx"
    if workbook:
        from bousai_kit.tables import write_xlsx

        write_xlsx(path, {"名簿": (header, [cells])})
    else:
        from bousai_kit.tables import write_csv

        write_csv(path, header, [cells])
    roster = read_roster(path)
    [person] = roster.people
    reported = {issue.column for issue in roster.issues if issue.row == 2}
    for name, value in typed.items():
        kept = getattr(person, name)
        as_typed = kept == value.strip() if name != "deputy_order" else str(kept or "") == value.strip()
        assert (
            as_typed
            or TITLES[FIELDS.index(name)] in reported
            or (name == "device_os" and key(value).casefold() == kept.casefold())
        ), (name, value, kept)
        if not as_typed:
            assert name in MENDED
    for name in ("staff_number", "last_name", "first_name", "login_id", "orgunit_code"):
        if not getattr(person, name):
            assert TITLES[FIELDS.index(name)] in reported
    assert all(issue.problem.endswith("。") and len(issue.problem) < 300 for issue in roster.issues)


def test_a_sheet_of_another_program_with_rows_that_say_nothing(tmp_path: Path) -> None:
    """Attributes in any order and quotes, prefixes, cells that do not say where they are."""
    path = book(tmp_path, lambda _, sheet: rows(sheet, {}, {}))
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    name = "xl/worksheets/sheet1.xml"
    parts[name] = parts[name].replace(b'<row r="3"', b"<row hidden='true' r='3'")
    with zipfile.ZipFile(path, "w") as new:
        for part, content in parts.items():
            new.writestr(part, content)
    [issue] = read_roster(path).issues
    assert (issue.row, "非表示" in issue.problem) == (3, True)
