"""Databases by the dozen: one server for a test process, one migrated template, a copy for each test.

A copy of a template takes some ten milliseconds, so every test that wants a database gets a fresh one. `ORDERWRIGHT_TEST_DATABASE_URL` names a
server to use instead of the embedded one; its user must be allowed to create databases.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infrastructure.embedded import EmbeddedPostgres
from infrastructure.postgres import migrate

GIVEN_SERVER = "ORDERWRIGHT_TEST_DATABASE_URL"


class PostgresServer:
    """Makes and drops databases on one server."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._template: str | None = None

    def dsn_for(self, database: str) -> str:
        return make_conninfo(self.dsn, dbname=database)

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """Yield the DSN of a database without any schema."""
        yield from self._database(template="template0")

    @contextmanager
    def migrated_database(self) -> Iterator[str]:
        """Yield the DSN of a database with our whole schema."""
        yield from self._database(template=self._migrated_template())

    def drop(self, database: str) -> None:
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), database)

    def drop_template(self) -> None:
        if self._template is not None:
            self.drop(self._template)

    def _database(self, *, template: str) -> Iterator[str]:
        name = self._create(template)
        try:
            yield self.dsn_for(name)
        finally:
            self.drop(name)

    def _migrated_template(self) -> str:
        if self._template is None:
            template = self._create("template0")
            migrate.up(self.dsn_for(template))
            self._execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false"), template)
            self._template = template
        return self._template

    def _create(self, template: str) -> str:
        name = f"test_{uuid.uuid4().hex}"
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}"), name, template)
        return name

    def _execute(self, statement: sql.SQL, *names: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.format(*map(sql.Identifier, names)))


@contextmanager
def given_server() -> Iterator[PostgresServer]:
    """The server that the environment names."""
    server = PostgresServer(os.environ[GIVEN_SERVER])
    yield server
    server.drop_template()


@contextmanager
def postgres_server_in(folder: Path) -> Iterator[PostgresServer]:
    """Use the server that the environment names, else run one in the folder, fast rather than durable."""
    if os.environ.get(GIVEN_SERVER):
        with given_server() as server:
            yield server
        return
    with EmbeddedPostgres(folder, durable=False, listen_tcp=True) as address:
        yield PostgresServer(address.dsn)
