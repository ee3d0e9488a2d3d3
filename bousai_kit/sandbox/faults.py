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
    seconds = 2.5                   # for slow (default 5), delay (30), 429 (17)
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

import difflib
import fnmatch
import functools
import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bousai_kit.errors import InputError, Issue
from bousai_kit.tables import decode_text

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
        Not TOML, an unknown key or kind, a value that makes no sense, or a rule that could never strike; all
        of them at once, each with its line (of a file), the number of its rule and what is allowed.
    """
    lines: list[int] = []
    data: Mapping[str, Any]
    if isinstance(source, Path):
        what = f"障害設定ファイル {source.name} "
        data, text = _read(source, what)
        lines = [at for at, line in enumerate(text.splitlines(), start=1) if _HEADER.match(line)]
    else:
        what, data = "障害設定", source
    rules, seed = data.get("fault", []), data.get("seed", 1)
    issues: list[Issue] = []
    if unknown := sorted(set(data) - {"seed", "fault"}):
        issues.append(Issue(0, "", "error", f"知らない項目です: {', '.join(unknown)}。{_TOP}"))
    if not isinstance(seed, int) or isinstance(seed, bool):
        issues.append(Issue(0, "seed", "error", f"seed の値が正しくありません。{_TOP}"))
    if not isinstance(rules, list):
        issues.append(Issue(0, "fault", "error", f"fault が表の並びではありません。{_TOP}"))
        rules = []
    if len(lines) != len(rules):  # not written as [[fault]]
        lines = []
    faults: list[Fault] = []
    for number, rule in enumerate(rules, start=1):
        problems = _problems(rule)
        where = f"{lines[number - 1]} 行目、{number} 番目の [[fault]]" if lines else f"{number} 番目の fault"
        row = lines[number - 1] if lines else number
        issues += [Issue(row, column, "error", f"{where}: {problem}") for column, problem in problems]
        if not problems:
            nth = rule.get("nth", ())
            faults.append(Fault(**{**rule, "nth": (nth,) if isinstance(nth, int) else tuple(nth)}))
    if issues:
        message = "\n".join((f"{what}に誤りがあります。", *(issue.problem for issue in issues)))
        raise InputError(message, issues=issues, hint=_HINT)
    return FaultPlan(faults, seed=seed)


def _read(path: Path, what: str) -> tuple[dict[str, Any], str]:
    try:
        raw = path.read_bytes()
    except OSError:
        raise InputError(f"{what}を開けません。", hint="ファイルの場所と権限を確認してください。") from None
    text, _ = decode_text(raw, what=what.strip())
    try:
        return tomllib.loads(text), text
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        found = re.search(r"at line (\d+), column (\d+)", str(error))
        place = f"（{found[1]} 行目の {found[2]} 文字目）" if found else "（最後の行）"
        raise InputError(f"{what}を TOML として読めません{place}。", hint=_HINT) from None


# -- what a rule may say ----------------------------------------------------------------------------

_HEADER = re.compile(r"\s*\[\[\s*[\"']?fault[\"']?\s*\]\]")
_TOP = "使えるのは seed（整数）と [[fault]] だけです。"
_HINT = "docs/faults.md に、書けることの一覧と例があります。"
LONGEST_S = 31 * 86400.0
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ALLOWED = {
    "on": '操作名かその型（例: "messages.*"）を 200 文字までで書いてください',
    "method": f"次のどれかです: {', '.join(METHODS)}",
    "path": '/ か * で始まる型（例: "/bots/*/users/*"）を 200 文字までで書いてください',
    "nth": "1 以上の整数、またはその並び（例: [3, 7]）です",
    "every": "1 以上の整数です",
    "times": "1 以上の整数です",
    "probability": "0 より大きく 1 以下の数です",
    "after": "true か false です",
    **dict.fromkeys(("from_s", "until_s", "seconds"), "0 以上の秒数（31 日まで）です"),
}
_ONLY = {  # keys that mean something for some kinds alone
    "seconds": ("slow", "delay", "429"),
    "after": ("slow", "500", "503"),
    "method": REQUEST_KINDS,
    "path": REQUEST_KINDS,
}


def _problems(rule: Any) -> list[tuple[str, str]]:
    """What is wrong with a rule: key and sentence."""
    if not isinstance(rule, dict):
        return [("fault", "表（[[fault]]）ではありません。")]
    known = ["kind", *_ALLOWED]
    found = [
        (str(name), f"「{name}」という項目はありません。使えるのは {', '.join(known)} です。")
        for name in sorted(set(rule) - set(known))
    ]
    kind = rule.get("kind")
    if kind not in (*REQUEST_KINDS, *CALLBACK_KINDS):
        names = ", ".join(f'"{name}"' for name in (*REQUEST_KINDS, *CALLBACK_KINDS))
        return [*found, ("kind", f"kind は、引用符で囲んだ次のどれかです: {names}。")]
    for name, allowed in _ALLOWED.items():
        if name not in rule:
            continue
        kinds = _ONLY.get(name)
        if kinds is not None and kind not in kinds:
            found.append((name, f"{name} は kind が {', '.join(kinds)} のときだけ使えます。"))
        elif not _fits(name, rule[name]):
            found.append((name, f"{name} は、{allowed}。"))
        elif name == "on" and (missing := _unheard(str(rule["on"]), callback=kind in CALLBACK_KINDS)):
            found.append((name, missing))
    if not found and rule.get("until_s", LONGEST_S) < rule.get("from_s", 0.0):
        found.append(("until_s", "until_s は from_s より後にしてください。"))
    return found


def _unheard(pattern: str, *, callback: bool) -> str:
    """A sentence when nothing has such a name."""
    names = _event_types() if callback else _operation_names()
    if any(fnmatch.fnmatchcase(name, pattern) for name in names):
        return ""
    if callback:
        return f"on の「{pattern}」に当てはまるコールバックはありません。種類は {', '.join(names)} です。"
    near = difflib.get_close_matches(pattern, [*names, *_families(names)], n=4, cutoff=0.4)
    shown = near or ["messages.to_user", "users.create", "auth.token", "logs.fetch"]
    return f"on の「{pattern}」に当てはまる操作はありません。近いものは {', '.join(shown)} です。"


@functools.lru_cache(maxsize=1)
def _operation_names() -> tuple[str, ...]:
    from bousai_kit.sandbox.core import modules

    operations = (one for module in modules() for one in getattr(module, "OPERATIONS", ()))
    return ("auth.token", "auth.revoke", *sorted(one.name for one in operations if one.host != "admin"))


def _families(names: Sequence[str]) -> list[str]:
    return sorted({name.partition(".")[0] + ".*" for name in names})


@functools.lru_cache(maxsize=1)
def _event_types() -> tuple[str, ...]:
    from bousai_kit.sandbox.choices import Choices

    return Choices().callback_types


def _fits(name: str, value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if name in ("on", "path"):
        return isinstance(value, str) and 0 < len(value) <= 200 and (name == "on" or value[0] in "/*")
    if name == "method":
        return isinstance(value, str) and value.upper() in METHODS
    if name == "nth":
        numbers = value if isinstance(value, list) else [value]
        return bool(numbers) and all(type(number) is int and number > 0 for number in numbers)
    if name in ("every", "times"):
        return whole and value > 0
    if name == "after":
        return isinstance(value, bool)
    number = whole or isinstance(value, float)
    if name == "probability":
        return bool(number and 0 < value <= 1)
    return bool(number and 0 <= value <= LONGEST_S)
