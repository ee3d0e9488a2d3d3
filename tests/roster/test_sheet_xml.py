"""The quick ways through a sheet's XML see what the slow and certain ones see."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.tables import sheet_xml

ATTRIBUTES = st.permutations(["r", "s", "t"])
CELL = st.fixed_dictionaries(
    {
        "order": ATTRIBUTES,
        "quote": st.sampled_from('"""\''),
        "column": st.sampled_from(["A", "B", "Z", "AA", "XFD"]),
        "style": st.sampled_from(["", "1", "2", "12"]),
        "kind": st.sampled_from(["", "n", "s", "str", "e"]),
        "formula": st.sampled_from(["", "", "<f>A1</f>", "<f/>", '<f t="shared" si="0"/>']),
        "value": st.sampled_from(["", "7", "0", "text:c <f t='e'"]),
        "empty": st.booleans(),
    }
)
ROWS = st.lists(
    st.tuples(st.integers(1, 1_048_576), st.booleans(), st.lists(CELL, max_size=4)),
    max_size=5,
    unique_by=lambda r: r[0],
)


def cell_xml(row: int, cell: dict[str, Any], prefix: str) -> str:
    q = cell["quote"]
    said = {"r": f"{cell['column']}{row}", "s": cell["style"], "t": cell["kind"]}
    words = "".join(f" {name}={q}{said[name]}{q}" for name in cell["order"] if said[name])
    if cell["empty"]:
        return f"<{prefix}c{words}/>"
    value = cell["value"].replace("<", "&lt;")
    inner = cell["formula"].replace("<f", f"<{prefix}f").replace("</f", f"</{prefix}f")
    return f"<{prefix}c{words}>{inner}<{prefix}v>{value}</{prefix}v></{prefix}c>"


@given(
    rows=ROWS,
    prefix=st.sampled_from(["", "", "x:"]),
    extra=st.sampled_from(["", "<cols><col min='1'/></cols>"]),
)
@settings(max_examples=150, deadline=None)
def test_quick_and_certain_agree(rows: list[Any], prefix: str, extra: str) -> None:
    body = ""
    hidden, held, valued = set(), set(), set()
    for number, is_hidden, cells in rows:
        unique = {cell["column"]: cell for cell in cells}
        mark = ' hidden="1"' if is_hidden else ""
        hidden |= {number} if is_hidden else set()
        for cell in unique.values():
            at = (number, sheet_xml._index(cell["column"]))
            held |= set() if cell["empty"] else {at}
            valued |= set() if cell["empty"] or not cell["value"] else {at}
        inner = "".join(cell_xml(number, cell, prefix) for cell in unique.values())
        body += f'<{prefix}row r="{number}"{mark}>{inner}</{prefix}row>'
    xml = (
        f"<{prefix}worksheet xmlns:x='x'>{extra}"
        f"<{prefix}sheetData>{body}</{prefix}sheetData></{prefix}worksheet>"
    ).encode()
    masks = {"1": "\0" * 6, "12": "S\0\0\0"}
    reader = sheet_xml._Reader(masks)
    reader.read(xml)
    found = sheet_xml.facts(xml, masks)
    assert set(found.hidden) == hidden
    assert set(found.missing) & held == reader.missing & held
    assert {at: mask for at, mask in found.masks.items() if at in valued} == {
        at: mask for at, mask in reader.masks.items() if at in valued
    }
    if sheet_xml.is_near(xml):
        rows_, columns = sheet_xml.extent(xml)
        assert rows_ <= 99_999
        assert columns <= 26
