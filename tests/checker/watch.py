"""The observer: a process of its own that looks at the tables again and again while a run goes on, and writes down what changed.

    python -m tests.checker.watch --dsn DSN --out watch.jsonl        until SIGTERM, over every outage of the database

A line is one look: when (the database's clock), the rows of the small tables that changed since the last look, the runs that are gone,
head and checkpoints, and how many events lie between the former checkpoint and this one. The checker reads from it what the
end does not tell any more: who held what when, whether a checkpoint went back, whether a reader was given a position too early.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import psycopg

Row = dict[str, Any]

KEYS = {
    "step_runs": ("order_id", "step", "part", "ordinal"),
    "holders": ("id",),
    "leases": ("name",),
    "breakers": ("dependency",),
}
_LOOK = """
SELECT to_json(clock_timestamp())#>>'{}', coalesce((SELECT max(position) FROM events), 0),
    (SELECT coalesce(jsonb_object_agg(name, jsonb_build_object('position', position, 'rebuilds', rebuilds)), '{}') FROM checkpoints WHERE position IS NOT NULL),
    (SELECT count(*) FROM step_runs
     WHERE state = 'running' OR (state = 'ready' AND due_at <= clock_timestamp() AND parked_on IS NULL))
"""
_BETWEEN = "SELECT count(*) FROM events WHERE position > %s AND position <= %s"
_LOCKS = """
SELECT a.pid, a.application_name, l.classid::bigint, l.objid::bigint, l.objsubid, l.mode
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND a.state = 'idle' AND a.datname = current_database()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND clock_timestamp() - a.state_change > interval '0.3 s'
"""
LOCKS_EVERY_S = 0.5


class Watcher:
    """`look` returns what is new; after an error of the database, the next one begins afresh."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._known: dict[str, dict[str, Row]] = {}
        self._there: dict[str, bool] = {}
        self._mark: int | None = None
        self._locks_at = 0.0

    def look(self) -> Row | None:
        """None while the database is away."""
        try:
            return self._look(self._connected())
        except psycopg.Error:
            self.close()
            return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            options = "-c timezone=UTC -c statement_timeout=10000"
            self._connection = psycopg.connect(
                self._dsn, autocommit=True, connect_timeout=3, options=options, application_name="checker"
            )
            self._connection.read_only = True
            self._there = {}
        return self._connection

    def _look(self, connection: psycopg.Connection[tuple[Any, ...]]) -> Row:
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            found = connection.execute(_LOOK).fetchone()
            assert found is not None
            at, head, checkpoints, busy = found
            line: Row = {"at": at, "head": head, "checkpoints": checkpoints, "busy": busy, **self._changes(connection)}
            line |= self._counted(connection, checkpoints)
        if time.monotonic() - self._locks_at > LOCKS_EVERY_S:
            self._locks_at = time.monotonic()
            line |= self._idle_locks(connection)
        return line

    def _changes(self, connection: psycopg.Connection[tuple[Any, ...]]) -> Row:
        changes: Row = {}
        for table, keys in KEYS.items():
            if not self._exists(connection, table):
                continue
            rows = (row for (row,) in connection.execute(f"SELECT to_jsonb(t) FROM {table} t".encode()))
            now = {"/".join(str(row[key]) for key in keys): row for row in rows}
            before = self._known.get(table, {})
            if changed := {key: row for key, row in now.items() if before.get(key) != row}:
                changes[table] = changed
            if gone := sorted(before.keys() - now.keys()):
                changes[f"{table} gone"] = gone
            self._known[table] = now
        return changes

    def _counted(self, connection: psycopg.Connection[tuple[Any, ...]], checkpoints: Row) -> Row:
        """How many events a reader was given between the checkpoint that was seen before and this one."""
        mark = max((row["position"] for row in checkpoints.values()), default=0)
        before, self._mark = self._mark, max(mark, self._mark or 0)
        if before is None or mark <= before:
            return {}
        count: Any = connection.execute(_BETWEEN, [before, mark]).fetchone()
        return {"given": {"after": before, "up_to": mark, "events": count[0]}}

    @staticmethod
    def _idle_locks(connection: psycopg.Connection[tuple[Any, ...]]) -> Row:
        names = ("pid", "application", "class", "object", "kind", "mode")
        rows = [dict(zip(names, row, strict=True)) for row in connection.execute(_LOCKS)]
        return {"idle_locks": rows} if rows else {}

    def _exists(self, connection: psycopg.Connection[tuple[Any, ...]], table: str) -> bool:
        if table not in self._there:
            self._there[table] = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone() == (True,)
        return self._there[table]


def watch(look: Callable[[], Row | None], tell: Callable[[Row], object], stop: Event, every_s: float) -> None:
    """Look until stopped, a last time a little later; a look that takes long makes the next one wait."""
    last = False
    while not last:
        last, began = stop.is_set(), time.monotonic()
        if last:
            time.sleep(LOCKS_EVERY_S)
        seen = look()
        if seen is not None:
            tell(seen)
        stop.wait(max(every_s, 4 * (time.monotonic() - began)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="watch", description="Writes down what changes while a run goes on.")
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=float, default=0.05, help="seconds between two looks")
    options = parser.parse_args()
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watcher = Watcher(options.dsn)
    with options.out.open("a", encoding="utf-8", buffering=1) as out:
        watch(watcher.look, lambda line: out.write(json.dumps(line) + "\n"), stop, options.every)
    watcher.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
