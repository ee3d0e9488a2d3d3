"""Every error of the kit, each with a hint that an operator can act on.

::

    BousaiKitError                 .hint: one Japanese sentence, what to do now; .exit_code
    ├─ ConfigError                 which setting, where looked for, never its value
    ├─ InputError                  an input file cannot be used (.issues: all of its problems)
    │  ├─ RosterError
    │  └─ ScenarioError
    ├─ LedgerError
    │  ├─ LedgerUnavailable        locked, full disk, network file system, foreign domain
    │  └─ LedgerCorrupt            the chain does not hold
    ├─ LineWorksError
    │  ├─ TransportFailed          nothing left this machine (connect refused, DNS, proxy)
    │  ├─ OutcomeUnknown           a POST that may have taken effect: no answer, reset after sending, 5xx
    │  ├─ ForeignLocation          a Location on a host that is not allowed; not followed
    │  ├─ ApiError                 .status .code .description .method .path
    │  │  ├─ AuthRejected          401, an OAuth refusal, or 403 with code UNAUTHORIZED
    │  │  ├─ PermissionDenied · NotFound · Conflict · InvalidRequest
    │  │  ├─ RateLimited           .retry_after_s .limit .remaining
    │  │  └─ ServiceUnavailable
    │  └─ ProtocolViolation        an answer that is not what the contract says
    │     └─ TruncatedExport       CSV trailer "downloadLogs error"
    ├─ CallbackRejected            .status to answer with
    │  ├─ SignatureMismatch        401
    │  └─ MalformedCallback        400, or 413 for a body that is too large
    ├─ GuardError                  refused by a guard: exit code 3
    │  └─ DrillGuardError
    ├─ DrillError
    │  └─ DrillClosed
    └─ AnalysisError               e.g. no dispatches; odd data is a DataQualityWarning, not an exception

Messages never hold a token, a key, a request body or a person's name.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "AnalysisError",
    "ApiError",
    "AuthRejected",
    "BousaiKitError",
    "CallbackRejected",
    "ConfigError",
    "Conflict",
    "DataQualityWarning",
    "DrillClosed",
    "DrillError",
    "DrillGuardError",
    "ForeignLocation",
    "GuardError",
    "InputError",
    "InvalidRequest",
    "Issue",
    "LedgerCorrupt",
    "LedgerError",
    "LedgerUnavailable",
    "LineWorksError",
    "MalformedCallback",
    "NotFound",
    "OutcomeUnknown",
    "PermissionDenied",
    "ProtocolViolation",
    "RateLimited",
    "RosterError",
    "ScenarioError",
    "ServiceUnavailable",
    "SignatureMismatch",
    "TransportFailed",
    "TruncatedExport",
    "os_reason",
]

_OS_REASONS = {
    errno.ENOENT: "場所が見つかりません",
    errno.ENOTDIR: "場所が見つかりません",
    errno.EACCES: "権限がありません",
    errno.EPERM: "権限がありません",
    errno.EROFS: "書き込みのできない場所です",
    errno.ENOSPC: "空き容量がありません",
    errno.EISDIR: "フォルダーです",
    errno.EEXIST: "同じ名前のものがあります",
    errno.ENAMETOOLONG: "名前が長すぎます",
}


def os_reason(error: OSError) -> str:
    """What the operating system said, in the words of an office where they are known."""
    return _OS_REASONS.get(error.errno or 0) or error.strerror or type(error).__name__


class DataQualityWarning(UserWarning):
    """Odd but usable data: the analysis goes on and says so."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One problem of an input file.

    Parameters
    ----------
    row : int
        Row number as a spreadsheet shows it (the header is row 1); 0 for the file as a whole.
    column : str
        Column header as the file spells it, or "".
    severity : str
        ``"error"`` (the row cannot be used) or ``"warning"``.
    problem : str
        Japanese sentence: what is wrong and how to mend it.
    """

    row: int
    column: str
    severity: str
    problem: str

    def as_json(self) -> dict[str, object]:
        """The four keys of ``onboard check --json``."""
        return {"row": self.row, "column": self.column, "severity": self.severity, "problem": self.problem}


class BousaiKitError(Exception):
    """Base of all. ``str(error)`` says what happened (Japanese), ``hint`` what to do now (Japanese)."""

    exit_code: ClassVar[int] = 2
    default_hint: ClassVar[str] = "`bousai doctor` で設定と接続を確認してください。"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = self.default_hint if hint is None else hint

    def __reduce__(self) -> tuple[object, ...]:
        """Cross a process border, whatever the constructor asks for."""
        return _restore, (type(self), self.args, self.__dict__)

    def sentence(self) -> str:
        """What happened and what to do, as one line for a terminal or a panel."""
        return f"{self} {self.hint}".strip().replace("\n", " ")

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: a notebook shows the sentence, not the frames (and no locals)."""
        return [f"{type(self).__name__}: {self}", f"→ {self.hint}"]


def _restore(
    kind: type[BousaiKitError], args: tuple[object, ...], state: dict[str, object]
) -> BousaiKitError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class ConfigError(BousaiKitError):
    """A setting is missing or wrong."""

    default_hint = "設定（環境変数、.env、bousai.toml）を直してから、もう一度実行してください。"

    def __init__(self, message: str, *, setting: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.setting = setting


class InputError(BousaiKitError):
    """An input file cannot be used."""

    default_hint = "ファイルを直してから、もう一度実行してください。"

    def __init__(self, message: str, *, issues: Sequence[Issue] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.issues = tuple(issues)


class RosterError(InputError):
    """A roster or organisation file cannot be used; ``issues`` holds all rows' problems."""

    default_hint = "名簿の該当する行と列を直してから、もう一度実行してください。"


class ScenarioError(InputError):
    """A scenario file cannot be used."""

    default_hint = "シナリオ（YAML）の該当箇所を直してから、もう一度実行してください。"


class LedgerError(BousaiKitError):
    """The ledger cannot be used."""


class LedgerUnavailable(LedgerError):
    """Locked, disk full, on a network file system, or of another domain: nothing was written."""

    default_hint = (
        "ディスクの空き容量と BOUSAI_HOME の場所を確認してから、同じ操作をもう一度実行してください。"
    )


class LedgerCorrupt(LedgerError):
    """The hash chain does not hold."""

    default_hint = "台帳を書き換えず、控え（bousai backup）から戻すか、担当者に連絡してください。"


class LineWorksError(BousaiKitError):
    """Something between the kit and LINE WORKS."""

    exit_code = 2


class TransportFailed(LineWorksError):
    """Nothing left this machine: certainly not processed."""

    default_hint = "ネットワーク接続、プロキシ（HTTPS_PROXY）、BOUSAI_API_URL を確認してください。"


class OutcomeUnknown(LineWorksError):
    """A POST that may have taken effect. Never repeated by the client; the caller settles it."""

    exit_code = 1
    default_hint = "届いたかどうか未確定なので、再送せず、`settle`（確定処理）で結果を確かめてください。"

    def __init__(self, message: str, *, method: str = "", path: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.method = method
        self.path = path


class ForeignLocation(LineWorksError):
    """A redirect to a host that is not allowed; it was not followed and is not asked for again."""

    exit_code = 1
    default_hint = "正しい転送先であれば BOUSAI_DOWNLOAD_HOSTS にホスト名を追加してください。"

    def __init__(self, message: str, *, host: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.host = host


class ApiError(LineWorksError):
    """An answer that says no: ``status``, the vendor's ``code`` and ``description``."""

    def __init__(
        self,
        message: str = "",
        *,
        status: int,
        code: str = "",
        description: str = "",
        method: str = "",
        path: str = "",
        hint: str | None = None,
    ) -> None:
        said = " ".join(part for part in (code, description) if part)
        super().__init__(
            message or f"LINE WORKS が {status} を返しました（{said or '説明なし'}）。", hint=hint
        )
        self.status = status
        self.code = code
        self.description = description
        self.method = method
        self.path = path


class AuthRejected(ApiError):
    """401, an OAuth refusal, or 403 with code UNAUTHORIZED."""

    default_hint = (
        "Developer Console の Client ID・Client Secret・サービスアカウント・秘密鍵と"
        "この端末の時計を確認してください。"
    )


class PermissionDenied(ApiError):
    """403: a scope or an authority is missing (on some products also an unknown id)."""

    default_hint = "Developer Console でアプリのスコープと Bot の公開範囲を確認してください。"


class NotFound(ApiError):
    """404."""

    default_hint = "ID（Bot、メンバー、トークルーム）に誤りがないか確認してください。"


class Conflict(ApiError):
    """409, or a duplicate that the vendor reports as such."""

    default_hint = "同じ ID または External Key が既に使われていないか確認してください。"


class InvalidRequest(ApiError):
    """400 and the other final 4xx."""

    default_hint = "送った内容に誤りがあるので、説明に出ている項目を直してください。"


class RateLimited(ApiError):
    """429 that outlasted all patience."""

    exit_code = 1
    default_hint = "1 分ほど待ってから、同じ操作をもう一度実行してください。"

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 429,
        code: str = "",
        description: str = "",
        method: str = "",
        path: str = "",
        hint: str | None = None,
        retry_after_s: float | None = None,
        limit: int | None = None,
        remaining: int | None = None,
    ) -> None:
        super().__init__(
            message, status=status, code=code, description=description, method=method, path=path, hint=hint
        )
        self.retry_after_s = retry_after_s
        self.limit = limit
        self.remaining = remaining


class ServiceUnavailable(ApiError):
    """5xx on a request that may be repeated, after all repeats."""

    exit_code = 1
    default_hint = "LINE WORKS 側の障害の可能性があるので、数分待ってから、もう一度実行してください。"


class ProtocolViolation(LineWorksError):
    """An answer that is not what the contract says."""

    exit_code = 1
    default_hint = "LINE WORKS の仕様が変わった可能性があるので、ログを添えて担当者に連絡してください。"


class TruncatedExport(ProtocolViolation):
    """The export ends with ``downloadLogs error``: rows are missing. ``raw`` is the export as it came."""

    raw: bytes = b""
    default_hint = "ログの取得が途中で切れたので、同じ期間をもう一度取得してください。"


class CallbackRejected(BousaiKitError):
    """A callback that is not believed; ``status`` is what the receiver answers."""

    status: ClassVar[int] = 400
    default_hint = "Bot Secret と Callback URL の設定を確認してください。"


class SignatureMismatch(CallbackRejected):
    """The signature does not fit the raw bytes, or the bot is another one."""

    status = 401


class MalformedCallback(CallbackRejected):
    """Signed, but not an event the contract knows; or a body too large (``status`` 413)."""

    def __init__(self, message: str, *, status: int = 400, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status  # type: ignore[misc]  # an instance may be stricter than its class


class GuardError(BousaiKitError):
    """Refused by a guard."""

    exit_code = 3
    default_hint = "内容を確認し、必要な確認操作をしてから実行してください。"


class DrillGuardError(GuardError):
    """A drill that may not go out like this (missing mark, missing approval)."""


class DrillError(BousaiKitError):
    """Something is wrong with a drill."""


class DrillClosed(DrillError):
    """The drill has been closed; nothing more is sent."""

    exit_code = 3
    default_hint = "続ける場合は `bousai drill run … --new` で新しい訓練を始めてください。"


class AnalysisError(BousaiKitError):
    """The analysis has nothing to say, e.g. no dispatches."""

    default_hint = "指定した訓練 ID、期間、入力ファイルを確認してください。"
