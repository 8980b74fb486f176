"""Being a holder: registered under a lease, renewed in the background, with a flag when the lease was lost.

The lease is judged by the database's clock when it matters (another process decides that we are gone) and by the monotonic clock
here: a process that could not renew for a whole lease must assume that its runs belong to others now.
"""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog

from domain.errors import StoreUnavailable
from domain.ports import Holder

log = structlog.get_logger()


class Holders(Protocol):
    """The part of the work list that knows who holds."""

    def register(self, name: str, lease: timedelta) -> Holder: ...

    def renew(self, holder: Holder, lease: timedelta) -> bool: ...

    def forget(self, holder: Holder) -> None: ...


class Holding:
    """One registration after the other; `current` is the one in force."""

    def __init__(self, holders: Holders, name: str, lease: timedelta, on_lost: Callable[[], None]) -> None:
        self._holders = holders
        self._name = name
        self._lease = lease
        self._on_lost = on_lost
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_for_ever, name="lease", daemon=True)
        self._renewed_at = 0.0
        self._current: Holder | None = None

    @property
    def current(self) -> Holder:
        """The holder that we are. Raises `StoreUnavailable` while we are none."""
        if self._current is None:
            raise StoreUnavailable("not registered as a holder")
        return self._current

    def acquire(self) -> Holder:
        """Become a (new) holder. Raises `StoreUnavailable`."""
        if self._current is not None:
            self._holders.forget(self._current)
            self._current = None
        asked_at = time.monotonic()
        holder = self._holders.register(self._name, self._lease)
        self._renewed_at = asked_at
        self._current = holder
        if not self._thread.is_alive() and not self._stop.is_set():
            self._thread.start()
        return holder

    def is_lost(self) -> bool:
        """The lease may have run out, so nothing may be assumed to be ours."""
        return self._current is None or time.monotonic() - self._renewed_at > self._lease.total_seconds()

    def stop(self) -> None:
        """End the renewal; the registration itself ends with `release` or by itself."""
        self._stop.set()

    def _renew_for_ever(self) -> None:
        while not self._stop.wait(self._lease.total_seconds() / 3):
            holder = self._current
            if holder is None:
                continue
            asked_at = time.monotonic()
            try:
                renewed = self._holders.renew(holder, self._lease)
            except StoreUnavailable as error:
                log.warning("lease not renewed", reason=error.reason)
                renewed = not self.is_lost()
                asked_at = self._renewed_at
            if holder is not self._current:
                continue
            if renewed:
                self._renewed_at = asked_at
            else:
                self._renewed_at = float("-inf")
                self._on_lost()
