"""The keeper stores what the broker's dead-letter queue holds, and loses nothing while the database is away."""

import hashlib
import json
import random
import threading
from collections.abc import Iterator

import pytest

from domain.errors import Poison, StoreUnavailable
from domain.messaging import Inbound, Outbound
from domain.review import Message
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.dead import DeadLetterSender
from infrastructure.messaging.settings import BrokerSettings
from tests.servers.simulator import await_that
from workers.keeper import Keeper, leave, message_of

DEAD = "ow_dead"


class Grave:
    """A store for dead letters that can fail."""

    def __init__(self) -> None:
        self.letters: list[Message] = []
        self.failures: list[Exception] = []

    def __call__(self, message: Message) -> int:
        if self.failures:
            raise self.failures.pop()
        self.letters.append(message)
        return len(self.letters)


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
    assert (letter.reason, letter.origin, letter.body) == ("too odd", "ow_risk", b"\x80\x04pickle")
    assert (letter.size, letter.sha256) == (8, hashlib.sha256(b"\x80\x04pickle").hexdigest())


def test_a_letter_that_may_be_forged_says_so_before_it_says_anything_else(broker: Broker) -> None:
    grave = Grave()
    broker.declare([DEAD])
    consumer = broker.consumer([DEAD], on_unreadable=leave, check=lambda _: None)
    keeper = Keeper(consumer, grave, doubt=lambda _letter: "not signed")
    thread = threading.Thread(target=keeper.run)
    thread.start()
    with broker.publisher() as publisher:
        publisher.publish([Outbound(queue=DEAD, body=b"x", headers={"ow-reason": "all is well"})])
    await_that(lambda: bool(grave.letters))
    keeper.stop()
    thread.join(10)
    assert grave.letters[0].reason == "signature invalid (not signed); it says: all is well"


def test_a_letter_stays_at_the_broker_while_the_database_is_away(broker: Broker, grave: Grave) -> None:
    grave.failures = [StoreUnavailable("away")]
    with broker.publisher() as publisher:
        publisher.publish([Outbound(queue=DEAD, body=b"x")])
    await_that(lambda: [letter.body for letter in grave.letters] == [b"x"])


def test_labels_that_cannot_be_stored_do_not_lose_the_letter(broker: Broker, grave: Grave) -> None:
    grave.failures = [Poison("labels")]
    with broker.publisher() as publisher:
        publisher.publish([Outbound(queue=DEAD, body=b"x", headers={"a": "\0", "b": [1], "c": "y" * 9_000})])
    await_that(lambda: bool(grave.letters))
    assert (grave.letters[0].body, grave.letters[0].headers) == (b"x", {})


def test_what_is_kept_of_a_message_is_bounded() -> None:
    labels: dict[str, object] = {f"{n}\0" * 1_000: "\udc80\0" * 9_000 for n in range(500)}
    kept = message_of(Inbound(queue="ow_dead", body=b"x" * 300_000, headers={**labels, "n": 2**70}, message_id="a\0b"))
    assert len(json.dumps(dict(kept.headers), ensure_ascii=False).encode()) < 256 * 1024
    assert (len(kept.body), kept.size, kept.message_id) == (65_536, 300_000, "a\\0b")


@pytest.mark.parametrize(("told", "size"), [(70_000, 70_000), (5, 10), ("70000", 10), (-1, 10)])
def test_the_size_of_a_message_that_was_cut_is_the_one_it_had(told: object, size: int) -> None:
    labels = {"ow-size": told, "ow-sha256": "f" * 64}
    assert message_of(Inbound(queue="ow_dead", body=b"x" * 10, headers=labels)).size == size


def test_a_message_that_comes_again_without_a_name_is_no_new_copy() -> None:
    assert message_of(Inbound(queue="ow_dead", body=b"x", deliveries=2)).copy_id == ""
    first, second = (message_of(Inbound(queue="ow_dead", body=b"x")).copy_id for _ in range(2))
    assert first != second
