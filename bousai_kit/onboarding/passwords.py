"""Initial passwords: derived from one random secret per plan, never stored, never listed.

The secret lives in ``BOUSAI_HOME/plans/<plan_id>.secret`` (0600) until the hand-outs are out. Whoever holds
the file can derive every password of the plan; nobody else can, and no ledger, log, plan or notebook helps.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from bousai_kit.errors import ConfigError, os_reason
from bousai_kit.files import write_whole

__all__ = ["PlanSecret", "derive_password", "home_mark", "is_strong", "plans_folder"]

LENGTH = 12
LOWER, UPPER, DIGITS = "abcdefghijkmnpqrstuvwxyz", "ABCDEFGHJKLMNPQRSTUVWXYZ", "23456789"  # no l o I O 0 1
SYMBOLS = "#%+=?@"
_ALPHABET = LOWER + UPPER + DIGITS + SYMBOLS
_PLAN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")


def plans_folder(home: Path) -> Path:
    """``BOUSAI_HOME/plans``, made for its owner alone."""
    folder = home / "plans"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def home_mark(home: Path, plan_id: str) -> str:
    """Tells a plan made in this home from one made elsewhere; says nothing of where that is."""
    path = plans_folder(home) / "home.id"
    if not path.is_file():
        _once(path, secrets.token_hex(16).encode())
    return hmac.new(path.read_bytes(), plan_id.encode(), hashlib.sha256).hexdigest()[:16]


def _once(path: Path, content: bytes) -> None:
    """The first that is written stays."""
    with contextlib.suppress(FileExistsError):
        write_whole(path, content, private=True, over=False)


class PlanSecret:
    """The secret of one plan in one home.

    Parameters
    ----------
    home : Path
    plan_id : str
    mark : str
        The plan's `home_mark`; "": made anywhere.

    Raises
    ------
    ConfigError
        The plan was made in another home.
    """

    def __init__(self, home: Path, plan_id: str, mark: str = "") -> None:
        if not _PLAN_ID.fullmatch(plan_id):
            raise ConfigError("計画の ID が正しくありません。", setting="plan_id")
        self._home = home
        self.path = home / "plans" / f"{plan_id}.secret"
        self._ending = self.path.with_suffix(".ending")
        self._plan_id = plan_id
        if mark and mark != home_mark(home, plan_id):
            raise ConfigError(
                f"計画 {plan_id} は、別のフォルダ（BOUSAI_HOME）で作られています。",
                setting="BOUSAI_HOME",
                hint="初期パスワードの元は、計画を作った BOUSAI_HOME にあります。そこで実行してください。",
            )

    def __repr__(self) -> str:
        return f"<PlanSecret {self._plan_id}>"

    @property
    def exists(self) -> bool:
        """It can still be used."""
        return self.path.is_file()

    @property
    def left_over(self) -> bool:
        """It, or what an interrupted end left of it, is still on the disk."""
        return self.exists or self._ending.is_file()

    def obtain(self, *, made: bool) -> bytes:
        """The secret; made now when it has never been (`made`: it has)."""
        return self.read() if made else self.ensure()

    def read(self) -> bytes:
        """The secret.

        Raises
        ------
        ConfigError
            Not here (another home, or ended), open to others, or damaged.
        """
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(200)
        except FileNotFoundError:
            raise ConfigError(
                f"計画 {self._plan_id} の初期パスワードの秘密が、このフォルダ（BOUSAI_HOME）にありません。",
                setting="BOUSAI_HOME",
                hint="計画を作ったのと同じ BOUSAI_HOME で実行してください。破棄した後は、"
                "`bousai onboard plan` で新しい計画を作ってください。",
            ) from None
        except OSError as error:
            raise ConfigError(
                f"初期パスワードの秘密 {self.path.name} を読めません（{os_reason(error)}）。",
                setting="BOUSAI_HOME",
            ) from None
        if os.name == "posix" and mode & 0o077:
            raise ConfigError(
                f"初期パスワードの秘密 {self.path.name} を、ほかの利用者が読める状態です。",
                setting="BOUSAI_HOME",
                hint=f"`chmod 600 {self.path}` を実行してから、もう一度実行してください。",
            )
        try:
            secret = bytes.fromhex(text.decode("ascii"))
        except ValueError:
            secret = b""
        if len(secret) != 32:
            raise ConfigError(
                f"初期パスワードの秘密 {self.path.name} が壊れています。",
                setting="BOUSAI_HOME",
                hint="控えから戻すか、`bousai onboard plan` で新しい計画を作ってください。",
            )
        return secret

    def ensure(self) -> bytes:
        """The secret, made now if there is none; two processes at once get the same one."""
        if not self.exists:
            plans_folder(self._home)
            _once(self.path, secrets.token_bytes(32).hex().encode())
        return self.read()

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Nobody can use it while this is entered; gone for good when it is left without an error."""
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.path, self._ending)
        try:
            yield
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._ending, self.path)
            raise
        with contextlib.suppress(FileNotFoundError):
            with self._ending.open("r+b") as file:
                file.write(b"\0" * 64)
                file.flush()
                os.fsync(file.fileno())
            self._ending.unlink()


def derive_password(secret: bytes, plan_id: str, key: str) -> str:
    """The initial password of one person: the same for the same secret, plan and external key.

    Obeys the strictest policy of the platform: 12 characters of all four classes, beginning with a letter, no
    three equal or following characters, nothing that looks like something else.
    """
    for attempt in range(1000):
        said = f"bousai-password/1|{plan_id}|{key}|{attempt}".encode()
        stream = hmac.new(secret, said, hashlib.sha512).digest()
        usable = [byte for byte in stream if byte < 256 - 256 % len(_ALPHABET)]
        password = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in usable[:LENGTH])
        if is_strong(password):
            return password
    raise AssertionError("no password in a thousand attempts")


def is_strong(password: str) -> bool:
    """Whether the strictest policy takes it."""
    classes = (LOWER, UPPER, DIGITS, SYMBOLS)
    if len(password) < LENGTH or not password[0].isalpha() or not password[-1].isalnum():
        return False
    if any(not set(letters) & set(password) for letters in classes) or set(password) - set(_ALPHABET):
        return False
    codes = [ord(letter) for letter in password.casefold()]
    steps = [after - before for before, after in itertools.pairwise(codes)]
    return not any(one == two and one in (-1, 0, 1) for one, two in itertools.pairwise(steps))
