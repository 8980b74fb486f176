"""The keeper: takes what the broker's dead-letter queue holds and stores it, bytes and labels, where people look for it.

A dead letter leaves the broker only after its row is committed. While the database is away the message is given back after a pause,
so the queue keeps it. In between the keeper keeps house at the broker: `tidy` drops what producers left behind when they were killed.
"""

import threading
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from domain.errors import BrokerUnavailable, Poison, StoreUnavailable
from domain.messaging import Consumer, Inbound
from infrastructure.failpoints import reach

log = structlog.get_logger()

PAUSE_S = 1.0
LONGEST_LABEL = 500
TIDY_EVERY_S = 60.0


class Bury(Protocol):
    """Stores a message."""

    def __call__(self, *, reason: str, origin: str, body: bytes, headers: dict[str, Any]) -> None: ...


class Keeper:
    """`run` returns when it was stopped."""

    def __init__(
        self,
        consumer: Consumer,
        bury: Bury,
        tidy: Callable[[], int] = lambda: 0,
        *,
        tidy_every_s: float = TIDY_EVERY_S,
    ) -> None:
        self._consumer = consumer
        self._bury = bury
        self._tidy = tidy
        self._tidy_every_s = tidy_every_s
        self._stop = threading.Event()
        self.kept = 0

    def stop(self) -> None:
        """Ask the keeper to end."""
        self._stop.set()

    def run(self) -> bool:
        """Keep until stopped; True if the consumer ended in time."""
        self._consumer.start(self._keep)
        while not self._stop.wait(self._tidy_every_s):
            self._tidy_up()
        return self._consumer.stop(3.0)

    def _tidy_up(self) -> None:
        try:
            if dropped := self._tidy():
                log.info("reply queues without a reader were dropped", queues=dropped)
        except BrokerUnavailable as error:
            log.warning("the broker was not tidied", reason=error.reason)

    def _keep(self, letter: Inbound) -> None:
        labels = {str(name)[:100]: _plain(value) for name, value in list(letter.headers.items())[:50]}
        reason = str(labels.get("ow-reason") or "refused by the broker")
        origin = str(labels.get("ow-queue") or labels.get("x-first-death-queue") or letter.queue)
        reach("before_bury")
        try:
            self._bury(reason=reason, origin=origin, body=letter.body, headers=labels)
        except StoreUnavailable as error:
            log.warning("dead letter stays at the broker", reason=error.reason)
            self._stop.wait(PAUSE_S)
            letter.release()
            return
        except Poison as error:
            log.warning("labels of a dead letter cannot be stored", reason=str(error))
            self._bury(
                reason=reason.encode("ascii", "backslashreplace").decode(), origin="", body=letter.body, headers={}
            )
        reach("after_bury_before_ack")
        letter.settle()
        self.kept += 1
        log.warning("dead letter kept", queue=origin, size=len(letter.body), reason=reason)


def leave(letter: Inbound, reason: str) -> None:
    """For a keeper nothing is unreadable; what its own handler failed at stays at the broker and comes again."""
    log.error("dead letter could not be kept", queue=letter.queue, reason=reason)
    letter.release()


def _plain(value: object) -> object:
    """A label as JSON can hold it: a stranger's may be anything."""
    if value is None or isinstance(value, (bool, int)):
        return value
    return str(value)[:LONGEST_LABEL].replace("\0", "\\0")
