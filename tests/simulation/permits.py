"""Whether the fleet keeps to its breakers: nobody calls what is open, and half-open lets through no more than was permitted.

What is shared is looked at from outside, with some grace: a process looks at it every half second, and one that could not reach the
store, or was frozen, goes by what it knew. So runs in which that can happen are not judged.
"""

from collections import Counter
from collections.abc import Callable

from domain.breaker import State
from infrastructure.memory.breakers import MemoryBreakers
from tests.simulation.shape import Shape

GRACE_S = 2.0
BLINDING = {
    *("store refuses", "store away", "store slow", "commit answer lost", "commit comes late", "freeze"),
    *("others in between", "answer late"),
}


class Permits:
    """`board` holds the breakers of the fleet."""

    def __init__(self, board: MemoryBreakers, shape: Shape, find: Callable[[str, str], None]) -> None:
        self._board = board
        self._find = find
        self._is_blind = bool(BLINDING & {*shape.kinds()})
        self._probes: Counter[str] = Counter()
        self.states: Counter[str] = Counter()

    def called(self, dependency: str, who: str) -> None:
        """An admitted call leaves."""
        now, shared = self._board.read()
        breaker = shared.get(dependency)
        if breaker is None:
            return
        self.states[breaker.state] += 1
        since = (now - breaker.since).total_seconds()
        if breaker.state is State.HALF_OPEN and since > 0:
            self._probes[dependency] += 1
            if self._probes[dependency] > breaker.issued and not self._is_blind:
                self._find(who, f"probe {self._probes[dependency]} of {dependency}, {breaker.issued} were permitted")
        if breaker.state is State.OPEN and since > GRACE_S and not self._is_blind:
            self._find(who, f"calls {dependency}, which has been open for {since:.1f} s")

    def limited(self) -> bool:
        """Some breaker is not closed."""
        return any(breaker.is_limited() for breaker in self._board.read()[1].values())
