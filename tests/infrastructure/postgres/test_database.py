"""What a database does to us on its own account is an outage, whatever psycopg calls it: it is waited out, not taken for a defect."""

import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from domain.errors import Misconfigured, Poison, StoreUnavailable
from infrastructure.embedded.waiting import wait_until
from infrastructure.postgres.database import Connection, Database, readable

GONE = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)"


@contextmanager
def connected(dsn: str, **settings: str) -> Iterator[Connection]:
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    with closing(Database(make_conninfo(dsn, options=options))) as database, database.connection() as connection:
        yield connection


def test_a_transaction_that_the_server_ended_while_we_were_frozen_is_an_outage(database: str) -> None:
    with pytest.raises(StoreUnavailable):
        freeze_in_a_transaction(database)


def freeze_in_a_transaction(dsn: str) -> None:
    """Do nothing in the midst of it until the server has lost its patience, then go on."""
    patience = {"idle_in_transaction_session_timeout": "50ms"}
    with connected(dsn, **patience) as connection, connection.transaction():
        pid = connection.info.backend_pid
        connection.execute("SELECT 1")
        assert wait_until(lambda: is_gone(dsn, pid), timeout_s=30)
        connection.execute("SELECT 1")


def is_gone(dsn: str, pid: int) -> bool:
    with psycopg.connect(dsn) as observer:
        return observer.execute(GONE, [pid]).fetchone() == (True,)


def test_a_server_that_takes_no_writes_for_a_while_is_an_outage(database: str) -> None:
    with pytest.raises(StoreUnavailable), connected(database, default_transaction_read_only="on") as connection:
        connection.execute("INSERT INTO commands (id) VALUES ('a')")


def test_what_the_database_refuses_is_not_repeated(database: str) -> None:
    values = "text", '{"name": "Ada"'
    with closing(Database(database)) as store, pytest.raises(Poison) as refused, store.connection() as connection:
        connection.execute("SELECT %s::text, %s::jsonb", values)
    assert "Ada" not in "".join(traceback.format_exception(refused.value))


def test_a_dsn_that_cannot_be_read_is_refused_without_repeating_its_password() -> None:
    with pytest.raises(Misconfigured) as refused:
        readable("mysql://u:secretpw@localhost/x")
    assert "secretpw" not in str(refused.value)
    assert refused.value.__suppress_context__
