"""The keeper stores what the broker's dead-letter queue holds, and loses nothing while the database is away."""

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from domain.errors import Poison, StoreUnavailable
from domain.messaging import Outbound
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.dead import DeadLetterSender
from infrastructure.messaging.settings import BrokerSettings
from tests.servers.simulator import await_that
from workers.keeper import Keeper, leave

DEAD = "ow_dead"


class Grave:
    """A store for dead letters that can fail."""

    def __init__(self) -> None:
        self.letters: list[dict[str, Any]] = []
        self.failures: list[Exception] = []

    def __call__(self, **letter: Any) -> None:
        if self.failures:
            raise self.failures.pop()
        self.letters.append(letter)


@pytest.fixture
def broker() -> Broker:
    return connect(BrokerSettings(url=f"memory:///{random.randrange(10**9)}"))


@pytest.fixture
def grave(broker: Broker) -> Iterator[Grave]:
    grave = Grave()
    broker.declare([DEAD])
    keeper = Keeper(broker.consumer([DEAD], on_unreadable=leave, check=lambda _: None), grave)
    thread = threading.Thread(target=keeper.run)
    thread.start()
    yield grave
    keeper.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_refused_message_is_kept_with_its_reason_and_origin(broker: Broker, grave: Grave) -> None:
    broker.declare(["ow_risk"])
    with broker.publisher() as publisher:
        refuse = DeadLetterSender(publisher=publisher, queue=DEAD)
        consumer = broker.consumer(["ow_risk"], on_unreadable=refuse, check=lambda _: "too odd")
        consumer.start(lambda inbound: inbound.settle())
        publisher.publish([Outbound(queue="ow_risk", body=b"\x80\x04pickle")])
        await_that(lambda: bool(grave.letters))
        consumer.stop(3.0)
    letter = grave.letters[0]
    assert (letter["reason"], letter["origin"], letter["body"]) == ("too odd", "ow_risk", b"\x80\x04pickle")
    assert letter["headers"]["ow-size"] == 8


def test_a_letter_stays_at_the_broker_while_the_database_is_away(broker: Broker, grave: Grave) -> None:
    grave.failures = [StoreUnavailable("away")]
    with broker.publisher() as publisher:
        publisher.publish([Outbound(queue=DEAD, body=b"x")])
    await_that(lambda: [letter["body"] for letter in grave.letters] == [b"x"])


def test_labels_that_cannot_be_stored_do_not_lose_the_letter(broker: Broker, grave: Grave) -> None:
    grave.failures = [Poison("labels")]
    with broker.publisher() as publisher:
        publisher.publish([Outbound(queue=DEAD, body=b"x", headers={"a": "\0", "b": [1], "c": "y" * 9_000})])
    await_that(lambda: bool(grave.letters))
    assert (grave.letters[0]["body"], grave.letters[0]["headers"]) == (b"x", {})
