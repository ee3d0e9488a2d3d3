"""``onboard check`` in words and in JSON, whatever the file is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bousai_kit.roster import Roster, check_roster

Make = Callable[..., Roster]
HEADER = "職員番号,姓,名,ログインID,所属コード,端末OS"


def test_a_good_roster(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"{HEADER}\n1,試験,春郎,shiken@city-demo,A00,iOS\n", encoding="utf-8")
    check = check_roster(path)
    assert check.ok
    assert check.as_json() == {"people": 1, "issues": []}
    assert check.render_text() == "1 人を確認しました。誤り 0 件、注意 0 件。このまま計画に進めます。"


def test_issues_in_json_and_words(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"{HEADER}\n1,試験,,shiken@city-demo,A00,なし\n", encoding="cp932")
    check = check_roster(path)
    assert not check.ok
    assert json.loads(json.dumps(check.as_json(), ensure_ascii=False)) == {
        "people": 1,
        "issues": [
            {
                "row": 2,
                "column": "名",
                "severity": "error",
                "problem": "必須の値が空です。値を入れてください。",
            },
            {
                "row": 2,
                "column": "端末OS",
                "severity": "warning",
                "problem": "端末がありません。アプリの通知は届かないので、別の連絡手段を決めてください。",
            },
        ],
    }
    lines = check.render_text().splitlines()
    assert lines[0] == "誤り 2 行目「名」: 必須の値が空です。値を入れてください。"
    assert lines[1].startswith("注意 2 行目「端末OS」: ")
    assert lines[2].startswith("1 人を確認しました。誤り 1 件、注意 1 件。")


def test_warnings_alone_let_it_pass(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"{HEADER},血液型\n1,試験,春郎,shiken@city-demo,A00,iOS,A\n", encoding="utf-8")
    check = check_roster(path)
    assert check.ok
    assert "そのまま進められます" in check.render_text()


@pytest.mark.parametrize(
    ("data", "column", "said"),
    [
        (b"", "", "空です"),
        (f"{HEADER}\n".encode(), "", "行がありません"),
        ("姓,名\n試験,春郎\n".encode(), "職員番号", "必須の列"),
        (f"{HEADER}\n1,試,験,x,y,z\n".encode("euc_jp"), "", "EUC-JP"),
        (b"PK\x03\x04broken", "", "壊れて"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_issue_too(
    tmp_path: Path, data: bytes, column: str, said: str
) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(data)
    check = check_roster(path)
    assert (check.people, check.ok) == (0, False)
    assert check.issues[0].column == column
    assert said in check.issues[0].problem
    assert check.issues[0].severity == "error"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    check = check_roster(tmp_path / "none.csv")
    assert not check.ok
    assert "見つかりません" in check.issues[0].problem
