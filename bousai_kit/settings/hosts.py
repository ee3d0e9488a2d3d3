"""Which host names are this machine."""

from __future__ import annotations

import ipaddress

__all__ = ["is_loopback_host"]


def is_loopback_host(host: str | None) -> bool:
    """127.0.0.0/8, ::1 or localhost. 0.0.0.0 is not, nor is a name that merely begins like one.

    Parameters
    ----------
    host : str or None
        As `urllib.parse.urlsplit` gives it; brackets around IPv6 do not matter.
    """
    name = (host or "").strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None
