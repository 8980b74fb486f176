"""The test servers themselves: what others build their tests on must hold."""

from collections.abc import Callable

import psycopg
from kombu import Connection

from infrastructure.embedded.waiting import wait_until
from tests.servers.etcd import EtcdCluster
from tests.servers.rabbitmq import RabbitNode


def test_every_test_gets_a_database_with_the_schema_and_without_rows_of_others(
    database: str, module_database: str
) -> None:
    for dsn in (database, module_database):
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE mine (x int)")
            assert connection.execute("SELECT count(*) > 0 FROM orderwright_migrations").fetchone() == (True,)


def test_an_empty_database_has_no_schema(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regclass('orderwright_migrations')").fetchone() == (None,)


def test_the_broker_keeps_a_message_for_its_consumer(rabbitmq: str) -> None:
    with Connection(rabbitmq) as connection, connection.SimpleQueue("servers-kept") as queue:
        queue.put("hello")
        message = queue.get(timeout=10)
        assert message.payload == "hello"
        message.ack()


def test_a_killed_broker_comes_back_with_its_durable_messages(make_rabbitmq: Callable[[], RabbitNode]) -> None:
    node = make_rabbitmq()
    node.start()
    confirming = Connection(node.url, transport_options={"confirm_publish": True})
    with confirming as connection, connection.SimpleQueue("servers-durable") as queue:
        queue.put("survivor")
    node.kill()
    node.start()
    with Connection(node.url) as connection, connection.SimpleQueue("servers-durable") as queue:
        assert queue.get(timeout=10).payload == "survivor"


def test_a_leader_that_is_cut_off_leads_nobody(etcd: EtcdCluster) -> None:
    leader = etcd.leader()
    leader.cut_off()
    assert wait_until(lambda: etcd.leader() is not leader, timeout_s=30.0)
    etcd.recover()
    assert len({(one.status() or {}).get("leader") for one in etcd.members}) == 1
