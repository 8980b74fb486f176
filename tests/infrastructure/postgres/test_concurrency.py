"""Many writers at once, some of them killed: no event is missed, none is read twice, and no two units contradict each other."""

import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Barrier

import psycopg
import pytest
from psycopg import sql

from domain.errors import StoreUnavailable
from domain.ports import RecordedEvent
from domain.work import Step, Want
from infrastructure.embedded import EmbeddedPostgres
from infrastructure.postgres import migrate
from infrastructure.postgres.store import PostgresStore, PostgresTransaction
from tests.contracts.stores import HOUR, claim, outcomes, run_key, state, texts, unit, want, work
from tests.contracts.transactions import in_threads

ROOT = Path(__file__).parents[3]
DEADLINE_S = 120.0


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    with closing(PostgresStore(database, size=4)) as store:
        yield store


class Reader:
    """Follows the global order by the low-water mark, as a projector does."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self.seen: list[RecordedEvent] = []

    def read_on(self) -> None:
        mark = self._store.low_water_mark()
        after = self.seen[-1].position if self.seen else 0
        self.seen += self._store.read_all(after=after, up_to=mark)

    def read_on_through_errors(self, times: int) -> None:
        """Read so many times with success; connections that ended are no success."""
        deadline = time.monotonic() + DEADLINE_S
        while times > 0:
            assert time.monotonic() < deadline, "the database does not come back"
            with suppress(StoreUnavailable):
                self.read_on()
                times -= 1

    def read_until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not done():
            assert time.monotonic() < deadline, f"the reader is stuck after {len(self.seen)} events"
            self.read_on()


class WriterProcess:
    """`tests.infrastructure.postgres.writer` and what it says."""

    def __init__(self, dsn: str, name: str, folder: Path) -> None:
        self._said = folder / name
        with self._said.open("wb") as said:
            command = [sys.executable, "-m", "tests.infrastructure.postgres.writer", dsn, name]
            self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=said)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=DEADLINE_S)

    def finish(self) -> None:
        self.process.communicate(timeout=DEADLINE_S)
        assert self.process.returncode == 0

    def texts(self, fate: str) -> set[str]:
        lines = self._said.read_text().split("\n")[:-1]
        return {line.removeprefix(f"{fate} ") for line in lines if line.startswith(f"{fate} ")}


@contextmanager
def stranger(dsn: str) -> Iterator[psycopg.Connection]:
    """Someone in another database who has written, holds a lock of our number, and does not end."""
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE theirs (n integer)")
        connection.execute("INSERT INTO theirs VALUES (1)")
        connection.execute("SELECT pg_advisory_xact_lock_shared(7301, 1)")
        yield connection
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS


@pytest.mark.slow
@pytest.mark.chaos
def test_a_reader_misses_nothing_while_writers_race_roll_back_and_are_killed(
    database: str, empty_database: str, store: PostgresStore, tmp_path: Path
) -> None:
    reader = Reader(store)
    with stranger(empty_database), ExitStack() as stack:
        writers = [WriterProcess(database, f"w{n}", tmp_path) for n in range(4)]
        for writer in writers:
            stack.callback(writer.process.kill)
        reader.read_until(lambda: len(reader.seen) > 300)
        writers[0].kill()
        reader.read_until(lambda: len(reader.seen) > 800)
        writers[1].kill()
        reader.read_until(lambda: len(reader.seen) > 1500)
        for writer in writers[2:]:
            writer.finish()
        last = _last_position(database)
        reader.read_until(lambda: reader.seen[-1].position >= last)

    assert [event.position for event in reader.seen] == _positions(database)
    _assert_streams_in_order(reader.seen)
    read = set(texts(reader.seen))
    for writer in writers:
        assert writer.texts("appended") <= read
        assert not writer.texts("undone") & read


def _positions(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as connection:
        return [row[0] for row in connection.execute("SELECT position FROM events ORDER BY position")]


def _last_position(dsn: str) -> int:
    """Return the last position, once the servers of killed clients have ended as well."""
    others = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7301 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    with psycopg.connect(dsn, autocommit=True) as connection:
        _wait(lambda: connection.execute(others).fetchone() == (0,))
    return _positions(dsn)[-1]


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"


def _assert_streams_in_order(events: list[RecordedEvent]) -> None:
    versions: defaultdict[str, list[int]] = defaultdict(list)
    for event in events:
        versions[event.stream].append(event.version)
    for found in versions.values():
        assert found == list(range(1, len(found) + 1))


# --- the low-water mark, step by step ---


def test_an_open_append_holds_the_mark_back_and_its_rollback_does_not(database: str, store: PostgresStore) -> None:
    reader = Reader(store)
    with closing(PostgresStore(database)) as other, pytest.raises(ZeroDivisionError):
        _append_read_and_fail(other, store, reader)
    reader.read_until(lambda: len(reader.seen) == 1)
    assert texts(reader.seen) == ["after"]


def _append_read_and_fail(other: PostgresStore, store: PostgresStore, reader: Reader) -> None:
    with other.transaction() as transaction:
        transaction.append([unit({}, ("order-o1", "undone"))])
        store.append([unit({}, ("order-o2", "after"), lock="o2")])
        for _ in range(5):
            reader.read_on()
        assert reader.seen == []
        raise ZeroDivisionError


def test_an_append_that_commits_late_is_read_before_what_follows_it(database: str, store: PostgresStore) -> None:
    reader = Reader(store)
    with closing(PostgresStore(database)) as other, other.transaction() as transaction:
        transaction.append([unit({}, ("order-o1", "late"))])
        store.append([unit({}, ("order-o2", "after"), lock="o2")])
        reader.read_on()
        reader.read_on()
        assert reader.seen == []
    reader.read_until(lambda: len(reader.seen) == 2)
    assert texts(reader.seen) == ["late", "after"]


@contextmanager
def prepared_append(dsn: str, reader: Reader) -> Iterator[None]:
    """An append whose transaction is prepared, by a client that is gone, in front of a reader who watched."""
    with closing(PostgresStore(dsn)) as store, psycopg.connect(dsn, autocommit=True) as connection:
        if connection.execute("SHOW max_prepared_transactions").fetchone() == ("0",):
            pytest.skip("this server takes no prepared transactions")
        connection.execute("BEGIN")
        PostgresTransaction(store, connection).append([unit({}, ("order-o1", "in doubt"))])
        store.append([unit({}, ("order-o2", "after"), lock="o2")])
        reader.read_on()
        connection.execute(sql.SQL("PREPARE TRANSACTION {}").format(f"in doubt in {connection.info.dbname}"))
    try:
        yield
    finally:
        _end_prepared(dsn, "ROLLBACK PREPARED {}")


def _end_prepared(dsn: str, how: str) -> None:
    """Commit or roll back what is still in doubt."""
    statement = sql.SQL(how)
    with psycopg.connect(dsn, autocommit=True) as connection:
        in_doubt = connection.execute("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
        for (name,) in in_doubt.fetchall():
            connection.execute(statement.format(name))


ENDS = [("COMMIT PREPARED {}", ["in doubt", "after"]), ("ROLLBACK PREPARED {}", ["after"])]


@pytest.mark.parametrize(("how", "read"), ENDS, ids=["committed", "rolled back"])
def test_a_prepared_append_holds_the_mark_back_until_it_is_decided(
    database: str, store: PostgresStore, how: str, read: list[str]
) -> None:
    reader = Reader(store)
    with prepared_append(database, reader):
        for _ in range(5):
            reader.read_on()
        assert reader.seen == []
        _end_prepared(database, how)
    reader.read_until(lambda: len(reader.seen) == len(read))
    assert texts(reader.seen) == read


@pytest.mark.slow
@pytest.mark.parametrize(("how", "read"), ENDS, ids=["committed", "rolled back"])
def test_a_prepared_append_holds_the_mark_back_across_a_restart(
    make_postgres: Callable[[], EmbeddedPostgres], how: str, read: list[str]
) -> None:
    server = make_postgres()
    dsn = server.start().dsn
    migrate.up(dsn)
    with closing(PostgresStore(dsn)) as store:
        reader = Reader(store)
        with prepared_append(dsn, reader):
            server.stop()
            assert server.start().dsn == dsn
            reader.read_on_through_errors(5)
            assert reader.seen == []
            _end_prepared(dsn, how)
        reader.read_until(lambda: len(reader.seen) == len(read))
        assert texts(reader.seen) == read


# --- units against each other ---


def test_two_units_that_read_what_the_other_writes_are_never_both_appended(store: PostgresStore) -> None:
    rounds, both = 60, Barrier(2, timeout=DEADLINE_S)
    told: list[list[str]] = [[], []]

    def write(number: int) -> None:
        for n in range(rounds):
            mine, theirs = (f"{kind}-{n}+x" for kind in ("ab" if number else "ba"))
            looked_at = {f"stock-{mine}": 0, f"stock-{theirs}": 0}
            both.wait()
            told[number] += outcomes(store.append([unit(looked_at, (f"stock-{mine}", "x"), lock=f"{number}")]))

    in_threads(2, write)
    assert ("appended", "appended") not in list(zip(*told, strict=True))
    assert {"appended", "conflict"} == set(told[0]) | set(told[1])


def test_units_that_name_other_locks_but_write_one_stream_conflict(store: PostgresStore) -> None:
    rounds, both = 30, Barrier(2, timeout=DEADLINE_S)
    told: list[list[str]] = [[], []]

    def write(number: int) -> None:
        for n in range(rounds):
            both.wait()
            told[number] += outcomes(store.append([unit({}, (f"order-{n}", "x"), lock=f"{number}")]))

    in_threads(2, write)
    assert {tuple(sorted(pair)) for pair in zip(*told, strict=True)} == {("appended", "conflict")}


def test_many_streams_in_any_order_never_deadlock(store: PostgresStore) -> None:
    streams = [f"stock-w+{n}" for n in range(8)]

    def write(number: int) -> None:
        order = random.Random(number)
        for _ in range(15):
            some = order.sample(streams, 5)
            seen = {event.stream: event.version for event in store.read(dict.fromkeys(some, 0))}
            units = [unit({stream: seen.get(stream, 0)}, (stream, "x"), lock=stream) for stream in some]
            with store.transaction() as transaction:  # unlike append, it is not tried again
                transaction.append(units)

    in_threads(4, write)


def test_new_stock_for_the_same_orders_in_any_order_never_deadlocks(store: PostgresStore) -> None:
    orders = [f"o{n}" for n in range(30)]
    plans = [run_key(order_id, Step.ALLOCATE) for order_id in orders]

    def hasten(number: int) -> None:
        order = random.Random(number)
        for _ in range(10):
            waiting = [Want(key, store.now() + HOUR) for key in plans]
            with store.transaction() as transaction:
                transaction.append([work(dropped=plans, wanted=waiting, lock="plans")])
            with store.transaction() as transaction:
                transaction.append([work(due_now=order.sample(orders, 30), lock=f"stock-w+{number}")])

    in_threads(4, hasten)


def test_the_runs_of_a_holder_whose_connection_ended_are_orphans_at_once(database: str, store: PostgresStore) -> None:
    want(store, run_key())
    with closing(PostgresStore(database)) as gone:
        holder = gone.register("worker", HOUR)
        claim(gone, run_key(), holder)
        assert store.orphans() == 0
    _wait(lambda: store.orphans() == 1)
    assert state(store, run_key()) == "ready"
