"""Tables on the side: empty copies of a read model's tables, filled from position 0 by the same code as the live ones.

The copies have the names of the originals and come first on the search path, so nothing that writes needs to know where it writes.
That they do come first is asked in each transaction before anything is written: a path is a setting, and the originals are what
people read.
"""

from typing import Any, LiteralString

from psycopg import Cursor
from psycopg.sql import SQL, Identifier

from domain.errors import Misconfigured
from infrastructure.postgres.database import Connection
from infrastructure.postgres.projections.applying import Stop, apply
from infrastructure.postgres.projections.models import ReadModel
from infrastructure.postgres.projections.pages import Page, Pages, Some
from infrastructure.postgres.queries import load

_SQL = load("projections")

TEMPORARY = "pg_temp"
BUILD = "orderwright_build"


def put_first(connection: Connection, schema: str) -> None:
    """Let names without a schema lead into this one, whatever the path of the login."""
    connection.execute(_SQL["put_first"], {"schema": schema})


class Aside:
    """The copies of one read model's tables, in the schema `BUILD` or, private to the connection, in `TEMPORARY`."""

    def __init__(self, connection: Connection, model: ReadModel, *, schema: str) -> None:
        self._connection = connection
        self.model = model
        self.schema = schema
        self.position = 0
        self.stop: Stop | None = None
        self._live: dict[str, str] = {}

    def create(self) -> None:
        """Make the copies; what a killed rebuild left behind goes first."""
        with self._connection.transaction():
            for table in self.model.tables:
                self._create(table.name)
                table.stage(self._connection)

    def fill(self, pages: Pages, *, up_to: int) -> bool:
        """Apply one page, in a transaction of its own or in the caller's; False: there is nothing more to do."""
        if self.stop or self.position >= up_to:
            return False
        with self._connection.transaction():
            page = pages.read(self._connection, after=self.position, up_to=up_to)
            self._apply(page)
        self.position = self.stop.position - 1 if self.stop else page.last
        return True

    def stretch(self, pages: Pages, *, after: int, up_to: int, only: Some) -> None:
        """Apply what some partitions have beyond the others, inside the caller's transaction."""
        while self.stop is None and after < up_to:
            page = pages.read(self._connection, after=after, up_to=up_to, only=only)
            self._apply(page)
            after = page.last

    def live(self, name: str) -> Identifier:
        """The original of a table, with its schema."""
        return Identifier(self._live[name], name)

    def copy(self, name: str) -> Identifier:
        """The copy of a table, with its schema."""
        return Identifier(self.schema, name)

    def put_live(self) -> None:
        """Let the copies take the place of the originals; inside the caller's transaction."""
        for table in self.model.tables:
            self._run("DROP TABLE {}", self.live(table.name))
            self._run("ALTER TABLE {} SET SCHEMA {}", self.copy(table.name), Identifier(self._live[table.name]))

    def drop(self) -> None:
        """Remove the copies."""
        for table in self.model.tables:
            self._run("DROP TABLE IF EXISTS {}", self.copy(table.name))

    def _apply(self, page: Page) -> None:
        arguments = {"schema": self.schema, "names": [table.name for table in self.model.tables]}
        if elsewhere := self._connection.execute(_SQL["lead_elsewhere"], arguments).fetchall():
            names = ", ".join(name for (name,) in elsewhere)
            raise Misconfigured(f"{names}: the search path leads past the tables on the side; nothing was written")
        self.stop = apply(self._connection, self.model, page.facts)

    def _create(self, name: str) -> None:
        self._run("DROP TABLE IF EXISTS {}", self.copy(name))
        found = self._connection.execute(_SQL["schema_and_options"], {"table": name}).fetchone()
        if found is None:
            raise Misconfigured(f"The table {name} is missing: run `orderwright migrate up`.")
        self._live[name], options = found
        self._run("CREATE TABLE {} (LIKE {} INCLUDING ALL)", self.copy(name), self.live(name))
        if options:
            self._run("ALTER TABLE {} SET ({})", self.copy(name), SQL(options))

    def _run(self, statement: LiteralString, *parts: Identifier | SQL) -> Cursor[tuple[Any, ...]]:
        return self._connection.execute(SQL(statement).format(*parts))
