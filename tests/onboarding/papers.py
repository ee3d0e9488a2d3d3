"""What can be read on a page, without the thousands of strokes of its QR codes."""

from __future__ import annotations

import re

from pypdf import PageObject
from pypdf.generic import NameObject, StreamObject

WORDS = re.compile(rb"^(?:BT\s.*?\sET|q|Q|[-\d. ]+ cm)$", re.MULTILINE | re.DOTALL)


def read_page(page: PageObject) -> str:
    """As `extract_text` and many times as fast: what is drawn is left out before it is parsed."""
    contents = page.get_contents()
    assert contents is not None
    words = StreamObject()
    words.set_data(b"\n".join(WORDS.findall(contents.get_data())))
    page[NameObject("/Contents")] = words
    return page.extract_text()
