"""One run: a storm of faults, then calm weather in which everything has to come to its end."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from infrastructure import failpoints
from tests.simulation.endings import judge_end
from tests.simulation.people import SKUS
from tests.simulation.planned import strike
from tests.simulation.real_time import forbidden
from tests.simulation.shape import Planned, Shape
from tests.simulation.world import World

CALM_STEPS = 30_000
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


def simulate(shape: Shape, tell: Callable[[str], None] | None = None) -> Outcome:
    """Run it; every line of the trace is told at once to whom wants to hear it."""
    return Run(World(shape, tell)).run()


class Run:
    """What happens to one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._most_steps = 0
        self._latest_s = 0.0

    def run(self) -> Outcome:
        """A storm, then calm."""
        world = self._world
        with self._in_place():
            self._prepare()
            while world.agenda.now < world.shape.storm_s and not world.oracle.findings:
                world.agenda.step()
            self._calm_down()
            while not world.oracle.findings and not self._is_over():
                world.agenda.step()
            if not world.oracle.findings:
                self._judge_end()
        return self._outcome()

    def _outcome(self) -> Outcome:
        world = self._world
        return Outcome(
            seed=world.shape.seed,
            findings=tuple(world.oracle.findings),
            fingerprint=world.trace.fingerprint(),
            steps=world.agenda.steps,
            events=world.oracle.types.total(),
            days=world.agenda.now / 86_400,
            faults=dict(world.trace.counts),
            lines=tuple(world.trace.lines),
        )

    # --- the storm ---

    def _prepare(self) -> None:
        world, shape = self._world, self._world.shape
        for process in (*world.workers, *world.relays):
            process.start()
        for warehouse in world.warehouses:
            for sku in SKUS:
                world.people.deliver(warehouse.id, sku, shape.stock)
        for number in shape.orders:
            self._submit_at(world.chance.uniform(0, shape.storm_s * 0.7), number)
        for planned in shape.plan:
            self._strike_at(planned)
        world.agenda.after(shape.storm_s, "world", "the storm is over", lambda: None)

    def _submit_at(self, at: float, number: int) -> None:
        people = self._world.people
        self._world.agenda.after(at, "people", "", lambda: people.submit(number))

    def _strike_at(self, planned: Planned) -> None:
        self._world.agenda.after(planned.at, "plan", "", lambda: strike(self._world, planned))

    # --- the calm ---

    def _calm_down(self) -> None:
        """The faults stop; who is down comes back; people decide what waits for them."""
        world = self._world
        world.storm = False
        world.database.away = world.bus.away = False
        world.outside.away.clear()
        world.outside.mended = True
        self._most_steps = world.agenda.steps + CALM_STEPS
        self._latest_s = world.agenda.lived + CALM_LIVED_S
        for process in (*world.workers, *world.relays):
            process.start()
        self._decide()

    def _decide(self) -> None:
        """Somebody makes his rounds: what is held, dead, or out of stock. Patient people let holds and backorders wait."""
        world = self._world
        world.operators.go_through()
        if not world.shape.patient:
            for order_id, order in list(world.oracle.orders.items()):
                if order.holds:
                    world.people.release(order_id)
            self._bring_goods()
        world.agenda.after(ROUND_S, "people", "makes a round", self._decide, idle=True)

    def _bring_goods(self) -> None:
        for name, stock in list(self._world.oracle.stocks.items()):
            missing = sum(stock.queue.values()) - stock.free()
            if missing > 0:
                warehouse, _, sku = name.partition("-")[2].partition("+")
                self._world.people.deliver(warehouse, sku, missing)

    def _is_over(self) -> bool:
        world = self._world
        if world.agenda.steps > self._most_steps or world.agenda.lived > self._latest_s:
            world.oracle.find("world", f"does not come to rest: {self._work_left()[:5]}")
            return True
        if world.agenda.business:
            return False
        held = not world.shape.patient and any(order.holds for order in world.oracle.orders.values())
        return not (held or self._work_left())

    def _work_left(self) -> list[str]:
        """What is on the work list, but for the dead whose letters nobody has to decide about any more."""
        world = self._world
        rows = world.database.store._work.rows()
        obsolete = {letter.run for letter in world.operators.letters() if letter.state == "obsolete"}
        return [f"{r.key} {r.state}, attempt {r.attempts}" for r in rows if r.state != "dead" or r.key not in obsolete]

    def _judge_end(self) -> None:
        world = self._world
        for who, what in judge_end(world.oracle, world.outside.books, self._work_left(), may_wait=world.shape.patient):
            world.oracle.find(who, what)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """The program's log is silent, its fail points are ours, and the real clocks are forbidden."""
        before = structlog.get_config()
        silent = structlog.make_filtering_bound_logger(logging.CRITICAL)
        structlog.configure(wrapper_class=silent, cache_logger_on_first_use=False)
        failpoints._plan = self._world  # type: ignore[assignment]
        try:
            with forbidden(lambda what: self._world.oracle.find("world", what)):
                yield
        finally:
            failpoints._plan = None
            structlog.configure(**before)
