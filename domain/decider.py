"""The shape of every aggregate: an initial state, `decide` and `evolve`.

`decide(command, state)` returns the events that follow from a command, or raises `CommandRefused`; no events means that there is
nothing to do, which is what a repeated command gets. `evolve(state, event)` is total and never refuses. (The pattern is
Jérémie Chassaing's Decider.)
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Decider(Generic[C, S, E]):
    """One aggregate as three values."""

    initial: S
    decide: Callable[[C, S], Sequence[E]]
    evolve: Callable[[S, E], S]

    def fold(self, events: Iterable[E], state: S | None = None) -> S:
        """The state after `events`, starting from `state` or from the beginning."""
        current = self.initial if state is None else state
        for event in events:
            current = self.evolve(current, event)
        return current
