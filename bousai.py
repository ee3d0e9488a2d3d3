#!/usr/bin/env python3
"""Start the kit on a machine that has nothing but Python 3.11 or later (standard library only).

    python3 bousai.py demo            the main job on a sandbox; any `bousai` command goes here
    python3 bousai.py test [ARGS]     every check; ARGS go to pytest
    python3 bousai.py setup           only make the environment

Makes ``.venv`` beside this file, installs the locked requirements (uv when it can, else pip), again only
when the lock changed, mends a broken ``.venv``, then runs the command there. ``--wheelhouse DIR`` takes the
packages from a folder (closed networks); ``--lock FILE`` another lock. Set-up speaks on stderr only.

This file stays readable for old Pythons, so that they can say that they are too old.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time

NEEDED = (3, 11)
ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
LOCK = "requirements.lock"
STAMP = "bousai-stamp.json"  # what is installed; written last
BUILDING = ".bousai-building"  # stands while something is being installed: found later, it was killed
GUARD = ".bousai-setup.lock"  # held by the one launcher that works on .venv
WAIT_S = 1800.0
WINDOWS = os.name == "nt"
FOREIGN = (  # of another Python, or of another way to install: they would bend ours
    "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "CONDA_PREFIX",
    "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "UV_PROJECT_ENVIRONMENT",
)  # fmt: skip


class SetupError(Exception):
    """Something the operator has to mend; the text is the sentence for the screen."""


def say(sentence):
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


# -- where things are ---------------------------------------------------------------------------------


def python_of(venv, windows=WINDOWS):
    """The interpreter inside an environment."""
    return os.path.join(venv, "Scripts", "python.exe") if windows else os.path.join(venv, "bin", "python")


def packages_of(venv, windows=WINDOWS):
    """The site-packages folder of an environment, or None."""
    if windows:
        folder = os.path.join(venv, "Lib", "site-packages")
        return folder if os.path.isdir(folder) else None
    lib = os.path.join(venv, "lib")
    for name in sorted(os.listdir(lib)) if os.path.isdir(lib) else ():
        folder = os.path.join(lib, name, "site-packages")
        if name.startswith("python") and os.path.isdir(folder):
            return folder
    return None


def digest(path):
    """SHA-256 of a lock, whatever its line ends."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read().replace(b"\r\n", b"\n")).hexdigest()


def pins(path):
    """The pinned names and versions of a lock, without hashes and remarks."""
    with open(path, encoding="utf-8") as file:
        return {line.strip(" \\\n") for line in file if line[:1].isalnum()}


def clean_environment():
    """The environment variables for everything that is started."""
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    env["PYTHONUTF8"] = "1"  # Windows: UTF-8 for kernels too
    return env


# -- is the environment good? ---------------------------------------------------------------------------


def fingerprint(venv):
    """What changes when the Python underneath is replaced or removed; None when it is gone."""
    python = python_of(venv)
    try:
        real = os.path.realpath(python)
        stat = os.stat(real)
        with open(os.path.join(venv, "pyvenv.cfg"), encoding="utf-8") as file:
            lines = [line.partition("=") for line in file]
    except OSError:
        return None
    if any(name.strip() == "home" and not os.path.isdir(value.strip()) for name, _, value in lines):
        return None
    return [real, stat.st_size, int(stat.st_mtime)]


def read_stamp(venv):
    try:
        with open(os.path.join(venv, STAMP), encoding="utf-8") as file:
            stamp = json.load(file)
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def state_of(venv, lock):
    """``ready``, ``install`` (sound, but another lock), or ``rebuild`` (missing or broken)."""
    stamp = read_stamp(venv)
    if os.path.exists(os.path.join(venv, BUILDING)) or not os.path.isfile(os.path.join(venv, "pyvenv.cfg")):
        return "rebuild"
    packages, now = packages_of(venv), fingerprint(venv)
    if packages is None or now is None:
        return "rebuild"
    if not stamp:  # somebody's own environment: used when it works
        return "install" if works(venv, "pass") else "rebuild"
    if stamp.get("python") != now and not works(venv, "import typer"):
        return "rebuild"
    if not set(stamp.get("packages", ())) <= set(os.listdir(packages)):
        return "rebuild"
    if stamp.get("root") != ROOT:
        return "moved"
    if stamp.get("locks", {}).get(os.path.basename(lock)) != digest(lock):
        return "install"
    return "ready"


def works(venv, code):
    """Whether the environment's Python runs this."""
    import subprocess

    try:
        code = subprocess.call(
            [python_of(venv), "-P", "-c", code],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return False
    return code == 0


# -- one launcher at a time ---------------------------------------------------------------------------


@contextlib.contextmanager
def only_one(venv):
    """Hold the environment; another launcher waits. The lock dies with its process."""
    if os.path.lexists(venv) and not os.path.isdir(venv):
        os.unlink(venv)  # a dangling link, or a file in the way
    os.makedirs(venv, exist_ok=True)
    file = open(os.path.join(venv, GUARD), "a+b")  # noqa: SIM115 - held over the yield
    try:
        told, until = False, time.monotonic() + WAIT_S
        while not try_lock(file):
            if not told:
                say("別の bousai.py が準備をしています。終わるのを待っています…")
                told = True
            if time.monotonic() > until:
                raise SetupError("別の bousai.py の準備が終わりません。それを終了してから実行してください。")
            time.sleep(0.2)
        yield
    finally:
        file.close()


def try_lock(file):
    try:
        if WINDOWS:
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        import errno

        # a file system without locks: go on rather than wait for ever
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


# -- making it ----------------------------------------------------------------------------------------


def command(args):
    """Run one step of the set-up; its output goes to stderr. True when it went well."""
    import subprocess

    sys.stderr.flush()
    try:
        code = subprocess.call(args, env=clean_environment(), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=2)
    except OSError:
        return False
    return code == 0


def has_module(name):
    import importlib.util

    return importlib.util.find_spec(name) is not None


def wipe(venv):
    """Empty the folder, the held lock excepted."""
    for name in os.listdir(venv):
        path = os.path.join(venv, name)
        if name == GUARD:
            continue
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def make(venv, lock, wheelhouse):
    """Make the environment from nothing and fill it: uv, else this Python's pip, else one of its own."""
    uv = shutil.which("uv")
    ways = []
    if uv:
        build = [uv, "venv", "--quiet", "--no-project", "--allow-existing", "--python", sys.executable, venv]
        ways.append((build, "uv"))
    if has_module("venv") and has_module("pip"):
        ways.append(([sys.executable, "-m", "venv", "--without-pip", venv], "system pip"))
    if has_module("venv") and has_module("ensurepip"):
        ways.append(([sys.executable, "-m", "venv", venv], "pip"))
    if not ways:
        raise SetupError(
            "この Python では仮想環境を作れません（ensurepip がありません）。"
            "Debian・Ubuntu では `apt install python3-venv`、その他では uv または公式の Python を入れてから、"
            "もう一度実行してください。"
        )
    made = False
    for build, tool in ways:
        wipe(venv)
        mark(venv)
        if command(build):
            made = True
            if install(venv, lock, wheelhouse, tool):
                return
    if made:
        raise SetupError(no_packages(wheelhouse))
    raise SetupError(
        f"仮想環境 {venv} を作れません。フォルダの書き込み権限とディスクの空き容量を確認し、"
        "Debian・Ubuntu では `apt install python3-venv` を実行してから、もう一度実行してください。"
    )


def no_packages(wheelhouse):
    if wheelhouse:
        return (
            f"{wheelhouse} から必要なパッケージを入れられません。"
            "同じ OS と Python の版で集めたフォルダか、全部そろっているかを確認してください。"
        )
    return (
        "必要なパッケージを入れられません。ネットワーク接続とプロキシ（HTTPS_PROXY）を確認するか、"
        "閉じたネットワークでは --wheelhouse フォルダ を付けて実行してください。"
    )


def mark(venv):
    with open(os.path.join(venv, BUILDING), "w", encoding="utf-8") as file:
        file.write(str(os.getpid()))


def install(venv, lock, wheelhouse, tool):
    """Install a lock; True when it went well."""
    python = python_of(venv)
    source = ["--no-index", "--find-links", wheelhouse] if wheelhouse else []
    wanted = ["--require-hashes", *source, "-r", lock]
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    if tool == "uv":
        uv = shutil.which("uv") or "uv"
        offline = ["--offline"] if wheelhouse else []
        return command([uv, "pip", "install", *quiet, "--python", python, *offline, *wanted])
    pip = ["install", *quiet, "--disable-pip-version-check", "--no-input", *wanted]
    if tool == "pip":
        return command([python, "-m", "pip", *pip])
    return command([sys.executable, "-m", "pip", "--python", python, *pip])


def update(venv, lock, wheelhouse):
    """Bring a sound environment to a new lock; False when no tool could."""
    mark(venv)
    if shutil.which("uv") and install(venv, lock, wheelhouse, "uv"):
        return True
    if works(venv, "import pip") and install(venv, lock, wheelhouse, "pip"):
        return True
    return has_module("pip") and install(venv, lock, wheelhouse, "system pip")


def connect(venv, windows=WINDOWS):
    """Make the package importable and `bousai` runnable inside, wherever the folder is moved to."""
    packages = packages_of(venv, windows)
    up = os.path.relpath(os.path.dirname(venv), packages)
    write(os.path.join(packages, "bousai_kit_here.pth"), up.replace(os.sep, "/") + "\n")
    if windows:
        text = '@"%~dp0python.exe" -P -X utf8 -m bousai_kit %*\r\n'
        write(os.path.join(venv, "Scripts", "bousai.cmd"), text)
    else:
        path = os.path.join(venv, "bin", "bousai")
        write(path, '#!/bin/sh\nexec "$(dirname "$0")/python" -P -m bousai_kit "$@"\n')
        os.chmod(path, 0o755)


def relocate(venv, old, windows=WINDOWS):
    """The folder was moved: scripts that name the old place name the new one."""
    folder = os.path.dirname(python_of(venv, windows))
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) > 100000:
            continue
        with open(path, "rb") as file:
            data = file.read()
        if old.encode() in data and b"\0" not in data:
            with open(path, "r+b") as file:
                file.write(data.replace(old.encode(), venv.encode()))
                file.truncate()


def write(path, text):
    """Write a file in one step."""
    part = f"{path}.{os.getpid()}.part"
    with open(part, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    os.replace(part, path)


def finish(venv, lock):
    """Check what was made and say so in the stamp."""
    connect(venv)
    if not works(venv, "import bousai_kit, typer, httpx"):
        raise SetupError(f"準備した環境が動きません。{venv} を削除してから、もう一度実行してください。")
    have, locks = pins(lock), {}
    for name in sorted({*os.listdir(ROOT), os.path.basename(lock)}):
        path = lock if name == os.path.basename(lock) else os.path.join(ROOT, name)
        if name.startswith("requirements") and name.endswith(".lock") and pins(path) <= have:
            locks[name] = digest(path)  # a smaller lock is in, too
    locks[os.path.basename(lock)] = digest(lock)
    stamp = {
        "locks": locks,
        "root": ROOT,
        "python": fingerprint(venv),
        "packages": sorted(name for name in os.listdir(packages_of(venv)) if name != "__pycache__"),
    }
    write(os.path.join(venv, STAMP), json.dumps(stamp))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(venv, BUILDING))


def prepare(lock, wheelhouse=None):
    """Have a good environment for this lock; returns its Python."""
    if not os.path.isfile(lock):
        raise SetupError(f"{lock} がありません。キットを取得し直してください。")
    if wheelhouse is not None and not os.path.isdir(wheelhouse):
        raise SetupError(f"--wheelhouse のフォルダ {wheelhouse} がありません。場所を確認してください。")
    if state_of(VENV, lock) == "ready":
        return python_of(VENV)
    with only_one(VENV):
        state = state_of(VENV, lock)
        if state == "moved":
            relocate(VENV, os.path.join(str(read_stamp(VENV).get("root")), ".venv"))
            connect(VENV)
            stamp = read_stamp(VENV)
            stamp.update(root=ROOT, python=fingerprint(VENV))
            write(os.path.join(VENV, STAMP), json.dumps(stamp))
            state = state_of(VENV, lock)
        if state == "ready":  # another launcher has done it, or the move was all
            return python_of(VENV)
        say("準備をしています（初回と更新時のみ。数分かかることがあります）…")
        if state == "rebuild" or not update(VENV, lock, wheelhouse):
            if state == "rebuild" and os.path.exists(os.path.join(VENV, "pyvenv.cfg")):
                say("仮想環境 .venv が壊れているか途中までのため、作り直します。")
            make(VENV, lock, wheelhouse)
        finish(VENV, lock)
        say("準備ができました。")
    return python_of(VENV)


# -- running --------------------------------------------------------------------------------------------


def hand_over(python, args):
    """Become the command (or, on Windows, stand aside for it); returns its exit code."""
    line = [python, "-P", "-X", "utf8", *args]
    env = clean_environment()
    sys.stdout.flush()
    sys.stderr.flush()
    if not WINDOWS:
        os.execve(python, line, env)
    import signal
    import subprocess

    child = subprocess.Popen(line, env=env)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the child by itself
    return child.wait()


WAITING = (  # tests that mostly wait for processes of their own, and some that make both halves equally long
    "notebooks", "tests/browser", "tests/receiver",
    "tests/test_demo.py", "tests/test_doctor.py", "tests/test_lab.py", "tests/test_launcher.py",
    "tests/doctor", "tests/latency", "tests/logs", "tests/panels", "tests/roster",
)  # fmt: skip


def halves(extra):
    """Arguments of the pytest in front and of the one beside it (none: one is enough)."""
    if extra or not all(os.path.exists(os.path.join(ROOT, *path.split("/"))) for path in WAITING):
        return list(extra), []
    return ["tests", *(f"--ignore={path}" for path in WAITING if path != "notebooks")], list(WAITING)


def run_tests(python, extra):
    """Every check in one go: ruff, mypy and the waiting half of the tests beside the computing half."""
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory(prefix="bousai-test-", ignore_cleanup_errors=True) as scratch:
        env = {name: value for name, value in clean_environment().items() if not name.startswith("BOUSAI_")}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # the tests start a hundred processes: compiled once
        env.update(
            BOUSAI_HOME=os.path.join(scratch, "home"),
            JUPYTER_CONFIG_DIR=os.path.join(scratch, "jupyter"),
            JUPYTER_DATA_DIR=os.path.join(scratch, "jupyter-data"),
            IPYTHONDIR=os.path.join(scratch, "ipython"),
        )
        begin = [python, "-P", "-X", "utf8", "-m"]

        def start(name, args):
            output = open(os.path.join(scratch, name), "w+b")  # noqa: SIM115 - read after its process
            child = subprocess.Popen(
                [*begin, *args], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            return name, child, output

        beside = [start("ruff", ["ruff", "check", "."]), start("mypy", ["mypy"])]
        first, second = halves(extra)
        if second:
            beside += [start("pytest (2)", ["pytest", *second])]
        try:
            code = subprocess.call([*begin, "pytest", *first], cwd=ROOT, env=env)
            results = [("pytest", code)]
            for name, child, output in beside:
                results.append((name, child.wait()))
                output.seek(0)
                text = output.read().decode("utf-8", "replace").strip()
                output.close()
                if text:
                    say(f"--- {name} ---\n{text}")
        except KeyboardInterrupt:
            for _, child, _ in beside:
                child.terminate()
            results = [("pytest", 130)]
    for name, result in results:
        say(f"{name}: {'合格' if result == 0 else f'不合格（終了コード {result}）'}")
    return next((result for _, result in results if result), 0)


def take_options(argv):
    """Take the launcher's own options out of the command line, wherever they stand."""
    own = {"--wheelhouse": None, "--lock": None}
    left, rest = [], iter(argv)
    for arg in rest:
        name, equals, value = arg.partition("=")
        if arg == "--":
            left.append(arg)
            left.extend(rest)
        elif name in own:
            value = value if equals else next(rest, "")
            if not value:
                raise SetupError(f"{name} に値を付けてください。")
            own[name] = os.path.abspath(value)
        else:
            left.append(arg)
    return own["--wheelhouse"], own["--lock"] or os.path.join(ROOT, LOCK), left


def too_old():
    """The sentence for a Python that is too old, or None."""
    if sys.version_info >= NEEDED:
        return None
    have = ".".join(str(part) for part in sys.version_info[:3])
    newer = [name for name in ("python3.14", "python3.13", "python3.12", "python3.11") if shutil.which(name)]
    how = f"`{newer[0]} bousai.py …` で実行" if newer else "新しい Python を入れてから実行"
    return f"Python 3.11 以降が必要です（この Python は {have}）。{how}してください。"


def main(argv):
    with contextlib.suppress(AttributeError, ValueError):
        sys.stderr.reconfigure(errors="backslashreplace")
    old = too_old()
    if old:
        say(old)
        return 2
    try:
        wheelhouse, lock, args = take_options(argv)
        python = prepare(lock, wheelhouse)
        if args[:1] == ["setup"]:
            return 0
        if args[:1] == ["test"]:
            return run_tests(python, args[1:])
        return hand_over(python, ["-m", "bousai_kit", *args])
    except SetupError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say("中断しました。同じコマンドで続きから準備できます。")
        return 130
    except OSError as error:
        say(
            f"準備できません：{error.strerror}（{error.filename}）。"
            "フォルダの書き込み権限とディスクの空き容量を確認してから、もう一度実行してください。"
        )
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
