"""What a client of a kept tenant needs: the app's id and secret and its RSA key, 0600 beside the tenant."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bousai_kit.sandbox.core import Credentials
from bousai_kit.sandbox.seed import GROUP
from bousai_kit.sandbox.tenant import Tenant

__all__ = ["KEY_FILE", "credentials_for", "new_key", "write_private"]

APP_FILE = "app.json"
KEY_FILE = "private_key.pem"
SERVICE_ACCOUNT = f"kit.serviceaccount@{GROUP}"
_FIELDS = ("client_id", "client_secret", "line_channel_token")


def write_private(path: Path, data: bytes) -> None:
    """Put a file in place at once, 0600: whole, or not at all."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def new_key() -> str:
    """An RSA key as the Developer Console hands it out: PKCS #8, PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def credentials_for(tenant: Tenant, folder: Path | None) -> Credentials:
    """The credentials of a tenant, from its folder, made anew where they are missing or damaged.

    Parameters
    ----------
    folder : Path or None
        None: nothing is kept.
    """
    app = _read_app(folder) if folder is not None else None
    if app is None:
        app = {
            "client_id": "sandbox-" + secrets.token_hex(8),
            "client_secret": secrets.token_urlsafe(16),
            "line_channel_token": secrets.token_urlsafe(32),
        }
        if folder is not None:
            write_private(folder / APP_FILE, json.dumps(app).encode())
    pem = _read_key(folder / KEY_FILE) if folder is not None else None
    if pem is None:
        pem = new_key()
        if folder is not None:
            write_private(folder / KEY_FILE, pem.encode())
    return Credentials(
        client_id=app["client_id"],
        client_secret=app["client_secret"],
        service_account=SERVICE_ACCOUNT,
        private_key_pem=pem,
        domain_id=tenant.domain_id,
        bot_id=tenant.bot_id,
        bot_secret=str(tenant.table("bot_secrets")[str(tenant.bot_id)]["secret"]),
        line_channel_token=app["line_channel_token"],
    )


def _read_app(folder: Path) -> dict[str, str] | None:
    try:
        found: Any = json.loads((folder / APP_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in _FIELDS):
        return None
    return {name: found[name] for name in _FIELDS}


def _read_key(path: Path) -> str | None:
    try:
        raw = path.read_bytes()
        key = serialization.load_pem_private_key(raw, password=None, unsafe_skip_rsa_key_validation=True)
    except (OSError, ValueError, TypeError):
        return None
    return raw.decode("ascii") if isinstance(key, rsa.RSAPrivateKey) and _fits(key) else None


def _fits(key: rsa.RSAPrivateKey) -> bool:
    """Whether the numbers of a key belong together (the library's own check of primes takes 40 ms)."""
    numbers = key.private_numbers()
    p, q, public = numbers.p, numbers.q, numbers.public_numbers
    rest = public.e * numbers.d - 1
    return p * q == public.n and rest % (p - 1) == 0 == rest % (q - 1)
