"""What a check says, and all checks of one visit."""

from __future__ import annotations

from dataclasses import dataclass

from bousai_kit.errors import BousaiKitError

__all__ = ["UNSEEN", "Check", "Examination", "Trouble"]

UNSEEN = "確認できませんでした。"

LABELS = {
    "settings": "設定",
    "key": "秘密鍵",
    "proxy": "プロキシ",
    "network": "接続",
    "clock": "時計",
    "token": "トークン",
    "api": "API の利用",
    "scope": "スコープ",
    "bot": "Bot",
    "receiver": "受信（Callback）",
    "ledger": "台帳",
    "logs": "ログの取得",
    "secrets": "初期パスワード",
    "home": "保存先",
    "font": "フォント",
    "versions": "版",
}
_TAILS = {
    "network:auth": "認証サーバー",
    "network:api": "API",
    "bot:members": "利用できる人",
    "bot:rooms": "トークルーム",
    "bot:callback": "Callback",
}


class Trouble(BousaiKitError):
    """A check that failed: what is wrong, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor.

    Attributes
    ----------
    name : str
        Stable English key (``settings``, ``key``, ``clock``, ``token``, ``scope:bot``, …).
    ok : bool
    detail : str
        What was seen (Japanese).
    hint : str
        What to do (Japanese); empty when all is well. With `ok`: nothing stands in the way, and yet something
        is to be done some day.
    """

    name: str
    ok: bool
    detail: str
    hint: str = ""

    @property
    def verdict(self) -> str:
        """正常, 注意 or 要対応."""
        return "要対応" if not self.ok else "注意" if self.hint else "正常"

    @property
    def label(self) -> str:
        """The name on screens."""
        head, _, tail = self.name.partition(":")
        return LABELS.get(head, head) + (f"（{_TAILS.get(self.name, tail)}）" if tail else "")

    @property
    def unseen(self) -> bool:
        """Nothing is known to be wrong here: an earlier check stands in the way."""
        return not self.ok and self.detail == UNSEEN


@dataclass(frozen=True, slots=True)
class Examination:
    """All checks of one visit."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return all(check.ok for check in self.checks)

    @property
    def wrong(self) -> tuple[Check, ...]:
        """What has to be mended: checks that failed themselves, in order."""
        return tuple(check for check in self.checks if not check.ok and not check.unseen)

    @property
    def unseen(self) -> tuple[Check, ...]:
        """What nobody can tell before that is mended."""
        return tuple(check for check in self.checks if check.unseen)

    @property
    def next_step(self) -> str:
        """One sentence: what to do now."""
        for check in self.wrong or self.unseen:
            return f"次にすること（{check.label}）：{check.hint}"
        noted = sum(check.verdict == "注意" for check in self.checks)
        return f"すべて使えます（注意 {noted} 件）。" if noted else "すべて正常です。"

    def as_json(self) -> dict[str, object]:
        """``doctor --json``."""
        return {
            "ok": self.ok,
            "next_step": self.next_step,
            "checks": [
                {"name": c.name, "label": c.label, "ok": c.ok, "detail": c.detail, "hint": c.hint}
                for c in self.checks
            ],
        }

    def render_text(self) -> str:
        """One line a check, what to do below those that failed, and what comes first."""
        lines = []
        for check in self.checks:
            if check.unseen:
                continue
            lines.append(f"{check.verdict:\u3000<3}  {check.label}：{check.detail}")
            if check.hint:
                lines.append(f"        → {check.hint}")
        if self.unseen:
            waiting = "、".join(dict.fromkeys(check.label.partition("（")[0] for check in self.unseen))
            lines.append(f"未確認  {len(self.unseen)} 項目は、「要対応」を直すと確認できます（{waiting}）。")
        if not self.ok:
            lines.append(f"対応が必要な項目が {len(self.wrong)} 件あります。")
        lines.append(self.next_step)
        return "\n".join(lines)
