"""Breakers that also hold all workers together to a rate: so many runs a second are begun for a dependency, and no more.

A dependency with a rate is served like one whose breaker is not plainly closed: its runs are not carried on and not claimed when a
frame comes, but by grants, the oldest first. The grants come from one place that all workers share. Unlike there its failures still
count against its runs: nothing is wrong with it.
"""

from typing import TYPE_CHECKING, Protocol

from domain.work import Run
from workers.breaking import Breakers

if TYPE_CHECKING:
    from collections.abc import Mapping


class CallRates(Protocol):
    """What is left of each rate, for all processes together. May raise `StoreUnavailable`."""

    def take(self, dependency: str, wanted: int, rate: float) -> int:
        """So many may be begun now, at most those that are wanted."""
        ...

    def give_back(self, dependency: str, count: int, rate: float) -> None:
        """They were not used."""
        ...


class Rationing:
    """`workers.breaking.Breakers`, passed on to others. `rates` may be set at any time, in any thread."""

    def __init__(self, breakers: Breakers, shared: CallRates) -> None:
        self._breakers = breakers
        self._shared = shared
        self.rates: Mapping[str, float] = {}

    def refresh(self) -> None:
        """See `workers.breaking.Breakers`."""
        self._breakers.refresh()

    def limited(self) -> frozenset[str]:
        """See `workers.breaking.Breakers`."""
        return self._breakers.limited() | self.rates.keys()

    def troubled(self) -> frozenset[str]:
        """See `workers.breaking.Breakers`."""
        return self._breakers.troubled()

    def grant(self, dependency: str, wanted: int, /) -> int:
        """See `workers.breaking.Breakers`. Raises `StoreUnavailable`."""
        rate = self.rates.get(dependency)
        within = wanted if rate is None else self._shared.take(dependency, wanted, rate)
        if not within or dependency not in self._breakers.limited():
            return within
        granted = self._breakers.grant(dependency, within)
        if rate is not None and granted < within:
            self._shared.give_back(dependency, within - granted, rate)
        return granted

    def give_back(self, dependency: str, count: int, /) -> None:
        """See `workers.breaking.Breakers`. Raises `StoreUnavailable`."""
        rate = self.rates.get(dependency)
        if rate is not None and count > 0:
            self._shared.give_back(dependency, count, rate)
        if dependency in self._breakers.limited():
            self._breakers.give_back(dependency, count)

    def admit(self, dependency: str, run: Run, requests: int = 1, /) -> None:
        """See `workers.breaking.Breakers`."""
        self._breakers.admit(dependency, run, requests)

    def report(self, dependency: str, run: Run, error: Exception | None, elapsed_s: float, /) -> None:
        """See `workers.breaking.Breakers`."""
        self._breakers.report(dependency, run, error, elapsed_s)
