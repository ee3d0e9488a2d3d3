"""The wire: LINE WORKS API 2.0. Knows the vendor's contract, knows nothing of drills, people or the ledger.

One file an API family; what is sent when, what is repeated, who may see the token are pure modules of their
own (`pacing`, `retry`, `hosts`, `memory`); `gate` waits, `client` puts them together, `exchange` is the one
that does I/O.
"""

from __future__ import annotations
