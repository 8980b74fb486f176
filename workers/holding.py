"""Being a holder: registered under a lease, renewed by a thread of its own (`keep`), with a flag when the lease was lost.

The lease is judged by the database's clock when it matters (another process decides that we are gone) and here by one that
goes on while the machine is suspended: a process that could not renew for a whole lease must assume that its runs belong to others now.
"""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog

from domain.errors import StoreUnavailable
from domain.ports import Holder
from infrastructure.failpoints import reach
from workers.leases import steady

log = structlog.get_logger()


class Holders(Protocol):
    """The part of the work list that knows who holds."""

    def register(self, name: str, lease: timedelta) -> Holder: ...

    def renew(self, holder: Holder, lease: timedelta) -> bool: ...

    def release(self, holder: Holder) -> int: ...

    def forget(self, holder: Holder) -> None: ...

    def excuse(self, former: Holder) -> int: ...


class Holding:
    """One registration after the other; `current` is the one in force."""

    def __init__(
        self,
        holders: Holders,
        name: str,
        lease: timedelta,
        on_lost: Callable[[], None],
        clock: Callable[[], float] = steady,
    ) -> None:
        self._holders = holders
        self._name = name
        self._lease = lease
        self._on_lost = on_lost
        self._clock = clock
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._renewed_at = float("-inf")
        self._current: Holder | None = None
        self._former: list[Holder] = []
        self._excusing = threading.Lock()

    @property
    def current(self) -> Holder:
        """The holder that we are. Raises `StoreUnavailable` while we are none."""
        holder = self._current
        if holder is None:
            raise StoreUnavailable("not registered as a holder")
        return holder

    def acquire(self) -> Holder:
        """Become a (new) holder. Raises `StoreUnavailable`."""
        if self._current is not None:
            former, self._current = self._current, None
            self._former.append(former)
            self._holders.forget(former)
        asked_at = self._clock()
        reach("before_register")
        holder = self._holders.register(self._name, self._lease)
        with self._lock:
            self._current, self._renewed_at = holder, asked_at
        self._excuse_former()
        return holder

    def is_lost(self) -> bool:
        """The lease may have run out, so nothing may be assumed to be ours."""
        return self._current is None or self._clock() - self._renewed_at > self._lease.total_seconds()

    def in_force(self) -> int | None:
        """The epoch of the lease that is ours now; None while there is none."""
        holder = self._current
        return None if holder is None or self.is_lost() else holder.epoch

    def leave(self) -> None:
        """Give back everything and be no holder any more; a lost lease has nothing to give back. Raises `StoreUnavailable`."""
        self._stop.set()
        reach("before_release")
        if self._current is not None and not self.is_lost():
            self._holders.release(self._current)

    def stop(self) -> None:
        """End the renewal; the registration itself ends with `leave` or by itself."""
        self._stop.set()

    def keep(self) -> None:
        """Renew what is held, three times a lease, until stopped."""
        while not self._stop.wait(self._lease.total_seconds() / 3):
            self.renew()

    def renew(self) -> None:
        """Renew the lease if there is one; never raises what the store says."""
        holder = self._current
        if holder is not None:
            self._note(holder, *self._renew(holder))
            self._excuse_former()  # after it, because it may take long
            reach("after_renew")

    def _excuse_former(self) -> None:
        """We are alive, so what was taken from us was not lost by a crash."""
        if not self._excusing.acquire(blocking=False):
            return
        try:
            while self._former:
                given = self._holders.excuse(self._former[-1])
                log.info("runs of a former lease given back", runs=given)
                self._former.pop()
        except StoreUnavailable as error:
            log.warning("a former lease is not settled yet", reason=error.reason)
        finally:
            self._excusing.release()

    def _renew(self, holder: Holder) -> tuple[bool, float]:
        """Whether we are the holder still, as far as we can know, and since when that is certain."""
        asked_at = self._clock()
        try:
            reach("before_renew")
            return self._holders.renew(holder, self._lease), asked_at
        except StoreUnavailable as error:
            log.warning("lease not renewed", reason=error.reason)
            return True, self._renewed_at  # until the time is over
        except Exception:  # whatever it was, this thread must not end in silence
            log.exception("lease not renewed")
            return False, asked_at

    def _note(self, holder: Holder, renewed: bool, asked_at: float) -> None:  # noqa: FBT001 - the answer of `_renew`
        with self._lock:
            if holder is not self._current:
                return
            self._renewed_at = asked_at if renewed else float("-inf")
        if self.is_lost():
            self._on_lost()
