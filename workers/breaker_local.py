"""What one process knows of one dependency: the last that it saw of the shared breaker, its own window of calls, and its grants.

`lock` is held for moments only, `changing` during a round trip to the store. While the breaker is closed nobody but the window needs
either.
"""

import threading
from collections import Counter
from datetime import datetime

from domain.breaker import Breaker, Limits, Permit, State
from domain.call_window import CallWindow, Tripped
from domain.errors import BreakerOpen
from domain.work import Run

RunId = tuple[object, int]


class Local:
    """`alone`: the store does not know of our last change. `_since` is when we noticed the present state, by the monotonic clock."""

    def __init__(self, dependency: str, limits: Limits, now: float) -> None:
        self.breaker = Breaker(dependency=dependency)
        self.changing = threading.Lock()
        self.alone = False
        self._lock = threading.Lock()
        self._window = CallWindow(limits, now)
        self._since = self._known_at = now
        self._permits: list[Permit] = []
        self._probing: dict[RunId, Permit] = {}
        self._tokens = 0
        self._debt = 0
        self._served: Counter[int] = Counter()
        self._told_gone: float | None = None

    def adopt(self, breaker: Breaker, now: float, *, asked_at: float, alone: bool = False) -> Breaker | None:
        """This is the breaker now; returns the one that we knew if its state was another.

        An older row is what a slow reader brings. Who asked after we knew of a newer one tells that the store has lost that: it counts.
        """
        with self._lock:
            before = self.breaker
            if breaker.version < before.version and asked_at <= self._known_at and not self.alone:
                return None
            self.breaker, self.alone, self._known_at = breaker, alone, now
            if (before.state, before.since) == (breaker.state, breaker.since):
                return None
            self._since = now
            self._window.clear(now)
            self._permits.clear()
            self._probing.clear()
            self._tokens = self._debt = 0
            return before

    def change(self, limits: Limits) -> None:
        """Judge the calls by these from now on."""
        with self._lock:
            self._window.change(limits)

    @property
    def debt(self) -> int:
        """Requests that were made beyond what was granted."""
        return self._debt

    def add_grants(self, count: int, permits: tuple[Permit, ...]) -> int:
        """They are ours, each for one run; returns how many are left when our debt is paid."""
        with self._lock:
            self._permits += permits
            if self.breaker.state is not State.RECOVERING:
                return count
            paid = min(count, self._debt)
            self._debt -= paid
            self._tokens += count - paid
            return count - paid

    def take_back(self, count: int) -> tuple[frozenset[int], int]:
        """Permits and tokens that were granted to us and not used; at most so many."""
        with self._lock:
            permits = frozenset(self._permits.pop().id for _ in range(min(count, len(self._permits))))
            tokens = min(count, self._tokens)
            self._tokens -= tokens
            return permits, tokens

    def admit(self, run: Run, requests: int, now: datetime) -> None:
        """Use a grant for this run. Raises `BreakerOpen` where there is none."""
        with self._lock:
            breaker = self.breaker
            if breaker.state is State.CLOSED:
                return
            if not breaker.is_held(now):
                self._permits = [permit for permit in self._permits if permit.expires_at > now]
                if breaker.state is State.HALF_OPEN and self._permits:
                    self._probing[run.key, run.epoch] = self._permits.pop(0)
                    return
                if breaker.state is State.RECOVERING and self._tokens > 0:
                    self._tokens -= 1
                    self._debt += requests - 1
                    return
        raise BreakerOpen(breaker.dependency)

    def probe_of(self, run: Run) -> Permit | None:
        """The permit that this run's call used."""
        if not self._probing:
            return None
        with self._lock:
            return self._probing.pop((run.key, run.epoch), None)

    def note(self, run: Run, *, failed: bool, slow: bool, began: float, now: float, slot: int) -> Tripped | None:
        """Count a call. One that began before the present state says nothing about it."""
        with self._lock:
            if began < self._since:
                return None
            if not failed and self.breaker.state is State.CLOSED:
                self._served[slot] += 1
            return self._window.add(now, order_id=run.key.order_id, failed=failed, slow=slow)

    def gone_since(self) -> float | None:
        """When the calls began to fail, told once for each row of failures: now it is known that nobody was there to answer them."""
        with self._lock:
            since = self._window.failing_since
            if since is None or since == self._told_gone:
                return None
            self._told_gone = since
            return since

    def served_before(self, slot: int) -> dict[int, int]:
        """Take out the counts of the slots of time that are over."""
        with self._lock:
            over = {one: count for one, count in self._served.items() if one < slot}
            for one in over:
                del self._served[one]
            return over

    def put_back(self, served: dict[int, int]) -> None:
        """They could not be stored yet."""
        with self._lock:
            self._served.update(served)
