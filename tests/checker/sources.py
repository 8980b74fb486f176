"""Reading the evidence: one consistent snapshot of the database, the ledger beside the running simulator, the history.

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
)


def read_database(dsn: str) -> dict[str, list[Row]]:
    """All tables as of one moment, without being able to change anything."""
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SET LOCAL TimeZone = 'UTC'")
        there = [name for name in TABLES if _exists(connection, name)]
        return {name: _rows(connection, name) for name in there}


def _exists(connection: psycopg.Connection[tuple[object, ...]], table: str) -> bool:
    return connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone() == (True,)


def _rows(connection: psycopg.Connection[tuple[object, ...]], table: str) -> list[Row]:
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


def record(evidence: Evidence) -> Iterator[str]:
    """The evidence as lines of JSON, which `read_recorded` reads."""
    for kind, tables in (("table", evidence.tables), ("ledger", evidence.ledger or {})):
        for name, rows in tables.items():
            yield json.dumps({kind: name})
            yield from (json.dumps({kind: name, "row": row}, ensure_ascii=False) for row in rows)
    yield from (json.dumps({"history": row}, ensure_ascii=False) for row in evidence.history or [])


def read_recorded(lines: Iterable[str]) -> Evidence:
    """Evidence as it was recorded; what has no lines was not there."""
    kinds: dict[str, dict[str, list[Row]]] = {"table": {}, "ledger": {}}
    history: list[Row] = []
    for line in map(json.loads, lines):
        if "history" in line:
            history.append(line["history"])
            continue
        kind = "table" if "table" in line else "ledger"
        rows = kinds[kind].setdefault(line[kind], [])
        rows += [line["row"]] if "row" in line else []
    return Evidence(kinds["table"], kinds["ledger"] or None, history or None)
