"""The keeper: what the broker could not deliver is in the database before it leaves the broker, and the house is tidy."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from domain.errors import BrokerUnavailable, Poison, StoreUnavailable
from domain.messaging import Inbound, Outbound
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.settings import BrokerSettings
from tests.servers.simulator import await_that
from workers.keeper import Keeper, leave

DEAD = "ow_dead"


class Graves:
    """What was stored; `refuse` may raise before it is."""

    def __init__(self) -> None:
        self.letters: list[dict[str, Any]] = []
        self.refuse: list[Exception] = []

    def bury(self, **letter: Any) -> None:
        if self.refuse:
            raise self.refuse.pop()
        self.letters.append(letter)


class Yard:
    """A keeper at work on a broker in memory."""

    def __init__(self, tidy: Callable[[], int] = lambda: 0) -> None:
        self.broker: Broker = connect(BrokerSettings(url=f"memory:///{random.randrange(10**9)}"))
        self.graves = Graves()
        consumer = self.broker.consumer([DEAD], on_unreadable=leave, check=lambda _: None)
        self.keeper = Keeper(consumer, self.graves.bury, tidy, tidy_every_s=0.01)

    def die(self, body: bytes, **headers: object) -> None:
        with self.broker.publisher() as publisher:
            publisher.publish([Outbound(queue=DEAD, body=body, headers=headers)])

    def is_empty(self) -> bool:
        with self.broker.publisher() as publisher:
            return publisher.depth(DEAD) == 0

    @contextmanager
    def open(self) -> Iterator["Yard"]:
        ends: list[bool] = []
        thread = threading.Thread(target=lambda: ends.append(self.keeper.run()))
        thread.start()
        try:
            yield self
        finally:
            self.keeper.stop()
            thread.join(10.0)
        assert ends == [True]


@pytest.fixture
def yard() -> Iterator[Yard]:
    with Yard().open() as yard:
        yield yard


def test_a_letter_is_kept_with_its_reason_and_where_it_came_from(yard: Yard) -> None:
    yard.die(b"\xff", **{"ow-reason": "no JSON", "ow-queue": "ow_orders", "ow-size": 1})
    await_that(lambda: len(yard.graves.letters) == 1)
    assert yard.graves.letters == [
        {
            "reason": "no JSON",
            "origin": "ow_orders",
            "body": b"\xff",
            "headers": {"ow-reason": "no JSON", "ow-queue": "ow_orders", "ow-size": 1},
        }
    ]
    await_that(yard.is_empty)


def test_a_letter_waits_for_the_database() -> None:
    yard = Yard()
    yard.graves.refuse = [StoreUnavailable("restarting")]
    with yard.open():
        yard.die(b"1")
        await_that(lambda: len(yard.graves.letters) == 1)
        await_that(yard.is_empty)


def test_a_letter_whose_labels_cannot_be_stored_is_kept_without_them() -> None:
    yard = Yard()
    yard.graves.refuse = [Poison("no such text")]
    with yard.open():
        yard.die(b"1", **{"ow-reason": "caf\ud800", "ow-queue": "ow_\udfff"})
        await_that(lambda: len(yard.graves.letters) == 1)
    letter = yard.graves.letters[0]
    assert (letter["reason"], letter["origin"], letter["headers"]) == ("caf\\ud800", "", {})


def test_what_the_keeper_fails_at_stays_at_the_broker() -> None:
    given_back: list[bool] = []
    leave(Inbound(queue=DEAD, body=b"1", release=lambda: given_back.append(True)), "its handler failed")
    assert given_back == [True]


def test_the_house_is_tidied_again_and_again_also_after_the_broker_was_away() -> None:
    looks: list[int] = []

    def tidy() -> int:
        looks.append(len(looks))
        if len(looks) == 1:
            raise BrokerUnavailable("away")
        return 1

    with Yard(tidy).open():
        await_that(lambda: len(looks) >= 3)
