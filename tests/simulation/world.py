"""All of it put together, and one run: a storm of faults, then calm weather in which everything has to come to its end."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from domain.errors import BrokerUnavailable
from domain.process import Policy
from domain.routing import Warehouse
from domain.work import RunRow, Step
from infrastructure import failpoints
from infrastructure.memory.breakers import MemoryBreakers
from tests.simulation.agenda import Agenda
from tests.simulation.bus import Bus
from tests.simulation.chance import stream
from tests.simulation.database import Database, Killed
from tests.simulation.endings import judge_end
from tests.simulation.operators import Operators
from tests.simulation.oracle import Oracle
from tests.simulation.outside import Outside
from tests.simulation.people import SKUS, People
from tests.simulation.permits import Permits
from tests.simulation.real_time import forbidden
from tests.simulation.shape import Planned, Shape
from tests.simulation.trace import Trace
from tests.simulation.workforce import LEASE_S, Process, RelayProcess, Worker
from workers.retry import RetryPolicy

T = TypeVar("T")

WAREHOUSES = (Warehouse(id="north", countries=("NO",)), Warehouse(id="south", countries=("IT",)))
DEPENDENCIES = ("risk", "payment", "carrier", "mail")
CALM_STEPS = 60_000
CALM_LIVED_S = 3600.0
ROUND_S = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to."""

    seed: int
    findings: tuple[tuple[str, str], ...]
    fingerprint: str
    steps: int
    events: int
    days: float
    faults: dict[str, int] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


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
        self.trace = Trace(lambda: self.agenda.now, tell)
        self.chance = stream(shape.seed, "world")
        self.batch = self.chance.choice([1, 3, 200])
        self.agenda = Agenda(stream(shape.seed, "agenda"), self._heard)
        self.database = Database(self.agenda, self.trace, stream(shape.seed, "database"), self.strikes)
        self.oracle = Oracle(self.database, attempts=self.retry.attempts)
        self.database.auditor = self.oracle
        self.board = MemoryBreakers(self.database.time, self._waiting)
        self.permits = Permits(self.board, shape, self.oracle.find)
        self.bus = Bus(self.agenda, self.trace, stream(shape.seed, "bus"), self.strikes)
        self.outside = Outside(self.agenda, self.trace, stream(shape.seed, "outside"), self.strikes, shape)
        self.ports = self.outside.ports()
        self.people = People(self, stream(shape.seed, "people"))
        self.operators = Operators(self)
        self.workers = [Worker(self, f"w{n}", stream(shape.seed, "worker", n)) for n in range(1, shape.workers + 1)]
        self.relays: list[Process] = [RelayProcess(self, "r1", stream(shape.seed, "relay", 1))]
        self.bus.takers += self.workers
        self.agenda.next_need, self.agenda.on_skip = self._next_need, self._skipped
        self._current: list[Process] = []
        self.points: Counter[str] = Counter()
        self.calls_made = 0
        self._strike = stream(shape.seed, "strikes")

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
        if self.permits.limited():
            return self.agenda.now
        now, need = self.database.time(), float("inf")
        for row in self.database.store._work.rows():
            if row.state == "ready":
                need = min(need, (max(row.due_at, row.wake_at) - now).total_seconds())
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

    # --- a run ---

    def run(self) -> Outcome:
        """A storm, then calm."""
        with self._in_place():
            self._prepare()
            while self.agenda.now < self.shape.storm_s and not self.oracle.findings:
                self.agenda.step()
            self._calm_down()
            while not self.oracle.findings and not self._is_over():
                self.agenda.step()
            if not self.oracle.findings:
                for who, what in judge_end(
                    self.oracle, self.outside.books, self._work_left(), may_wait=self.shape.patient
                ):
                    self.oracle.find(who, what)
        return Outcome(
            seed=self.shape.seed,
            findings=tuple(self.oracle.findings),
            fingerprint=self.trace.fingerprint(),
            steps=self.agenda.steps,
            events=self.oracle.types.total(),
            days=self.agenda.now / 86_400,
            faults=dict(self.trace.counts),
            lines=tuple(self.trace.lines),
        )

    def _prepare(self) -> None:
        for process in (*self.workers, *self.relays):
            process.start()
        for warehouse in WAREHOUSES:
            for sku in SKUS:
                self._at(0.0, lambda w=warehouse.id, s=sku: self.people.deliver(w, s, self.shape.stock))
        for number in self.shape.orders:
            at = self.chance.uniform(0, self.shape.storm_s * 0.7)
            self._at(at, lambda n=number: self.people.submit(n))
        self._at(self.shape.storm_s, lambda: self.trace.note("world", "the storm is over"))
        for planned in self.shape.plan:
            self._at(planned.at, lambda p=planned: self._strike_planned(p))

    def _at(self, at: float, action: Callable[[], None]) -> None:
        self.agenda.after(max(0.0, at - self.agenda.now), "people", "", action)

    def _strike_planned(self, planned: Planned) -> None:
        if not self.storm:
            return
        self.trace.fault(planned.kind, "plan", f"{planned.lasts:g} s")
        _PLANNED[planned.kind](self, planned)

    def _calm_down(self) -> None:
        """The faults stop; who is down comes back; people decide what waits for them."""
        self.storm = False
        self.database.away = self.bus.away = False
        self.outside.away.clear()
        self.outside.mended = True
        self._until = self.agenda.steps + CALM_STEPS
        self._lived_until = self.agenda.lived + CALM_LIVED_S
        for process in (*self.workers, *self.relays):
            process.start()
        self._decide()

    def _decide(self) -> None:
        """An operator goes through what is held, dead or out of stock."""
        for order_id, order in list(self.oracle.orders.items()):
            if order.holds and not self.shape.patient:
                self.people.release(order_id)
        self.operators.go_through()
        self._bring_goods()
        self.agenda.after(ROUND_S, "people", "makes a round", self._decide, idle=True)

    def _bring_goods(self) -> None:
        if self.shape.patient:
            return
        for name, stock in list(self.oracle.stocks.items()):
            free = stock.received - stock.shipped - stock.allocated.total()
            missing = sum(stock.queue.values()) - free
            if missing > 0:
                warehouse, _, sku = name.partition("-")[2].partition("+")
                self.people.deliver(warehouse, sku, missing)

    def _is_over(self) -> bool:
        if self.agenda.steps > self._until or self.agenda.lived > self._lived_until:
            self.oracle.find("world", f"does not come to rest: {self._work_left()[:5]}")
            return True
        waits = not self.shape.patient and any(order.holds for order in self.oracle.orders.values())
        return not (waits or self.agenda.business or self._work_left())

    def _work_left(self) -> list[str]:
        """What is on the work list, but for the dead whose letters somebody closed."""
        rows = self.database.store._work.rows()
        obsolete = {letter.run for letter in self.operators.letters() if letter.state == "obsolete"}
        return [f"{r.key} {r.state}, attempt {r.attempts}" for r in rows if r.state != "dead" or r.key not in obsolete]

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """The program's log is silent."""
        before = structlog.get_config()
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False
        )
        try:
            failpoints._plan = self  # type: ignore[assignment]
            with forbidden(lambda what: self.oracle.find("world", what)):
                yield
        finally:
            failpoints._plan = None
            structlog.configure(**before)


# --- planned faults ---


def _someone(world: World, planned: Planned) -> Process:
    everyone = [*world.workers, *world.relays]
    return everyone[int(planned.whom * len(everyone))]


def _some_order(world: World, planned: Planned) -> str:
    numbers = world.shape.orders
    return f"o{numbers[int(planned.whom * len(numbers))]}"


def _away(name: str) -> Callable[[World, Planned], None]:
    def strike(world: World, planned: Planned) -> None:
        part = getattr(world, name)
        part.away = True
        world.agenda.after(planned.lasts, "plan", f"{name} is back", lambda: setattr(part, "away", False))

    return strike


def _outside_away(world: World, planned: Planned) -> None:
    who = DEPENDENCIES[int(planned.whom * len(DEPENDENCIES))]
    world.outside.away.add(who)
    world.agenda.after(planned.lasts, "plan", f"{who} is back", lambda: world.outside.away.discard(who))


def _kill_all(world: World, _: Planned) -> None:
    for process in (*world.workers, *world.relays):
        process.die()
    world.bus.wipe()


def _second_relay(world: World, _: Planned) -> None:
    if len(world.relays) == 1:
        world.relays.append(RelayProcess(world, "r2", stream(world.shape.seed, "relay", 2)))
        world.relays[-1].start()


def _delivery(world: World, planned: Planned) -> None:
    warehouse = WAREHOUSES[int(planned.whom * 2)].id
    world.people.deliver(warehouse, SKUS[int(planned.whom * 1000) % len(SKUS)], 1 + int(planned.whom * 100) % 5)


_PLANNED: dict[str, Callable[[World, Planned], None]] = {
    "kill": lambda world, planned: _someone(world, planned).die(),
    "freeze": lambda world, planned: _someone(world, planned).freeze(planned.lasts),
    "store away": _away("database"),
    "broker away": _away("bus"),
    "broker wiped": lambda world, _: world.bus.wipe(),
    "outside away": _outside_away,
    "everything killed": _kill_all,
    "cancel": lambda world, planned: world.people.cancel(_some_order(world, planned)),
    "hold": lambda world, planned: world.people.hold(_some_order(world, planned)),
    "release": lambda world, planned: world.people.release(_some_order(world, planned)),
    "delivery": _delivery,
    "retry the dead": lambda world, _: world.operators.go_through(),
    "second relay": _second_relay,
}


def simulate(shape: Shape, tell: Callable[[str], None] | None = None) -> Outcome:
    """One run."""
    return World(shape, tell).run()
