"""The words of the hand-outs: packaged ones, or a city's own in ``BOUSAI_HOME/handout_text.yaml``.

What is wrong with a city's file is said with the line and the key, in words for whoever edited it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import ConfigError, os_reason

if TYPE_CHECKING:
    from yaml import Node

__all__ = ["FILE", "PICTURES", "load_text", "write_template"]

FILE = "handout_text.yaml"
PICTURES = ("store", "login", "password", "notify", "talk", "browser", "mail", "none")
_PACKAGED = Path(__file__).parent / FILE
_LARGEST = 1 << 18
_LINES = {  # key -> most letters
    "organisation": 12,
    "title": 24,
    "purpose": 80,
    "issued_by": 45,
    "help_desk": 60,
    "lost": 70,
    "warning": 80,
}
_TABLES = {"app_url": 300, "qr_label": 30}
_PRIVACY = {"sees": 64, "sees_not": 64, "does": 64}
_STEP = {"picture": 20, "text": 110, "invited": 110}
_DEVICES = ("iOS", "Android", "other")
_MOST_STEPS = 6


def load_text(home: Path | None = None) -> dict[str, Any]:
    """Read the words of the pages: the city's own where there are any, else the packaged ones.

    Raises
    ------
    ConfigError
        The city's file cannot be read, lacks something, or says too much for a page.
    """
    import yaml

    own = home / FILE if home is not None else None
    path = own if own is not None and (own.is_file() or own.is_symlink()) else _PACKAGED
    try:
        if path.stat().st_size > _LARGEST:
            raise _refused(path, ["ファイルが大きすぎます"])
        content = path.read_text(encoding="utf-8-sig")
        root = yaml.compose(content, Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise _refused(path, ["文字コードが UTF-8 ではありません"]) from None
    except OSError as error:
        raise _refused(path, [f"開けません（{os_reason(error)}）"]) from None
    except yaml.YAMLError as error:
        raise _refused(path, [_said(error)]) from None
    problems = [problem for _, problem in sorted(_problems(root), key=lambda one: one[0])]
    if problems:
        raise _refused(path, problems)
    return dict(yaml.safe_load(content))


def write_template(home: Path) -> Path:
    """Put the packaged words where a city's own are looked for; never over a file that is there.

    Raises
    ------
    ConfigError
        There is one already.
    """
    path = home / FILE
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_PACKAGED.read_bytes())
    except FileExistsError:
        raise ConfigError(
            f"文面のファイル {path} は、すでにあります。上書きしていません。",
            setting=FILE,
            hint="そのまま編集してください。標準の文面に戻すには、先にそのファイルを消してください。",
        ) from None
    return path


def _refused(path: Path, problems: list[str]) -> ConfigError:
    shown = "、".join(problems[:5]) + (f"、ほか {len(problems) - 5:,} 件" if len(problems) > 5 else "")
    return ConfigError(
        f"配付資料の文面 {path} を使えません：{shown}。",
        setting=FILE,
        hint="その行を直してください。ファイルを消すと、標準の文面に戻ります。",
    )


def _said(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return "YAML として読み取れません"
    text = f"{mark.line + 1} 行目を YAML として読み取れません"
    return f"{text}（字下げ、コロンの後の空白、引用符の閉じ忘れを確かめてください）"


@dataclass(frozen=True, slots=True)
class _Table:
    """A mapping of the file, with where it stands."""

    line: int
    values: dict[str, Any]
    doubled: tuple[tuple[int, str], ...]


def _table(node: Node | None) -> _Table | None:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return None
    values: dict[str, Any] = {}
    doubled = []
    for key, value in node.value:
        name = str(key.value)
        if name in values:
            doubled.append((key.start_mark.line + 1, name))
        values[name] = value
    return _Table(node.start_mark.line + 1, values, tuple(doubled))


Problems = Iterator[tuple[int, str]]


def _problems(root: Node | None) -> Problems:
    table = _table(root)
    if table is None:
        yield 1, "項目がありません"
        return
    yield from _doubles(table, "")
    for key, most in _LINES.items():
        yield from _words(table, key, key, most)
    for key, most in _TABLES.items():
        yield from _by_device(table, key, most)
    yield from _privacy(table)
    yield from _steps(table)
    known = {*_LINES, *_TABLES, "privacy", "steps"}
    for key, node in table.values.items():
        if key not in known:
            yield _line(node), f"{_line(node)} 行目 {key}：知らない項目です"


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _doubles(table: _Table, where: str) -> Problems:
    for line, key in table.doubled:
        yield line, f"{line} 行目 {where}{key}：同じ項目が 2 回あります"


def _words(table: _Table, key: str, name: str, most: int, *, optional: bool = False) -> Problems:
    import yaml

    node = table.values.get(key)
    if node is None:
        if not optional:
            yield table.line, f"{name} がありません（{table.line} 行目からの部分）"
        return
    line = _line(node)
    if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str" or not node.value.strip():
        yield line, f'{line} 行目 {name}：文字を書いてください（数字だけのときは "" で囲みます）'
    elif len(node.value) > most:
        yield line, f"{line} 行目 {name}：{len(node.value):,} 字あります（{most} 字まで）"
    elif any(ord(letter) < 32 and letter != "\n" for letter in node.value):
        yield line, f"{line} 行目 {name}：印刷できない文字があります"


def _by_device(table: _Table, key: str, most: int) -> Problems:
    node = table.values.get(key)
    inside = _table(node)
    if inside is None:
        line = table.line if node is None else _line(node)
        yield (
            line,
            f"{key} がありません" if node is None else f"{line} 行目 {key}：iOS、Android、other を並べます",
        )
        return
    yield from _doubles(inside, f"{key}.")
    for device in _DEVICES:
        yield from _words(inside, device, f"{key}.{device}", most)
        value = inside.values.get(device)
        if key == "app_url" and value is not None and not str(value.value).startswith("https://"):
            yield _line(value), f"{_line(value)} 行目 {key}.{device}：https:// で始まるアドレスにしてください"


def _privacy(table: _Table) -> Problems:
    inside = _table(table.values.get("privacy"))
    if inside is None:
        yield table.line, "privacy に sees、sees_not、does がありません"
        return
    yield from _doubles(inside, "privacy.")
    for key, most in _PRIVACY.items():
        yield from _words(inside, key, f"privacy.{key}", most)


def _steps(table: _Table) -> Problems:
    import yaml

    inside = _table(table.values.get("steps"))
    if inside is None:
        yield table.line, "steps がありません"
        return
    yield from _doubles(inside, "steps.")
    for device in _DEVICES:
        rows = inside.values.get(device)
        if rows is None:
            yield inside.line, f"steps.{device} がありません"
        elif not isinstance(rows, yaml.SequenceNode) or not 1 <= len(rows.value) <= _MOST_STEPS:
            yield (
                _line(rows),
                f"{_line(rows)} 行目 steps.{device}：「-」で始まる手順を 1〜{_MOST_STEPS} 個並べます",
            )
        else:
            for number, row in enumerate(rows.value, 1):
                yield from _step(row, f"steps.{device} の {number} 番目")


def _step(row: Node, name: str) -> Problems:
    step = _table(row)
    if step is None:
        yield _line(row), f"{_line(row)} 行目 {name}：picture と text を書いてください"
        return
    yield from _doubles(step, f"{name} ")
    for key, most in _STEP.items():
        yield from _words(step, key, f"{name} {key}", most, optional=key != "text")
    picture = step.values.get("picture")
    if picture is not None and picture.value not in PICTURES:
        line = _line(picture)
        yield line, f"{line} 行目 {name} picture：{'、'.join(PICTURES)} のどれかにしてください"
