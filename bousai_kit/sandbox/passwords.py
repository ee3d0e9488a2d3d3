"""The tenant's password policy (part 1 §4.4)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.ops import bad

__all__ = ["check_password"]


def check_password(password: str, path: str, choices: Choices) -> None:
    """8 to 20 characters, letters and digits (and symbols), no three equal or following ones.

    Raises
    ------
    ApiFault
        400; the password is not in the text.
    """
    if not 8 <= len(password) <= 20:
        raise bad(f"{path} must be 8 to 20 characters.")
    if not all("!" <= letter <= "~" for letter in password):
        raise bad(f"{path} contains a character that is not allowed.")
    letters = any(letter.isalpha() for letter in password)
    digits = any(letter.isdigit() for letter in password)
    symbols = not password.isalnum()
    needs_symbols = choices.password_policy.endswith("+symbols")
    if not (letters and digits) or (needs_symbols and not symbols):
        raise bad(f"{path} does not meet the password policy.")
    if choices.password_no_runs and any(_runs(password)):
        raise bad(f"{path} must not have three equal or following characters.")


def _runs(password: str) -> Iterator[bool]:
    steps = [ord(second) - ord(first) for first, second in pairwise(password)]
    kinds = [
        (first.isdigit() and second.isdigit()) or (first.isalpha() and second.isalpha())
        for first, second in pairwise(password)
    ]
    for (step, kind), (following, other) in pairwise(zip(steps, kinds, strict=True)):
        yield step == following and (step == 0 or (abs(step) == 1 and kind and other))
