"""Announcing work after a commit. A broker that is away must not fail what has been committed: the relay announces it later.

Nor must one that says nothing hold up those who decide: it costs the whole time-out of a confirmation until that is known. So a
worker announces from a thread of its own (`Announcing`). What waits there is bounded, and what finds no room is dropped.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic

import structlog

from domain.errors import BrokerUnavailable

log = structlog.get_logger()

Announce = Callable[[Iterable[tuple[str, str]]], None]

QUIET_S = 5.0
ROOM = 10_000


def patiently(announce: Announce, clock: Callable[[], float] = monotonic) -> Announce:
    """As `announce`, for pairs of step and order id, but without an error when the broker does not take them.

    A broker that did not answer is then left alone for a while: waiting for it again and again would hold up the work.
    """
    quiet_until = float("-inf")

    def announce_or_log(pairs: Iterable[tuple[str, str]]) -> None:
        nonlocal quiet_until
        wanted = list(pairs)
        if not wanted or clock() < quiet_until:
            return
        try:
            announce(wanted)
        except BrokerUnavailable as error:
            quiet_until = clock() + QUIET_S
            log.warning("wake-ups not sent, the relay will", reason=error.reason, wake_ups=len(wanted))

    return announce_or_log


class Announcing:
    """As `announce`, for whoever must never wait: a thread of its own sends what has gathered, all at once.

    An error that is none of the broker's ends the thread and goes to `fail`.
    """

    def __init__(self, announce: Announce, *, room: int = ROOM) -> None:
        self._announce = announce
        self._room = room
        self._waiting: deque[tuple[str, str]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._fail: Callable[[BaseException], None] = lambda _error: None
        self._thread = threading.Thread(target=self._run, name="announcing", daemon=True)

    def __call__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Never blocks, never raises."""
        wanted = list(pairs)
        with self._changed:
            taken = wanted[: self._room - len(self._waiting)]
            self._waiting.extend(taken)
            self._changed.notify()
        if len(taken) < len(wanted):
            log.warning("no room for wake-ups, the relay will send them", wake_ups=len(wanted) - len(taken))

    def start(self, fail: Callable[[BaseException], None]) -> None:
        self._fail = fail
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Send what waits, as far as the time allows; True if all was tried."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while pairs := self._take():
                self._announce(pairs)
        except BaseException as error:  # noqa: BLE001 - whoever started us has to end
            self._fail(error)

    def _take(self) -> list[tuple[str, str]]:
        """At least one; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            pairs = list(self._waiting)
            self._waiting.clear()
        return pairs
