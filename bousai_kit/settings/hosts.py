"""Which hosts are this machine, and which may see the bearer token."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

__all__ = ["LOOPBACK_HOSTS", "VENDOR_HOSTS", "host_allowed", "is_loopback_host"]

VENDOR_HOSTS = ("worksapis.com", ".worksapis.com", "worksmobile.com", ".worksmobile.com")
"""Hosts of LINE WORKS; an entry with a leading dot stands for every host below it."""

LOOPBACK_HOSTS = ("localhost", "127.0.0.0/8", "::1")
"""This machine; 0.0.0.0 is not among them."""


def is_loopback_host(host: str | None) -> bool:
    """127.0.0.0/8, ::1 or localhost. 0.0.0.0 is not, nor is a name that merely begins like one."""
    name = (host or "").strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def host_allowed(host: str | None, allowed: Collection[str]) -> bool:
    """Whether the bearer token may follow to a host.

    Parameters
    ----------
    host : str or None
        As `urllib.parse.urlsplit` gives it.
    allowed : collection of str
        ``"example.jp"`` this host, ``".example.jp"`` every host below it, ``"127.0.0.0/8"`` a network.
    """
    name = (host or "").strip("[]").rstrip(".").lower()
    if not name:
        return False
    for entry in allowed:
        if "/" in entry:
            try:
                if ipaddress.ip_address(name) in ipaddress.ip_network(entry):
                    return True
            except ValueError:
                continue
        elif name == entry or (entry.startswith(".") and name.endswith(entry)):
            return True
    return False
