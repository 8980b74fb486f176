"""All parts put together, and what they ask of one another: whether a fault strikes, whose turn it is, when something is due."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from domain.errors import BrokerUnavailable
from domain.process import Policy
from domain.routing import Warehouse
from domain.work import RunRow, Step
from infrastructure.memory.breakers import MemoryBreakers
from tests.simulation.agenda import Agenda
from tests.simulation.bus import Bus
from tests.simulation.chance import stream
from tests.simulation.database import Database, Killed
from tests.simulation.operators import Operators
from tests.simulation.oracle import Oracle
from tests.simulation.outside import Outside
from tests.simulation.people import People
from tests.simulation.permits import Permits
from tests.simulation.shape import Shape
from tests.simulation.trace import Trace
from tests.simulation.workforce import Process, RelayProcess, Worker
from workers.retry import RetryPolicy

T = TypeVar("T")

WAREHOUSES = (Warehouse(id="north", countries=("NO",)), Warehouse(id="south", countries=("IT",)))


class World:
    """One run of one shape."""

    def __init__(self, shape: Shape, tell: Callable[[str], None] | None = None) -> None:
        self.shape = shape
        self.storm = True
        self.policy = Policy(
            key_window=timedelta(seconds=shape.key_window_s / 5),
            backorder_recheck=timedelta(hours=6),
            backorder_wait=timedelta(days=2),
        )
        self.retry = RetryPolicy()
        self.warehouses = WAREHOUSES
        self.points: Counter[str] = Counter()
        self.calls_made = 0
        self._current: list[Process] = []
        self.chance = stream(shape.seed, "world")
        self._strike = stream(shape.seed, "strikes")
        self.batch = self.chance.choice([1, 3, 200])
        self.trace = Trace(lambda: self.agenda.now, tell)
        self.agenda = Agenda(stream(shape.seed, "agenda"), self._heard)
        self.agenda.next_need, self.agenda.on_skip = self._next_need, self._skipped
        self._build_servers()
        self._build_processes()

    def _build_servers(self) -> None:
        """What everybody shares: store, breakers, broker, the outside; and the oracle that watches them."""
        seed, agenda, trace = self.shape.seed, self.agenda, self.trace
        self.database = Database(agenda, trace, stream(seed, "database"), self.strikes)
        self.oracle = Oracle(self.database, attempts=self.retry.attempts)
        self.database.auditor = self.oracle
        self.board = MemoryBreakers(self.database.time, self._waiting)
        self.permits = Permits(self.board, self.shape, self.oracle.find)
        self.bus = Bus(agenda, trace, stream(seed, "bus"), self.strikes)
        self.outside = Outside(agenda, trace, stream(seed, "outside"), self.strikes, self.shape)
        self.outside.find = self.oracle.find
        self.ports = self.outside.ports()

    def _build_processes(self) -> None:
        seed = self.shape.seed
        self.people = People(self, stream(seed, "people"))
        self.operators = Operators(self)
        numbers = range(1, self.shape.workers + 1)
        self.workers = [Worker(self, f"w{number}", stream(seed, "worker", number)) for number in numbers]
        self.relays: list[Process] = [RelayProcess(self, "r1", stream(seed, "relay", 1))]
        self.bus.takers += self.workers

    # --- what the parts ask ---

    def _waiting(self, steps: Sequence[Step], limit: int) -> int:
        """How many runs of these steps are due and nobody has them."""
        now = self.database.time()
        rows = self.database.store._work.rows()
        return min(limit, sum(r.state == "ready" and r.due_at <= now and r.key.step in steps for r in rows))

    def strikes(self, kind: str) -> bool:
        """Whether a fault of this kind strikes here and now."""
        rate = self.shape.rates.get(kind, 0.0)
        return rate > 0 and self.storm and self._strike.random() < rate

    def as_process(self, process: Process, action: Callable[[], T]) -> T:
        """Run the program's code with the clock and the chance of a process."""
        self._current.append(process)
        try:
            return action()
        finally:
            self._current.pop()

    def reach(self, point: str, key: str) -> None:
        """A fail point of the program: here a process may be killed, and others may go on."""
        if not self._current or not self.storm:
            return
        process = self._current[-1]
        if self.strikes("killed at a point"):
            self.trace.fault("killed at a point", process.name, f"{point} {key}")
            self.points[point] += 1
            process.die()
            raise Killed
        if not self.database.in_transaction and self.strikes("others in between"):
            self.agenda.meanwhile(0.002)
            if not process.alive:
                raise Killed

    def quietly(self, announce: Callable[[Iterable[tuple[str, str]]], None]) -> Callable[[Iterable[Any]], None]:
        def announce_if_possible(pairs: Iterable[tuple[str, str]]) -> None:
            try:
                announce(pairs)
            except BrokerUnavailable:
                self.trace.note("people", "wake-ups not sent")

        return announce_if_possible

    def _heard(self, owner: str, what: str) -> None:
        if what:
            self.trace.note(owner, what)

    def _next_need(self) -> float:
        """When the work list first holds something that somebody could do."""
        now, need, limited = self.database.time(), float("inf"), self.permits.limited()
        for row in self.database.store._work.rows():
            if row.state == "ready":
                at = row.due_at if limited else max(row.due_at, row.wake_at)  # what is limited is claimed unannounced
                need = min(need, (at - now).total_seconds())
            elif row.state == "running" and not self._is_held(row):
                need = min(need, self._lease_left(row, now))
        return self.agenda.now + need

    def _is_held(self, row: RunRow) -> bool:
        """Somebody alive knows that this run is his."""
        for worker in self.workers:
            held = worker.alive and worker.conductor.desk.held.get(row.key)
            if held and held.epoch == row.epoch:
                return True
        return False

    def _lease_left(self, row: RunRow, now: datetime) -> float:
        for worker in self.workers:
            holder = worker.holding._current if worker.alive else None
            if holder is not None and holder.id == row.holder:
                return 0.0
        expires_at = self.database.store._leases.get(row.holder or 0, now)
        return (expires_at - now).total_seconds()

    def _skipped(self, gap: float) -> None:
        """While nothing happened the living renewed their leases."""
        leases = self.database.store._leases
        for worker in self.workers:
            current = worker.holding._current if worker.alive else None
            if current is not None and current.id in leases:
                leases[current.id] += timedelta(seconds=gap)
