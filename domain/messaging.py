"""The messaging port: what the pipeline asks of a broker, whichever it is.

Messages are wake-ups. One that is lost, doubled, late or out of order costs a little work and never an order, so the port promises
only this: what `publish` returned for has been taken by the broker, and what was not settled comes again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

QUEUE_NAME = r"[a-z0-9_]{1,40}"
REPLIES = "ow_reply_"
"""How the queues for answers are called: everybody's own, and of no worth without their reader."""
TEMPORARY_REPLIES = f"{REPLIES}tmp_"
"""Whoever calls a queue like this agrees that it may vanish some minutes after its reader did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The wake-up itself: these orders may have work for this step."""

    step: str
    orders: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """A message to be sent to one queue."""

    queue: str
    body: bytes
    content_type: str = "application/json"
    message_id: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    headers: Mapping[str, object] = field(default_factory=dict)


def _nothing() -> None:
    """Settle a message that came from no broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """A message as it came, unread: bytes and labels of a stranger.

    `size` is how long the body was when the transport has cut it, and else may be left out. `deliveries` says how often it was given out, this time included, as far as the broker knows.
    `settle` acknowledges it and `release` gives it back at once. Both may be called from any thread, return before the broker has
    heard of it, and do nothing if the connection that brought the message is gone: then it comes again by itself.
    """

    queue: str
    body: bytes
    content_type: str | None = None
    content_encoding: str | None = None
    headers: Mapping[str, object] = field(default_factory=dict)
    message_id: str | None = None
    reply_to: str | None = None
    correlation_id: str | None = None
    size: int = 0
    deliveries: int = 1
    settle: Callable[[], None] = field(default=_nothing, repr=False, compare=False)
    release: Callable[[], None] = field(default=_nothing, repr=False, compare=False)


class Publisher(Protocol):
    """May be shared between threads."""

    def publish(self, messages: Sequence[Outbound]) -> None:
        """Return when all of them are confirmed; `BrokerUnavailable` means: not sent, send again.

        A queue that is missing is made, but for queues for answers: those are made by their reader.
        """

    def depth(self, queue: str) -> int | None:
        """How many messages wait in the queue; None if there is no such queue, 0 if only its owner may know."""

    def drop(self, queue: str) -> None:
        """Delete the queue with all that waits in it; nothing happens if there is none."""

    def tidy(self) -> int:
        """Drop temporary reply queues that have lost their reader, where the broker does not do so by itself; how many."""

    def close(self) -> None: ...


class Consumer(Protocol):
    """Runs in a thread of its own, over outages of the broker, until it is stopped.

    `connected`: it has a session with the broker. `turned_at`: when, by the monotonic clock, its loop last turned, connected or not.
    """

    @property
    def connected(self) -> bool: ...

    @property
    def turned_at(self) -> float: ...

    def start(self, on_message: Callable[[Inbound], None]) -> None:
        """Hand over every message that can be read, one at a time; `UndecodableMessage` raised by it refuses the message."""

    def pause(self, queues: Iterable[str]) -> None:
        """Take nothing more from these queues until they are resumed; a few messages may be on their way. Any thread may call it."""

    def resume(self, queues: Iterable[str]) -> None:
        """Take from these queues again."""

    def stop(self, timeout_s: float) -> bool:
        """Take no more messages; what is not settled by now comes again. False if the thread did not end in time."""
