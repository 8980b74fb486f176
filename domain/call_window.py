"""What a process sees of a dependency: its last calls, bounded by number and by age, and whether they are reason enough to stop calling.

Two rules. With traffic: enough calls in the window, and too many of them failed or were slow. Without much traffic: nothing succeeded
for a while, the last few calls all failed, and they were not all about one order; otherwise a shop with two orders an hour would
never learn that its gateway is down, and one order that its gateway cannot stomach would stop all others.

Times are seconds of any clock that never goes back.
"""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from domain.breaker import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripped:
    """Reason enough. `failing_since`: when the first call failed that counts against it."""

    why: str
    failure_rate: float
    failing_since: float


class _Call(NamedTuple):
    at: float
    failed: bool
    slow: bool


class CallWindow:
    """For one thread at a time; constant work a call."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._calls: deque[_Call] = deque()
        self._failed = 0
        self._slow = 0
        self._succeeded_at = now
        self._failing: dict[str, float] = {}
        self._row = 0

    def change(self, limits: Limits) -> None:
        """Judge by these from now on; the calls stay."""
        self._limits = limits

    def clear(self, now: float) -> None:
        """Begin anew: what was before says nothing about what is."""
        self._calls.clear()
        self._failed = self._slow = 0
        self._note_success(now)

    def add(self, now: float, *, order_id: str, failed: bool, slow: bool) -> Tripped | None:
        """Count a call that ended now; says whether that was one too many."""
        self._forget(now)
        self._calls.append(_Call(now, failed, slow))
        self._failed += failed
        self._slow += slow
        if not failed:
            self._note_success(now)
            return self._too_slow() if slow else None
        self._row += 1
        if len(self._failing) < 2:
            self._failing.setdefault(order_id, now)
        return self._too_many() or self._nothing_else(now)

    @property
    def failing_since(self) -> float | None:
        """When the first call failed after the last one that succeeded; None if none did."""
        return min(self._failing.values()) if self._failing else None

    def _note_success(self, now: float) -> None:
        self._succeeded_at = now
        self._row = 0
        if self._failing:
            self._failing.clear()

    def _forget(self, now: float) -> None:
        calls, limits = self._calls, self._limits
        while calls and (len(calls) >= limits.window_calls or now - calls[0].at > limits.window_s):
            call = calls.popleft()
            self._failed -= call.failed
            self._slow -= call.slow

    def _too_many(self) -> Tripped | None:
        count, rate = len(self._calls), self._failed / len(self._calls)
        if count < self._limits.minimum_calls or rate < self._limits.failure_rate:
            return None
        return self._tripped(f"{self._failed} of the last {count} calls failed", rate)

    def _too_slow(self) -> Tripped | None:
        count = len(self._calls)
        if count < self._limits.minimum_calls or self._slow / count < self._limits.slow_rate:
            return None
        why = f"{self._slow} of the last {count} calls took {self._limits.slow_s:g} s or more"
        return self._tripped(why, self._failed / count)

    def _nothing_else(self, now: float) -> Tripped | None:
        limits = self._limits
        silent = now - self._succeeded_at
        if self._row < limits.few_calls or len(self._failing) < 2 or silent < limits.quiet_s:
            return None
        since = min(self._failing.values())
        return Tripped(why=f"nothing but failures for {silent:.0f} s", failure_rate=1.0, failing_since=since)

    def _tripped(self, why: str, rate: float) -> Tripped:
        first = next((call.at for call in self._calls if call.failed), self._calls[0].at)
        return Tripped(why=why, failure_rate=rate, failing_since=first)
