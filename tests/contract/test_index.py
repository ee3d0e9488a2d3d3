"""Every paragraph has a check, every check a paragraph, and none of them uses the kit's own client."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bousai_kit.sandbox.core import modules
from tests.contract.paragraphs import PARAGRAPHS

HERE = Path(__file__).parent
FILES = sorted(path for path in HERE.glob("test_*.py") if path.name != "test_index.py")


def checks(path: Path) -> dict[str, list[str]]:
    """Test function -> the paragraphs that it names."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            found[node.name] = [
                str(argument.value)
                for mark in node.decorator_list
                if isinstance(mark, ast.Call)
                and isinstance(mark.func, ast.Name)
                and mark.func.id == "paragraph"
                for argument in mark.args
                if isinstance(argument, ast.Constant)
            ]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_check_names_its_paragraph_and_speaks_plain_http(path: Path) -> None:
    assert [name for name, named in checks(path).items() if not named] == []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    ]
    assert [
        name for name in imported if name.startswith(("bousai_kit.lineworks", "bousai_kit.workbench"))
    ] == []


def test_each_paragraph_has_a_check() -> None:
    named = {name for path in FILES for names in checks(path).values() for name in names}
    assert sorted(set(PARAGRAPHS) - named) == []


def test_each_operation_names_a_paragraph_that_exists() -> None:
    operations = [
        op for module in modules() for op in getattr(module, "OPERATIONS", ()) if op.host != "admin"
    ]
    assert len(operations) > 100
    assert [op.name for op in operations if op.paragraph not in PARAGRAPHS] == []
