"""The sample city: shipped as generated, without an error, and nobody in it exists."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from bousai_kit.errors import InputError
from bousai_kit.roster import SAMPLE, check_roster, read_roster, roster_rows, sample_roster
from bousai_kit.roster.sample import LARGEST, sample_units, write_sample
from bousai_kit.roster.sample_city import BUREAUS, FIRST, OFFICES, SECOND, SURNAMES, WARDS
from bousai_kit.tables import write_csv
from tests.yardstick import in_stints

ORGUNITS = SAMPLE.with_name("sample_orgunits.csv")
SCENARIO = SAMPLE.parent / "scenarios" / "nankai_tsunami_2019.yaml"
COMMON = set(
    re.findall(
        r"\S+",
        """
佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村 小林 加藤 吉田 山田 佐々木 山口 松本 井上
木村 林 斎藤 清水 山崎 森 池田 橋本 阿部 石川 山下 中島 石井 小川 前田 岡田 長谷川
藤田 後藤 近藤 村上 遠藤 青木 坂本 斉藤 福田 太田 西村 藤井 金子 岡本 藤原 三浦
中野 中川 原田 松田 竹内 小野 田村 中山 和田 石田 上田 森田 原 柴田 酒井 工藤 横山
宮崎 宮本 内田 高木 安藤 谷口 大野 丸山 今井 高田 藤本 武田 村田 上野 杉山 増田
平野 大塚 千葉 久保 松井 小島 岩崎 桜井 野口 松尾 木下 菊地 野村 新井 佐野 渡部
杉本 大西 古川 浜田 市川 菅原 小松 島田 水野 桑原 吉村 平松 関 磯村 橋下 西尾 中田
大島 平 見山 仮屋 本田
""",
    )
)


def test_the_shipped_files_are_what_the_generator_makes(tmp_path: Path) -> None:
    write_sample(tmp_path)
    assert SAMPLE.read_bytes() == (tmp_path / "sample_roster.csv").read_bytes()
    assert ORGUNITS.read_bytes() == (tmp_path / "sample_orgunits.csv").read_bytes()


def test_reading_them_gives_what_the_generator_gives() -> None:
    read, made = read_roster(SAMPLE, orgunits=ORGUNITS), sample_roster()
    assert read.people == made.people
    assert read.units == made.units == sample_units()
    assert (read.header, read.sha256) == (made.header, made.sha256)


def test_check_finds_no_error_and_only_people_without_a_device() -> None:
    for orgunits in (ORGUNITS, None):
        check = check_roster(SAMPLE, orgunits)
        assert (check.people, check.errors, check.ok) == (200, 0, True)
        assert {issue.column for issue in check.issues} == {"端末OS"}


def test_the_shape_of_the_city() -> None:
    people = sample_roster().people
    roles = Counter(person.hq_role for person in people)
    assert roles == {
        "本部長": 1,
        "副本部長": 3,
        "事務局": 24,
        "本部員": 50,
        "区本部長": 24,
        "区副本部長": 24,
        "連絡員": 74,
    }
    assert len(BUREAUS) + len(OFFICES) == 50
    assert len(WARDS) == len(set(WARDS)) == 24
    assert Counter(person.ward for person in people if person.ward) == dict.fromkeys(WARDS, 3)
    devices = Counter(person.device_os for person in people)
    assert 105 <= devices["iOS"] <= 120
    assert 75 <= devices["Android"] <= 85
    assert 2 <= devices["なし"] <= 10
    assert all(
        p.device_os != "なし" for p in people if p.hq_role in ("本部長", "副本部長", "区本部長", "本部員")
    )
    assert all(p.bureau or p.ward or p.position in ("市長", "副市長") for p in people)


def test_deputies_lead_to_somebody_above() -> None:
    people = {person.staff_number: person for person in sample_roster().people}
    depth = Counter()
    for person in people.values():
        steps = 0
        while person.deputy_for:
            assert person.deputy_order is not None
            person, steps = people[person.deputy_for], steps + 1
            assert steps < 10
        depth[steps] += 1
    assert depth[1] >= 70
    assert depth[2] + depth[3] + depth[4] >= 24, "chained"
    assert [p.deputy_order for p in people.values() if people.get(p.deputy_for, p).position == "市長"][
        1:
    ] == [1, 2, 3, 4]


def test_nobody_in_it_could_be_taken_for_somebody() -> None:
    surnames = {surname for surname, _, _ in SURNAMES}
    assert len(surnames) == len(SURNAMES)
    assert not surnames & COMMON
    people = sample_roster(2000).people
    assert {person.last_name for person in people} <= surnames
    for person in people:
        assert person.login_id.endswith("@city-demo")
        assert person.note == "架空の人物"
        assert re.fullmatch(r"0[789]0-0000-[0-9]{4}|", person.phone), "cannot be dialled"
        assert person.private_email == ""


def test_every_name_can_be_told_from_every_other() -> None:
    assert LARGEST == 30_000
    assert len({f for f, _ in FIRST}) == 25
    assert len({s for s, _ in SECOND}) == 30


def test_generated_people_are_unique_deterministic_and_in_time(tmp_path: Path) -> None:
    roster, stints = in_stints(lambda: sample_roster(30_000))
    people = roster.people
    assert stints < 30, "nine on a quiet machine"
    for field in ("staff_number", "login_id", "name"):
        assert len({getattr(person, field) for person in people}) == 30_000
    phones = [person.phone for person in people if person.phone]
    assert len(phones) == len(set(phones))
    assert {person.orgunit_code for person in people} <= {unit.code for unit in roster.units}
    assert min(Counter(person.ward for person in people[200:] if person.ward).values()) > 400

    path = tmp_path / "large.csv"
    write_csv(path, *roster_rows(roster))
    check, stints = in_stints(lambda: check_roster(path, ORGUNITS))
    assert stints < 40, "twelve on a quiet machine"
    assert (check.people, check.errors) == (30_000, 0)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == roster.sha256


@pytest.mark.parametrize("people", [0, 1, 5, 199, 201, 1000])
def test_a_smaller_sample_is_the_beginning_of_a_larger_one(people: int, tmp_path: Path) -> None:
    small, large = sample_roster(people).people, sample_roster(1000).people
    assert len(small) == people
    known = {person.staff_number for person in small}
    for mine, theirs in zip(small, large, strict=False):
        if theirs.deputy_for in known or not theirs.deputy_for:
            assert mine == theirs
        else:
            assert (mine.deputy_for, mine.deputy_order) == ("", None), "points to nobody who is not there"
    if people:
        path = tmp_path / "small.csv"
        write_csv(path, *roster_rows(sample_roster(people)))
        check = check_roster(path, ORGUNITS)
        assert check.ok
        assert not [issue for issue in check.issues if issue.column == "代理対象"]


def test_more_than_there_are_names() -> None:
    for wrong in (-1, 30_001):
        with pytest.raises(InputError, match="30,000 人まで"):
            sample_roster(wrong)


# -- the scenario -----------------------------------------------------------------------------------


def test_the_scenario_says_what_the_drill_of_the_city_needs() -> None:
    scenario = yaml.safe_load(SCENARIO.read_text(encoding="utf-8"))
    roster = sample_roster()
    assert (scenario["kind"], scenario["targets"], scenario["deadline_s"]) == ("exercise", "all", 1800)
    texts = [item["text"] for item in (*scenario["messages"], *scenario["injects"])]
    assert all(text.startswith("【訓練】") for text in texts)
    assert all(len(message["text"]) <= 1000 for message in scenario["messages"]), (
        "contentText of a button template"
    )
    labels = [label for message in scenario["messages"] for label in message["buttons"]]
    assert all(len(label) <= 12 for label in labels), "the short code needs the rest of 20"
    first, second = scenario["waves"]
    assert (first["message"], first["after_s"], len(roster.select(first["who"]))) == ("b01", 0, 200)
    wards = roster.select(second["who"])
    assert (second["message"], len(wards)) == ("b02", 48)
    assert {person.ward for person in wards} == set(WARDS)
    assert second["after_s"] >= 300
    assert scenario["reminders"] == [{"after_s": 300, "max": 2}]
    assert "3 階以上" in scenario["messages"][1]["text"]
    ids = [inject["id"] for inject in scenario["injects"]]
    assert len(ids) == len(set(ids))
    for inject in scenario["injects"]:
        assert roster.select(inject["to"])
        assert all(set(expected) == {"action", "within_s"} for expected in inject["expect"])
