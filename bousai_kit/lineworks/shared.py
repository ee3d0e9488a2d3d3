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
        self.turns = Turns(clock=clock, trip_s=self.gate.trip_s)
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

    def beside(self) -> Shared:
        """For another account, or other scopes, on the same domain: a token of its own."""
        other = Shared(clock=self.clock)
        other.gate, other.turns, other.names = self.gate, self.turns, self.names
        other.clients = self.clients
        return other

    def anew(self) -> Shared:
        """The same budgets, turns and token, but what was refused before is asked again, by everybody.

        For who has just mended something elsewhere (the doctor): whoever then repeats what was refused is
        not told the old refusal; a token that lacks scopes is given up.
        """
        other = self.beside()
        other.purse = self.purse
        self.purse.ask_anew()
        self.memory.clear()
        return other


_living: weakref.WeakValueDictionary[tuple[Hashable, ...], Shared] = weakref.WeakValueDictionary()


def shared_by(
    *, account: ServiceAccount, api_url: str, auth_url: str, domain_id: int, clock: Clock
) -> Shared:
    """The one `Shared` of everybody who lives in this thread and speaks for the same account.

    Whoever speaks for another one (or with other scopes) on the same domain has budgets and turns with them,
    as the platform counts them per domain, and a token and refusals of its own.
    It ends with the last client that holds it. Clocks have to agree: the wall at one speed, or the same
    virtual one.
    """
    secret = reveal(account.client_secret) + "\0" + reveal(account.private_key)
    place = (
        threading.get_ident(),
        api_url,
        domain_id,
        ("wall", clock.speed) if isinstance(clock, SystemClock) else ("own", id(clock)),
    )
    key = (
        place,
        auth_url,
        account.client_id,
        account.service_account,
        account.scopes,
        hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest(),
    )
    found = _living.get(key)
    if found is None:
        kin = next((each for other, each in _living.items() if other[0] == place), None)
        found = _living[key] = Shared(clock=clock) if kin is None else kin.beside()
    return found
