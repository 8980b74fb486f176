"""The one place that turns a broker URL into publishers and consumers."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.messaging import Inbound
from infrastructure.messaging.amqp_wire import AmqpWire
from infrastructure.messaging.consumer import KombuConsumer
from infrastructure.messaging.hardening import Check, json_only
from infrastructure.messaging.memory_wire import MemoryWire
from infrastructure.messaging.pgmq_wire import PgmqWire
from infrastructure.messaging.publisher import KombuPublisher
from infrastructure.messaging.settings import BrokerSettings, check_nodes
from infrastructure.messaging.signing import Keyring
from infrastructure.messaging.wire import Wire

log = logging.getLogger(__name__)

_warned: set[str] = set()

wires: dict[str, type[Wire]] = {"amqp": AmqpWire, "memory": MemoryWire, "pgmq": PgmqWire}


@dataclass(frozen=True, slots=True)
class Broker:
    """Connects nothing by itself: every publisher and consumer has a connection of its own."""

    settings: BrokerSettings
    keyring: Keyring | None = None

    def publisher(self) -> KombuPublisher:
        return KombuPublisher(lambda: self._wire(consuming=False), keyring=self.keyring)

    def consumer(
        self,
        queues: Sequence[str],
        *,
        on_unreadable: Callable[[Inbound, str], None],
        prefetch: int = 20,
        check: Check | None = None,
    ) -> KombuConsumer:
        """`check` decides which messages are refused unread; by default all but JSON up to the body limit, and what is not signed, if we have keys."""
        return KombuConsumer(
            lambda: self._wire(consuming=True),
            queues=queues,
            prefetch=prefetch,
            on_unreadable=on_unreadable,
            check=check or self._check(),
        )

    def _check(self) -> Check:
        readable = json_only(self.settings.body_limit, self.settings.give_up_after)
        keyring = self.keyring
        return readable if keyring is None else lambda inbound: readable(inbound) or keyring.trouble(inbound)

    def doubt(self, letter: Inbound) -> str | None:
        """Why a dead letter may be forged; None if it is not, or if we have no keys."""
        return None if self.keyring is None else self.keyring.doubt(letter)

    def declare(self, queues: Sequence[str]) -> None:
        """Create the queues that are missing, the dead-letter queue included."""
        with self.publisher() as publisher:
            publisher.declare([*queues, self.settings.dead_queue])

    def _wire(self, *, consuming: bool) -> Wire:
        return wires[self.settings.kind](self.settings, consuming=consuming)


def connect(settings: BrokerSettings) -> Broker:
    """Check the settings (a bad URL or DSN is `Misconfigured`) and choose the transport."""
    if settings.kind == "pgmq":
        _ = settings.postgres_dsn
    check_nodes(settings)
    for host in set(settings.exposed) - _warned:
        _warned.add(host)
        log.warning("amqp:// to %s: orders and the broker's password travel in the clear; use amqps://", host)
    keys = settings.message_keys
    return Broker(settings, None if keys is None else Keyring(keys))
