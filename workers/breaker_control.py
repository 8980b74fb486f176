"""What a person may see of the breakers, and decide about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.breaker import Board, Breaker, Changed, Force, Limits, State, Transition
from domain.breaker_machine import lapse, step
from domain.errors import CommandRefused, StoreUnavailable
from domain.work import DEPENDENCY, Step
from workers.breakers import SLOT_S, TRIES, Overlook, nobody_forgives
from workers.breaking import steps_of

NAMES = tuple(sorted(set(DEPENDENCY.values())))
COUNTED = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerView:
    """One breaker as it is now. `failure_rate` is what made it open; `waiting` counts due runs that nobody has."""

    dependency: str
    state: State
    since: datetime | None
    why: str
    forced: bool
    forced_until: datetime | None
    failure_rate: float | None
    permits_out: int
    waiting: int
    next_probe: datetime | None
    held_until: datetime | None
    normal_rate: float
    release_rate: float | None


class BreakerControl:
    """Look, and decide. Everything may raise `StoreUnavailable`."""

    def __init__(self, board: Board, limits: Limits, *, process: str, overlook: Overlook = nobody_forgives) -> None:
        self._board = board
        self._limits = limits
        self._process = process
        self._overlook = overlook

    def view(self) -> list[BreakerView]:
        """Every breaker, those that never left closed as well."""
        now, known = self._board.read()
        return [self._view(known.get(name, Breaker(dependency=name)), now) for name in NAMES]

    def history(self, dependency: str | None, limit: int) -> Sequence[Transition]:
        """What was recorded, the latest first."""
        return self._board.transitions(_known(dependency) if dependency else None, limit)

    def force(
        self, dependency: str, to: State | None, *, lasting: timedelta | None, who: str, why: str
    ) -> tuple[Changed, ...]:
        """Force it open or closed, or (None) let it decide by itself; returns what changed. Raises `CommandRefused`."""
        _known(dependency)
        for _ in range(TRIES):
            now, known = self._board.read()
            before = known.get(dependency, Breaker(dependency=dependency))
            until = now + lasting if lasting else None
            rate = self._board.normal_rate(dependency, slot_s=SLOT_S)
            event = Force(to=to, until=until, who=who, why=why, normal_rate=rate)
            after, outputs = step(before, event, now, self._limits)
            changes = tuple(output for output in outputs if isinstance(output, Changed))
            if after == before or self._board.change(after, changes, process=self._process):
                if after.state is State.CLOSED and before.state is not State.CLOSED:
                    self._overlook(steps_of(dependency, frozenset(Step)), before.troubled_since, now)
                return changes
        raise StoreUnavailable(f"the breaker of {dependency} changes all the time; try again")

    def _view(self, stored: Breaker, now: datetime) -> BreakerView:
        breaker, _ = lapse(stored, now)
        limited = breaker.is_limited()
        return BreakerView(
            dependency=breaker.dependency,
            state=breaker.state,
            since=breaker.since if breaker.version else None,
            why=breaker.why,
            forced=breaker.forced,
            forced_until=breaker.forced_until,
            failure_rate=breaker.failure_rate if limited else None,
            permits_out=sum(permit.expires_at > now for permit in breaker.permits),
            waiting=self._board.waiting([one for one in Step if DEPENDENCY.get(one) == breaker.dependency], COUNTED),
            next_probe=breaker.next_probe(),
            held_until=breaker.hold_until if breaker.is_held(now) else None,
            normal_rate=self._board.normal_rate(breaker.dependency, slot_s=SLOT_S),
            release_rate=breaker.rate(now, self._limits) if breaker.state is State.RECOVERING else None,
        )


def _known(dependency: str) -> str:
    if dependency not in NAMES:
        raise CommandRefused(f"there is no breaker {dependency}: the dependencies are {', '.join(NAMES)}")
    return dependency
