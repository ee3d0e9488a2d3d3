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

from bousai_kit.errors import ConfigError

__all__ = ["PlanSecret", "derive_password", "is_strong", "plans_folder", "secret_mark"]

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


def secret_mark(secret: bytes) -> str:
    """Tells one secret from another without telling it."""
    return hmac.new(secret, b"bousai-plan-mark", hashlib.sha256).hexdigest()[:16]


class PlanSecret:
    """The secret of one plan in one home.

    Parameters
    ----------
    home : Path
    plan_id : str
    """

    def __init__(self, home: Path, plan_id: str) -> None:
        if not _PLAN_ID.fullmatch(plan_id):
            raise ConfigError("計画の ID が正しくありません。", setting="plan_id")
        self.path = home / "plans" / f"{plan_id}.secret"
        self._ending = self.path.with_suffix(".ending")
        self._plan_id = plan_id

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

    def matching(self, mark: str) -> bytes:
        """The secret that made this mark ("": any).

        Raises
        ------
        ConfigError
            See `read`; or it is another one.
        """
        found = self.read()
        if mark and secret_mark(found) != mark:
            raise ConfigError(
                "この計画の初期パスワードの秘密が、計画を作ったときのものと違います。",
                setting="BOUSAI_HOME",
                hint="計画を作ったのと同じ BOUSAI_HOME で実行してください。",
            )
        return found

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
                f"初期パスワードの秘密 {self.path.name} を読めません（{error.strerror}）。",
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
            folder = plans_folder(self.path.parent.parent)
            part = folder / f".{self._plan_id}.{secrets.token_hex(6)}.part"
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with open(descriptor, "wb") as file:
                    file.write(secrets.token_bytes(32).hex().encode())
                    file.flush()
                    os.fsync(file.fileno())
                with contextlib.suppress(FileExistsError):
                    os.link(part, self.path)  # whole or not at all, and never over another one
            finally:
                part.unlink(missing_ok=True)
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
