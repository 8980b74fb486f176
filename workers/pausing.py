"""Breakers that also keep the consumer from taking frames of steps that cannot be served.

The frames wait at the broker, where they cost nothing, and come when the dependency is plainly closed again. They are only wake-ups: the rows
of a limited dependency are claimed by grants meanwhile, whether or not a frame came for them.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from domain.work import Run, Step
from workers.breaking import Breakers, steps_of


class Pausable(Protocol):
    """The part of a consumer that this needs."""

    def pause(self, queues: Iterable[str]) -> None: ...

    def resume(self, queues: Iterable[str]) -> None: ...


class Pausing:
    """`workers.breaking.Breakers`, passed on to others; whoever refreshes them pauses and resumes the consumer, once there is one."""

    def __init__(self, breakers: Breakers, steps: frozenset[Step], queue_of: Callable[[str], str]) -> None:
        self._breakers = breakers
        self._steps = steps
        self._queue_of = queue_of
        self._paused: frozenset[str] = frozenset()
        self.consumer: Pausable | None = None

    def refresh(self) -> None:
        """See `workers.breaking.Breakers`."""
        self._breakers.refresh()
        limited = self._breakers.limited()
        if limited != self._paused and self.consumer is not None:
            self.consumer.pause(self._queues(limited - self._paused))
            self.consumer.resume(self._queues(self._paused - limited))
            self._paused = limited

    def limited(self) -> frozenset[str]:
        """See `workers.breaking.Breakers`."""
        return self._breakers.limited()

    def grant(self, dependency: str, wanted: int, /) -> int:
        """See `workers.breaking.Breakers`."""
        return self._breakers.grant(dependency, wanted)

    def give_back(self, dependency: str, count: int, /) -> None:
        """See `workers.breaking.Breakers`."""
        self._breakers.give_back(dependency, count)

    def admit(self, dependency: str, run: Run, requests: int = 1, /) -> None:
        """See `workers.breaking.Breakers`."""
        self._breakers.admit(dependency, run, requests)

    def report(self, dependency: str, run: Run, error: Exception | None, elapsed_s: float, /) -> None:
        """See `workers.breaking.Breakers`."""
        self._breakers.report(dependency, run, error, elapsed_s)

    def _queues(self, dependencies: Iterable[str]) -> list[str]:
        return [self._queue_of(step) for name in sorted(dependencies) for step in steps_of(name, self._steps)]
