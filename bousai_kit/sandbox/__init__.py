"""A LINE WORKS-compatible stand-in, written from the reference alone.

Names are loaded on first use: importing this pulls in neither the routes nor a server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Credentials, Sandbox
    from bousai_kit.sandbox.home import AnySandbox, open_home_sandbox, peek_clock, serve_home_sandbox
    from bousai_kit.sandbox.routes_admin import truth_of
    from bousai_kit.sandbox.serve import serve_hosts

_WHERE = {
    "AnySandbox": "home",
    "Credentials": "core",
    "Sandbox": "core",
    "open_home_sandbox": "home",
    "peek_clock": "home",
    "serve_home_sandbox": "home",
    "serve_hosts": "serve",
    "truth_of": "routes_admin",
}

__all__ = [
    "AnySandbox",
    "Credentials",
    "Sandbox",
    "open_home_sandbox",
    "peek_clock",
    "serve_home_sandbox",
    "serve_hosts",
    "truth_of",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
