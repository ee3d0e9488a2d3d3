"""What a row must fulfil so that the platform takes it, and what a person should look at again.

An ``error`` is what LINE WORKS refuses or nobody can tell apart; everything else is a ``warning``.
Sentences never hold a person's name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from bousai_kit.roster.columns import key
from bousai_kit.roster.model import Person
from bousai_kit.roster.report import Report

__all__ = ["Report", "external_key_problem", "person_of", "unit_name_problem"]

_STAFF = re.compile(r"[0-9A-Za-z._-]{1,20}")
_KEY = re.compile(r"[0-9A-Za-z._-]{1,100}")
_NOT_IN_A_KEY = re.compile(r"[%\\#/?]")
_LOGIN = re.compile(
    r"(?=.{1,90}$)(?=[a-z0-9_.-]{2,40}@)(?=[a-z0-9])[a-z0-9_-]+(?:\.[a-z0-9_-]+)*@[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
)
_LOCAL = re.compile(r"(?=[a-z0-9])[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_NAME_SYMBOLS = frozenset("!@&()-_+[]{},./#'^~` ")
_UNIT_SYMBOLS = frozenset("!@&()-_+[]{},./ ")
_HARMLESS = frozenset("　・･゠＝‐‑–—’“”、。（）［］｛｝「」『』〈〉《》【】，．／！＆＋－＿＠＾～〜｀＃")
_KANA = re.compile(r"[ァ-ヺー・ヽヾㇰ-ㇿ゛゜ 　]{0,100}")
_NARROW = re.compile(r"[\uff65-\uff9fァ-ヺー・ヽヾㇰ-ㇿ゛゜ 　]+")
_PHONE = re.compile(r"(?=.*[0-9])[0-9+*#PTpt()-]{1,100}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ADDRESS = re.compile(
    rf"(?=.{{1,256}}$)[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.-]{{1,64}}@(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})+"
)
_DAKUTEN = re.compile("[\u3099\u309a]")
_BARE_PHONE = re.compile(r"[1-9][0-9]{8,9}")
_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}月\d{1,2}日")  # Excel makes 1月2日 of 1-2
_POWER = re.compile(r"\d(?:\.\d+)?[Ee]\+?\d+")
_RETYPE = "列を「文字列」にして入力し直してください。"
_IS_DATE = "日付になっています。Excel が書き換えた可能性があります。" + _RETYPE
_UNSEEN = "目に見えない文字があります。入力し直してください。"
_SENT = ("last_name", "first_name", "position", "level")  # LINE WORKS refuses control characters
_ORDER = re.compile(r"[0-9]{1,6}")
_DEVICES = {
    "ios": "iOS",
    "iphone": "iOS",
    "ipad": "iOS",
    "android": "Android",
    "アンドロイド": "Android",
    "なし": "なし",
    "無し": "なし",
    "無": "なし",
    "none": "なし",
}


def person_of(row: int, values: list[str], extra: Mapping[str, str], report: Report) -> Person:
    """Make a person of cells in the order of `columns.ROSTER`, widths mended, and check each by itself."""
    (staff, last, first, last_kana, first_kana, login, code, unit, position, level, *rest) = values
    hq_role, ward, bureau, order, deputy_for, device, phone, private_email, note = rest
    if not (_STAFF.fullmatch(staff)):
        _check_staff(row, staff, report)
    if not (last.isalnum() and first.isalnum() and len(last) + len(first) <= 80 and "0" not in (last, first)):
        _check_names(row, last, first, report)
    if not _KANA.fullmatch(last_kana):
        last_kana = _check_kana(row, "last_kana", last_kana, report)
    if not _KANA.fullmatch(first_kana):
        first_kana = _check_kana(row, "first_kana", first_kana, report)
    if not _LOGIN.fullmatch(login):
        _check_login(row, login, report)
    if not _KEY.fullmatch(code) and report.required(row, "orgunit_code", code):
        problem = external_key_problem(code)
        if problem:
            report.error(row, "orgunit_code", problem)
    for name, value in (("staff_number", staff), ("orgunit_code", code)):
        if value and not (value.isascii() and value.isalnum()):
            _check_changed(row, name, value, report)
    for name, value in (
        ("position", position),
        ("level", level),
        ("orgunit_name", unit),
        ("hq_role", hq_role),
        ("ward", ward),
        ("bureau", bureau),
    ):
        if value and (value == "0" or not value.isalnum()):
            _check_text(row, name, value, report)
    for name, label, value in (("position", "役職", position), ("level", "職級", level)):
        if len(value) > 100:
            report.error(row, name, f"{label}は 100 文字までです（{len(value):,} 文字）。短くしてください。")
    if phone and not _PHONE.fullmatch(phone):
        phone = _check_phone(row, phone, report)
    elif phone and _BARE_PHONE.fullmatch(phone.replace("-", "")):
        report.warning(
            row,
            "phone",
            "先頭の 0 がありません。Excel が消した可能性があります。確かめて 0 を付けてください。",
        )
    if private_email and not _ADDRESS.fullmatch(private_email):
        private_email = _check_address(row, private_email, report)
    return Person(
        row=row,
        staff_number=staff,
        last_name=last,
        first_name=first,
        last_kana=last_kana,
        first_kana=first_kana,
        login_id=login,
        orgunit_code=code,
        orgunit_name=unit,
        position=position,
        level=level,
        hq_role=hq_role,
        ward=ward,
        bureau=bureau,
        deputy_order=_order(row, order, report) if order else None,
        deputy_for=deputy_for,
        device_os=_device(row, device, report),
        phone=phone,
        private_email=private_email,
        note=note,
        extra=extra,
    )


def external_key_problem(code: str) -> str:
    """Why a code cannot be an external key; "" if it can."""
    if len(code) > 100:
        return f"コードは 100 文字までです（{len(code):,} 文字）。短くしてください。"
    refused = _NOT_IN_A_KEY.search(code)
    if refused:
        return (
            f"LINE WORKS の External Key に使えない記号「{refused[0]}」があります"
            "（% \\ # / ? は不可）。別の記号に変えるか、消してください。"
        )
    if _control(code):
        return "改行など、目に見えない制御文字があります。入力し直してください。"
    return ""


def unit_name_problem(name: str) -> str:
    """Why a name cannot be that of a unit; "" if it can."""
    if len(name) > 100:
        return f"組織名は 100 文字までです（{len(name):,} 文字）。短くしてください。"
    if name.isalnum():
        return ""
    if _control(name):
        return "改行など、目に見えない制御文字があります。入力し直してください。"
    refused = _refused(name, _UNIT_SYMBOLS)
    if refused:
        return f"LINE WORKS の組織名に使えない記号「{refused}」があります。別の字に変えてください。"
    return ""


def _control(text: str) -> bool:
    return any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text)


def _refused(text: str, allowed: frozenset[str]) -> str:
    """The first ASCII symbol that the platform does not list."""
    return next((c for c in text if c.isascii() and not c.isalnum() and c not in allowed), "")


def _check_staff(row: int, staff: str, report: Report) -> None:
    if not report.required(row, "staff_number", staff):
        return
    if len(staff) > 20:
        report.error(
            row, "staff_number", f"職員番号は 20 文字までです（{len(staff):,} 文字）。短くしてください。"
        )
    problem = external_key_problem(staff[:100])
    if problem:
        report.error(row, "staff_number", problem)
    elif key(staff) != staff:
        report.warning(
            row, "staff_number", "全角の文字があります。半角で書かれた名簿とは別の番号になります。"
        )


def _check_names(row: int, last: str, first: str, report: Report) -> None:
    for name, value in (("last_name", last), ("first_name", first)):
        if not report.required(row, name, value):
            continue
        if len(value) > 80:
            report.error(
                row, name, f"姓と名は合わせて 80 文字までです（{len(value):,} 文字）。短くしてください。"
            )
        _check_text(row, name, value[:1000], report, _NAME_SYMBOLS)
    if len(last) <= 80 and len(first) <= 80 and len(last) + len(first) > 80:
        report.error(
            row,
            "last_name",
            f"姓と名は合わせて 80 文字までです（{len(last) + len(first)} 文字）。短くしてください。",
        )


def _check_text(
    row: int, name: str, value: str, report: Report, symbols: frozenset[str] | None = None
) -> None:
    if value == "0":
        report.warning(
            row,
            name,
            "「0」になっています。空欄を参照した数式の結果ではないか確かめ、正しい値にしてください。",
        )
    if _DATE.fullmatch(value):
        report.warning(row, name, _IS_DATE)
    if value.isalnum():
        return
    control, kinds = _seen(value)
    if control and name != "orgunit_name":  # `unit_name_problem` says it of a name that is used
        said = "改行など、目に見えない制御文字があります。入力し直してください。"
        (report.error if name in _SENT else report.warning)(row, name, said)
    refused = _refused(value, symbols) if symbols is not None else ""
    if refused and not _control(refused):
        report.error(
            row, name, f"LINE WORKS の名前に使えない記号「{refused}」があります。別の字に変えてください。"
        )
    if "Co" in kinds:
        report.warning(
            row,
            name,
            "外字（この端末だけの文字）があります。ほかの端末では正しく表示されないので、標準の字に変えてください。",
        )
    if "Cf" in kinds:
        report.warning(row, name, _UNSEEN)
    if _DAKUTEN.search(value):
        report.warning(
            row,
            name,
            "濁点（゛゜）が文字から分かれています（Mac で作ったファイルなど）。入力し直してください。",
        )
    if symbols is not None and any(kind[0] in "PS" for kind in kinds):
        report.warning(
            row, name, "記号があります。LINE WORKS が受け付けない場合があるので、確かめてください。"
        )


@lru_cache(maxsize=4096)
def _seen(value: str) -> tuple[bool, frozenset[str]]:
    """Whether control characters are in it, and the categories of what is neither letter nor harmless."""
    odd = (c for c in value if not c.isascii() and not c.isalnum() and c not in _HARMLESS)
    return _control(value), frozenset(map(unicodedata.category, odd))


def _check_kana(row: int, name: str, kana: str, report: Report) -> str:
    if len(kana) > 100:
        report.error(row, name, f"フリガナは 100 文字までです（{len(kana):,} 文字）。短くしてください。")
        return kana
    if _NARROW.fullmatch(kana):
        report.warning(row, name, "半角カタカナを全角にして扱います。")
        return unicodedata.normalize("NFKC", kana).strip()
    joined = unicodedata.normalize("NFC", kana)
    if _KANA.fullmatch(joined):
        report.warning(row, name, "文字から分かれた濁点（゛゜）を、1 文字にまとめて扱います。")
        return joined
    report.error(row, name, "フリガナは全角カタカナだけで書いてください（LINE WORKS が受け付けません）。")
    return kana


def _check_login(row: int, login: str, report: Report) -> None:
    if not report.required(row, "login_id", login):
        return
    local, at, domain = login.rpartition("@")
    problem = ""
    if not at and "＠" in login:
        problem = "全角の「＠」があります。半角の「@」で書いてください。"
    elif not at:
        problem = "「@」がありません。「ID@グループ名（またはドメイン）」の形で書いてください。"
    elif login.count("@") > 1:
        problem = "「@」が 2 つ以上あります。1 つにしてください。"
    elif len(login) > 90:
        problem = f"ログインID は 90 文字までです（{len(login):,} 文字）。短くしてください。"
    elif not 2 <= len(local) <= 40:
        problem = f"「@」の前は 2〜40 文字です（{len(local)} 文字）。"
    elif key(login) != login and _LOGIN.fullmatch(key(login).lower()):
        problem = "全角の文字があります。半角の英小文字と数字で書いてください。"
    elif not _LOCAL.fullmatch(local):
        lower = _LOCAL.fullmatch(local.lower()) is not None
        problem = (
            "大文字は使えません。小文字で書いてください。"
            if lower
            else "「@」の前は半角の英小文字・数字・「.」「_」「-」で、英数字から始めます"
            "（「.」の連続と末尾の「.」は不可）。"
        )
    elif not _DOMAIN.fullmatch(domain):
        problem = "「@」の後は半角の英数字・「.」「-」で書いてください。"
    if problem:
        report.error(row, "login_id", problem)


def _check_changed(row: int, name: str, value: str, report: Report) -> None:
    """Values that a spreadsheet has made of something else, or that only look the same."""
    if not value.isascii() and any(unicodedata.category(letter) == "Cf" for letter in value[:100]):
        report.warning(row, name, _UNSEEN)
    if _DATE.fullmatch(value):
        report.warning(row, name, _IS_DATE)
    elif _POWER.fullmatch(value):
        report.warning(
            row,
            name,
            "指数表記になっています。Excel が桁を丸めた可能性があります。" + _RETYPE,
        )


def _check_address(row: int, address: str, report: Report) -> str:
    mended = key(address) if len(address) <= 1000 else address
    if _ADDRESS.fullmatch(mended):
        report.warning(row, "private_email", f"全角の文字を半角にして「{mended}」として扱います。")
        return mended
    local, at, domain = address.rpartition("@")
    problem = "メールアドレスの形（name@example.jp）ではありません。"
    if at and len(local) > 64:
        problem = f"メールアドレスの「@」の前は 64 文字までです（{len(local):,} 文字）。"
    elif at and (len(domain) > 253 or len(address) > 256):
        problem = f"メールアドレスは 256 文字まで、「@」の後は 253 文字までです（{len(address):,} 文字）。"
    report.error(row, "private_email", problem + "直すか、空にしてください。")
    return address


def _check_phone(row: int, phone: str, report: Report) -> str:
    phone = phone.removeprefix("'")  # our CSV's mark against formulas, kept by a spreadsheet
    mended = re.sub(r"\s", "", unicodedata.normalize("NFKC", re.sub("[‐‑‒–—―−ーｰ]", "-", phone)))
    if mended == phone and _PHONE.fullmatch(phone):
        return phone
    if _PHONE.fullmatch(mended):
        report.warning(row, "phone", f"全角の文字や空白を除いて「{mended}」として扱います。")
        return mended
    problem = "電話番号に使えない文字があります（数字と + - * # ( ) だけ）。"
    if len(phone) > 100:
        problem = f"電話番号は 100 文字までです（{len(phone):,} 文字）。"
    elif not any(map(str.isdecimal, phone)):
        problem = "電話番号に数字がありません。"
    report.error(row, "phone", problem + "直すか、空にしてください。")
    return phone


def _order(row: int, order: str, report: Report) -> int | None:
    plain = key(order)
    if _ORDER.fullmatch(plain) and int(plain) >= 1:
        return int(plain)
    report.warning(row, "deputy_order", "代理順位は 1 以上の整数で書いてください。この値は使われません。")
    return None


def _device(row: int, device: str, report: Report) -> str:
    known = _DEVICES.get(key(device).casefold())
    if known is None and device:
        report.warning(row, "device_os", "端末OS は iOS、Android、なし のいずれかで書いてください。")
        return device
    if report.has("device_os") and known in (None, "なし"):
        report.warning(
            row, "device_os", "端末がありません。アプリの通知は届かないので、別の連絡手段を決めてください。"
        )
    return known or ""
