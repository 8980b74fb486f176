"""Breakers that also keep the consumer from taking frames of steps that cannot be served, or that somebody has paused.

The frames wait at the broker, where they cost nothing, and come when the dependency is plainly closed again and the step goes on. They
are only wake-ups: the rows of a limited dependency are claimed by grants meanwhile, whether or not a frame came for them, those of a
paused step by nobody. A call of a paused step that was about to be made is refused here, so that its run goes back unspent.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from domain.errors import StepPaused
from domain.work import Run, Step
from workers.breaking import Breakers, steps_of


class Pausable(Protocol):
    """The part of a consumer that this needs."""

    def pause(self, queues: Iterable[str]) -> None: ...

    def resume(self, queues: Iterable[str]) -> None: ...


class Pausing:
    """`workers.breaking.Breakers`, passed on to others; whoever refreshes them pauses and resumes the consumer, once there is one.

    `steps` are those of this worker, `stopped` those that somebody has paused; it may be set at any time, in any thread.
    """

    def __init__(self, breakers: Breakers, steps: frozenset[Step], queue_of: Callable[[str], str]) -> None:
        self._breakers = breakers
        self._steps = steps
        self._queue_of = queue_of
        self._paused: frozenset[Step] = frozenset()
        self.stopped: frozenset[Step] = frozenset()
        self.consumer: Pausable | None = None

    def refresh(self) -> None:
        """See `workers.breaking.Breakers`."""
        self._breakers.refresh()
        wanted = self._unserved()
        if wanted != self._paused and self.consumer is not None:
            self.consumer.pause(self._queues(wanted - self._paused))
            self.consumer.resume(self._queues(self._paused - wanted))
            self._paused = wanted

    def limited(self) -> frozenset[str]:
        """See `workers.breaking.Breakers`."""
        return self._breakers.limited()

    def troubled(self) -> frozenset[str]:
        """See `workers.breaking.Breakers`."""
        return self._breakers.troubled()

    def grant(self, dependency: str, wanted: int, /) -> int:
        """See `workers.breaking.Breakers`."""
        return self._breakers.grant(dependency, wanted)

    def give_back(self, dependency: str, count: int, /) -> None:
        """See `workers.breaking.Breakers`."""
        self._breakers.give_back(dependency, count)

    def admit(self, dependency: str, run: Run, requests: int = 1, /) -> None:
        """See `workers.breaking.Breakers`. Raises `StepPaused` as well."""
        if run.key.step in self.stopped:
            raise StepPaused(run.key.step)
        self._breakers.admit(dependency, run, requests)

    def report(self, dependency: str, run: Run, error: Exception | None, elapsed_s: float, /) -> None:
        """See `workers.breaking.Breakers`."""
        self._breakers.report(dependency, run, error, elapsed_s)

    def _unserved(self) -> frozenset[Step]:
        limited = [step for name in self._breakers.limited() for step in steps_of(name, self._steps)]
        return frozenset(limited) | (self.stopped & self._steps)

    def _queues(self, steps: Iterable[Step]) -> list[str]:
        return [self._queue_of(step) for step in sorted(steps)]
