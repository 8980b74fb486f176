"""A budget against storms: of all calls to a dependency, only so many may be retries.

When much fails at once, retries on top of the normal load keep down what is about to recover. So a worker grants a share of the
calls that it made within the last minute, and a floor so that quiet times are not punished; what comes on top waits longer.
"""

from collections import defaultdict, deque
from collections.abc import Callable

SLICE_S = 10.0
SLICES = 6


class RetryBudget:
    """Used by one thread."""

    def __init__(self, clock: Callable[[], float], *, share: float, floor: int) -> None:
        self._clock = clock
        self._share = share
        self._floor = floor
        self._calls: dict[str, _Window] = defaultdict(_Window)
        self._retries: dict[str, _Window] = defaultdict(_Window)

    def change(self, *, share: float) -> None:
        """From now on."""
        self._share = share

    def called(self, dependency: str) -> None:
        """A call was made."""
        self._calls[dependency].add(self._slice())

    def may_retry(self, dependency: str) -> bool:
        """Ask for one retry; it counts when it is granted."""
        now = self._slice()
        if self._retries[dependency].total(now) >= self._floor + self._share * self._calls[dependency].total(now):
            return False
        self._retries[dependency].add(now)
        return True

    def _slice(self) -> int:
        return int(self._clock() // SLICE_S)


class _Window:
    """Counts of the last minute, by slices of ten seconds."""

    def __init__(self) -> None:
        self._slices: deque[list[int]] = deque()

    def add(self, now: int) -> None:
        if not self._slices or self._slices[-1][0] != now:
            self._slices.append([now, 0])
        self._slices[-1][1] += 1

    def total(self, now: int) -> int:
        while self._slices and self._slices[0][0] <= now - SLICES:
            self._slices.popleft()
        return sum(count for _, count in self._slices)
