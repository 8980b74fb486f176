"""What a step worker has on its desk: the runs that it holds, and what came in for their orders and waits for a turn.

Whatever waits here belongs to a run that is held, so giving back what is not held can never take away what is about to be done.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice

from domain.outside import Answer
from domain.work import DEPENDENCY, Run, RunKey
from workers.turns import Inputs


class Desk:
    """Used by one thread. `unsure`: the store may have given us runs that we do not know of; `calling`: runs held by dependency."""

    def __init__(self) -> None:
        self.held: dict[RunKey, Run] = {}
        self.calling: Counter[str] = Counter()
        self.waiting: dict[str, Inputs] = {}
        self.conflicts: Counter[str] = Counter()
        self.unsure = False

    def __len__(self) -> int:
        return len(self.held)

    def hold(self, run: Run) -> None:
        """The run is ours; something will come in for it."""
        dependency = DEPENDENCY.get(run.key.step)
        if dependency is not None and run.key not in self.held:
            self.calling[dependency] += 1
        self.held[run.key] = run

    def begin(self, runs: Iterable[Run]) -> None:
        """The runs are ours and wait to be begun."""
        for run in runs:
            self.hold(run)
            self._inputs_of(run).begin.append(run)

    def conclude(self, run: Run, answer: Answer | Exception) -> None:
        """An answer came. That to a call of a lease that was lost is nobody's: whoever has the run now asks again."""
        held = self.held.get(run.key)
        if held is not None and held.epoch == run.epoch:
            self._inputs_of(run).answers.append((run, answer))

    def take(self, limit: int) -> dict[str, Inputs]:
        """What has waited longest, for at most so many orders."""
        return {order_id: self.waiting.pop(order_id) for order_id in list(islice(self.waiting, limit))}

    def put_back(self, inputs: Mapping[str, Inputs]) -> None:
        """Take these again after what waits already; within an order they stay ahead of what came in since."""
        for order_id, some in inputs.items():
            waiting = self.waiting.setdefault(order_id, Inputs())
            waiting.begin[:0] = some.begin
            waiting.answers[:0] = some.answers

    def put_first(self, inputs: Mapping[str, Inputs]) -> None:
        """Take these again before everything else."""
        self.waiting = {**inputs, **self.waiting}

    def finish(self, keys: Iterable[RunKey]) -> None:
        """The runs are not ours any more."""
        for key in keys:
            dependency = DEPENDENCY.get(key.step)
            if self.held.pop(key, None) is not None and dependency is not None:
                self.calling[dependency] -= 1

    def drop(self, order_id: str) -> list[Run]:
        """Let go of everything of an order; returns the runs."""
        runs = [run for key, run in self.held.items() if key.order_id == order_id]
        self.finish(run.key for run in runs)
        self.waiting.pop(order_id, None)
        self.conflicts.pop(order_id, None)
        return runs

    def drop_unbegun(self) -> None:
        """Let go of what has not been begun; answers stay."""
        for order_id, some in list(self.waiting.items()):
            self.finish(run.key for run in some.begin)
            some.begin.clear()
            if not some.answers:
                del self.waiting[order_id]

    def clear(self) -> None:
        """Nothing is ours any more."""
        self.held.clear()
        self.calling.clear()
        self.waiting.clear()
        self.conflicts.clear()
        self.unsure = False

    def _inputs_of(self, run: Run) -> Inputs:
        return self.waiting.setdefault(run.key.order_id, Inputs())
