"""RabbitMQ over TLS: the right broker is taken, and nobody else is told anything."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from domain.errors import BrokerUnavailable
from domain.messaging import Outbound
from infrastructure.embedded.waiting import wait_until
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.settings import BrokerSettings
from tests.contracts.inbox import PATIENCE_S, Inbox, receiving
from tests.servers.certificates import Certificates
from tests.servers.rabbitmq import RabbitNode, required_script

pytestmark = [pytest.mark.rabbitmq, pytest.mark.xdist_group("rabbitmq")]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[RabbitNode]:
    node = RabbitNode(tmp_path_factory.mktemp("rabbitmq-tls"), required_script(), certificates=certificates)
    node.start()
    yield node
    node.stop()


@pytest.fixture
def broker(node: RabbitNode, certificates: Certificates) -> Broker:
    return connect(BrokerSettings(url=node.url, ca=certificates.ca))


def test_messages_pass_and_idle_consumers_hear_of_them(broker: Broker) -> None:
    inbox = Inbox()
    with broker.publisher() as publisher, receiving(broker, "ow_tls", inbox):
        for number in range(3):
            publisher.publish([Outbound(queue="ow_tls", body=b"%d" % number * 10_000)] * 20)
            assert inbox.has(20 * (number + 1))


def test_our_own_certificate_is_shown_if_we_have_one(broker: Broker, certificates: Certificates) -> None:
    certificate, key = certificates.client("worker")
    with connect(replace(broker.settings, certificate=certificate, key=key)).publisher() as publisher:
        assert publisher.depth("ow_nothing") is None


def test_a_certificate_of_another_authority_is_not_taken_from_us(broker: Broker, certificates: Certificates) -> None:
    certificate, key = certificates.impostor().client("worker")
    with (
        connect(replace(broker.settings, certificate=certificate, key=key)).publisher() as publisher,
        pytest.raises(BrokerUnavailable),
    ):
        publisher.depth("ow_nothing")


def test_a_broker_of_another_authority_is_refused_in_clear_words(broker: Broker, certificates: Certificates) -> None:
    stranger = connect(replace(broker.settings, ca=certificates.impostor().ca))
    with stranger.publisher() as publisher, pytest.raises(BrokerUnavailable, match="is not our broker.*broker_ca"):
        publisher.depth("ow_nothing")


def test_without_a_named_authority_those_of_the_system_count(broker: Broker) -> None:
    with (
        connect(replace(broker.settings, ca=None)).publisher() as publisher,
        pytest.raises(BrokerUnavailable, match="is not our broker"),
    ):
        publisher.depth("ow_nothing")


@pytest.mark.parametrize("who", ["self-signed", "for another host"])
def test_a_broker_with_a_wrong_certificate_is_refused(
    who: str, certificates: Certificates, make_tls_listener: Callable[[tuple[Path, Path]], int]
) -> None:
    pair = certificates.stranger() if who == "self-signed" else certificates.server("other", hosts=["other.example"])
    url = f"amqps://worker:secret@localhost:{make_tls_listener(pair)}//"
    broker = connect(BrokerSettings(url=url, ca=certificates.ca))
    with broker.publisher() as publisher, pytest.raises(BrokerUnavailable, match="is not our broker") as refused:
        publisher.depth("ow_nothing")
    assert "secret" not in str(refused.value)


def test_a_plain_port_is_no_tls_port(rabbitmq: str, certificates: Certificates) -> None:
    broker = connect(BrokerSettings(url=rabbitmq.replace("amqp://", "amqps://"), ca=certificates.ca))
    with broker.publisher() as publisher, pytest.raises(BrokerUnavailable, match="no TLS connection"):
        publisher.depth("ow_nothing")


def test_a_consumer_reports_a_foreign_broker_and_goes_on_trying(
    broker: Broker, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox()
    foreign = connect(replace(broker.settings, ca=certificates.impostor().ca))
    consumer = foreign.consumer(["ow_tls"], on_unreadable=inbox.refuse)
    consumer.start(inbox.take)
    assert wait_until(
        lambda: sum("is not our broker" in one.getMessage() for one in caplog.records) > 1, timeout_s=PATIENCE_S
    )
    assert not consumer.connected
    assert consumer.stop(PATIENCE_S)


@pytest.fixture
def make_tls_listener() -> Iterator[Callable[[tuple[Path, Path]], int]]:
    """A server that shows a certificate to everybody and then hangs up; its port."""
    with ExitStack() as stack:

        def make(pair: tuple[Path, Path]) -> int:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*pair)
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            thread = threading.Thread(target=_shake_hands, args=(listener, context))
            thread.start()
            stack.callback(thread.join, PATIENCE_S)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            return int(listener.getsockname()[1])

        yield make


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    with suppress(OSError):
        while True:
            accepted, _ = listener.accept()
            accepted.settimeout(PATIENCE_S)
            with accepted, suppress(OSError):
                context.wrap_socket(accepted, server_side=True).close()
