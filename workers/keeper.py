"""The keeper: takes what the broker's dead-letter queue holds and stores it, bytes and labels, where people look for it.

A dead letter leaves the broker only after its row is committed. While the database is away the message is given back after a pause,
so the queue keeps it. A message that is brought twice (the keeper was killed between the two) is one letter: it is known by its queue,
its id and the hash of its bytes, and by the name of the copy. In between the keeper keeps house at the broker: `tidy` drops what
producers left behind when they were killed.
"""

import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import structlog

from domain.errors import BrokerUnavailable, Poison, StoreUnavailable
from domain.messaging import Consumer, Inbound
from domain.review import BODY_LIMIT, Message
from infrastructure.failpoints import reach
from workers.health import Pulse, Silent

log = structlog.get_logger()

PAUSE_S = 1.0
LONGEST_LABEL = 500
MOST_LABELS = 50
TIDY_EVERY_S = 60.0
BEAT_S = 1.0


class Keep(Protocol):
    """Stores a message and returns the id of its letter."""

    def __call__(self, message: Message) -> int: ...


class Keeper:
    """`run` returns when it was stopped."""

    def __init__(
        self,
        consumer: Consumer,
        keep: Keep,
        tidy: Callable[[], int] = lambda: 0,
        *,
        tidy_every_s: float = TIDY_EVERY_S,
        doubt: Callable[[Inbound], str | None] = lambda _letter: None,
    ) -> None:
        self._consumer = consumer
        self._store = keep
        self._tidy = tidy
        self._tidy_every_s = tidy_every_s
        self._doubt = doubt
        self._stop = threading.Event()
        self.kept = 0
        self.pulse: Pulse = Silent()
        self._database_is_there = True  # until a letter could not be stored

    def stop(self) -> None:
        """Ask the keeper to end."""
        self._stop.set()

    def run(self) -> bool:
        """Keep until stopped; True if the consumer ended in time."""
        self._consumer.start(self._keep)
        tidy_at = time.monotonic() + self._tidy_every_s
        while not self._stop.wait(min(BEAT_S, self._tidy_every_s)):
            ready = self._database_is_there and self._consumer.connected
            self.pulse.beat(reached=ready, at=self._consumer.turned_at)
            if time.monotonic() >= tidy_at:
                tidy_at = time.monotonic() + self._tidy_every_s
                self._tidy_up()
        return self._consumer.stop(3.0)

    def _tidy_up(self) -> None:
        try:
            if dropped := self._tidy():
                log.info("reply queues without a reader were dropped", queues=dropped)
        except BrokerUnavailable as error:
            log.warning("the broker was not tidied", reason=error.reason)

    def _keep(self, inbound: Inbound) -> None:
        message = self._doubted(inbound, message_of(inbound))
        reach("before_bury")
        try:
            letter = self._stored(message)
            self._database_is_there = True
        except StoreUnavailable as error:
            self._database_is_there = False
            log.warning("dead letter stays at the broker", reason=error.reason)
            self._stop.wait(PAUSE_S)
            inbound.release()
            return
        reach("after_bury_before_ack")
        inbound.settle()
        self.kept += 1
        log.warning("dead letter kept", letter=letter, queue=message.origin, size=message.size, reason=message.reason)

    def _doubted(self, inbound: Inbound, message: Message) -> Message:
        """Anybody who may send to the queue can write any reason."""
        why = self._doubt(inbound)
        return (
            message if why is None else replace(message, reason=f"signature invalid ({why}); it says: {message.reason}")
        )

    def _stored(self, message: Message) -> int:
        try:
            return self._store(message)
        except Poison as error:
            log.warning("labels of a dead letter cannot be stored", reason=str(error))
            return self._store(replace(message, origin="", message_id="", headers={}, reason=_ascii(message.reason)))


def leave(letter: Inbound, reason: str) -> None:
    """For a keeper nothing is unreadable; what its own handler failed at stays at the broker and comes again."""
    log.error("dead letter could not be kept", queue=letter.queue, reason=reason)
    letter.release()


def message_of(inbound: Inbound) -> Message:
    """What is kept of a message. Size and hash are those of the whole, if who cut it has told them."""
    labels = {_plain(name)[:100]: _value(value) for name, value in list(inbound.headers.items())[:MOST_LABELS]}
    own = {"content-type": inbound.content_type, "content-encoding": inbound.content_encoding}
    own |= {"reply-to": inbound.reply_to, "correlation-id": inbound.correlation_id}
    size, sha256 = _whole(inbound, labels)
    return Message(
        reason=str(labels.get("ow-reason") or _native_reason(labels)),
        origin=str(labels.get("ow-queue") or labels.get("x-first-death-queue") or inbound.queue),
        body=inbound.body[:BODY_LIMIT],
        size=size,
        sha256=sha256,
        message_id=_plain(inbound.message_id or ""),
        copy_id=str(labels.get("ow-copy") or ("" if inbound.deliveries > 1 else uuid.uuid4())),
        headers=labels | {name: _plain(value) for name, value in own.items() if value},
    )


def _native_reason(labels: Mapping[str, object]) -> str:
    why = labels.get("x-first-death-reason")
    return f"the broker gave it up ({why})" if why else "refused by the broker"


def _whole(inbound: Inbound, labels: Mapping[str, object]) -> tuple[int, str]:
    size, sha256 = labels.get("ow-size"), labels.get("ow-sha256")
    if isinstance(size, int) and size > len(inbound.body) and isinstance(sha256, str):
        return min(size, 2**62), sha256[:64]
    return max(len(inbound.body), inbound.size), hashlib.sha256(inbound.body).hexdigest()


def _value(value: object) -> object:
    """A label as JSON can hold it: a stranger's may be anything."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return _plain(value)


def _plain(value: object) -> str:
    return str(value)[:LONGEST_LABEL].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
