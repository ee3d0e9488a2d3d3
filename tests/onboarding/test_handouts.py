"""Pages for people: what stands on them, who can read them, and what a city may change."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError

from bousai_kit.errors import ConfigError
from bousai_kit.onboarding import handout_pdf as pdf_module
from bousai_kit.onboarding import handout_words as word_limits
from bousai_kit.onboarding import handouts as module
from bousai_kit.onboarding.handout_pdf import Slip, render_pdf, without_glyph
from bousai_kit.onboarding.handout_words import load_text, write_template
from bousai_kit.onboarding.handouts import write_handouts
from tests.onboarding.papers import read_page

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
        said = compact(read_page(page))
        for part in (slip.name, slip.login_id, slip.password, slip.key):
            assert compact(part) in said
    assert "AppStore" in compact(read_page(pages[0]))
    assert "GooglePlay" in compact(read_page(pages[1]))
    assert "AppStore" not in compact(read_page(pages[2]))


def test_fonts_are_embedded_and_rare_kanji_have_glyphs() -> None:
    reader = PdfReader(io.BytesIO(render_pdf(slips(), text=load_text())))
    for page in reader.pages:
        for font in page["/Resources"]["/Font"].values():
            descriptor = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
            assert {"/FontFile2", "/FontFile3"} & set(descriptor)
    assert "𠮷" in read_page(reader.pages[1])


def test_a_letter_that_the_font_lacks_is_named_and_no_selector_blank_or_mark() -> None:
    there = ("髙﨑 𠮷野", "神祥\u3000葛\U000e0100城", "か\u3099き\u200d")
    said = [Slip(key=f"K{n}", name=name, login_id="a@b", password="x") for n, name in enumerate(there)]
    rare = Slip(key="R", name="試験", login_id="a@b", password="x", unit="\U00030000課")
    own = Slip(key="E", name="外字\ue000", login_id="a@b", password="x")
    assert without_glyph([*said, rare, own]) == ("R", "E")


def test_files_are_for_their_owner_and_passwords_do_not_show_in_a_repr(tmp_path: Path) -> None:
    made = write_handouts(slips(), tmp_path / "out", text=load_text())
    files = [str(tmp_path / "out" / "handouts.pdf")]
    assert made.as_json() == {"files": files, "pages": 3, "covers": 0, "boxes": []}
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
    assert PEOPLE[1][1] in compact(read_page(locked.pages[0]))
    assert seen[-1] == (3, 3)
    whole = write_handouts(slips(), tmp_path, text=load_text(), passphrase="合言葉 1").files[0]
    for reader in (locked, PdfReader(io.BytesIO(whole.read_bytes()))):
        assert reader.trailer["/Encrypt"]["/R"] == 6, "AES-256"


def test_file_names_of_single_pages_cannot_leave_the_zip(tmp_path: Path) -> None:
    keys = ("../../etc/名", "A1", "a1")  # the last two are one file where letter case does not count
    hostile = [Slip(key=key, name="試験", login_id="a1@b", password="x") for key in keys]
    made = write_handouts(hostile, tmp_path, text=load_text(), single=True)
    with zipfile.ZipFile(made.files[0]) as archive:
        assert archive.namelist() == ["handout_etc.pdf", "handout_A1.pdf", "handout_a1_1-3.pdf"]


def test_text_of_people_is_never_taken_for_markup() -> None:
    hostile = Slip(key="1", name='#panic("x") *太* \\ $x$ [', login_id="a_b*c@d", password="#let x = 1")
    said = compact(read_page(PdfReader(io.BytesIO(render_pdf([hostile], text=load_text()))).pages[0]))
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


def test_a_face_in_which_nothing_looks_like_something_else_and_marks_below() -> None:
    page = PdfReader(io.BytesIO(render_pdf(slips(1), text=load_text()))).pages[0]
    fonts = {str(font.get_object()["/BaseFont"]) for font in page["/Resources"]["/Font"].values()}
    assert any("DejaVuSansMono" in one for one in fonts)
    said = compact(read_page(page))
    password = slips(1)[0].password
    marks = "".join(
        "数" if one.isdigit() else "記" if not one.isalpha() else "大" if one.isupper() else "小"
        for one in password
    )
    assert password + marks in said
    assert "𝟎" not in said


def test_every_page_says_what_the_employer_sees_and_whom_to_call() -> None:
    for page in PdfReader(io.BytesIO(render_pdf(slips(), text=load_text()))).pages:
        said = compact(read_page(page))
        for part in ("市が確認できるもの", "市から見えないもの", "位置", "ヘルプデスク", "裁断"):
            assert part in said


def test_a_spent_password_is_said_to_be_spent() -> None:
    for one in slips(3):
        page = PdfReader(io.BytesIO(render_pdf([replace(one, spent=True)], text=load_text()))).pages[0]
        said = compact(read_page(page))
        assert "初期パスワードはもう使えません" in said
        assert one.password not in said
        assert "初期パスワードを入れ" not in said
        assert "初期パスワードが載っています" not in said
        assert "招待メール" not in said
        assert compact(one.login_id) in said
    assert "もう使えません" not in compact(
        read_page(PdfReader(io.BytesIO(render_pdf(slips(1), text=load_text()))).pages[0])
    )


def test_whoever_is_invited_reads_of_the_mail_and_of_no_initial_password() -> None:
    for one in slips(3):
        invited = replace(one, password="")
        page = PdfReader(io.BytesIO(render_pdf([invited], text=load_text()))).pages[0]
        said = compact(read_page(page))
        assert "招待メール" in said
        assert "初期パスワード" not in said


def test_receipt_lists_name_people_and_no_password(tmp_path: Path) -> None:
    people = [
        replace(one, unit=f"第{n // 5}課", group="北区" if n < 17 else "南区")
        for n, one in enumerate(slips(20))
    ]
    made = write_handouts(people, tmp_path, text=load_text(), covers=True)
    assert (made.pages, made.covers) == (20, 3)  # 4 units of one ward on two pages, one of the other
    pages = [compact(read_page(page)) for page in PdfReader(made.files[0]).pages]
    lists = [place for place, page in enumerate(pages) if "受領簿" in page]
    assert lists == [0, 1, 19]
    first, second, other = (pages[place] for place in lists)
    assert all(said in first for said in ("北区", "17名分（1／2枚）", "第0課5名", "第1課5名", "第2課5名"))
    assert "第2課（続き）" in second
    assert "第3課2名" in second
    assert "南区第3課3名分" in other
    for place in lists:
        assert not any(one.password in pages[place] or one.login_id in pages[place] for one in people)
    for number, one in enumerate(people):
        assert sum(one.key in pages[place] for place in lists) == 1
        own = [page for page in pages if one.password in page]
        assert len(own) == 1
        others = [other for other in people if other.key != one.key]
        assert not any(other.key in own[0] or other.password in own[0] for other in others), number


def test_a_single_page_holds_its_own_text_alone(tmp_path: Path) -> None:
    made = write_handouts(slips(3), tmp_path, text=load_text(), single=True, covers=True)
    with zipfile.ZipFile(made.files[0]) as archive:
        names = archive.namelist()
        assert names == ["list_001_0001.pdf", *(f"handout_K{n:04d}.pdf" for n in range(3))]
        for number, slip in enumerate(slips(3)):
            said = compact(read_page(PdfReader(io.BytesIO(archive.read(names[number + 1]))).pages[0]))
            assert slip.login_id in said
            assert not any(one.login_id in said or one.key in said for one in slips(3) if one != slip)


def test_many_come_in_parts_made_by_processes_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART", 4)
    (tmp_path / "handouts.pdf").write_bytes(b"of an earlier, smaller set")
    (tmp_path / "handouts-009.pdf").write_bytes(b"of an earlier, larger set")
    people = [replace(one, unit=f"第{n // 3}課") for n, one in enumerate(slips(11))]
    seen: list[tuple[int, int]] = []
    made = write_handouts(
        people, tmp_path, text=load_text(), passphrase="aikotoba-1234", progress=lambda *n: seen.append(n)
    )
    assert [path.name for path in made.files] == [f"handouts-{n:03d}.pdf" for n in (1, 2, 3, 4)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in made.files]
    assert seen == [(3, 11), (6, 11), (9, 11), (11, 11)]  # units stay together
    found = []
    for path in made.files:
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        locked = PdfReader(path)
        assert locked.decrypt("aikotoba-1234")
        found += [compact(read_page(page)) for page in locked.pages]
    assert len(found) == 11
    assert all(one.password in page for one, page in zip(people, found, strict=True))


def test_a_unit_larger_than_a_part_is_torn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 4)
    sizes = [len(part) for part in module._parts(slips(10))]
    assert sizes == [4, 4, 2]
    assert [*module._parts([])] == []


def test_a_process_that_fails_says_so_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "PART", 2)
    words = load_text() | {"purpose": "長" * 3000}
    with pytest.raises(ConfigError, match="1 人 1 ページに収まりません"):
        write_handouts(slips(3), tmp_path, text=words)
    monkeypatch.setattr(pdf_module.sys, "executable", "/bin/false")
    with pytest.raises(ConfigError, match="途中で終わりました"):
        write_handouts(slips(3), tmp_path, text=load_text())
    assert list(tmp_path.iterdir()) == []


def test_no_half_file_and_none_that_others_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "handouts.pdf").write_bytes(b"earlier")
    modes: list[int] = []

    def full(_: int) -> None:
        (part,) = tmp_path.glob(".*.part")
        modes.append(part.stat().st_mode & 0o777)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_handouts(slips(), tmp_path, text=load_text())
    assert modes == [0o600]
    assert [path.name for path in tmp_path.iterdir()] == ["handouts.pdf"]
    assert (tmp_path / "handouts.pdf").read_bytes() == b"earlier"


KILLED = """
import os, sys
from pathlib import Path
from tests.onboarding.test_handouts import load_text, slips, write_handouts
from tests.onboarding.papers import read_page

def stay(_):
    print("writing", flush=True)
    sys.stdin.read()

os.fsync = stay
write_handouts(slips(3), Path(sys.argv[1]), text=load_text())
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal")
def test_kill_minus_nine_while_writing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.kill()
        process.wait(30)
    (part,) = tmp_path.iterdir()
    assert part.name.endswith(".part")
    assert not part.stat().st_mode & 0o077
    made = write_handouts(slips(3), tmp_path, text=load_text())
    assert list(tmp_path.iterdir()) == list(made.files)


def test_two_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    words = load_text()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: write_handouts(slips(9), tmp_path, text=words), range(4)))
    assert [path.name for path in tmp_path.iterdir()] == ["handouts.pdf"]
    assert len(PdfReader(tmp_path / "handouts.pdf").pages) == 9


def test_a_missing_font_is_named(tmp_path: Path) -> None:
    for content in (None, b"no font"):
        path = tmp_path / "font.otf"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"font\.otf"):
            render_pdf(slips(1), text=load_text(), font=path)


# -- a city's words -----------------------------------------------------------------------------------


def edited(home: Path, old: str, new: str) -> None:
    write_template(home)
    path = home / "handout_text.yaml"
    text = path.read_text("utf-8")
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_template_is_put_there_once_and_for_its_owner(tmp_path: Path) -> None:
    path = write_template(tmp_path / "home")
    assert path.stat().st_mode & 0o077 == 0
    assert load_text(tmp_path / "home") == load_text()
    path.write_text(path.read_text("utf-8").replace("○○市", "見本市"), "utf-8")
    with pytest.raises(ConfigError, match="すでにあります"):
        write_template(tmp_path / "home")
    assert load_text(tmp_path / "home")["organisation"] == "見本市"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("help_desk: 情報", "helpdesk: 情報", "help_desk がありません"),
        ("title: LINE WORKS 利用開始のご案内", "title: [a]", r"6 行目 title"),
        ("title: LINE WORKS 利用開始のご案内", "title: " + "長" * 25, r"6 行目 title：25 字"),
        ("title: LINE WORKS 利用開始のご案内", "title: 2027", r"6 行目 title：文字"),
        ("title: LINE", "title: 二度目\ntitle: LINE", r"7 行目 title：同じ項目"),
        ("help_desk: 情報", "help_desk: '情報", "行目を YAML"),
        ("picture: notify", "picture: notfy", r"行目 steps\.iOS の 4 番目 picture"),
        ("  iOS: https://line", "  iOS: http://line", r"行目 app_url\.iOS：https"),
        ("  sees_not:", "  sees_nothing:", r"privacy\.sees_not がありません"),
        ("  other:\n    - picture", "  others:\n    - picture", r"steps\.other がありません"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    edited(tmp_path, old, new)
    with pytest.raises(ConfigError, match=said):
        load_text(tmp_path)


def test_words_of_a_city_are_never_taken_for_markup(tmp_path: Path) -> None:
    hostile = '#image("/etc/passwd") *太* $x$ \\ #panic("x")'
    edited(tmp_path, "purpose: 災害時の連絡と安否確認に使います。", "purpose: '" + hostile + "' #")
    said = compact(read_page(PdfReader(io.BytesIO(render_pdf(slips(1), text=load_text(tmp_path)))).pages[0]))
    assert compact(hostile) in said


def test_words_beyond_a_page_are_refused_and_not_spread_over_two(tmp_path: Path) -> None:
    words = load_text()
    words["steps"]["iOS"] = [{"picture": "store", "text": "長" * 110}] * 6
    words["purpose"] = "長" * 90 * 4
    with pytest.raises(ConfigError, match="1 人 1 ページ"):
        render_pdf(slips(1), text=words)
    longest = load_text()  # as long as the file may be
    for key, most in word_limits._LINES.items():
        longest[key] = "長" * most
    longest["privacy"] = dict.fromkeys(("sees", "sees_not", "does"), "長" * 64)
    longest["steps"] = {device: [{"picture": "talk", "text": "長" * 75}] * 5 for device in longest["steps"]}
    assert render_pdf(slips(), text=longest)
