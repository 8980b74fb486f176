"""A total deadline for work on a socket, kept by one watchdog thread that shuts the socket down.

Socket time-outs bound one `recv`, not a call: a peer that sends a byte a second keeps a caller for ever, and so does a library that
calls `recv` itself (libpq). Shutting the connection down from outside ends every such wait at once, in whatever read or write it is.

    with watchdog.limit(sock, 2.5) as limit:
        talk(sock)                # raises, or sees the end of the stream, at the latest after 2.5 s
    if limit.expired: ...         # then the connection is dead and must be thrown away

Invariants: after the `with` block has ended the socket is never touched (both sides hold the lock while they decide). A file
descriptor is duplicated on entry, so a number reused by somebody else is never shut down. The monotonic clock rules. One thread
serves any number of limits; it is started by the first and is a daemon. Not across fork.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from heapq import heapify, heappop, heappush
from itertools import count

_SMALL_HEAP = 1024


class Limit:
    """One deadline. A socket that does not exist yet, or replaces another, is put under it with `watch`."""

    __slots__ = ("_lock", "_socket", "deadline", "done", "expired")

    def __init__(self, deadline: float, lock: threading.Lock) -> None:
        self.deadline = deadline
        self.done = False
        self.expired = False
        self._socket: socket.socket | None = None
        self._lock = lock

    @property
    def remaining_s(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def watch(self, sock: socket.socket) -> None:
        with self._lock:
            self._socket = sock
            if self.expired:
                _shut(sock)

    def finish(self) -> None:
        with self._lock:
            self.done = True
            self._socket = None

    def expire(self) -> None:
        """Called with the lock held."""
        if not self.done:
            self.expired = True
            if self._socket is not None:
                _shut(self._socket)


class Watchdog:
    """Keeps the deadlines of a whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._heap: list[tuple[float, int, Limit]] = []
        self._number = count()
        self._compact_above = _SMALL_HEAP
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(self, sock_or_fd: socket.socket | int | None, seconds: float) -> Iterator[Limit]:
        """Shuts the socket down unless the block has ended within `seconds`; None: the socket comes later, by `watch`."""
        limit = Limit(time.monotonic() + seconds, self._lock)
        duplicate = socket.socket(fileno=os.dup(sock_or_fd)) if isinstance(sock_or_fd, int) else None
        sock = duplicate or sock_or_fd
        try:
            if isinstance(sock, socket.socket):
                limit.watch(sock)
            self._add(limit)
            yield limit
        finally:
            limit.finish()
            if duplicate is not None:
                duplicate.close()

    def _add(self, limit: Limit) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deadline-watchdog", daemon=True)
                self._thread.start()
            if len(self._heap) > self._compact_above:
                self._compact()
            heappush(self._heap, (limit.deadline, next(self._number), limit))
            if self._heap[0][2] is limit:
                self._changed.notify()

    def _compact(self) -> None:
        """Drops what is done; the next time is when the heap has doubled again, so the cost per limit is constant."""
        self._heap = [entry for entry in self._heap if not entry[2].done]
        heapify(self._heap)
        self._compact_above = max(_SMALL_HEAP, 2 * len(self._heap))

    def _run(self) -> None:
        with self._changed:
            while True:
                self._changed.wait(self._expire_due())

    def _expire_due(self) -> float | None:
        """Expires what is due and tells how long nothing else will be; None: until something is added."""
        while self._heap:
            deadline, _, limit = self._heap[0]
            if not limit.done and deadline > time.monotonic():
                return deadline - time.monotonic()
            heappop(self._heap)
            limit.expire()
        return None


def _shut(sock: socket.socket) -> None:
    """The plain shutdown also for TLS: that of `SSLSocket` would let a reader go on in clear text."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


watchdog = Watchdog()
