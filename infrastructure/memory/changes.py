"""All or nothing in memory: one lock, and a list of how to undo what the current block did.

Whoever changes something notes how to undo it first. Blocks nest: an inner block that fails takes back its own changes, the outermost
one takes back everything. Nobody sees a half-done block, because the lock is held until its end.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock


class Changes:
    """The transactions of one store."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._undo: list[Callable[[], object]] = []
        self._depth = 0

    @contextmanager
    def block(self) -> Iterator[None]:
        """Keep what is done inside if the block ends well, else take it back."""
        with self._lock:
            start = len(self._undo)
            self._depth += 1
            try:
                yield
            except BaseException:
                self._take_back(start)
                raise
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._undo.clear()

    def note(self, undo: Callable[[], object]) -> None:
        """Remember how to undo what comes next."""
        self._undo.append(undo)

    def _take_back(self, start: int) -> None:
        while len(self._undo) > start:
            self._undo.pop()()
