"""How tests of messaging receive, and how strangers send."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from domain.messaging import Inbound
from infrastructure.embedded.waiting import wait_until
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.consumer import KombuConsumer

PATIENCE_S = 20.0


class Inbox:
    """What a consumer was handed, readable and not; may be waited for."""

    def __init__(self, *, settling: bool = True) -> None:
        self.messages: list[Inbound] = []
        self.refused: list[tuple[Inbound, str]] = []
        self._settling = settling

    def take(self, inbound: Inbound) -> None:
        self.messages.append(inbound)
        if self._settling:
            inbound.settle()

    def refuse(self, inbound: Inbound, reason: str) -> None:
        self.refused.append((inbound, reason))
        inbound.settle()

    def bodies(self) -> list[bytes]:
        return [message.body for message in self.messages]

    def has(self, count: int) -> bool:
        return wait_until(lambda: len(self.messages) >= count, timeout_s=PATIENCE_S)

    def has_refused(self, count: int) -> bool:
        return wait_until(lambda: len(self.refused) >= count, timeout_s=PATIENCE_S)


@contextmanager
def consuming(
    broker: Broker,
    queue: str,
    on_message: Callable[[Inbound], None],
    on_unreadable: Callable[[Inbound, str], None],
    *,
    prefetch: int = 20,
) -> Iterator[KombuConsumer]:
    consumer = broker.consumer([queue], on_unreadable=on_unreadable, prefetch=prefetch)
    consumer.start(on_message)
    try:
        assert wait_until(lambda: consumer.connected, timeout_s=PATIENCE_S)
        yield consumer
    finally:
        assert consumer.stop(PATIENCE_S)


@contextmanager
def receiving(broker: Broker, queue: str, inbox: Inbox, *, prefetch: int = 20) -> Iterator[KombuConsumer]:
    with consuming(broker, queue, inbox.take, inbox.refuse, prefetch=prefetch) as consumer:
        yield consumer


def send_raw(broker: Broker, queue: str, body: bytes, labels: Mapping[str, object]) -> None:
    """Send as a stranger does, with labels of their choice."""
    wire = broker._wire(consuming=False)
    wire.open()
    wire.declare([queue])
    prepared = wire.channel.prepare_message(body, properties={}, **labels)
    wire.channel.basic_publish(prepared, exchange="", routing_key=queue)
    if hasattr(wire.channel, "flush"):
        wire.channel.flush()
    wire.close()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def nothing_refused(inbound: Inbound, reason: str) -> None:
    raise AssertionError(f"refused: {reason}")
