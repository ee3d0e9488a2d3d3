"""A plan as a file: the same plan comes back, for its owner alone, and not when it was altered."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bousai_kit.errors import ConfigError, InputError
from bousai_kit.onboarding import load_plan, prepare_plan, save_plan
from bousai_kit.onboarding.items import Plan
from bousai_kit.onboarding.plan import build_plan
from bousai_kit.onboarding.plan_file import FORMAT, content_digest, keep_copy, kept_plan, plan_digest
from tests.onboarding.test_plan import crowd, member, person, roster, view
from tests.yardstick import in_stints


def a_plan() -> Plan:
    people = [person(n, last_name="𠮷野", ward="北区", extra={"趣味": "登山"}) for n in range(1, 4)]
    tenant = view(member(1), member(2, key="S9"), member(7))
    return build_plan(roster(*people), tenant, leavers="suspend", max_leavers=5)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    plan = prepare_plan(a_plan(), tmp_path / "home")
    assert {item.action for item in plan.people} == {"create", "update", "conflict"}
    path = save_plan(plan, tmp_path / "計画 1.json")
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert load_plan(path) == plan
    assert plan_digest(load_plan(path)) == plan_digest(plan)
    text = path.read_text("utf-8")
    assert "𠮷野" in text  # a second person can read it
    assert "\n" in text
    said = json.loads(text)
    assert said["summary"]["create"] == 1
    assert said["people"][0]["changes"]["last_name"] == ["試験", "𠮷野"]


def test_the_digest_without_the_home_is_known_after_loading_and_goes_with_no_other_plan(
    tmp_path: Path,
) -> None:
    made = a_plan()
    plan = prepare_plan(made, tmp_path / "home")
    assert plan.home_mark
    loaded = load_plan(save_plan(plan, tmp_path / "plan.json"))
    assert loaded.content_sha256 == content_digest(plan) == plan_digest(made) != plan_digest(plan)
    assert content_digest(loaded) == loaded.content_sha256
    other = replace(loaded, people=loaded.people[1:])
    assert other.content_sha256 == ""
    assert (
        content_digest(other) == plan_digest(replace(made, people=made.people[1:])) != content_digest(loaded)
    )


def test_a_plan_of_another_version_is_refused_as_such(tmp_path: Path) -> None:
    path = save_plan(a_plan(), tmp_path / "plan.json")
    path.write_text(path.read_text("utf-8").replace(FORMAT, "bousai-onboarding-plan/2"), "utf-8")
    with pytest.raises(InputError, match="別の版の bousai_kit で作られた"):
        load_plan(path)


@pytest.mark.parametrize(
    ("name", "value"), [("nickname", "x"), ("person", {}), ("staff_number", None), ("action", None)]
)
def test_a_person_with_other_fields_than_ours_is_refused(tmp_path: Path, name: str, value: object) -> None:
    said = json.loads(save_plan(a_plan(), tmp_path / "plan.json").read_text("utf-8"))
    del said["sha256"]
    said["people"][0].pop(name, None)
    said["people"][0] |= {name: value} if value is not None else {}
    text = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    (tmp_path / "plan.json").write_text(
        text[:-1] + f',"sha256":"{hashlib.sha256(text.encode()).hexdigest()}"}}'
    )
    with pytest.raises(InputError, match="解釈"):
        load_plan(tmp_path / "plan.json")


def test_saving_over_a_readable_file_makes_it_private(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("x")
    os.chmod(path, 0o644)
    save_plan(a_plan(), path)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"row": 4', '"row": 5'),
        ("a3@city", "x3@city"),
        ('"create": 1', '"create": 9'),
        ('"bousai-all"', '"bousai-al"'),
    ],
)
def test_an_altered_plan_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = save_plan(a_plan(), tmp_path / "plan.json")
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(InputError, match="書き換え"):
        load_plan(path)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"format": "bousai-onboarding-plan/9"}', b"[" * 100_000]
)
def test_what_is_no_plan_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        load_plan(path)
    assert refused.value.exit_code == 2
    with pytest.raises(InputError):
        load_plan(tmp_path / "missing.json")


def test_a_copy_is_kept_beside_the_secret(tmp_path: Path) -> None:
    plan = a_plan()
    keep_copy(plan, tmp_path)
    assert kept_plan(tmp_path, plan.plan_id) == plan
    with pytest.raises(InputError):
        kept_plan(tmp_path, "p0")
    with pytest.raises(ConfigError):
        keep_copy(replace(plan, plan_id="../../etc/x"), tmp_path)


def test_thousands_against_thousands_take_no_time() -> None:
    tenant = crowd(3_000, organizations=())
    people = roster(*(person(n) for n in range(1, 3_001)))
    plan, stints = in_stints(lambda: build_plan(people, tenant))
    assert plan.count("update") == 3_000
    assert stints < 30  # a square would take far longer; `bench/onboarding.py` measures
