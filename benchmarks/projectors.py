"""`python -m benchmarks.projectors [--events N] [--rounds N]`: how fast read models catch up, by partitions and by processes.

One history of orders is written many times over under other names. The projectors are started and share out the partitions while
an appender that never commits holds back the mark; then it lets go, and the time counts until every partition is at the end. Rounds
are interleaved, the median counts, and ratios are to one process with one partition.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.process import BaseProcess
from random import Random
from statistics import median

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.flow import fresh_database
from benchmarks.machine import describe
from infrastructure import logs
from infrastructure.postgres.leases import PostgresLeases
from infrastructure.postgres.projections import READ_MODELS, PostgresProjector, partition, status
from tests.infrastructure.projections.histories import Company, store_events
from workers.leases import Leases
from workers.projector import Projector
from workers.shares import Shares

DEADLINE_S = 600.0
LOOK_S = 0.01
SAMPLE = 4000
COPIES = """
INSERT INTO events (stream, version, type, schema, data, meta)
SELECT regexp_replace(e.stream, '-', '-c' || c || '.'), e.version, e.type, e.schema, e.data, e.meta
FROM generate_series(1, %s) AS c CROSS JOIN events e
ORDER BY c, e.position"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """So many processes for so many partitions of each read model."""

    partitions: int
    processes: int


CASES = [Case(partitions=p, processes=n) for p, n in ((1, 1), (2, 1), (4, 1), (1, 2), (2, 2), (4, 2), (4, 4))]


def work(dsn: str, name: str) -> None:
    """One projector process, until it is killed."""
    logs.configure(pretty=False, level="error")
    leases = Leases(PostgresLeases(dsn), name, timedelta(seconds=10))
    projections = PostgresProjector(dsn, guard=leases.table.guard)
    Projector(projections, Shares(leases, "projector", projections.names)).run()


def measure(server: str, template: str, case: Case) -> float:
    """Seconds to the end of the log."""
    with copy_of(server, template) as dsn, held_back(dsn) as let_go:
        partition(dsn, case.partitions)
        names = [f"bench-{number}" for number in range(case.processes)]
        processes = [multiprocessing.get_context("spawn").Process(target=work, args=(dsn, name)) for name in names]
        try:
            for process in processes:
                process.start()
            wait_until(lambda: are_shared_out(dsn, case), processes)
            started = time.monotonic()
            let_go()
            wait_until(lambda: all(line.position == line.head for line in status(dsn)), processes)
            return time.monotonic() - started
        finally:
            for process in processes:
                process.kill()
                process.join(10)


def are_shared_out(dsn: str, case: Case) -> bool:
    """Every lease is held, by every process about as many as by another."""
    with psycopg.connect(dsn) as connection:
        held = connection.execute(
            "SELECT holder, count(*) FROM leases WHERE name LIKE 'projector:%' AND holder IS NOT NULL GROUP BY 1"
        ).fetchall()
    counts = [count for _, count in held]
    names = case.partitions * len(READ_MODELS)
    return sum(counts) == names and len(counts) == min(case.processes, names) and max(counts) - min(counts) <= 1


def wait_until(condition: Callable[[], bool], processes: Sequence[BaseProcess]) -> None:
    """Look again and again; a process that has ended is an error."""
    until = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > until or not all(process.is_alive() for process in processes):
            raise RuntimeError("a projector ended, or did not come to the end")
        time.sleep(LOOK_S)


@contextmanager
def held_back(dsn: str) -> Iterator[Callable[[], None]]:
    """Keep readers from going on, until told."""
    with psycopg.connect(dsn) as appender:
        appender.execute("SELECT pg_advisory_xact_lock_shared(7301, 1)")
        yield appender.rollback


@contextmanager
def copy_of(server: str, template: str) -> Iterator[str]:
    """A database like the template."""
    name = f"copy_{time.monotonic_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        try:
            yield make_conninfo(server, dbname=name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def fill(dsn: str, events: int) -> int:
    """Write the history; returns how many events there are."""
    company = Company(random=Random(1))
    for sku in ("mug", "desk"):
        company.receive(warehouse="berlin", sku=sku, quantity=3)
    store_events(dsn, company.live(SAMPLE).appended)
    with psycopg.connect(dsn, autocommit=True) as connection:
        copies = max(0, round(events / max(1, len(company.appended))) - 1)
        connection.execute(COPIES, [copies])
        connection.execute("VACUUM ANALYZE events")
        row = connection.execute("SELECT count(*) FROM events").fetchone()
    return int(row[0]) if row else 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.projectors", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with fresh_database() as template:
        out = sys.stdout.write
        out("".join(f"{line}\n" for line in describe(template)))
        with psycopg.connect(template) as connection:
            name = connection.info.dbname
        server = make_conninfo(template, dbname="template1")
        events = fill(template, options.events)
        taken: dict[Case, list[float]] = {case: [] for case in CASES}
        for _ in range(options.rounds):
            for case in CASES:
                taken[case].append(measure(server, name, case))
    out(f"\n{events} events, median of {options.rounds}\n")
    out(f"{'partitions':>10}{'processes':>11}{'events/s':>10}{'ratio':>7}\n")
    first = median(taken[CASES[0]])
    for case in CASES:
        seconds = median(taken[case])
        out(f"{case.partitions:>10}{case.processes:>11}{events / seconds:>10.0f}{first / seconds:>7.2f}\n")


if __name__ == "__main__":
    main()
