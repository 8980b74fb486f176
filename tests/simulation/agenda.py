"""What happens next, and the time.

Everything that happens is an entry: a time, an owner, an action. Entries of the same moment come in an order that the seed draws.
Between two statements of one process the others go on (`meanwhile`): whoever is in the middle of something is busy, and what is due
for him waits until he is done. So a single thread brings about every interleaving at the places where a real process waits.

Looks that find nothing are entries, too, and there would be millions of them in a week. `next_need` says when the first of them
could find something; until then time is skipped, and the clocks of the processes do not count it.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

DEEPEST = 4
SHORTEST_SKIP_S = 0.6


@dataclass(slots=True, order=True)
class Entry:
    """`idle`: a look of the kind that is repeated for ever."""

    at: float
    tie: float
    owner: str = field(compare=False)
    what: str = field(compare=False)
    action: Callable[[], object] = field(compare=False)
    idle: bool = field(compare=False, default=False)


class Agenda:
    """`now` is the time of the database, in seconds; `lived` leaves out what was skipped; `business`: what waits and is no mere look."""

    def __init__(self, chance: Random, heard: Callable[[str, str], None]) -> None:
        self.now = 0.0
        self.skipped = 0.0
        self.steps = 0
        self.business = 0
        self.next_need: Callable[[], float] = lambda: 0.0
        self.on_skip: Callable[[float], None] = lambda _: None
        self._chance = chance
        self._heard = heard
        self._entries: list[Entry] = []
        self._busy: list[str] = []
        self._depth = 0
        self._waiting: list[Entry] = []

    @property
    def lived(self) -> float:
        return self.now - self.skipped

    def after(self, delay_s: float, owner: str, what: str, action: Callable[[], object], *, idle: bool = False) -> None:
        """Let something happen in so many seconds."""
        self.business += not idle
        heapq.heappush(self._entries, Entry(self.now + delay_s, self._chance.random(), owner, what, action, idle))

    def step(self) -> bool:
        """The next entry. False: there is none."""
        if not self._entries:
            return False
        if self._entries[0].idle:
            self._skip()
        self._do(heapq.heappop(self._entries))
        return True

    def meanwhile(self, duration_s: float) -> None:
        """Let the others go on while the process whose entry this is waits for so many seconds."""
        if self._depth >= DEEPEST:
            return
        until = self.now + duration_s
        self._depth += 1
        try:
            while self._entries and self._entries[0].at <= until:
                entry = heapq.heappop(self._entries)
                if entry.owner in self._busy:
                    self._waiting.append(entry)
                else:
                    self._do(entry)
        finally:
            self._depth -= 1
        self.now = max(self.now, until)

    def _do(self, entry: Entry) -> None:
        self.now = max(self.now, entry.at)
        self.steps += 1
        self.business -= not entry.idle
        if not entry.idle:
            self._heard(entry.owner, entry.what)
        self._busy.append(entry.owner)
        try:
            entry.action()
        finally:
            self._busy.pop()
            if self._waiting:
                self._call_back()

    def _call_back(self) -> None:
        """What waited for somebody who is not busy any more is due again."""
        still = []
        for entry in self._waiting:
            if entry.owner in self._busy:
                still.append(entry)
            else:
                heapq.heappush(self._entries, entry)
        self._waiting = still

    def _skip(self) -> None:
        """Pass over the time in which nobody would find anything."""
        if self._depth or self._waiting:
            return
        first = self._entries[0].at
        busy = min((entry.at for entry in self._entries if not entry.idle), default=float("inf"))
        gap = min(busy, self.next_need()) - first
        if not SHORTEST_SKIP_S < gap < float("inf"):
            return
        self.now += gap
        self.skipped += gap
        for entry in self._entries:
            if entry.idle:
                entry.at += gap
        heapq.heapify(self._entries)
        self.on_skip(gap)
