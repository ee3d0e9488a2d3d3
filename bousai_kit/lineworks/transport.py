"""Build the HTTP client: few connections, no redirects, the environment's proxy and certificates."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Mapping

import httpx

from bousai_kit.errors import ConfigError

__all__ = ["DOWNLOAD_S", "TIMEOUT_S", "WHOLE_S", "build_http"]

TIMEOUT_S = 30.0
WHOLE_S = 180.0
"""Wall seconds for a whole exchange: `TIMEOUT_S` counts from byte to byte, so drops would never end it."""
DOWNLOAD_S = 1800.0
"""The same for a GET: a month's export over a slow line takes minutes."""
CONNECT_TIMEOUT_S = 10.0
MOST_CONNECTIONS = 16
KEEP_ALIVE_S = 3.0
"""A server closes idle connections, and a POST that dies so is unknown, not unsent: the kit closes first."""


class _Nowhere(httpx.AsyncBaseTransport):
    """Any host but the in-process tenant's."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"{request.url.host} is outside of this process", request=request)


def build_http(
    *,
    mounts: Mapping[str, httpx.AsyncBaseTransport] | None = None,
    real_network: bool = True,
    timeout_s: float = TIMEOUT_S,
) -> httpx.AsyncClient:
    """Build the one HTTP client of a workbench.

    Parameters
    ----------
    mounts : mapping, optional
        Transport per host pattern (an in-process tenant's hosts).
    real_network : bool
        False: hosts outside `mounts` cannot be reached at all, and the environment is not read.
    timeout_s : float
        Wall seconds to wait for (more of) an answer.

    Raises
    ------
    ConfigError
        The environment's proxy or certificates cannot be used.

    Notes
    -----
    With the real network, ``HTTPS_PROXY``, ``NO_PROXY`` and ``SSL_CERT_FILE`` are honoured; loopback is
    never asked through a proxy.
    """
    _settle_sniffio()
    for name in ("httpx", "httpcore"):  # their INFO lines hold whole URLs: login ids, one-off download keys
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.getEffectiveLevel(), logging.WARNING))
    if not real_network:
        return httpx.AsyncClient(
            mounts=dict(mounts or {}),
            transport=_Nowhere(),
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113 - the kit's clock owns the time-out in process
        )
    direct: dict[str, httpx.AsyncBaseTransport | None] = dict(mounts or {})
    for pattern in ("all://127.0.0.1", "all://localhost", "all://[::1]"):
        direct.setdefault(pattern, None)
    try:
        return httpx.AsyncClient(
            mounts=direct,
            follow_redirects=False,
            limits=httpx.Limits(
                max_connections=MOST_CONNECTIONS,
                max_keepalive_connections=MOST_CONNECTIONS,
                keepalive_expiry=KEEP_ALIVE_S,
            ),
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S, pool=None),
        )
    except OSError:  # ssl.SSLError is one too
        raise ConfigError(
            "SSL_CERT_FILE（または SSL_CERT_DIR）の証明書を読み取れません。",
            setting="SSL_CERT_FILE",
            hint="SSL_CERT_FILE を外すか、庁内の証明書（PEM 形式）のファイルの場所に直してください。",
        ) from None
    except (ValueError, ImportError, httpx.InvalidURL):  # its text may hold the proxy's password
        raise ConfigError(
            "プロキシの設定（HTTPS_PROXY など）を読み取れません。",
            setting="HTTPS_PROXY",
            hint="HTTPS_PROXY を http://ホスト名:ポート番号 の形に直してください。",
        ) from None


def _settle_sniffio() -> None:
    """Remember that sniffio is not installed: httpcore looks for it on the disk several times a request.

    (A third of its time; anyio has done without it since 4.12.)
    """
    if "sniffio" not in sys.modules and importlib.util.find_spec("sniffio") is None:
        sys.modules["sniffio"] = None  # type: ignore[assignment]  # an import of it fails at once
