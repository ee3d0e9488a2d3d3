"""From YAML values to a `Scenario`: everything that is wrong is collected, nothing is guessed."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bousai_kit.drills import wording
from bousai_kit.drills.scenario import (
    DEADLINE_S,
    RESEND_AFTER_S,
    DrillKind,
    Expectation,
    Message,
    Reminder,
    Scenario,
    Unless,
    Wave,
    Who,
    longest_text,
    scenario_key,
)
from bousai_kit.drills.yaml_places import Places, read_yaml
from bousai_kit.errors import DrillGuardError, InputError, Issue, ScenarioError
from bousai_kit.roster import Roster

__all__ = ["read_scenario"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_NEWS = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
LONGEST_S = 7 * 86400.0
MOST_MESSAGES = 100
MOST_WAVES = 200

Step = str | int
_KEYS = {
    (): (
        "title", "kind", "messages", "targets", "waves", "reminders", "deadline_s", "injects",
        "resend_after_s", "route",
    ),
    ("messages",): ("id", "text", "buttons", "deadline_s"),
    ("waves",): ("who", "after_s", "message", "unless"),
    ("reminders",): ("after_s", "max"),
    ("injects",): ("id", "at_s", "to", "text", "buttons", "deadline_s", "expect"),
}  # fmt: skip


def read_scenario(text: str, *, raw: bytes = b"", source: Path | None = None) -> Scenario:
    """Read a scenario's text; raises as `load_scenario` does."""
    values, places, issues = read_yaml(text)
    reader = _Reader(places, issues)
    scenario = reader.read(values)
    if reader.issues:
        raise _refusal(reader.issues, source, only_marks=reader.marks == len(reader.issues))
    assert scenario is not None
    raw = raw or text.encode()
    return Scenario(
        **{
            **{name: getattr(scenario, name) for name in scenario.__dataclass_fields__},
            "notes": tuple(reader.notes),
            "sha256": hashlib.sha256(raw).hexdigest(),
            "key": scenario_key(values),
            "source": source,
            "raw": raw,
        }
    )


def _refusal(issues: list[Issue], source: Path | None, *, only_marks: bool) -> Exception:
    first = min(issues, key=lambda issue: issue.row)
    more = f"（ほか {len(issues) - 1} 件）" if len(issues) > 1 else ""
    name = f"シナリオ {source.name}" if source is not None else "シナリオ"
    said = f"{name} の {first.row} 行目 {first.column}：{first.problem}{more}"
    if only_marks:
        return DrillGuardError(
            said, hint="本文を直してから、もう一度実行してください。何も送信していません。"
        )
    return ScenarioError(said, issues=sorted(issues, key=lambda issue: issue.row))


class _Reader:
    def __init__(self, places: Places, issues: list[Issue]) -> None:
        self.places = places
        self.issues = issues
        self.notes: list[str] = []
        self.marks = 0  # how many of the issues are about 【訓練】

    # -- saying what is wrong -------------------------------------------------------------------------

    def wrong(self, path: tuple[Step, ...], problem: str) -> None:
        self.issues.append(Issue(self.places.line(path), self.places.spelled(path), "error", problem))

    def unknown(self, path: tuple[Step, ...], given: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for name in given:
            if name not in known:
                line, shown = self.places.line((*path, name)), self.places.spelled((*path, name))
                self.notes.append(f"シナリオの {line} 行目 {shown} は、この版では使われない項目です。")

    # -- plain values ---------------------------------------------------------------------------------

    def text(self, path: tuple[Step, ...], value: Any, most: int) -> str:
        if not isinstance(value, str) or not value.strip():
            said = "文字列で指定してください（数字や はい/いいえ は引用符で囲みます）。"
            self.wrong(path, "必須です。" if value is None else said)
            return ""
        if len(value) > most:
            self.wrong(path, f"{most} 文字までです（{len(value)} 文字）。")
        if _NEWS.search(value):
            self.wrong(path, "送信できない制御文字が入っています。")
        return value

    def seconds(
        self, path: tuple[Step, ...], value: Any, default: float | None, *, least: float = 0.0
    ) -> float:
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.wrong(path, "秒数（数値）で指定してください。")
        elif not least <= value <= LONGEST_S:
            self.wrong(path, f"{least:g} 秒以上、7 日以内で指定してください。")
        else:
            return float(value)
        return default if default is not None else least

    def whole(self, path: tuple[Step, ...], value: Any, default: int | None, least: int, most: int) -> int:
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.wrong(path, f"{least}〜{most} の整数で指定してください。")
            return default if default is not None else least
        return value

    def items(self, path: tuple[Step, ...], value: Any, most: int) -> list[tuple[tuple[Step, ...], Any]]:
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong(path, "一覧（「- 」で始まる行）で指定してください。")
            return []
        if len(value) > most:
            self.wrong(path, f"{most} 件までです。")
            return []
        found = []
        for index, item in enumerate(value):
            if isinstance(item, dict):
                self.unknown((*path, index), item, _KEYS[(str(path[0]),)])
                found.append(((*path, index), item))
            else:
                self.wrong((*path, index), "「項目: 値」の組で指定してください。")
        return found

    def who(self, path: tuple[Step, ...], value: Any) -> Who:
        try:
            Roster(()).select(value if isinstance(value, str | list | dict) else [value])
        except InputError as error:
            self.wrong(path, f"{error} {error.hint}")
            return "all"
        if value == "all" or value == ["all"]:
            return "all"
        found = tuple(value) if isinstance(value, list) else (value,)
        if not found:
            self.wrong(path, "宛先が空です。全員なら all と書いてください。")
        for index, selector in enumerate(found):
            for name, wanted in selector.items() if isinstance(selector, dict) else ():
                for one in wanted if isinstance(wanted, list) else [wanted]:
                    if not isinstance(one, str) or not one:
                        self.wrong(
                            (*path, index, name), "値は文字列で指定してください（番号は引用符で囲みます）。"
                        )
        return "all" if "all" in found else tuple(item for item in found if isinstance(item, dict))

    # -- the parts ------------------------------------------------------------------------------------

    def read(self, values: Any) -> Scenario | None:
        if not isinstance(values, dict):
            self.wrong((), "シナリオは「title:」「kind:」「messages:」を持つ YAML です。")
            return None
        self.unknown((), values, _KEYS[()])
        title = self.text(("title",), values.get("title"), 200)
        kind = DrillKind.TEST
        try:
            kind = DrillKind(values.get("kind"))
        except ValueError:
            self.wrong(("kind",), "exercise（訓練）・actual（実災害）・test（試験）のいずれかです。")
        reminders = tuple(
            Reminder(
                self.seconds((*path, "after_s"), item.get("after_s"), None, least=1.0),
                self.whole((*path, "max"), item.get("max"), 1, 1, 100),
            )
            for path, item in self.items(("reminders",), values.get("reminders"), 20)
        )
        times = len({one.after_s * nth for one in reminders for nth in range(1, one.max + 1)})
        messages = [
            self.message(path, item, kind, times)
            for path, item in self.items(("messages",), values.get("messages"), MOST_MESSAGES)
        ]
        if not messages:
            self.wrong(("messages",), "送る本文を 1 つ以上書いてください。")
        injects: list[Message] = []
        inject_waves: list[Wave] = []
        for path, item in self.items(("injects",), values.get("injects"), MOST_MESSAGES):
            injects.append(self.message(path, item, kind, times, inject=True))
            who = self.who((*path, "to"), item.get("to", "all"))
            at_s = self.seconds((*path, "at_s"), item.get("at_s"), None)
            inject_waves.append(Wave(who, at_s, (injects[-1].id,)))
        self.unique(messages, injects)
        waves = self.waves(values.get("waves"), [message.id for message in messages if message.id])
        route = values.get("route", "auto")
        if route not in ("auto", "direct", "rooms"):
            self.wrong(("route",), "auto・direct・rooms のいずれかです。")
        return Scenario(
            title=title,
            kind=kind,
            messages=(*messages, *injects),
            targets=self.who(("targets",), values.get("targets", "all")),
            waves=tuple(sorted((*waves, *inject_waves), key=lambda wave: wave.after_s)),
            reminders=reminders,
            deadline_s=self.seconds(("deadline_s",), values.get("deadline_s"), DEADLINE_S, least=1.0),
            resend_after_s=self.seconds(
                ("resend_after_s",), values.get("resend_after_s"), RESEND_AFTER_S, least=10.0
            ),
            route=str(route),
        )

    def unique(self, messages: list[Message], injects: list[Message]) -> None:
        seen: set[str] = set()
        for name, group in (("messages", messages), ("injects", injects)):
            for index, message in enumerate(group):
                if message.id and message.id in seen:
                    self.wrong((name, index, "id"), f"id「{message.id}」が 2 回あります。")
                seen.add(message.id)

    def message(
        self,
        path: tuple[Step, ...],
        item: dict[str, Any],
        kind: DrillKind,
        reminders: int,
        *,
        inject: bool = False,
    ) -> Message:
        message_id = item.get("id")
        if isinstance(message_id, int) and not isinstance(message_id, bool):
            message_id = str(message_id)
        if not isinstance(message_id, str) or not _ID.fullmatch(message_id):
            self.wrong((*path, "id"), "半角の英数字と _ . - で、40 文字以内の id を付けてください。")
            message_id = ""
        buttons = self.buttons((*path, "buttons"), item.get("buttons"))
        limit = longest_text(
            reminders if buttons else 0, buttons=bool(buttons), actual=kind is DrillKind.ACTUAL
        )
        text = self.text((*path, "text"), item.get("text"), limit)
        if text and kind is DrillKind.EXERCISE and not text.startswith(wording.MARK):
            self.marks += 1
            self.wrong((*path, "text"), "訓練（kind: exercise）の本文は【訓練】で始めてください。")
        if kind is DrillKind.ACTUAL and "【訓練】" in text:
            self.marks += 1
            self.wrong((*path, "text"), "実災害（kind: actual）の本文に【訓練】を書くことはできません。")
        expect = []
        for index, one in enumerate(item.get("expect") or ()) if inject else ():
            place = (*path, "expect", index)
            if not isinstance(one, dict):
                self.wrong(place, "「action: 行動」「within_s: 秒」の組で指定してください。")
                continue
            action = self.text((*place, "action"), one.get("action"), 300)
            within = one.get("within_s")
            expect.append(
                Expectation(
                    action, None if within is None else self.seconds((*place, "within_s"), within, None)
                )
            )
        deadline = item.get("deadline_s")
        return Message(
            id=message_id,
            text=text,
            buttons=buttons,
            deadline_s=None
            if deadline is None
            else self.seconds((*path, "deadline_s"), deadline, DEADLINE_S, least=1.0),
            inject=inject,
            expect=tuple(expect),
        )

    def buttons(self, path: tuple[Step, ...], value: Any) -> tuple[str, ...]:
        if value is None:
            return ()
        if not isinstance(value, list):
            self.wrong(path, "[無事です, けが有り] のような一覧で指定してください。")
            return ()
        if len(value) > 10:
            self.wrong(path, f"ボタンは 10 個までです（{len(value)} 個）。")
        most = wording.LABEL_LENGTH - wording.CODE_LENGTH - 1
        found: list[str] = []
        for index, label in enumerate(value[:10]):
            text = self.text((*path, index), label, most)
            if text != text.strip() or "\n" in text or "\t" in text:
                self.wrong((*path, index), "前後の空白と改行を除いてください。")
            if text and text in found:
                self.wrong((*path, index), f"ボタン「{text}」が 2 回あります。")
            found.append(text)
        return tuple(found)

    def waves(self, value: Any, ids: list[str]) -> list[Wave]:
        items = self.items(("waves",), value, MOST_WAVES)
        named = {str(item.get("message")) for _, item in items}
        rest = tuple(one for one in ids if one not in named) or tuple(ids[:1])
        if not items:
            return [Wave("all", 0.0, tuple(ids))]
        waves: list[Wave] = []
        for path, item in items:
            message = item.get("message")
            if message is not None and message not in ids:
                self.wrong((*path, "message"), f"messages に id「{message}」がありません。")
            waves.append(
                Wave(
                    who=self.who((*path, "who"), item.get("who", "all")),
                    after_s=self.seconds((*path, "after_s"), item.get("after_s"), 0.0),
                    messages=rest if message is None else (str(message),),
                    unless=self.unless((*path, "unless"), item.get("unless"), ids),
                )
            )
        sent = {one for wave in waves for one in wave.messages}
        for one in ids:
            if one not in sent:
                self.notes.append(f"本文「{one}」は、どの waves でも送信されません。")
        return waves

    def unless(self, path: tuple[Step, ...], value: Any, ids: list[str]) -> Unless | None:
        if value is None:
            return None
        if not isinstance(value, dict):
            self.wrong(path, "{answered: 20, of: 24} のように指定してください。")
            return None
        self.unknown(path, value, ("answered", "of", "message"))
        answered = self.whole((*path, "answered"), value.get("answered"), None, 1, 1_000_000)
        of = value.get("of")
        if of is not None:
            of = self.whole((*path, "of"), of, None, 1, 1_000_000)
            if of < answered:
                self.wrong((*path, "of"), "answered 以上の人数にしてください。")
        message = value.get("message")
        if message is not None and message not in ids:
            self.wrong((*path, "message"), f"messages に id「{message}」がありません。")
        return Unless(answered, of, None if message is None else str(message))
