"""The bot's callback endpoint: an ASGI app (`build_receiver`), and it on a socket (`serve_receiver`)."""

from __future__ import annotations

from bousai_kit.receiver.app import CALLBACK_PATH, Receiver, build_receiver, callback_event
from bousai_kit.receiver.serve import serve_receiver

__all__ = ["CALLBACK_PATH", "Receiver", "build_receiver", "callback_event", "serve_receiver"]
