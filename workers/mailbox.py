"""What a worker waits for: wake-ups from the broker and answers from outside, in one queue.

A batch is what is there now, up to a limit, never a timer: under load batches grow by themselves, when idle nothing waits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from domain.outside import Answer
from domain.work import Run


@dataclass(frozen=True, slots=True)
class WakeUp:
    """Orders that may have work; `settle` acknowledges the frame they came in."""

    orders: Sequence[str]
    settle: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Answered:
    """What a call brought."""

    run: Run
    answer: Answer | Exception


@dataclass(frozen=True, slots=True)
class Nudge:
    """Something changed that the loop should look at: a stop, a lost lease."""


Mail = WakeUp | Answered | Nudge


class Mailbox:
    """Filled by any thread, emptied by one."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Mail] = SimpleQueue()

    def put(self, mail: Mail) -> None:
        """Never blocks."""
        self._queue.put(mail)

    def take(self, limit: int, timeout_s: float) -> list[Mail]:
        """What is there, up to `limit`; waits for the first one only."""
        mails: list[Mail] = []
        try:
            mails.append(self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait())
            while len(mails) < limit:
                mails.append(self._queue.get_nowait())
        except Empty:
            pass
        return mails
