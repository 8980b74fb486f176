"""A role's share of named work: as many of the leases as are free, taken as they become free.

Two processes of a role divide the names between them as they come; a third stands by and takes over within half a second what a
killed one had. Nothing is ever taken away from a process that works, so a share need not be even.
"""

import random
import time
from collections.abc import Iterable, Mapping

import structlog

from domain.errors import StoreUnavailable
from domain.lease import Grant
from workers.leases import Lease, Leases

log = structlog.get_logger()

LOOK_EVERY_S = 0.5


class Shares:
    """For one thread. `names` are those of the work; the lease of each is `role:name`."""

    def __init__(self, leases: Leases, role: str, names: Iterable[str], *, look_every_s: float = LOOK_EVERY_S) -> None:
        self._leases = leases
        self._role = role
        self._names = list(names)
        self._look_every_s = look_every_s
        self._look_at = float("-inf")
        self._held: dict[str, Lease] = {}
        self._stands_by = False

    def held(self) -> Mapping[str, Grant]:
        """What is ours now, by name. Raises `StoreUnavailable` if that is nothing and nothing can be asked for."""
        self._held = {name: lease for name, lease in self._held.items() if lease.trusted()}
        if len(self._held) < len(self._names) and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + self._look_every_s * random.uniform(0.5, 1.0)
            try:
                self._take_what_is_free()
            except StoreUnavailable:
                if not self._held:
                    raise
        return {name: lease.grant for name, lease in self._held.items()}

    def drop(self, names: Iterable[str]) -> None:
        """These turned out to be somebody else's."""
        for name in names:
            if (lease := self._held.pop(name, None)) is not None:
                self._leases.release(lease)

    def close(self) -> None:
        """Give everything back."""
        self._held = {}
        self._leases.close()

    def _take_what_is_free(self) -> None:
        for name in self._names:
            if name not in self._held and (lease := self._leases.take(f"{self._role}:{name}")) is not None:
                self._held[name] = lease
        if not self._held and not self._stands_by:
            log.info("others have all the work: standing by", role=self._role)
        self._stands_by = not self._held
