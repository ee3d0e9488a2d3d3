"""Every notebook is thin, stripped, Japanese, and ends in checks."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
JAPANESE = re.compile(r"[ぁ-んァ-ヶ一-龠]")
SECRET = re.compile(
    r"-----BEGIN|secret\s*=|token\s*=|password\s*=|passphrase\s*=|Bearer |[A-Za-z0-9+/_-]{40,}", re.IGNORECASE
)
MOST_LINES = 100


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_of(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def parsed(source: str) -> ast.Module:
    return compile(  # type: ignore[no-any-return]
        source, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )


def test_there_are_notebooks() -> None:
    names = [path.name for path in NOTEBOOKS]
    assert names[:1] == ["00_start.ipynb"]
    assert all(re.fullmatch(r"\d0_[a-z]+\.ipynb", name) for name in names)
    others = {path.name for path in FOLDER.iterdir()} - set(names)
    assert others <= {".ipynb_checkpoints", "README.md"}, "the folder is what lab shows: nothing else in it"


each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@each
def test_valid_and_stripped(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    assert "signature" not in notebook.metadata
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata.language_info) == {"name"}  # no version of somebody's Python
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "jupyter"}
        assert "attachments" not in cell
    for cell in code_of(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids))


@each
def test_saved_as_this_repository_saves_them(path: Path) -> None:
    """One form on disk, so that a change shows as what it is."""
    text = path.read_text("utf-8")
    assert text == json.dumps(json.loads(text), ensure_ascii=False, indent=1) + "\n"


@each
def test_parameters_first_and_checks_last(path: Path) -> None:
    notebook = read(path)
    cells = code_of(notebook)
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith(f"# {path.stem[:2]} ")
    assert [cell.metadata.get("tags", []) for cell in cells].count(["parameters"]) == 1
    assert cells[0].metadata.get("tags") == ["parameters"]
    for node in parsed(cells[0].source).body:  # plain values that another program can put in their place
        assert isinstance(node, ast.Assign)
        ast.literal_eval(node.value)
    assert {"PROFILE", "SEED"} <= {
        target.id
        for node in parsed(cells[0].source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert notebook.cells[-1] == cells[-1]
    assert cells[-1].metadata.get("tags") == ["checks"]
    checks = [node for node in ast.walk(parsed(cells[-1].source)) if isinstance(node, ast.Assert)]
    assert checks
    assert not any(isinstance(check.test, ast.Constant) for check in checks)


@each
def test_thin(path: Path) -> None:
    cells = code_of(read(path))
    lines = [line for cell in cells for line in cell.source.splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES
    for cell in cells:
        for node in ast.walk(parsed(cell.source)):
            assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)
            assert not isinstance(node, ast.Global | ast.Try | ast.While)
            if isinstance(node, ast.Name):
                assert node.id not in {"print", "display", "exec", "eval", "input", "open"}
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                assert (module or "").partition(".")[0] in {"bousai_kit", "pathlib"}
        assert not re.search(r"^\s*[%!]", cell.source, re.MULTILINE), "no magics, no shell"


@each
def test_no_address_and_no_secret(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "://" not in text
    for cell in read(path).cells:
        assert not SECRET.search(cell.source), cell.id
        assert not re.search(r"(?<![\w.])/(?:home|root|tmp|work|Users)/", cell.source)


@each
def test_japanese_and_folded(path: Path) -> None:
    for cell in read(path).cells:
        first = cell.source.splitlines()[0]
        assert JAPANESE.search(cell.source), cell.id
        if cell.cell_type == "code":
            assert first.startswith("# "), cell.id
            assert JAPANESE.search(first), cell.id
            assert cell.metadata.get("jupyter", {}).get("source_hidden") is True, cell.id
        else:
            assert not re.search(r"!\[\]\(|<img(?![^>]*\balt=)", cell.source), "a picture without words"


@each
def test_links_lead_somewhere(path: Path) -> None:
    for cell in read(path).cells:
        for target in re.findall(r"\]\(([^)#]+)\)", cell.source):
            assert (FOLDER / target).exists(), target


@each
def test_a_sentence_stands_above_each_step(path: Path) -> None:
    """A result or panel is announced by a text cell; at most two code cells follow each other."""
    kinds = "".join(cell.cell_type[0] for cell in read(path).cells)
    assert "ccc" not in kinds
