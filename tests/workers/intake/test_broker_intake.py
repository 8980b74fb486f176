"""Orders through the broker: accepted once, answered if somebody asks, and never lost between the two."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from domain.errors import BrokerUnavailable, OutcomeUnknown, StoreUnavailable
from domain.messaging import Inbound, Outbound
from infrastructure.intake import OrderSubmission, Refusal
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.settings import BrokerSettings
from tests.corpus import document, encoded
from tests.workers.intake.world import FaultyStore, new_intake, once
from workers.doors import BrokerDoor, DirectDoor
from workers.intake import Accepted, AlreadyKnown, Outcome, Refused
from workers.intake_consumer import INTAKE_QUEUE, IntakeConsumer, open_message
from workers.outcomes import decode_outcome, encode_outcome
from workers.producer import OrderProducer
from workers.replies import Replies

DEADLINE_S = 10.0
ANSWERS = "ow_reply_test"


def until(seen: Callable[[], bool]) -> None:
    """Wait for a condition; fail when it does not come true in time."""
    end = time.monotonic() + DEADLINE_S
    while not seen():
        assert time.monotonic() < end, "it did not happen"
        threading.Event().wait(0.01)


class Hall:
    """A broker in memory with the intake behind it."""

    def __init__(self, store: FaultyStore) -> None:
        self.broker: Broker = connect(BrokerSettings(url=f"memory:///{random.randrange(10**9)}"))
        self.store = store
        self.publisher = self.broker.publisher()
        self.publisher.declare([INTAKE_QUEUE, ANSWERS])
        self.buried: list[tuple[bytes, str]] = []
        self.before_burial: Callable[[], None] = lambda: None
        consumer = self.broker.consumer([INTAKE_QUEUE], on_unreadable=self.bury, prefetch=100)
        self.role = IntakeConsumer(consumer, new_intake(store), Replies(self.broker.publisher()), self.bury)

    def bury(self, inbound: Inbound, reason: str) -> None:
        self.before_burial()
        self.buried.append((inbound.body, reason))
        inbound.settle()

    def send(self, body: bytes, **labels: Any) -> None:
        self.publisher.publish([Outbound(queue=INTAKE_QUEUE, body=body, **labels)])

    def answers(self, count: int) -> list[Inbound]:
        heard: list[Inbound] = []
        consumer = self.broker.consumer([ANSWERS], on_unreadable=lambda inbound, _: inbound.settle())
        consumer.start(lambda inbound: (heard.append(inbound), inbound.settle())[0])  # type: ignore[func-returns-value]
        until(lambda: len(heard) >= count)
        consumer.stop(3.0)
        return heard

    @contextmanager
    def open(self) -> Iterator["Hall"]:
        ends: list[bool] = []
        thread = threading.Thread(target=lambda: ends.append(self.role.run()))
        thread.start()
        try:
            yield self
        finally:
            self.role.stop()
            thread.join(DEADLINE_S)
            self.publisher.close()
        assert ends == [True]

    def is_empty(self) -> bool:
        return self.publisher.depth(INTAKE_QUEUE) == 0


@pytest.fixture
def hall() -> Iterator[Hall]:
    with Hall(FaultyStore()).open() as hall:
        yield hall


def line(order_id: str, **changes: object) -> bytes:
    return encoded(document(order_id=order_id, **changes))


def test_an_order_from_the_queue_is_accepted_and_answered(hall: Hall) -> None:
    hall.send(line("A"), reply_to=ANSWERS, correlation_id="7")
    (answer,) = hall.answers(1)
    assert json.loads(answer.body) == {"order_id": "A", "status": "accepted", "errors": []}
    assert answer.correlation_id == "7"
    assert hall.store.orders() == ["A"]


def test_many_orders_in_one_message_are_answered_line_by_line(hall: Hall) -> None:
    hall.send(b"\n".join([line("A"), line("B", total=1), line("A"), b"{"]), reply_to=ANSWERS)
    (answer,) = hall.answers(1)
    outcomes = [json.loads(row) for row in answer.body.splitlines()]
    assert [(one["order_id"], one["status"]) for one in outcomes] == [
        ("A", "accepted"),
        ("B", "refused"),
        ("A", "already_known"),
        (None, "refused"),
    ]
    assert outcomes[1]["errors"][0]["field"] == "total"
    assert hall.store.orders() == ["A"]
    assert hall.buried == []


def test_an_order_written_over_many_lines_is_one_order(hall: Hall) -> None:
    hall.send(json.dumps(document(), indent=2).encode(), reply_to=ANSWERS)
    assert decode_outcome(hall.answers(1)[0].body) == Accepted(order_id="SHOP-1")


def test_what_nobody_would_hear_of_becomes_a_dead_letter(hall: Hall) -> None:
    for body in (b"{", line("A", total=1), b"[]", b"\n".join([line("X")] * 101), line("A", note="x\0")):
        hall.send(body)
    until(lambda: len(hall.buried) == 5)
    assert hall.store.orders() == []
    assert any("more than 100 orders" in reason for _, reason in hall.buried)


@pytest.mark.parametrize("number", ["4111 1111 1111 1111", "\uff14" + "\uff11" * 15])
def test_card_data_is_kept_in_no_dead_letter(hall: Hall, number: str) -> None:
    hall.send(line("A", note=number))
    until(lambda: len(hall.buried) == 1 and hall.is_empty())
    ((body, reason),) = hall.buried
    assert b'"order_id": "A"' in body
    assert "card data" in reason
    assert not any(sign.isnumeric() for sign in body.decode())


def test_what_cannot_be_read_is_a_dead_letter_even_if_it_is_answered(hall: Hall) -> None:
    hall.send(b"{", reply_to=ANSWERS)
    assert isinstance(decode_outcome(hall.answers(1)[0].body), Refused)
    until(lambda: len(hall.buried) == 1)


@pytest.mark.parametrize("reply_to", ["ow_risk", "ow_dead", "ow_reply_nobody", "ow_reply_UPPER", "x" * 300])
def test_an_answer_goes_only_to_a_queue_for_answers_that_exists(hall: Hall, reply_to: str) -> None:
    hall.send(line("A"), reply_to=reply_to)
    hall.send(line("B"), reply_to=ANSWERS)
    hall.answers(1)
    assert sorted(hall.store.orders()) == ["A", "B"]
    if len(reply_to) < 40 and reply_to.islower():
        assert hall.publisher.depth(reply_to) is None


def test_a_database_that_is_away_delays_orders_and_loses_none() -> None:
    store = FaultyStore()
    store.before = once(StoreUnavailable("restarting"))
    with Hall(store).open() as hall:
        hall.send(line("A"))
        until(lambda: store.orders() == ["A"])
        until(hall.is_empty)


def test_orders_stay_in_the_queue_when_the_role_stops_while_the_database_is_away() -> None:
    store = FaultyStore()

    def away(_: object) -> None:
        raise StoreUnavailable("away")

    store.before = away
    hall = Hall(store)
    with hall.open():
        hall.send(line("A"))
        until(lambda: store.appends > 0)
    assert store.orders() == []
    assert hall.broker.publisher().depth(INTAKE_QUEUE) == 1


def test_a_dead_letter_that_cannot_be_kept_comes_again(hall: Hall) -> None:
    hall.before_burial = once(BrokerUnavailable("away"))
    hall.send(b"{")
    until(lambda: len(hall.buried) == 1)


def test_answers_that_cannot_be_sent_hold_up_nobody() -> None:
    class Deaf:
        def publish(self, messages: Sequence[Outbound]) -> None:
            raise BrokerUnavailable("no")

        def depth(self, queue: str) -> int | None:
            raise BrokerUnavailable("no")

        def drop(self, queue: str) -> None: ...

        def tidy(self) -> int:
            return 0

        def close(self) -> None: ...

    replies = Replies(Deaf())
    replies.start()
    inbound = Inbound(queue=INTAKE_QUEUE, body=b"", reply_to=ANSWERS)
    for _ in range(20_000):
        replies.answer(inbound, [Accepted(order_id="A")])
    assert replies.stop(DEADLINE_S)
    assert replies.dropped == 20_000


@pytest.mark.parametrize(
    "outcome", [Accepted(order_id="A"), AlreadyKnown(order_id="A"), Refused(order_id=None, errors=())], ids=repr
)
def test_an_outcome_travels_and_comes_back(outcome: Outcome) -> None:
    assert decode_outcome(encode_outcome(outcome)) == outcome


def test_a_message_that_is_too_large_is_not_parsed() -> None:
    opened = open_message(Inbound(queue=INTAKE_QUEUE, body=line("A") + b" " * 300_000))
    assert opened.is_unreadable()


# --- the producer ---


@pytest.fixture
def producer(hall: Hall) -> Iterator[OrderProducer]:
    hall.publisher.declare(["ow_reply_producer"])
    answers = hall.broker.consumer(["ow_reply_producer"], on_unreadable=lambda inbound, _: inbound.settle())
    with OrderProducer(BrokerDoor(hall.broker.publisher(), answers, "ow_reply_producer")) as producer:
        yield producer


def test_a_producer_gets_the_order_id_through_the_broker(hall: Hall, producer: OrderProducer) -> None:
    assert producer.submit(document(order_id="A")) == "A"
    assert producer.submit(line("A")) == "A"
    assert hall.store.orders() == ["A"]


def test_a_producer_submits_many(hall: Hall, producer: OrderProducer) -> None:
    orders = [document(order_id=f"A{number}") for number in range(250)]
    outcomes = list(producer.submit_many([*orders, document(total=1), orders[0]]))
    assert [type(outcome) for outcome in outcomes] == [Accepted] * 250 + [Refused, AlreadyKnown]
    assert len(hall.store.orders()) == 250


def test_a_refused_order_is_refused_before_it_travels(hall: Hall, producer: OrderProducer) -> None:
    with pytest.raises(Refusal, match="total"):
        producer.submit(document(total=1))
    with pytest.raises(Refusal, match="JSON"):
        producer.submit("{")
    assert hall.store.appends == 0


def test_another_content_under_the_same_key_is_refused_by_the_other_side(producer: OrderProducer) -> None:
    producer.submit(document())
    with pytest.raises(Refusal, match="other content"):
        producer.submit(document(note="other"))


def test_a_producer_takes_its_queue_for_answers_away(hall: Hall) -> None:
    reply_to = "ow_reply_tmp_1"
    hall.publisher.declare([reply_to])
    answers = hall.broker.consumer([reply_to], on_unreadable=lambda inbound, _: inbound.settle())
    with OrderProducer(BrokerDoor(hall.broker.publisher(), answers, reply_to)) as producer:
        producer.submit(document())
        assert hall.publisher.depth(reply_to) == 0
    assert hall.publisher.depth(reply_to) is None


def test_a_producer_without_an_answer_says_that_a_repeat_is_safe() -> None:
    broker = connect(BrokerSettings(url=f"memory:///{random.randrange(10**9)}"))
    answers = broker.consumer([ANSWERS], on_unreadable=lambda inbound, _: inbound.settle())
    with (
        OrderProducer(BrokerDoor(broker.publisher(), answers, ANSWERS, timeout_s=0.05)) as producer,
        pytest.raises(OutcomeUnknown, match="that is safe"),
    ):
        producer.submit(document())


def test_the_direct_door_waits_for_a_database_that_comes_back_and_not_for_ever() -> None:
    closed: list[bool] = []
    store = FaultyStore()
    store.before = once(StoreUnavailable("restarting"))
    with OrderProducer(DirectDoor(new_intake(store), lambda: closed.append(True))) as producer:
        assert producer.submit(document()) == "SHOP-1"
    assert closed == [True]

    class Away:
        def accept(self, batch: Sequence[OrderSubmission]) -> Sequence[Outcome]:
            raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        OrderProducer(DirectDoor(Away(), lambda: None, patience_s=0.0)).submit(document())
