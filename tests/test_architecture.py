"""Who may import whom (design §2), read from the imports themselves."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bousai_kit"

FLOORS = {  # higher numbers may import lower ones
    "errors": 0,
    "clock": 0,
    "files": 0,
    "locks": 0,
    "settings": 1,
    "ledger": 1,
    "tables": 2,
    "roster": 2,
    "logs": 2,
    "lineworks": 2,
    "onboarding": 3,
    "drills": 3,
    "receiver": 3,
    "latency": 3,
    "situation": 3,
    "citizens": 3,
    "alerts": 3,
    "records": 3,
    "watch": 3,
    "receiving": 4,
    "rehearsal": 4,
    "steps": 4,
    "workbench": 4,
    "doctor": 4,
    "lab": 5,
    "demo": 5,
    "panels": 5,
    "cli": 5,
    "__main__": 5,
}
WIRE, MATERIALS = {"lineworks"}, {"tables", "roster", "logs"}
TRADES = {name for name, floor in FLOORS.items() if floor == 3}
SANDBOX_MAY = {"sandbox", "clock", "errors", "roster", "tables"}
OUTSIDE_THE_FACE = {"ipywidgets", "typer", "IPython", "jupyterlab", "nbclient", "nbconvert", "traitlets"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def area(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported(path: Path) -> frozenset[str]:
    """Dotted names that a module imports, wherever in its text; for annotations only ones excepted."""
    annotating = {
        below
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for top in node.body
        for below in ast.walk(top)
    }
    package = ["bousai_kit", *path.relative_to(PACKAGE).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if node in annotating:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found.add(module)
            if module == "bousai_kit":
                found |= {f"{module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def own(path: Path) -> set[str]:
    """Areas of the kit that a module imports."""
    names = {name.split(".")[1] for name in imported(path) if name.startswith("bousai_kit.")}
    public = {"open_workbench": "workbench", "Workbench": "workbench", "Ledger": "ledger"}
    return {public.get(name, name) for name in names} - {"__version__"}


def ids(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", modules(), ids=ids)
def test_a_floor_imports_only_lower_floors(path: Path) -> None:
    here = area(path)
    used = own(path)
    if here == "sandbox":
        assert used <= SANDBOX_MAY, "the sandbox is written apart from what it judges"
        return
    if here == "__init__":
        return  # names only; loaded on first use
    assert here in FLOORS, f"give {here} its floor"
    for name in used - {here}:
        if name == "sandbox":
            assert FLOORS[here] >= 4, f"{here} may not know the sandbox"
            continue
        assert FLOORS[name] <= FLOORS[here], f"{here} imports {name}, which stands above it"
        assert not (here in TRADES and name in TRADES), f"trades do not import each other: {here}, {name}"
    if here in WIRE | MATERIALS:
        assert not used & ((WIRE | MATERIALS) - {here} - ({"tables"} if here in MATERIALS else set()))


@pytest.mark.parametrize("path", modules(), ids=ids)
def test_widgets_and_terminals_stay_in_the_face(path: Path) -> None:
    if FLOORS.get(area(path), 0) < 5:
        assert not {name.split(".")[0] for name in imported(path)} & OUTSIDE_THE_FACE


@pytest.mark.parametrize("path", modules(), ids=ids)
def test_modules_stay_readable(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", modules(), ids=ids)
def test_no_default_argument_reads_a_clock(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
            calls = [ast.unparse(default) for default in defaults if isinstance(default, ast.Call)]
            assert not any("now" in call or "time" in call for call in calls)


WALL = {"time.time", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
WALL_MAY = {"clock", "cli", "panels", "lab", "demo", "sandbox"}  # pixels, processes, a served start


@pytest.mark.parametrize("path", modules(), ids=ids)
def test_only_the_clock_reads_the_wall(path: Path) -> None:
    if area(path) in WALL_MAY:
        return
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in WALL, f"line {node.lineno}"
