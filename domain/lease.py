"""Leases: exclusive use of something that has a name, for a time, under an epoch that tells one use from the next.

    free ──take──► held ──renew──► held
      ▲             │ time over by the table's clock, or the holder seen to be gone
      └──release────┴──────────────► another may take it, under a greater epoch

A lease alone proves nothing: its holder may be frozen between looking at it and acting. What makes it safe is the guard: whoever writes
what the lease protects proves in that very transaction that its epoch is still in force, and nobody takes the lease before such a
transaction has ended. Epochs of one name only grow and none is used twice.

An `outside` lease protects something that cannot check an epoch. It is never taken before its time is over, however dead its holder
looks; its holder must stop when `trusted` says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from domain.errors import Transient
from domain.ports import Holder


class LeaseLost(Transient):
    """The lease ran out or is another's: nothing may be written under it."""

    def __init__(self, name: str, epoch: int) -> None:
        self.name = name
        self.epoch = epoch
        super().__init__(f"the lease {name} is not ours any more (epoch {epoch})")


class LeaseTaken(Transient):
    """Somebody else holds the lease."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"somebody else holds the lease {name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the table gave: this name to this holder under this epoch."""

    name: str
    holder: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRow:
    """A lease as people see it. `beacon`: whether the holder shows that it lives; None where it has no means to."""

    name: str
    holder: str
    epoch: int
    since: datetime
    expires_at: datetime
    outside: bool
    beacon: bool | None
    held: bool


class LeaseTable(Protocol):
    """Where leases are. Its clock decides; no time of ours is ever sent to it. Everything may raise `StoreUnavailable`."""

    def enter(self, name: str, time: timedelta) -> Holder:
        """Become a holder, who has to be heard of within `time`."""
        ...

    def take(self, name: str, holder: Holder, time: timedelta, *, outside: bool = False) -> Grant | None:
        """Take the lease if it is free; None if it is not. Does not wait."""
        ...

    def renew(self, holder: Holder, time: timedelta) -> frozenset[int] | None:
        """Keep all leases of the holder; the epochs of those that are still its own. None: it is no holder any more."""
        ...

    def is_lit(self, holder: Holder) -> bool:
        """As far as can be seen from here without asking: False when the connection that shows our life has ended."""
        ...

    def guard(self, transaction: Any, grant: Grant) -> None:  # noqa: ANN401 - of the technology of the table
        """Inside a transaction: nobody takes the lease before it ends. Raises `LeaseLost` if the grant is not in force."""
        ...

    def release(self, grant: Grant) -> bool:
        """Give it back; False if it was not the grant's any more, and then nothing was done."""
        ...

    def leave(self, holder: Holder) -> None:
        """Give everything back and be no holder any more."""
        ...

    def forget(self, holder: Holder) -> None:
        """Be no holder any more without a word to the table; others find out."""
        ...

    def rows(self) -> Sequence[LeaseRow]:
        """Every lease that somebody has and has not given back."""
        ...
