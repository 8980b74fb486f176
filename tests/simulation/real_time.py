"""No clock and no chance but the simulated ones: whoever of the program looks at the real ones is found out.

Threads that are not the simulation's (a test runner has some) are let be.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WATCHED: tuple[tuple[Any, str], ...] = (
    (time, "time"),
    (time, "monotonic"),
    (time, "sleep"),
    (random, "random"),
    (random, "uniform"),
)


@contextmanager
def forbidden(find: Callable[[str], None]) -> Iterator[None]:
    """Tell of every look at a real clock, and of every draw that no seed governs, until the end of the block."""
    here = threading.get_ident()
    saved = [(module, name, getattr(module, name)) for module, name in WATCHED]

    def watched(label: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def tell(*arguments: Any) -> Any:
            if threading.get_ident() == here:
                find(f"{label} is real")
            return real(*arguments)

        return tell

    for module, name, real in saved:
        setattr(module, name, watched(f"{module.__name__}.{name}", real))
    try:
        yield
    finally:
        for module, name, real in saved:
            setattr(module, name, real)
