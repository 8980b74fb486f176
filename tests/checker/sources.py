"""Reading the evidence: one consistent snapshot of the database, the ledger beside the running simulator, history, watch and logs.

Rows come as JSON made by the database itself, so nothing of the product's way of reading takes part.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg import sql

from tests.checker.evidence import Evidence, Row

Connection = psycopg.Connection[tuple[object, ...]]
TABLES = (
    "events",
    "commands",
    "step_runs",
    "dead_letters",
    "holders",
    "checkpoints",
    "order_summary_v1",
    "order_timeline_v1",
    "pipeline_counts_v1",
    "stock_levels_v1",
    "stock_backorders_v1",
    "leases",
    "breakers",
    "breaker_transitions",
)
SERVER = {
    "moment": "SELECT jsonb_build_object('at', clock_timestamp())",
    "server_locks": """
        SELECT jsonb_build_object('pid', l.pid, 'application', a.application_name, 'class', l.classid::bigint,
            'object', l.objid::bigint, 'kind', l.objsubid, 'mode', l.mode)
        FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    "server_sessions": """
        SELECT jsonb_build_object('pid', pid, 'application', application_name, 'state', state,
            'transaction_s', extract(epoch FROM clock_timestamp() - xact_start), 'state_s', extract(epoch FROM clock_timestamp() - state_change))
        FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()""",
    "server_prepared": "SELECT jsonb_build_object('gid', gid) FROM pg_prepared_xacts WHERE database = current_database()",
    "server_indexes": """
        SELECT jsonb_build_object('index', indexrelid::regclass::text, 'valid', indisvalid AND indisready)
        FROM pg_index WHERE indrelid = 'events'::regclass OR indrelid = 'step_runs'::regclass""",
    "server_constraints": """
        SELECT jsonb_build_object('constraint', conname, 'valid', convalidated) FROM pg_constraint WHERE NOT convalidated""",
}


def read_database(dsn: str) -> dict[str, list[Row]]:
    """All tables as of one moment, without being able to change anything."""
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SET LOCAL TimeZone = 'UTC'")
        there = [name for name in TABLES if _exists(connection, name)]
        tables = {name: _rows(connection, name) for name in there}
        tables |= {name: _told(connection, query) for name, query in SERVER.items()}
        return {**tables, "queues": _queues(connection), "index_counts": _counts(connection)}


def _told(connection: Connection, query: str) -> list[Row]:
    return [row for (row,) in connection.execute(query.encode()) if isinstance(row, dict)]


def _queues(connection: Connection) -> list[Row]:
    """The embedded broker's queues, if this is the database where they are."""
    if not _exists(connection, "pgmq.meta"):
        return []
    names = [str(name) for (name,) in connection.execute("SELECT queue_name FROM pgmq.meta ORDER BY queue_name")]
    return [{"queue": name, "depth": _depth(connection, name)} for name in names]


def _depth(connection: Connection, queue: str) -> object:
    query = sql.SQL("SELECT count(*) FROM pgmq.{}").format(sql.Identifier(f"q_{queue}"))
    row = connection.execute(query).fetchone()
    return row and row[0]


def _counts(connection: Connection) -> list[Row]:
    """The events as the table itself has them and as its indexes know them."""
    counts = []
    for way, off in (("heap", ("indexscan", "indexonlyscan", "bitmapscan")), ("index", ("seqscan", "bitmapscan"))):
        for name in ("seqscan", "indexscan", "indexonlyscan", "bitmapscan"):
            connection.execute(f"SET LOCAL enable_{name} = {'off' if name in off else 'on'}".encode())
        row = connection.execute(
            "SELECT (SELECT count(*) FROM events WHERE position > 0), "
            "(SELECT count(*) FROM (SELECT stream, version FROM events ORDER BY stream, version) e)"
        ).fetchone()
        counts.append({"way": way, "by_position": row and row[0], "by_stream": row and row[1]})
    return counts


def _exists(connection: Connection, table: str) -> bool:
    return connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone() == (True,)


def _rows(connection: Connection, table: str) -> list[Row]:
    query = sql.SQL("SELECT to_jsonb(t) FROM {} t").format(sql.Identifier(table))
    return [row for (row,) in connection.execute(query) if isinstance(row, dict)]


def read_ledger(path: Path) -> dict[str, list[Row]]:
    """All tables of the simulator's books."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as books:
        books.row_factory = sqlite3.Row
        names = [name for (name,) in books.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: [dict(row) for row in books.execute(f'SELECT * FROM "{name}"')] for name in names}


def read_history(path: Path) -> list[Row]:
    """One JSON object a line; a last line that a kill cut off was never finished and is left out."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line.strip()]


def read_logs(folder: Path) -> dict[str, list[str]]:
    """The lines of every log in a folder, by the name of the file."""
    logs = sorted(folder.rglob("*.log"))
    return {
        str(log.relative_to(folder)): log.read_text(encoding="utf-8", errors="replace").splitlines() for log in logs
    }


def record(evidence: Evidence) -> Iterator[str]:
    """The evidence as lines of JSON, which `read_recorded` reads."""
    for kind, tables in (("table", evidence.tables), ("ledger", evidence.ledger or {})):
        for name, rows in tables.items():
            yield json.dumps({kind: name})
            yield from (json.dumps({kind: name, "row": row}, ensure_ascii=False) for row in rows)
    yield from (json.dumps({"history": row}, ensure_ascii=False) for row in evidence.history or [])
    yield from (json.dumps({"watched": row}, ensure_ascii=False) for row in evidence.watched or [])
    yield from (json.dumps({"log": name, "lines": lines}) for name, lines in (evidence.logs or {}).items())


def read_recorded(lines: Iterable[str]) -> Evidence:
    """Evidence as it was recorded; what has no lines was not there."""
    kinds: dict[str, dict[str, list[Row]]] = {"table": {}, "ledger": {}}
    told: dict[str, list[Row]] = {"history": [], "watched": []}
    logs: dict[str, list[str]] = {}
    for line in map(json.loads, lines):
        kind = next(name for name in ("history", "watched", "log", "table", "ledger") if name in line)
        if kind in told:
            told[kind].append(line[kind])
        elif kind == "log":
            logs[line["log"]] = line["lines"]
        else:
            kinds[kind].setdefault(line[kind], []).extend([line["row"]] if "row" in line else [])
    watched, history = told["watched"] or None, told["history"] or None
    return Evidence(kinds["table"], kinds["ledger"] or None, history, watched=watched, logs=logs or None)
