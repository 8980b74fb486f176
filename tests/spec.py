"""given / when / then for aggregates: `Spec(order.DECIDER).given(placed).when(CloseOrder(at=NOON)).then_refused("open units")`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import pytest

from domain.decider import Decider
from domain.errors import CommandRefused, Incident

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True)
class Spec(Generic[C, S, E]):
    """An aggregate, what happened to it, and the command that is next."""

    decider: Decider[C, S, E]
    history: tuple[E, ...] = ()
    command: C | None = None

    def given(self, *events: E) -> "Spec[C, S, E]":
        """Happened before."""
        return Spec(self.decider, self.history + events)

    def when(self, command: C) -> "Spec[C, S, E]":
        """What is asked now; what the former command led to has happened."""
        return Spec(self.decider, self.history + tuple(self._decided()), command)

    def then(self, *events: E) -> "Spec[C, S, E]":
        """These events follow, and the command repeated leads to none."""
        assert list(self._decided()) == list(events)
        if self.command is not None:
            after = self.decider.fold((*self.history, *events))
            assert not self.decider.decide(self.command, after), "a repeated command must be no event"
        return self

    def then_nothing(self) -> None:
        """There is nothing to do."""
        assert not self._decided()

    def then_refused(self, reason: str) -> None:
        """The rules forbid it."""
        with pytest.raises(CommandRefused, match=reason):
            self._decided()

    def then_incident(self, reason: str) -> None:
        """The other side did something else than it was asked."""
        with pytest.raises(Incident, match=reason):
            self._decided()

    def state(self) -> S:
        """The state after all that happened, the last command included."""
        return self.decider.fold((*self.history, *self._decided()))

    def _decided(self) -> Sequence[E]:
        return [] if self.command is None else self.decider.decide(self.command, self.decider.fold(self.history))
