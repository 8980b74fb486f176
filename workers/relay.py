"""The relay: the clock and the safety net of the work list.

It announces what is due and was not claimed: retries and timers whose time has come, runs whose first announcement was lost with a
crash or a wiped broker. It makes the runs of vanished holders ready again. Any number of relays may run; they share out the due work by
the hash of the order's id, and one of them looks after vanished holders (`workers/relay_share.py`).

When a step's queue already holds many frames, its workers are behind and more wake-ups would only pile up: its rows are left for
later, those of other steps are not. Rows of steps whose breaker is not closed, or that are paused, wait for it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from domain.errors import BrokerUnavailable, StoreUnavailable
from domain.ports import WorkList
from domain.work import Step
from infrastructure.chance import chance
from infrastructure.failpoints import reach
from workers.announce import Announce
from workers.breaking import AllClosed, Breakers, without
from workers.health import Pulse, Silent
from workers.relay_share import Mine, everything

log = structlog.get_logger()


class RelayStore(WorkList, Protocol):
    """What a relay needs of the store."""

    def forget_holders(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """`interval_s` between looks when nothing is due; `full_at`: frames in a queue that count as a backlog.

    `spare_every_s`: how often a relay does what is another's to do, if it is somebody's at all.
    """

    interval_s: float = 0.25
    orphans_every_s: float = 0.25
    tidy_every_s: float = 60.0
    limit: int = 2000
    full_at: int = 50
    spare_every_s: float = 5.0


class Relay:
    """`run` returns when it was stopped."""

    def __init__(
        self,
        store: RelayStore,
        announce: Announce,
        backlog: Callable[[str], int | None],
        settings: RelaySettings | None = None,
        *,
        breakers: Breakers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._announce = announce
        self._backlog = backlog
        self._busy = True  # the queues are asked how full they are only while there is something to announce
        self._settings = settings or RelaySettings()
        self._breakers = breakers or AllClosed()
        self._clock = clock
        self._stop = threading.Event()
        self._orphans_at = float("-inf")
        self._tidied_at = float("-inf")
        self._spared_at = float("-inf")
        self.announced = 0
        self.pulse: Pulse = Silent()
        self.share: Callable[[], Mine] = everything
        self.paused: frozenset[Step] = frozenset()  # may be set at any time, in any thread

    def stop(self) -> None:
        """Ask the relay to end after this look."""
        self._stop.set()

    def run(self) -> None:
        """Look at the work list again and again."""
        failures = 0
        while not self._stop.is_set():
            try:
                busy = self.look()
                failures = 0
            except (StoreUnavailable, BrokerUnavailable) as error:
                failures += 1
                busy = False
                log.warning("relay waits", reason=error.reason, failures=failures)
            self.pulse.beat(reached=not failures)
            pause = self._settings.interval_s * 2 ** min(failures, 4)
            self._stop.wait(0.0 if busy else pause * chance.uniform(0.75, 1.25))

    def look(self) -> bool:
        """One look. True: there was a full load, so look again at once."""
        mine = self.share()
        self._sweep(mine)
        self._breakers.refresh()
        if self._leaves_it_to_others(mine):
            return False
        open_steps = without(frozenset(Step) - self.paused, self._breakers.limited())
        free = [step for step in Step if step in open_steps and not (self._busy and self._has_backlog(step))]
        due = self._store.wake(self._settings.limit, free, portion=mine.portion)
        reach("after_wake_before_publish")
        self._announce(due)
        reach("after_publish_before_next")
        self.announced += len(due)
        self._busy = bool(due) or len(free) < len(open_steps)
        return len(due) == self._settings.limit

    def _sweep(self, mine: Mine) -> None:
        """Runs of the vanished; now and then what only a thorough look finds, and rows of holders that are long gone."""
        now, seldom = self._clock(), 0.0 if mine.sweeps else self._settings.spare_every_s
        tidy = now - self._tidied_at >= max(self._settings.tidy_every_s, 12 * seldom)
        if tidy or now - self._orphans_at >= max(self._settings.orphans_every_s, seldom):
            self._orphans_at = now
            reach("before_orphans")
            orphans = self._store.orphans(thorough=tidy)
            if orphans:
                log.warning("runs of vanished workers are ready again", runs=orphans)
        if tidy:
            self._tidied_at = now
            self._store.forget_holders()

    def _leaves_it_to_others(self, mine: Mine) -> bool:
        """A relay without a partition only looks now and then whether something was left lying."""
        if not mine.stands_by:
            return False
        if self._clock() - self._spared_at < self._settings.spare_every_s:
            return True
        self._spared_at = self._clock()
        return False

    def _has_backlog(self, step: Step) -> bool:
        return (self._backlog(step) or 0) >= self._settings.full_at
