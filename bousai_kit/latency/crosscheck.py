"""The talk log beside the ledger: two records of the same answers, counted apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bousai_kit.logs.talk import TalkRow, read_talk

if TYPE_CHECKING:
    from datetime import datetime

    from bousai_kit.latency.durations import Broadcasts
    from bousai_kit.ledger import Event
    from bousai_kit.logs.archive import Piece

__all__ = ["LogCount", "answer_labels", "answered_before", "count_log"]


@dataclass(frozen=True, slots=True)
class LogCount:
    """What a drill left in the export of message contents.

    Attributes
    ----------
    rows, rejected : int
        Rows of the period, and lines that could not be used.
    bot_rows : int
        Messages of bots among them.
    answered : int
        People who sent the label of one of the drill's buttons.
    """

    rows: int
    rejected: int
    bot_rows: int
    answered: int

    def sentence(self, in_ledger: int) -> str:
        """How the two compare.

        Parameters
        ----------
        in_ledger : int
            People with an answer in the ledger.
        """
        told = (
            f"トークのログ {self.rows:,} 行（うち Bot の送信 {self.bot_rows:,} 行）を確かめました。"
            f"ボタンで応答した人はログでは {self.answered:,} 人、台帳では {in_ledger:,} 人です。"
        )
        if self.rejected:
            told += f"使えなかった行が {self.rejected:,} 行あります。"
        if self.answered == in_ledger:
            return f"{told}一致しています。"
        if self.answered > in_ledger:
            return f"{told}受信できなかった応答があります。「確定処理」（drill settle）で台帳に取り込めます。"
        return f"{told}ログにまだ現れていない応答があるかもしれません。時間をおいて取得し直してください。"


def answer_labels(drill: Iterable[Event]) -> frozenset[str]:
    """The labels of a drill's buttons: a tap appears in the export as a message with this text."""
    return frozenset(
        str(button["label"])
        for event in drill
        if event.kind == "drill.planned"
        for message in event.body.get("messages", ())
        for button in message.get("buttons", ())
        if button.get("label")
    )


def answered_before(source: Broadcasts, until: datetime) -> int:
    """People with an answer in the ledger, in time or late, given before `until`."""
    import pandas as pd

    frame = source.frame
    waited = frame["late_s"].where(~frame["observed"], frame["duration_s"])
    at = frame["sent_at"] + pd.to_timedelta(waited, unit="s")
    return int(frame.loc[at < pd.Timestamp(until), "person"].nunique())


def count_log(pieces: Iterable[Piece], labels: Collection[str]) -> LogCount:
    """Count rows and answers in the archive's best exports of a period.

    Parameters
    ----------
    pieces : iterable of Piece
        From `Archive.pieces`; of each file only the rows of its stretch are counted.
    labels : collection of str

    Raises
    ------
    InputError
        An export is no talk log.
    """
    rows: list[TalkRow] = []
    rejected: set[tuple[str, int]] = set()
    for piece in pieces:
        log = read_talk(piece.path.read_bytes())
        rows += [row for row in log.rows if piece.since <= row.at < piece.until]
        rejected |= {(piece.path.name, line) for line, _ in log.rejected}
    people = {row.sender_login or row.sender for row in rows if not row.is_bot and row.text in labels}
    return LogCount(len(rows), len(rejected), sum(row.is_bot for row in rows), len(people))
