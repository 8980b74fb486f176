"""The projector: keeps the read models up to date until it is told to stop.

It polls. Between rounds that found something it rests as long as the round took, at least 10 ms, so the batch grows with the load
and the projector never takes more than half a core; when there is nothing to do the pause doubles up to 250 ms. `wake` ends a pause
at once. A lost database costs time only: the round was one transaction, and the next one begins with a new connection.

Of several projectors each keeps those partitions of read models up to date whose leases it has, about as many as every other; one that
has none stands by. The leases save double work. That no checkpoint is moved by a projector that lost its lease is ensured where it is
moved, in that transaction.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

import structlog

from domain.errors import Transient
from domain.lease import Grant
from infrastructure.chance import chance
from workers.health import Pulse, Silent
from workers.shares import Shares

log = structlog.get_logger()

BUSY_S = 0.01
IDLE_S = 0.25
LONGEST_BACKOFF_S = 5.0
CERTAIN_S = 2.0  # the database is asked more often, even by who stands by


class StoppedProjection(Protocol):
    """A projection that cannot go on, and at which event."""

    @property
    def name(self) -> str: ...

    @property
    def position(self) -> int: ...

    @property
    def reason(self) -> str: ...


class Round(Protocol):
    """What a round did.

    `more`: there is more to do at once; `lost`: what was not ours any more; `changed`: there are other partitions now than before.
    """

    @property
    def events(self) -> int: ...

    @property
    def more(self) -> bool: ...

    @property
    def changed(self) -> bool: ...

    @property
    def stopped(self) -> Sequence[StoppedProjection]: ...

    @property
    def lost(self) -> Sequence[str]: ...


class Projections(Protocol):
    """The read models, which can be brought forward by a page."""

    def advance(self, held: Mapping[str, Grant] | None = None) -> Round:
        """Apply the next page to each projection, or to those that are `held`, under their leases.

        Raises `Transient` when the store is away; may be called again then.
        """
        ...

    def close(self) -> None: ...


class Projector:
    """The role. `run` returns after `stop`, which may come before it, twice, and from a signal handler.

    Without `shares` it is the only one, or one of several that get in each other's way.
    """

    def __init__(self, projections: Projections, shares: Shares | None = None) -> None:
        self._projections = projections
        self._shares = shares
        self._stopping = False
        self._bell: SimpleQueue[None] = SimpleQueue()  # unlike an Event, safe to ring from a signal handler
        self._pause_s = BUSY_S
        self._failures = 0
        self._failed_at = float("-inf")
        self.pulse: Pulse = Silent()

    def run(self) -> None:
        """Work until told to stop; a round that has begun is finished."""
        try:
            while not self._stopping:
                pause_s = self._round()
                self.pulse.beat(reached=time.monotonic() - self._failed_at > CERTAIN_S)
                if pause_s and not self._stopping:
                    with suppress(Empty):
                        self._bell.get(timeout=pause_s)
        finally:
            self._projections.close()
            if self._shares is not None:
                self._shares.close()

    def stop(self) -> None:
        """Finish the round and return from `run`."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """There is something to do."""
        if self._bell.empty():
            self._bell.put(None)

    def _round(self) -> float:
        """One round; returns how long to rest after it."""
        started = time.monotonic()
        try:
            held = None if self._shares is None else self._shares.held()
            if held is not None and not held:
                return IDLE_S
            done = self._projections.advance(held)
        except Transient as error:
            return self._back_off(error)
        if self._shares is not None:
            self._shares.drop(done.lost)
            if done.changed:
                self._shares.look_soon()
        if self._failures:
            log.info("projector.recovered", failures=self._failures)
            self._failures = 0
        for stop in done.stopped:
            log.error("projection.stopped", projection=stop.name, position=stop.position, reason=stop.reason)
        return self._rest(done, time.monotonic() - started)

    def _rest(self, done: Round, took_s: float) -> float:
        if done.more:
            return 0.0
        if done.events:
            self._pause_s = BUSY_S
            return min(max(BUSY_S, took_s), IDLE_S)
        self._pause_s = min(self._pause_s * 2, IDLE_S)
        return self._pause_s

    def _back_off(self, error: Transient) -> float:
        self._failures += 1
        self._failed_at = time.monotonic()
        longest = min(LONGEST_BACKOFF_S, 0.1 * 2 ** min(self._failures, 10))
        if self._failures == 1:
            log.warning("projector.waiting", reason=error.reason)
        return chance.uniform(0.05, longest)
