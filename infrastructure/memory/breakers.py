"""The breakers of the fleet in memory: `domain.breaker.Board` for tests, the simulation, and whoever runs in one process."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from domain.breaker import Breaker, Changed, Transition
from domain.work import Step

_LEAST_SLOTS = 3
_REMEMBERED_S = 3600


class MemoryBreakers:
    """Thread-safe. `waiting` tells how many runs of some steps are due and not taken."""

    def __init__(
        self, clock: Callable[[], datetime], waiting: Callable[[Sequence[Step], int], int] = lambda _, __: 0
    ) -> None:
        self._clock = clock
        self._waiting = waiting
        self._lock = threading.Lock()
        self._breakers: dict[str, Breaker] = {}
        self._transitions: list[Transition] = []
        self._calls: Counter[tuple[str, int]] = Counter()

    def read(self) -> tuple[datetime, Mapping[str, Breaker]]:
        """See `domain.breaker.Board.read`."""
        with self._lock:
            return self._clock(), dict(self._breakers)

    def change(self, after: Breaker, changes: Sequence[Changed], *, process: str) -> bool:
        """See `domain.breaker.Board.change`."""
        name = after.dependency
        with self._lock:
            current = self._breakers.get(name)
            if after.version != (current.version if current else 0):
                return False
            self._breakers[name] = replace(after, version=after.version + 1)
            self._transitions += [
                Transition(
                    dependency=name,
                    at=self._clock(),
                    before=change.before,
                    after=change.after,
                    why=change.why,
                    who=change.who,
                    process=process,
                )
                for change in changes
            ]
            return True

    def count(self, calls: Mapping[tuple[str, int], int], *, slot_s: float) -> None:
        """See `domain.breaker.Board.count`."""
        with self._lock:
            self._calls.update(calls)

    def normal_rate(self, dependency: str, *, slot_s: float) -> float:
        """See `domain.breaker.Board.normal_rate`."""
        this = int(self._clock().timestamp() // slot_s)
        with self._lock:
            seen = sorted(
                count
                for (name, slot), count in self._calls.items()
                if name == dependency and this - _REMEMBERED_S / slot_s <= slot < this
            )
        if len(seen) < _LEAST_SLOTS:
            return 0.0
        return seen[(len(seen) - 1) // 2] / slot_s

    def waiting(self, steps: Sequence[Step], limit: int) -> int:
        """See `domain.breaker.Board.waiting`."""
        return min(self._waiting(steps, limit), limit)

    def transitions(self, dependency: str | None = None, limit: int = 100) -> Sequence[Transition]:
        """See `domain.breaker.Board.transitions`."""
        with self._lock:
            return [one for one in reversed(self._transitions) if dependency in (None, one.dependency)][:limit]
