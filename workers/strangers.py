"""Frames that name orders which do not exist: kept as dead letters, since somebody wrote them.

Most frames for which nothing was claimed are doubled wake-ups of orders that went on; so those are looked up in a thread of its own, one
question a frame, and never in the way of the work. When there are too many at once, some are not looked up: a stray frame harms nobody.
"""

import threading
from collections.abc import Callable, Sequence
from queue import Empty, Full, Queue

import structlog

from domain.errors import BrokerUnavailable, StoreUnavailable
from domain.messaging import Inbound

log = structlog.get_logger()

WAITING = 100
LOOK_S = 0.5

FindUnknown = Callable[[Sequence[str]], Sequence[str]]
Bury = Callable[[Inbound, str], None]


class Strangers:
    """`bury` keeps a copy of a message; `find_unknown` says which of these orders do not exist."""

    def __init__(self, find_unknown: FindUnknown, bury: Bury) -> None:
        self._find_unknown = find_unknown
        self._bury = bury
        self._frames: Queue[tuple[Inbound, Sequence[str]]] = Queue(WAITING)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="strangers", daemon=True)

    def start(self) -> None:
        """Begin to look frames up."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Look nothing more up. True if it ended in time."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def came(self, inbound: Inbound, orders: Sequence[str]) -> None:
        """Nothing was claimed for this frame, which is settled already. Never blocks."""
        try:
            self._frames.put_nowait((inbound, orders))
        except Full:
            return

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                inbound, orders = self._frames.get(timeout=LOOK_S)
            except Empty:
                continue
            try:
                self._look(inbound, orders)
            except (StoreUnavailable, BrokerUnavailable) as error:
                log.info("a frame was not looked up", reason=error.reason)

    def _look(self, inbound: Inbound, orders: Sequence[str]) -> None:
        unknown = self._find_unknown(orders)
        if unknown:
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            self._bury(inbound, f"unknown order {unknown[0]!r}{more}")
