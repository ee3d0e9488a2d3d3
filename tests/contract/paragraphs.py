"""Which paragraph of the LINE WORKS reference a check holds: ``@paragraph("1 §4.5")``.

``1`` is authentication, common behaviour and directory; ``2`` bots, messages, callbacks and logs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Check = TypeVar("Check", bound=Callable[..., object])

PARAGRAPHS: dict[str, str] = {
    "1 §1.2": "JWT",
    "1 §1.3": "Token request",
    "1 §1.4": "Token response",
    "1 §1.5": "Lifetimes",
    "1 §1.6": "Refresh and revoke",
    "1 §1.8": "Errors of the auth host",
    "1 §1.9": "Scopes",
    "1 §2.1": "Request basics",
    "1 §2.2": "Identifying resources",
    "1 §2.3": "Pagination",
    "1 §2.4": "Errors",
    "1 §2.5": "Rate limits",
    "1 §2.7": "File upload and download",
    "1 §3": "Directory: endpoint list",
    "1 §4.1": "Member states",
    "1 §4.2": "User object",
    "1 §4.3": "organizations[]",
    "1 §4.4": "passwordConfig",
    "1 §4.5": "Create",
    "1 §4.6": "List and get",
    "1 §4.7": "PUT, PATCH, move",
    "1 §4.8": "Delete, suspend, logout, leave, invitation, alias, photo",
    "1 §5": "Org units",
    "1 §6": "Groups",
    "1 §7": "Levels, positions, user types, custom properties",
    "1 §9": "Has this person logged in?",
    "1 §10": "Behaviour that differs from the documentation",
    "2 §1.1": "Bots: lifecycle and endpoints",
    "2 §1.2": "Bot object",
    "2 §1.3": "Domain registration and members",
    "2 §1.4": "Persistent menu",
    "2 §1.5": "Rich menu",
    "2 §1.6": "Attachments",
    "2 §2.1": "Messages: endpoints",
    "2 §2.2": "Content types",
    "2 §2.3": "Actions",
    "2 §2.4": "Quick reply",
    "2 §2.5": "Flex",
    "2 §2.7": "Message errors",
    "2 §3": "Channels (rooms)",
    "2 §4.1": "Callback transport",
    "2 §4.2": "Event payloads",
    "2 §5": "Rate limits",
    "2 §6.1": "Audit: call",
    "2 §6.2": "Audit: services",
    "2 §6.3": "Audit: CSV",
    "2 §7": "Monitoring (message contents)",
    "2 §9.1": "Boards",
    "2 §9.2": "Forms",
    "2 §10": "Security switch",
    "2 §15": "Tolerances that public clients rely on",
}


def paragraph(*names: str) -> Callable[[Check], Check]:
    """Say which paragraphs a check holds; `test_index` reads it from the source."""
    unknown = [name for name in names if name not in PARAGRAPHS]
    if unknown or not names:
        raise ValueError(f"no such paragraph: {unknown}")

    def mark(check: Check) -> Check:
        return check

    return mark
