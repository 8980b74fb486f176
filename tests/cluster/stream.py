"""A steady stream of messages through our own publisher and consumer, that knows what was confirmed, what came, and how long nothing did."""

import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

from domain.errors import BrokerUnavailable
from domain.messaging import Inbound, Outbound
from infrastructure.embedded.waiting import wait_until
from infrastructure.messaging.broker import Broker

BATCH = 5
PACE_S = 0.01
PATIENCE_S = 90.0


class Stream:
    """Numbers, in order; what was not confirmed is sent again under the same number."""

    def __init__(self, broker: Broker, queue: str) -> None:
        self._broker = broker
        self.queue = queue
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._publish, name="stream", daemon=True)
        self._consumer = broker.consumer([queue], on_unreadable=self._refuse)
        self._guard = threading.Lock()
        self.confirmed = 0
        self.received = set[int]()
        self.came = 0
        self.unconfirmed = 0
        self.trouble = "no publish failed"
        self._sent_at = self._came_at = monotonic()
        self.publish_pause_s = self.receive_pause_s = 0.0

    def __enter__(self) -> Self:
        self._broker.declare([self.queue])
        self._consumer.start(self._receive)
        self._thread.start()
        self.goes_on()
        self.forget_pauses()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(PATIENCE_S)
        self._consumer.stop(PATIENCE_S)

    def goes_on(self, count: int = 100) -> None:
        """Wait until so many more have been confirmed, and have come."""
        target = self.confirmed + count
        assert wait_until(lambda: self.confirmed >= target, timeout_s=PATIENCE_S), self._state()
        assert wait_until(lambda: len(self.received) >= target, timeout_s=PATIENCE_S), self._state()

    def _state(self) -> str:
        publishing = "publishing" if self._thread.is_alive() else "no publisher any more"
        return f"{publishing}: {self.confirmed} confirmed, {len(self.received)} came, {self.unconfirmed} failed: {self.trouble}"

    def forget_pauses(self) -> None:
        self.publish_pause_s = self.receive_pause_s = 0.0

    def missing(self) -> set[int]:
        """What was confirmed and has not come; waits a while for it."""
        confirmed = range(self.confirmed)

        def rest() -> set[int]:
            with self._guard:
                return set(confirmed) - self.received

        wait_until(lambda: not rest(), timeout_s=PATIENCE_S)
        return rest()

    def report(self, what: str) -> None:
        """For people who run this with -s: bounds are the caller's business."""
        doubled = self.came - len(self.received)
        print(  # noqa: T201
            f"\n{what}: nothing confirmed for {self.publish_pause_s:.1f} s, nothing received for {self.receive_pause_s:.1f} s;"
            f" {self.confirmed} confirmed, {len(self.received)} came, {doubled} of them twice, {self.unconfirmed} publishes failed"
        )

    def _publish(self) -> None:
        with self._broker.publisher() as publisher:
            while not self._stopping.wait(PACE_S):
                numbers = range(self.confirmed, self.confirmed + BATCH)
                self._attempt(lambda numbers=numbers: publisher.publish(self._messages(numbers)))  # type: ignore[misc]

    def _messages(self, numbers: range) -> list[Outbound]:
        return [Outbound(queue=self.queue, body=b"%d" % number) for number in numbers]

    def _attempt(self, publish: Callable[[], None]) -> None:
        try:
            publish()
        except BrokerUnavailable as error:
            self.unconfirmed += 1
            self.trouble = error.reason
            return
        self.confirmed += BATCH
        now = monotonic()
        self.publish_pause_s, self._sent_at = max(self.publish_pause_s, now - self._sent_at), now

    def _receive(self, inbound: Inbound) -> None:
        now = monotonic()
        self.receive_pause_s, self._came_at = max(self.receive_pause_s, now - self._came_at), now
        with self._guard:
            self.received.add(int(inbound.body))
        self.came += 1
        inbound.settle()

    def _refuse(self, inbound: Inbound, reason: str) -> None:
        raise AssertionError(reason)
