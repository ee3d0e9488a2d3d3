"""Tables: encodings told apart without guessing, hostile files refused, what we write comes back."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bousai_kit.errors import InputError
from bousai_kit.tables import csv_bytes, decode_text, read_table, table_of, write_csv, write_xlsx

HEADER = "職員番号,姓,名,ログインID,所属コード"
BODY = f"{HEADER}\r\n1,試験,春郎,a1@city-demo,A00\r\n"


ANYTHING = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
PRINTED = st.characters(exclude_categories=["Cc", "Cs", "Cn", "Co"], exclude_characters="_")
HARMFUL = [
    "=1+1",
    "+81-90",
    "-1",
    "@x",
    "'=a",
    "''=a",
    "＝A1",
    "'",
    "''",
    '"',
    "a\nb",
    "a,b",
    "a;b\tc",
    "sep=,",
]
LINE_ENDS = ["\t=", "\r", "a\r\nb", "\n"]


def tables(
    letters: st.SearchStrategy[str] = ANYTHING, harmful: list[str] = HARMFUL + LINE_ENDS
) -> st.SearchStrategy[tuple[list[str], list[list[str]]]]:
    cell = st.text(letters, max_size=8) | st.sampled_from(harmful)
    title = (st.text(letters, min_size=1, max_size=8) | st.sampled_from(harmful)).filter(str.strip)

    def rows(header: list[str]) -> st.SearchStrategy[tuple[list[str], list[list[str]]]]:
        row = st.lists(cell, min_size=len(header), max_size=len(header))
        some = row.map(lambda found: found if any(map(str.strip, found)) else ["x", *found[1:]])
        return st.tuples(st.just(header), st.lists(some, max_size=5))

    return st.lists(title, min_size=1, max_size=5).flatmap(rows)


# -- out and in again -------------------------------------------------------------------------------


@given(table=tables())
@settings(max_examples=150, deadline=None)
def test_what_we_write_comes_back_unchanged(table: tuple[list[str], list[list[str]]]) -> None:
    header, rows = table
    back = table_of(csv_bytes(header, rows))
    assert (back.header, back.rows) == (tuple(header), tuple(map(tuple, rows)))
    assert back.row_numbers == tuple(range(2, len(rows) + 2))
    assert back.encoding == "utf-8-sig"


@given(table=tables())
@settings(max_examples=80, deadline=None)
def test_no_cell_of_our_csv_is_a_formula_to_excel(table: tuple[list[str], list[list[str]]]) -> None:
    header, rows = table
    text = csv_bytes(header, rows).decode("utf-8-sig")
    for record in csv.reader(io.StringIO(text, newline="")):
        for cell in record:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))


@given(table=tables(PRINTED, HARMFUL))
@settings(max_examples=25, deadline=None)
def test_a_workbook_comes_back_unchanged(
    table: tuple[list[str], list[list[str]]], tmp_path_factory: Any
) -> None:
    header, rows = table
    path = tmp_path_factory.mktemp("book") / "b.xlsx"
    write_xlsx(path, {"名簿": (header, rows)})
    back = read_table(path)
    assert (back.header, back.rows, back.encoding) == (tuple(header), tuple(map(tuple, rows)), "xlsx")


def test_numbers_dates_and_nothing_are_written_as_such(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_csv(path, ("a", "b", "c", "d"), [(-5, None, date(2027, 1, 17), float("nan")), ("-5",)])
    assert path.read_bytes().decode("utf-8-sig") == "a,b,c,d\r\n-5,,2027-01-17,\r\n'-5,,,\r\n"
    assert read_table(path).rows == (("-5", "", "2027-01-17", ""), ("-5", "", "", ""))


def test_a_row_wider_than_its_header_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="3 cells"):
        csv_bytes(("a", "b"), [(1, 2, 3)])


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_csv(path, ("a",), [("1",)])

    def broken() -> Any:
        yield ("2",)
        raise RuntimeError("the list ends here")

    with pytest.raises(RuntimeError):
        write_csv(path, ("a",), broken())
    assert read_table(path).rows == (("1",),)
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.csv"]


def test_a_workbook_keeps_numbers_and_has_no_cell_for_nothing(tmp_path: Path) -> None:
    write_xlsx(
        tmp_path / "n.xlsx", {"表": (("a", "b", "c"), [(1.5, float("nan"), None), (float("inf"), True, -2)])}
    )
    assert read_table(tmp_path / "n.xlsx").rows == (("1.5", "", ""), ("", "True", "-2"))
    xml = parts((tmp_path / "n.xlsx").read_bytes())["xl/worksheets/sheet1.xml"]
    assert b"<v>1.5</v>" in xml
    assert b'r="B2"' not in xml


def test_equal_contents_give_equal_workbooks(tmp_path: Path) -> None:
    for name in ("a.xlsx", "b.xlsx"):
        write_xlsx(tmp_path / name, {"表": (("見出し",), [(1.5,), (datetime(2027, 1, 17, tzinfo=UTC),)])})
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_a_workbook_takes_long_texts_and_odd_sheet_names(tmp_path: Path) -> None:
    path = tmp_path / "long.xlsx"
    write_xlsx(
        path,
        {"a/b?" * 20: (("x",), [("長" * 40_000,)]), "a/b*" * 20: (("x",), [("=1+1",)]), "": (("x",), [])},
    )
    text = read_table(path).rows[0][0]
    assert text.startswith("長" * 30_000)
    assert text.endswith("…（長いため省略）")
    assert b"<f>" not in b"".join(parts(path.read_bytes()).values())


# -- encodings --------------------------------------------------------------------------------------


def in_cp932(letter: str) -> bool:
    try:
        return letter.encode("cp932").decode("cp932") == letter
    except UnicodeError:
        return False


WINDOWS = [c for c in map(chr, range(0x2010, 0xFFE6)) if in_cp932(c) and not 0xE000 <= ord(c) <= 0xF8FF]


@given(st.lists(st.text(st.sampled_from(WINDOWS), min_size=1, max_size=6), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_windows_31j_is_read_as_such_whatever_stands_below_a_japanese_header(names: list[str]) -> None:
    text = HEADER + "\r\n" + "".join(f"1,{name},x,y,z\r\n" for name in names)
    assert decode_text(text.encode("cp932")) == (text, "cp932")


@given(st.text(st.sampled_from(WINDOWS), min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_without_a_japanese_word_around_it_is_read_right_or_refused(name: str) -> None:
    """Never guessed wrong: the text, or a sentence. (Valid UTF-8 is UTF-8, by contract.)"""
    data = f"staff_number,last_name\r\n1,{name}\r\n".encode("cp932")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        assume(False)
    try:
        assert decode_text(data)[0] == data.decode("cp932")
    except InputError as refused:
        said = str(refused)
    else:
        return
    assert "EUC-JP" in said


@given(st.lists(st.text(st.sampled_from(WINDOWS), min_size=1, max_size=6), max_size=5))
@settings(max_examples=100, deadline=None)
def test_euc_is_never_taken_for_anything_else(names: list[str]) -> None:
    text = HEADER + "\n" + "".join(f"1,{name},x,y,z\n" for name in names)
    with pytest.raises(InputError, match=r"EUC-JP|判別できません"):
        decode_text(text.encode("euc_jp", errors="ignore"))


@pytest.mark.parametrize("name", ["髙﨑", "①㈱№", "～―∥－￠￡￢", "ｼｹﾝ", "纊褜鍈", "黑德", "―ソ能表"])
def test_extensions_of_nec_and_ibm_and_the_letters_with_a_backslash(name: str) -> None:
    text = f"{HEADER}\n1,{name},x,y,z\n"
    assert table_of(text.encode("cp932")).rows[0][1] == name
    assert table_of(text.encode("utf-8")).rows[0][1] == name


def test_euc_that_windows_31j_could_read_too_is_named() -> None:
    data = "no,name\n1,ヤマダ\n".encode("euc_jp")
    assert data.decode("cp932")
    with pytest.raises(InputError, match="文字コードは EUC-JP で"):
        table_of(data)
    level_one = "no,愛亜\n".encode("euc_jp")
    assert level_one.decode("cp932")
    with pytest.raises(InputError, match="確実に判別できません"):
        table_of(level_one)
    with pytest.raises(InputError, match="文字コードは EUC-JP で"):
        table_of(level_one, recognise=lambda cells: "愛亜" in cells)


def test_ibm_letters_in_nec_rows_are_the_same_letters() -> None:
    data = HEADER.encode("cp932") + b"\n1,\xee\xe0\xed\x95,x,y,z\n"  # 髙﨑 as NEC selected them
    assert table_of(data).rows[0][1] == "髙﨑"


def test_a_header_decides_where_bytes_fit_both(tmp_path: Path) -> None:
    data = "番号,ﾔﾏ\r\n".encode("cp932").replace("番号".encode("cp932"), b"no") + "1,ｱｲ\r\n".encode("cp932")
    with pytest.raises(InputError, match="確実に判別できません"):
        table_of(data)
    assert table_of(data, recognise=lambda cells: "ﾔﾏ" in cells).header == ("no", "ﾔﾏ")


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("euc_jp", "EUC-JP"),
        ("iso2022_jp", "ISO-2022-JP"),
    ],
)
def test_other_encodings_are_named_and_refused(encoding: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        table_of(BODY.encode(encoding), what="名簿")
    assert str(caught.value).startswith("名簿")
    assert "CSV UTF-8" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a," * 16_385 + b"a\n1\n", "列が多すぎます（16,386 列"),
        (b"", "空です"),
        (b"\xef\xbb\xbf", "空です"),
        (b"\r\n,,\r\n \r\n", "空です"),
        (b"%PDF-1.7\n...", "PDF"),
        (b"\x89PNG\r\n\x1a\n\x00", "画像"),
        (b"a,b\n\x00\x01\x02,c\n", "文字のファイルではありません"),
        (b"<html><table><tr><td>x</td></tr></table></html>", "HTML"),
        (b"PK\x03\x04 but no archive", "壊れて"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "古い Excel"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
            + b"\0" * 600
            + "EncryptedPackage".encode("utf-16-le")
            + b"\0" * 90,
            "パスワード",
        ),
        (HEADER.encode() + b"\n1,\xff\xfe,x,y,z\n", "判別できません.*2 行目"),
        (b"\xef\xbb\xbf" + "姓,名\n試験,".encode() + b"\x83\x41\n", "判別できません.*2 行目"),
        ("姓,名\n試験,".encode("cp932") + b"\xa0\xfd\n", "判別できません"),
        (b'a,b\n1,"never closed\n2,x\n3,y\n', "2 行目.*引用符"),
        (b'a,b\n1,x\n2,"a"b\n', "3 行目.*引用符"),
        (b"a,b\n1," + b"x" * 200_000 + b"\n", "2 行目.*長すぎます"),
    ],
)
def test_what_is_no_table_is_refused_with_a_sentence(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        table_of(data)
    assert caught.value.hint.endswith("。")


@pytest.mark.parametrize("size", [1, 7, 100, 600, 5000])
@given(seed=st.binary(min_size=1, max_size=64))
@settings(max_examples=25, deadline=None)
def test_no_bytes_end_in_anything_but_a_table_or_a_sentence(size: int, seed: bytes) -> None:
    data = (seed * (size // len(seed) + 1))[:size]
    for head in (b"", b"PK\x03\x04", b"\xef\xbb\xbf", "職員番号,姓\n".encode("cp932")):
        with contextlib.suppress(InputError):
            table_of(head + data)


def test_a_missing_file_a_folder_and_a_locked_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="見つかりません"):
        read_table(tmp_path / "none.csv", what="名簿")
    with pytest.raises(InputError, match="フォルダー"):
        read_table(tmp_path, what="名簿")


# -- CSV dialects -----------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_delimiters_line_ends_and_quoted_breaks(delimiter: str, end: str, encoding: str) -> None:
    rows = [("番号", "備考"), ("1", f'二行{end}の "値"{delimiter}です'), ("", ""), ("3", "x")]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=end).writerows(rows)
    table = table_of(out.getvalue().encode(encoding))
    assert table.delimiter == delimiter
    assert table.header == rows[0]
    assert table.rows == (rows[1], rows[3])
    assert table.row_numbers == (2, 4), "a quoted line break is no row of its own; a blank row is one"


def test_a_separator_line_of_excel_is_no_row() -> None:
    table = table_of(b"sep=;\r\na;b,c\r\n1;2\r\n")
    assert (table.header, table.rows, table.row_numbers) == (("a", "b,c"), (("1", "2"),), (2,))


def test_lines_above_a_recognised_header_are_passed_over() -> None:
    text = "令和 8 年度 名簿,,\n,,\n" + BODY
    table = table_of(text.encode(), recognise=lambda cells: "職員番号" in cells)
    assert table.header_row == 3
    assert table.row_numbers == (4,)
    assert table_of(text.encode()).header_row == 1


def test_cells_beyond_the_header_are_kept_and_missing_ones_are_blank() -> None:
    table = table_of(b"a,b,,\n1\n1,2,3\n1,2,3,4,5,,\n")
    assert table.header == ("a", "b", "", "")
    assert table.rows == (("1", "", "", ""), ("1", "2", "3", ""), ("1", "2", "3", "4", "5"))


# -- XLSX -------------------------------------------------------------------------------------------


def book(fill: Callable[[Any], None]) -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as made:
        fill(made)
    return buffer.getvalue()


def parts(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def patched(data: bytes, old: bytes, new: bytes, name: str = "xl/worksheets/sheet1.xml") -> bytes:
    contents = parts(data)
    assert old in contents[name]
    contents[name] = contents[name].replace(old, new)
    return packed(contents)


def simple(made: Any) -> None:
    sheet = made.add_worksheet("名簿")
    sheet.write_row(0, 0, ["番号", "姓"])
    sheet.write_row(1, 0, ["0012", "試験"])


def test_values_are_read_as_a_person_reads_them() -> None:
    def fill(made: Any) -> None:
        sheet = made.add_worksheet()
        sheet.write_row(0, 0, ["番号", "値"])
        day = made.add_format({"num_format": "yyyy/m/d"})
        clock = made.add_format({"num_format": "h:mm"})
        hours = made.add_format({"num_format": "[h]:mm"})
        zeros = made.add_format({"num_format": "000000"})
        for row, (value, form) in enumerate(
            [
                ("007", None),
                (123.0, None),
                (123, zeros),
                (1234567, zeros),
                (9012345678, made.add_format({"num_format": "000-0000-0000"})),
                (98, made.add_format({"num_format": '"S"0000;@'})),
                (98, made.add_format({"num_format": '00"名"'})),
                (0.1 + 0.2, None),
                (1e21, None),
                (12345678901234, None),
                (True, None),
                (datetime(2027, 1, 17), day),
                (datetime(2027, 1, 17, 9, 30), made.add_format({"num_format": "yyyy/m/d h:mm"})),
                (0.5, clock),
                (1.5, hours),
            ],
            1,
        ):
            sheet.write_string(row, 0, "x") if row % 2 else None
            if isinstance(value, datetime):
                sheet.write_datetime(row, 1, value, form)
            elif isinstance(value, str):
                sheet.write_string(row, 1, value)
            else:
                sheet.write(row, 1, value, form)

    assert [row[1] for row in table_of(book(fill)).rows] == [
        "007",
        "123",
        "000123",
        "1234567",
        "090-1234-5678",
        "S0098",
        "98",
        "0.3",
        "1000000000000000000000",
        "12345678901234",
        "TRUE",
        "2027-01-17",
        "2027-01-17 09:30:00",
        "12:00",
        "36:00",
    ]


def test_formulas_without_a_stored_value_are_told_from_blanks() -> None:
    def fill(made: Any) -> None:
        sheet = made.add_worksheet()
        sheet.write_row(0, 0, ["a", "b", "c"])
        sheet.write_row(1, 0, ["1"])
        for row, column, stored in [(1, 1, "x"), (2, 0, ""), (3, 1, 0), (5, 2, ""), (7, 7, "")]:
            sheet.write_formula(row, column, "=A1&B1", None, stored)
        sheet.write_formula(4, 1, "=NA()", None, "#N/A")

    data = book(fill)
    table = table_of(data)
    assert table.missing_formulas == {(3, 0), (5, 1), (6, 2)}
    assert dict(zip(table.row_numbers, table.rows, strict=True)) == {
        2: ("1", "x", ""),
        3: ("", "", ""),
        4: ("", "0", ""),
        5: ("", "", ""),
        6: ("", "", ""),
    }, "a stray formula beside the table makes no row"
    empty_text = patched(data, b'<c r="A3"><f>', b'<c r="A3" t="str"><f>')
    assert (3, 0) not in table_of(empty_text).missing_formulas, "a formula whose result is an empty text"
    for old, new in [
        (b"<v></v>", b"<v/>"),
        (b"<v></v>", b""),
        (b"<f>A1&amp;B1</f>", b'<f t="shared" si="0"/>'),
    ]:
        assert table_of(patched(data, old, new)).missing_formulas >= {(3, 0), (6, 2)}


def test_a_sheet_with_prefixed_names_and_cells_without_references() -> None:
    data = book(simple)
    xml = parts(data)["xl/worksheets/sheet1.xml"]
    xml = re.sub(rb' r="[A-Z]*[0-9]+"', b"", xml)
    xml = xml.replace(b"</row></sheetData>", b"</row><row><c><f>1</f></c></row></sheetData>")
    xml = re.sub(rb"<(/?)(?=[a-z])", rb"<\1x:", xml).replace(b"xmlns=", b"xmlns:x=")
    contents = parts(data)
    contents["xl/worksheets/sheet1.xml"] = xml
    table = table_of(packed(contents))
    assert table.missing_formulas == {(3, 0)}
    assert table.rows == (("0012", "試験"), ("", ""))


def test_the_first_visible_sheet_with_a_known_header_is_read_else_a_hidden_one() -> None:
    def fill(made: Any, *, hide: int) -> None:
        cover, first, second = (made.add_worksheet(name) for name in ("表紙", "旧", "新"))
        cover.write(0, 0, "職員の名簿について")
        for sheet, value in ((first, "old"), (second, "new")):
            sheet.write_row(3, 1, ["職員番号", "姓"])
            sheet.write_row(4, 1, [value, "試験"])
        for sheet in (first, second)[:hide]:
            sheet.hide()

    def known(cells: Any) -> bool:
        return "職員番号" in cells

    for hide, sheet in ((0, "旧"), (1, "新"), (2, "旧")):
        data = book(lambda made, hide=hide: fill(made, hide=hide))  # type: ignore[misc]
        table = table_of(data, recognise=known)
        assert (table.sheet, table.header_row, table.row_numbers) == (sheet, 4, (5,))
    assert table_of(data).sheet == "表紙"


def test_merged_cells_speak_for_every_row_they_cover() -> None:
    def fill(made: Any) -> None:
        sheet = made.add_worksheet()
        sheet.write_row(0, 0, ["所属", "姓"])
        sheet.merge_range(1, 0, 5, 0, "危機管理室")
        for row in (1, 2, 3):
            sheet.write(row, 1, f"試験{row}")

    table = table_of(book(fill))
    assert table.rows == tuple(("危機管理室", f"試験{row}") for row in (1, 2, 3))


def test_notes_beside_the_table_become_columns_without_a_header() -> None:
    def fill(made: Any) -> None:
        simple(made)
        made.get_worksheet_by_name("名簿").write(1, 4, "メモ")

    table = table_of(book(fill))
    assert table.header == ("番号", "姓", "", "", "")
    assert table.rows == (("0012", "試験", "", "", "メモ"),)


def test_a_name_on_the_file_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "book.csv").write_bytes(book(simple))
    (tmp_path / "text.xlsx").write_bytes(BODY.encode("cp932"))
    assert read_table(tmp_path / "book.csv").encoding == "xlsx"
    assert read_table(tmp_path / "text.xlsx").encoding == "cp932"


def test_a_value_far_away_does_not_fill_the_memory() -> None:
    data = patched(book(simple), b'r="B2"', b'r="XFD1048576"')
    with pytest.raises(InputError, match="広すぎます"):
        table_of(data)
    bare = patched(
        book(simple),
        b"</row></sheetData>",
        b'</row><row r="1048576"><c r="XFD1048576" s="1"/></row></sheetData>',
    )
    assert table_of(bare).rows == (("0012", "試験"),), "cells that only look different hold nothing"


def test_a_workbook_part_of_another_name_is_found() -> None:
    """As some programs save it; calamine knows only the usual name."""
    contents = {
        name.replace("workbook.xml", "workbook22.xml"): content.replace(b"/workbook.xml", b"/workbook22.xml")
        for name, content in parts(book(simple)).items()
    }
    assert "xl/workbook22.xml" in contents
    assert table_of(packed(contents)).rows == (("0012", "試験"),)


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"word/document.xml": b"<w/>"}, "Word"),
        ({"ppt/presentation.xml": b"<p/>"}, "PowerPoint"),
        ({"mimetype": b"application/vnd.oasis", "content.xml": b"<o/>"}, "OpenDocument"),
        ({"xl/workbook.bin": b"\0"}, "xlsb"),
        ({"roster.csv": BODY.encode()}, "ZIP"),
        ({"xl/workbook.xml": b"<no", "xl/_rels/workbook.xml.rels": b""}, "壊れて"),
    ],
)
def test_other_archives_are_named(contents: dict[str, bytes], said: str) -> None:
    with pytest.raises(InputError, match=said):
        table_of(packed(contents))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<sheetData>", b""),
        (b'<row r="2"', b'<row r="x"'),
        (b"<v>3</v>", b"<v>99</v>"),
        (b"<sheetData>", b"<sheetData>\xff\xfe"),
    ],
)
def test_damaged_workbooks_are_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(InputError, match="壊れて"):
        table_of(patched(book(simple), old, new))


@given(at=st.floats(0, 1), junk=st.binary(min_size=0, max_size=6))
@settings(max_examples=80, deadline=None)
def test_a_workbook_with_a_hole_is_a_table_or_a_sentence(at: float, junk: bytes) -> None:
    data = BOOK
    place = int(at * len(data))
    for damaged in (data[:place] + junk + data[place + len(junk) :], data[:place]):
        with contextlib.suppress(InputError):
            table_of(damaged)


BOOK = book(simple)


def test_a_workbook_without_any_table() -> None:
    for recognise in (None, lambda cells: True):
        with pytest.raises(InputError, match="どのシートにも表がありません"):
            table_of(book(lambda made: made.add_worksheet()), recognise=recognise)
