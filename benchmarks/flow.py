"""The whole flow: orders accepted, then carried by real worker processes from acceptance to close.

The clock runs from the first wake-up to the last `OrderClosed`. Every order has one line; everything is in stock.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from domain import order as orders
from domain import process as processes
from domain import stock as stocks
from domain.order import OrderPlaced, ShippingPolicy
from domain.ports import Meta, Unit
from domain.process import OrderView, Policy
from domain.values import Address, Money, OrderLine
from infrastructure.embedded import EmbeddedPostgres
from infrastructure.postgres import migrate
from infrastructure.postgres.store import PostgresStore
from infrastructure.settings import load
from workers.bootstrap import Runtime

SKUS = 50
PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row: how many orders, which outside world, how many workers with how many call threads (0: on the spot)."""

    name: str
    orders: int
    workers: int = 1
    latency_ms: int | None = None
    threads: int = 0
    batch: int = 200
    broker_url: str = "pgmq://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a case came to."""

    intake_per_s: float
    flow_per_s: float
    worker_us: float
    events_per_order: float


@contextmanager
def fresh_database() -> Iterator[str]:
    """A durable server of its own in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="ow-bench-") as folder, EmbeddedPostgres(Path(folder)) as server:
        migrate.up(server.dsn)
        yield server.dsn


def measure(case: Case) -> Figures:
    """Run one case on a fresh database."""
    with ExitStack() as stack:
        dsn = stack.enter_context(fresh_database())
        settings, _ = load({"database_url": dsn}, environment={})
        runtime = stack.enter_context(Runtime(settings))
        intake_s = _accept(runtime.store(), case.orders)
        gateway = stack.enter_context(_simulator(case.latency_ms)) if case.latency_ms is not None else ""
        workers = [stack.enter_context(_worker(dsn, gateway, case)) for _ in range(case.workers)]
        started = time.monotonic()
        runtime.wake_ups().announce(("risk", _order_id(number)) for number in range(case.orders))
        events = _wait_until_closed(dsn, case.orders)
        flow_s = time.monotonic() - started
        used_s = sum(_end(worker) for worker in workers)
    return Figures(
        intake_per_s=case.orders / intake_s,
        flow_per_s=case.orders / flow_s,
        worker_us=used_s / case.orders * 1e6,
        events_per_order=events / case.orders,
    )


def _order_id(number: int) -> str:
    return f"B{number:07d}"


def _placed(number: int, store: PostgresStore) -> OrderPlaced:
    return OrderPlaced(
        order_id=_order_id(number),
        customer_id=f"C{number % 1000}",
        ship_to=Address(name="Ada Example", street="Main Street 1", city="Berlin", country="DE", postal_code="10115"),
        lines=(OrderLine(number=1, sku=f"SKU{number % SKUS}", quantity=2, amount=4_990),),
        shipping=Money(amount=490, currency="EUR"),
        total=Money(amount=5_480, currency="EUR"),
        payment_token="tok_ok",
        policy=ShippingPolicy.PARTIAL,
        content_hash=f"{number:x}",
        placed_at=store.now(),
    )


def _accept(store: PostgresStore, count: int) -> float:
    """Stock and orders; returns the seconds that the orders took."""
    at = store.now()
    units = []
    for number in range(SKUS):
        stream = processes.stock_stream("MAIN", f"SKU{number}")
        event = stocks.StockReceived(quantity=10_000_000, delivery="bench", at=at)
        meta = Meta(command_id=f"receive:{number}")
        units.append(Unit(lock=stream, expected={stream: 0}, events=[(stream, event)], meta=meta))
    store.append(units)
    started = time.monotonic()
    for first in range(0, count, 500):
        store.append([_place(number, store) for number in range(first, min(first + 500, count))])
    return time.monotonic() - started


def _place(number: int, store: PostgresStore) -> Unit:
    placed = _placed(number, store)
    stream = processes.order_stream(placed.order_id)
    events: Sequence[orders.OrderEvent] = [placed]
    view = processes.extend(OrderView(order_id=placed.order_id), stream, events)
    return Unit(
        lock=placed.order_id,
        expected={stream: 0},
        events=[(stream, placed)],
        meta=Meta(command_id=f"place:{placed.order_id}", correlation_id=placed.order_id),
        wanted=list(processes.react(view, Policy())),
    )


@contextmanager
def _worker(dsn: str, gateway: str, case: Case) -> Iterator[subprocess.Popen[str]]:
    options = ["--dsn", dsn, "--gateway", gateway, "--threads", str(case.threads), "--batch", str(case.batch)]
    options += ["--broker", case.broker_url]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.worker", *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", "the worker did not start"
        yield process
    finally:
        process.kill()
        process.wait()


def _end(worker: subprocess.Popen[str]) -> float:
    worker.terminate()
    assert worker.stdout is not None
    used = float(worker.stdout.readline())
    worker.wait()
    return used


@contextmanager
def _simulator(latency_ms: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="ow-bench-") as folder:
        port_file = Path(folder) / "port"
        options = [
            "--ledger",
            f"{folder}/ledger.sqlite",
            "--port-file",
            str(port_file),
            "--latency-ms",
            str(latency_ms),
        ]
        process = subprocess.Popen([sys.executable, "-m", "workers.simulator", *options], stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 20
            while not port_file.exists() or not port_file.read_text().strip():
                assert time.monotonic() < deadline, "the simulator did not start"
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port_file.read_text().strip()}"
        finally:
            process.terminate()
            process.wait()


def _wait_until_closed(dsn: str, count: int) -> int:
    """Returns how many events there are when all orders are closed."""
    deadline = time.monotonic() + PATIENCE_S
    open_orders = (
        "SELECT (SELECT count(*) FROM step_runs), count(*) FILTER (WHERE type = 'OrderClosed'), count(*) FROM events"
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            row = connection.execute(open_orders).fetchone()
            assert row is not None
            if row[1] == count and row[0] == 0:
                return int(row[2])
            assert time.monotonic() < deadline, f"{row[1]} of {count} orders closed, {row[0]} runs left"
            time.sleep(0.1)
