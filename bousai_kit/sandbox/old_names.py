"""Deprecated paths: the same thing under the names that it had before (part 1 §2.8, §3)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.ops import ApiFault, Call, Handler, Operation, Reply, missing

__all__ = ["under_old_names"]

Names = Mapping[str, str]


def under_old_names(
    operations: tuple[Operation, ...],
    table: str,
    paths: tuple[str, str],
    names: Names,
    there: Callable[[Choices], bool],
) -> tuple[Operation, ...]:
    """Operations once more, below an old path and with old property names.

    Parameters
    ----------
    operations : tuple of Operation
        As they are today, named ``table.…``.
    table : str
        First part of the names of the old ones.
    paths : (str, str)
        Path of today, old path.
    names : mapping
        Property of today -> old one; a property that had no old name ("") is left out of answers.
    there : callable
        Whether the old path still exists; else it matches no API.
    """
    today, before = paths
    return tuple(
        replace(
            operation,
            name=f"{table}.{operation.name.partition('.')[2]}",
            path=_renamed_path(operation.path.replace(today, before, 1), names),
            handler=_handler(operation.handler, names, there),
            body=_schema(operation.body, names),
        )
        for operation in operations
    )


def _renamed_path(path: str, names: Names) -> str:
    for new, old in names.items():
        path = path.replace(f"{{{new}}}", f"{{{old}}}")
    return path


def _handler(handler: Handler, names: Names, there: Callable[[Choices], bool]) -> Handler:
    back = {old: new for new, old in names.items() if old}

    def under(call: Call) -> Reply:
        if not there(call.choices):
            raise missing("Api not exists")
        call.path = {back.get(key, key): value for key, value in call.path.items()}
        if call.body.strip():
            call.put_json(_renamed(call.json(), back))
        try:
            reply = handler(call)
        except ApiFault as fault:
            raise ApiFault(fault.status, fault.code, _said(fault.description, names)) from None
        assert not inspect.isawaitable(reply)
        reply.json = _renamed(reply.json, names)
        return reply

    return under


def _renamed(value: Any, names: Names) -> Any:
    """Keys of an object, and of the objects in its lists, by other names."""
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        names.get(key, key): _renamed(item, names) if isinstance(item, list) else item
        for key, item in value.items()
        if names.get(key, key)
    }


def _said(text: str, names: Names) -> str:
    for new, old in names.items():
        text = text.replace(new, old) if old else text
    return text


def _schema(body: Mapping[str, Any] | None, names: Names) -> Mapping[str, Any] | None:
    if body is None:
        return None
    properties = {names.get(key, key): value for key, value in body["properties"].items()}
    required = [names.get(key, key) for key in body["required"]]
    return {
        **body,
        "required": [key for key in required if key],
        "properties": {key: value for key, value in properties.items() if key},
    }
