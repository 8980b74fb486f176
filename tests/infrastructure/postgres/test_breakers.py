"""The contract of the breakers' board, against Postgres."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from domain.breaker import Changed, State
from domain.errors import StoreUnavailable
from domain.work import RunKey, Step, Want
from infrastructure.postgres.breakers import PostgresBreakers
from infrastructure.postgres.database import Database
from infrastructure.postgres.store import PostgresStore
from tests.contracts import breakers


@pytest.fixture
def board(database: str) -> Iterator[PostgresBreakers]:
    pool = Database(database, size=8)
    yield PostgresBreakers(pool)
    pool.close()


class TestBoard(breakers.BoardContract):
    """Against Postgres."""


class TestFleet(breakers.FleetContract):
    """Against Postgres."""


def test_due_runs_of_these_steps_that_nobody_has_are_waiting(board: PostgresBreakers, database: str) -> None:
    store = PostgresStore(database)
    later = store.now() + timedelta(hours=1)
    wants = [Want(RunKey(f"o-{number}", Step.CAPTURE)) for number in range(5)]
    store.want([*wants, Want(RunKey("o-1", Step.VOID), later), Want(RunKey("o-1", Step.NOTIFY))])
    store.claim(["o-0"], [Step.CAPTURE], store.register("w", timedelta(seconds=30)))
    assert board.waiting([Step.CAPTURE, Step.VOID], 100) == 4
    assert board.waiting([Step.CAPTURE, Step.VOID], 2) == 2
    store.close()


@pytest.mark.parametrize("statement", ["UPDATE breaker_transitions SET why = ''", "DELETE FROM breaker_transitions"])
def test_nobody_rewrites_the_record(board: PostgresBreakers, database: str, statement: str) -> None:
    changed = Changed(before=State.CLOSED, after=State.OPEN, why="x")
    board.change(breakers.FULL, [changed], process="w")
    with psycopg.connect(database) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_counts_of_long_ago_are_forgotten(board: PostgresBreakers, database: str) -> None:
    slot = int(board.read()[0].timestamp() // 2)
    board.count({("payment", slot - 5000): 1}, slot_s=2.0)
    board.count({("payment", slot): 1}, slot_s=2.0)
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT slot FROM breaker_calls").fetchall()
    assert rows == [(slot,)]


def test_a_database_that_is_gone_is_said_to_be_unavailable(database: str) -> None:
    pool = Database(database, size=1)
    pool.close()
    with pytest.raises(StoreUnavailable):
        PostgresBreakers(pool).read()
