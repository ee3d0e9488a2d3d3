"""What the kit is told from outside: read once, checked, frozen.

Order, the first wins: command option, environment variable, ``.env`` in the working folder, ``bousai.toml``
in the working folder (``[profile.NAME]`` before the top level), default. An empty value counts as not given.

Variables (``bousai.toml`` uses the names without ``BOUSAI_``, lower case; secrets, marked *, never stand
there):
``BOUSAI_PROFILE``, ``BOUSAI_API_URL``, ``BOUSAI_AUTH_URL``, ``BOUSAI_DOWNLOAD_HOSTS``, ``BOUSAI_CLIENT_ID``,
``BOUSAI_CLIENT_SECRET``\\*, ``BOUSAI_SERVICE_ACCOUNT``, ``BOUSAI_PRIVATE_KEY_FILE``,
``BOUSAI_PRIVATE_KEY_PASSPHRASE``\\* (of an encrypted key), ``BOUSAI_DOMAIN_ID``, ``BOUSAI_BOT_ID``,
``BOUSAI_BOT_SECRET``\\*, ``BOUSAI_HOME``, ``BOUSAI_LEDGER_URL``, ``BOUSAI_RECEIVER``,
``BOUSAI_RECEIVER_TOKEN``\\*,
``BOUSAI_LOG_DELAY_S``, ``BOUSAI_TIME_SCALE``, ``BOUSAI_FONT``, ``BOUSAI_LINE_URL``,
``BOUSAI_LINE_CHANNEL_TOKEN``\\*.

Every mistake is a `ConfigError` that names the setting and where it was found, never its value.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from bousai_kit.clock import SystemClock, parse_time_scale
from bousai_kit.errors import ConfigError
from bousai_kit.settings.files import from_dotenv, from_toml, toml_values
from bousai_kit.settings.hosts import is_loopback_host
from bousai_kit.settings.keys import read_private_key
from bousai_kit.settings.values import NAMES, READERS, account_name, variable

__all__ = [
    "Settings",
    "account_name",
    "is_loopback_host",
    "isolated_settings",
    "load_settings",
    "read_private_key",
]

API_URL = "https://www.worksapis.com/v1.0"
AUTH_URL = "https://auth.worksmobile.com/oauth2/v2.0"
LINE_URL = "https://api.line.me"

_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")


class Settings(BaseModel):
    """All settings of one run; made by `load_settings` or `isolated_settings`.

    Attributes
    ----------
    api_url : str or None
        API base without a trailing slash; None: the tenant inside this process (profile ``sandbox``).
    download_hosts : tuple of str
        Further hosts to which the bearer token may follow a ``Location``: ``name``, ``name:port`` or
        ``.suffix``. The vendor's own hosts (or, for an API on loopback, loopback) are the client's affair.
    private_key_file, font : Path or None
        Absolute.
    ledger_url : str
        ``sqlite:///`` with an absolute path, or ``postgresql://…`` (not shown in the repr).
    log_delay_s : float
        Seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    profile: str = "sandbox"
    api_url: str | None = None
    auth_url: str = AUTH_URL
    download_hosts: tuple[str, ...] = ()
    client_id: str | None = None
    client_secret: SecretStr | None = None
    service_account: str | None = None
    private_key_file: Path | None = None
    private_key_passphrase: SecretStr | None = None
    domain_id: int | None = None
    bot_id: int | None = None
    bot_secret: SecretStr | None = None
    home: Path
    ledger_url: str = Field(repr=False)
    receiver: str = "off"
    receiver_token: SecretStr | None = None
    log_delay_s: float = 300.0
    time_scale: str = "1"
    font: Path | None = None
    line_url: str = LINE_URL
    line_channel_token: SecretStr | None = None

    @property
    def is_sandbox(self) -> bool:
        """Profile ``sandbox`` without an API address: the tenant runs inside the kit, nothing leaves it."""
        return self.profile == "sandbox" and self.api_url is None

    @property
    def is_loopback(self) -> bool:
        """The API is on this machine: 127.0.0.0/8, ::1, localhost, or inside this process."""
        return self.api_url is None or is_loopback_host(urlsplit(self.api_url).hostname)

    def clock(self) -> SystemClock:
        """The wall, or the sandbox's speed as ``BOUSAI_TIME_SCALE`` says."""
        return parse_time_scale(self.time_scale)


def load_settings(
    *,
    overrides: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings of this run.

    Parameters
    ----------
    overrides : mapping, optional
        Command options under their variables' names (``BOUSAI_PROFILE``).
    cwd : Path, optional
        Folder of ``.env`` and ``bousai.toml``; default: the working folder.
    environ : mapping, optional
        Default: ``os.environ``.

    Raises
    ------
    ConfigError
        A value is wrong or a file may not be used; names the setting and the place.
    """
    folder = Path.cwd() if cwd is None else Path(cwd)
    environment = os.environ if environ is None else environ
    toml = from_toml(folder)
    sources: list[tuple[str, Mapping[str, str]]] = [
        ("コマンドのオプション", _named(overrides or {})),
        ("環境変数", _named(environment)),
        (str(folder / ".env"), from_dotenv(folder)),
        (str(folder / "bousai.toml"), toml_values(toml, str(folder / "bousai.toml"), strict=False)),
    ]
    profile, where = _pick("profile", sources) or ("sandbox", "")
    if not _PROFILE.fullmatch(profile):
        raise _wrong("profile", where, "半角の英数字と「-」で 64 文字以内の名前を指定してください。")
    profiles = toml.get("profile")
    if isinstance(profiles, Mapping) and isinstance(profiles.get(profile), Mapping):
        place = f"{folder / 'bousai.toml'} の [profile.{profile}]"
        sources.insert(3, (place, toml_values(profiles[profile], place, strict=True)))
    values: dict[str, Any] = {"profile": profile}
    places: dict[str, str] = {}
    for name, reader in READERS.items():
        picked = _pick(name, sources)
        if picked is None:
            continue
        try:
            values[name] = reader(picked[0])
        except ValueError as error:
            raise _wrong(name, picked[1], str(error)) from None
        places[name] = picked[1]
    return _complete(values, places, folder)


def _named(mapping: Mapping[str, str]) -> dict[str, str]:
    return {
        key.removeprefix("BOUSAI_").lower(): value
        for key, value in mapping.items()
        if key.startswith("BOUSAI_") and key.removeprefix("BOUSAI_").lower() in NAMES
    }


def _pick(name: str, sources: list[tuple[str, Mapping[str, str]]]) -> tuple[str, str] | None:
    for where, found in sources:
        text = found.get(name, "").strip()
        if text:
            return text, where
    return None


def _wrong(name: str, where: str, reason: str) -> ConfigError:
    return ConfigError(
        f"設定 {variable(name)}（{where}）が正しくありません。{reason}", setting=variable(name)
    )


def _complete(values: dict[str, Any], places: Mapping[str, str], folder: Path) -> Settings:
    """Fill in what depends on other settings, and check them against each other."""
    profile = values["profile"]
    if profile != "sandbox":
        values.setdefault("api_url", API_URL)
    api_url = values.get("api_url")
    on_loopback = api_url is None or is_loopback_host(urlsplit(api_url).hostname)
    if values.get("time_scale", "1") != "1" and not on_loopback:
        raise _wrong(
            "time_scale",
            places["time_scale"],
            "実際のテナントでは時計の速さを変えられません。この設定を外してください。",
        )
    if values.get("receiver") == "embedded" and not on_loopback:
        raise _wrong(
            "receiver",
            places["receiver"],
            "embedded はこの端末上のテナントでだけ使えます。"
            "off か、受信サーバーの https:// の URL を指定してください。",
        )
    values.setdefault("receiver", "embedded" if profile == "sandbox" else "off")
    for name in ("private_key_file", "font"):
        if name in values:
            values[name] = _absolute(values[name], folder)
    home = _absolute(values["home"], folder) if "home" in values else _default_home(profile)
    values["home"] = home
    values["ledger_url"] = _ledger_url(values.get("ledger_url"), places.get("ledger_url", ""), home, folder)
    return Settings(**values)


def _absolute(text: str, folder: Path) -> Path:
    path = Path(text)
    if text.startswith("~"):
        with contextlib.suppress(RuntimeError):  # nobody's home is known
            path = path.expanduser()
    return Path(os.path.abspath(folder / path))


def _default_home(profile: str) -> Path:
    from platformdirs import user_data_path

    return user_data_path("bousai-kit", appauthor=False) / profile


def _ledger_url(text: str | None, where: str, home: Path, folder: Path) -> str:
    if text is None:
        return f"sqlite:///{home / 'ledger.db'}"
    scheme, _, rest = text.partition("://")
    if scheme in ("postgresql", "postgres") and rest:
        return f"postgresql://{rest}"
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1 and rest != "/:memory:":
        return f"sqlite:///{_absolute(rest[1:], folder)}"
    raise _wrong(
        "ledger_url", where, "sqlite:///ファイルのパス、または postgresql://… の形で指定してください。"
    )


def isolated_settings(home: Path, *, profile: str = "sandbox") -> Settings:
    """Settings that read nothing at all: no option, variable or file (demo, tests).

    Parameters
    ----------
    home : Path
        Folder of ledger, archive and tenant.
    """
    absolute = Path(os.path.abspath(home))
    return _complete({"profile": profile, "home": str(absolute)}, {}, absolute)
