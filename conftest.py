"""No setting and no home of this machine gets into a test, nor into a notebook that runs as one."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile

import pytest

_scratch: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Before anything is imported: an own home, and none of the caller's settings."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in the background of a shell:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what tests start would inherit it
    for name in [name for name in os.environ if name.startswith("BOUSAI_")]:
        del os.environ[name]
    folder = tempfile.mkdtemp(prefix="bousai-test-")
    _scratch.append(folder)
    os.environ["BOUSAI_HOME"] = os.path.join(folder, "home")
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        os.environ[name] = os.path.join(folder, name.lower())
    os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
    os.environ["MPLBACKEND"] = "Agg"
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # see `leave_out_slow_parts`
    root = os.path.dirname(os.path.abspath(__file__))
    path = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(part for part in (root, path) if part)  # kernels, commands


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    while _scratch:
        shutil.rmtree(_scratch.pop(), ignore_errors=True)
