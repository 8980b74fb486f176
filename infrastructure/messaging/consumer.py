"""Our own consumer loop, instead of kombu's ConsumerMixin, which drops what it cannot decode and does not stop while the broker is away."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

from domain.messaging import Inbound
from infrastructure.chance import chance
from infrastructure.failpoints import reach
from infrastructure.messaging.hardening import Check
from infrastructure.messaging.session import Handlers, Session
from infrastructure.messaging.settings import checked_queues
from infrastructure.messaging.waker import Waker
from infrastructure.messaging.wire import Wire

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
POLITE_S = 1.0


class KombuConsumer:
    """A thread that owns its connection and makes a new one after every error, pausing longer each time, with full jitter."""

    def __init__(
        self,
        new_wire: Callable[[], Wire],
        *,
        queues: Sequence[str],
        prefetch: int,
        on_unreadable: Callable[[Inbound, str], None],
        check: Check,
    ) -> None:
        self._new_wire = new_wire
        self._queues = checked_queues(queues)
        self._prefetch = prefetch
        self._on_unreadable = on_unreadable
        self._check = check
        self._stopping = threading.Event()
        self._waker = Waker()
        self._wire: Wire | None = None
        self._thread: threading.Thread | None = None
        self._paused: frozenset[str] = frozenset()
        self.connected = False
        self.turned_at = monotonic()

    def pause(self, queues: Iterable[str]) -> None:
        self._paused |= set(queues)
        self._waker.wake()

    def resume(self, queues: Iterable[str]) -> None:
        self._paused -= set(queues)
        self._waker.wake()

    def start(self, on_message: Callable[[Inbound], None]) -> None:
        if self._thread is not None:
            raise RuntimeError("a consumer is started once; make a new one")
        handlers = Handlers(on_message=on_message, on_unreadable=self._on_unreadable, check=self._check)
        name = f"consumer-{self._queues[0]}" if self._queues else "consumer"
        self._thread = threading.Thread(target=self._run, args=(handlers,), name=name, daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        self._stopping.set()
        self._waker.wake()
        thread = self._thread
        if thread is None:
            return True
        until = monotonic() + timeout_s
        thread.join(min(POLITE_S, timeout_s))
        if thread.is_alive() and self._wire is not None:
            self._wire.cut()
        thread.join(max(0.0, until - monotonic()))
        return not thread.is_alive()

    def _run(self, handlers: Handlers) -> None:
        failures = 0
        try:
            while not self._stopping.is_set():
                self.turned_at = monotonic()
                healthy = self._live_once(handlers)
                failures = 1 if healthy else failures + 1
                self._stopping.wait(_pause(failures))
        finally:
            self._waker.close()

    def _live_once(self, handlers: Handlers) -> bool:
        """Run one session to its end. True if it had worked."""
        self._wire = wire = self._new_wire()
        session = Session(wire, self._waker, handlers)
        try:
            self._serve(session)
        except Exception as error:  # noqa: BLE001 - whatever ended it, the next session starts afresh
            log.warning("connection to the broker ended: %s: %s", type(error).__name__, error)
            wire.blame()
            session.collect()
        finally:
            self.connected = False
        return session.delivered > 0

    def _serve(self, session: Session) -> None:
        session.open(self._queues, prefetch=self._prefetch)
        self.connected = True
        while not self._stopping.is_set():
            reach("consuming")
            self.turned_at = monotonic()
            session.turn(paused=self._paused)
        session.close()


def _pause(failures: int) -> float:
    return chance.uniform(0.0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 10)))
