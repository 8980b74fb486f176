"""The call threads of a simulated worker: the program's own calls, with the time that they take around them.

A request may have left although its sender died, and an answer may come to nobody. Beside them the shared breakers, which every call
asks, over the worker's own unreliable connection.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from domain.errors import Unavailable
from domain.outside import Answer, Request
from domain.work import DEPENDENCY, Run
from infrastructure.memory.breakers import MemoryBreakers
from tests.simulation.database import Connection, Killed
from workers.calls import CallThreads
from workers.turns import Call

if TYPE_CHECKING:
    from tests.simulation.workforce import Worker


class FlakyBoard:
    """The shared breakers over a connection."""

    def __init__(self, board: MemoryBreakers, connection: Connection) -> None:
        self._board = board
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return self._connection.over(getattr(self._board, name))


class Calls:
    """The call threads of one life of a worker: the program's own call, with the time that it takes around it."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._life = worker.life
        self._threads = CallThreads(self, self._deliver, threads=0, breakers=worker.breakers, clock=worker.monotonic)

    def make(self, call: Call) -> None:
        delay = self._worker.chance.uniform(0.001, 0.05)
        self._later(delay, lambda: self._call(call))

    def cancel(self) -> list[Call]:
        return []

    def close(self) -> None:
        """Nothing is to be closed."""

    def look_after(self) -> None:
        """Every call comes back here, if somebody lives to hear it."""

    def call(
        self, request: Request, *, inquire_first: bool, act: bool = True, before_acting: Callable[[], object]
    ) -> Answer:
        """The breaker has let it through. Between an inquiry and the act its process may have died, or lost its lease."""
        worker = self._worker
        worker.world.permits.called(DEPENDENCY[self._step], worker.name)
        lease = self._lease()

        def still() -> None:
            if lease != self._lease():
                raise Unavailable("the process that asked is not what it was")
            before_acting()

        return worker.world.ports.call(request, inquire_first=inquire_first, act=act, before_acting=still)

    def _lease(self) -> int | None:
        worker = self._worker
        return worker.holding.in_force() if worker.alive and worker.life == self._life else None

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        world = self._worker.world
        world.calls_made += 1
        world.agenda.after(delay, f"{self._worker.name} call {world.calls_made}", "", action)

    def _call(self, call: Call) -> None:
        """A request may have left although its sender died in the meantime."""
        worker, world = self._worker, self._worker.world
        if (not worker.alive or worker.life != self._life) and world.chance.random() < 0.5:
            return
        frozen = worker.frozen_until - world.agenda.now
        if frozen > 0 and world.chance.random() < 0.5:
            self._later(frozen, lambda: self._call(call))
            return
        try:
            world.as_process(worker, lambda: self._make(call))
        except Killed:
            return
        if world.strikes("killed in call"):
            world.trace.fault("killed in call", worker.name, str(call.run.key))
            worker.die()

    def _make(self, call: Call) -> None:
        self._step = call.run.key.step
        self._threads.make(call)

    def _deliver(self, run: Run, answer: Answer | Exception) -> None:
        life, worker = self._life, self._worker
        if isinstance(answer, Exception):
            worker.world.oracle.failed(run.key, answer)
        self._later(worker.chance.uniform(0.001, 0.05), lambda: worker.answer(life, run, answer))
