"""Rebuild read models from the first event, with progress and a way to leave; knows no screen.

Until the switch at the end nothing that anybody reads has changed, so leaving early, by `stopping` or by a kill, costs only the work.
A rebuild cannot repeat a side effect: read models have none.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

Outcome_co = TypeVar("Outcome_co", covariant=True)


class Rebuild(Protocol[Outcome_co]):
    """A rebuild that has begun."""

    def fill(self) -> tuple[int, int]:
        """Go on by a page; returns (done, total)."""
        ...

    def switch(self) -> Sequence[Outcome_co]:
        """Let the new read models take the place of the old ones; one outcome a projection."""
        ...


class Replay(Generic[Outcome_co]):
    """The loop: `run` returns the outcomes, or None when it was stopped before the switch."""

    def __init__(
        self,
        rebuild: AbstractContextManager[Rebuild[Outcome_co]],
        *,
        on_progress: Callable[[int, int], object] = lambda _done, _total: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._rebuild = rebuild
        self._on_progress = on_progress
        self._stopping = stopping

    def run(self) -> Sequence[Outcome_co] | None:
        """Fill, then switch; what happens between the last page and the switch is caught up there."""
        with self._rebuild as rebuild:
            done, total = 0, -1
            while done != total:
                if self._stopping():
                    return None
                done, total = rebuild.fill()
                self._on_progress(done, total)
            return rebuild.switch()
