"""Frames of orders that do not exist, and frames of steps that cannot be served."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from domain.errors import StoreUnavailable
from domain.messaging import Inbound
from domain.work import Step
from infrastructure.postgres.dead_letters import PostgresDeadLetters
from tests.workers.shop import PostgresShop, wait_until
from workers.breaking import AllClosed
from workers.pausing import Pausing
from workers.strangers import Strangers

FRAME = Inbound(queue="ow_risk", body=b"{}")


@dataclass
class Desk:
    """Says which orders do not exist, and keeps what is buried."""

    unknown: list[str] = field(default_factory=list)
    asked: list[Sequence[str]] = field(default_factory=list)
    buried: list[str] = field(default_factory=list)

    def find(self, orders: Sequence[str]) -> list[str]:
        self.asked.append(orders)
        if len(self.asked) == 1:
            raise StoreUnavailable("away")
        return [order for order in orders if order in self.unknown]

    def bury(self, inbound: Inbound, reason: str) -> None:
        self.buried.append(reason)


@pytest.fixture
def desk() -> Desk:
    return Desk(unknown=["X-1", "X-2"])


def test_a_frame_of_orders_that_do_not_exist_is_a_dead_letter(desk: Desk) -> None:
    strangers = Strangers(desk.find, desk.bury)
    strangers.start()
    for orders in (["lost look"], ["A-1"], ["X-1"], ["A-1", "X-1", "X-2"]):
        strangers.came(FRAME, orders)
    wait_until(lambda: len(desk.asked) == 4)
    assert strangers.stop(10)
    assert desk.buried == ["unknown order 'X-1'", "unknown order 'X-1' and 1 more"]


def test_more_frames_than_can_be_looked_up_hold_nobody_up(desk: Desk) -> None:
    strangers = Strangers(desk.find, desk.bury)
    for _ in range(500):
        strangers.came(FRAME, ["X-1"])
    assert strangers._frames.qsize() == 100


def test_an_order_exists_when_an_event_tells_of_it(shop: PostgresShop) -> None:
    shop.place("o1")
    assert PostgresDeadLetters(shop.store).unknown_orders(["o2", "o1", "o3"]) == ["o2", "o3"]


class Consumer:
    """Knows what it is told to leave alone."""

    def __init__(self) -> None:
        self.paused: set[str] = set()

    def pause(self, queues: Iterable[str]) -> None:
        self.paused |= set(queues)

    def resume(self, queues: Iterable[str]) -> None:
        self.paused -= set(queues)


class Limited(AllClosed):
    """Some dependencies are limited."""

    now: frozenset[str] = frozenset()

    def limited(self) -> frozenset[str]:
        return self.now


def test_frames_of_limited_steps_stay_at_the_broker_until_the_dependency_is_closed_again() -> None:
    breakers, consumer = Limited(), Consumer()
    pausing = Pausing(breakers, frozenset({Step.RISK, Step.CAPTURE, Step.VOID, Step.LABEL}), "ow_{}".format)
    breakers.now = frozenset({"payment"})
    pausing.refresh()
    pausing.consumer = consumer
    pausing.refresh()
    assert consumer.paused == {"ow_capture", "ow_void"}
    breakers.now = frozenset({"carrier"})
    pausing.refresh()
    assert consumer.paused == {"ow_label"}
    breakers.now = frozenset()
    pausing.refresh()
    assert consumer.paused == set()
