"""The contract of leases, against Postgres; and what only a database can do to them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial

import psycopg
import pytest

from domain.lease import Grant
from infrastructure.postgres.database import connect
from infrastructure.postgres.leases import PostgresLeases
from tests.contracts import leases
from tests.contracts.leases import TIME, Write, eventually, take
from tests.contracts.stores import Advance

AGE = (
    "UPDATE leases SET expires_at = expires_at - %(time)s, since = since - %(time)s",
    "UPDATE holders SET expires_at = expires_at - %(time)s",
)
BEACONS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'orderwright beacon' AND datname = current_database()"
)


def age(dsn: str, time: timedelta) -> None:
    with psycopg.connect(dsn) as connection:
        for statement in AGE:
            connection.execute(statement, {"time": time})


@pytest.fixture
def table(database: str) -> Iterator[PostgresLeases]:
    table = PostgresLeases(database)
    yield table
    for holder in list(table._beacons.values()):
        table.forget(holder.holder)


@pytest.fixture
def advance(database: str) -> Advance:
    return partial(age, database)


@pytest.fixture
def write(database: str, table: PostgresLeases) -> Write:
    def write(grant: Grant, meanwhile: Callable[[], object] = lambda: None) -> None:
        with closing(connect(database, application="test")) as connection, connection.transaction():
            table.guard(connection, grant)
            meanwhile()

    return write


holder, rival, vanish = leases.holder, leases.rival, leases.vanish


class TestTaking(leases.TakingContract):
    """Against Postgres."""


class TestKeeping(leases.KeepingContract):
    """Against Postgres."""


class TestGuarding(leases.GuardingContract):
    """Against Postgres."""


def test_nobody_takes_a_lease_in_the_midst_of_a_guarded_transaction(
    database: str, table: PostgresLeases, write: Write
) -> None:
    holder, rival = table.enter("first", TIME), table.enter("second", TIME)
    grant = take(table, holder)

    def expire_and_want() -> None:
        age(database, TIME)
        assert table.take("thing", rival, TIME) is None

    write(grant, expire_and_want)
    rival = table.enter("third", TIME)
    assert table.take("thing", rival, TIME) is not None


def test_a_holder_that_is_frozen_in_a_guarded_transaction_is_ended_when_its_lease_is_over(
    database: str, table: PostgresLeases
) -> None:
    short = timedelta(seconds=1)
    holder, rival = table.enter("first", short), table.enter("second", TIME)
    grant = table.take("thing", holder, short)
    assert grant is not None
    with closing(connect(database, application="test")) as frozen:
        frozen.execute("BEGIN")
        table.guard(frozen, grant)
        assert eventually(lambda: table.take("thing", rival, TIME))
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            frozen.execute("COMMIT")


def test_a_beacon_whose_session_the_server_ended_is_seen_to_be_out(database: str, table: PostgresLeases) -> None:
    holder = table.enter("first", TIME)
    grant = take(table, holder)
    with psycopg.connect(database, autocommit=True) as operator:
        operator.execute(f"SELECT pg_terminate_backend(pid) FROM ({BEACONS}) AS b")
    assert eventually(lambda: not table.is_lit(holder))
    rival = table.enter("second", TIME)
    assert eventually(lambda: table.take("thing", rival, TIME))
    assert table.release(grant) is False


def test_of_many_who_want_a_lease_at_once_one_gets_it(table: PostgresLeases) -> None:
    holders = [table.enter(f"holder {number}", TIME) for number in range(8)]
    grants: list[Grant | None] = []
    gate = threading.Barrier(len(holders))

    def want(number: int) -> None:
        gate.wait(10)
        grants.append(table.take("thing", holders[number], TIME))

    threads = [threading.Thread(target=want, args=(number,)) for number in range(len(holders))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(grants) == 8
    assert len([grant for grant in grants if grant]) == 1


def test_a_holder_that_leaves_no_trace_was_deleted(database: str, table: PostgresLeases) -> None:
    holder = table.enter("first", TIME)
    take(table, holder)
    table.leave(holder)
    with psycopg.connect(database) as observer:
        assert observer.execute("SELECT count(*) FROM holders").fetchone() == (0,)
        assert eventually(lambda: observer.execute(BEACONS).fetchall() == [])


def test_a_guarded_transaction_ends_even_if_its_holder_is_frozen_in_the_midst_of_a_statement(
    database: str, table: PostgresLeases
) -> None:
    grant = take(table, table.enter("first", TIME))
    with closing(connect(database, application="test")) as connection, connection.transaction():
        if connection.info.server_version < 170_000:
            pytest.skip("the server has no time-out for transactions")
        table.guard(connection, grant)
        shown = connection.execute(
            "SELECT setting::integer FROM pg_settings WHERE name = 'transaction_timeout'"
        ).fetchone()
        assert shown is not None
        assert TIME.total_seconds() < shown[0] / 1000 <= TIME.total_seconds() + 20
