"""The env file of a served sandbox: lines ``NAME=value`` that ``sh`` and a dotenv reader read alike, 0600.

Every variable of the kit's settings that a client of this tenant needs. The key lies beside it.
"""

from __future__ import annotations

import re
from pathlib import Path

from bousai_kit.errors import ConfigError
from bousai_kit.sandbox.core import Sandbox
from bousai_kit.sandbox.keys import write_private

__all__ = ["check_env_file", "env_text", "key_beside", "write_env_file"]

_BARE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_OURS = re.compile(r"BOUSAI_PROFILE=sandbox\nBOUSAI_API_URL=http://127\.0\.0\.1:\d+/")


def key_beside(env_file: Path) -> Path:
    """Where the private key of an env file lies."""
    return env_file.with_name(f"{env_file.name}.key.pem")


def check_env_file(env_file: Path) -> None:
    """Whether it may be written there, before anything else is done.

    Raises
    ------
    ConfigError
        No such folder, something else stands there, or the path cannot be written into the file itself.
    """
    if not env_file.parent.is_dir():
        raise _refused(f"フォルダ「{env_file.parent}」がありません。")
    for path in (env_file, key_beside(env_file)):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise _refused(f"「{path}」は通常のファイルではありません。")
    if env_file.exists():
        text = env_file.read_bytes().decode("utf-8", "replace")
        if text.strip() and not _OURS.match(text):
            raise _refused(f"「{env_file}」には別の内容があります（上書きしません）。")
    quoted(key_beside(env_file).as_posix())


def write_env_file(env_file: Path, sandbox: Sandbox, *, time_scale: str) -> None:
    """Put key and env file in place, the key first.

    Parameters
    ----------
    env_file : Path
        Absolute.
    time_scale : str
        ``X@T0``, from which the sandbox's clock was made.
    """
    key_file = key_beside(env_file)
    write_private(key_file, sandbox.credentials.private_key_pem.encode())
    write_private(env_file, env_text(sandbox, key_file=key_file, time_scale=time_scale).encode())


def env_text(sandbox: Sandbox, *, key_file: Path, time_scale: str) -> str:
    """The lines."""
    made = sandbox.credentials
    values = {
        "BOUSAI_PROFILE": "sandbox",
        "BOUSAI_API_URL": sandbox.api_url,
        "BOUSAI_AUTH_URL": sandbox.auth_url,
        "BOUSAI_DOWNLOAD_HOSTS": ",".join(sandbox.hosts()),
        "BOUSAI_CLIENT_ID": made.client_id,
        "BOUSAI_CLIENT_SECRET": made.client_secret,
        "BOUSAI_SERVICE_ACCOUNT": made.service_account,
        "BOUSAI_PRIVATE_KEY_FILE": key_file.as_posix(),
        "BOUSAI_DOMAIN_ID": str(made.domain_id),
        "BOUSAI_BOT_ID": str(made.bot_id),
        "BOUSAI_BOT_SECRET": made.bot_secret,
        "BOUSAI_TIME_SCALE": time_scale,
        "BOUSAI_LINE_URL": sandbox.line_url,
        "BOUSAI_LINE_CHANNEL_TOKEN": made.line_channel_token,
    }
    return "".join(f"{name}={quoted(value)}\n" for name, value in values.items())


def quoted(value: str) -> str:
    """A value as both readers understand it: bare, or in quotes that change nothing.

    Raises
    ------
    ConfigError
        There is no such form (a path with ``$``, a backslash, or both kinds of quotes).
    """
    if _BARE.fullmatch(value):
        return value
    if not any(mark in value for mark in "$\\`\n\r\0"):
        for quote in "'\"":
            if quote not in value:
                return f"{quote}{value}{quote}"
    raise _refused(f"場所の名前（{value}）に、設定ファイルに書けない記号があります。")


def _refused(reason: str) -> ConfigError:
    return ConfigError(
        f"接続設定のファイルを書けません。{reason}",
        setting="--env-file",
        hint="--env-file に別の場所を指定してください（省くと一時フォルダに書きます）。",
    )
