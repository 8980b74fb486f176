"""Runs that may be what ends their workers: each is taken alone, so that nothing else pays for it.

When one has waited for a while, the worker takes on nothing more, lets its desk run empty, takes suspects one by one for a short time
and then goes on as before, for several times as long as that took: suspects must not be starved, and must not starve the others.
"""

from collections.abc import Sequence
from datetime import timedelta

from domain.errors import StoreUnavailable
from domain.work import Step
from workers.desk import Desk
from workers.tools import Tools
from workers.worker_settings import WorkerSettings

SESSION_S = 1.0
REST = 4.0


class Suspects:
    """Used by one thread. `are_alone`: nothing but suspects may be taken on or carried on now."""

    def __init__(self, tools: Tools, settings: WorkerSettings, desk: Desk) -> None:
        self._tools = tools
        self._settings = settings
        self._desk = desk
        self.are_alone = False
        self._began_at = 0.0
        self._since: float | None = None  # when the first of this session was claimed
        self._look_at = float("-inf")

    def adopt(self, settings: WorkerSettings) -> None:
        """From now on."""
        self._settings = settings

    def look(self, steps: Sequence[Step]) -> bool:
        """Take the next suspect if it is time. True: take on nothing else. Raises `StoreUnavailable`."""
        if not self.are_alone and not self._begin(steps):
            return False
        if len(self._desk):
            return True
        now = self._tools.clock()
        if self._since is None:
            self._since = now
        if now - self._since <= SESSION_S and self._claim(steps):
            return True
        self._end(now)
        return False

    def probe(self, steps: Sequence[Step]) -> int:
        """Take one of steps that are limited, and that nothing else waits for: without it nobody would learn that all is well again."""
        if len(self._desk) or not self._claim(steps):
            return 0
        now = self._tools.clock()
        self.are_alone, self._began_at, self._since = True, now, now
        return 1

    def _begin(self, steps: Sequence[Step]) -> bool:
        now = self._tools.clock()
        if now < self._look_at:
            return False
        sweep = self._settings.sweep
        self._look_at = now + sweep.total_seconds()
        patience = sweep * (0.5 + self._tools.random()) if len(self._desk) else timedelta(0)
        if self._tools.store.suspects_wait(steps, patience):
            self.are_alone, self._began_at, self._since = True, now, None
        return self.are_alone

    def _claim(self, steps: Sequence[Step]) -> bool:
        try:
            run = self._tools.store.claim_suspect(steps, self._tools.holding.current)
        except StoreUnavailable:
            self._desk.unsure = True
            raise
        if run is not None:
            self._desk.begin([run])
        return run is not None

    def _end(self, now: float) -> None:
        self.are_alone = False
        self._look_at = now + max(self._settings.sweep.total_seconds(), REST * (now - self._began_at))
