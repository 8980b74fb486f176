"""Doors that somebody closed for a while: nothing is stored, nothing is lost, and everybody is told to come again."""

import random
import threading
from collections.abc import Iterator

import pytest

from domain.errors import IntakeClosed
from domain.messaging import Inbound, Outbound
from infrastructure.embedded.waiting import wait_until
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.settings import BrokerSettings
from tests.corpus import document, encoded
from tests.workers.intake.world import FaultyStore, Heard, order
from workers.doors import DirectDoor
from workers.intake import Accepted, Intake
from workers.intake_consumer import INTAKE_QUEUE, IntakeConsumer
from workers.replies import Replies
from workers.submit import submit_lines
from workers.submit_report import UNREACHABLE, exit_code


class Gate:
    """Open or closed, as a person sets it."""

    def __init__(self) -> None:
        self.is_open = False

    def __call__(self) -> bool:
        return self.is_open


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore()


@pytest.fixture
def intake(store: FaultyStore, gate: Gate) -> Intake:
    return Intake(store, Heard(), is_open=gate)


def test_a_closed_door_stores_nothing_and_opens_again(store: FaultyStore, intake: Intake, gate: Gate) -> None:
    with pytest.raises(IntakeClosed, match="submit again later"):
        intake.accept([order("A-1")])
    assert store.orders() == []
    gate.is_open = True
    assert intake.accept([order("A-1")]) == [Accepted(order_id="A-1")]


def test_a_file_that_meets_a_closed_door_is_not_tried_for_long(store: FaultyStore, intake: Intake) -> None:
    report = submit_lines([encoded(document(order_id=f"A-{number}")) for number in range(3)], intake)
    assert (report.accepted, report.unknown, report.refused) == (0, 3, 0)
    assert exit_code(report) == UNREACHABLE
    assert report.stopped is not None
    assert "intake_open" in report.stopped
    assert store.orders() == []


def test_a_program_of_ones_own_is_told_at_once(intake: Intake) -> None:
    with pytest.raises(IntakeClosed):
        DirectDoor(intake, lambda: None).submit([encoded(document(order_id="A-1"))])


@pytest.fixture
def broker() -> Broker:
    return connect(BrokerSettings(url=f"memory:///{random.randrange(10**9)}"))


@pytest.fixture
def role(broker: Broker, intake: Intake, gate: Gate) -> Iterator[IntakeConsumer]:
    def bury(inbound: Inbound, reason: str) -> None:
        raise AssertionError(f"{inbound.body!r} is buried: {reason}")

    consumer = broker.consumer([INTAKE_QUEUE], on_unreadable=bury, prefetch=100)
    role = IntakeConsumer(consumer, intake, Replies(broker.publisher()), bury)
    role.is_open = gate
    thread = threading.Thread(target=role.run, daemon=True)
    thread.start()
    yield role
    role.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_orders_that_come_over_the_broker_wait_until_the_door_opens(
    broker: Broker, role: IntakeConsumer, store: FaultyStore, gate: Gate
) -> None:
    publisher = broker.publisher()
    publisher.declare([INTAKE_QUEUE])
    assert wait_until(lambda: role._is_paused, timeout_s=10)
    for number in range(3):
        publisher.publish([Outbound(queue=INTAKE_QUEUE, body=encoded(document(order_id=f"A-{number}")))])
    assert store.orders() == []
    gate.is_open = True
    assert wait_until(lambda: len(store.orders()) == 3, timeout_s=10)
    publisher.close()


def test_orders_that_were_taken_just_before_are_kept_and_accepted_later(
    broker: Broker, role: IntakeConsumer, store: FaultyStore, gate: Gate
) -> None:
    gate.is_open = True
    assert wait_until(lambda: not role._is_paused, timeout_s=10)
    role.is_open = lambda: True  # has not heard of it yet
    gate.is_open = False
    publisher = broker.publisher()
    publisher.declare([INTAKE_QUEUE])
    publisher.publish([Outbound(queue=INTAKE_QUEUE, body=encoded(document(order_id="A-1")))])
    role.is_open = gate
    assert wait_until(lambda: role._is_paused, timeout_s=10)
    assert store.orders() == []
    gate.is_open = True
    assert wait_until(lambda: store.orders() == ["A-1"], timeout_s=10)
    publisher.close()
