"""PGMQ as plain SQL: where it goes, whom it needs, and that every server we promise takes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infrastructure.embedded import EmbeddedPostgres, binaries
from infrastructure.postgres import migrate

OTHER_SERVERS = [
    found for root in binaries.MACHINE_FOLDERS for found in map(binaries.inspect, Path(root).glob("*/bin")) if found
]


@contextmanager
def ordinary_role(dsn: str) -> Iterator[str]:
    """A role that owns the database and nothing else."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        name = f"owner_of_{admin.info.dbname}"
        role, database = sql.Identifier(name), sql.Identifier(admin.info.dbname)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(role))
        admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, role))
        yield make_conninfo(dsn, user=name, password="secret")
        admin.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(role))
        admin.execute(sql.SQL("DROP OWNED BY {}").format(role))
        admin.execute(sql.SQL("DROP ROLE {}").format(role))


def passes_a_message(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT pgmq.create('probe')")
        connection.execute("SELECT pgmq.send('probe', '{\"x\": 1}')")
        return connection.execute("SELECT message FROM pgmq.read('probe', 5, 1)").fetchone() == ({"x": 1},)


def test_queues_work_without_a_superuser(empty_database: str, tmp_path: Path) -> None:
    with ordinary_role(empty_database) as dsn:
        assert migrate.up(dsn, folder=tmp_path) == ["pgmq 1.13.0"]
        assert passes_a_message(dsn)


def test_a_wiped_schema_is_installed_again(empty_database: str, tmp_path: Path) -> None:
    migrate.up(empty_database, folder=tmp_path)
    with psycopg.connect(empty_database) as connection:
        connection.execute("DROP SCHEMA pgmq CASCADE")
    assert [line.state for line in migrate.status(empty_database, folder=tmp_path)] == ["pending"]
    assert migrate.up(empty_database, folder=tmp_path) == ["pgmq 1.13.0"]
    assert passes_a_message(empty_database)


def test_a_schema_that_is_there_already_is_left_alone(empty_database: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("CREATE SCHEMA pgmq")
    assert migrate.up(empty_database, folder=tmp_path) == ["pgmq (found)"]
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regclass('pgmq.meta')").fetchone() == (None,)


@pytest.mark.parametrize("found", OTHER_SERVERS, ids=lambda found: f"PostgreSQL {found.major}")
def test_our_schema_fits_the_other_servers_of_this_machine(tmp_path: Path, found: binaries.Binaries) -> None:
    with EmbeddedPostgres(tmp_path / "server", binaries=found, durable=False) as address:
        migrate.up(address.dsn)
        assert migrate.check(address.dsn) == []
        assert passes_a_message(address.dsn)
