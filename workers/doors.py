"""The ways in for a program of one's own: straight into the database, or through the broker with an answer.

Both give the same promise: an outcome for every document, or an error after which submitting again is safe. No wait is without an end.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from domain.errors import BrokerUnavailable, OutcomeUnknown, StoreUnavailable, UndecodableMessage
from domain.messaging import TEMPORARY_REPLIES, Consumer, Inbound, Outbound, Publisher
from infrastructure.chance import chance
from infrastructure.intake import OrderSubmission, parse_order
from workers.intake import Outcome
from workers.outcomes import decode_outcome

if TYPE_CHECKING:
    from workers import bootstrap

INTAKE_QUEUE = "ow_orders"
BROKERS = ("amqp", "amqps", "pgmq")


class Door(Protocol):
    """A way in. `submit` returns one outcome a document; `OutcomeUnknown` and `StoreUnavailable` mean that there was no answer."""

    def submit(self, documents: Sequence[bytes]) -> Sequence[Outcome]: ...

    def close(self) -> None: ...


class Acceptor(Protocol):
    """What the direct way needs of the intake."""

    def accept(self, batch: Sequence[OrderSubmission]) -> Sequence[Outcome]: ...


def open_door(url: str | None = None) -> Door:
    """To a database (`postgresql://`) or a broker (`amqp://`, `amqps://`, `pgmq://`); without a URL, to the database of the settings."""
    from infrastructure.settings import load
    from workers import bootstrap

    if url is not None and urlsplit(url).scheme in BROKERS:
        return _through_the_broker(bootstrap.Runtime(load({"broker_url": url})[0]))
    runtime = bootstrap.Runtime(load({"database_url": url})[0])
    return DirectDoor(runtime.intake(actor="producer"), runtime.close)


def _through_the_broker(runtime: "bootstrap.Runtime") -> Door:
    broker = runtime.broker()
    reply_to = f"{TEMPORARY_REPLIES}{uuid4().hex[:24]}"
    publisher = broker.publisher()
    with suppress(BrokerUnavailable):  # it is declared again with every connection
        publisher.declare([INTAKE_QUEUE, reply_to])
    answers = broker.consumer([reply_to], on_unreadable=lambda inbound, _: inbound.settle())
    return BrokerDoor(publisher, answers, reply_to, on_close=runtime.close)


class DirectDoor:
    """Into the database, by an intake in this process."""

    def __init__(self, intake: Acceptor, close: Callable[[], None], *, patience_s: float = 10.0) -> None:
        self._intake = intake
        self._patience_s = patience_s
        self.close = close

    def submit(self, documents: Sequence[bytes]) -> Sequence[Outcome]:
        orders = [parse_order(document) for document in documents]
        until, pause_s = time.monotonic() + self._patience_s, 0.1
        while True:
            try:
                return self._intake.accept(orders)
            except StoreUnavailable:
                if time.monotonic() + pause_s > until:
                    raise
            time.sleep(chance.uniform(0.0, pause_s))
            pause_s = min(2.0, 2 * pause_s)


class BrokerDoor:
    """Through the broker's intake queue, with a queue of its own for the answers."""

    def __init__(
        self,
        publisher: Publisher,
        answers: Consumer,
        reply_to: str,
        *,
        timeout_s: float = 10.0,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_close = on_close
        self._publisher = publisher
        self._answers = answers
        self._reply_to = reply_to
        self._timeout_s = timeout_s
        self._waiting: dict[str, _Waiting] = {}
        answers.start(self._on_answer)

    def submit(self, documents: Sequence[bytes]) -> Sequence[Outcome]:
        waiting = [self._send(document) for document in documents]
        try:
            self._publisher.publish([one.message for one in waiting])
            until = time.monotonic() + self._timeout_s
            return [one.outcome(until) for one in waiting]
        finally:
            for one in waiting:
                self._waiting.pop(one.label, None)

    def close(self) -> None:
        self._answers.stop(3.0)
        with suppress(BrokerUnavailable):  # then it vanishes later, for want of a reader
            self._publisher.drop(self._reply_to)
        self._publisher.close()
        self._on_close()

    def _send(self, document: bytes) -> "_Waiting":
        label = uuid4().hex
        message = Outbound(queue=INTAKE_QUEUE, body=document, correlation_id=label, reply_to=self._reply_to)
        waiting = self._waiting[label] = _Waiting(label, message)
        return waiting

    def _on_answer(self, inbound: Inbound) -> None:
        """Answers that nobody waits for any more are let go."""
        waiting = self._waiting.get(inbound.correlation_id or "")
        if waiting is not None:
            waiting.answer(inbound.body)
        inbound.settle()


class _Waiting:
    """An order on its way and the answer to it."""

    def __init__(self, label: str, message: Outbound) -> None:
        self.label = label
        self.message = message
        self._answered = threading.Event()
        self._body = b""

    def answer(self, body: bytes) -> None:
        self._body = body
        self._answered.set()

    def outcome(self, until: float) -> Outcome:
        if not self._answered.wait(max(0.0, until - time.monotonic())):
            raise OutcomeUnknown("no answer from the intake; submit the order again, that is safe")
        try:
            return decode_outcome(self._body)
        except UndecodableMessage as error:
            raise OutcomeUnknown("the answer cannot be read; submit the order again, that is safe") from error
