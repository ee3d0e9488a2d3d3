"""bousai.py: made from nothing, mended, shared; tried with real processes on a small stand-in for the kit."""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

BASE = getattr(sys, "_base_executable", sys.executable)  # a Python as machines have it, no environment
LAUNCHER = Path(__file__).parent.parent / "bousai.py"
posix_only = pytest.mark.skipif(os.name != "posix", reason="POSIX の .venv を調べる")


def wheel(folder: Path, name: str, version: str = "1.0", script: bool = False) -> str:
    """Write the smallest wheel; its lock line."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if script:
        files[f"{name}/__init__.py"] += "def main():\n    print('script ran')\n"
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{name}-script = {name}:main\n"
    record = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(text.encode())}")
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    target = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(target.read_bytes()).hexdigest()}\n"


class City:
    """A checkout of a stand-in kit, with everything it needs in a wheelhouse."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.wheels = root.parent / "wheels"

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    def command(self, *args: str) -> list[str]:
        return [BASE, str(self.root / "bousai.py"), "--wheelhouse", str(self.wheels), *args]

    def run(self, *args: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
        options: dict[str, object] = {"cwd": self.root.parent, "env": environment(), **kwargs}
        return subprocess.run(
            self.command(*args), capture_output=True, text=True, timeout=120, check=False, **options
        )


def environment(**more: str) -> dict[str, str]:
    """No uv on PATH: the way that every machine has."""
    foreign = ("PIP_", "BOUSAI_", "PYTHON")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "utf-8", **more}


KIT = """
import sys, time, typer, httpx
print("kit", typer.VERSION, *sys.argv[1:], flush=True)
if "--sleep" in sys.argv:
    time.sleep(30)
sys.exit(int(sys.argv[sys.argv.index("--code") + 1]) if "--code" in sys.argv else 0)
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> City:
    """Made once, from nothing, in a folder with blanks and Japanese."""
    base = tmp_path_factory.mktemp("launcher")
    city = City(base / "大阪 防災 kit")
    city.wheels.mkdir()
    (city.root / "bousai_kit").mkdir(parents=True)
    shutil.copy(LAUNCHER, city.root)
    (city.root / "bousai_kit" / "__init__.py").write_text("")
    (city.root / "bousai_kit" / "__main__.py").write_text(KIT)
    lock = wheel(city.wheels, "typer", script=True) + wheel(city.wheels, "httpx")
    (city.root / "requirements.lock").write_text(lock)
    wheel(city.wheels, "extra")
    first = city.run("demo", "--code", "3")
    assert first.returncode == 3, first.stderr
    assert first.stdout == "kit 1.0 demo --code 3\n"  # set-up spoke on stderr only
    assert "準備ができました" in first.stderr
    return city


@pytest.fixture
def city(made: City, tmp_path: Path) -> City:
    """The made one, moved: scripts and paths of the old place are in it."""
    target = tmp_path / "移した 先" / "kit"
    shutil.copytree(made.root, target, symlinks=True)
    shutil.copytree(made.wheels, target.parent / "wheels")
    return City(target)


@posix_only
def test_second_start_is_silent_and_quick(made: City) -> None:
    began = time.monotonic()
    bare = subprocess.run([str(made.python), "-c", "import typer"], check=True, cwd=made.root)
    middle = time.monotonic()
    again = made.run("status", "日本語 引数")
    assert bare.returncode == 0
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == "kit 1.0 status 日本語 引数\n"
    assert (time.monotonic() - middle) < 3.0 + 5 * (middle - began)


@posix_only
def test_moved_folder_is_mended_in_place(city: City) -> None:
    cfg = (city.venv / "pyvenv.cfg").stat().st_mtime_ns
    assert city.run("x").stdout == "kit 1.0 x\n"
    assert (city.venv / "pyvenv.cfg").stat().st_mtime_ns == cfg  # not made anew
    for line, said in ((["typer-script"], "script ran\n"), (["bousai", "y"], "kit 1.0 y\n")):
        path = city.venv / "bin" / line[0]
        assert subprocess.check_output([path, *line[1:]], text=True, env=environment()) == said


@posix_only
def test_new_lock_is_installed_once(city: City) -> None:
    (city.root / "requirements.lock").write_text(
        wheel(city.wheels, "typer", "2.0") + wheel(city.wheels, "httpx") + wheel(city.wheels, "extra")
    )
    updated = city.run("x")
    assert updated.stdout == "kit 2.0 x\n", updated.stderr
    assert "準備" in updated.stderr
    assert city.run("x").stderr == ""


@posix_only
@pytest.mark.parametrize("damage", ["interpreter", "package", "killed", "link"])
def test_broken_environment_is_made_anew(city: City, damage: str) -> None:
    """The interpreter went away, a package was deleted, a set-up was killed, .venv is a dead link."""
    if damage == "interpreter":
        for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
            (city.venv / "bin" / name).unlink(missing_ok=True)
            (city.venv / "bin" / name).symlink_to("/nowhere/python3")
    elif damage == "package":
        shutil.rmtree(next(city.venv.glob("lib/*/site-packages/typer")))
    elif damage == "killed":
        (city.venv / "bousai-stamp.json").unlink()
        (city.venv / ".bousai-building").write_text("1")
    else:
        shutil.rmtree(city.venv)
        city.venv.symlink_to("/nowhere/venv")
    mended = city.run("x")
    assert mended.stdout == "kit 1.0 x\n", mended.stderr
    assert city.run("x").stderr == ""


@posix_only
def test_two_at_once_and_one_killed(city: City) -> None:
    """kill -9 in the middle of the set-up; then two launchers start together."""
    shutil.rmtree(city.venv)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    victim = subprocess.Popen(city.command("x"), env=environment(), start_new_session=True, **quiet)
    deadline = time.monotonic() + 60
    while not (city.venv / "pyvenv.cfg").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    pair = [
        subprocess.Popen(
            city.command(name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
        for name in ("one", "two")
    ]
    said = [process.communicate(timeout=120) for process in pair]
    assert [out for out, _ in said] == ["kit 1.0 one\n", "kit 1.0 two\n"], said
    assert sum("準備ができました" in err for _, err in said) == 1
    assert sum("終わるのを待っています" in err for _, err in said) == 1


@posix_only
def test_signals_reach_the_command(made: City) -> None:
    with subprocess.Popen(
        made.command("--sleep"), stdout=subprocess.PIPE, stderr=-3, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("kit")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM


def test_environment_of_another_python_does_not_get_in(made: City, tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("VERSION = 'foreign'")
    foreign = environment(PYTHONPATH=str(tmp_path), VIRTUAL_ENV="/nowhere", CONDA_PREFIX="/nowhere")
    assert made.run("x", env=foreign, cwd=tmp_path).stdout == "kit 1.0 x\n"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bousai_launcher", LAUNCHER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_old_python_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ast.parse(LAUNCHER.read_text(encoding="utf-8"), feature_version=(3, 6))  # an old Python can read it
    launcher = load()
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    assert launcher.main(["demo"]) == 2
    assert "Python 3.11 以降が必要です（この Python は 3.9.2）" in capsys.readouterr().err


def test_python_that_cannot_make_environments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    launcher = load()
    monkeypatch.setattr(launcher, "VENV", str(tmp_path / ".venv"))
    monkeypatch.setattr(launcher, "has_module", lambda name: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert launcher.main(["demo"]) == 2
    assert "apt install python3-venv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--wheelhouse"], "--wheelhouse に値"),
        (["--wheelhouse", "/nowhere", "demo"], "/nowhere がありません"),
        (["--lock=/nowhere.lock", "demo"], "/nowhere.lock がありません"),
    ],
)
def test_wrong_options(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert load().main(argv) == 2
    assert said in capsys.readouterr().err


@posix_only
def test_incomplete_wheelhouse_leaves_nothing_half_done(city: City) -> None:
    shutil.rmtree(city.venv)
    next(city.wheels.glob("httpx-*")).rename(city.root / "httpx-1.0-py3-none-any.whl")
    failed = city.run("x")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.rstrip().endswith("全部そろっているかを確認してください。")
    (city.root / "httpx-1.0-py3-none-any.whl").rename(city.wheels / "httpx-1.0-py3-none-any.whl")
    assert city.run("x").stdout == "kit 1.0 x\n"


def test_windows_layout(tmp_path: Path) -> None:
    launcher = load()
    venv = tmp_path / "kit" / ".venv"
    packages = venv / "Lib" / "site-packages"
    packages.mkdir(parents=True)
    (venv / "Scripts").mkdir()
    assert launcher.python_of(str(venv), windows=True).endswith(os.path.join("Scripts", "python.exe"))
    assert launcher.packages_of(str(venv), windows=True) == str(packages)
    launcher.connect(str(venv), windows=True)
    pth = (packages / "bousai_kit_here.pth").read_text().strip()
    assert (packages / pth).resolve() == tmp_path / "kit"  # relative: the folder may be moved
    assert "-m bousai_kit %*" in (venv / "Scripts" / "bousai.cmd").read_text()


def test_smaller_lock_counts_as_installed() -> None:
    launcher = load()
    root = LAUNCHER.parent
    small, large = launcher.pins(root / "requirements.lock"), launcher.pins(root / "requirements-ci.lock")
    assert len(small) > 50
    assert small < large
    for name in ("requirements.lock", "requirements-ci.lock"):
        text = (root / name).read_text()
        assert "://" not in text
        assert "--index" not in text
        assert text.count("--hash=sha256:") >= len(launcher.pins(root / name))
