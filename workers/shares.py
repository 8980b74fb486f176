"""A role's share of named work, held by leases: about as much as every other process of the role has.

A process is a member as long as it has one of the leases `ROLE-member:1`, `ROLE-member:2`, ...; whoever looks at the leases sees how many
members there are, and by the rule in `workers/sharing.py` what it is to give up and what to take. It looks once or twice in half a
second, so a process that comes has its share within a second or so, and what a killed one had is taken by others as soon. A share is
given up between two rounds of work, never within one.

    a member lives but does not come for its share    what was free for five seconds is taken by any other, for a minute
    the leases cannot be reached                      what we have is ours until it runs out; nothing is given up or taken
    a lease cannot be trusted now                     it rests; renewed in the end it is used again, lost it is dealt again
    the names change                                  those that are gone are given back, the new ones are dealt
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from domain.errors import StoreUnavailable
from domain.lease import Grant
from infrastructure.chance import chance
from workers.leases import Lease, Leases
from workers.sharing import deal

log = structlog.get_logger()

LOOK_EVERY_S = 0.5
PATIENCE_S = 5.0
RESCUED_FOR_S = 60.0
MOST_MEMBERS = 1000


class Shares:
    """For one thread. `names` tells those of the work as they are now; the lease of each is `role:name`."""

    def __init__(
        self,
        leases: Leases,
        role: str,
        names: Callable[[], Sequence[str]],
        *,
        look_every_s: float = LOOK_EVERY_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._leases = leases
        self._role = role
        self._names = names
        self._look_every_s = look_every_s
        self._patience_s = patience_s
        self._look_at = float("-inf")
        self._member: tuple[int, Lease] | None = None
        self._members: Sequence[int] = ()
        self._held: dict[str, Lease] = {}
        self._free_since: dict[str, float] = {}
        self._rescued: dict[str, float] = {}
        self._stands_by = False

    def held(self) -> Mapping[str, Grant]:
        """What is ours now, by name. Raises `StoreUnavailable` if that is nothing and nothing can be asked for."""
        self._held = {name: lease for name, lease in self._held.items() if not lease.is_over()}
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + self._look_every_s * chance.uniform(0.5, 1.0)
            try:
                self._look()
            except StoreUnavailable:
                if not self._held:
                    raise
        return {name: lease.grant for name, lease in self._held.items() if lease.trusted()}

    def drop(self, names: Iterable[str]) -> None:
        """These turned out to be somebody else's."""
        for name in names:
            if (lease := self._held.pop(name, None)) is not None:
                self._leases.release(lease)

    def look_soon(self) -> None:
        """Something has changed: do not wait for the next look."""
        self._look_at = float("-inf")

    def close(self) -> None:
        """Give everything back."""
        self._held, self._member = {}, None
        self._leases.close()

    def _look(self) -> None:
        names = self._names()
        taken = {row.name for row in self._leases.table.rows() if row.held}
        rank = self._rank(taken)
        free = [name for name in names if name not in self._held and f"{self._role}:{name}" not in taken]
        self._rescued = {name: until for name, until in self._rescued.items() if name in names and name in self._held}
        mine = self._held.keys() - self._rescued.keys()
        move = deal(names=names, mine=mine, free=free, rank=rank, members=len(self._members))
        self.drop(move.give_up)
        self._take_some(move.take)
        self._rescue([name for name in free if name not in self._held])
        self._say_if_idle()

    def _rank(self, taken: set[str]) -> int:
        """Our place among the members; becomes one first if need be."""
        prefix = f"{self._role}-member:"
        numbers = {int(name.removeprefix(prefix)) for name in taken if name.startswith(prefix)}
        if self._member is None or self._member[1].is_over():
            self._member = self._enter(prefix, numbers)
        members = sorted(numbers | {self._member[0]})
        if members != self._members:
            self._members, self._rescued = members, {}
        return members.index(self._member[0])

    def _enter(self, prefix: str, numbers: set[int]) -> tuple[int, Lease]:
        for number in range(1, MOST_MEMBERS):
            if number not in numbers and (lease := self._leases.take(f"{prefix}{number}")) is not None:
                return number, lease
        raise StoreUnavailable(f"there are {MOST_MEMBERS} members of {self._role}")

    def _take_some(self, names: Sequence[str]) -> None:
        """Where taking is slow, the rest waits for a round of work on what we have."""
        until = time.monotonic() + LOOK_EVERY_S
        for name in names:
            self._take(name)
            if time.monotonic() > until:
                self.look_soon()
                return

    def _take(self, name: str) -> bool:
        lease = self._leases.take(f"{self._role}:{name}")
        if lease is not None:
            self._held[name] = lease
        return lease is not None

    def _rescue(self, free: Sequence[str]) -> None:
        """Take what is nobody's although somebody was to take it."""
        now = time.monotonic()
        self._rescued = {name: until for name, until in self._rescued.items() if until > now}
        self._free_since = {name: self._free_since.get(name, now) for name in free}
        for name, since in self._free_since.items():
            if now - since >= self._patience_s and self._take(name):
                self._rescued[name] = now + RESCUED_FOR_S
                log.warning("nobody came for a share", role=self._role, name=name)

    def _say_if_idle(self) -> None:
        if not self._held and not self._stands_by:
            log.info("others have all the work: standing by", role=self._role)
        self._stands_by = not self._held
