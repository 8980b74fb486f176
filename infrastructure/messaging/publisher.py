"""Sends batches and returns when the broker has taken them."""

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from domain.errors import BrokerUnavailable, Misconfigured, Poison
from domain.messaging import Outbound
from infrastructure.failpoints import passing, reach
from infrastructure.messaging.settings import checked_queues
from infrastructure.messaging.signing import Keyring
from infrastructure.messaging.wire import Silent, Wire

T = TypeVar("T")


class Broken(BrokerUnavailable):
    """The connection is gone; on another one it may work at once."""

    def __init__(self, reason: str, *, may_be_tried_again: bool) -> None:
        self.may_be_tried_again = may_be_tried_again
        super().__init__(reason)


class KombuPublisher:
    """One connection of its own behind a lock, made at first use and again after every error.

    An error on an open connection mostly means that the broker was restarted meanwhile, so the batch is tried once more on
    a fresh one. A time-out is not tried again: the caller's patience is used up.
    """

    def __init__(self, new_wire: Callable[[], Wire], *, keyring: Keyring | None = None) -> None:
        self._new_wire = new_wire
        self._keyring = keyring
        self._wire: Wire | None = None
        self._lock = threading.Lock()

    def publish(self, messages: Sequence[Outbound]) -> None:
        if messages:
            checked_queues({message.queue for message in messages})
            passed = self._signed(passing("before_publish", messages))
            self._do(lambda wire: wire.send(passed))
            reach("after_publish")

    def _signed(self, messages: Sequence[Outbound]) -> Sequence[Outbound]:
        keyring = self._keyring
        return messages if keyring is None else [keyring.signed(message) for message in messages]

    def declare(self, queues: Sequence[str]) -> None:
        names = checked_queues(queues)
        self._do(lambda wire: wire.declare(names))

    def depth(self, queue: str) -> int | None:
        checked_queues([queue])
        return self._do(lambda wire: wire.depth(queue))

    def drop(self, queue: str) -> None:
        checked_queues([queue])
        self._do(lambda wire: wire.drop(queue))

    def tidy(self) -> int:
        return self._do(lambda wire: wire.tidy())

    def close(self) -> None:
        with self._lock:
            wire, self._wire = self._wire, None
            if wire is not None:
                wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, work: Callable[[Wire], T]) -> T:
        with self._lock:
            try:
                return self._attempt(work)
            except Broken as broken:
                if not broken.may_be_tried_again:
                    raise
            return self._attempt(work)

    def _attempt(self, work: Callable[[Wire], T]) -> T:
        was_open = False
        try:
            wire = self._connected()
            was_open = True
            return work(wire)
        except (Misconfigured, Poison, BrokerUnavailable):
            raise
        except Exception as error:
            self._discard()
            silent = isinstance(error, (Silent, TimeoutError, BlockingIOError))
            raise Broken(f"{type(error).__name__}: {error}", may_be_tried_again=was_open and not silent) from error

    def _connected(self) -> Wire:
        if self._wire is None:
            self._wire = self._new_wire()
            self._wire.open()
        return self._wire

    def _discard(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.blame()
            wire.collect()
