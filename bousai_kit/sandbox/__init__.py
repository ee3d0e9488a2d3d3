"""A LINE WORKS-compatible stand-in, written from the reference alone."""

from __future__ import annotations

from bousai_kit.sandbox.core import Credentials, Sandbox

__all__ = ["Credentials", "Sandbox"]
