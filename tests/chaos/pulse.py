"""The pulse of an installation: how long nothing was appended though orders were open, over every outage."""

import threading
from time import monotonic

from tests.chaos.observer import Observer

LOOK_S = 0.05


class Pulse:
    """Looks from a thread of its own until it is stopped; `longest_s` is what it saw."""

    def __init__(self, dsn: str) -> None:
        self._observer = Observer(dsn)
        self._stop = threading.Event()
        self.longest_s = 0.0
        self._thread = threading.Thread(target=self._watch, name="pulse", daemon=True)
        self._thread.start()

    def stop(self) -> float:
        self._stop.set()
        self._thread.join(30)
        self._observer.close()
        return self.longest_s

    def _watch(self) -> None:
        last, since = -1, monotonic()
        while not self._stop.wait(LOOK_S):
            placed, closed, position = self._observer.progress()
            idle = position > 0 and placed == closed
            if idle or (position > 0 and position != last):
                self.longest_s = max(self.longest_s, 0.0 if idle else monotonic() - since)
                last, since = position, monotonic()
            else:
                self.longest_s = max(self.longest_s, monotonic() - since)
