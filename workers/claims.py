"""What a worker takes on: runs of the orders that it was woken for, and due runs that nobody came for.

A frame is acknowledged once the claim of its orders has committed; from then on the rows remember the work.
"""

from collections import deque

from domain.errors import StoreUnavailable
from infrastructure.failpoints import reach
from workers.desk import Desk
from workers.mailbox import WakeUp
from workers.tools import Tools
from workers.worker_settings import Counters, WorkerSettings


class Claims:
    """Used by one thread. Whatever raises `StoreUnavailable` may have claimed something that we do not know of."""

    def __init__(self, tools: Tools, settings: WorkerSettings, desk: Desk, counters: Counters) -> None:
        self._store = tools.store
        self._holding = tools.holding
        self._clock = tools.clock
        self._settings = settings
        self._desk = desk
        self._counters = counters
        self._pending: deque[WakeUp] = deque()
        self._swept_at = float("-inf")

    def woken(self, frame: WakeUp) -> None:
        """Claim for its orders as soon as there is room."""
        self._pending.append(frame)

    def is_hungry(self) -> bool:
        """There are frames, and room for their orders."""
        return bool(self._pending) and self._room() > 0

    def look(self) -> None:
        """Take on what there is room for. Raises `StoreUnavailable`."""
        self._sweep()  # before new work, so that a backlog cannot keep retries and timers waiting
        self._claim_woken()

    def _room(self) -> int:
        return self._settings.in_flight - len(self._desk)

    def _claim_woken(self) -> None:
        """Claim the due runs of the orders that we were woken for, then acknowledge the frames."""
        frames: list[WakeUp] = []
        room = min(self._room(), self._settings.batch)
        while self._pending and room > 0:
            frame = self._pending.popleft()
            frames.append(frame)
            room -= len(frame.orders)
        if not frames:
            return
        orders = list(dict.fromkeys(order_id for frame in frames for order_id in frame.orders))
        reach("before_claim")
        try:
            self._desk.begin(self._store.claim(orders, list(self._settings.steps), self._holding.current))
        except StoreUnavailable:
            self._pending.extendleft(reversed(frames))
            self._desk.unsure = True
            raise
        reach("after_claim_before_ack")
        for frame in frames:
            frame.settle()
        reach("after_ack")

    def _sweep(self) -> None:
        """Claim what has been due for a while and nobody came for: a lost wake-up costs time only."""
        now = self._clock()
        room = min(self._room(), self._settings.batch)
        if room <= 0 or now - self._swept_at < self._settings.sweep.total_seconds():
            return
        self._swept_at = now
        try:
            claimed = self._store.claim_due(room, list(self._settings.steps), self._holding.current)
        except StoreUnavailable:
            self._desk.unsure = True
            raise
        reach("after_sweep")
        self._desk.begin(claimed)
        self._counters.swept += len(claimed)
        if len(claimed) == self._settings.batch:
            self._swept_at = float("-inf")  # there is more: do not wait
