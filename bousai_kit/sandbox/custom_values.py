"""Values of custom properties on members (part 1 §4.2, §7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bousai_kit.sandbox import directory_checks as check
from bousai_kit.sandbox.content_parts import array, obj, string
from bousai_kit.sandbox.directory_rules import ordinary
from bousai_kit.sandbox.ops import Call, bad
from bousai_kit.sandbox.tenant import Entity

__all__ = ["custom_values", "mandatory_values", "property_by_name", "readable_values"]


def property_by_name(call: Call, name: str) -> Entity | None:
    """A custom property of the tenant by ``propertyName``."""
    for entry in call.tenant.table("custom_properties").values():
        if entry["propertyName"] == name:
            return entry
    return None


def custom_values(call: Call, value: Any, path: str) -> dict[str, Any]:
    """``{propertyName: value}``, each value of its property's type; null takes one out."""
    found: dict[str, Any] = {}
    for name, given in ({} if value is None else obj(value, path)).items():
        entry = property_by_name(call, name)
        here = f"{path}.{name[:120]}"
        if entry is None:
            raise bad(f"{here} is unknown.")
        if given is None:
            continue
        if entry["multiValued"]:
            found[name] = [
                _value(entry, item, f"{here}[{at}]") for at, item in enumerate(array(given, here, high=10))
            ]
        else:
            found[name] = _value(entry, given, here)
    return found


def mandatory_values(call: Call, values: Mapping[str, Any], domain_id: int) -> None:
    """400 when a property that was made mandatory for the domain has no value (part 1 §4.2)."""
    if not call.choices.mandatory_properties:
        return
    for entry in call.tenant.table("custom_properties").values():
        if entry["mandatory"] and entry["domainId"] == domain_id and entry["propertyName"] not in values:
            raise bad(f"customProperties.{entry['propertyName']} is required.")


def readable_values(call: Call, user: Entity) -> dict[str, Any]:
    """Values of a member that the one who asks may read: ``ADMIN_AND_SELF`` is not for everybody."""
    asking, values = ordinary(call), user.get("customProperties") or {}
    if asking is None or asking["userId"] == user["userId"]:
        return dict(values)
    properties = call.tenant.table("custom_properties").values()
    hidden = {entry["propertyName"] for entry in properties if entry["readAccessType"] != "ALL"}
    return {name: value for name, value in values.items() if name not in hidden}


def _value(entry: Entity, given: Any, path: str) -> Any:
    kind = entry["propertyType"]
    if kind == "INTEGER":
        if isinstance(given, bool) or not isinstance(given, int) or not -(1 << 63) <= given < 1 << 63:
            raise bad(f"{path} must be an integer.")
        return given
    if kind == "LINK":
        link = obj(given, path)
        return {"text": string(link, "text", path, 1000), "link": string(link, "link", path, 1000)}
    if kind == "DATE":
        return check.day({path: given}, path) or _refuse(path)
    if not isinstance(given, str) or len(given) > 1000:
        _refuse(path)
    options = [option["optionName"] for option in entry.get("options") or ()]
    if options and given not in options:
        _refuse(path)
    return given


def _refuse(path: str) -> Any:
    raise bad(f"{path} is invalid.")
