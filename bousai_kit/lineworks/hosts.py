"""Which hosts may be talked to, and which may see the bearer token. Pure.

A ``Location`` (or an upload URL) is data from outside: it is followed only to the vendor's own hosts, to
the API's own origin, and to hosts that the operator listed (`BOUSAI_DOWNLOAD_HOSTS`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

import httpx

__all__ = ["VENDOR_SUFFIXES", "HostRule", "is_in_process", "is_loopback"]

VENDOR_SUFFIXES = (".worksapis.com", ".worksmobile.com")
"""www.worksapis.com, auth.worksmobile.com, (apis-)storage.worksmobile.com and other instances (307)."""

_DEFAULT_PORT = {"https": 443, "http": 80}


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine: 127.0.0.0/8, ::1 or localhost; 0.0.0.0 is not.

    Parameters
    ----------
    host : str
        Without port and without brackets.
    """
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return False
    return address.is_loopback


def is_in_process(host: str) -> bool:
    """Tell whether a host is one of an in-process tenant's (``*.invalid`` is never resolved)."""
    return host.endswith(".invalid")


class HostRule:
    """Decide whether a URL may be requested with the bearer token.

    Parameters
    ----------
    api_url : str
        The API's base; its own origin is always allowed.
    allowed_hosts : collection of str
        Further hosts: ``name`` (its scheme's default port), ``name:port``, or ``.suffix``.
    in_process : bool
        The tenant runs inside this process: plain HTTP to ``*.invalid`` is no network at all.

    Notes
    -----
    HTTPS is required except towards loopback (when the API itself is there) and an in-process tenant.
    The vendor's own hosts are allowed unless the API is on loopback or in process: a practice tenant
    reaches nothing but itself.
    """

    def __init__(self, *, api_url: str, allowed_hosts: Collection[str], in_process: bool) -> None:
        api = httpx.URL(api_url)
        self._origin = (api.scheme, api.host, _port(api))
        self._loopback = is_loopback(api.host)
        self._in_process = in_process and is_in_process(api.host)
        self._exact: set[str] = set()
        self._suffixes: list[str] = []
        for entry in allowed_hosts:
            name = entry.strip().lower()
            if "://" in name:
                name = name.split("://", 1)[1].split("/", 1)[0]
            if name.startswith(("*.", ".")):
                self._suffixes.append(name.lstrip("*"))
            elif name:
                self._exact.add(name)
        if not self._loopback and not self._in_process:
            self._suffixes.extend(VENDOR_SUFFIXES)

    def follow(self, base: httpx.URL, location: str) -> httpx.URL | None:
        """Resolve a ``Location`` against the URL that was asked; None: not to be followed."""
        if (
            not location
            or not location.isascii()
            or any(c <= " " or c == "\\" or c == "\x7f" for c in location)
        ):
            return None
        try:
            url = base.join(location)
            return url if self.allows(url) else None
        except (httpx.InvalidURL, ValueError):  # also of a host that is no IDNA
            return None

    def allows(self, url: httpx.URL) -> bool:
        """True when the bearer token may go there."""
        if url.userinfo or url.scheme not in _DEFAULT_PORT or not url.host:
            return False
        host, port = url.host, _port(url)
        if (url.scheme, host, port) == self._origin:
            return True
        if is_loopback(host):
            return self._loopback
        if self._in_process and is_in_process(host):
            return self._listed(host, port, url.scheme)
        return url.scheme == "https" and self._listed(host, port, url.scheme)

    def _listed(self, host: str, port: int, scheme: str) -> bool:
        if f"{host}:{port}" in self._exact:
            return True
        if port != _DEFAULT_PORT[scheme]:
            return False
        return host in self._exact or any(host.endswith(suffix) for suffix in self._suffixes)

    def allows_base(self, url: str) -> bool:
        """True when a configured base URL may be used at all: HTTPS, loopback, or in process."""
        base = httpx.URL(url)
        if base.userinfo or not base.host:
            return False
        return (
            base.scheme == "https"
            or (base.scheme == "http" and is_loopback(base.host))
            or (base.scheme == "http" and self._in_process and is_in_process(base.host))
        )


def host_of(base: httpx.URL, location: str) -> str:
    """The host a ``Location`` names, for the operator's eyes (never the path or query)."""
    try:
        host = base.join(location).host
    except (httpx.InvalidURL, ValueError):
        host = ""
    return host[:100] or "（読み取れない転送先）"


def _port(url: httpx.URL) -> int:
    return url.port if url.port is not None else _DEFAULT_PORT.get(url.scheme, 0)
