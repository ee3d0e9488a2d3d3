"""What a row must fulfil so that the platform takes it, and what a person should look at again.

An ``error`` is what LINE WORKS refuses or nobody can tell apart; everything else is a ``warning``.
Sentences never hold a person's name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from bousai_kit.errors import Issue
from bousai_kit.roster.columns import Column, Match, key
from bousai_kit.roster.model import Person
from bousai_kit.tables import Table

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
_ADDRESS = re.compile(r"[^\s@\x00-\x20\x7f]{1,64}@(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}")
_POWER = re.compile(r"\d(?:\.\d+)?[Ee]\+?\d+")
_RETYPE = "列を「文字列」にして入力し直してください。"
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


class Report:
    """Collects the issues of one table, in the words of its own header.

    Attributes
    ----------
    issues : list of Issue
    uncomputed : set of (int, str)
        Row and field of formulas without a value, which have been named already.
    """

    def __init__(self, table: Table, found: Match, columns: Sequence[Column], *, prefix: str = "") -> None:
        self.issues: list[Issue] = []
        self._table, self._found, self._prefix = table, found, prefix
        self._titles = {column.field: column.title for column in columns}
        for name, place in found.index.items():
            self._titles[name] = table.header[place].strip()
        self._required = {column.field for column in columns if column.required}
        self.uncomputed = self._formulas()
        self._header()
        self._cells()

    def has(self, name: str) -> bool:
        """Whether the file has this column at all."""
        return name in self._found.index

    def error(self, row: int, name: str, problem: str) -> None:
        """The row cannot be created."""
        self.issues.append(Issue(row, self._titles.get(name, name), "error", self._prefix + problem))

    def warning(self, row: int, name: str, problem: str) -> None:
        """Worth a look; never blocks."""
        self.issues.append(Issue(row, self._titles.get(name, name), "warning", self._prefix + problem))

    def required(self, row: int, name: str, value: str) -> bool:
        """Whether the value is there; else an error, unless an empty formula has been named already."""
        if value:
            return True
        if (row, name) not in self.uncomputed:
            self.error(row, name, "必須の値が空です。値を入れてください。")
        return False

    def extra_names(self) -> list[tuple[int, str]]:
        """Index and unique name of each column that the kit does not know and that holds anything."""
        names: list[tuple[int, str]] = []
        taken = set(self._titles.values())
        for place in self._found.unknown:
            title = self._table.header[place].strip() or f"（見出しなし {place + 1} 列目）"
            name, number = title, 2
            while name in taken:
                name, number = f"{title} ({number})", number + 1
            taken.add(name)
            names.append((place, name))
        return names

    def _formulas(self) -> set[tuple[int, str]]:
        names = {place: name for name, place in self._found.index.items()}
        found = set()
        for row, place in sorted(self._table.missing_formulas):
            name = names.get(place, "")
            title = name or self._table.header[place]
            sentence = (
                "数式の計算結果が保存されていないか、エラーです。"
                "Excel で開いて上書き保存するか、値に置き換えてください。"
            )
            (self.error if name in self._required else self.warning)(row, title, sentence)
            found.add((row, name))
        return found

    def _header(self) -> None:
        for place, name in self.extra_names():
            said = "見出しのない列です" if not self._table.header[place].strip() else "この列は使われません"
            self.warning(
                self._table.header_row,
                name,
                f"{said}。内容はそのまま残します。必要な列なら見出しを見本に合わせてください。",
            )

    def _cells(self) -> None:
        for row, cells in zip(self._table.row_numbers, self._table.rows, strict=True):
            self.look_at(row, cells)

    def look_at(self, row: int, cells: Sequence[str]) -> None:
        """Report what shows of a row before anybody knows what its cells mean."""
        width = len(self._table.header)
        if len(cells) > width:
            self.warning(
                row,
                "",
                f"見出し（{width} 列）より値が多くあります（{len(cells)} 個）。列がずれていないか確かめ、"
                "値の中の区切り文字を引用符で囲むか、余分な値を消してください。",
            )
        for place, cell in enumerate(cells[:width]):
            if cell and cell[0] == "=":
                names = {at: name for name, at in self._found.index.items()}
                title = names.get(place, self._table.header[place])
                self.warning(
                    row, title, "文字列が「=」で始まっています。数式のつもりなら値に置き換えてください。"
                )


def person_of(row: int, values: list[str], extra: Mapping[str, str], report: Report) -> Person:
    """Make a person of cells in the order of `columns.ROSTER`, widths mended, and check each by itself."""
    (staff, last, first, last_kana, first_kana, login, code, unit, position, *rest) = values
    hq_role, ward, bureau, order, deputy_for, device, phone, private_email, note = rest
    if not (_STAFF.fullmatch(staff)):
        _check_staff(row, staff, report)
    if last and first and last.isalnum() and first.isalnum() and len(last) + len(first) <= 80:
        pass
    else:
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
        if not value.isalnum() and value:
            _check_changed(row, name, value, report)
    if position and not position.isalnum():
        _check_text(row, "position", position, report)
    if len(position) > 100:
        report.error(
            row, "position", f"役職は 100 文字までです（{len(position):,} 文字）。短くしてください。"
        )
    if phone and not _PHONE.fullmatch(phone):
        phone = _check_phone(row, phone, report)
    if private_email and not (len(private_email) <= 256 and _ADDRESS.fullmatch(private_email)):
        report.error(row, "private_email", "メールアドレスの形ではありません。直すか、空にしてください。")
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
        return f"LINE WORKS の External Key に使えない記号「{refused[0]}」があります（% \\ # / ? は不可）。"
    if _control(code):
        return "改行などの制御文字があります。消してください。"
    return ""


def unit_name_problem(name: str) -> str:
    """Why a name cannot be that of a unit; "" if it can."""
    if len(name) > 100:
        return f"組織名は 100 文字までです（{len(name):,} 文字）。短くしてください。"
    if name.isalnum():
        return ""
    if _control(name):
        return "改行などの制御文字があります。消してください。"
    refused = _refused(name, _UNIT_SYMBOLS)
    return f"LINE WORKS の組織名に使えない記号「{refused}」があります。" if refused else ""


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
    if value.isalnum():
        return
    if _control(value):
        report.error(row, name, "改行などの制御文字があります。消してください。")
    refused = _refused(value, symbols) if symbols is not None else ""
    if refused and not _control(refused):
        report.error(row, name, f"LINE WORKS の名前に使えない記号「{refused}」があります。")
    odd = [c for c in value if not c.isascii() and not c.isalnum() and c not in _HARMLESS]
    kinds = {unicodedata.category(c) for c in odd}
    if "Co" in kinds:
        report.warning(
            row, name, "外字（この端末だけの文字）があります。ほかの端末では正しく表示されません。"
        )
    if "Cf" in kinds:
        report.warning(row, name, "目に見えない文字があります。入力し直してください。")
    if symbols is not None and any(kind[0] in "PS" for kind in kinds):
        report.warning(row, name, "記号があります。LINE WORKS が受け付けない場合があります。")


def _check_kana(row: int, name: str, kana: str, report: Report) -> str:
    if len(kana) > 100:
        report.error(row, name, f"フリガナは 100 文字までです（{len(kana):,} 文字）。短くしてください。")
        return kana
    if _NARROW.fullmatch(kana):
        report.warning(row, name, "半角カタカナを全角にして扱います。")
        return unicodedata.normalize("NFKC", kana).strip()
    report.error(row, name, "フリガナは全角カタカナだけで書いてください（LINE WORKS が受け付けません）。")
    return kana


def _check_login(row: int, login: str, report: Report) -> None:
    if not report.required(row, "login_id", login):
        return
    local, at, domain = login.rpartition("@")
    problem = ""
    if not at:
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
    """Values that a spreadsheet has made of something else."""
    if _DATE.fullmatch(value):
        report.warning(
            row,
            name,
            "日付になっています。Excel が書き換えた可能性があります。" + _RETYPE,
        )
    elif _POWER.fullmatch(value):
        report.warning(
            row,
            name,
            "指数表記になっています。Excel が桁を丸めた可能性があります。" + _RETYPE,
        )


def _check_phone(row: int, phone: str, report: Report) -> str:
    phone = phone.removeprefix("'")  # our CSV's mark against formulas, kept by a spreadsheet
    mended = re.sub(r"\s", "", unicodedata.normalize("NFKC", re.sub("[‐‑‒–—―−ーｰ]", "-", phone)))
    if mended == phone and _PHONE.fullmatch(phone):
        return phone
    if _PHONE.fullmatch(mended):
        report.warning(row, "phone", f"全角の文字や空白を除いて「{mended}」として扱います。")
        return mended
    report.error(
        row,
        "phone",
        "電話番号に使えない文字があります（数字と + - * # ( ) だけ）。直すか、空にしてください。",
    )
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
