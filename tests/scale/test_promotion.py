"""The primary is lost and its replica takes over: who follows, who is refused, and which numbers may not come twice."""

from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta

import psycopg
import pytest

from domain.errors import StoreUnavailable
from domain.ports import Holder
from infrastructure.messaging.broker import connect as connect_broker
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.postgres import migrate
from infrastructure.postgres.database import Database, connect
from infrastructure.postgres.leases import PostgresLeases
from infrastructure.postgres.settings_store import PostgresSettings
from infrastructure.postgres.store import PostgresStore
from tests.contracts.stores import unit
from tests.servers.postgres_pair import PrimaryAndReplica
from tests.servers.simulator import await_that

TIME = timedelta(seconds=10)


@pytest.fixture
def store(pair: PrimaryAndReplica) -> Iterator[PostgresStore]:
    migrate.up(pair.dsn)
    pair.await_replica()
    store = PostgresStore(pair.dsn)
    yield store
    store.close()


def fail_over(pair: PrimaryAndReplica) -> None:
    pair.kill_primary()
    pair.promote()


def port_of(database: Database) -> int:
    """Where its connections lead."""
    with database.connection() as connection:
        connection.execute("SELECT 1")
        return connection.info.port


def leads_to(database: Database, port: int) -> bool:
    """True as soon as it does; what ended with its server costs an error or two."""
    with suppress(StoreUnavailable):
        return port_of(database) == port
    return False


def answers(store: PostgresStore) -> bool:
    with suppress(StoreUnavailable):
        store.head()
        return True
    return False


def test_everything_that_writes_follows_the_promoted_replica(pair: PrimaryAndReplica, store: PostgresStore) -> None:
    broker = connect_broker(BrokerSettings(url="pgmq://", dsn=pair.dsn))
    database = Database(pair.dsn)
    assert port_of(database) == pair.primary.port
    fail_over(pair)
    await_that(lambda: leads_to(database, pair.primary.port))
    await_that(lambda: answers(store))
    broker.declare(["ow_after"])
    store.append([unit({}, ("after", "x"))])
    assert [one.name for one in migrate.status(pair.dsn) if one.state == "pending"] == []
    database.close()


def test_a_former_primary_that_was_only_frozen_is_not_written_to_by_whoever_knows_better(
    pair: PrimaryAndReplica, store: PostgresStore
) -> None:
    former = pair.primary
    old = Database(pair.dsn)
    leases = PostgresLeases(former.dsn)
    holder = leases.enter("old", TIME)
    assert port_of(old) == former.port
    with former.frozen():
        pair.promote()
        with closing(connect(pair.dsn, application="test")) as connection:
            assert connection.info.port == pair.primary.port
    with psycopg.connect(former.dsn) as alive:
        assert alive.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    await_that(lambda: leads_to(old, pair.primary.port))
    assert leases.renew(holder, TIME) is None
    leases.forget(holder)
    with pytest.raises(StoreUnavailable):
        connect(former.dsn, application="test")
    old.close()


def test_a_connection_that_finds_itself_on_a_read_only_server_is_left(pair: PrimaryAndReplica) -> None:
    with pytest.raises(StoreUnavailable):
        connect(pair.replica_dsn, application="test")
    database = Database(pair.dsn, size=1)
    with suppress(StoreUnavailable), database.connection() as connection:
        connection.execute("SET default_transaction_read_only = on")
        connection.execute("CREATE TABLE refused ()")
    with database.connection() as connection:
        connection.execute("CREATE TABLE taken ()")
    database.close()


def enter(dsn: str) -> tuple[int, int]:
    """A new holder's number and epoch."""
    leases = PostgresLeases(dsn)
    holder = leases.enter("test", TIME)
    leases.forget(holder)
    return holder.id, holder.epoch


def test_no_epoch_and_no_holder_of_the_lost_time_is_given_out_again(
    pair: PrimaryAndReplica, store: PostgresStore
) -> None:
    enter(pair.dsn)
    pair.await_replica()
    pair.cut_replica()
    lost = [enter(pair.dsn) for _ in range(80)]
    fail_over(pair)
    with psycopg.connect(pair.dsn) as connection:
        row = connection.execute("SELECT nextval('epochs')").fetchone()
    assert row is not None
    assert row[0] <= lost[-1][1], "the sequence was never behind, so this proves nothing"
    fresh = [enter(pair.dsn) for _ in range(3)]
    assert min(number for number, _ in fresh) > max(number for number, _ in lost)
    assert min(epoch for _, epoch in fresh) > max(epoch for _, epoch in lost)


def test_a_setting_that_was_lost_is_taken_back_under_a_newer_version(
    pair: PrimaryAndReplica, store: PostgresStore
) -> None:
    with closing(PostgresSettings(pair.dsn)) as settings:
        kept = settings.change(0, {"a": 1}, who="test", why="kept", request="1")
        pair.await_replica()
        pair.cut_replica()
        lost = settings.change(kept.version, {"a": 2}, who="test", why="lost", request="2")
    fail_over(pair)
    enter(pair.dsn)
    with closing(PostgresSettings(pair.dsn)) as settings:
        now = settings.read()
    assert now.version > lost.version
    assert now.values == {"a": 1}


def test_a_reader_does_not_trust_positions_of_the_lost_time(pair: PrimaryAndReplica, store: PostgresStore) -> None:
    store.append([unit({}, ("kept", "x"))])
    pair.await_replica()
    pair.cut_replica()
    store.append([unit({}, (f"lost-{number}", "x")) for number in range(50)])
    before = store.low_water_mark()
    fail_over(pair)
    await_that(lambda: answers(store))
    assert store.low_water_mark() == store.head() < before
    assert [event.stream for event in store.read_all(after=0)] == ["kept"]


def test_a_renewal_of_the_lost_time_is_no_renewal(pair: PrimaryAndReplica, store: PostgresStore) -> None:
    pair.cut_replica()
    holder = store.register("worker", TIME)
    fail_over(pair)
    with suppress(StoreUnavailable):
        assert not store.renew(holder, TIME)
    fresh = store.register("worker", TIME)
    assert fresh.id != holder.id
    assert isinstance(fresh, Holder)
