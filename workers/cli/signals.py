"""SIGTERM and SIGINT for long-running roles: the first asks the role to stop, the second ends the process at once.

A Python signal handler runs in the main thread between two instructions, where taking a lock may wait for ever for the very code it
interrupts. So the handlers do nothing; the interpreter writes the signal's number to a socket, and a thread that reads it acts.

That thread does nothing that could wait: the role is asked to stop, and the log is written, by another one. So the second signal is heard
even if nobody reads the log.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopper:
    """Remembers that the process was asked to stop, and passes it on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []
        self._stopped = threading.Event()

    def is_set(self) -> bool:
        """The process was asked to stop."""
        return self._stopped.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait to be asked; True if that has happened."""
        return self._stopped.wait(timeout_s)

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Call it when the process is asked to stop: at once if it has been already."""
        with self._lock:
            self._callbacks.append(callback)
            late = self._stopped.is_set()
        if late:
            callback()

    def stop(self) -> None:
        """Ask. An error in one callback keeps no other from being called."""
        with self._lock:
            self._stopped.set()
            callbacks = list(self._callbacks)
        with ExitStack() as stack:
            for callback in reversed(callbacks):
                stack.callback(callback)


@contextmanager
def stopping() -> Iterator[Stopper]:
    """Signals set the stopper while the block runs; the second one ends the process."""
    stopper = Stopper()
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    old_wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    old_handlers = {number: signal.signal(number, lambda *_: None) for number in STOP_SIGNALS}  # now none is lost
    threading.Thread(target=_watch, args=(reader, stopper), name="signals", daemon=True).start()
    try:
        yield stopper
    finally:
        signal.set_wakeup_fd(old_wakeup)
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        writer.close()


def stop_with_parent() -> None:
    """Ask this process to stop when the standard input ends: whoever holds its other end is gone."""
    threading.Thread(target=_await_parent, name="parent", daemon=True).start()


def _watch(reader: socket.socket, stopper: Stopper) -> None:
    asked = False
    with reader:
        while numbers := reader.recv(16):
            for number in filter(STOP_SIGNALS.__contains__, numbers):
                if asked:
                    os._exit(128 + number)
                asked = True
                threading.Thread(target=_stop, args=(stopper, number), name="stopping", daemon=True).start()


def _stop(stopper: Stopper, number: int) -> None:
    stopper.stop()
    import structlog

    structlog.get_logger().info("stopping; a second signal ends at once", signal=signal.Signals(number).name)


def _await_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
