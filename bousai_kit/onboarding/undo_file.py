"""An undo as a file: JSON for its owner's eyes (0600), refused when altered.

It holds ids, staff numbers, codes and names of units, groups and positions, and nobody's name: what a member
is set back to stands in the plan of the apply, which its home keeps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bousai_kit.errors import ConfigError, GuardError, InputError, os_reason
from bousai_kit.files import write_private
from bousai_kit.onboarding.passwords import home_mark
from bousai_kit.onboarding.undo_items import KINDS, UndoPlan

__all__ = ["check_undo_place", "is_undo_file", "load_undo", "name_undo", "save_undo"]

FORMAT = "bousai-onboarding-undo/1"
_LARGEST = 1 << 27
_SHAPES: Mapping[str, tuple[type, ...]] = {
    "restore": (str, list),
    "group_members": (str, str, bool),
    "group_names": (str, str),
    "unit_changes": (str, str),
    "unit_moves": (str, str, int),
}
_SCALARS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("apply_id", "undo_id", "plan_sha256", "home_mark"), str),
    **dict.fromkeys(("domain_id", "bot_id", "calls"), int),
    "eta_s": (int, float),
}
_HINT = "`bousai onboard undo 登録ID --out UNDO.json` で、取り消しの計画を作り直してください。"


def name_undo(undo: UndoPlan, home: Path) -> UndoPlan:
    """Give an undo its id, from what it would do, and the mark of the home in which it was made."""
    marked = replace(undo, home_mark=home_mark(home, undo.apply_id), undo_id="")
    assert marked.made_at is not None
    digest = _digest(_document(marked))
    return replace(marked, undo_id=f"u{marked.made_at:%Y%m%d-%H%M%S}-{digest[:8]}")


def save_undo(undo: UndoPlan, path: Path) -> Path:
    """Write an undo, readable and writable by its owner alone; replaces whole or not at all."""
    document = _document(undo)
    document["sha256"] = _digest(document)
    write_private(path, json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n")
    return path


def is_undo_file(path: Path) -> bool:
    """It begins as `save_undo` writes it; whether it is sound is seen when it is loaded."""
    try:
        with path.open("rb") as file:
            head = file.read(200)
    except OSError:
        return False
    return b'"bousai-onboarding-undo/' in head


def load_undo(path: Path) -> UndoPlan:
    """Read an undo.

    Raises
    ------
    InputError
        Not there, no undo, of another version, or not as it was written.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path.name} は取り消しの計画のファイルとしては大きすぎます。", hint=_HINT)
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(
            f"取り消しの計画のファイル {path} を開けません（{os_reason(error)}）。", hint=_HINT
        ) from None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f"{path.name} は、読み取れる取り消しの計画のファイルではありません。", hint=_HINT)
    if document.get("sha256") != _digest(document):
        raise InputError(
            f"取り消しの計画のファイル {path.name} は、作成後に書き換えられています。", hint=_HINT
        )
    try:
        return _undo(document)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"取り消しの計画のファイル {path.name} の内容を解釈できません。", hint=_HINT
        ) from None


def check_undo_place(undo: UndoPlan, *, home: Path, domain_id: int) -> None:
    """Refuse an undo of another tenant or home.

    Raises
    ------
    GuardError
        Another tenant's.
    ConfigError
        Made in another home.
    """
    if undo.domain_id != domain_id:
        raise GuardError(
            "この取り消しの計画は別のテナント（ドメイン）のものです。何も変更していません。",
            hint="接続先（--profile）を確かめてください。",
        )
    if undo.home_mark != home_mark(home, undo.apply_id):
        raise ConfigError(
            f"取り消しの計画 {undo.undo_id} は、別のフォルダ（BOUSAI_HOME）で作られています。",
            setting="BOUSAI_HOME",
            hint="登録を実行し、取り消しの計画を作った BOUSAI_HOME で実行してください。",
        )


def _document(undo: UndoPlan) -> dict[str, Any]:
    assert undo.made_at is not None
    return {
        "format": FORMAT,
        "undo_id": undo.undo_id,
        "apply_id": undo.apply_id,
        "made_at": undo.made_at.isoformat(),
        "impossible": undo.impossible,
        "notes": undo.notes,
        "counts": {name: len(getattr(undo, name)) for name, *_ in KINDS},
        **{name: getattr(undo, name) for name, *_ in KINDS},
        "labels": undo.labels,
        **{name: getattr(undo, name) for name in _SCALARS if name not in ("undo_id", "apply_id")},
    }


def _digest(document: Mapping[str, Any]) -> str:
    said = {name: value for name, value in document.items() if name != "sha256"}
    text = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _undo(document: Mapping[str, Any]) -> UndoPlan:
    made_at = datetime.fromisoformat(document["made_at"])
    if made_at.tzinfo is None:
        raise ValueError("made_at")
    lists: dict[str, Any] = {name: [_entry(name, one) for one in document[name]] for name, *_ in KINDS}
    undo = UndoPlan(
        **{name: document[name] for name in _SCALARS},
        **lists,
        made_at=made_at,
        impossible=[{key: str(one[key]) for key in ("subject", "reason")} for one in document["impossible"]],
        notes=[str(one) for one in document["notes"]],
        labels={str(key): str(value) for key, value in document["labels"].items()},
    )
    if not all(isinstance(getattr(undo, name), kind) for name, kind in _SCALARS.items()):
        raise TypeError
    return undo


def _entry(name: str, one: Any) -> Any:
    """As `build_undo` makes it."""
    shape = _SHAPES.get(name)
    if shape is None:
        if not isinstance(one, str):
            raise TypeError(name)
        return one
    if len(one) != len(shape) or not all(map(isinstance, one, shape)):
        raise TypeError(name)
    return (one[0], tuple(map(str, one[1]))) if name == "restore" else tuple(one)
