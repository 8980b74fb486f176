"""What the two brokers share whose protocol kombu only emulates: a drain that never sleeps."""

import socket
from queue import Empty

from kombu.transport import virtual

from infrastructure.messaging.untyped import Untyped
from infrastructure.messaging.wire import Wire


class PromptTransport(virtual.Transport):
    """kombu's virtual transports sleep in `drain_events` between polls, where nobody can wake them. The waiting is our loop's."""

    def drain_events(self, connection: Untyped, timeout: float | None = None, **_: Untyped) -> None:
        try:
            self.cycle.get(self._deliver, timeout=timeout)  # type: ignore[union-attr]
        except Empty:
            raise socket.timeout from None  # noqa: UP041 - kombu's name for "nothing there"


class PromptWire(Wire):
    def drain(self) -> bool:
        try:
            self.transport.drain_events(self._raw, timeout=0)
        except TimeoutError:
            return False
        return True

    def collect(self) -> None:
        """Local only, but needed: an open channel of kombu's is kept alive by its exit handler."""
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.close_connection(self._raw)
        self._client = None
