"""Small helpers of the tests on a real database."""

from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from infrastructure.postgres.database import Database
from infrastructure.postgres.projections import READ_MODELS, PostgresProjector
from infrastructure.postgres.projections.queries import ReadModelQueries

NAMES = list(READ_MODELS)


def catch_up(dsn: str, *, page: int = 4000) -> None:
    """Advance until there is nothing more to do."""
    projector = PostgresProjector(dsn, page=page)
    try:
        while projector.advance().more:
            pass
    finally:
        projector.close()


def execute(dsn: str, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), arguments or None)
        return cursor.fetchall() if cursor.description else []


def tables(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all read models, and how far they are."""
    names = [table.name for model in READ_MODELS.values() for table in model.tables]
    with psycopg.connect(dsn) as connection:
        rows = {
            name: sorted(connection.execute(SQL("SELECT t::text FROM {} AS t").format(Identifier(name))).fetchall())
            for name in names
        }
        rows["checkpoints"] = sorted(connection.execute("SELECT name, position FROM checkpoints").fetchall())
        return rows


def row_versions(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all read models and checkpoints, and who wrote them: a row that is written again as it was is another one."""
    names = [table.name for model in READ_MODELS.values() for table in model.tables]
    statement = "SELECT t.xmin::text, t.ctid::text, t::text FROM {} AS t ORDER BY t.ctid"
    with psycopg.connect(dsn) as connection:
        return {
            name: connection.execute(SQL(statement).format(Identifier(name))).fetchall()
            for name in [*names, "checkpoints"]
        }


def queries(dsn: str) -> ReadModelQueries:
    return ReadModelQueries(Database(dsn, size=1))


def add_event_from_the_future(dsn: str, stream: str) -> int:
    """An event that a newer program wrote; returns its position. Its version leaves room for what the test appends."""
    (row,) = execute(
        dsn,
        "INSERT INTO events (stream, version, type, schema, data, meta) "
        "VALUES (%s, 30000, 'OrderTeleported', 1, '{}', '{}') RETURNING position",
        stream,
    )
    return int(row[0])
