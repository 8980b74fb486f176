"""The breakers as a process uses them: what the fleet agreed on, kept at hand; every call counted here; changes agreed on with all.

A call of a closed dependency costs a look at a snapshot before and an entry in a window after it, no round trip. Everything that
concerns the fleet (opening, permits, tokens, pauses) is a compare-and-set on the shared row: read, let the pure machine decide, write
over the version that was read, and begin again if somebody else was faster. While the store is away the same machine goes on with our
own copy: these are the local limits; what the store says when it is back counts again, and what tripped meanwhile is told to it.

Whoever opens a breaker gives back the attempts that the failures before it had used up, and again a moment later, for those that were
just being recorded; so does who finds that a service is not there at all after some of its calls had been cut off. When a breaker is
closed again, the time since its trouble began is taken out of the age of the failures before. Shared times are the database's, carried on by the monotonic clock; the windows use the monotonic clock alone.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from domain.breaker import (
    NEVER,
    Ask,
    Board,
    Breaker,
    Changed,
    GiveBack,
    Granted,
    Input,
    Limits,
    Looked,
    Output,
    Pause,
    Probed,
    State,
    Trip,
)
from domain.breaker_machine import step
from domain.call_window import Tripped
from domain.errors import BreakerOpen, CommandRefused, KeyExpired, RateLimited, StoreUnavailable, Unavailable
from domain.work import DEPENDENCY, Run, Step
from infrastructure.chance import chance
from workers.breaker_local import Local

log = structlog.get_logger()

SLOT_S = 2.0
TRIES = 50
SOON_S = 0.05
FORGIVE_AGAIN_S = 2.0
SLACK = timedelta(seconds=5)
Pardon = Callable[[Sequence[Step]], int]


class Forgive(Protocol):
    """Gives back the attempts that runs of these steps lost since then; returns how many runs."""

    def __call__(self, steps: Sequence[Step], since: datetime, /) -> int: ...


class Overlook(Protocol):
    """Time in which runs of these steps could not be tried does not count against them; returns how many runs it concerned."""

    def __call__(self, steps: Sequence[Step], began: datetime, ended: datetime, /) -> int: ...


def nobody_forgives(steps: Sequence[Step], since: datetime, ended: datetime | None = None, /) -> int:
    """For processes that make no calls."""
    del steps, since, ended
    return 0


class Breakers:
    """Thread-safe; nothing here waits for anything but the store. See `workers.breaking.Breakers` for what each method promises."""

    def __init__(  # noqa: PLR0913 - a simulation brings its own clock and chance
        self,
        board: Board,
        *,
        process: str,
        limits: Limits | None = None,
        forgive: Forgive = nobody_forgives,
        overlook: Overlook = nobody_forgives,
        look_s: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self._board = board
        self._process = process
        self._limits = limits or Limits()
        self._forgive = forgive
        self._overlook = overlook
        self._look_s = look_s
        self._clock = clock
        self._random = random
        self._locals = {name: Local(name, self._limits, clock()) for name in sorted(set(DEPENDENCY.values()))}
        self._limited: frozenset[str] = frozenset()
        self._refreshing = threading.Lock()
        self._looked_at = float("-inf")
        self._urgent = False
        self._away = False
        self._time: tuple[datetime, float] = (NEVER, 0.0)
        self._forgiving = threading.Lock()
        self._to_forgive: list[tuple[float, str, Pardon]] = []

    def change(self, limits: Limits) -> None:
        """Go by these thresholds from now on; what was counted stays counted."""
        self._limits = limits
        for local in self._locals.values():
            local.change(limits)

    def limited(self) -> frozenset[str]:
        """See the protocol."""
        return self._limited

    def troubled(self) -> frozenset[str]:
        """See the protocol."""
        return self._limited

    def refresh(self) -> None:
        """See the protocol. A failure of ours is reason to look sooner: the fleet may have seen enough already."""
        due = self._looked_at + (SOON_S if self._urgent else self._look_s)
        if self._clock() < due or not self._refreshing.acquire(blocking=False):
            return
        try:
            self._look()
            if self._away:
                self._away = False
                log.info("breakers are shared again")
        except StoreUnavailable as error:
            if not self._away:
                self._away = True
                log.warning("breakers go on with local limits", reason=error.reason)
        except Exception:  # whatever it was, the work must go on
            log.exception("the shared breakers could not be read")
        finally:
            self._looked_at, self._urgent = self._clock(), False
            self._refreshing.release()

    def grant(self, dependency: str, wanted: int, /) -> int:
        """See the protocol. What our copy of the breaker refuses is refused without a round trip."""
        local = self._locals.get(dependency)
        if local is None:
            return wanted
        with local.changing:
            outputs = self._change(local, Ask(wanted=wanted + local.debt, holder=self._process))
            granted = [output for output in outputs if isinstance(output, Granted)]
            return sum(local.add_grants(one.count, one.permits) for one in granted)

    def give_back(self, dependency: str, count: int, /) -> None:
        """See the protocol."""
        local = self._locals.get(dependency)
        if local is None or count <= 0:
            return
        permits, tokens = local.take_back(count)
        if permits or tokens:
            with local.changing:
                self._change(local, GiveBack(permits=permits, tokens=tokens))

    def admit(self, dependency: str, run: Run, requests: int = 1, /) -> None:
        """See the protocol."""
        if dependency in self._limited:
            self._locals[dependency].admit(run, requests, self._now())

    def report(self, dependency: str, run: Run, error: Exception | None, elapsed_s: float, /) -> None:
        """See the protocol. Whatever goes wrong here must not take away the answer of the call."""
        local = self._locals.get(dependency)
        if local is None or isinstance(error, BreakerOpen):
            return
        try:
            self._report(local, run, error, elapsed_s)
        except Exception:
            log.exception("the breaker could not be told of a call", dependency=dependency)

    def _report(self, local: Local, run: Run, error: Exception | None, elapsed_s: float) -> None:
        probe = local.probe_of(run)
        if isinstance(error, RateLimited):
            self._pause(local, error, probe.id if probe else None)
            return
        failed, slow = _is_failure(error), elapsed_s >= self._limits.slow_s
        self._urgent = self._urgent or failed
        if probe is not None:
            why = _told(error) if failed else f"it took {elapsed_s:.1f} s"
            self._probed(local, Probed(permit=probe.id, succeeded=not (failed or slow), why=why, chance=self._random()))
            return
        now = self._clock()
        tripped = local.note(run, failed=failed, slow=slow, began=now - elapsed_s, now=now, slot=self._slot())
        if tripped is not None:
            self._trip(local, tripped)
        elif isinstance(error, Unavailable) and (since := local.gone_since()) is not None:
            self._forgive_failures(local, since)

    # --- what concerns the fleet ---

    def _trip(self, local: Local, tripped: Tripped) -> None:
        with local.changing:
            breaker = local.breaker
            forced = breaker.forced and not breaker.is_lapsed(self._now())
            if forced or breaker.state not in {State.CLOSED, State.RECOVERING}:
                return
            rate = self._normal_rate(local)
            event = Trip(why=tripped.why, failure_rate=tripped.failure_rate, normal_rate=rate, chance=self._random())
            outputs = self._change(local, event)
        if any(isinstance(output, Changed) for output in outputs):
            self._forgive_failures(local, tripped.failing_since)

    def _forgive_failures(self, local: Local, failing_since: float) -> None:
        """Now, and again when those are recorded that have just failed."""
        now, dependency = self._clock(), local.breaker.dependency
        since = self._now() - timedelta(seconds=now - failing_since) - SLACK
        pardon: Pardon = lambda steps: self._forgive(steps, since)  # noqa: E731 - it is kept for later
        self._to_forgive += [(at, dependency, pardon) for at in (now, now + FORGIVE_AGAIN_S)]
        self._forgive_due()

    def _overlook_trouble(self, breaker: Breaker, began: datetime) -> None:
        """Who waited behind a breaker has not failed meanwhile."""
        ended = self._now()
        pardon: Pardon = lambda steps: self._overlook(steps, began, ended)  # noqa: E731 - it is kept for later
        self._to_forgive.append((self._clock(), breaker.dependency, pardon))
        self._forgive_due()

    def _probed(self, local: Local, event: Probed) -> None:
        with local.changing:
            self._change(local, event)

    def _pause(self, local: Local, error: RateLimited, permit: int | None) -> None:
        with local.changing:
            if permit is not None:
                self._change(local, GiveBack(permits=frozenset({permit})))
            self._change(
                local, Pause(seconds=error.retry_after_s, why=_told(error), normal_rate=self._normal_rate(local))
            )

    def _change(self, local: Local, event: Input) -> Iterable[Output]:
        """Agree on it with the fleet; the caller holds `local.changing`."""
        for _ in range(TRIES):
            before = local.breaker
            after, outputs = step(before, event, self._now(), self._limits)
            changes = [output for output in outputs if isinstance(output, Changed)]
            if after == before or self._write(local, after, changes):
                return outputs
        log.error("breaker could not be changed: others are always faster", dependency=local.breaker.dependency)
        return ()

    def _write(self, local: Local, after: Breaker, changes: Sequence[Changed]) -> bool:
        """False: somebody else was faster, and what he wrote is known now; or we did not even know the time."""
        alone = False
        try:
            if self._time[0] == NEVER or not self._board.change(after, changes, process=self._process):
                self._adopt_all()
                return False
            after = replace(after, version=after.version + 1)
        except StoreUnavailable as error:
            self._urgent = alone = True
            log.warning("breaker changed for this process only", dependency=after.dependency, reason=error.reason)
        self._adopt(local, after, self._clock(), alone=alone)
        for change in changes:
            _log(after.dependency, change.before, change.after, change.why, change.who)
            if change.after is State.CLOSED and change.before is not State.CLOSED:
                self._overlook_trouble(after, after.troubled_since)
        return True

    def _normal_rate(self, local: Local) -> float:
        """Only asked for where it will be remembered."""
        if local.breaker.state is not State.CLOSED:
            return 0.0
        try:
            return self._board.normal_rate(local.breaker.dependency, slot_s=SLOT_S)
        except StoreUnavailable as error:
            log.warning("the normal rate is unknown", dependency=local.breaker.dependency, reason=error.reason)
            return 0.0

    # --- what the fleet agreed on ---

    def _look(self) -> None:
        told = self._told_alone()
        self._adopt_all()
        for local, trip in told:
            with local.changing:
                self._change(local, trip)
        self._count()
        self._forgive_due()
        for local in self._locals.values():
            if local.breaker.ends_with_the_backlog(self._now()):
                self._look_for_backlog(local)

    def _adopt_all(self) -> None:
        """Take over what is shared."""
        asked_at = self._clock()
        at, shared = self._board.read()
        self._time = (at, asked_at)
        for name, local in self._locals.items():
            fresh = shared.get(name, Breaker(dependency=name))
            known = self._adopt(local, fresh, asked_at)
            if known is not None and (known.state, known.forced) != (fresh.state, fresh.forced):
                _log(name, known.state, fresh.state, fresh.why, "")

    def _adopt(self, local: Local, breaker: Breaker, asked_at: float, *, alone: bool = False) -> Breaker | None:
        known = local.adopt(breaker, self._clock(), asked_at=asked_at, alone=alone)
        self._limited = frozenset(name for name, one in self._locals.items() if one.breaker.is_limited())
        return known

    def _told_alone(self) -> list[tuple[Local, Trip]]:
        """What opened here while the store was away."""
        return [
            (local, _trip_again(local.breaker, self._random()))
            for local in self._locals.values()
            if local.alone and local.breaker.state is State.OPEN
        ]

    def _look_for_backlog(self, local: Local) -> None:
        name = local.breaker.dependency
        limit = int(local.breaker.rate(self._now(), self._limits) * self._limits.idle_s) + 1
        backlog = self._board.waiting([one for one in Step if DEPENDENCY.get(one) == name], min(limit, 100_000))
        with local.changing:
            self._change(local, Looked(backlog=backlog))

    def _count(self) -> None:
        served = {name: local.served_before(self._slot()) for name, local in self._locals.items()}
        calls = {(name, slot): count for name, slots in served.items() for slot, count in slots.items()}
        if not calls:
            return
        try:
            self._board.count(calls, slot_s=SLOT_S)
        except StoreUnavailable:
            for name, slots in served.items():
                self._locals[name].put_back(slots)
            raise

    def _forgive_due(self) -> None:
        """Each entry is taken by one thread, and put back if the store does not answer."""
        now = self._clock()
        while (entry := self._next_to_forgive(now)) is not None:
            _, name, pardon = entry
            try:
                runs = pardon([one for one in Step if DEPENDENCY.get(one) == name])
            except StoreUnavailable as error:
                self._to_forgive.append(entry)
                log.warning("attempts are given back later", dependency=name, reason=error.reason)
                return
            if runs:
                log.info("failures of an outage are not held against runs", dependency=name, runs=runs)

    def _next_to_forgive(self, now: float) -> tuple[float, str, Pardon] | None:
        with self._forgiving:
            due = [entry for entry in self._to_forgive if entry[0] <= now]
            if not due:
                return None
            self._to_forgive.remove(due[0])
            return due[0]

    def _now(self) -> datetime:
        at, asked_at = self._time
        return at + timedelta(seconds=self._clock() - asked_at)

    def _slot(self) -> int:
        return int(self._now().timestamp() // SLOT_S)


def _is_failure(error: Exception | None) -> bool:
    """A refusal is an answer, and so is that a key is not known any more."""
    return error is not None and not isinstance(error, (CommandRefused, KeyExpired))


def _told(error: Exception | None) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def _trip_again(breaker: Breaker, chance: float) -> Trip:
    return Trip(why=breaker.why, failure_rate=breaker.failure_rate, normal_rate=breaker.normal_rate, chance=chance)


def _log(dependency: str, before: State, after: State, why: str, who: str) -> None:
    level = log.info if after is State.CLOSED else log.warning
    level("breaker", dependency=dependency, before=before.value, after=after.value, reason=why, who=who)
