"""Behind pgbouncer in transaction mode: what needs a session of its own is left out or refused, and nothing is left in a stranger's."""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from domain.errors import Misconfigured
from domain.lease import LeaseLost
from domain.work import Step
from infrastructure.postgres import migrate
from infrastructure.postgres.database import _say_pooled, connect, is_pooled, same_database
from infrastructure.postgres.leases import PostgresLeases
from infrastructure.postgres.projections import PostgresProjector, PostgresRebuild, verify
from infrastructure.postgres.store import PostgresStore
from tests.contracts.stores import claim, outcomes, run_key, settle, unit, want
from tests.infrastructure.postgres.test_leases import age
from tests.infrastructure.projections.histories import company, store_events

ROOT = Path(__file__).parents[3]
TIME = timedelta(seconds=10)
OTHERS = """SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND a.datname = current_database() AND a.state = 'idle'"""


@pytest.fixture
def store(pooled: str) -> Iterator[PostgresStore]:
    store = PostgresStore(pooled)
    yield store
    store.close()


def test_a_pooler_is_noticed_and_said_once(database: str, pooled: str) -> None:
    _say_pooled.cache_clear()
    with capture_logs() as logs:
        for dsn, expected in ((pooled, True), (database, False), (pooled, True)):
            with closing(connect(dsn, application="test")) as connection:
                assert is_pooled(connection) is expected
    assert [log["log_level"] for log in logs] == ["warning"]


def test_settings_are_given_to_sessions_of_our_own_only(database: str, pooled: str) -> None:
    ask = "SELECT current_setting('statement_timeout'), current_setting('timezone')"
    with closing(connect(database, application="test", statement_timeout="7s")) as connection:
        assert connection.execute(ask).fetchone() == ("7s", "UTC")
    with closing(connect(pooled, application="test", statement_timeout="7s")) as connection:
        assert connection.execute(ask).fetchone() == ("0", "UTC")


def test_a_transaction_in_a_session_that_is_lent_has_time_outs_and_takes_them_along(
    store: PostgresStore, pooled: str
) -> None:
    ask = "SELECT current_setting('idle_in_transaction_session_timeout'), current_setting('timezone')"
    with store.transaction() as transaction:
        assert transaction.connection.execute(ask).fetchone() == ("10s", "UTC")
    with closing(connect(pooled, application="stranger")) as stranger:
        assert stranger.execute(ask).fetchone() == ("0", "UTC")


def test_a_holder_has_no_beacon_and_is_an_orphan_only_after_its_time(database: str, store: PostgresStore) -> None:
    holder = store.register("worker", TIME)
    want(store, run_key())
    run = claim(store, run_key(), holder)
    store.forget(holder)
    with psycopg.connect(database) as observer:
        assert observer.execute("SELECT has_beacon FROM holders").fetchall() == [(False,)]
    assert store.orphans() == 0
    age(database, timedelta(seconds=11))
    assert store.orphans() == 1
    assert settle(store, run, "done") == "fenced"


def test_a_store_with_a_way_past_the_pooler_has_its_beacon(database: str, pooled: str) -> None:
    with closing(PostgresStore(pooled, direct=database)) as store:
        store.register("worker", TIME)
        with psycopg.connect(database) as observer:
            assert observer.execute("SELECT has_beacon FROM holders").fetchall() == [(True,)]


def test_the_store_keeps_its_promises(store: PostgresStore) -> None:
    holder = store.register("worker", TIME)
    assert outcomes(store.append([unit({}, ("order-o1", "a"), ("order-o1", "b"))])) == ["appended"]
    assert outcomes(store.append([unit({"order-o1": 1}, ("order-o1", "c"))])) == ["conflict"]
    for number in range(20):  # more than it takes to prepare a statement
        assert outcomes(store.append([unit({}, (f"order-x{number}", "a"))])) == ["appended"]
    assert len(store.read_all(after=0)) == 22
    want(store, run_key())
    run = claim(store, run_key(), holder)
    assert store.renew(holder, TIME)
    assert settle(store, run, "done") == "appended"
    assert list(store.claim_due(10, list(Step), holder)) == []


def test_a_lease_is_kept_guarded_and_taken_over_after_its_time(database: str, pooled: str) -> None:
    table = PostgresLeases(pooled)
    holder, rival = table.enter("first", TIME), table.enter("second", TIME)
    grant = table.take("thing", holder, TIME)
    assert grant is not None
    assert table.renew(holder, TIME) == frozenset({grant.epoch})
    with closing(connect(pooled, application="test")) as connection, connection.transaction():
        table.guard(connection, grant)
    table.forget(holder)
    assert [row.beacon for row in table.rows()] == [None]
    assert table.take("thing", rival, TIME) is None
    age(database, timedelta(seconds=11))
    assert table.take("thing", rival, TIME) is not None
    with closing(connect(pooled, application="test")) as connection, pytest.raises(LeaseLost), connection.transaction():
        table.guard(connection, grant)
    table.leave(rival)


def test_a_projector_works_and_leaves_nothing_in_the_session(database: str, pooled: str) -> None:
    store_events(database, company(8, 200).appended)
    projector = PostgresProjector(pooled, page=50)
    while projector.advance().more:
        pass
    projector.close()
    assert verify(database) == []


def test_what_needs_a_session_of_its_own_is_refused_with_the_way_out(pooled: str) -> None:
    with pytest.raises(Misconfigured, match="direct_url"):
        migrate.up(pooled)
    with pytest.raises(Misconfigured, match="direct_url"):
        verify(pooled)
    with pytest.raises(Misconfigured, match="direct_url"), PostgresRebuild(pooled):
        pytest.fail("began")
    assert migrate.check(pooled) == []


def test_no_session_of_the_pooler_keeps_a_lock_or_a_setting(database: str, pooled: str, store: PostgresStore) -> None:
    store.register("worker", TIME)
    store.append([unit({}, ("order-o1", "a"))])
    with psycopg.connect(database) as observer:
        assert observer.execute(OTHERS).fetchone() == (0,)
    with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as stranger:
        for name in ("idle_session_timeout", "statement_timeout"):
            assert stranger.execute("SELECT current_setting(%s)", [name]).fetchone() == ("0",)


def test_two_ways_to_one_database_are_told_from_ways_to_two(database: str, pooled: str, empty_database: str) -> None:
    assert same_database(database, pooled) is True
    assert same_database(empty_database, pooled) is False


def test_session_locks_are_taken_on_connections_of_their_own_only() -> None:
    """A pool of connections hands a forgotten lock to the next user. So nobody takes one who uses a pool."""
    sources = [path for path in (ROOT / "infrastructure").rglob("*") if path.suffix in {".py", ".sql"}]
    takers = {path.name for path in sources if re.search(r"pg_(try_)?advisory_lock", path.read_text(encoding="utf-8"))}
    assert takers == {
        "work.sql",  # the beacon
        "migration_lock.py",
        "projections.sql",  # a rebuild
        "pgmq_transport.py",  # the reader of an answers' queue
    }
