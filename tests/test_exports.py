"""What `import bousai_kit` gives, and what it does not drag in."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import bousai_kit
from bousai_kit import panels

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("module", [bousai_kit, panels])
def test_public_names_are_sorted_and_there(module: object) -> None:
    names = list(module.__all__)  # type: ignore[attr-defined]
    assert names == sorted(names)
    assert names == sorted(module._WHERE)  # type: ignore[attr-defined]
    for name in names:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        module.nothing_of_that_name  # type: ignore[attr-defined]  # noqa: B018


def test_import_is_light() -> None:
    """No pandas, no HTTP, no disk beyond its own file."""
    code = "import sys; old = set(sys.modules); import bousai_kit; print(*sorted(set(sys.modules) - old))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.split())
    assert "bousai_kit" in loaded
    heavy = {"pandas", "httpx", "pydantic", "numpy", "sqlite3", "typer"}
    assert not {name.split(".")[0] for name in loaded} & heavy


def test_every_module_can_be_imported_and_says_what_it_is_for() -> None:
    for path in sorted((ROOT / "bousai_kit").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        assert importlib.import_module(name).__doc__, name
