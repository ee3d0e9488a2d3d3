"""The admin host: the truth for who judges the kit's numbers, and what a console would do.

No part of the vendor's API. It listens on loopback beside the others and asks for no token.
"""

from __future__ import annotations

import os

from bousai_kit.sandbox.ops import Call, Operation, Reply

__all__ = ["OPERATIONS"]


def _ready(call: Call) -> Reply:
    return Reply(200, {"ready": True, "pid": os.getpid(), "domainId": call.tenant.domain_id})


OPERATIONS: tuple[Operation, ...] = (
    Operation("admin.ready", "GET", "/ready", (), _ready, host="admin", limit="none"),
)
