"""Who is stuck, why, and what to do about it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bousai_kit.onboarding.auth_log import SLACK, Login, reason_label
from bousai_kit.onboarding.facts import Expected, Facts
from bousai_kit.onboarding.tenant_view import Member

__all__ = ["EXPIRES", "REASONS", "STUCK_AFTER", "Case", "find_case", "give_to", "group_of", "since_creation"]

STUCK_AFTER = timedelta(days=3)
EXPIRES = timedelta(days=30)
FAILURES = 3  # of somebody in use: fewer happen to everybody
REASONS: Mapping[str, str] = {  # code -> as filters and counts say it
    "no_account": "アカウントがない",
    "expired": "期限切れ（30 日）",
    "login_failed": "ログインに失敗している",
    "password": "パスワードを変更していない",
    "pending": "まだログインしていない",
    "locked": "失敗が続いて一時停止",
    "suspended": "一時停止中",
    "never_opened": "Bot を開いていない",
}
_LIAISON = ("連絡員", "区本部長", "本部員", "区副本部長", "副本部長", "本部長", "事務局")


@dataclass(frozen=True, slots=True)
class Case:
    """Why somebody is stuck.

    Attributes
    ----------
    code : str
        Of `REASONS`.
    reason : str
    todo : str
        What the one who runs the kit does.
    days : int
        For how long.
    ask : str
        What a liaison says to the person; default: by `_ASK`.
    """

    code: str
    reason: str
    todo: str
    days: int = 0
    ask: str = ""

    @property
    def said(self) -> str:
        """What a liaison says or does, without a command of the kit in it."""
        return self.ask or _ASK[self.code]


_OFFICE = "登録の担当者"
_ASK: Mapping[str, str] = {
    "no_account": f"まだ登録されていません。{_OFFICE}が登録します。",
    "expired": f"{_OFFICE}が仮パスワードを出し直します。受け取って本人に渡してください。",
    "login_failed": "ログインIDとパスワードの打ち間違い（大文字と小文字、似た文字）を一緒に確かめてください。"
    f"だめなときは{_OFFICE}に知らせてください。",
    "password": "新しいパスワードを決め、もう一度ログインするよう伝えてください。",
    "pending": "配付資料を持っているか尋ね、ログインを手伝ってください。"
    f"なくしたときは{_OFFICE}に再印刷を頼んでください。",
    "locked": f"{_OFFICE}が一時停止を解除します。連絡を待って、もう一度ログインするよう伝えてください。",
    "suspended": f"休職や異動などの事情があれば、{_OFFICE}に知らせてください。",
    "never_opened": "アプリで Bot のトークを開き、ひとこと送るよう伝えてください。",
}
_ASK_MAIL = (
    "招待メールが私用メールに届いているか（迷惑メールの中も）尋ねてください。"
    f"なければ{_OFFICE}に再送を頼んでください。"
)


def since_creation(rows: Sequence[Login], created: datetime | None) -> list[Login]:
    """Rows about this account, not about one of the same login id that was deleted before."""
    return [one for one in rows if created is None or one.at >= created - SLACK]


def find_case(
    person: Expected,
    member: Member | None,
    *,
    facts: Facts,
    rows: Sequence[Login],
    login: datetime | None,
    now: datetime,
) -> Case | None:
    """What keeps one person from being reached; None: nothing, or not for long enough yet.

    Parameters
    ----------
    rows : sequence of Login
        Of this account, oldest first.
    login : datetime or None
        First login.
    """
    if member is None:
        return Case(
            "no_account", "アカウントがまだありません。", "この人を含む名簿で計画を作り、登録してください。"
        )
    if member.suspended:
        return _suspended(member)
    created = facts.created_at.get(member.user_id)
    waited = max(now - created, timedelta()) if created is not None else None
    if member.pending:
        return _pending(person, member, facts=facts, rows=rows, waited=waited, now=now)
    failed = _failed_since(rows)
    if len(failed) >= FAILURES:
        return Case("login_failed", _say_failures(failed), _TRY_AGAIN, _days(now, failed[0].at))
    silent = facts.reached and member.user_id not in facts.reached
    if silent and login is not None and now - login >= STUCK_AFTER:
        days = _days(now, login)
        reason = f"ログインから {days} 日、Bot のトークをまだ開いていません。"
        return Case("never_opened", reason, _ASK["never_opened"], days)
    return None


_TRY_AGAIN = "ID とパスワードの入力を一緒に確かめ、だめなら管理画面で仮パスワードを再発行してください。"
_REISSUE = "管理画面で仮パスワードを再発行し、本人に渡してください。"


def _suspended(member: Member) -> Case:
    if member.suspended_reason == "LOGIN_FAIL":
        return Case(
            "locked",
            "ログインの失敗が続き、一時停止されています。",
            "管理画面で一時停止を解除し、仮パスワードを再発行してください。",
        )
    return Case(
        "suspended", "一時停止中です。", "意図した停止か確かめ、違うときは管理画面で解除してください。"
    )


def _pending(
    person: Expected,
    member: Member,
    *,
    facts: Facts,
    rows: Sequence[Login],
    waited: timedelta | None,
    now: datetime,
) -> Case | None:
    again, by_mail = (
        _again(person, member, facts),
        facts.chooses_password(member.user_id, person.staff_number),
    )
    days = 0 if waited is None else waited.days
    mailed = facts.mailed_at.get(member.user_id)
    running = waited if mailed is None else min(now - mailed, waited or EXPIRES)
    if running is not None and running >= EXPIRES:
        if by_mail:
            reason = "招待から 30 日以内にログインしなかったため、期限切れです。"
            ask = f"{_OFFICE}が招待メールを送り直します。届いたらすぐにログインするよう伝えてください。"
            return Case("expired", reason, again, days, ask)
        reason = "登録から 30 日以内にログインしなかったため、期限切れです。"
        return Case("expired", reason, _REISSUE, days)
    failed = _failed_since(rows)
    if failed:
        return Case("login_failed", _say_failures(failed), _TRY_AGAIN, days)
    if any(one.ok for one in rows):
        reason = "仮パスワードではログインしましたが、パスワードの変更が済んでいません。"
        return Case("password", reason, _ASK["password"], days)
    if waited is None or waited < STUCK_AFTER:
        return None
    invited = facts.invited_at(member.user_id, person.staff_number)
    ask = _ASK_MAIL if by_mail else ""
    also = "" if invited is not None else "配付資料を印刷した記録も、招待メールの記録もありません。"
    return Case("pending", f"登録から {days} 日、まだログインしていません。{also}", again, days, ask)


def _again(person: Expected, member: Member, facts: Facts) -> str:
    """How the same person is invited once more."""
    number, stream = person.staff_number, facts.stream_of.get(member.user_id, "")
    if facts.chooses_password(member.user_id, number):
        return f"招待メールをもう一度送ってください（onboard invite --only {number}）。"
    if not stream or stream in facts.ended:
        return _REISSUE
    return f"配付資料を印刷し直して渡してください（onboard handouts PLAN.json --only {number}）。"


def _failed_since(rows: Sequence[Login]) -> list[Login]:
    """Failures after the last success."""
    last = max((place for place, one in enumerate(rows) if one.ok), default=-1)
    return list(rows[last + 1 :])


def _say_failures(failed: Sequence[Login]) -> str:
    counted = Counter(one.reason for one in failed).most_common()
    said = "、".join(f"{reason_label(reason)} {count:,} 回" for reason, count in counted)
    return f"ログインに {len(failed):,} 回失敗しています（{said}）。"


def _days(now: datetime, at: datetime) -> int:
    return max(0, (now - at).days)


# -- whom to ask ------------------------------------------------------------------------------------------


def group_of(person: Expected) -> str:
    """Ward, else bureau: who looks after this person."""
    return person.ward or person.bureau


def give_to(people: Iterable[Expected]) -> dict[str, list[str]]:
    """Group → staff numbers of those who pass things on: its liaisons, else its head, best first."""
    found: dict[str, dict[str, list[str]]] = {}
    for person in people:
        if person.hq_role in _LIAISON:
            found.setdefault(group_of(person), {}).setdefault(person.hq_role, []).append(person.staff_number)
    return {
        group: [number for role in _LIAISON for number in roles.get(role, ())]
        for group, roles in found.items()
    }
