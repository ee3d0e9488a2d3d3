"""Files as people make them: headers in any language and order, unknown columns, spreadsheets, encodings."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.errors import InputError, RosterError
from bousai_kit.roster import Person, Roster, RosterUnit, read_roster, roster_rows
from bousai_kit.roster.columns import REJECTED, ROSTER, UNITS, header_key, match
from bousai_kit.tables import csv_bytes, write_csv, write_xlsx

Make = Callable[..., Roster]
HEADER = "職員番号,姓,名,ログインID,所属コード"
ROW = "0012,試験,春郎,shiken@city-demo,A00"


def read(tmp_path: Path, data: bytes | str, **options: Any) -> Roster:
    path = tmp_path / "r.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_roster(path, **options)


# -- headers ----------------------------------------------------------------------------------------


def disguises(title: str) -> st.SearchStrategy[str]:
    wide = str.maketrans({chr(c): chr(c + 0xFEE0) for c in range(0x21, 0x7F)})
    return st.sampled_from(
        [
            title,
            title.upper(),
            title.translate(wide),
            f" {title}\u3000",
            f"{title}*",
            f"{title}（必須）",
            title.replace("_", " "),
            "\n".join((title[:1], title[1:])),
        ]
    )


@given(
    order=st.permutations(range(len(ROSTER))),
    data=st.data(),
)
@settings(max_examples=50, deadline=None)
def test_headers_in_either_language_any_order_any_width(order: list[int], data: st.DataObject) -> None:
    header = []
    for number in order:
        column = ROSTER[number]
        header.append(
            data.draw(disguises(data.draw(st.sampled_from([column.title, column.field, *column.others]))))
        )
    found = match(header, ROSTER)
    assert found.index == {ROSTER[number].field: place for place, number in enumerate(order)}
    assert (found.missing, found.twice, found.unknown) == ((), (), ())


def test_no_two_columns_share_a_name() -> None:
    for columns in (ROSTER, UNITS):
        keys = [key for c in columns for key in {header_key(n) for n in (c.title, c.field, *c.others)}]
        assert len(keys) == len(set(keys))


def test_the_order_of_columns_changes_nothing(tmp_path: Path, make: Make) -> None:
    first = make(
        {"deputy_order": "2", "deputy_for": "000002", "note": "x"},
        {"ward": "北区", "hq_role": "区本部長", "level": "部長級"},
    )
    header, rows = roster_rows(first)
    order = list(range(len(header)))
    random.Random(1).shuffle(order)
    path = tmp_path / "shuffled.csv"
    write_csv(path, [ROSTER[n].field for n in order], [[row[n] for n in order] for row in rows])
    again = read_roster(path)
    assert again.people == first.people
    assert again.units == first.units


def test_a_columns_own_name_goes_before_one_that_means_the_same(tmp_path: Path) -> None:
    roster = read(tmp_path, f"所属,{HEADER},所属名\n甲,{ROW},乙\n")
    assert roster.people[0].orgunit_name == "乙"
    assert roster.people[0].extra == {"所属": "甲"}


def test_unknown_columns_are_kept_and_reported(tmp_path: Path) -> None:
    roster = read(tmp_path, f"{HEADER},血液型,血液型,,\n{ROW},A,B,C,\n")
    assert dict(roster.people[0].extra) == {"血液型": "A", "血液型 (2)": "B", "（見出しなし 8 列目）": "C"}
    mine = [issue for issue in roster.issues if issue.column in roster.people[0].extra]
    assert [(i.row, i.severity) for i in mine] == [(1, "warning")] * 3
    header, rows = roster_rows(roster)
    path = tmp_path / "again.csv"
    write_csv(path, header, rows)
    assert read_roster(path).people == roster.people


def test_the_column_of_rejected_rows_is_known_and_says_what_to_do(tmp_path: Path) -> None:
    issues = read(tmp_path, f"{HEADER},{REJECTED}\n{ROW},理由\n").issues
    (issue,) = [one for one in issues if one.column == REJECTED]
    assert issue.severity == "warning"
    assert "行を直してください" in issue.problem
    assert "使われません" not in issue.problem


@pytest.mark.parametrize("gone", range(5))
def test_a_missing_required_column_is_named(tmp_path: Path, gone: int) -> None:
    header, row = HEADER.split(","), ROW.split(",")
    name = header.pop(gone)
    row.pop(gone)
    with pytest.raises(RosterError, match=f"必須の列がありません: 「{name}」") as caught:
        read(tmp_path, ",".join(header) + "\n" + ",".join(row) + "\n")
    assert [(i.row, i.column, i.severity) for i in caught.value.issues] == [(1, name, "error")]


def test_a_column_there_twice_is_no_choice_of_ours(tmp_path: Path) -> None:
    with pytest.raises(RosterError, match="同じ列が 2 つ") as caught:
        read(tmp_path, f"{HEADER},last_name\n{ROW},見本\n")
    assert [(i.row, i.column) for i in caught.value.issues] == [(1, "last_name")]
    assert "2 列目と 6 列目" in caught.value.issues[0].problem


def test_no_row_at_all(tmp_path: Path) -> None:
    for text in (HEADER, f"{HEADER}\n", f"{HEADER}\r\n,,,,\r\n \n"):
        with pytest.raises(RosterError, match="1 人も"):
            read(tmp_path, text)


def test_too_many_cells_are_named_and_what_slipped_is_an_error(tmp_path: Path) -> None:
    roster = read(
        tmp_path,
        f"{HEADER}\n{ROW}\n0013,試験,夏子,natsu@city-demo,A00,x,y\n0014,試,験,春,haru@city-demo,A00\n",
    )
    found = [(i.row, i.column, i.severity) for i in roster.issues if i.row]
    assert (
        found
        == [(3, "", "warning"), (4, "", "warning"), (4, "ログインID", "error"), (4, "所属コード", "warning")][
            :3
        ]
    )


def test_titles_above_the_header_move_the_rows(tmp_path: Path) -> None:
    roster = read(tmp_path, f"令和 8 年度 防災名簿\n\n{HEADER}\n{ROW}\n")
    assert roster.people[0].row == 4
    assert roster.header == tuple(HEADER.split(","))


def test_columns_that_are_not_there_are_not_asked_for_row_by_row(tmp_path: Path) -> None:
    roster = read(tmp_path, f"{HEADER}\n{ROW}\n0013,見本,夏子,mihon@city-demo,A00\n")
    assert [(i.row, i.column, i.severity) for i in roster.issues] == [(0, "端末OS", "warning")]
    assert roster.people[0].device_os == ""


# -- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    data = f"{HEADER}\r\n0012,髙﨑,試験,shiken@city-demo,A00\r\n".encode(encoding)
    roster = read(tmp_path, data)
    assert roster.people[0].name == "髙﨑 試験"
    assert roster.sha256 == hashlib.sha256(data).hexdigest()
    assert roster.source == tmp_path / "r.csv"


@pytest.mark.parametrize("encoding", ["utf-16", "euc_jp", "iso2022_jp"])
def test_a_wrong_encoding_is_a_roster_error(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(RosterError, match="名簿の文字コードは") as caught:
        read(tmp_path, f"{HEADER}\n{ROW}\n".encode(encoding))
    assert caught.value.exit_code == 2


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RosterError, match="見つかりません"):
        read_roster(tmp_path / "none.csv")


def test_an_xlsx_reads_like_the_csv(tmp_path: Path, make: Make) -> None:
    first = make({}, {"note": "=1+1", "phone": "+81-90-0000-0000"}, {"last_name": "𠮷"})
    header, rows = roster_rows(first)
    path = tmp_path / "名簿.xlsx"
    write_xlsx(path, {"説明": (("この名簿について",), []), "名簿": (header, rows)})
    again = read_roster(path)
    assert again.people == first.people
    assert [i.problem for i in again.issues] == [i.problem for i in first.issues]


def test_marks_against_formulas_that_a_spreadsheet_kept_are_taken_away(tmp_path: Path) -> None:
    """Our CSV opened in Excel and saved as a workbook."""
    path, header = tmp_path / "r.xlsx", [*HEADER.split(","), "携帯電話"]
    write_xlsx(path, {"名簿": (header, [[*ROW.split(","), "'+81-90-0000-0000"]])})
    assert read_roster(path).people[0].phone == "+81-90-0000-0000"


def test_numbers_and_dates_in_columns_of_ids(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADER.split(","))
        values = [("0012", None), (123.0, None), (12, book.add_format({"num_format": "000000"}))]
        for row, (value, form) in enumerate(values, 1):
            sheet.write_row(row, 1, ["試験", "春郎", f"shiken{row}@city-demo", "A00"])
            sheet.write_string(row, 0, value) if isinstance(value, str) else sheet.write_number(
                row, 0, value, form
            )
        sheet.write_row(4, 1, ["試験", "春郎", "shiken9@city-demo", "A00"])
        sheet.write_number(4, 0, 46404, book.add_format({"num_format": "m-d"}))
    roster = read(tmp_path, buffer.getvalue())
    assert [person.staff_number for person in roster.people] == ["0012", "123", "000012", "2027-01-17"]
    assert [(i.row, i.column) for i in roster.issues if "日付" in i.problem] == [(5, "職員番号")]


def test_a_formula_without_a_stored_value(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        sheet = book.add_worksheet("名簿")
        sheet.write_row(0, 0, [*HEADER.split(","), "役職", "血液型"])
        for row in (1, 2, 3):
            sheet.write_row(row, 0, [f"00{row}", "試験", "春郎", f"shiken{row}@city-demo", "A00", "課長"])
        sheet.write_formula(1, 1, '="試"&"験"', None, "試験")
        sheet.write_formula(2, 3, '=A3&"@city-demo"', None, "")
        sheet.write_formula(3, 5, "=VLOOKUP(A4,X:Y,2)", None, "")
        sheet.write_formula(1, 6, "=NA()", None, "#N/A")
    roster = read(tmp_path, buffer.getvalue())
    found = [(i.row, i.column, i.severity) for i in roster.issues if "数式の計算結果" in i.problem]
    assert found == [(2, "血液型", "warning"), (3, "ログインID", "error"), (4, "役職", "warning")]
    assert len([issue for issue in roster.issues if issue.severity == "error"]) == 1
    assert not roster.ok


NAMES = st.text(st.sampled_from("試験見本髙﨑𠮷架空\ufa19ーAz "), min_size=1, max_size=6).filter(str.strip)
PEOPLE = st.lists(
    st.builds(
        Person,
        row=st.just(0),
        staff_number=st.text(st.sampled_from("0123456789"), min_size=1, max_size=20),
        last_name=NAMES,
        first_name=NAMES,
        last_kana=st.text(st.sampled_from("アイウヴャッー・"), max_size=4),
        login_id=st.from_regex(r"[a-z]{2,8}@city-demo", fullmatch=True),
        orgunit_code=st.text(st.sampled_from("AB12-"), min_size=1, max_size=4),
        level=st.sampled_from(["", "", "部長級", "７級"]),
        deputy_order=st.none() | st.integers(1, 9),
        device_os=st.sampled_from(["iOS", "Android", "なし", ""]),
        phone=st.just("") | st.from_regex(r"\+81-[0-9]{1,4}", fullmatch=True),
        note=st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(str.strip),
        extra=st.fixed_dictionaries({"血液型": st.sampled_from(["A", "", "=O"])}),
    ),
    min_size=1,
    max_size=6,
)


@given(people=PEOPLE, workbook=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_roster_written_again_is_the_same_roster(
    people: list[Person], workbook: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("again") / "r.csv"
    header, rows = roster_rows(Roster(people=tuple(people)))
    if workbook and all(c.isprintable() for row in rows for cell in row for c in cell):
        write_xlsx(path, {"名簿": (header, rows)})
    else:
        path.write_bytes(csv_bytes(header, rows))
    again = read_roster(path)
    stripped = [[cell.strip() for cell in row] for row in rows]
    assert [list(row) for row in roster_rows(again)[1]] == stripped
    assert [person.row for person in again.people] == list(range(2, len(people) + 2))


@given(data=st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_whatever_stands_below_a_header_is_a_roster_or_a_sentence(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "r.csv"
    path.write_bytes(HEADER.encode("cp932") + b"\r\n" + data)
    try:
        roster = read_roster(path)
    except InputError as error:
        refused: InputError | None = error
    else:
        refused = None
        assert len(roster.people) >= 1
    assert refused is None or (isinstance(refused, RosterError) and refused.hint)


# -- units ------------------------------------------------------------------------------------------

UNIT_HEADER = "組織コード,組織名,上位組織コード,表示順,区,局"


def units(tmp_path: Path, *lines: str, header: str = UNIT_HEADER) -> Path:
    path = tmp_path / "units.csv"
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return path


def test_without_a_file_the_units_are_those_of_the_rows(make: Make) -> None:
    roster = make(
        {"orgunit_code": "B", "orgunit_name": "", "bureau": "乙局"},
        {"orgunit_code": "A", "orgunit_name": "甲課", "ward": "北区"},
        {"orgunit_code": "B", "orgunit_name": "乙課"},
        {"orgunit_code": "C", "orgunit_name": ""},
        {"orgunit_code": "B", "orgunit_name": "丙課"},
        {"orgunit_code": "A", "orgunit_name": "甲課 "},
    )
    assert roster.units == (
        RosterUnit("B", "乙課", "", 1, "", "乙局"),
        RosterUnit("A", "甲課", "", 2, "北区", ""),
        RosterUnit("C", "C", "", 3, "", ""),
    )
    assert [(i.row, i.column) for i in roster.issues if i.column == "所属名"] == [(6, "所属名")]


def test_units_that_only_look_different_are_named(make: Make) -> None:
    roster = make(
        {"orgunit_code": "A1", "orgunit_name": "甲課"},
        {"orgunit_code": "Ａ1", "orgunit_name": "甲課"},
        {"orgunit_code": "a1", "orgunit_name": "甲課"},
        {"orgunit_code": "001", "orgunit_name": "乙課"},
        {"orgunit_code": "1", "orgunit_name": "乙課"},
        {"orgunit_code": "2", "orgunit_name": "丙\t課"},
        {"orgunit_code": "001", "orgunit_name": "乙課"},
    )
    assert [unit.code for unit in roster.units] == ["A1", "Ａ1", "a1", "001", "1", "2"]
    found = [(i.row, i.column, i.severity) for i in roster.issues]
    assert found == [
        (3, "所属コード", "warning"),
        (4, "所属コード", "warning"),
        (6, "所属名", "warning"),
        (7, "所属名", "error"),
    ]


def test_units_of_a_file_come_parents_first(tmp_path: Path, make: Make) -> None:
    path = units(tmp_path, "A1,甲 総務課,A,3,,甲局", "A,甲局,,2,,甲局", "N,北区役所,,１,北区,")
    roster = make({"orgunit_code": "A1"}, orgunits=path)
    assert roster.units == (
        RosterUnit("A", "甲局", "", 2, "", "甲局", top=True),
        RosterUnit("N", "北区役所", "", 1, "北区", "", top=True),
        RosterUnit("A1", "甲 総務課", "A", 3, "", "甲局"),
    )
    assert roster.issues == ()


def test_english_headers_and_only_what_is_needed(tmp_path: Path, make: Make) -> None:
    path = units(tmp_path, "甲局,A00", header="name,code")
    assert make({}, orgunits=path).units == (RosterUnit("A00", "甲局", "", 1),)


def test_a_code_that_the_file_does_not_know_is_a_warning(tmp_path: Path, make: Make) -> None:
    path = units(tmp_path, "A,甲局,,,,")
    roster = make({"orgunit_code": "X", "orgunit_name": "別課"}, {"orgunit_code": "X"}, orgunits=path)
    assert [unit.code for unit in roster.units] == ["A", "X"]
    assert [(i.row, i.severity) for i in roster.issues if "組織ファイルにない" in i.problem] == [
        (2, "warning")
    ]
    assert roster.ok


@pytest.mark.parametrize(
    ("lines", "row", "severity", "said"),
    [
        (["A,甲局,A"], 2, "error", "輪"),
        (["A,甲局,B", "B,乙局,A"], 2, "error", "輪"),
        (["A,甲局,Z"], 2, "error", "上位組織コードがこのファイルにありません"),
        (["A,甲局", "A,乙局"], 3, "error", "重複"),
        (["A,"], 2, "error", "必須の値が空"),
        ([",甲局"], 2, "error", "必須の値が空"),
        (["A/1,甲局"], 2, "error", "External Key"),
        (["A,甲#局"], 2, "error", "使えない記号"),
        (["A,甲局,,x"], 2, "warning", "表示順"),
        (["A,甲局", "B,甲局"], 3, "warning", "同じ名前"),
        ([f"L{n},組織{n},{f'L{n - 1}' if n else ''}" for n in range(16)], 17, "error", "15 段"),
    ],
)
def test_problems_of_an_organisation_file(
    tmp_path: Path, make: Make, lines: list[str], row: int, severity: str, said: str
) -> None:
    roster = make({"orgunit_code": "A"}, orgunits=units(tmp_path, *lines))
    mine = [issue for issue in roster.issues if issue.problem.startswith("組織ファイル: ")]
    assert [(i.row, i.severity) for i in mine] == [(row, severity)]
    assert said in mine[0].problem
    assert all(unit.code for unit in roster.units)


def test_an_organisation_file_that_is_none(tmp_path: Path, make: Make) -> None:
    with pytest.raises(RosterError, match="組織ファイルに必須の列がありません"):
        make({}, orgunits=units(tmp_path, "x,y", header="a,b"))
    with pytest.raises(RosterError, match="組織ファイルに 1 件も"):
        make({}, orgunits=units(tmp_path))
    with pytest.raises(RosterError, match=r"組織ファイル .* が見つかりません"):
        make({}, orgunits=tmp_path / "none.csv")


def test_two_units_of_a_level_hang_below_different_ones(tmp_path: Path, make: Make) -> None:
    path = units(tmp_path, "A,甲局", "B,乙局", "A1,総務課,A", "B1,総務課,B")
    assert make({"orgunit_code": "A"}, orgunits=path).issues == ()


# -- selecting --------------------------------------------------------------------------------------


def test_selecting(make: Make) -> None:
    roster = make(
        {"hq_role": "区本部長", "ward": "北区"},
        {"hq_role": "連絡員", "ward": "北区", "device_os": "Android"},
        {"hq_role": "本部員", "bureau": "消防局", "position": "局長"},
    )

    def rows(selectors: Any) -> list[int]:
        return [person.row for person in roster.select(selectors)]

    assert rows("all") == rows(["all"]) == [2, 3, 4]
    assert rows([]) == []
    assert rows({"ward": "北区"}) == [2, 3]
    assert rows([{"ward": "北区", "hq_role": "連絡員"}]) == [3]
    assert rows([{"hq_role": ["区本部長", "本部員"]}, {"ward": ["北区"]}]) == [2, 3, 4]
    assert rows([{"login_id": ["SHIKEN3@city-demo"]}]) == [4]
    assert rows([{"device_os": "android"}]) == [3]
    assert rows([{"staff_number": "０００００２"}]) == [3]
    assert rows([{"ward": "無い区"}]) == []
    for wrong in ("everybody", [{}], [{"name": "試験"}], [["ward", "北区"]], [None]):
        with pytest.raises(InputError, match="宛先の指定"):
            roster.select(wrong)
