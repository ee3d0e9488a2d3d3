"""Passwords: strong, repeatable, underivable without the secret; the secret: private, whole, once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bousai_kit.errors import ConfigError
from bousai_kit.onboarding.passwords import PlanSecret, derive_password, home_mark, is_strong
from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.passwords import check_password

STRICT = Choices(password_policy="letters+digits+symbols")


@given(st.binary(min_size=32, max_size=32), st.text(min_size=1, max_size=20))
def test_every_password_obeys_the_strictest_policy(secret: bytes, key: str) -> None:
    password = derive_password(secret, "p1", key)
    check_password(password, "password", STRICT)  # the sandbox's own reading of the policy
    assert is_strong(password)
    assert not set(password) & set("lIO01o|")
    assert password == derive_password(secret, "p1", key)


def test_passwords_differ_by_person_plan_and_secret() -> None:
    seeds = [bytes([n]) * 32 for n in range(3)]
    made = {derive_password(one, plan, f"S{n}") for one in seeds for plan in ("p1", "p2") for n in range(99)}
    assert len(made) == 3 * 2 * 99


@pytest.mark.parametrize(
    "weak",
    [
        "Aa2#Aa2#Aa2",
        "aaa2#Bcdfghj",
        "abc2#Bdfhjkm",
        "cba2#Bdfhjkm",
        "aBc2#Bdfhjkm",
        "Abdfhjkmprt2",
        "2bdfhj#kmprT",
        "Bdfhjkm789#p",
    ],
)
def test_weak_ones_are_seen(weak: str) -> None:
    assert not is_strong(weak)


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: PlanSecret(tmp_path, "p1").ensure(), range(32)))
    assert len(made) == 1
    path = tmp_path / "plans" / "p1.secret"
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(path.parent).st_mode & 0o077 == 0
    assert [one.name for one in path.parent.iterdir()] == ["p1.secret"]
    assert next(iter(made)).hex() not in repr(PlanSecret(tmp_path, "p1"))


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret = PlanSecret(tmp_path, "p1")
    secret.ensure()
    os.chmod(secret.path, 0o644)
    with pytest.raises(ConfigError) as refused:
        secret.read()
    assert "chmod 600" in refused.value.hint


@pytest.mark.parametrize("content", [b"", b"xyz", b"\xff" * 64, b"00" * 16])
def test_a_damaged_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    secret = PlanSecret(tmp_path, "p1")
    secret.ensure()
    secret.path.write_bytes(content)
    with pytest.raises(ConfigError, match="壊れて"):
        secret.read()


def test_while_it_ends_nobody_can_use_it_and_an_error_brings_it_back(tmp_path: Path) -> None:
    secret = PlanSecret(tmp_path, "p1")
    before = secret.ensure()

    def refused() -> None:
        with secret.ending():
            assert not secret.exists
            raise KeyError

    with pytest.raises(KeyError):
        refused()
    assert secret.read() == before
    with secret.ending():
        pass
    assert not secret.left_over
    with pytest.raises(ConfigError):
        secret.read()


@pytest.mark.parametrize("plan_id", ["", "../x", "a/b", ".hidden", "a" * 80, "計画"])
def test_a_plan_id_is_no_path(tmp_path: Path, plan_id: str) -> None:
    with pytest.raises(ConfigError):
        PlanSecret(tmp_path, plan_id)


def test_a_home_knows_its_own_plans(tmp_path: Path) -> None:
    here, there = tmp_path / "a", tmp_path / "b"
    mark = home_mark(here, "p1")
    assert mark == home_mark(here, "p1") != home_mark(here, "p2")
    PlanSecret(here, "p1", mark)
    with pytest.raises(ConfigError, match="別のフォルダ"):
        PlanSecret(there, "p1", mark)
