"""`python -m benchmarks.sizing [--orders N]`: what an order costs the database, for who plans disks, vacuum and connections.

Orders with one line each go from acceptance to close, with one process of each role; the outside world is in the worker. Then the
server is asked. Its settings are the defaults of PostgreSQL, so a checkpoint falls now and then, and WAL has its full page images.

`step_runs` loses a row with every step, so that is where vacuum matters: it is kept away until everything has ended, and then let at it
with the table's own settings.
"""

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.flow import SKUS, Case, _accept, _order_id, _worker, fresh_database
from benchmarks.machine import describe
from infrastructure.settings import load
from workers.bootstrap import Runtime

ROLES = ("relay", "projector", "intake", "keeper")
PATIENCE_S = 300.0
FEW = 3 * 8192  # bytes; what has no more is not shown

CONNECTIONS = """
    SELECT application_name, count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name = ANY (%s) GROUP BY 1"""
CLOSED = """
    SELECT count(*) = %s AND NOT EXISTS (SELECT FROM step_runs)
        AND (SELECT min(c.position) = (SELECT max(position) FROM events) FROM checkpoints c)
    FROM events WHERE type = 'OrderClosed'"""
WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
SIZES = """
    SELECT coalesce(i.indrelid, c.oid)::regclass::text, CASE WHEN i.indexrelid IS NULL THEN '' ELSE c.relname END,
        CASE WHEN i.indexrelid IS NULL THEN pg_table_size(c.oid) ELSE pg_relation_size(c.oid) END AS bytes
    FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relnamespace::regnamespace::text IN ('public', 'pgmq') AND c.relkind IN ('r', 'i')
    ORDER BY pg_total_relation_size(coalesce(i.indrelid, c.oid)) DESC, 1, 2"""
RUNS = """
    SELECT n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del, n_dead_tup, autovacuum_count,
        pg_table_size(relid), pg_indexes_size(relid)
    FROM pg_stat_user_tables WHERE relid = 'step_runs'::regclass"""
NO_VACUUM = "ALTER TABLE step_runs SET (autovacuum_enabled = off)"
VACUUM = ("ALTER TABLE step_runs RESET (autovacuum_enabled)", "ALTER SYSTEM SET autovacuum_naptime = '1s'")

out = sys.stdout.write


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizing", description=__doc__)
    parser.add_argument("--orders", type=int, default=2000)
    orders = parser.parse_args().orders
    with fresh_database() as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        out("".join(f"{line}\n" for line in describe(dsn)))
        connection.execute(NO_VACUUM)
        before = _number(connection, WAL)
        used = _carry(dsn, connection, orders)
        wal = _number(connection, WAL) - before
        events = _number(connection, "SELECT count(*) FROM events") - SKUS
        out(f"orders {orders}, events an order {events / orders:.1f}, WAL an order {wal / orders:,.0f} bytes\n\n")
        _print_sizes(connection, orders)
        _print_vacuum(connection)
        shown = ", ".join(f"{name} {count}" for name, count in used.items())
        out(f"\nconnections of a process, at most: {shown}\n")


def _carry(dsn: str, connection: psycopg.Connection[tuple[Any, ...]], orders: int) -> Counter[str]:
    """Returns the most connections that each role was seen with. All have ended then, so that the server has their figures."""
    with ExitStack() as stack:
        runtime = stack.enter_context(Runtime(load({"database_url": dsn}, environment={})[0]))
        _accept(runtime.store(), orders)
        case = Case(name="", orders=orders)
        stack.enter_context(_worker(make_conninfo(dsn, application_name="worker"), "", case))
        processes = [stack.enter_context(_role(dsn, name)) for name in ROLES]
        runtime.wake_ups().announce(("risk", _order_id(number)) for number in range(orders))
        used = Counter[str]()

        def is_done() -> bool:
            assert all(process.poll() is None for process in processes), "a role has ended"
            for name, count in connection.execute(CONNECTIONS, [["worker", *ROLES]]):
                used[name] = max(used[name], count)
            return connection.execute(CLOSED, [orders]).fetchone() == (True,)

        _wait_until(is_done, "all orders are closed and projected")
    _wait_until(lambda: not connection.execute(CONNECTIONS, [["worker", *ROLES]]).fetchall(), "all sessions have ended")
    return used


@contextmanager
def _role(dsn: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, whose connections have its name."""
    environment = {**os.environ, "DATABASE_URL": make_conninfo(dsn, application_name=name)}
    process = subprocess.Popen([sys.executable, "-m", "workers", name, "--log-level", "warning"], env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def _print_sizes(connection: psycopg.Connection[tuple[Any, ...]], orders: int) -> None:
    found = connection.execute(SIZES).fetchall()
    for table, index, size in found:
        if size > FEW:
            out(f"{'  ' + index if index else table:40}{size / orders:>10,.0f} bytes an order\n")
    out(f"{'all':40}{sum(size for _, _, size in found) / orders:>10,.0f} bytes an order\n\n")


def _print_vacuum(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    _print_runs(connection, "before autovacuum")
    for statement in VACUUM:
        connection.execute(statement.encode())
    connection.execute("SELECT pg_reload_conf()")
    started = time.monotonic()
    _wait_until(lambda: _runs(connection)[5] > 0, "autovacuum has been there")
    _print_runs(connection, f"{time.monotonic() - started:.1f} s after it was let in")


def _print_runs(connection: psycopg.Connection[tuple[Any, ...]], when: str) -> None:
    inserted, updated, hot, deleted, dead, _, table, indexes = _runs(connection)
    out(
        f"step_runs {when}: {inserted} inserted, {updated} updated ({100 * hot / updated:.0f} % HOT), {deleted} deleted,"
        f" {dead} dead; table {table / 1024:,.0f} KiB, indexes {indexes / 1024:,.0f} KiB\n"
    )


def _runs(connection: psycopg.Connection[tuple[Any, ...]]) -> tuple[Any, ...]:
    row = connection.execute(RUNS).fetchone()
    assert row is not None
    return row


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.1)


def _number(connection: psycopg.Connection[tuple[Any, ...]], query: str) -> float:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return float(row[0])


if __name__ == "__main__":
    main()
