"""A wire: one kombu connection with one channel, used by one thread at a time.

Everything that is alike for all brokers is here and goes through kombu's channel and consumer. A subclass says which transport, with
which options, how a batch is confirmed, and how to tell that something may have come.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import sleep
from typing import ClassVar

import kombu
from kombu.message import Message

from domain.errors import BrokerUnavailable
from domain.messaging import REPLIES, Outbound
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.messaging.untyped import Untyped

SEND_PAUSES_S = (0.0, 0.1, 0.4)

OnMessage = Callable[[str, Message], None]


class Silent(ConnectionError):
    """The broker did not answer in time."""


class Wire(ABC):
    """Lives from `open` to `close` or to its first error; it never reconnects."""

    transport_class: ClassVar[type]

    def __init__(self, settings: BrokerSettings, *, consuming: bool) -> None:
        self.settings = settings
        self.consuming = consuming
        self._client: kombu.Connection | None = None
        self._declared: set[str] = set()
        self._consumers: dict[str, list[kombu.Consumer]] = {}
        self.transport: Untyped = None
        self.channel: Untyped = None
        self._raw: Untyped = None

    def open(self) -> None:
        self.open_at(self.url)

    def open_at(self, url: str) -> None:
        # kombu's own `connect` sleeps and tries again, and its `connection` property reconnects behind our back: neither is used.
        self._client = kombu.Connection(
            url,
            transport=self.transport_class,
            connect_timeout=self.settings.connect_timeout_s,
            heartbeat=self.settings.heartbeat_s if self.consuming else 0,
            transport_options=self.options(),
            **self.connection_arguments(url),
        )
        self.transport = self._client.transport
        self._raw = self.transport.establish_connection()
        self.channel = self.new_channel()

    @property
    def url(self) -> str:
        return self.settings.url

    @abstractmethod
    def options(self) -> dict[str, Untyped]:
        """The transport options of kombu."""

    def connection_arguments(self, url: str) -> dict[str, Untyped]:
        return {}

    def new_channel(self) -> Untyped:
        return self.transport.create_channel(self._raw)

    # --- queues -------------------------------------------------------------------------------------------------------------------

    def declare(self, queues: Iterable[str]) -> None:
        for queue in queues:
            if queue not in self._declared:
                self.declare_one(queue)
                self._declared.add(queue)

    def declare_one(self, queue: str) -> None:
        self.channel.queue_declare(queue=queue, durable=True, auto_delete=False)

    @abstractmethod
    def depth(self, queue: str) -> int | None: ...

    def drop(self, queue: str) -> None:
        self._declared.discard(queue)
        self.drop_one(queue)

    @abstractmethod
    def drop_one(self, queue: str) -> None: ...

    def tidy(self) -> int:
        return 0

    # --- sending ------------------------------------------------------------------------------------------------------------------

    def send(self, messages: Sequence[Outbound]) -> None:
        """Return when the broker has taken all of them.

        What it did not take gets two more chances behind a new declaration: the queue may have vanished, or be in the making.
        A queue for answers is made by its reader alone: one that has left would else get it back, and nobody would drop it.
        """
        left = messages
        for pause_s in SEND_PAUSES_S:
            sleep(pause_s)
            self.declare({message.queue for message in left if not message.queue.startswith(REPLIES)})
            left = self.transmit(left)
            self._declared -= {message.queue for message in left}
            if not left:
                return
        queues = ", ".join(sorted({message.queue for message in left}))
        raise BrokerUnavailable(
            f"the broker refused {len(left)} of {len(messages)} messages (is {queues} full, or gone?)"
        )

    @abstractmethod
    def transmit(self, messages: Sequence[Outbound]) -> Sequence[Outbound]:
        """Send and confirm. Return what the broker did not take."""

    def put(self, message: Outbound) -> None:
        labels = {
            "message_id": message.message_id,
            "correlation_id": message.correlation_id,
            "reply_to": message.reply_to,
        }
        prepared = self.channel.prepare_message(
            message.body,
            content_type=message.content_type,
            content_encoding="utf-8",
            headers=dict(message.headers),
            properties={"delivery_mode": 2, **{name: value for name, value in labels.items() if value is not None}},
        )
        self.channel.basic_publish(prepared, exchange="", routing_key=message.queue, mandatory=True)

    # --- receiving ----------------------------------------------------------------------------------------------------------------

    def consume(self, queues: Sequence[str], *, prefetch: int, on_message: OnMessage) -> None:
        """One consumer a queue, so that a message tells which queue it came from, whatever its routing key says."""
        self.declare(queues)
        for queue in queues:
            self._consumers[queue] = [self.consumer(queue, prefetch, on_message)]

    def consumer(self, queue: str, prefetch: int, on_message: OnMessage) -> kombu.Consumer:
        deliver = partial(on_message, queue)
        made = kombu.Consumer(
            self.channel,
            [kombu.Queue(queue, no_declare=True)],
            auto_declare=False,
            prefetch_count=prefetch,
            on_message=deliver,
            on_decode_error=lambda message, _error: deliver(message),
        )
        made.consume()
        return made

    def widen(self, queue: str, prefetch: int, on_message: OnMessage) -> None:
        """Take more at once from a queue that is consumed."""
        self._consumers[queue][0].qos(prefetch_count=prefetch)

    def pause(self, queue: str) -> None:
        """Take nothing more from a queue. What the broker has sent already still comes."""
        for consumer in self._consumers.pop(queue):
            consumer.cancel()

    def size(self, message: Message) -> int:
        """How long the body of the message that is being delivered was, if it was so long that the wire has cut it; else 0."""
        return 0

    def deliveries(self, message: Message) -> int:
        """How often the message was given out, this time included; 1 if the broker does not count."""
        return 1

    @abstractmethod
    def drain(self) -> bool:
        """Hand over what is there, without waiting. False: nothing was."""

    def acknowledge(self, messages: Sequence[Message]) -> None:
        for message in messages:
            message.ack()

    def fileno(self) -> int | None:
        """What to watch while there is nothing to drain."""
        return None

    def listen(self, ring: Callable[[], None]) -> None:
        """`ring` may be called from another thread when something has come: for brokers without a file to watch."""
        return

    def on_readable(self) -> None:
        """The file is readable."""
        return

    def beat(self) -> None:
        """Called about once a second by the owner, also while it is busy."""
        return

    def blame(self) -> None:
        """An error ended this wire: where there is a choice, others should not begin with the same node."""
        return

    # --- the end ------------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Part politely, within about a second. Safe on a broken wire."""
        self.collect()

    def collect(self) -> None:
        """Drop everything without a word to the other side."""
        client, self._client = self._client, None
        if client is not None:
            client.collect()

    def cut(self) -> None:
        """End a call that another thread is blocked in. The wire is useless afterwards."""
        return
