"""From a method and a raw path to the `Operation` that answers it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from bousai_kit.sandbox.ops import Operation

__all__ = ["Router"]


class Router:
    """Finds the operation of a method and a raw path; a literal segment wins over a parameter."""

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self._root: dict[str, Any] = {}
        self.operations: list[Operation] = []
        for operation in operations:
            self.add(operation)

    def add(self, operation: Operation) -> None:
        """Put one in; two of the same method and path are a mistake."""
        node: dict[Any, Any] = self._root
        names: list[str] = []
        for segment in operation.path.strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                segment = "{}"
            node = node.setdefault(segment, {})
        methods = node.setdefault(None, {})
        if operation.method in methods:
            raise ValueError(f"{operation.method} {operation.path} is there twice")
        methods[operation.method] = (operation, names)
        self.operations.append(operation)

    def find(self, method: str, raw_path: bytes) -> tuple[Operation, dict[str, str]] | None:
        """The operation and its decoded path values; None when the path matches no API."""
        segments: list[str] = []
        for part in raw_path.removeprefix(b"/").split(b"/"):
            try:
                segment = unquote_to_bytes(part).decode("utf-8")
            except UnicodeDecodeError:
                return None
            if not segment or "\x00" in segment or len(segment) > 1000:
                return None
            segments.append(segment)
        return self._walk(self._root, segments, 0, [], method)

    def _walk(
        self, node: dict[Any, Any], segments: list[str], at: int, values: list[str], method: str
    ) -> tuple[Operation, dict[str, str]] | None:
        if at == len(segments):
            found = node.get(None, {}).get(method)
            if found is None:
                return None
            operation, names = found
            return operation, dict(zip(names, values, strict=True))
        literal = node.get(segments[at]) if segments[at] != "{}" else None
        if literal is not None:
            hit = self._walk(literal, segments, at + 1, values, method)
            if hit is not None:
                return hit
        parameter = node.get("{}")
        if parameter is not None:
            return self._walk(parameter, segments, at + 1, [*values, segments[at]], method)
        return None
