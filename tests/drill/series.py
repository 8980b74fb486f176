"""An observer that looks again and again from a thread of its own, and remembers the moments at which something had moved."""

import threading
from bisect import bisect_left, bisect_right
from itertools import pairwise
from time import monotonic
from typing import Protocol

EVERY_S = 0.1
STOP_S = 30.0


class Probe(Protocol):
    """A look: whether something moved since the last one."""

    def __call__(self) -> bool: ...

    def close(self) -> None: ...


class Series:
    """`look` says whether something moved since the last look; a look that takes long makes the next one wait."""

    def __init__(self, name: str, look: Probe) -> None:
        self._look = look
        self._moments: list[float] = []
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)
        self._thread.start()

    def longest_s(self, begin: float, end: float) -> float:
        """The longest time without a move between two moments. Raises what an observer died of."""
        if self._error is not None:
            raise self._error
        moments = list(self._moments)
        inside = moments[bisect_right(moments, begin) : bisect_left(moments, end)]
        return max(after - before for before, after in pairwise([begin, *inside, end]))

    def has_moved(self, since: float) -> bool:
        return bool(self._moments) and self._moments[-1] > since

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(STOP_S)
        self._look.close()

    def _watch(self) -> None:
        try:
            while not self._stop.wait(EVERY_S):
                if self._look():
                    self._moments.append(monotonic())
        except Exception as error:  # noqa: BLE001 - raised again where the figures are read
            self._error = error
