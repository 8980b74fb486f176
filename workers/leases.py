"""Holding leases: `with leases.hold("projector:order_summary") as lease:`, renewed in the background until the block ends.

    hold(name)              the lease, or `LeaseTaken` at once;   hold(name, wait_s=30): waits for it
    lease.guard(connection) inside the guarded write's own transaction: raises `LeaseLost` if it is another's
    lease.trusted()         False before anybody else can have it, by the clock; look at it before each use of what knows no epochs
    lease.epoch             greater than that of every holder before

Who guards its writes needs nothing else. Who uses something outside the database takes the lease with `outside=True`: such a lease
is never given to another before its time is over, even if the beacon is gone, so `trusted` is right whatever becomes of our
connections. (Of any other lease it may be wrong for as long as we do not know that our beacon is out, a quarter of a second at most
where the end of a connection is seen, and until the next renewal where a network hides it.)

One thread renews all leases of the process every third of the time, and looks four times a second whether the beacon's connection
has ended. `trusted` counts from before the last renewal was asked for, less a tenth. The clock is one that goes on while the machine
is suspended and that nobody can set. The wall clock is never read.

What we believe to have lost may still be ours in the table, and renewals would keep it ours for ever, used by nobody. So it is given
back, a whole time later, when surely nobody uses it any more.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import structlog

from domain.errors import StoreUnavailable
from domain.lease import Grant, LeaseLost, LeaseTable, LeaseTaken
from domain.ports import Holder
from infrastructure.chance import chance

log = structlog.get_logger()

GLANCE_S = 0.25
MARGIN = 0.9
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Seconds that nobody can set, those of a suspended machine included where the system counts them."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """A lease that we hold, or held."""

    def __init__(
        self, grant: Grant, table: LeaseTable, clock: Callable[[], float], on_lost: Callable[[], object]
    ) -> None:
        self.grant = grant
        self.name = grant.name
        self.epoch = grant.epoch
        self._table = table
        self._clock = clock
        self._on_lost = on_lost
        self._trusted_until = float("-inf")
        self._over = False

    def trusted(self) -> bool:
        """Nobody else can have it yet."""
        return not self._over and self._clock() < self._trusted_until

    def is_over(self) -> bool:
        """Given back or lost; otherwise it may be trusted again, when a renewal that takes long has come through."""
        return self._over

    def check(self) -> None:
        """Raise `LeaseLost` unless it is trusted."""
        if not self.trusted():
            raise LeaseLost(self.name, self.epoch)

    def guard(self, transaction: Any) -> None:  # noqa: ANN401 - of the technology of the table
        """Guard a transaction: what it writes is written under this lease or not at all. Raises `LeaseLost`."""
        self._table.guard(transaction, self.grant)

    def trust(self, until: float) -> None:
        """It was just renewed, or taken while another renewal was under way."""
        self._trusted_until = max(self._trusted_until, until)

    def end(self) -> None:
        """It was given back."""
        self._over = True

    def lose(self) -> None:
        """It is gone; whoever uses it is told, once."""
        if not self._over:
            self._over = True
            log.warning("lease lost", lease=self.name, epoch=self.epoch)
            self._on_lost()


class Leases:
    """The leases of one process. Thread-safe; `close` gives everything back."""

    def __init__(
        self,
        table: LeaseTable,
        name: str,
        time: timedelta = timedelta(seconds=10),
        *,
        clock: Callable[[], float] = steady,
    ) -> None:
        self.table = table
        self.time = time
        self._name = name
        self._clock = clock
        self._lock = threading.RLock()
        self._holder: Holder | None = None
        self._held: dict[int, Lease] = {}
        self._lost: list[tuple[float, Lease]] = []
        self._renewed_at = float("-inf")
        self._failures = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(
        self,
        name: str,
        *,
        wait_s: float = 0.0,
        outside: bool = False,
        on_lost: Callable[[], object] = lambda: None,
    ) -> Iterator[Lease]:
        """The lease for the time of the block. Raises `LeaseTaken` if it is not to be had within `wait_s`, or `StoreUnavailable`."""
        lease = self._wait_for(name, wait_s, outside=outside, on_lost=on_lost)
        try:
            yield lease
        finally:
            self.release(lease)

    def take(self, name: str, *, outside: bool = False, on_lost: Callable[[], object] = lambda: None) -> Lease | None:
        """The lease if it is free, else None. Raises `StoreUnavailable`. Who takes it so must `release` it."""
        holder = self._entered()
        asked_at = self._clock()
        grant = self.table.take(name, holder, self.time, outside=outside)
        if grant is None:
            return None
        lease = Lease(grant, self.table, self._clock, on_lost)
        lease.trust(asked_at + self._trust_s)
        with self._lock:
            self._held[lease.epoch] = lease
        log.info("lease taken", lease=name, epoch=lease.epoch)
        return lease

    def release(self, lease: Lease) -> None:
        """Give it back. Never raises: a lease that cannot be given back runs out."""
        believed = lease.trusted()
        lease.end()
        with self._lock:
            self._held.pop(lease.epoch, None)
        try:
            ours = self.table.release(lease.grant)
        except StoreUnavailable as error:
            log.warning("lease not given back, it will run out", lease=lease.name, reason=error.reason)
            return
        if believed and not ours:
            log.error("a trusted lease was not ours", lease=lease.name, epoch=lease.epoch)

    def close(self) -> None:
        """Give everything back and be no holder any more."""
        self._stop.set()
        with self._lock:
            holder, self._holder = self._holder, None
            held, self._held = list(self._held.values()), {}
        for lease in held:
            lease.end()
        if holder is not None:
            with suppress(StoreUnavailable):
                self.table.leave(holder)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)

    @property
    def _trust_s(self) -> float:
        return MARGIN * self.time.total_seconds()

    def _wait_for(self, name: str, wait_s: float, *, outside: bool, on_lost: Callable[[], object]) -> Lease:
        deadline = time.monotonic() + wait_s
        while True:
            problem: LeaseTaken | StoreUnavailable = LeaseTaken(name)
            try:
                if lease := self.take(name, outside=outside, on_lost=on_lost):
                    return lease
            except StoreUnavailable as error:
                problem = error
            left_s = deadline - time.monotonic()
            if left_s <= 0 or self._stop.wait(min(left_s, GLANCE_S * chance.uniform(0.5, 1.0))):
                raise problem

    def _entered(self) -> Holder:
        """The holder that we are; a new one if the former was lost."""
        if self._stop.is_set():
            raise StoreUnavailable("these leases are closed")
        with self._lock:
            if self._holder is not None and not self.table.is_lit(self._holder):
                self._renew(self._holder)  # the server may only have said something
            if self._holder is not None and not self.table.is_lit(self._holder):
                self._lose_all()
            if self._holder is None:
                asked_at = self._clock()
                self._holder = self.table.enter(self._name, self.time)
                self._renewed_at = asked_at
            if self._thread is None:
                self._thread = threading.Thread(target=self._renew_for_ever, name="leases", daemon=True)
                self._thread.start()
            return self._holder

    def _renew_for_ever(self) -> None:
        third_s = self.time.total_seconds() / 3
        while not self._stop.wait(min(GLANCE_S, third_s)):
            holder = self._holder
            if holder is None:
                continue
            if self._clock() - self._renewed_at >= third_s or not self.table.is_lit(holder):
                try:
                    self._renew(holder)
                except Exception:  # whatever it was, this thread must not end in silence
                    log.exception("leases not renewed")
            self._lose_untrusted()
            self._give_back_lost()

    def _renew(self, holder: Holder) -> None:
        """Leases that we did not have before we asked are not judged by an answer that does not name them."""
        before = list(self._held.values())
        asked_at = self._clock()
        try:
            kept = self.table.renew(holder, self.time)
        except StoreUnavailable as error:
            self._failures += 1
            if self._failures == 1:
                log.warning("leases not renewed", reason=error.reason)
            return
        self._failures = 0
        with self._lock:
            if holder is not self._holder:
                return
            if kept is None:
                self._lose_all()
                return
            self._renewed_at = asked_at
            for lease in list(self._held.values()):
                if lease.epoch in kept:
                    lease.trust(asked_at + self._trust_s)
                elif lease in before:
                    self._lose(lease)

    def _lose_untrusted(self) -> None:
        with self._lock:
            for lease in list(self._held.values()):
                if not lease.trusted():
                    self._lose(lease)

    def _lose_all(self) -> None:
        holder, self._holder = self._holder, None
        for lease in list(self._held.values()):
            self._lose(lease)
        if holder is not None:
            self.table.forget(holder)

    def _lose(self, lease: Lease) -> None:
        if self._held.pop(lease.epoch, None) is not None:
            self._lost.append((self._clock() + self.time.total_seconds(), lease))
            lease.lose()

    def _give_back_lost(self) -> None:
        """Those that were lost long enough ago; as long as the store is away, the others wait."""
        with self._lock:
            due = [one for one in self._lost if one[0] <= self._clock()]
        for one in due:
            try:
                self.table.release(one[1].grant)
            except StoreUnavailable:
                return
            self._lost.remove(one)
