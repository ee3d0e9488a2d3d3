"""The two files of the working folder: ``.env`` (one's own, with secrets) and ``bousai.toml`` (shared)."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import stat
import tomllib
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bousai_kit.errors import ConfigError, os_reason
from bousai_kit.settings.values import NAMES, SECRETS, variable

__all__ = ["from_dotenv", "from_toml", "read_small", "toml_values"]

_LOOKS_SECRET = re.compile(r"secret|token|password|passphrase|private_key(?!_file$)", re.IGNORECASE)
_MAX_FILE = 1 << 20


def read_small(path: Path, setting: str, *, private: bool, mend: str = "") -> bytes | None:
    """Bytes of a regular file, None when there is none; refuses one that others can read."""
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} は通常のファイルではありません。", setting=setting)
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_FILE:
                raise ConfigError(f"{path} は設定のファイルとしては大きすぎます。", setting=setting)
            if private and os.name == "posix" and found.st_mode & 0o077:
                raise ConfigError(
                    f"{path} をほかの利用者が読める状態です。",
                    setting=setting,
                    hint=f"`chmod 600 {mend or shlex.quote(str(path))}` を実行してから、"
                    "もう一度実行してください。",
                )
            return file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{path} を読めません（{os_reason(error)}）。", setting=setting) from None


def from_dotenv(cwd: Path) -> dict[str, str]:
    path = cwd / ".env"
    if path.is_dir() or (path.exists() and not path.is_file()):
        return {}  # a virtual environment or a pipe of that name
    raw = read_small(path, ".env", private=True, mend=".env")
    if raw is None:
        return {}
    from dotenv import dotenv_values

    try:
        text = _decoded(raw)
    except UnicodeError:
        raise ConfigError(
            f"{path} の文字コードを読み取れません。UTF-8 で保存してください。", setting=".env"
        ) from None
    found: dict[str, str] = {}
    for key, value in dotenv_values(stream=StringIO(text), interpolate=False).items():
        if not key.startswith("BOUSAI_"):
            continue
        name = key.removeprefix("BOUSAI_").lower()
        if name in NAMES:
            found[name] = value or ""
        else:
            _refuse_typo(name, f"{path}", as_variable=True)
    return found


def _decoded(raw: bytes) -> str:
    if b"\0" in raw:  # UTF-16, which an editor calls Unicode: its bytes would pass for cp932
        raise UnicodeError
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp932")


def _refuse_typo(name: str, where: str, *, as_variable: bool) -> None:
    near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.8)
    if near:
        meant = variable(near[0]) if as_variable else near[0]
        shown = variable(name) if as_variable else name
        raise ConfigError(
            f"{where} の {shown} という設定はありません。{meant} の誤りではありませんか。", setting=meant
        )


def from_toml(cwd: Path) -> dict[str, Any]:
    path = cwd / "bousai.toml"
    raw = read_small(path, "bousai.toml", private=False)
    if raw is None:
        return {}
    try:
        table = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(f"{path} の文字コードが UTF-8 ではありません。", setting="bousai.toml") from None
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+)", str(error))
        line = f"（{place[1]} 行目）" if place else ""
        raise ConfigError(f"{path} の書き方に誤りがあります{line}。", setting="bousai.toml") from None
    _refuse_secrets(table, path)
    return table


def _refuse_secrets(table: Mapping[str, Any], path: Path) -> None:
    for key, value in table.items():
        if isinstance(value, Mapping):
            _refuse_secrets(value, path)
            continue
        name = str(key).lower().removeprefix("bousai_")
        hidden = isinstance(value, str) and ("-----BEGIN" in value or _has_password(value))
        if name in SECRETS or _LOOKS_SECRET.search(name) or hidden:
            raise ConfigError(
                f"{path} に秘密の値（{variable(name)}）が書かれています。",
                setting=variable(name),
                hint="その行を削除し、環境変数か、本人だけが読める .env（`chmod 600 .env`）に移してください。"
                "このファイルを共有していた場合は、値を発行し直してください。",
            )


def _has_password(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.password is not None or any(
            key.lower() == "password" for key, _ in parse_qsl(parts.query)
        )
    except ValueError:
        return False


def _toml_text(name: str, value: Any, where: str) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigError(f"{where} の {name} は文字列か数値で指定してください。", setting=variable(name))
    return str(value)


def toml_values(table: Mapping[str, Any], where: str, *, strict: bool) -> dict[str, str]:
    found = {}
    for key, value in table.items():
        if key == "profile" and isinstance(value, Mapping):
            continue  # the tables [profile.NAME]
        if key in NAMES:
            found[key] = _toml_text(key, value, where)
        elif strict and not isinstance(value, Mapping):
            _refuse_typo(key.lower().removeprefix("bousai_"), where, as_variable=False)
    return found
