"""What people read, and what their taps carry back. Pure.

The mark 【訓練】 stays at the head of whatever an exercise sends. A reminder and a real resend say
so, which also lets the log export tell one from the other.
"""

from __future__ import annotations

import hashlib
import re

__all__ = [
    "CODE_LENGTH",
    "LABEL_LENGTH",
    "MARK",
    "build_label",
    "build_postback",
    "build_text",
    "longest_prefix",
    "parse_postback",
    "short_code",
    "text_limit",
]

MARK = "【訓練】"
LABEL_LENGTH = 20  # of a button, with the code; reference part 2 §2.3
CODE_LENGTH = 4
_CODE_LETTERS = "ACDEFGHJKLMNPQRTUVWXY34679"  # nobody takes one for another
_POSTBACK = re.compile(r"bk1\|drill=([^|]+)\|m=([^|]+)\|a=([0-9]{1,3})")
_ATTEMPT = re.compile(r"(first|r|resend)([0-9]*)")


def short_code(drill_id: str, turn: int = 0) -> str:
    """Four letters in every label of a drill, so that an export tells whose answer to what a tap is."""
    number = int.from_bytes(hashlib.sha256(f"{drill_id}|{turn}".encode()).digest()[:8], "big")
    letters = ""
    for _ in range(CODE_LENGTH):
        number, index = divmod(number, len(_CODE_LETTERS))
        letters += _CODE_LETTERS[index]
    return letters


def build_label(answer: str, code: str) -> str:
    """A button's label: the answer and the drill's code."""
    return f"{answer} {code}"


def build_postback(drill_id: str, message_id: str, answer: int) -> str:
    """What a tap brings back; no personal data in it."""
    return f"bk1|drill={drill_id}|m={message_id}|a={answer}"


def parse_postback(said: str) -> tuple[str, str, int] | None:
    """Drill, message and answer (from 1) of a tap; None for anything else."""
    found = _POSTBACK.fullmatch(said)
    return (found[1], found[2], int(found[3])) if found else None


def build_text(text: str, *, attempt: str, actual: bool) -> str:
    """The text of one attempt.

    Parameters
    ----------
    text : str
        As the scenario has it.
    attempt : str
        ``first``, ``r1``, ``r2``, … (reminders), ``resend1``, …
    actual : bool
        A resend says that it is one: the first may have arrived after all.
    """
    kind, number = _split(attempt)
    if kind == "r":
        return _headed(text, f"（再通知{number}）")
    if kind == "resend" and actual:
        return _headed(text, "【再送】")
    return text


def longest_prefix(reminders: int, *, actual: bool) -> int:
    """How many characters a reminder or a resend adds to a text at most."""
    lengths = [0]
    if reminders:
        lengths.append(len(f"（再通知{reminders}）"))
    if actual:
        lengths.append(len("【再送】"))
    return max(lengths)


def text_limit(*, buttons: bool) -> int:
    """Characters that a message may have; reference part 2 §2.2."""
    return 1000 if buttons else 2000


def _headed(text: str, head: str) -> str:
    return MARK + head + text.removeprefix(MARK) if text.startswith(MARK) else head + text


def _split(attempt: str) -> tuple[str, int]:
    found = _ATTEMPT.fullmatch(attempt)
    if found is None:
        raise ValueError(attempt)
    return found[1], int(found[2] or 0)
