"""The service account's private key: read from its file, never from a setting's text."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from bousai_kit.errors import ConfigError
from bousai_kit.settings.files import read_small

if TYPE_CHECKING:
    from bousai_kit.settings import Settings

__all__ = ["read_private_key"]

_FILE = "BOUSAI_PRIVATE_KEY_FILE"
_PASSPHRASE = "BOUSAI_PRIVATE_KEY_PASSPHRASE"  # noqa: S105 - a variable's name
_FETCH = (
    "Developer Console の「サービスアカウント」で Private Key を発行し直し、そのファイルを指定してください。"
)


def read_private_key(settings: Settings) -> str:
    """The private key as PEM text (PKCS #8, decrypted in memory).

    An encrypted PEM is opened with ``BOUSAI_PRIVATE_KEY_PASSPHRASE``; make one with
    ``openssl pkcs8 -topk8 -in private.key -out private.enc.pem``.

    Raises
    ------
    ConfigError
        No file, readable by others (POSIX), a plain PEM inside a git repository (unless the API is on
        loopback), not an RSA private key, or a passphrase that is missing or wrong.
    """
    path = settings.private_key_file
    if path is None:
        raise ConfigError(
            f"設定 {_FILE} がありません（探した場所：コマンドのオプション、環境変数、.env、bousai.toml）。",
            setting=_FILE,
            hint="Developer Console から取得した秘密鍵ファイルの場所を設定してください。",
        )
    raw = read_small(path, _FILE, private=True)
    if raw is None:
        raise ConfigError(
            f"設定 {_FILE} の秘密鍵ファイルが見つかりません（探した場所：{path}）。",
            setting=_FILE,
            hint="ファイルの場所を確かめ、設定を直してください。",
        )
    encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in raw or b"Proc-Type: 4,ENCRYPTED" in raw
    if not encrypted and b"PRIVATE KEY-----" in raw and not settings.is_loopback:
        _refuse_in_repository(path)
    return _decode(raw, settings, encrypted=encrypted)


def _refuse_in_repository(path: Path) -> None:
    real = path.resolve()
    for folder in real.parents:
        if (folder / ".git").exists():
            target = Path("~/.config/bousai-kit")
            raise ConfigError(
                f"暗号化されていない秘密鍵が Git リポジトリ（{folder}）の中にあります。",
                setting=_FILE,
                hint=f"`mkdir -p {target} && mv {shlex.quote(str(real))} {target}/` で外へ移し、{_FILE} を "
                f"{target / real.name} に直してください。一度でもコミットした鍵は発行し直してください。",
            )


def _decode(raw: bytes, settings: Settings, *, encrypted: bool) -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    passphrase = settings.private_key_passphrase
    if encrypted and passphrase is None:
        raise ConfigError(
            f"秘密鍵は暗号化されていますが、設定 {_PASSPHRASE} がありません。",
            setting=_PASSPHRASE,
            hint=f"環境変数か .env に {_PASSPHRASE} を設定してください。",
        )
    password = passphrase.get_secret_value().encode() if encrypted and passphrase is not None else None
    try:
        key = serialization.load_pem_private_key(raw, password)
    except Exception:  # the library's text may quote the file
        if encrypted:
            raise ConfigError(f"設定 {_PASSPHRASE} では秘密鍵を開けません。", setting=_PASSPHRASE) from None
        raise ConfigError(
            f"設定 {_FILE} のファイルは PEM 形式の秘密鍵ではありません。", setting=_FILE, hint=_FETCH
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ConfigError(f"設定 {_FILE} の鍵は RSA の秘密鍵ではありません。", setting=_FILE, hint=_FETCH)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode("ascii")
