"""Room for runs, in all and for each dependency: a slow one must not fill the desk so that the others starve (a bulkhead).

A dependency may hold at most twice as many runs as there is room left. Alone it can so take two thirds of the desk, the next slow one
two thirds of what that leaves, and so on: whatever is slow, there is room for the rest, and nothing is reserved for what is not there.
"""

from domain.work import DEPENDENCY, Step
from workers.desk import Desk
from workers.turns import Inputs


class Room:
    """The room on a desk while the runs of these inputs, which are about to be settled, are counted as gone."""

    def __init__(self, desk: Desk, in_flight: int, inputs: dict[str, Inputs] | None = None) -> None:
        going = [run.key.step for some in inputs.values() for run in some.runs()] if inputs else ()
        self._calling = dict(desk.calling)  # plain, because this is made anew several times a round
        for dependency in filter(None, map(DEPENDENCY.get, going)):
            self._calling[dependency] = self._calling.get(dependency, 0) - 1
        self.free = max(0, in_flight - len(desk) + len(going))
        self.refused: set[str] = set()

    def full(self) -> frozenset[str]:
        """The dependencies that have all the room that they may have."""
        return frozenset(name for name, count in self._calling.items() if count > 0 and count >= 2 * self.free)

    def is_roomy(self, dependency: str) -> bool:
        """It has so little that a batch more is worth asking for."""
        return self._calling.get(dependency, 0) < self.free

    def take(self, step: Step) -> bool:
        """Take a place for a run of this step; local steps need none."""
        dependency = DEPENDENCY.get(step)
        if dependency is None:
            return True
        calling = self._calling.get(dependency, 0)
        if calling >= 2 * self.free:
            self.refused.add(dependency)
            return False
        self._calling[dependency] = calling + 1
        self.free -= 1
        return True
