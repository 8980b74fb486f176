"""A small shop for tests of the workers: a store that can be made to fail, an outside world that is watched, orders and stock.

Nothing here sleeps. `drive` turns the rounds of workers and the relay by hand until a condition holds, so a test decides what happens
between two rounds; `working` runs a worker in a thread as the program does.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Generic, TypeVar

from domain import process as processes
from domain import stock as stocks
from domain.errors import StoreUnavailable
from domain.order import OrderPlaced
from domain.outside import Answer, Request
from domain.ports import Meta, Unit
from domain.process import OrderView, Policy
from domain.routing import Warehouse
from domain.values import OrderLine
from domain.work import RunRow
from infrastructure.gateways.inprocess import InProcessWorld
from tests.domain.examples import NOON, an_order
from tests.workers.faulty import PATIENCE_S, FaultyMemory, FaultyPostgres
from workers.batch import Batch
from workers.breaking import Breakers
from workers.handle import Handler
from workers.mailbox import WakeUp
from workers.relay import Relay
from workers.retry import RetryPolicy
from workers.step_worker import StepWorker
from workers.worker_settings import WorkerSettings

S = TypeVar("S", FaultyPostgres, FaultyMemory)
W = TypeVar("W", bound="WatchedWorld")
AnyStore = FaultyPostgres | FaultyMemory
WAREHOUSES = (Warehouse(id="north"),)
EAGER = RetryPolicy(attempts=3, base_s=0.001, cap_s=0.001)


class WatchedWorld:
    """Passes calls on, remembers them, and raises the `faults` that are due for a type of request first."""

    def __init__(self) -> None:
        self.inside = InProcessWorld()
        self.calls: list[tuple[Request, bool]] = []
        self.faults: dict[type[Request], list[Exception]] = defaultdict(list)
        self.meanwhile: dict[type[Request], Callable[[], object]] = {}
        self._outside = self.inside.outside()

    def call(self, request: Request, *, inquire_first: bool, act: bool = True, **more: Any) -> Answer:
        self.calls.append((request, inquire_first))
        if self.faults[type(request)]:
            raise self.faults[type(request)].pop(0)
        answer = self._outside.call(request, inquire_first=inquire_first, act=act, **more)
        self.meanwhile.pop(type(request), lambda: None)()
        return answer

    def captures(self) -> dict[str, int]:
        """How often each parcel was captured."""
        count: dict[str, int] = defaultdict(int)
        for capture in self.inside.payments.captures:
            count[capture.key.partition(":")[0]] += 1
        return dict(count)

    def requests(self, kind: type[Request]) -> list[tuple[Request, bool]]:
        return [(request, inquired) for request, inquired in self.calls if isinstance(request, kind)]


class Shop(Generic[S, W]):
    """One store, one world, and whoever works there."""

    def __init__(self, store: S, world: W) -> None:
        self.store: S = store
        self.world = world
        self.policy = Policy()
        self.workers: list[StepWorker] = []
        self.settled: list[str] = []
        self.relay = Relay(self.store, self.announce, lambda _step: None)
        self.handler = Handler(store=self.store, announce=self.announce, policy=self.policy)

    def announce(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Wake every worker for them."""
        orders = [order_id for _, order_id in pairs]
        if orders:
            for worker in self.workers:
                self.wake(worker, *orders)

    def wake(self, worker: StepWorker, *orders: str) -> None:
        worker.mailbox.put(WakeUp(orders, lambda: self.settled.extend(orders)))

    def worker(self, *, store: Any = None, breakers: Breakers | None = None, **settings: Any) -> StepWorker:
        values: dict[str, Any] = {"name": f"w{len(self.workers)}", "threads": 0, "retry": EAGER, "policy": self.policy}
        values |= {"warehouses": WAREHOUSES, "grace": timedelta(seconds=10), **settings}
        told = WorkerSettings(**values)
        worker = StepWorker(store or self.store, self.world, self.announce, told, breakers=breakers)
        self.workers.append(worker)
        return worker

    def receive(self, sku: str = "cup", quantity: int = 1_000, warehouse: str = "north", command: str = "") -> None:
        command_id = command or f"receive-{warehouse}-{sku}-{time.monotonic_ns()}"
        stock = stocks.Receive(quantity=quantity, delivery="d1", at=NOON)
        self.handler.on_stock(warehouse, sku, stock, command_id=command_id, actor="test")

    def place(self, *order_ids: str, **changes: Any) -> None:
        """Accept orders; nobody is woken."""
        self.store.append([_placing(an_order(order_id=one, **changes), self.store, self.policy) for one in order_ids])

    def place_lines(self, order_id: str, *lines: OrderLine) -> None:
        self.store.append([_placing(an_order(*lines, order_id=order_id), self.store, self.policy)])

    def view(self, order_id: str) -> OrderView:
        return Batch(self.store, self.policy, ()).look(order_id).view

    def stock(self, sku: str = "cup", warehouse: str = "north") -> stocks.Stock:
        events = self.store.read({processes.stock_stream(warehouse, sku): 0})
        return stocks.fold([recorded.event for recorded in events])

    def names(self, order_id: str) -> list[str]:
        """The names of the order's events."""
        return [type(recorded.event).__name__ for recorded in self.store.read_orders([order_id])]

    def closed(self, *order_ids: str) -> bool:
        return all(self.view(order_id).order.closed for order_id in order_ids)

    def at_rest(self) -> bool:
        """Nothing is left on the work list."""
        return not self.store.runs()

    def unknown_runs(self, worker: StepWorker) -> list[RunRow]:
        """What is this worker's on the work list and what it does not know of."""
        known = {(run.key, run.epoch) for run in worker.conductor.desk.held.values()}
        mine = [row for row in self.store.runs() if row.holder == worker.holding.current.id]
        return [row for row in mine if (row.key, row.epoch) not in known]

    def close(self) -> None:
        for worker in self.workers:
            worker.holding.stop()
            worker.calls.close()


PostgresShop = Shop[FaultyPostgres, WatchedWorld]


def hasten(shop: PostgresShop) -> None:
    """Let an hour pass for everything that waits, but not for leases."""
    shop.store.sql("UPDATE step_runs SET due_at = due_at - interval '1 h', wake_at = wake_at - interval '1 h'")


def _placing(placed: OrderPlaced, store: AnyStore, policy: Policy) -> Unit:
    placed = replace(placed, placed_at=store.now())
    stream = processes.order_stream(placed.order_id)
    view = processes.extend(OrderView(order_id=placed.order_id), stream, [placed])
    return Unit(
        lock=placed.order_id,
        expected={stream: 0},
        events=[(stream, placed)],
        meta=Meta(command_id=f"place:{placed.order_id}"),
        wanted=list(processes.react(view, policy)),
    )


def round_of(worker: StepWorker) -> None:
    """One round as `run` makes it."""
    with suppress(StoreUnavailable):
        worker.conductor.once(timeout_s=0.0)


def drive(shop: Shop[Any, Any], until: Callable[[], bool], *workers: StepWorker) -> None:
    """Turn the rounds of the relay and the workers until the condition holds."""
    more = rounds_until(until)
    while more():
        if not shop.store.faults.down:
            shop.relay.look()
        for worker in workers or shop.workers:
            round_of(worker)


def rounds_until(condition: Callable[[], bool]) -> Callable[[], bool]:
    """For `while more():`: true until the condition holds; fails when that takes too long."""
    deadline = time.monotonic() + PATIENCE_S

    def more() -> bool:
        if condition():
            return False
        assert time.monotonic() < deadline, "in vain"
        return True

    return more


def wait_until(condition: Callable[[], bool], what: str = "") -> None:
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        pause.wait(0.01)


@contextmanager
def working(*workers: StepWorker) -> Iterator[list[bool]]:
    """Run the workers in threads; at the end they are stopped, and the list says whether each drained in time."""
    drained: list[bool] = []
    threads = [threading.Thread(target=lambda w=worker: drained.append(w.run()), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield drained
    finally:
        for worker in workers:
            worker.stop()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert len(drained) == len(workers), "a worker did not end, or ended with an error"
