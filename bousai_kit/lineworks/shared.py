"""What all clients of one domain share in a process: budgets, turns, final refusals, the token."""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Hashable

from bousai_kit.clock import Clock, SystemClock
from bousai_kit.lineworks.auth import Purse
from bousai_kit.lineworks.gate import Gate, Turns
from bousai_kit.lineworks.memory import RefusalMemory
from bousai_kit.lineworks.names import MemberNames
from bousai_kit.lineworks.tokens import ServiceAccount, reveal

__all__ = ["Shared", "shared_by"]


class Shared:
    """What all clients of one domain share in a process.

    Parameters
    ----------
    clock : Clock
    """

    def __init__(self, *, clock: Clock) -> None:
        self.clock = clock
        self.gate = Gate(clock=clock)
        self.turns = Turns(clock=clock)
        self.memory = RefusalMemory()
        self.names = MemberNames()
        self.purse = Purse()
        self.clients: weakref.WeakSet[object] = weakref.WeakSet()

    def leave(self, client: object) -> None:
        """A client has ended. After the last one nobody waits, and what was refused may be asked again."""
        self.clients.discard(client)
        if not self.clients:
            self.gate.close()
            self.memory.clear()

    def anew(self) -> Shared:
        """The same budgets, turns and token, but what was refused before is asked again.

        For who has just mended something elsewhere (the doctor); a token that lacks scopes is given up.
        """
        other = Shared(clock=self.clock)
        other.gate, other.turns, other.purse = self.gate, self.turns, self.purse
        other.names = self.names
        other.clients = self.clients
        self.purse.ask_anew()
        return other


_living: weakref.WeakValueDictionary[Hashable, Shared] = weakref.WeakValueDictionary()


def shared_by(
    *, account: ServiceAccount, api_url: str, auth_url: str, domain_id: int, clock: Clock
) -> Shared:
    """The one `Shared` of everybody who lives in this thread and speaks for the same account.

    It ends with the last client that holds it. Clocks have to agree: the wall at one speed, or the same
    virtual one.
    """
    secret = reveal(account.client_secret) + "\0" + reveal(account.private_key)
    key = (
        threading.get_ident(),
        api_url,
        auth_url,
        domain_id,
        account.client_id,
        account.service_account,
        account.scopes,
        hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest(),
        ("wall", clock.speed) if isinstance(clock, SystemClock) else ("own", id(clock)),
    )
    found = _living.get(key)
    if found is None:
        found = _living[key] = Shared(clock=clock)
    return found
