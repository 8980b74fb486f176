"""`memory://`: queues inside this process, for tests and for a pipeline in one process.

kombu's memory transport forgets unacknowledged messages when a consumer closes and is polled; this one gives them back and rings.
The URL's path is a name space: `memory:///a` and `memory:///b` share nothing.
"""

import threading
from collections.abc import Callable, Sequence
from queue import Queue
from typing import ClassVar

from kombu.transport import memory

from domain.messaging import Outbound
from infrastructure.messaging.untyped import Untyped
from infrastructure.messaging.virtual import PromptTransport, PromptWire


class House:
    """The queues of one name space and those who want to know when something was put into one."""

    _all: ClassVar[dict[str, "House"]] = {}
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self.queues: dict[str, Queue[Untyped]] = {}
        self.bells: dict[int, Callable[[], None]] = {}

    @classmethod
    def named(cls, name: str) -> "House":
        with cls._guard:
            return cls._all.setdefault(name, cls())

    def ring(self) -> None:
        for bell in tuple(self.bells.values()):
            bell()


class Channel(memory.Channel):
    do_restore = True

    def __init__(self, connection: Untyped, **kwargs: Untyped) -> None:
        super().__init__(connection, **kwargs)  # type: ignore[no-untyped-call]
        self.house = House.named(connection.client.virtual_host or "/")
        self.queues = self.house.queues

    def _queue_for(self, queue: str) -> Untyped:
        return self.house.queues.setdefault(queue, Queue())

    def _put(self, queue: str, message: Untyped, **kwargs: Untyped) -> None:
        super()._put(queue, message, **kwargs)  # type: ignore[no-untyped-call]
        self.house.ring()


class Transport(PromptTransport, memory.Transport):
    Channel = Channel


class MemoryWire(PromptWire):
    transport_class = Transport

    def options(self) -> dict[str, Untyped]:
        return {}

    def depth(self, queue: str) -> int | None:
        waiting = self.channel.house.queues.get(queue)
        return None if waiting is None else waiting.qsize()

    def drop_one(self, queue: str) -> None:
        self.channel.house.queues.pop(queue, None)

    def transmit(self, messages: Sequence[Outbound]) -> Sequence[Outbound]:
        homeless = [message for message in messages if message.queue not in self.channel.house.queues]
        for message in messages:
            if message not in homeless:
                self.put(message)
        return homeless

    def listen(self, ring: Callable[[], None]) -> None:
        self.channel.house.bells[id(self)] = ring

    def collect(self) -> None:
        if self.channel is not None:
            self.channel.house.bells.pop(id(self), None)
        super().collect()
