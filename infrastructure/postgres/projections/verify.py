"""Is a read model what its events say? A fresh fold at its checkpoint, compared row by row.

The fold goes into temporary tables, page by page, while the projector runs on; the last stretch and the comparison happen in one
snapshot, so both sides stand at the same position and nobody is held up. Where partitions stand at different positions, the fold goes
as far as the last of them, and from there for each as far as it is.

Nothing else can be written: the transactions are read-only, in which Postgres takes writes to temporary tables and no others.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.sql import SQL

from infrastructure.postgres.database import Connection, translated
from infrastructure.postgres.projections.aside import TEMPORARY, Aside, put_first
from infrastructure.postgres.projections.models import read_models
from infrastructure.postgres.projections.pages import Pages, Some
from infrastructure.postgres.projections.session import connect_alone, garbage_collector_paused
from infrastructure.postgres.queries import load

_SQL = load("projections")
_COMPARE = """
    (SELECT 'stored', to_jsonb(a.*) FROM (TABLE {live} EXCEPT ALL TABLE {fold}) AS a LIMIT {limit})
    UNION ALL
    (SELECT 'folded', to_jsonb(a.*) FROM (TABLE {fold} EXCEPT ALL TABLE {live}) AS a LIMIT {limit})"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A row that only one side has: `stored` without reason, or `folded` from the events and not stored like that."""

    projection: str
    table: str
    side: Literal["stored", "folded", "unreadable"]
    row: dict[str, Any]


def verify(
    dsn: str,
    names: Iterable[str] | None = None,
    *,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
    limit: int = 100,
    page: int = 10_000,
) -> list[Difference]:
    """At most `limit` differences a table and side; none is what should be."""
    found: list[Difference] = []
    with connect_alone(dsn, application="orderwright verify") as connection, translated():
        put_first(connection, TEMPORARY)
        for model in read_models(names):
            fold = Aside(connection, model, schema=TEMPORARY)
            fold.create()
            connection.read_only = True
            with garbage_collector_paused():
                found += _verify(connection, fold, Pages(size=page, categories=model.categories), on_progress, limit)
            connection.read_only = None
            fold.drop()
    return found


def _verify(
    connection: Connection, fold: Aside, pages: Pages, on_progress: Callable[[int, int], object], limit: int
) -> list[Difference]:
    target = min(_positions(connection, fold).values())
    while fold.fill(pages, up_to=target):
        on_progress(fold.position, target)
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        positions = _positions(connection, fold)
        target = min(positions.values())
        while fold.fill(pages, up_to=target):
            on_progress(fold.position, target)
        for only, position in positions.items():
            fold.stretch(pages, after=target, up_to=position, only=only)
        return _compare(connection, fold, limit)


def _positions(connection: Connection, fold: Aside) -> dict[Some, int]:
    rows = connection.execute(_SQL["positions"], {"name": fold.model.name}).fetchall()
    found = {Some(partitions=partitions, mine=(number,)): position for position, partitions, number in rows}
    return found or {Some(partitions=1, mine=(0,)): 0}


def _compare(connection: Connection, fold: Aside, limit: int) -> list[Difference]:
    name = fold.model.name
    found = []
    if fold.stop is not None:
        reason = {"position": fold.stop.position, "reason": fold.stop.reason}
        return [Difference(projection=name, table="events", side="unreadable", row=reason)]
    for table in fold.model.tables:
        statement = SQL(_COMPARE).format(live=fold.live(table.name), fold=fold.copy(table.name), limit=limit)
        rows = connection.execute(statement)
        found += [Difference(projection=name, table=table.name, side=side, row=row) for side, row in rows]
    return found
