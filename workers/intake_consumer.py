"""Intake from the broker: any language submits by publishing to `ow_orders`.

A message is one order as JSON, or up to a hundred as JSON lines. It is acknowledged after the commit, so a crash brings it again, and
then its orders are known already. With `reply_to` the sender hears of every order: accepted, known or refused. What cannot be read,
and what was refused without anybody to be told, becomes a dead letter: nothing vanishes but the digits of what held card data.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Protocol

import structlog

from domain.errors import BrokerUnavailable, IntakeClosed, StoreUnavailable
from domain.messaging import Consumer, Inbound
from infrastructure.failpoints import reach
from infrastructure.intake import (
    CARD_DATA,
    MAX_BYTES,
    OrderSubmission,
    Refusal,
    parse_order,
    unreadable,
    without_digits,
)
from workers.health import Pulse, Silent
from workers.intake import Outcome, Refused
from workers.replies import Replies, can_answer

log = structlog.get_logger()

INTAKE_QUEUE = "ow_orders"
MAX_ORDERS = 100
BATCH = 500
LOOK_S = 0.2
PAUSE_S = 0.5
PART_S = 3.0

DeadLetter = Callable[[Inbound, str], None]


class Acceptor(Protocol):
    """What this role needs of the intake."""

    def accept(self, batch: Sequence[OrderSubmission]) -> Sequence[Outcome]: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A message and what it holds, each part an order or the reason why it is none."""

    inbound: Inbound
    parts: Sequence[OrderSubmission | Refusal]

    def orders(self) -> list[OrderSubmission]:
        return [part for part in self.parts if isinstance(part, OrderSubmission)]

    def is_unreadable(self) -> bool:
        """There is no JSON document in it at all."""
        return all(isinstance(part, Refusal) and part.undecodable for part in self.parts)


class IntakeConsumer:
    """`run` returns when it was stopped. `dead_letter` keeps a copy of a message and then settles it; it may raise `BrokerUnavailable`."""

    def __init__(self, consumer: Consumer, intake: Acceptor, replies: Replies, dead_letter: DeadLetter) -> None:
        self._consumer = consumer
        self._intake = intake
        self._replies = replies
        self._dead_letter = dead_letter
        self._inbox: SimpleQueue[Inbound] = SimpleQueue()
        self.is_open: Callable[[], bool] = lambda: True
        self._is_paused = False
        self._stop = threading.Event()
        self.pulse: Pulse = Silent()

    def stop(self) -> None:
        """Ask for the end; safe in a signal handler."""
        self._stop.set()

    def run(self) -> bool:
        """Accept until stopped; True if everything ended in time."""
        self._consumer.start(self._inbox.put)
        self._replies.start()
        while not self._stop.is_set():
            self._heed()
            self._serve([open_message(inbound) for inbound in self._take()])
            self._beat(reached=True)
        for inbound in self._rest():
            inbound.release()
        consumed = self._consumer.stop(PART_S)
        return self._replies.stop(PART_S) and consumed

    def _beat(self, *, reached: bool) -> None:
        """What brings the orders is a part of this role: while it hangs, nothing comes, and that looks like quiet."""
        self.pulse.beat(reached=reached and self._consumer.connected, at=self._consumer.turned_at)

    def _heed(self) -> None:
        """While no orders are taken in they stay in the queue, where they cost nothing and belong to nobody."""
        if self.is_open() == self._is_paused:
            self._is_paused = not self._is_paused
            log.warning("the intake is closed" if self._is_paused else "the intake is open again")
            (self._consumer.pause if self._is_paused else self._consumer.resume)([INTAKE_QUEUE])

    def _take(self) -> list[Inbound]:
        """What is there; waits for the first one only. Its number is bounded by the consumer's prefetch."""
        try:
            first = self._inbox.get(timeout=LOOK_S)
        except Empty:
            return []
        return [first, *self._rest(BATCH)]

    def _rest(self, limit: int | None = None) -> Iterator[Inbound]:
        taken = 0
        while limit is None or taken < limit:
            try:
                yield self._inbox.get_nowait()
            except Empty:
                return
            taken += 1

    def _serve(self, messages: Sequence[Opened]) -> None:
        outcomes = self._accept([order for message in messages for order in message.orders()])
        if outcomes is None:
            for message in messages:
                message.inbound.release()
            return
        reach("after_accept_before_reply")
        answers = iter(outcomes)
        for message in messages:
            self._finish(
                message, [_refused(part) if isinstance(part, Refusal) else next(answers) for part in message.parts]
            )

    def _accept(self, orders: Sequence[OrderSubmission]) -> Sequence[Outcome] | None:
        """None if the intake is closed, or the database was away until we were stopped: the broker keeps the messages for whoever comes next."""
        if not orders:
            return []
        pause_s = 0.1
        while True:
            try:
                return self._intake.accept(orders)
            except IntakeClosed:
                self._heed()
                self._stop.wait(LOOK_S)
                return None
            except StoreUnavailable as error:
                log.warning("orders wait for the database", orders=len(orders), reason=error.reason)
                self._beat(reached=False)
            if self._stop.wait(pause_s):
                return None
            pause_s = min(2.0, 2 * pause_s)

    def _finish(self, message: Opened, outcomes: Sequence[Outcome]) -> None:
        inbound = message.inbound
        self._replies.answer(inbound, outcomes)
        reach("after_reply_before_ack")
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        if message.is_unreadable() or (refused and not can_answer(inbound)):
            self._bury(_fit_to_keep(inbound, refused), _reason(refused))
        else:
            inbound.settle()

    def _bury(self, inbound: Inbound, reason: str) -> None:
        try:
            self._dead_letter(inbound, reason)
        except BrokerUnavailable as error:
            log.warning("a dead letter stays in the queue", reason=error.reason)
            self._stop.wait(PAUSE_S)
            inbound.release()


def open_message(inbound: Inbound) -> Opened:
    """Read a message; one line that is no order does not sink the others."""
    body = inbound.body
    if len(body) > MAX_BYTES:
        return Opened(inbound, [unreadable(f"is longer than {MAX_BYTES} bytes")])
    documents = list(_documents(body))
    if len(documents) > MAX_ORDERS:
        return Opened(inbound, [unreadable(f"holds more than {MAX_ORDERS} orders")])
    return Opened(inbound, list(_parsed(documents)) or [unreadable("is empty")])


def _documents(body: bytes) -> Iterable[bytes]:
    """JSON lines if the first line is a whole object; otherwise the body is one document, perhaps written over many lines."""
    first, _, rest = body.lstrip().partition(b"\n")
    if rest and first.rstrip().endswith(b"}"):
        return [line for line in body.split(b"\n") if line and not line.isspace()]
    return [body] if body.strip() else []


def _parsed(documents: Iterable[bytes]) -> Iterator[OrderSubmission | Refusal]:
    for document in documents:
        try:
            yield parse_order(document)
        except Refusal as refusal:
            yield refusal


def _fit_to_keep(inbound: Inbound, refused: Sequence[Refused]) -> Inbound:
    if any(error.reason == CARD_DATA for outcome in refused for error in outcome.errors):
        return replace(inbound, body=without_digits(inbound.body))
    return inbound


def _refused(refusal: Refusal) -> Refused:
    return Refused(order_id=refusal.order_id, errors=refusal.errors)


def _reason(refused: Sequence[Refused]) -> str:
    return "; ".join(f"{error.field}: {error.reason}" for outcome in refused for error in outcome.errors)[:500]
