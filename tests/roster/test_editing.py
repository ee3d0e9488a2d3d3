"""A roster edited as a table: what was edited is in the new file, and nothing else is different."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bousai_kit.errors import InputError, RosterError
from bousai_kit.roster import check_roster, sample_roster
from bousai_kit.roster.columns import ROSTER, recogniser
from bousai_kit.roster.editing import RosterTable, open_roster_table
from bousai_kit.roster.keeping import draft_of, moved_on, save_beside, take_draft
from bousai_kit.roster.model import roster_rows
from bousai_kit.tables import csv_bytes, read_table
from tests.roster.conftest import good

NOON = datetime(2027, 4, 1, 9, 15)
USUAL = [column for column in ROSTER if not column.if_used]
HEADER = [column.title for column in USUAL]
LAST, FIRST, LOGIN, NOTE = 1, 2, 5, 17


def rows(count: int = 3, **changes: str) -> list[list[str]]:
    return [[good(n, **changes).get(column.field, "") for column in USUAL] for n in range(1, count + 1)]


def text_of(table: list[list[str]], end: str = "\r\n") -> str:
    return "".join(",".join(row) + end for row in table)


def written(tmp_path: Path, content: bytes | str, name: str = "名簿.csv", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def issues_of(table: RosterTable) -> list[tuple[int, str, str, str]]:
    table.settle()
    found = [issue for number in table.numbers for _, issue in table.problems.of(number)]
    return sorted((i.row, i.column, i.severity, i.problem) for i in [*found, *table.problems.whole])


def checked(path: Path, orgunits: Path | None = None) -> list[tuple[int, str, str, str]]:
    return sorted((i.row, i.column, i.severity, i.problem) for i in check_roster(path, orgunits).issues)


# -- CSV: lines that nobody edited stay byte for byte --------------------------------------------------------

ODD = (
    "名簿（部外秘）,,,\r\n"
    "\r\n"
    '"職員番号",姓,名,ログインID,所属コード,独自 列,備考,"独自 列"\r\n'
    '000123,髙橋,﨑子,taka@city-demo,A00,007,"改行\nあり",x\r\n'
    "\r\n"
    '000124,神,"a ""b"" c",kami@city-demo,A00,\'=1+1,,y\n'  # another line end
    "000125,試験,春,haru@city-demo,A00,,,z"  # none at the end
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_one_cell_and_no_other_byte(tmp_path: Path, encoding: str) -> None:
    text = ODD if encoding != "cp932" else ODD.replace("\ufa19", "神")
    path = written(tmp_path, text, encoding=encoding)
    table = open_roster_table(path)
    assert table.header[5:] == ("独自 列", "備考", "独自 列")
    assert table.row(6)[5] == "=1+1"
    table.edit([(7, LAST, "見本")])
    before, after = path.read_bytes(), table.content()
    assert after == before.replace("試験".encode(encoding[:5]), "見本".encode(encoding[:5]))
    assert moved_on(table) is False


def test_removed_added_restored(tmp_path: Path) -> None:
    path = written(tmp_path, ODD)
    table = open_roster_table(path)
    assert table.first_free == 8
    table.remove([4, 6])
    assert table.edit([(8, 0, "000126"), (8, 5, "=cmd"), (8, 6, 'a"b,c')], rows=1) == [8]
    table.restore([6])
    lines = table.content().decode().split("\n")
    assert not any(line.startswith("000123") for line in lines)
    assert '000126,,,,,\'=cmd,"a""b,c",\r' in lines
    again = open_roster_table(written(tmp_path, table.content(), "新.csv"))
    assert [again.row(n)[0] for n in again.numbers] == ["000124", "000125", "000126"]
    assert again.row(again.numbers[-1])[5] == "=cmd"


def test_a_character_that_cp932_lacks_is_named_and_utf8_takes_it(tmp_path: Path) -> None:
    path = written(tmp_path, text_of([HEADER, *rows()]), encoding="cp932")
    table = open_roster_table(path)
    table.edit([(2, LAST, "髙﨑"), (3, LAST, "𠮷野"), (4, NOTE, "あ\xa0い")])
    with pytest.raises(
        InputError, match=r"3 行目「姓」の「𠮷」は Shift_JIS で表せません.*ほか 1 か所"
    ) as caught:
        table.content()
    assert [(i.row, i.column) for i in caught.value.issues] == [(3, "姓"), (4, "備考")]
    assert "U+00A0" in caught.value.issues[1].problem
    assert "UTF-8" in caught.value.hint
    made = written(tmp_path, table.content(encoding="utf-8-sig"), "新.csv")
    assert read_table(made).encoding == "utf-8-sig"
    assert [row[LAST] for row in read_table(made).rows] == ["髙﨑", "𠮷野", "試験"]
    table.edit([(3, LAST, "吉野"), (4, NOTE, "")])
    assert "髙﨑".encode("cp932") in table.content()


def test_bytes_of_doubled_cp932_characters_stay(tmp_path: Path) -> None:
    """NEC's and IBM's doubles of one character: whoever reads and writes text turns them round."""
    raw = text_of([HEADER, *rows()]).encode("cp932") + b"000009," + b"\xed\x95\xee\xe0" + b",\r\n"
    table = open_roster_table(written(tmp_path, raw))
    table.edit([(2, LAST, "見本")])
    assert b"\xed\x95\xee\xe0" in table.content()


def test_quotes_everywhere_stay_everywhere(tmp_path: Path) -> None:
    text = "".join(",".join(f'"{cell}"' for cell in row) + "\r\n" for row in [HEADER, *rows(2)])
    path = written(tmp_path, text)
    table = open_roster_table(path)
    table.edit([(3, LAST, "見本")])
    assert table.content().decode() == text[:-200] + text[-200:].replace("試験", "見本")


def test_semicolons_tabs_and_the_separator_line(tmp_path: Path) -> None:
    for separator, head in ((";", ""), ("\t", ""), (";", "sep=;\r\n")):
        text = head + text_of([HEADER, *rows()]).replace(",", separator)
        table = open_roster_table(written(tmp_path, text))
        table.edit([(2, NOTE, "a;b\tc")])
        assert table.content().decode() == text.replace(
            text.splitlines()[1 + bool(head)],
            text.splitlines()[1 + bool(head)].removesuffix(separator) + separator + '"a;b\tc"'
            if separator in "a;b\tc"
            else "",
        )


CELLS = st.text(
    alphabet=st.one_of(
        st.sampled_from("髙﨑𠮷神①㈱ｱ゛　 ,;\"'=+-@＝\n\t\u202e\u200b<>&_x0041_0"),
        st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"),
    ),
    max_size=12,
)
EDITS = st.lists(st.tuples(st.integers(2, 7), st.integers(0, 19), CELLS), max_size=6)
KINDS = st.sampled_from(["utf-8", "utf-8-sig", "xlsx"])


def file_of(kind: str, header: list[str], body: list[list[str]]) -> bytes:
    if kind != "xlsx":
        return csv_bytes(header, body)[3 if kind == "utf-8" else 0 :]
    buffer = io.BytesIO()
    plain = {"strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(buffer, {"in_memory": True, **plain}) as book:
        sheet = book.add_worksheet("名簿")
        for number, row in enumerate([header, *body]):
            for place, text in enumerate(row):
                if text:
                    sheet.write_string(number, place, text)
    return buffer.getvalue()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=KINDS, edits=EDITS, gone=st.sets(st.integers(2, 7), max_size=2), added=st.lists(CELLS, max_size=2)
)
def test_write_after_edit_after_read(
    tmp_path: Path, kind: str, edits: list[Any], gone: set[int], added: list[str]
) -> None:
    header, body = [*HEADER, "独自", ""], [[*row, f"00{n}", "x"] for n, row in enumerate(rows(6))]
    path = written(tmp_path, file_of(kind, header, body), f"名簿.{'xlsx' if kind == 'xlsx' else 'csv'}")
    table = open_roster_table(path)
    assert table.content() == path.read_bytes()
    table.edit(edits)
    first = table.first_free
    table.edit([(first + n, LAST, text) for n, text in enumerate(added)], rows=len(added))
    table.remove(gone)
    wanted = [list(table.row(n)) for n in table.numbers if n not in gone]
    wanted = [row for row in wanted if any(cell.strip() for cell in row)]
    if not wanted:
        return
    new = written(tmp_path, table.content(), f"新{path.suffix}")
    again = read_table(new, recognise=recogniser(ROSTER))
    assert again.encoding in (kind, "utf-8")
    assert list(again.header) == [*header[:-1], *again.header[len(header) - 1 :]]
    width = max(map(len, wanted))
    padded = [[*row, *[""] * (width - len(row))] for row in map(list, again.rows)]
    assert padded == wanted
    for _ in range(10):
        table.undo()
    assert table.edited_count == 0
    assert table.content() == path.read_bytes()
    for _ in range(10):
        table.redo()
    assert [
        list(table.row(n)) for n in table.numbers if n not in gone and any(map(str.strip, table.row(n)))
    ] == wanted


# -- XLSX: formats, formulas, other sheets -------------------------------------------------------------------


def workbook(tmp_path: Path) -> Path:
    path = tmp_path / "名簿.xlsx"
    with xlsxwriter.Workbook(path, {"strings_to_numbers": False}) as book:
        book.add_worksheet("説明").write_string(0, 0, "この表の使い方")
        sheet = book.add_worksheet("職員")
        zeros, bold = book.add_format({"num_format": "000000"}), book.add_format({"bold": True})
        sheet.merge_range("A1:D1", "職員名簿", bold)
        for place, title in enumerate([*HEADER, "旧所属", "計算"]):
            sheet.write_string(1, place, title, bold)
        for number, row in enumerate(rows(4), 2):
            sheet.write_number(number, 0, int(row[0]), zeros)
            for place, text in enumerate(row[1:], 1):
                if text:
                    sheet.write_string(number, place, text)
            sheet.write_formula(number, 19, f'="x"&A{number + 1}', None, f"x{number}")
        sheet.merge_range("S3:S5", "総務課")
        sheet.set_column(0, 0, 33)
        book.add_worksheet("別表").write_number(0, 0, 42)
    return path


def test_a_workbook_keeps_everything_else(tmp_path: Path) -> None:
    path = workbook(tmp_path)
    table = open_roster_table(path)
    assert table.encoding == "xlsx"
    assert [table.row(n)[0] for n in table.numbers] == ["000001", "000002", "000003", "000004"]
    assert [table.row(n)[18] for n in table.numbers] == ["総務課", "総務課", "総務課", ""]
    table.edit([(3, LAST, "𠮷野<&>"), (4, 0, "000777"), (5, NOTE, "_x0041_ "), (7, 0, "000888")], rows=1)
    new = written(tmp_path, table.content(), "新.xlsx")
    again = open_roster_table(new)
    assert again.row(3)[LAST] == "𠮷野<&>"
    assert [again.row(n)[0] for n in again.numbers] == ["000001", "000777", "000003", "000004", "000888"]
    assert again.row(5)[NOTE] == "_x0041_ "
    assert again.row(6)[19] == "x5"
    old, made = zipfile.ZipFile(path), zipfile.ZipFile(new)
    with old, made:
        assert old.namelist() == made.namelist()
        differing = [name for name in old.namelist() if old.read(name) != made.read(name)]
        assert differing == ["xl/worksheets/sheet2.xml"]
        xml = made.read("xl/worksheets/sheet2.xml").decode()
        assert [word for word in ("<f>", 'width="33', "A1:D1", "S3:S5") if word not in xml] == []


def test_a_merged_cell_that_changes_is_parted_and_the_others_keep_what_they_showed(tmp_path: Path) -> None:
    path = workbook(tmp_path)
    table = open_roster_table(path)
    table.edit([(3, 18, "人事課")])
    new = written(tmp_path, table.content(), "新.xlsx")
    again = open_roster_table(new)
    assert [again.row(n)[18] for n in again.numbers] == ["人事課", "総務課", "総務課", ""]
    with zipfile.ZipFile(new) as made:
        xml = made.read("xl/worksheets/sheet2.xml").decode()
    assert "S3:S5" not in xml
    assert 'mergeCells count="1"' in xml
    table.undo()
    table.remove([3])
    again = open_roster_table(written(tmp_path, table.content(), "新.xlsx"))
    assert again.numbers == [4, 5, 6]
    assert [again.row(n)[18] for n in again.numbers] == ["総務課", "総務課", ""]


def test_a_formula_that_goes_takes_its_place_in_the_chain_along(tmp_path: Path) -> None:
    path = workbook(tmp_path)
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    sheet = parts["xl/worksheets/sheet2.xml"]
    for row, formula in (
        (3, b'<f t="shared" ref="T3:T6" si="0">"x"&amp;A3</f>'),
        (4, b'<f t="shared" si="0"/>'),
    ):
        sheet = sheet.replace(b'<f>"x"&amp;A%d</f>' % row, formula)
    parts["xl/worksheets/sheet2.xml"] = sheet
    parts["xl/calcChain.xml"] = b'<calcChain><c r="T3" i="2"/></calcChain>'
    parts["[Content_Types].xml"] = parts["[Content_Types].xml"].replace(
        b"</Types>", b'<Override PartName="/xl/calcChain.xml" ContentType="x"/></Types>'
    )
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    table = open_roster_table(path)
    table.edit([(3, 19, "値")])
    with zipfile.ZipFile(io.BytesIO(table.content())) as made:
        assert "xl/calcChain.xml" not in made.namelist()
        assert b"calcChain" not in made.read("[Content_Types].xml")
        xml = made.read("xl/worksheets/sheet2.xml")
    assert b'si="0"' not in xml
    assert xml.count(b"<f>") == 2
    again = open_roster_table(written(tmp_path, table.content(), "新.xlsx"))
    assert [again.row(n)[19] for n in again.numbers] == ["値", "x3", "x4", "x5"]


# -- problems: the same as of a whole check ------------------------------------------------------------------

BAD = st.sampled_from(
    [
        "",
        "000001",
        "000002",
        "shiken1@city-demo",
        "BAD",
        "なし",
        "区本部長",
        "北区",
        "1",
        "=x",
        "090-0000-0001",
        "A01",
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(2, 8), st.integers(0, 18), BAD), max_size=8),
    gone=st.sets(st.integers(2, 8), max_size=2),
)
def test_problems_are_those_of_a_whole_check(tmp_path: Path, edits: list[Any], gone: set[int]) -> None:
    header = [*HEADER, "独自"]
    path = written(tmp_path, csv_bytes(header, [[*row, ""] for row in rows(7)]))
    table = open_roster_table(path)
    assert issues_of(table) == checked(path)
    for edit in edits:
        table.edit([edit])
    table.remove(gone)
    # the same rows in the same places: a removed one as a blank line
    whole = [row if n not in gone else [] for n, row in ((n, list(table.row(n))) for n in table.numbers)]
    if not any(any(map(str.strip, row)) for row in whole):
        return
    same = written(tmp_path, csv_bytes(header, whole), "同じ.csv")
    assert issues_of(table) == checked(same)
    assert table.problems.count("error") == sum(one[2] == "error" for one in checked(same))
    for _ in range(9):
        table.undo()
    assert issues_of(table) == checked(path)


def test_a_formula_without_a_value_is_a_problem_until_it_is_edited(tmp_path: Path) -> None:
    path = tmp_path / "名簿.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate([HEADER, *rows(2)]):
            for place, text in enumerate(row):
                sheet.write_string(number, place, text)
        sheet.write_formula(1, LAST, "=B3", None, "")
    table = open_roster_table(path)
    assert issues_of(table) == checked(path)
    assert "数式" in table.problems.of(2)[0][1].problem
    table.edit([(2, LAST, "見本")])
    assert not [one for one in issues_of(table) if one[2] == "error"]
    table.edit([(2, LAST, "")])
    assert "数式" in table.problems.of(2)[0][1].problem  # as in the file: the formula is there again


def test_an_organisation_file_is_heard_too(tmp_path: Path) -> None:
    path = written(tmp_path, csv_bytes(HEADER, rows(2)))
    units = written(tmp_path, "組織コード,組織名,上位組織コード\r\nB00,局,C99\r\n", "組織.csv")
    table = open_roster_table(path, orgunits=units)
    assert issues_of(table) == checked(path, units)
    table.edit([(2, 6, "B00"), (3, 6, "B00")])
    assert not [one for one in issues_of(table) if one[1] == "所属コード"]


# -- edits that are refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a\x00b", "\x1b[31m", "\x85", "\ud800", "x" * 32_768, "\uffff"])
def test_a_text_that_no_file_could_carry_is_refused_and_changes_nothing(tmp_path: Path, text: str) -> None:
    table = open_roster_table(written(tmp_path, csv_bytes(HEADER, rows(2))))
    with pytest.raises(InputError):
        table.edit([(2, NOTE, "先"), (3, NOTE, text)])
    assert table.edited_count == 0
    assert not table.can_undo


def test_cells_and_rows_that_are_not_there_are_refused(tmp_path: Path) -> None:
    table = open_roster_table(written(tmp_path, csv_bytes(HEADER, rows(2))))
    for cell in ((1, 0, "x"), (4, 0, "x"), (2, 18, "x"), (2, -1, "x")):
        with pytest.raises(InputError):
            table.edit([cell])
    table.remove([2])
    with pytest.raises(InputError, match="削除した行"):
        table.edit([(2, 0, "x")])
    assert table.remove([2, 99]) == []
    assert table.edit([(3, LAST, "試験")]) == []  # as it was: nothing to take back
    assert table.undo() == [2]
    assert table.undo() == []


def test_everything_removed_is_no_roster(tmp_path: Path) -> None:
    table = open_roster_table(written(tmp_path, csv_bytes(HEADER, rows(1))))
    table.remove([2])
    with pytest.raises(RosterError):
        open_roster_table(written(tmp_path, table.content(), "空.csv"))


# -- new files, drafts ---------------------------------------------------------------------------------------


def test_saved_beside_under_a_new_name_with_the_same_rights(tmp_path: Path) -> None:
    path = written(tmp_path, csv_bytes(HEADER, rows(2)))
    path.chmod(0o640)
    original = path.read_bytes()
    table = open_roster_table(path)
    table.edit([(2, LAST, "見本")])
    made = [save_beside(table, NOON) for _ in range(3)]
    assert [one.name for one in made] == [
        "名簿_修正_20270401-0915.csv",
        "名簿_修正_20270401-0915-2.csv",
        "名簿_修正_20270401-0915-3.csv",
    ]
    assert path.read_bytes() == original
    assert {stat.S_IMODE(one.stat().st_mode) for one in made} == {0o640}
    assert not list(tmp_path.glob(".*"))
    later = open_roster_table(made[2])
    assert save_beside(later, NOON.replace(hour=10)).name == "名簿_修正_20270401-1015.csv"
    assert save_beside(table, NOON, over=True) == path
    assert path.read_bytes() == made[0].read_bytes()


def test_a_file_that_changed_meanwhile_is_not_saved_past(tmp_path: Path) -> None:
    path = written(tmp_path, csv_bytes(HEADER, rows(3)))
    table = open_roster_table(path)
    table.edit([(2, LAST, "見本"), (3, LAST, "例示")])
    table.remove([4])
    other = rows(4)
    other[1][FIRST] = "別人"  # row 3 is somebody else now
    other.insert(0, rows(9)[8])
    path.write_bytes(csv_bytes(HEADER, other))
    with pytest.raises(InputError, match="ほかで変更された"):
        save_beside(table, NOON)
    newer = open_roster_table(path)
    assert take_draft(newer, json.loads(json.dumps(draft_of(table)))) == 1
    assert newer.row(3)[LAST] == "見本"  # one row further down
    assert newer.row(4)[LAST] == "試験"
    assert newer.removed == {5}
    path.unlink()
    with pytest.raises(InputError, match="なくなっています"):
        save_beside(newer, NOON)


def test_a_draft_brings_everything_back(tmp_path: Path) -> None:
    path = written(tmp_path, csv_bytes(HEADER, rows(3)))
    table = open_roster_table(path)
    table.edit([(2, LAST, "見本"), (5, 0, "000009")], rows=1)
    table.remove([3])
    draft = json.loads(json.dumps(draft_of(table)))
    again = open_roster_table(path)
    assert take_draft(again, draft) == 0
    assert again.content() == table.content()
    assert issues_of(again) == issues_of(table)
    for broken in ({}, {**draft, "edited": 3}, {**draft, "header": ["x"]}):
        with pytest.raises(InputError):
            take_draft(open_roster_table(path), broken)


def test_sixty_foreign_columns_and_one_row(tmp_path: Path) -> None:
    header = [*HEADER, *(f"独自{n}" for n in range(60))]
    path = written(tmp_path, csv_bytes(header, [[*rows(1)[0], *(f"0{n}" for n in range(60))]]))
    table = open_roster_table(path)
    table.edit([(2, 77, "=末")])
    assert read_table(written(tmp_path, table.content(), "新.csv")).rows[0][76:] == ("058", "=末")
    assert table.content().startswith(path.read_bytes()[:400])


def test_the_sample_roster_comes_back_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, csv_bytes(*roster_rows(sample_roster(50))))
    table = open_roster_table(path)
    assert table.content() == path.read_bytes()
    assert repr(table) == "<RosterTable rows=50 edited=0>"
