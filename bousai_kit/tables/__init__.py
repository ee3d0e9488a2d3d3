"""Tables in and out: CSV whose encoding can be told for certain, XLSX, and files that Excel opens harmlessly.

A table is text: every cell comes as a person typed it, and only the caller decides what it means.
"""

from __future__ import annotations

from bousai_kit.tables.encodings import decode_text
from bousai_kit.tables.model import Table
from bousai_kit.tables.patching import Changes, encoding_title, patched
from bousai_kit.tables.reading import read_bytes, read_table, table_of
from bousai_kit.tables.writing import csv_bytes, write_csv, write_xlsx, xlsx_bytes

__all__ = [
    "Changes",
    "Table",
    "csv_bytes",
    "decode_text",
    "encoding_title",
    "patched",
    "read_bytes",
    "read_table",
    "table_of",
    "write_csv",
    "write_xlsx",
    "xlsx_bytes",
]
