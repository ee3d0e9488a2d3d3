"""Pages for people: what stands on them, who can read them, and what a city may change."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest
from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError

from bousai_kit.errors import ConfigError
from bousai_kit.onboarding.handout_pdf import Slip, render_pdf
from bousai_kit.onboarding.handout_words import load_text
from bousai_kit.onboarding.handouts import write_handouts

PEOPLE = (
    ("試験 一郎", "kunren001@osaka-kunren", "iOS"),
    ("𠮷髙 見本子", "kunren002@osaka-kunren", "Android"),
    ("架空 﨑神", "kunren003@osaka-kunren", "なし"),
)


def slips(count: int = 3) -> list[Slip]:
    return [
        Slip(
            key=f"K{number:04d}",
            name=PEOPLE[number % 3][0],
            login_id=PEOPLE[number % 3][1],
            password=f"Kx7-mTq9-r{number:03d}",
            device_os=PEOPLE[number % 3][2],
            unit="北区役所",
            position="区長",
        )
        for number in range(count)
    ]


def compact(page_text: str) -> str:
    return "".join(page_text.split())


def test_a_page_a_person_in_a5_with_name_id_password_and_their_device() -> None:
    pages = PdfReader(io.BytesIO(render_pdf(slips(), text=load_text()))).pages
    assert len(pages) == 3
    for page, slip in zip(pages, slips(), strict=True):
        width, height = (float(v) / 72 * 25.4 for v in (page.mediabox.width, page.mediabox.height))
        assert (round(width), round(height)) == (148, 210)
        said = compact(page.extract_text())
        for part in (slip.name, slip.login_id, slip.password, slip.key):
            assert compact(part) in said
    assert "AppStore" in compact(pages[0].extract_text())
    assert "GooglePlay" in compact(pages[1].extract_text())
    assert "AppStore" not in compact(pages[2].extract_text())


def test_fonts_are_embedded_and_rare_kanji_have_glyphs() -> None:
    reader = PdfReader(io.BytesIO(render_pdf(slips(), text=load_text())))
    for page in reader.pages:
        for font in page["/Resources"]["/Font"].values():
            descriptor = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
            assert {"/FontFile2", "/FontFile3"} & set(descriptor)
    assert "𠮷" in reader.pages[1].extract_text()


def test_files_are_for_their_owner_and_passwords_do_not_show_in_a_repr(tmp_path: Path) -> None:
    made = write_handouts(slips(), tmp_path / "out", text=load_text())
    assert made.as_json() == {"files": [str(tmp_path / "out" / "handouts.pdf")], "pages": 3, "covers": 0}
    for path in (tmp_path / "out", *made.files):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    assert "Kx7" not in repr(slips())
    assert "試験" not in repr(slips())


def test_single_pages_in_a_zip_locked_by_a_passphrase(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    made = write_handouts(
        slips(),
        tmp_path,
        text=load_text(),
        single=True,
        passphrase="合言葉 1",
        progress=lambda *n: seen.append(n),
    )
    with zipfile.ZipFile(made.files[0]) as archive:
        assert archive.namelist() == [f"handout_K{n:04d}.pdf" for n in range(3)]
        locked = PdfReader(io.BytesIO(archive.read("handout_K0001.pdf")))
    with pytest.raises(FileNotDecryptedError):
        _ = locked.pages[0]
    assert locked.decrypt("合言葉 1")
    assert PEOPLE[1][1] in compact(locked.pages[0].extract_text())
    assert seen[-1] == (3, 3)


def test_file_names_of_single_pages_cannot_leave_the_zip(tmp_path: Path) -> None:
    hostile = Slip(key="../../etc/名", name="試験", login_id="a1@b", password="x")
    made = write_handouts([hostile], tmp_path, text=load_text(), single=True)
    with zipfile.ZipFile(made.files[0]) as archive:
        assert archive.namelist() == ["handout_etc.pdf"]


def test_text_of_people_is_never_taken_for_markup() -> None:
    hostile = Slip(key="1", name='#panic("x") *太* \\ $x$ [', login_id="a_b*c@d", password="#let x = 1")
    said = compact(PdfReader(io.BytesIO(render_pdf([hostile], text=load_text()))).pages[0].extract_text())
    assert '#panic("x")*太*\\$x$[' in said
    assert "#letx=1" in said


def test_long_names_stay_on_one_page() -> None:
    long = Slip(
        key="1", name="試" * 80, login_id="a" * 40 + "@" + "b" * 49, password="Kx7-mTq9-rb", unit="課" * 100
    )
    assert len(PdfReader(io.BytesIO(render_pdf([long], text=load_text()))).pages) == 1


def test_a_city_brings_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "handout_text.yaml").write_text(
        (Path(__file__).parents[2] / "bousai_kit/onboarding/handout_text.yaml")
        .read_text("utf-8")
        .replace("○○市", "見本市"),
        encoding="utf-8-sig",
    )
    assert load_text(tmp_path)["organisation"] == "見本市"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"- a", b"title: [", b"title: x", b""])
def test_broken_words_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "handout_text.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"handout_text\.yaml"):
        load_text(tmp_path)
