"""The token host (skeleton; grows)."""
from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Token:
    """Who asks. ``user_id`` "" means the service account."""

    scopes: frozenset[str]
    expires_at: datetime
    domain_id: int
    user_id: str = ""

    @property
    def is_service(self) -> bool:
        return not self.user_id
