"""One generation of a consumer's connection: from connect to the first error.

Acknowledgements carry their generation by belonging to this object: what is settled after its end goes nowhere, as it must, because the
next connection does not know the old delivery tags.

A message that was given out several times and never settled may be what ended its consumers. A session begins with one message a queue and takes
more only after it has seen one without such a past; and when a suspect turns up, nothing more is taken, what is out is finished, and then
the suspect is handed over alone. So one that kills takes nobody with it, and its neighbours do not age with it.
"""

import logging
import selectors
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from queue import SimpleQueue
from time import monotonic

from kombu.message import Message

from domain.errors import UndecodableMessage
from domain.messaging import Inbound
from infrastructure.chance import chance
from infrastructure.messaging.hardening import Check
from infrastructure.messaging.untyped import Untyped
from infrastructure.messaging.waker import Waker
from infrastructure.messaging.wire import Wire

log = logging.getLogger(__name__)

BEAT_S = 1.0
SUSPECT_AFTER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    """What is done with a message."""

    on_message: Callable[[Inbound], None]
    on_unreadable: Callable[[Inbound, str], None]
    check: Check


class Session:
    """Everything but `_settle_later` runs in the consumer's thread."""

    def __init__(self, wire: Wire, waker: Waker, handlers: Handlers) -> None:
        self.wire = wire
        self.delivered = 0
        self._waker = waker
        self._handlers = handlers
        self._settled: SimpleQueue[tuple[Message, bool]] = SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._next_beat = 0.0
        self._queues: frozenset[str] = frozenset()
        self._prefetch = 1
        self._narrow: set[str] = set()
        self._seen: set[str] = set()
        self._paused: AbstractSet[str] = frozenset()
        self._out = 0
        self._alone = False
        self._held: list[Inbound] = []
        self._suspects: list[Inbound] = []

    def open(self, queues: Sequence[str], *, prefetch: int) -> None:
        self.wire.open()
        self._selector.register(self._waker.fileno(), selectors.EVENT_READ, self._waker.clear)
        if (fileno := self.wire.fileno()) is not None:
            self._selector.register(fileno, selectors.EVENT_READ, self.wire.on_readable)
        self.wire.listen(self._waker.wake)
        self._queues, self._narrow, self._prefetch = frozenset(queues), set(queues), prefetch
        self.wire.consume(queues, prefetch=1, on_message=self._receive)

    def turn(self, *, paused: AbstractSet[str] = frozenset()) -> None:
        """One round of the loop: settle, beat, then hand over a message or wait for something to happen."""
        self._settle()
        self._obey(self._queues if self._suspects or self._is_alone() else paused)
        self._widen()
        self._advance()
        if monotonic() >= self._next_beat:
            self._next_beat = monotonic() + BEAT_S
            self.wire.beat()
        if not self.wire.drain():
            for key, _ in self._selector.select(BEAT_S):
                key.data()

    def close(self) -> None:
        try:
            self._settle()
            self.wire.close()
        finally:
            self._selector.close()

    def collect(self) -> None:
        self._selector.close()
        self.wire.collect()

    def _obey(self, paused: AbstractSet[str]) -> None:
        if paused == self._paused:
            return
        before, self._paused = self._paused, paused
        for queue in paused - before:
            self.wire.pause(queue)
        for queue in (before - paused) & self._queues:
            self.wire.consume([queue], prefetch=1, on_message=self._receive)
            self._narrow.add(queue)
            self._seen.discard(queue)

    def _widen(self) -> None:
        """Take more than one at a time from queues that gave a message without a past."""
        for queue in (self._seen & self._narrow) - self._paused:
            self.wire.widen(queue, self._prefetch, self._receive)
            self._narrow.discard(queue)

    def _is_alone(self) -> bool:
        return self._alone and self._out > 0

    def _advance(self) -> None:
        """Hand over what had to wait: a suspect when nothing else is out; the rest when no suspect is out."""
        if self._suspects and not self._out:
            self._alone = True
            self._hand_over(self._suspects.pop(chance.randrange(len(self._suspects))))
        elif self._held and not self._is_alone():
            held, self._held = self._held, []
            for inbound in held:
                self._hand_over(inbound)

    def _settle(self) -> None:
        verdicts: dict[int, tuple[Message, bool]] = {}
        while not self._settled.empty():
            message, back = self._settled.get_nowait()
            if not message.acknowledged:
                self._out -= id(message) not in verdicts
                verdicts.setdefault(id(message), (message, back))  # the first word counts
        if done := [message for message, back in verdicts.values() if not back]:
            self.wire.acknowledge(done)
        for message, back in verdicts.values():
            if back:
                message.requeue()

    def _settle_later(self, message: Message, *, back: bool) -> None:
        self._settled.put((message, back))
        self._waker.wake()

    def _receive(self, queue: str, message: Message) -> None:
        self.delivered += 1
        inbound = self._inbound(queue, message)
        if inbound.deliveries > SUSPECT_AFTER:
            self._suspects.append(inbound)
        elif self._is_alone():
            self._held.append(inbound)
        else:
            self._alone = False
            self._seen.add(queue)
            self._hand_over(inbound)

    def _hand_over(self, inbound: Inbound) -> None:
        self._out += 1
        reason = self._handlers.check(inbound) or self._handled(inbound)
        if reason is not None:
            log.warning("refused a message of %d bytes from %s: %s", len(inbound.body), inbound.queue, reason)
            self._handlers.on_unreadable(inbound, reason)

    def _handled(self, inbound: Inbound) -> str | None:
        try:
            self._handlers.on_message(inbound)
        except UndecodableMessage as refusal:
            return refusal.reason
        except Exception as error:
            log.exception("the handler of %s failed", inbound.queue)
            return f"its handler failed: {type(error).__name__}"
        return None

    def _inbound(self, queue: str, message: Message) -> Inbound:
        labels = message.properties
        return Inbound(
            queue=queue,
            body=_bytes(message.body),
            size=self.wire.size(message),
            content_type=_text(message.content_type),
            content_encoding=_text(message.content_encoding),
            headers=message.headers,
            message_id=_text(labels.get("message_id")),
            reply_to=_text(labels.get("reply_to")),
            correlation_id=_text(labels.get("correlation_id")),
            deliveries=self.wire.deliveries(message),
            settle=lambda: self._settle_later(message, back=False),
            release=lambda: self._settle_later(message, back=True),
        )


def _bytes(body: Untyped) -> bytes:
    return body.encode(errors="replace") if isinstance(body, str) else bytes(body or b"")


def _text(label: object) -> str | None:
    """A stranger's label may be of any type and size."""
    return label[:255] if isinstance(label, str) else None
