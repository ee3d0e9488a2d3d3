"""A YAML file as plain values, with the line of each: so that every problem can be named with its place."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from bousai_kit.errors import Issue, ScenarioError

__all__ = ["Places", "read_yaml"]

MOST_CHARACTERS = 1_000_000
MOST_DEPTH = 20

Path = tuple[str | int, ...]


class Places:
    """Where each value of a document stands."""

    def __init__(self, lines: dict[Path, int]) -> None:
        self._lines = lines

    def line(self, path: Path) -> int:
        """Line of a value, or of the nearest thing around it; 1 at least."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    @staticmethod
    def spelled(path: Path) -> str:
        """``messages[0].text``."""
        shown = ""
        for step in path:
            shown += f"[{step}]" if isinstance(step, int) else (f".{step}" if shown else step)
        return shown


def read_yaml(text: str) -> tuple[Any, Places, list[Issue]]:
    """Values, places, and what the file has twice.

    Raises
    ------
    ScenarioError
        It is not YAML, too large, or uses anchors and aliases.
    """
    if len(text) > MOST_CHARACTERS:
        raise ScenarioError("シナリオが大きすぎます（100 万文字まで）。")
    lines: dict[Path, int] = {}
    issues: list[Issue] = []
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = None if node is None else _value(SafeConstructor(), node, (), lines, issues)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{mark.line + 1} 行目 {mark.column + 1} 文字目付近" if mark is not None else "ファイル全体"
        raise ScenarioError(
            f"シナリオを YAML として読み取れません（{where}）。",
            issues=[
                Issue(mark.line + 1 if mark is not None else 0, "", "error", "YAML の書き方の誤りです。")
            ],
            hint="字下げ（半角の空白）、「:」の後の空白、引用符の閉じ忘れを確認してください。",
        ) from None
    except (RecursionError, ValueError):
        raise ScenarioError("シナリオを YAML として読み取れません。") from None
    return value, Places(lines), issues


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            line = event.start_mark.line + 1 if event.start_mark is not None else 1
            raise ScenarioError(
                f"シナリオの {line} 行目に、使えない書き方（& や * による参照）があります。",
                issues=[Issue(line, "", "error", "& と * による参照は使えません。")],
                hint="文字として書くときは、引用符で囲んでください。",
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise ScenarioError("シナリオの入れ子が深すぎます。")


def _value(
    scalars: SafeConstructor, node: yaml.Node, path: Path, lines: dict[Path, int], issues: list[Issue]
) -> Any:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [_value(scalars, item, (*path, index), lines, issues) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            name = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            place = (*path, name)
            if name in found:
                line = key_node.start_mark.line + 1
                issues.append(Issue(line, Places.spelled(place), "error", "同じ項目が 2 回あります。"))
            found[name] = _value(scalars, value_node, place, lines, issues)
        return found
    return scalars.construct_object(node)
