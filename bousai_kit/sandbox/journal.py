"""Append-only rows of the tenant, kept compactly: text lines in entities of 64, for tenants of 30,000 people.

A row is a JSON array whose first item is its time in milliseconds since 1970 (UTC). Rows are written
about in the order of their times; nothing is ever changed or taken out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bousai_kit.sandbox.tenant import Tenant

__all__ = ["append", "moment", "ms", "rows"]

CHUNK = 64


def ms(at: datetime) -> int:
    """Milliseconds since 1970."""
    return round(at.timestamp() * 1000)


def moment(milliseconds: int) -> datetime:
    """The time of a row, aware UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def append(tenant: Tenant, table: str, row: list[Any]) -> None:
    """Add a row."""
    chunks = tenant.table(table)
    key = tenant.caches.get(f"journal:{table}")
    if key is None and chunks:
        key = next(reversed(chunks))
    chunk = chunks.get(key) if key is not None else None
    at = row[0]
    if key is None or chunk is None or len(chunk["r"]) >= CHUNK:
        key = f"{len(chunks) + 1:09d}"
        chunk = {"a": at, "z": at, "r": []}
    chunk["r"].append(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
    chunk["a"], chunk["z"] = min(chunk["a"], at), max(chunk["z"], at)
    tenant.caches[f"journal:{table}"] = key
    tenant.put(table, key, chunk)


def rows(
    tenant: Tenant, table: str, *, since: int | None = None, until: int | None = None
) -> Iterator[list[Any]]:
    """Rows with ``since <= time < until`` (milliseconds), in the order in which they were written."""
    for chunk in tenant.table(table).values():
        if (since is not None and chunk["z"] < since) or (until is not None and chunk["a"] >= until):
            continue
        for line in chunk["r"]:
            row = json.loads(line)
            if (since is None or row[0] >= since) and (until is None or row[0] < until):
                yield row
