"""The messaging contract on queues in Postgres, and what can befall them there."""

import gc
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from domain.errors import BrokerUnavailable, Misconfigured
from domain.messaging import TEMPORARY_REPLIES, Outbound
from infrastructure.embedded import EmbeddedPostgres
from infrastructure.embedded.waiting import wait_until
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.hardening import anything
from infrastructure.messaging.session import Handlers, Session
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.messaging.waker import Waker
from infrastructure.postgres import pgmq_install
from tests.contracts.broker import BrokerContract
from tests.contracts.inbox import PATIENCE_S, Inbox, receiving
from tests.contracts.killers import KillersContract
from tests.faults import signals

SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'orderwright-messaging' AND datname = current_database()"
)

malformed_rows = {
    "empty object": "{}",
    "no object": "[1, 2]",
    "a string": '"hello"',
    "null": "null",
    "no properties": '{"body": "e30=", "content-type": "application/json"}',
    "properties of a wrong type": '{"body": "e30=", "properties": []}',
    "no delivery tag": '{"body": "e30=", "properties": {"body_encoding": "base64"}}',
    "broken base64": '{"body": "%%%", "properties": {"body_encoding": "base64", "delivery_tag": "x"}}',
    "unknown body encoding": '{"body": "e30=", "properties": {"body_encoding": "rot13", "delivery_tag": "x"}}',
    "no body": '{"properties": {"body_encoding": "base64", "delivery_tag": "x"}}',
    "headers of a wrong type": '{"body": "e30=", "headers": 7, "properties": {"body_encoding": "base64"}}',
    "a huge integer": '{"body": %s, "properties": {}}' % ("1" * 5_000),
    "deep nesting": "[" * 5_000 + "]" * 5_000,
    "a very long row": '{"body": "%s"}' % ("x" * 3_000_000),
    "labels of wrong types": '{"body": "e30=", "content-type": 5, "content-encoding": [], "properties": {"body_encoding": "base64", '
    '"message_id": {}, "delivery_info": 3}}',
}


def run(dsn: str, statement: LiteralString | sql.Composed, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def frozen(dsn: str) -> Iterator[None]:
    """Stop the server processes behind our messaging connections: the kernel still answers for them."""
    pids = [int(str(pid)) for (pid,) in run(dsn, SESSIONS)]
    assert pids
    with signals.frozen(pids):
        yield


class TestKillers(KillersContract):
    @pytest.fixture
    def broker(self, database: str) -> Broker:
        return connect(BrokerSettings(url="pgmq://", dsn=database, visibility_timeout_s=60))

    @pytest.fixture
    def hasten(self, database: str) -> Callable[[str], None]:
        def make_visible(queue: str) -> None:
            run(database, sql.SQL("UPDATE {} SET vt = now()").format(sql.Identifier("pgmq", f"q_{queue}")))

        return make_visible


class TestPgmqBroker(BrokerContract):
    @pytest.fixture
    def broker(self, database: str) -> Broker:
        return connect(BrokerSettings(url="pgmq://", dsn=database, visibility_timeout_s=2, io_timeout_s=1.0))

    def delete_queue(self, broker: Broker, queue: str) -> None:
        run(broker.settings.postgres_dsn, "SELECT pgmq.drop_queue(%s)", queue)

    @pytest.mark.parametrize("name", malformed_rows)
    def test_any_row_is_handed_over_and_removed(self, broker: Broker, database: str, queue: str, name: str) -> None:
        inbox = Inbox()
        with receiving(broker, queue, inbox), broker.publisher() as publisher:
            broker.declare([queue])
            run(database, "SELECT pgmq.send(%s, %s::jsonb)", queue, malformed_rows[name])
            publisher.publish([Outbound(queue=queue, body=b"{}")])
            assert inbox.has(1)
            assert inbox.has_refused(1)
            assert wait_until(lambda: publisher.depth(queue) == 0, timeout_s=PATIENCE_S)
        assert inbox.refused[0][0].body

    def test_a_consumer_whose_server_process_is_killed_comes_back(
        self, broker: Broker, database: str, queue: str
    ) -> None:
        kept, inbox = Inbox(settling=False), Inbox()
        with broker.publisher() as publisher:
            with receiving(broker, queue, kept):
                publisher.publish([Outbound(queue=queue, body=b"1")])
                assert kept.has(1)
                run(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN (" + SESSIONS + ")")
                assert kept.has(2), "it comes again after the visibility timeout"
            with receiving(broker, queue, inbox):
                publisher.publish([Outbound(queue=queue, body=b"2")])
                assert inbox.has(2)

    def test_a_consumer_with_work_in_hand_stops_while_its_server_is_frozen(
        self, broker: Broker, database: str, queue: str
    ) -> None:
        inbox = Inbox(settling=False)
        consumer = broker.consumer([queue], on_unreadable=inbox.refuse)
        consumer.start(inbox.take)
        with broker.publisher() as publisher:
            publisher.publish([Outbound(queue=queue, body=b"1")])
            assert inbox.has(1)
        with frozen(database):
            assert consumer.stop(PATIENCE_S)

    def test_publishing_to_a_frozen_server_ends_in_time_and_works_afterwards(
        self, broker: Broker, database: str, queue: str
    ) -> None:
        with broker.publisher() as publisher:
            publisher.publish([Outbound(queue=queue, body=b"1")])
            with frozen(database), pytest.raises(BrokerUnavailable):
                publisher.publish([Outbound(queue=queue, body=b"2")])
            publisher.publish([Outbound(queue=queue, body=b"3")])

    def test_a_restart_of_the_server_is_survived_by_consumer_and_publisher(
        self, make_postgres: Callable[[], EmbeddedPostgres], queue: str
    ) -> None:
        server, inbox = make_postgres(), Inbox()
        broker = _broker_on(server)
        with broker.publisher() as publisher, receiving(broker, queue, inbox) as consumer:
            publisher.publish([Outbound(queue=queue, body=b"1")])
            assert inbox.has(1)
            server.stop()
            with pytest.raises(BrokerUnavailable):
                publisher.publish([Outbound(queue=queue, body=b"lost")])
            assert wait_until(lambda: not consumer.connected, timeout_s=PATIENCE_S)
            server.start()
            publisher.publish([Outbound(queue=queue, body=b"2")])
            assert inbox.has(2)
        assert inbox.bodies() == [b"1", b"2"]

    def test_a_consumer_stops_while_the_server_is_down(
        self, make_postgres: Callable[[], EmbeddedPostgres], queue: str
    ) -> None:
        server, inbox = make_postgres(), Inbox()
        broker = _broker_on(server)
        with receiving(broker, queue, inbox) as consumer:
            assert wait_until(lambda: consumer.connected, timeout_s=PATIENCE_S)
            server.stop()
            assert wait_until(lambda: not consumer.connected, timeout_s=PATIENCE_S)
            assert consumer.stop(PATIENCE_S)

    def test_a_producer_that_knows_only_pgmq_wakes_us_by_its_trigger(
        self, broker: Broker, database: str, queue: str
    ) -> None:
        inbox = Inbox()
        broker.declare([queue])
        run(database, "SELECT pgmq.enable_notify_insert(%s, 0)", queue)
        with receiving(broker, queue, inbox):
            row = '{"body": "{}", "content-type": "application/json", "properties": {}}'
            run(database, "SELECT pgmq.send(%s, %s::jsonb)", queue, row)
            assert inbox.has(1)

    def test_a_notification_that_comes_with_the_answer_about_another_queue_is_heard(
        self, broker: Broker, queue: str
    ) -> None:
        one, other = f"{queue}_1", f"{queue}_2"
        got: list[str] = []
        wire = connect(replace(broker.settings, poll_interval_s=3_600.0))._wire(consuming=True)
        wire.open()
        wire.consume([one, other], prefetch=5, on_message=lambda name, _message: got.append(name))
        assert not wire.drain()
        with broker.publisher() as publisher:
            publisher.publish([Outbound(queue=one, body=b"{}")])
        assert select.select([wire.transport.link], [], [], PATIENCE_S)[0]
        wire.transport.ripe.add(other)
        assert wire.drain()
        assert got == [one]
        wire.close()

    def test_only_an_old_temporary_queue_without_a_reader_is_tidied_away(
        self, broker: Broker, database: str, queue: str
    ) -> None:
        read, left, young, other = (
            *(f"{TEMPORARY_REPLIES}{name}" for name in ("read", "left", "young")),
            "ow_reply_of_a_stranger",
        )
        inbox = Inbox()
        with broker.publisher() as publisher, receiving(broker, read, inbox):
            publisher.declare([left, young, other])
            publisher.publish([Outbound(queue=name, body=b"{}") for name in (read, left, young, other)])
            assert inbox.has(1)
            run(
                database,
                "UPDATE pgmq.meta SET created_at = created_at - interval '11 minutes' WHERE queue_name <> %s",
                young,
            )
            assert publisher.tidy() == 1
            assert [publisher.depth(name) for name in (read, left, young, other)] == [0, None, 1, 1]
        with broker.publisher() as publisher:
            assert wait_until(lambda: publisher.tidy() == 1, timeout_s=PATIENCE_S), "the reader is gone"

    def test_without_pgmq_the_error_says_what_to_do(self, empty_database: str, queue: str) -> None:
        broker = connect(BrokerSettings(url="pgmq://", dsn=empty_database))
        with pytest.raises(BrokerUnavailable, match="orderwright migrate"):
            broker.declare([queue])

    def test_a_password_with_spaces_and_quotes_works(self, broker: Broker, database: str, queue: str) -> None:
        role, password = f"r{queue}", "it's a 'long\\ one@/"
        run(database, sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}").format(sql.Identifier(role), password))
        dsn = make_conninfo(database, user=role, password=password)
        try:
            with connect(BrokerSettings(url="pgmq://", dsn=dsn)).publisher() as publisher:
                publisher.publish([Outbound(queue=queue, body=b"1")])
                assert publisher.depth(queue) == 1
        finally:
            run(database, "SELECT pgmq.drop_queue(%s)", queue)
            run(database, sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))

    def test_the_url_itself_may_name_the_database(self, database: str, queue: str) -> None:
        given = conninfo_to_dict(database)
        rest = "&".join(f"{name}={given[name]}" for name in ("host", "port", "user", "password"))
        with connect(BrokerSettings(url=f"pgmq:///{given['dbname']}?{rest}")).publisher() as publisher:
            publisher.publish([Outbound(queue=queue, body=b"1")])
            assert publisher.depth(queue) == 1

    @pytest.mark.slow
    def test_many_reconnections_leave_neither_memory_nor_files_behind(self, broker: Broker, queue: str) -> None:
        sizes: list[tuple[int, int]] = []
        for _ in range(3):
            for _ in range(60):
                wire = broker._wire(consuming=True)
                session = Session(
                    wire, waker := Waker(), Handlers(on_message=_drop, on_unreadable=_drop, check=anything)
                )
                session.open([queue], prefetch=5)
                session.collect()
                waker.close()
            gc.collect()
            sizes.append((len(gc.get_objects()), len(list(Path("/proc/self/fd").iterdir()))))
        assert sizes[2][0] - sizes[1][0] < 1_000, sizes
        assert sizes[2][1] - sizes[1][1] < 30, sizes  # one for every second reconnection; other threads open files, too

    def test_one_connection_a_publisher_and_one_a_consumer(self, broker: Broker, database: str, queue: str) -> None:
        inbox, began = Inbox(), monotonic()
        with broker.publisher() as publisher, receiving(broker, queue, inbox):
            publisher.publish([Outbound(queue=queue, body=b"1")])
            assert inbox.has(1)
            assert len(run(database, SESSIONS)) == 2
        assert wait_until(lambda: not run(database, SESSIONS), timeout_s=PATIENCE_S), monotonic() - began


def _drop(*_: object) -> None:
    """Nothing is sent in that test."""


def _broker_on(server: EmbeddedPostgres) -> Broker:
    dsn = server.start().dsn
    with psycopg.connect(dsn) as connection:
        pgmq_install.install(connection)
    return connect(BrokerSettings(url="pgmq://", dsn=dsn, io_timeout_s=2.0))


@pytest.mark.parametrize("settings", [BrokerSettings(url="pgmq://"), BrokerSettings(url="pgmq://", dsn="host='")])
def test_a_missing_or_broken_dsn_is_told_at_once(settings: BrokerSettings) -> None:
    with pytest.raises(Misconfigured, match="DSN"):
        connect(settings)


@pytest.mark.parametrize("url", ["redis://x", "sqla+postgresql://x", "filesystem://", "localhost", ""])
def test_a_transport_that_loses_messages_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="scheme"):
        connect(BrokerSettings(url=url))
