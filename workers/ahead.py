"""Works ahead in a thread of its own, a few items and no more."""

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")

LOOK_S = 0.2


class _End:
    """What the thread leaves as its last word."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Ahead(Generic[T]):
    """An iterator over the same items, made in another thread. `None` comes when there is nothing yet, so that its user can look around.

    The thread is a daemon: it may be blocked in a read that nothing but the other side can end.
    """

    def __init__(self, items: Iterable[T], *, depth: int = 2) -> None:
        self._items = items
        self._queue: Queue[T | _End] = Queue(maxsize=depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ahead", daemon=True)

    def __iter__(self) -> Iterator[T | None]:
        self._thread.start()
        while True:
            try:
                item = self._queue.get(timeout=LOOK_S)
            except Empty:
                yield None
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def close(self) -> None:
        """Take no more; the thread ends with its current item."""
        self._closed.set()

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as raised:  # noqa: BLE001 - it is raised again where the items are used
            error = raised
        self._put(_End(error))

    def _put(self, item: T | _End) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=LOOK_S)
            except Full:
                continue
            return True
        return False
