"""Faults on purpose: ``--faults FILE`` (TOML), the admin host's ``POST /faults``, or a `FaultPlan` in a test.

::

    seed = 7                        # chance of `probability` rules; the same seed gives the same faults

    [[fault]]
    kind = "drop"                   # what happens, see below
    on = "messages.*"               # operation name or pattern; default "*"
    method = "POST"                 # and, if given, this method
    path = "/bots/*/users/*"        # and, if given, this path below the base (pattern)
    nth = [3, 7]                    # the 3rd and the 7th matching request …
    every = 10                      # … or every tenth …
    probability = 0.05              # … or one in twenty; without any of the three: all of them
    from_s = 10.0                   # not before this many seconds after the start (default 0)
    until_s = 90.0                  # not after (default: no end)
    times = 5                       # at most so often
    seconds = 2.5                   # for slow, delay
    after = true                    # for slow, 500, 503: once the request has been processed

=====================  ==============================================================================
kind                   effect
=====================  ==============================================================================
``429``                429 TOO_MANY_REQUESTS, ``RateLimit-Reset`` = `seconds` (17); a storm with ``until_s``
``500``, ``503``       that status; before processing, or after it with ``after = true``
``refuse``             the connection is closed before anything was processed
``drop``               the request is processed and the connection closed without an answer
``slow``               the request waits `seconds` first (``after = true``: processed at once, answered late)
``revoke``             every access token ends at this moment, this request's too (401)
``redirect``           307 to the same resource on another instance (the storage host)
``foreign``            307, or the 302 of a download, with a ``Location`` on a host that is not the vendor's
``truncate``           an export breaks off, its last line begins with ``downloadLogs error``
``no_headers``         the answer carries no rate-limit headers
``lost``               a callback is not sent                                  (``on`` = event type)
``duplicate``          a callback is sent twice
``delay``              a callback is sent `seconds` late
``reorder``            a callback is overtaken by the next one
``bad_signature``      a callback is signed with another key
=====================  ==============================================================================
"""

from __future__ import annotations

import fnmatch
import random
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bousai_kit.errors import InputError, Issue

__all__ = ["CALLBACK_KINDS", "REQUEST_KINDS", "Fault", "FaultPlan", "load_faults"]

REQUEST_KINDS = (
    "429", "500", "503", "refuse", "drop", "slow", "revoke", "redirect", "foreign", "truncate", "no_headers",
)  # fmt: skip
CALLBACK_KINDS = ("lost", "duplicate", "delay", "reorder", "bad_signature")


@dataclass(slots=True)
class Fault:
    """One rule; the counters are its memory."""

    kind: str
    on: str = "*"
    method: str = ""
    path: str = "*"
    nth: tuple[int, ...] = ()
    every: int = 0
    probability: float = 0.0
    from_s: float = 0.0
    until_s: float | None = None
    times: int | None = None
    seconds: float | None = None
    after: bool = False
    seen: int = field(default=0, init=False)
    done: int = field(default=0, init=False)

    def _due(self, chance: random.Random) -> bool:
        if not (self.nth or self.every or self.probability):
            return True
        return (
            self.seen in self.nth
            or bool(self.every and self.seen % self.every == 0)
            or (self.probability > 0 and chance.random() < self.probability)
        )


class FaultPlan:
    """A list of rules and where they stand.

    Parameters
    ----------
    faults : sequence of Fault
    seed : int
    """

    def __init__(self, faults: Sequence[Fault] = (), *, seed: int = 1) -> None:
        self.faults = list(faults)
        self.seed = seed

    def __bool__(self) -> bool:
        return bool(self.faults)

    def decide(
        self, name: str, *, elapsed_s: float, method: str = "", path: str = "", callback: bool = False
    ) -> list[Fault]:
        """The rules that strike this request or callback; counts it.

        Parameters
        ----------
        name : str
            Operation name, or the event type of a callback.
        elapsed_s : float
            Seconds of the sandbox clock since the start.
        callback : bool
            Look at callback kinds only, else at request kinds only.
        """
        struck: list[Fault] = []
        kinds = CALLBACK_KINDS if callback else REQUEST_KINDS
        for number, fault in enumerate(self.faults):
            if fault.kind not in kinds or elapsed_s < fault.from_s:
                continue
            if fault.until_s is not None and elapsed_s > fault.until_s:
                continue
            if fault.method and fault.method.upper() != method:
                continue
            if not fnmatch.fnmatchcase(name, fault.on) or not fnmatch.fnmatchcase(path or "*", fault.path):
                continue
            fault.seen += 1
            if fault.times is not None and fault.done >= fault.times:
                continue
            if fault._due(random.Random(f"{self.seed}|{number}|{fault.seen}")):  # noqa: S311 - repeatable
                fault.done += 1
                struck.append(fault)
        return struck

    def as_json(self) -> list[dict[str, Any]]:
        """The rules with how often each was looked at and struck."""
        return [{item.name: getattr(fault, item.name) for item in fields(fault)} for fault in self.faults]


def load_faults(source: Path | Mapping[str, Any]) -> FaultPlan:
    """Read a plan from a TOML file or from the same as a mapping.

    Raises
    ------
    InputError
        Not TOML, an unknown key or kind, or a value that makes no sense; all of them at once.
    """
    if isinstance(source, Path):
        try:
            data: Mapping[str, Any] = tomllib.loads(source.read_text("utf-8"))
        except OSError:
            raise InputError(f"障害設定ファイル {source.name} を開けません。") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(
                f"障害設定ファイル {source.name} を TOML として読めません（{error}）。"
            ) from None
    else:
        data = source
    issues: list[Issue] = []
    known = {item.name: item for item in fields(Fault) if item.init}
    rules = data.get("fault", [])
    faults: list[Fault] = []
    for number, rule in enumerate(rules if isinstance(rules, list) else [None], start=1):
        problem = _problem(rule, known)
        if problem:
            issues.append(Issue(number, "fault", "error", f"{number} 番目の fault: {problem}"))
        else:
            nth = rule.get("nth", ())
            faults.append(Fault(**{**rule, "nth": (nth,) if isinstance(nth, int) else tuple(nth)}))
    seed = data.get("seed", 1)
    if set(data) - {"seed", "fault"} or not isinstance(seed, int):
        issues.append(Issue(0, "", "error", "使えるのは seed（整数）と [[fault]] だけです。"))
    if issues:
        raise InputError("障害設定に誤りがあります。" + "".join(i.problem for i in issues), issues=issues)
    return FaultPlan(faults, seed=seed)


def _problem(rule: Any, known: Mapping[str, Any]) -> str:
    if not isinstance(rule, dict):
        return "表（[[fault]]）ではありません。"
    unknown = sorted(set(rule) - set(known))
    if unknown:
        return f"知らない項目です: {', '.join(unknown)}。"
    if rule.get("kind") not in (*REQUEST_KINDS, *CALLBACK_KINDS):
        return f"kind は次のどれかです: {', '.join((*REQUEST_KINDS, *CALLBACK_KINDS))}。"
    for name, value in rule.items():
        if not _fits(name, value):
            return f"{name} の値が正しくありません。"
    return ""


def _fits(name: str, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if name in ("kind", "on", "method", "path"):
        return isinstance(value, str)
    if name == "nth":
        return (whole and value > 0) or (
            isinstance(value, list) and all(isinstance(n, int) and n > 0 for n in value)
        )
    if name in ("every", "times"):
        return whole and value > 0
    if name == "probability":
        return bool(number and 0 <= value <= 1)
    if name == "after":
        return isinstance(value, bool)
    return bool(number and value >= 0)
