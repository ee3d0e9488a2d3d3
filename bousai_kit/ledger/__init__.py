"""The ledger: an append-only, hash-chained list of events that every status and report is a fold over.

`Ledger.append` returns after a durable commit. One writer thread groups whatever waits into one commit;
several processes on one file are serialised by the database; readers follow by ``seq``. How events are
hashed, and how to verify a file without the kit: `bousai_kit.ledger.chain`.

A Ledger is used in one event loop.
"""

from __future__ import annotations

from bousai_kit.ledger.book import Ledger
from bousai_kit.ledger.chain import GENESIS, Verification, verify_file
from bousai_kit.ledger.events import Event, NewEvent

__all__ = ["GENESIS", "Event", "Ledger", "NewEvent", "Verification", "verify_file"]
