"""The messaging contract on RabbitMQ's quorum queues, and what can befall a broker on a network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from struct import pack

import pytest
from kombu import Connection

from domain.errors import BrokerUnavailable
from domain.messaging import Inbound, Outbound
from infrastructure.embedded.waiting import wait_until
from infrastructure.messaging.amqp_wire import AmqpWire
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.hardening import anything
from infrastructure.messaging.publisher import KombuPublisher
from infrastructure.messaging.settings import BrokerSettings
from tests.contracts.broker import BrokerContract
from tests.contracts.inbox import PATIENCE_S, Inbox, receiving, send_raw
from tests.contracts.killers import KillersContract
from tests.servers.choice import Node

FULL = {"x-max-length": 0, "x-overflow": "reject-publish"}


def settings_for(url: str) -> BrokerSettings:
    return BrokerSettings(url=url, confirm_timeout_s=2.0, io_timeout_s=2.0, connect_timeout_s=2.0, heartbeat_s=2)


@contextmanager
def frozen(node: Node) -> Iterator[None]:
    """Stop the node's process: the kernel still answers for it."""
    node.freeze()
    try:
        yield
    finally:
        node.thaw()


class StuckWire(AmqpWire):
    """Its first channel is refused for ever, as by a queue whose leader died at the wrong moment: it leads to a queue that is full."""

    def put(self, message: Outbound) -> None:
        if self.channel.channel_id == 1:
            full = self.channel.queue_declare("", exclusive=True, arguments=FULL).queue
            message = replace(message, queue=full)
        super().put(message)


class TestKillers(KillersContract):
    @pytest.fixture
    def broker(self, rabbitmq: str) -> Broker:
        return connect(replace(settings_for(rabbitmq), confirm_timeout_s=10.0, io_timeout_s=10.0, heartbeat_s=10))

    @pytest.fixture
    def hasten(self) -> Callable[[str], None]:
        return lambda _queue: None  # RabbitMQ gives them out again when the connection ends


class TestRabbitMQBroker(BrokerContract):
    @pytest.fixture
    def broker(self, rabbitmq: str) -> Broker:
        return connect(replace(settings_for(rabbitmq), confirm_timeout_s=10.0, io_timeout_s=10.0, heartbeat_s=10))

    def delete_queue(self, broker: Broker, queue: str) -> None:
        with Connection(broker.settings.url) as connection:
            connection.channel().queue_delete(queue)

    def test_a_32_megabyte_body_is_refused(self, broker: Broker, queue: str) -> None:
        inbox = Inbox()
        with receiving(broker, queue, inbox):
            send_raw(
                broker, queue, b" " * 32_000_000, {"content_type": "application/json", "content_encoding": "utf-8"}
            )
            assert inbox.has_refused(1)
        assert inbox.refused[0][1] == "32000000 bytes, more than 262144"

    def test_headers_that_the_client_cannot_read_cost_one_message_only(self, broker: Broker, queue: str) -> None:
        inbox = Inbox()
        with receiving(broker, queue, inbox) as consumer:
            _send_with_deep_headers(broker, queue, depth=2_000)
            send_raw(broker, queue, b"{}", {"content_type": "application/json", "content_encoding": "utf-8"})
            assert inbox.has_refused(1)
            assert inbox.has(1)
            assert consumer.connected
        assert inbox.refused[0][0].body == b"deep"

    def test_a_full_queue_refuses_and_the_publisher_hears_of_it(self, broker: Broker, queue: str) -> None:
        small = connect(replace(broker.settings, max_length=5))
        with small.publisher() as publisher:
            heard = []

            def is_full() -> bool:
                """A quorum queue tells that it is full a little late, and takes what comes until then."""
                try:
                    publisher.publish([Outbound(queue=queue, body=b"{}")] * 5)
                except BrokerUnavailable as error:
                    heard.append(error.reason)
                return bool(heard)

            assert wait_until(is_full, timeout_s=PATIENCE_S)
            assert "refused" in heard[0]
            self.delete_queue(broker, queue)
            publisher.publish([Outbound(queue=queue, body=b"{}")])

    def test_a_channel_that_is_refused_once_is_used_no_more(self, broker: Broker, queue: str) -> None:
        with KombuPublisher(lambda: StuckWire(broker.settings, consuming=False)) as publisher:
            publisher.publish([Outbound(queue=queue, body=b"1"), Outbound(queue=queue, body=b"2")])
            assert wait_until(lambda: publisher.depth(queue) == 2, timeout_s=PATIENCE_S)

    def test_a_queue_that_an_operator_declared_differently_is_used_as_it_is(self, broker: Broker, queue: str) -> None:
        inbox = Inbox()
        with Connection(broker.settings.url) as connection:
            connection.channel().queue_declare(queue, durable=True, auto_delete=False)
        with broker.publisher() as publisher, receiving(broker, queue, inbox):
            publisher.publish([Outbound(queue=queue, body=b"1")])
            assert inbox.has(1)

    def test_answers_that_nobody_reads_vanish_with_their_queue(self, broker: Broker, queue: str) -> None:
        """The broker looks for it every few seconds only; to ask for the depth does not count as use."""
        brief = connect(replace(broker.settings, replies_expire_s=0.2))
        read, left, inbox = f"ow_reply_{queue}_1", f"ow_reply_{queue}_2", Inbox()
        with brief.publisher() as publisher, receiving(brief, read, inbox):
            publisher.declare([left])
            publisher.publish([Outbound(queue=read, body=b"{}"), Outbound(queue=left, body=b"{}")])
            assert wait_until(lambda: publisher.depth(left) is None, timeout_s=PATIENCE_S)
            publisher.publish([Outbound(queue=read, body=b"{}")])
            assert inbox.has(2)

    def test_who_does_not_read_their_answers_loses_the_oldest_and_holds_up_nobody(
        self, broker: Broker, queue: str
    ) -> None:
        small, answers, inbox = connect(replace(broker.settings, max_length=5)), f"ow_reply_{queue}", Inbox()
        with small.publisher() as publisher:
            publisher.declare([answers])
            publisher.publish([Outbound(queue=answers, body=b"%d" % number) for number in range(20)])
            with receiving(small, answers, inbox):
                assert inbox.has(5)
        assert inbox.bodies()[-1] == b"19"

    def test_a_queue_that_is_exclusive_to_a_stranger_takes_messages(self, broker: Broker, queue: str) -> None:
        with Connection(broker.settings.url) as stranger, broker.publisher() as publisher:
            channel = stranger.channel()
            channel.queue_declare(queue, exclusive=True)
            assert publisher.depth(queue) == 0
            publisher.publish([Outbound(queue=queue, body=b"1")])
            assert channel.basic_get(queue, no_ack=True).body == "1"

    def test_a_message_that_is_released_too_often_ends_in_the_dead_letter_queue(
        self, broker: Broker, queue: str
    ) -> None:
        weary = connect(replace(broker.settings, delivery_limit=2, dead_queue=f"{queue}_dead"))
        weary.declare([queue])
        inbox = Inbox()
        consumer = weary.consumer([queue], on_unreadable=inbox.refuse)
        consumer.start(lambda inbound: inbound.release())
        with weary.publisher() as publisher:
            publisher.publish([Outbound(queue=queue, body=b"1")])
            assert wait_until(lambda: publisher.depth(f"{queue}_dead") == 1, timeout_s=PATIENCE_S)
        assert consumer.stop(PATIENCE_S)

    def test_a_dead_letter_may_be_given_back_as_often_as_its_keeper_has_to_wait(
        self, broker: Broker, queue: str
    ) -> None:
        """RabbitMQ 4 has a limit of 20 by default."""
        patient = connect(replace(broker.settings, dead_queue=queue))
        patient.declare([])
        inbox = Inbox(settling=False)

        def keep(inbound: Inbound) -> None:
            inbox.take(inbound)
            if len(inbox.messages) < 30:
                inbound.release()
            else:
                inbound.settle()

        keeper = patient.consumer([queue], on_unreadable=inbox.refuse, check=anything)
        keeper.start(keep)
        with patient.publisher() as publisher:
            publisher.publish([Outbound(queue=queue, body=b"1")])
            assert inbox.has(30)
        assert keeper.stop(PATIENCE_S)


class TestRabbitMQInTrouble:
    """On a node of one's own."""

    def test_a_killed_node_loses_nothing_confirmed_and_both_sides_come_back(
        self, make_rabbitmq: Callable[[], Node]
    ) -> None:
        """The queues are older than a moment: RabbitMQ 3.10 forgets one that was declared just before a kill, with its messages."""
        node, inbox = make_rabbitmq(), Inbox()
        broker = connect(settings_for(node.start()))
        broker.declare(["ow_test", "ow_kept"])
        node.stop()
        node.start()
        with broker.publisher() as publisher, receiving(broker, "ow_test", inbox) as consumer:
            publisher.publish([Outbound(queue="ow_test", body=b"1")])
            publisher.publish([Outbound(queue="ow_kept", body=b"kept")])
            assert inbox.has(1)
            node.kill()
            with pytest.raises(BrokerUnavailable):
                publisher.publish([Outbound(queue="ow_test", body=b"lost")])
            assert wait_until(lambda: not consumer.connected, timeout_s=PATIENCE_S)
            node.start()
            assert wait_until(lambda: consumer.connected, timeout_s=PATIENCE_S)
            publisher.publish([Outbound(queue="ow_test", body=b"2")])
            assert inbox.has(2)
            assert wait_until(lambda: publisher.depth("ow_kept") == 1, timeout_s=PATIENCE_S)

    def test_a_frozen_node_holds_up_neither_publisher_nor_consumer(self, make_rabbitmq: Callable[[], Node]) -> None:
        node, inbox = make_rabbitmq(), Inbox(settling=False)
        broker = connect(settings_for(node.start()))
        later = Inbox()
        with (
            broker.publisher() as publisher,
            receiving(broker, "ow_test", inbox) as stopped,
            receiving(broker, "ow_other", later) as patient,
        ):
            publisher.publish([Outbound(queue="ow_test", body=b"1"), Outbound(queue="ow_other", body=b"1")])
            assert inbox.has(1)
            assert later.has(1)
            with frozen(node):
                with pytest.raises(BrokerUnavailable):
                    publisher.publish([Outbound(queue="ow_other", body=b"unknown")])
                with pytest.raises(BrokerUnavailable):
                    publisher.publish([Outbound(queue="ow_other", body=b" " * 200_000)] * 100)
                assert stopped.stop(PATIENCE_S)
                assert wait_until(lambda: not patient.connected, timeout_s=PATIENCE_S), "the heart beats no more"
            _publish_when_back(broker, "ow_other", b"2")
            assert wait_until(lambda: b"2" in later.bodies(), timeout_s=PATIENCE_S)

    def test_a_consumer_stops_while_the_node_is_down(self, make_rabbitmq: Callable[[], Node]) -> None:
        node, inbox = make_rabbitmq(), Inbox()
        broker = connect(settings_for(node.start()))
        with receiving(broker, "ow_test", inbox) as consumer:
            assert wait_until(lambda: consumer.connected, timeout_s=PATIENCE_S)
            node.stop()
            assert wait_until(lambda: not consumer.connected, timeout_s=PATIENCE_S)
            assert consumer.stop(PATIENCE_S)


def _publish_when_back(broker: Broker, queue: str, body: bytes) -> None:
    def publishes() -> bool:
        try:
            with broker.publisher() as publisher:
                publisher.publish([Outbound(queue=queue, body=body)])
        except BrokerUnavailable:
            return False
        return True

    assert wait_until(publishes, timeout_s=PATIENCE_S)


def _send_with_deep_headers(broker: Broker, queue: str, *, depth: int) -> None:
    """A header table in a table in a table: valid AMQP that py-amqp cannot read, and cannot write either, so by hand."""
    table = pack(">I", 0)
    for _ in range(depth):
        entry = b"\x01aF" + table
        table = pack(">I", len(entry)) + entry
    wire = broker._wire(consuming=False)
    wire.open()
    wire.declare([queue])
    message = wire.channel.prepare_message(b"deep", properties={})
    message._serialize_properties = lambda: pack(">H", 1 << 13) + table
    wire.channel.basic_publish(message, exchange="", routing_key=queue)
    wire.close()
