"""Saving many rows at once: binary COPY, straight into the table or over a temporary one with an upsert.

Measured, with 27 columns: 2 µs of client time a row, a third of what arrays and `unnest` cost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from psycopg import sql
from psycopg.sql import SQL, Identifier

from infrastructure.postgres.database import Connection


@dataclass(frozen=True)
class Table:
    """A table as we write it: the columns with their types, the first `keys` of which are the primary key."""

    name: str
    columns: Mapping[str, str]
    keys: int = 1

    def insert(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows that are not there yet."""
        self._copy(connection, self.name, rows)

    def upsert(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows or replace those with the same key."""
        for statement in self._prepare:
            connection.execute(statement)
        self._copy(connection, self._staged, rows)
        connection.execute(self._merge)

    def _copy(self, connection: Connection, name: str, rows: Iterable[Sequence[Any]]) -> None:
        names = SQL(", ").join(map(Identifier, self.columns))
        statement = SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(Identifier(name), names)
        with connection.cursor().copy(statement) as copy:
            copy.set_types(list(self.columns.values()))
            for row in rows:
                copy.write_row(row)

    @property
    def _staged(self) -> str:
        return f"staged_{self.name}"

    @cached_property
    def _prepare(self) -> tuple[sql.Composed, ...]:
        """The temporary table, empty: a savepoint that was rolled back to, or an earlier batch of this transaction, may have used it."""
        create = SQL("CREATE TEMPORARY TABLE IF NOT EXISTS {} ON COMMIT DELETE ROWS AS SELECT {} FROM {} WITH NO DATA")
        names = SQL(", ").join(map(Identifier, self.columns))
        return (
            create.format(Identifier(self._staged), names, Identifier(self.name)),
            SQL("DELETE FROM {}").format(Identifier(self._staged)),
        )

    @cached_property
    def _merge(self) -> sql.Composed:
        names = list(map(Identifier, self.columns))
        merge = SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT ({}) DO UPDATE SET ({}) = ROW ({})")
        return merge.format(
            Identifier(self.name),
            SQL(", ").join(names),
            SQL(", ").join(names),
            Identifier(self._staged),
            SQL(", ").join(names[: self.keys]),
            SQL(", ").join(names[self.keys :]),
            SQL(", ").join(SQL("excluded.") + name for name in names[self.keys :]),
        )
