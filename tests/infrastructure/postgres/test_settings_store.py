"""The contract of settings stores, against Postgres; and what only a database can do to them."""

from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import psycopg
import pytest

from domain.errors import StoreUnavailable
from infrastructure.postgres.settings_store import PostgresSettings
from tests.contracts import settings
from tests.contracts.settings import put
from tests.contracts.settings_machine import run_settings_machine

SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'orderwright settings%%' AND datname = current_database()"


@pytest.fixture
def store(module_database: str) -> Iterator[PostgresSettings]:
    with closing(PostgresSettings(module_database)) as store:
        yield store


@pytest.fixture
def other(module_database: str) -> Iterator[PostgresSettings]:
    with closing(PostgresSettings(module_database)) as store:
        yield store


class TestChanging(settings.ChangingContract):
    """Against Postgres."""


class TestHistory(settings.HistoryContract):
    """Against Postgres."""


class TestWaiting(settings.WaitingContract):
    """Against Postgres."""


class TestConcurrency(settings.ConcurrencyContract):
    """Against Postgres."""


def test_random_lives_agree_with_the_model(store: PostgresSettings, other: PostgresSettings) -> None:
    run_settings_machine(store, other, max_examples=15, stateful_step_count=15)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE settings_changes SET who = 'nobody'", "DELETE FROM settings_changes", "TRUNCATE settings_changes"],
)
def test_the_record_of_changes_cannot_be_altered(module_database: str, store: PostgresSettings, statement: str) -> None:
    put(store, {"batch": 5})
    with (
        psycopg.connect(module_database) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
    ):
        connection.execute(statement)


def test_who_lost_his_connection_gets_another(module_database: str, store: PostgresSettings) -> None:
    made = put(store, {"batch": 5})
    with psycopg.connect(module_database) as connection:
        connection.execute(f"SELECT pg_terminate_backend(p.pid, 5000) FROM ({SESSIONS}) p")
    with pytest.raises(StoreUnavailable):
        store.read()
    assert store.read() == made


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with closing(PostgresSettings("host=127.0.0.1 port=1 dbname=none")) as store:
        with pytest.raises(StoreUnavailable):
            store.wait(0, 0.0)
        with pytest.raises(StoreUnavailable):
            store.change(0, {}, who="cli:ada", why="why", request=uuid4().hex)


def test_a_closed_store_opens_no_more_connections(module_database: str) -> None:
    store = PostgresSettings(module_database)
    store.read()
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.read()


def test_behind_a_pooler_changes_are_seen_by_looking(database: str, pooled: str) -> None:
    with closing(PostgresSettings(pooled)) as store, closing(PostgresSettings(database)) as other:
        made = put(other, {"batch": 5})
        assert store.wait(0, 5.0) == made
        assert store.wait(made.version, 0.6) is None
        assert put(store, {"batch": 6}) == other.wait(made.version, 0.0)
