"""Settings: who wins, what is refused, and that no value is ever shown."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, given
from hypothesis import settings as attempts
from hypothesis import strategies as st

from bousai_kit.errors import ConfigError
from bousai_kit.settings import (
    Settings,
    is_loopback_host,
    isolated_settings,
    load_settings,
    read_private_key,
)
from bousai_kit.settings.values import NAMES, READERS, SECRETS, variable

ROOT = Path(__file__).parent.parent
SECRET = "s3cr3t-dies-darf-niemand-sehen"
posix = pytest.mark.skipif(os.name != "posix", reason="Windows にはファイルの許可ビットがない")
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = RSA, passphrase: str = "") -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption(),
    )


def put(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def load(folder: Path, environ: dict[str, str] | None = None, **options: str) -> Settings:
    return load_settings(overrides=options, cwd=folder, environ=environ or {})


def refused(folder: Path, environ: dict[str, str] | None = None, **options: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(folder, environ, **options)
    return caught.value


# -- order --------------------------------------------------------------------------------------------------


def test_without_any_setting_it_is_the_sandbox(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found.profile == "sandbox"
    assert found.api_url is None
    assert found.is_sandbox
    assert found.is_loopback
    assert found.receiver == "embedded"
    assert found.log_delay_s == 300
    assert found.home.is_absolute()
    assert found.home.name == "sandbox"
    assert found.ledger_url == f"sqlite:///{found.home / 'ledger.db'}"
    assert found.clock().speed == 1


def test_another_profile_is_the_vendor(tmp_path: Path) -> None:
    found = load(tmp_path, BOUSAI_PROFILE="osaka-live")
    assert found.api_url == "https://www.worksapis.com/v1.0"
    assert found.auth_url == "https://auth.worksmobile.com/oauth2/v2.0"
    assert not found.is_sandbox
    assert not found.is_loopback
    assert found.receiver == "off"
    assert found.home.name == "osaka-live"


PLACES = ("option", "environment", "dotenv", "profile table", "top level", "default")


@pytest.mark.parametrize("first", range(len(PLACES)), ids=PLACES)
def test_the_first_place_wins(tmp_path: Path, first: int) -> None:
    """With the places before `first` silent, the value comes from `first`."""
    options = {"BOUSAI_LOG_DELAY_S": "1"} if first <= 0 else {"BOUSAI_LOG_DELAY_S": ""}
    environ = {"BOUSAI_LOG_DELAY_S": "2" if first <= 1 else "  ", "BOUSAI_PROFILE": "city"}
    put(tmp_path / ".env", "BOUSAI_LOG_DELAY_S=3\n" if first <= 2 else "BOUSAI_LOG_DELAY_S=\n")
    top = "log_delay_s = 5\n" if first <= 4 else ""
    own = "log_delay_s = 4\n" if first <= 3 else ""
    put(tmp_path / "bousai.toml", f"{top}[profile.city]\n{own}[profile.other]\nlog_delay_s = 99\n")
    assert load(tmp_path, environ, **options).log_delay_s == (1, 2, 3, 4, 5, 300)[first]


def test_a_profile_may_be_chosen_in_any_place(tmp_path: Path) -> None:
    put(tmp_path / "bousai.toml", "[profile.a]\nbot_id = 1\n[profile.b]\nbot_id = 2\n")
    assert load(tmp_path).bot_id is None
    put(tmp_path / ".env", "BOUSAI_PROFILE=b\n")
    assert load(tmp_path).bot_id == 2
    assert load(tmp_path, {"BOUSAI_PROFILE": "a"}).bot_id == 1
    assert load(tmp_path, BOUSAI_PROFILE="in-no-file").bot_id is None
    put(tmp_path / "bousai.toml", "profile = 'c'\n")
    (tmp_path / ".env").unlink()
    assert load(tmp_path).profile == "c"


@pytest.mark.parametrize("name", ["live", "Osaka-2", "a" * 64, "1"])
def test_profile_names(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, BOUSAI_PROFILE=name).profile == name


@pytest.mark.parametrize("name", ["大阪", "a b", "../x", "-x", "a_b", "a" * 65, "a/b", "a.b", "live\n--yes"])
def test_other_profile_names_are_refused_unshown(tmp_path: Path, name: str) -> None:
    error = refused(tmp_path, BOUSAI_PROFILE=name)
    assert error.setting == "BOUSAI_PROFILE"
    assert name not in str(error).replace("BOUSAI_PROFILE", "")


# -- .env ---------------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602])
def test_an_env_file_that_others_can_read_is_refused_with_the_mending_command(
    tmp_path: Path, mode: int
) -> None:
    put(tmp_path / ".env", f"BOUSAI_CLIENT_SECRET={SECRET}\n", mode)
    error = refused(tmp_path)
    assert "chmod 600 .env" in error.hint
    assert SECRET not in error.sentence()
    subprocess.run(error.hint.split("`")[1], shell=True, cwd=tmp_path, check=True)  # the command mends it
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert load(tmp_path).client_secret is not None


@posix
def test_what_the_command_line_says_then_is_one_sentence(tmp_path: Path) -> None:
    put(tmp_path / ".env", f"BOUSAI_CLIENT_SECRET={SECRET}\n", 0o644)
    shown = subprocess.run(
        [sys.executable, "-m", "bousai_kit", "doctor", "--json"],
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    assert shown.returncode == 2
    assert "chmod 600 .env" in shown.stderr
    assert shown.stderr.count("\n") == 1
    assert "Traceback" not in shown.stderr
    assert SECRET not in shown.stdout + shown.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_env_file_in_the_encodings_of_an_office_pc(tmp_path: Path, encoding: str) -> None:
    put(tmp_path / ".env", "# 防災の設定\r\nexport BOUSAI_BOT_ID='77'\r\nOTHER=1\r\n".encode(encoding))
    assert load(tmp_path).bot_id == 77


@pytest.mark.parametrize(
    "raw",
    [b"BOUSAI_BOT_ID=\x81 \n", "BOUSAI_BOT_ID=1\n".encode("utf-16"), "BOUSAI_BOT_ID=1".encode("utf-16-le")],
)
def test_an_env_file_in_no_such_encoding_is_refused(tmp_path: Path, raw: bytes) -> None:
    put(tmp_path / ".env", raw)
    assert "文字コード" in str(refused(tmp_path))


def test_a_folder_named_env_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert load(tmp_path).profile == "sandbox"


def test_an_env_file_is_not_a_huge_one(tmp_path: Path) -> None:
    put(tmp_path / ".env", b"#" * (1 << 20) + b"\n\n")
    assert "大きすぎます" in str(refused(tmp_path))


def test_values_are_taken_as_they_stand(tmp_path: Path) -> None:
    put(tmp_path / ".env", "HOME_X=/x\nBOUSAI_CLIENT_SECRET='a${HOME_X}$b#c'\n")
    secret = load(tmp_path).client_secret
    assert secret is not None
    assert secret.get_secret_value() == "a${HOME_X}$b#c"


def test_a_misspelt_variable_is_named(tmp_path: Path) -> None:
    put(tmp_path / ".env", f"BOUSAI_CLIENT_SECRETT={SECRET}\n")
    error = refused(tmp_path)
    assert "BOUSAI_CLIENT_SECRET の誤り" in str(error)
    assert SECRET not in error.sentence()


value = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\\"), min_size=1, max_size=40
)


@given(st.dictionaries(st.sampled_from(SECRETS[:1] + SECRETS[2:]), value), st.sampled_from(["", "export "]))
@attempts(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_sh_and_the_kit_read_is_the_same(tmp_path: Path, secrets: dict[str, str], prefix: str) -> None:
    """Quoted lines, as `bousai sandbox` writes them."""
    lines = [f"{prefix}{variable(name)}='{text}'\n" for name, text in secrets.items()]
    put(tmp_path / ".env", "".join(lines))
    found = load(tmp_path)
    for name in SECRETS:
        read = getattr(found, name)
        assert (read.get_secret_value() if read else None) == secrets.get(name)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@attempts(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_settings_or_a_sentence(tmp_path: Path, raw: bytes) -> None:
    for name in (".env", "bousai.toml"):
        for other in (".env", "bousai.toml"):
            (tmp_path / other).unlink(missing_ok=True)
        put(tmp_path / name, raw)
        with contextlib.suppress(ConfigError):
            load(tmp_path)


@given(st.sampled_from(sorted(READERS)), st.text(min_size=1, max_size=60))
@attempts(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_value_or_a_sentence(tmp_path: Path, name: str, text: str) -> None:
    said: list[ConfigError] = []
    try:
        load(tmp_path, {variable(name): text})
    except ConfigError as error:
        said.append(error)
    for error in said:
        assert error.setting == variable(name)
        assert variable(name) in str(error)
        if len(text.strip()) > 6 and text.isascii():
            assert text.strip() not in error.sentence()


# -- bousai.toml --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [*SECRETS, "BOUSAI_CLIENT_SECRET", "my_password", "api_token", "private_key"]
)
@pytest.mark.parametrize("table", ["", "[profile.live]\n", "[profile.other.deeper]\n"])
def test_no_secret_stands_in_the_shared_file(tmp_path: Path, name: str, table: str) -> None:
    put(tmp_path / "bousai.toml", f'{table}{name} = "{SECRET}"\n')
    error = refused(tmp_path, BOUSAI_PROFILE="live")
    assert "秘密の値" in str(error)
    assert "chmod 600 .env" in error.hint
    assert SECRET not in error.sentence()


@pytest.mark.parametrize(
    "url", [f"postgresql://kit:{SECRET}@db/bousai", f"postgresql://db/bousai?user=kit&password={SECRET}"]
)
def test_no_password_hides_in_an_address(tmp_path: Path, url: str) -> None:
    put(tmp_path / "bousai.toml", f'ledger_url = "{url}"\n')
    assert SECRET not in refused(tmp_path).sentence()
    assert load(tmp_path.parent, {"BOUSAI_LEDGER_URL": url}).ledger_url == url  # but in one's own place


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bot_id = = 1\n", "1 行目"),
        ("[profile.live]\nbot_idd = 1\n", "bot_id の誤り"),
        ("bot_id = true\n", "文字列か数値"),
        ("download_hosts = [1]\n", "文字列か数値"),
        (b"bot_id = 1 # \xff\n", "UTF-8"),
    ],
)
def test_mistakes_in_the_shared_file(tmp_path: Path, text: str | bytes, says: str) -> None:
    put(tmp_path / "bousai.toml", text, 0o644)
    assert says in str(refused(tmp_path, BOUSAI_PROFILE="live"))


def test_numbers_lists_and_strangers_are_fine(tmp_path: Path) -> None:
    put(
        tmp_path / "bousai.toml",
        "bot_id = 12\nlog_delay_s = 1.5\ndownload_hosts = ['a.example', 'b.example:8443']\n"
        "[tool.other]\nx = 1\n",
        0o644,
    )
    found = load(tmp_path)
    assert (found.bot_id, found.log_delay_s) == (12, 1.5)
    assert found.download_hosts == ("a.example", "b.example:8443")


# -- single values ------------------------------------------------------------------------------------------

WRONG = [
    ("BOUSAI_API_URL", "http://www.worksapis.com/v1.0"),
    ("BOUSAI_API_URL", "http://0.0.0.0:8000"),
    ("BOUSAI_API_URL", "http://localhost.evil.example/"),
    ("BOUSAI_API_URL", f"https://kit:{SECRET}@example.jp/"),
    ("BOUSAI_API_URL", f"https://example.jp/?key={SECRET}"),
    ("BOUSAI_API_URL", "ftp://example.jp"),
    ("BOUSAI_API_URL", "https://exa mple.jp"),
    ("BOUSAI_API_URL", "https://example.jp:99999"),
    ("BOUSAI_API_URL", "https://[::1"),
    ("BOUSAI_API_URL", "https:\\\\example.jp"),
    ("BOUSAI_DOWNLOAD_HOSTS", "https://a.example"),
    ("BOUSAI_DOWNLOAD_HOSTS", "a.example/path"),
    ("BOUSAI_DOWNLOAD_HOSTS", ".jp"),
    ("BOUSAI_DOWNLOAD_HOSTS", "*"),
    ("BOUSAI_BOT_ID", "１２３"),
    ("BOUSAI_BOT_ID", "-1"),
    ("BOUSAI_BOT_ID", "0"),
    ("BOUSAI_BOT_ID", "9" * 20),
    ("BOUSAI_BOT_ID", "12.5"),
    ("BOUSAI_CLIENT_SECRET", "秘密の言葉です"),
    ("BOUSAI_BOT_SECRET", "two words"),
    ("BOUSAI_BOT_SECRET", "line\nbreak"),
    ("BOUSAI_LOG_DELAY_S", "nan"),
    ("BOUSAI_LOG_DELAY_S", "-1"),
    ("BOUSAI_LOG_DELAY_S", "5分"),
    ("BOUSAI_RECEIVER", "http://127.0.0.1:8000/callback"),
    ("BOUSAI_RECEIVER", "on"),
    ("BOUSAI_TIME_SCALE", "20"),
    ("BOUSAI_TIME_SCALE", "1000@9999-01-01T00:00:00Z"),
    ("BOUSAI_LEDGER_URL", "mysql://db/x"),
    ("BOUSAI_LEDGER_URL", "sqlite://"),
    ("BOUSAI_LEDGER_URL", "sqlite:///:memory:"),
    ("BOUSAI_LEDGER_URL", "postgresql://"),
]


@pytest.mark.parametrize(("name", "text"), WRONG)
@pytest.mark.parametrize("place", ["option", "environment", "dotenv"])
def test_a_wrong_value_names_setting_and_place_and_is_not_shown(
    tmp_path: Path, name: str, text: str, place: str
) -> None:
    if place == "option":
        error, where = refused(tmp_path, **{name: text}), "コマンドのオプション"
    elif place == "environment":
        error, where = refused(tmp_path, {name: text}), "環境変数"
    else:
        put(tmp_path / ".env", f'{name}="{text}"\n'.replace("\\", "\\\\").replace("line\n", "line\\n"))
        error, where = refused(tmp_path), ".env"
    assert error.setting == name
    assert name in str(error)
    assert where in str(error)
    assert error.hint
    assert len(text) < 6 or text in ("sqlite://", "postgresql://") or text not in error.sentence()
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None  # no traceback quotes it either


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/v1.0", "http://localhost:1/x/", "http://[::1]:5/", "http://127.9.8.7"]
)
def test_loopback_may_be_plain_http(tmp_path: Path, url: str) -> None:
    found = load(tmp_path, BOUSAI_API_URL=url)
    assert found.is_loopback
    assert not found.is_sandbox  # an address: it is not the tenant inside
    assert found.api_url == url.rstrip("/")


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True), ("127.255.255.254", True), ("::1", True), ("[::1]", True), ("localhost", True),
        ("LOCALHOST", True), ("localhost.", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False),
        ("127.0.0.1.example", False), ("localhost.example", False), ("xlocalhost", False), ("", False),
        (None, False), ("::ffff:127.0.0.1", False), ("127.1", False), ("2130706433", False),
    ],
)  # fmt: skip
def test_which_host_is_this_machine(host: str | None, here: bool) -> None:
    assert is_loopback_host(host) is here


def test_the_time_scale_is_refused_off_loopback(tmp_path: Path) -> None:
    scale = "20@2027-01-17T00:00:00+00:00"
    error = refused(tmp_path, {"BOUSAI_TIME_SCALE": scale}, BOUSAI_PROFILE="live")
    assert error.setting == "BOUSAI_TIME_SCALE"
    assert "実際のテナント" in str(error)
    environ = {"BOUSAI_TIME_SCALE": scale, "BOUSAI_API_URL": "http://127.0.0.1:9/v1.0"}
    assert load(tmp_path, environ, BOUSAI_PROFILE="live").clock().speed == 20
    assert load(tmp_path, {"BOUSAI_TIME_SCALE": "1"}, BOUSAI_PROFILE="live").clock().speed == 1


def test_the_embedded_receiver_is_refused_off_loopback(tmp_path: Path) -> None:
    assert (
        refused(tmp_path, {"BOUSAI_RECEIVER": "embedded"}, BOUSAI_PROFILE="live").setting == "BOUSAI_RECEIVER"
    )
    remote = "https://bousai.example.jp/callback"
    assert load(tmp_path, {"BOUSAI_RECEIVER": remote}, BOUSAI_PROFILE="live").receiver == remote
    assert load(tmp_path, {"BOUSAI_RECEIVER": "OFF"}).receiver == "off"


# -- paths --------------------------------------------------------------------------------------------------


def test_relative_paths_belong_to_the_working_folder(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        {
            "BOUSAI_HOME": "台帳 と 記録",
            "BOUSAI_PRIVATE_KEY_FILE": "../key.pem",
            "BOUSAI_LEDGER_URL": "sqlite:///x/l.db",
        },
    )
    assert found.home == tmp_path / "台帳 と 記録"
    assert found.private_key_file == tmp_path.parent / "key.pem"
    assert found.ledger_url == f"sqlite:///{tmp_path / 'x' / 'l.db'}"


@pytest.mark.parametrize("url", ["postgresql://kit@db.example/bousai", "postgres://kit@db.example/bousai"])
def test_postgresql_addresses(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, {"BOUSAI_LEDGER_URL": url}).ledger_url == "postgresql://kit@db.example/bousai"


def test_an_absolute_ledger_path_stays(tmp_path: Path) -> None:
    wanted = tmp_path / "elsewhere" / "ledger.db"
    assert load(tmp_path, {"BOUSAI_LEDGER_URL": f"sqlite:///{wanted}"}).ledger_url == f"sqlite:///{wanted}"


def test_tilde_is_ones_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load(tmp_path / "x", {"BOUSAI_HOME": "~/bousai"}).home == tmp_path / "bousai"


def test_a_windows_path_survives_every_source(tmp_path: Path) -> None:
    """Backslashes are no escapes: C:\\new\\table is neither a line break nor a tab."""
    path = r"C:\new\table 防災\key.pem"
    put(tmp_path / ".env", f"BOUSAI_PRIVATE_KEY_FILE='{path}'\n")
    assert str(load(tmp_path).private_key_file).endswith(path)
    put(tmp_path / ".env", f"BOUSAI_PRIVATE_KEY_FILE={path}\n")
    assert str(load(tmp_path).private_key_file).endswith(path)
    (tmp_path / ".env").unlink()
    put(tmp_path / "bousai.toml", f"private_key_file = '{path}'\n")
    assert str(load(tmp_path).private_key_file).endswith(path)
    assert str(load(tmp_path, {"BOUSAI_PRIVATE_KEY_FILE": path}).private_key_file).endswith(path)


# -- nothing is shown ---------------------------------------------------------------------------------------


def test_no_secret_in_any_view_of_the_settings(tmp_path: Path) -> None:
    environ = {variable(name): f"{SECRET}-{name}" for name in SECRETS}
    environ["BOUSAI_LEDGER_URL"] = f"postgresql://kit:{SECRET}@db/bousai"
    found = load(tmp_path, environ)
    for view in (repr(found), str(found), f"{found}", repr([found]), repr(vars(found) | {"ledger_url": ""})):
        assert SECRET not in view
    for name in SECRETS:
        secret = getattr(found, name)
        assert secret.get_secret_value() == f"{SECRET}-{name}"
        assert SECRET not in repr(secret)
        assert SECRET not in repr(found.model_dump(exclude={"ledger_url"}))


def test_settings_are_frozen_and_complete(tmp_path: Path) -> None:
    found = load(tmp_path)
    with pytest.raises(Exception, match="frozen"):
        found.profile = "live"  # type: ignore[misc]
    with pytest.raises(Exception, match="extra") as caught:
        Settings(home=tmp_path, ledger_url="x", client_secert=SECRET)  # type: ignore[call-arg]
    assert SECRET not in str(caught.value)
    assert set(NAMES) == set(Settings.model_fields)
    assert all(
        f"``{variable(name)}``" in (sys.modules["bousai_kit.settings"].__doc__ or "") for name in NAMES
    )


def test_isolated_settings_read_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / ".env", "BOUSAI_PROFILE=live\n", 0o644)
    put(tmp_path / "bousai.toml", "[[[")
    monkeypatch.setenv("BOUSAI_API_URL", "https://example.jp")
    monkeypatch.setenv("BOUSAI_HOME", str(tmp_path / "other"))
    found = isolated_settings(tmp_path / "home")
    assert found.is_sandbox
    assert found.home == tmp_path / "home"
    assert found.receiver == "embedded"
    assert found.ledger_url == f"sqlite:///{tmp_path / 'home' / 'ledger.db'}"


def test_loading_makes_no_folder(tmp_path: Path) -> None:
    load(tmp_path, {"BOUSAI_HOME": str(tmp_path / "home")})
    assert list(tmp_path.iterdir()) == []


# -- the private key ----------------------------------------------------------------------------------------


def with_key(folder: Path, path: Path | None, **more: str) -> Settings:
    environ = {"BOUSAI_PROFILE": "live", **more}
    if path is not None:
        environ["BOUSAI_PRIVATE_KEY_FILE"] = str(path)
    return load(folder, environ)


def key_refused(settings: Settings) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read_private_key(settings)
    return caught.value


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    return tmp_path / "repo"


def test_a_key_outside_any_repository(tmp_path: Path) -> None:
    key = put(tmp_path / "key.pem", pem())
    assert read_private_key(with_key(tmp_path, key)).startswith("-----BEGIN PRIVATE KEY-----")


def test_a_plain_key_inside_a_repository_is_refused_unless_on_loopback(repository: Path) -> None:
    key = put(repository / "keys" / "my key.pem", pem())
    error = key_refused(with_key(repository, key))
    assert "Git リポジトリ" in str(error)
    assert "mv " in error.hint
    assert "~/.config/bousai-kit" in error.hint
    assert read_private_key(with_key(repository, key, BOUSAI_API_URL="http://127.0.0.1:9/v1.0"))


@posix
def test_the_command_that_it_names_mends_it(repository: Path, tmp_path: Path) -> None:
    key = put(repository / "keys" / "my key.pem", pem())
    hint = key_refused(with_key(repository, key)).hint
    subprocess.run(hint.split("`")[1], shell=True, env={**os.environ, "HOME": str(tmp_path)}, check=True)
    moved = tmp_path / ".config" / "bousai-kit" / "my key.pem"
    assert read_private_key(with_key(repository, moved))


@posix
def test_a_link_into_a_repository_and_a_worktree_count(repository: Path, tmp_path: Path) -> None:
    key = put(repository / "key.pem", pem())
    link = tmp_path / "link.pem"
    link.symlink_to(key)
    assert "Git リポジトリ" in str(key_refused(with_key(tmp_path, link)))
    worktree = tmp_path / "worktree"
    put(worktree / ".git", "gitdir: ../repo/.git\n")  # a file, as in worktrees and submodules
    assert "Git リポジトリ" in str(key_refused(with_key(tmp_path, put(worktree / "k" / "key.pem", pem()))))


def test_an_encrypted_key_may_lie_in_a_repository(repository: Path) -> None:
    key = put(repository / "key.enc.pem", pem(passphrase=SECRET))
    assert "BOUSAI_PRIVATE_KEY_PASSPHRASE" in str(key_refused(with_key(repository, key)))
    wrong = key_refused(with_key(repository, key, BOUSAI_PRIVATE_KEY_PASSPHRASE="wr0ng-passphrase"))
    assert "wr0ng" not in wrong.sentence()
    opened = read_private_key(with_key(repository, key, BOUSAI_PRIVATE_KEY_PASSPHRASE=SECRET))
    assert opened.startswith("-----BEGIN PRIVATE KEY-----")


@posix
def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    key = put(tmp_path / "key.pem", pem(), 0o640)
    error = key_refused(with_key(tmp_path, key))
    assert f"chmod 600 {key}" in error.hint
    key.chmod(0o400)
    assert read_private_key(with_key(tmp_path, key))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "PEM 形式の秘密鍵ではありません"),
        (SECRET.encode() * 40, "PEM 形式の秘密鍵ではありません"),
        (b"-----BEGIN PRIVATE KEY-----\n" + SECRET.encode() + b"\n-----END PRIVATE KEY-----\n", "PEM"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "RSA の秘密鍵ではありません"),
        (PUBLIC, "PEM 形式の秘密鍵ではありません"),
        (b"x" * ((1 << 20) + 1), "大きすぎます"),
    ],
    ids=["empty", "junk", "broken", "elliptic", "public", "huge"],
)  # fmt: skip
def test_what_is_no_rsa_key_is_named_and_not_quoted(tmp_path: Path, raw: bytes, says: str) -> None:
    error = key_refused(with_key(tmp_path, put(tmp_path / "key.pem", raw)))
    assert says in str(error)
    assert error.setting == "BOUSAI_PRIVATE_KEY_FILE"
    assert SECRET not in error.sentence()
    assert error.__suppress_context__ or error.__context__ is None


def test_no_key_at_all(tmp_path: Path) -> None:
    assert "探した場所" in str(key_refused(with_key(tmp_path, None)))
    assert "見つかりません" in str(key_refused(with_key(tmp_path, tmp_path / "none.pem")))
    assert "通常のファイルではありません" in str(key_refused(with_key(tmp_path, tmp_path)))
