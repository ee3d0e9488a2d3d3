"""Which names mean the same member (userId, login id, external key), and turns held by all of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable

from bousai_kit.errors import ProtocolViolation
from bousai_kit.lineworks.base import Reply
from bousai_kit.lineworks.gate import Turns
from bousai_kit.lineworks.routes import Turn, names_of

__all__ = ["MemberNames", "held"]


class MemberNames:
    """What requests and answers have shown of the names of one domain's members. Pure."""

    def __init__(self) -> None:
        self._known: dict[str, frozenset[str]] = {}

    def of(self, name: str) -> frozenset[str]:
        """All names of a member, as far as known."""
        name = name if name.startswith("externalKey:") else name.casefold()
        return self._known.get(name) or frozenset((name,))

    def same(self, names: Iterable[str]) -> None:
        """These names mean one member."""
        whole = frozenset().union(*(self.of(name) for name in names))
        for name in whole:
            self._known[name] = whole

    def read(self, answer: Reply) -> None:
        """Learn from an answer: one member, or a page of members."""
        try:
            body = answer.json()
        except ProtocolViolation:  # whoever asked meets it
            return
        users = body.get("users") if isinstance(body, dict) else None
        for user in users if isinstance(users, list) else [body]:
            self.same(names_of(user))


@contextlib.asynccontextmanager
async def held(turn: Turn, *, turns: Turns, names: MemberNames) -> AsyncIterator[None]:
    """No two requests with one of its keys at once, nor two writes of a member by whichever names."""
    if turn.one_member:
        names.same(turn.members)
    while True:
        keys = {("user", each) for name in turn.members for each in names.of(name)}
        async with turns.hold((*turn.keys, *keys), rest_s=turn.rest_s, rest_key=turn.rest_key):
            if keys >= {("user", each) for name in turn.members for each in names.of(name)}:
                yield  # else a name was learned meanwhile
                for each in turn.named:
                    names.same(each)
                return
