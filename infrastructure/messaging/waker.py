"""Lets any thread end the wait of another one that sits in `select`.

This is why an idle consumer costs nothing and an acknowledgement still leaves at once: nobody polls for it.
"""

import contextlib
import os
import threading


class Waker:
    """A pipe with at most one byte in it."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._rung = False
        self._open = threading.Lock()

    def fileno(self) -> int:
        return self._reader

    def wake(self) -> None:
        if self._rung:
            return
        with self._open:  # against `close`: a closed descriptor may already belong to somebody else
            if not self._rung:
                self._rung = True
                os.write(self._writer, b"\0")

    def clear(self) -> None:
        """To be called by the sleeper before it looks for what it was woken for."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 64)
        self._rung = False

    def close(self) -> None:
        with self._open:
            self._rung = True
            os.close(self._reader)
            os.close(self._writer)
