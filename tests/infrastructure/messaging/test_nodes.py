"""A broker of several nodes: none of them is the one that everything depends on."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from domain.errors import BrokerUnavailable, Misconfigured
from infrastructure.messaging import nodes
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.settings import BrokerSettings

ONE, TWO, THREE = "amqp://one.example", "amqp://two.example", "amqp://three.example"


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "_failed_at", {})


@pytest.fixture
def silent_node() -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"amqp://guest:guest@127.0.0.1:{listener.getsockname()[1]}//"


def test_every_node_is_somebodys_first_choice() -> None:
    assert {nodes.in_order([ONE, TWO, THREE])[0] for _ in range(200)} == {ONE, TWO, THREE}


def test_a_node_that_has_just_failed_is_tried_last() -> None:
    nodes.has_failed(ONE)
    nodes.has_failed(TWO)
    assert all(nodes.in_order([ONE, TWO, THREE]) == [THREE, ONE, TWO] for _ in range(50))


def test_a_url_may_name_several_nodes() -> None:
    assert BrokerSettings(url=f"{ONE}; {TWO};").nodes == (ONE, TWO)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("amqp://one.example;amqps://two.example", "all of them"),
        ("amqp://one.example;pgmq://two.example", "all of them"),
        ("amqps://;amqps://two.example", "has no host"),
    ],
)
def test_nodes_that_make_no_cluster_are_refused(url: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        connect(BrokerSettings(url=url))


def test_a_certificate_without_its_file_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="broker_ca: there is no file"):
        connect(BrokerSettings(url="amqps://one.example", ca=tmp_path / "ca.crt"))


def test_certificates_without_tls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="of no use with amqp://"):
        connect(BrokerSettings(url=ONE, ca=tmp_path))


def test_plain_transport_to_another_machine_is_complained_about_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        connect(BrokerSettings(url=f"amqp://lonely.example;{TWO};amqp://127.0.0.1;amqp://localhost"))
    said = [record.getMessage() for record in caplog.records]
    assert sum("lonely.example" in one for one in said) == 1
    assert not any("localhost" in one or "127.0.0.1" in one for one in said)


def test_a_node_that_says_nothing_is_given_up_and_another_one_is_taken(rabbitmq: str, silent_node: str) -> None:
    broker = connect(BrokerSettings(url=f"{silent_node};{rabbitmq}", connect_timeout_s=0.3))
    for _ in range(10):
        with broker.publisher() as publisher:
            assert publisher.depth("ow_there_is_none") is None


def test_nodes_that_all_say_nothing_are_given_up(silent_node: str) -> None:
    broker: Broker = connect(replace(BrokerSettings(url=silent_node), connect_timeout_s=0.2))
    with broker.publisher() as publisher, pytest.raises(BrokerUnavailable):
        publisher.depth("ow_test")


def test_the_well_known_user_and_plain_transport_are_named() -> None:
    settings = BrokerSettings(url="amqp://guest:guest@one.example;amqp://127.0.0.1;amqp://worker:secret@[::1]:5672")
    assert settings.exposed == ("one.example",)
    assert settings.guests == ("one.example", "127.0.0.1")
    assert BrokerSettings(url="amqps://worker:secret@one.example").exposed == ()
    assert BrokerSettings(url="pgmq://").guests == BrokerSettings(url="memory://").exposed == ()
