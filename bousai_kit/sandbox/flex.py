"""Flex contents (part 2 §2.5): bubbles and carousels, checked as far as the reference goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.content_parts import array, obj
from bousai_kit.sandbox.ops import bad

__all__ = ["check_flex"]

SIZES = ("nano", "micro", "kilo", "mega", "giga")
COMPONENTS = frozenset({"box", "button", "image", "icon", "text", "span", "separator", "filler"})


def check_flex(value: Any, path: str, choices: Choices) -> Iterator[tuple[str, Any]]:
    """Check ``contents``; yields (path, action) of every action in it, in reading order."""
    fields = obj(value, path)
    if fields.get("type") == "carousel":
        bubbles = array(fields.get("contents"), f"{path}.contents", high=10)
        if _size(fields) > choices.flex_carousel_bytes:
            raise bad(f"{path} is larger than {choices.flex_carousel_bytes} bytes.")
        widths = {str(bubble.get("size") or "mega") for bubble in bubbles if isinstance(bubble, dict)}
        if choices.flex_equal_width and len(widths) > 1:
            raise bad(f"{path}.contents must be bubbles of the same size.")
        for index, bubble in enumerate(bubbles):
            yield from _bubble(bubble, f"{path}.contents[{index}]", choices)
    elif fields.get("type") == "bubble":
        yield from _bubble(fields, path, choices)
    else:
        raise bad(f"{path}.type must be bubble or carousel.")


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


def _bubble(value: Any, path: str, choices: Choices) -> Iterator[tuple[str, Any]]:
    bubble = obj(value, path)
    if bubble.get("type") != "bubble":
        raise bad(f"{path}.type must be bubble.")
    if bubble.get("size") is not None and bubble["size"] not in SIZES:
        raise bad(f"{path}.size must be one of {', '.join(SIZES)}.")
    if bubble.get("direction") is not None and bubble["direction"] not in ("ltr", "rtl"):
        raise bad(f"{path}.direction must be ltr or rtl.")
    if _size(bubble) > choices.flex_bubble_bytes:
        raise bad(f"{path} is larger than {choices.flex_bubble_bytes} bytes.")
    if bubble.get("action") is not None:
        yield f"{path}.action", bubble["action"]
    for name in ("header", "hero", "body", "footer"):
        if bubble.get(name) is not None:
            block = obj(bubble[name], f"{path}.{name}")
            if name != "hero" and block.get("type") != "box":
                raise bad(f"{path}.{name}.type must be box.")
            yield from _component(block, f"{path}.{name}")


def _component(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    component = obj(value, path)
    kind = component.get("type")
    if not isinstance(kind, str) or kind not in COMPONENTS:
        raise bad(f"{path}.type is invalid.")
    if kind == "text" and not isinstance(component.get("text"), str) and component.get("contents") is None:
        raise bad(f"{path}.text is required.")
    if kind in ("image", "icon") and not isinstance(component.get("url") or component.get("fileId"), str):
        raise bad(f"{path}.url is required.")
    if kind == "button":
        obj(component.get("action"), f"{path}.action")
    if component.get("action") is not None:
        yield f"{path}.action", component["action"]
    if kind in ("box", "text") and component.get("contents") is not None:
        for index, child in enumerate(array(component["contents"], f"{path}.contents", low=0)):
            yield from _component(child, f"{path}.contents[{index}]")
