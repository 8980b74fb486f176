"""One decision for all letters that match, page by page, at a rate, until it is stopped.

What is done leaves the filter (it is not open any more), so whoever was stopped, or killed, goes on by saying the same again. Letters
that die while it runs have higher ids than those counted at the start, or died after it: they are left alone, or a retry of a
broken step would never end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Protocol

from domain.review import Filter, Letter, Term
from workers.review.plan import Outcome

PAGE = 200
TURN_S = 0.25
MOST_KEPT = 1_000

Decide = Callable[[Sequence[int]], list[Outcome]]


class Pages(Protocol):
    """Where letters are found."""

    def page(self, wanted: Filter, *, after: int = 0, limit: int = 100, newest: bool = False) -> Sequence[Letter]: ...

    def count(self, wanted: Filter) -> int: ...


@dataclass(slots=True)
class Tally:
    """How far it came. `refused` holds the first thousand that were not done."""

    total: int
    done: int = 0
    not_done: int = 0
    stopped: bool = False
    refused: list[Outcome] = field(default_factory=list)

    def add(self, outcomes: Sequence[Outcome]) -> None:
        refused = [outcome for outcome in outcomes if not outcome.done]
        self.done += len(outcomes) - len(refused)
        self.not_done += len(refused)
        self.refused += refused[: MOST_KEPT - len(self.refused)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """`wait` sleeps, and says whether it was asked to stop meanwhile. `rate` is letters a second; None: as fast as it goes."""

    pages: Pages
    decide: Decide
    wait: Callable[[float], bool]
    rate: float | None = None
    limit: int | None = None
    on_progress: Callable[[int, int], object] = lambda _done, _total: None
    clock: Callable[[], float] = monotonic

    def run(self, wanted: Filter, now: datetime) -> Tally:
        """Decide about all that match now."""
        matching = Filter((*wanted.terms, Term("until", (now,))))
        total = self.pages.count(matching)
        tally = Tally(total if self.limit is None else min(total, self.limit))
        after, began = 0, self.clock()
        while (left := tally.total - tally.done - tally.not_done) > 0:
            page = self.pages.page(matching, after=after, limit=min(self._at_once(), left))
            if not page:
                break
            if self._pace(tally, began):
                tally.stopped = True
                break
            tally.add(self.decide([letter.id for letter in page]))
            self.on_progress(tally.done + tally.not_done, tally.total)
            after = page[-1].id
        return tally

    def _at_once(self) -> int:
        return PAGE if self.rate is None else max(1, min(PAGE, int(self.rate * TURN_S)))

    def _pace(self, tally: Tally, began: float) -> bool:
        """Wait until so many may have been done; True if it was stopped."""
        due = began + (tally.done + tally.not_done) / self.rate if self.rate else began
        return self.wait(max(0.0, due - self.clock()))
