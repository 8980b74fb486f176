"""While a role runs, a thread that ends by an error ends the process: half a process is a zombie that looks alive to everybody.

Nothing is tidied up on purpose. What the process held is taken over as after any crash, and whoever started it sees that it has failed.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from workers.cli.failures import FAILED


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """End the process at once when one of its threads dies inside the block."""
    before, threading.excepthook = threading.excepthook, _end
    try:
        yield
    finally:
        threading.excepthook = before


def _end(died: threading.ExceptHookArgs) -> None:
    name = died.thread.name if died.thread else "?"
    try:
        import structlog  # late, so that `--help` starts fast

        structlog.get_logger().critical(
            "a thread has ended, and with it the process", thread=name, exc_info=died.exc_value
        )
    finally:
        os._exit(FAILED)
