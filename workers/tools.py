"""What a conductor works with. Everything that waits, knows the time or leaves things to chance comes from outside.

So a worker of the program and a worker of a simulation, with its own clock and without threads, are the same code.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from domain.ports import WorkList
from domain.work import RunKey
from infrastructure.chance import chance
from workers.announce import Announce
from workers.batch import Store
from workers.breaking import AllClosed, Breakers
from workers.holding import Holders, Holding
from workers.mailbox import Mailbox
from workers.turns import Call


class WorkerStore(Store, WorkList, Holders, Protocol):
    """What a worker needs of the store."""

    def disown(self, holder: int, held: Iterable[tuple[RunKey, int]]) -> int: ...


class Calls(Protocol):
    """Makes calls; each answer comes as mail."""

    def make(self, call: Call) -> None: ...

    def look_after(self) -> None:
        """Write off the calls that do not come back."""
        ...

    def cancel(self) -> list[Call]:
        """Take back the calls that nobody has begun."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """`clock` is monotonic, in seconds; `random` gives [0, 1). `hears`: wake-ups can reach this worker now."""

    store: WorkerStore
    calls: Calls
    announce: Announce
    mailbox: Mailbox
    holding: Holding
    breakers: Breakers = field(default_factory=AllClosed)
    clock: Callable[[], float] = time.monotonic
    random: Callable[[], float] = chance.random
    hears: Callable[[], bool] = lambda: True
