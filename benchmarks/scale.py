"""`python -m benchmarks.scale`: orders per second with 1, 2 and 4 worker processes over RabbitMQ and over pgmq, as ratios of one run.

Two outside worlds, because they ask two questions. `at 50 ms` every call takes that long and a worker has few threads, so its rate is
threads divided by latency: do workers add up? `at 0 ms` only processors are needed: where is the end of this machine? The table says who
used them (workers, PostgreSQL, broker, simulator), so that a full machine or a busy simulator is not taken for a limit of the workers.

Orders come in as long as fewer than WINDOW are open, so waiting times can be compared. Rounds are interleaved and medians are shown: the
machine may be shared, and whatever else it does then hurts all rows alike. Every run is checked: each order ended once, no event out of order.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psycopg
from kombu import Connection

from benchmarks.fairness import Fairness, check_order, measure_fairness
from benchmarks.flow import Case, _accept, _end, _order_id, _place, _worker, fresh_database
from benchmarks.machine import describe
from benchmarks.processors import Meter, postmaster_of
from infrastructure.settings import load
from tests.faults.rabbitmq import pid_of
from tests.servers.rabbitmq import RabbitNode, find_server_script
from tests.servers.simulator import Simulator
from workers.bootstrap import DEAD_QUEUE, QUEUES, Runtime

WORKERS = (1, 2, 4)
WINDOW = 240
AT_ONCE = 20
PATIENCE_S = 300.0
WHO = ("workers", "postgres", "broker", "simulator")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How slow the outside is, and how many calls a worker makes to each part of it at once."""

    latency_ms: int
    threads: int
    orders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """`pids`: its processes, if it is one of its own."""

    name: str
    url: str
    pids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is compared with what: rows of the same world and broker with their first."""

    world: World
    broker: Broker
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one run, or the medians of some; `cores`: processors in use, by who used them."""

    per_s: float
    cores: Mapping[str, float]
    fairness: Fairness


def measure(row: Row) -> Figures:
    """One run on a fresh database; fails unless every order ended once and in order."""
    world = row.world
    case = Case(name="", orders=world.orders, threads=world.threads, broker_url=row.broker.url)
    with ExitStack() as stack:
        dsn = stack.enter_context(fresh_database())
        _forget(row.broker)
        settings, _ = load({"database_url": dsn, "broker_url": row.broker.url}, environment={})
        runtime = stack.enter_context(Runtime(settings))
        _accept(runtime.store(), 0)
        runtime.wake_ups()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ow-bench-")))
        simulator = Simulator(folder, latency={"fixed_ms": world.latency_ms})
        stack.callback(simulator.kill)
        workers = [stack.enter_context(_worker(dsn, simulator.url, case)) for _ in range(row.workers)]
        pids = [worker.pid for worker in workers]
        meter = Meter(dict(zip(WHO, (pids, [postmaster_of(dsn)], row.broker.pids, [simulator.pid]), strict=True)))
        took_s = _carry(runtime, dsn, world.orders)
        cores = {name: used / took_s for name, used in meter.used().items()}
        for worker in workers:
            _end(worker)
        check_order(dsn, world.orders)
        assert simulator.rows("SELECT count(*), count(DISTINCT order_id) FROM captures") == [(world.orders,) * 2]
        return Figures(per_s=world.orders / took_s, cores=cores, fairness=measure_fairness(dsn))


def _carry(runtime: Runtime, dsn: str, orders: int) -> float:
    """Let orders in as others end; returns the seconds until all have ended."""
    started, placed, closed = time.monotonic(), 0, 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        while closed < orders:
            while placed < min(orders, closed + WINDOW):
                placed += _let_in(runtime, placed, min(AT_ONCE, orders - placed))
            threading.Event().wait(0.05)
            found = connection.execute("SELECT count(*) FROM events WHERE type = 'OrderClosed'").fetchone()
            closed = found[0] if found else 0
            assert time.monotonic() < started + PATIENCE_S, f"{closed} of {orders} orders are closed"
    return time.monotonic() - started


def _let_in(runtime: Runtime, first: int, count: int) -> int:
    numbers = range(first, first + count)
    store = runtime.store()
    store.append([_place(number, store) for number in numbers])
    runtime.wake_ups().announce(("risk", _order_id(number)) for number in numbers)
    return count


def _forget(broker: Broker) -> None:
    """What an earlier run has left in a broker that outlives it."""
    if broker.pids:
        with Connection(broker.url) as connection:
            for queue in (*QUEUES, DEAD_QUEUE):
                connection.default_channel.queue_delete(queue)


@contextmanager
def rabbitmq() -> Iterator[Broker | None]:
    """A node of our own; None where it is not installed."""
    script = find_server_script()
    if script is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="ow-bench-") as folder:
        node = RabbitNode(Path(folder), script)
        try:
            yield Broker(name="RabbitMQ", url=node.start(), pids=(pid_of(node),))
        finally:
            node.stop()


def middle(found: Sequence[Figures]) -> Figures:
    """The medians, each figure by itself."""
    return Figures(
        per_s=median(one.per_s for one in found),
        cores={name: median(one.cores[name] for one in found) for name in WHO},
        fairness=Fairness(
            jain=median(one.fairness.jain for one in found),
            slowest=median(one.fairness.slowest for one in found),
            overtaken=round(median(one.fairness.overtaken for one in found)),
            median_s=median(one.fairness.median_s for one in found),
        ),
    )


def show(found: Mapping[Row, Sequence[Figures]]) -> None:
    """The table. A ratio is to the one worker of the same world and broker, round by round."""
    head = f"{'world':9}{'broker':13}{'workers':>8}{'orders/s':>10}{'ratio':>7}   {'spread':13}"
    sys.stdout.write(head + "".join(f"{name:>10}" for name in WHO) + f"{'Jain':>7}{'slowest':>9}{'overtaken':>11}\n")
    for row, runs in found.items():
        first = found[Row(world=row.world, broker=row.broker, workers=WORKERS[0])]
        ratios = [run.per_s / base.per_s for run, base in zip(runs, first, strict=True)]
        figures, spread = middle(runs), f"{min(ratios):.2f} - {max(ratios):.2f}"
        cells = "".join(f"{figures.cores[name]:>10.2f}" for name in WHO)
        fair = figures.fairness
        sys.stdout.write(
            f"{row.world.latency_ms:>2} ms    {row.broker.name:13}{row.workers:>8}{figures.per_s:>10.0f}{median(ratios):>7.2f}   {spread:13}"
            f"{cells}{fair.jain:>7.2f}{fair.slowest:>9.1f}{fair.overtaken:>11}\n"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--orders", type=int, default=1200, help="at 0 ms; half of them at 50 ms")
    options = parser.parse_args()
    worlds = (
        World(latency_ms=50, threads=4, orders=options.orders // 2),
        World(latency_ms=0, threads=16, orders=options.orders),
    )
    with ExitStack() as stack:
        sys.stdout.write("".join(f"{line}\n" for line in describe(stack.enter_context(fresh_database()))))
        brokers = [Broker(name="pgmq", url="pgmq://"), stack.enter_context(rabbitmq())]
        rows = [Row(world=w, broker=b, workers=n) for w in worlds for b in brokers if b for n in WORKERS]
        found: dict[Row, list[Figures]] = {row: [] for row in rows}
        for number in range(options.rounds):
            for row in rows:
                found[row].append(measure(row))
            sys.stdout.write(f"round {number + 1}, load {os.getloadavg()[0]:.1f}\n")
            sys.stdout.flush()
    show(found)
    sys.stdout.write("every order ended once, no event out of order, one capture an order: checked in each run\n")


if __name__ == "__main__":
    main()
