"""Leases in memory: the same promises as on Postgres, for tests and for what runs in one process.

A guarded transaction holds the lock of the table until its end, so nothing can be taken in the meantime. A holder that was
forgotten is like one that was killed.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count

from domain.errors import StoreUnavailable
from domain.lease import Grant, LeaseLost, LeaseRow
from domain.ports import Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    grant: Grant
    since: datetime
    expires_at: datetime
    outside: bool


class MemoryLeases:
    """`domain.lease.LeaseTable`. Thread-safe."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._numbers = count(1)
        self._holders: dict[int, tuple[str, datetime]] = {}
        self._held: dict[str, _Held] = {}

    def enter(self, name: str, time: timedelta) -> Holder:
        """See `domain.lease.LeaseTable.enter`."""
        with self._lock:
            number = next(self._numbers)
            self._holders[number] = name, self._clock() + time
            return Holder(id=number, epoch=next(self._numbers))

    def take(self, name: str, holder: Holder, time: timedelta, *, outside: bool = False) -> Grant | None:
        """See `domain.lease.LeaseTable.take`."""
        with self._lock:
            if holder.id not in self._holders:
                raise StoreUnavailable("this holder is none any more")
            if self._is_held(self._held.get(name)):
                return None
            now, grant = self._clock(), Grant(name=name, holder=holder.id, epoch=next(self._numbers))
            self._held[name] = _Held(grant=grant, since=now, expires_at=now + time, outside=outside)
            return grant

    def renew(self, holder: Holder, time: timedelta) -> frozenset[int] | None:
        """See `domain.lease.LeaseTable.renew`."""
        with self._lock:
            now = self._clock()
            name, expires_at = self._holders.get(holder.id, ("", now))
            if expires_at <= now:
                return None
            self._holders[holder.id] = name, now + time
            kept = [one for one in self._held.values() if one.grant.holder == holder.id and one.expires_at > now]
            self._held |= {one.grant.name: replace(one, expires_at=now + time) for one in kept}
            return frozenset(one.grant.epoch for one in kept)

    def is_lit(self, holder: Holder) -> bool:
        """See `domain.lease.LeaseTable.is_lit`."""
        return holder.id in self._holders

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What `guard` is used in."""
        with self._lock:
            yield

    def guard(self, transaction: object, grant: Grant) -> None:
        """See `domain.lease.LeaseTable.guard`."""
        with self._lock:
            held = self._held.get(grant.name)
            if held is None or held.grant != grant or held.expires_at <= self._clock():
                raise LeaseLost(grant.name, grant.epoch)

    def release(self, grant: Grant) -> bool:
        """See `domain.lease.LeaseTable.release`."""
        with self._lock:
            held = self._held.get(grant.name)
            if held is None or held.grant != grant:
                return False
            del self._held[grant.name]
            return True

    def leave(self, holder: Holder) -> None:
        """See `domain.lease.LeaseTable.leave`."""
        with self._lock:
            self._held = {name: one for name, one in self._held.items() if one.grant.holder != holder.id}
            self.forget(holder)

    def forget(self, holder: Holder) -> None:
        """See `domain.lease.LeaseTable.forget`."""
        with self._lock:
            self._holders.pop(holder.id, None)

    def rows(self) -> Sequence[LeaseRow]:
        """See `domain.lease.LeaseTable.rows`."""
        with self._lock:
            return [self._row(self._held[name]) for name in sorted(self._held)]

    def _is_held(self, held: _Held | None) -> bool:
        if held is None or held.expires_at <= self._clock():
            return False
        return held.outside or held.grant.holder in self._holders

    def _row(self, held: _Held) -> LeaseRow:
        grant = held.grant
        name, _ = self._holders.get(grant.holder, (f"holder {grant.holder}", None))
        return LeaseRow(
            name=grant.name,
            holder=name,
            epoch=grant.epoch,
            since=held.since,
            expires_at=held.expires_at,
            outside=held.outside,
            beacon=grant.holder in self._holders,
            held=self._is_held(held),
        )
