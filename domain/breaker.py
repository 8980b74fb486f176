"""The circuit breaker of one dependency, shared by the fleet: its states, what may happen to it, and where it is kept.

The machine itself is `domain.breaker_machine.step(breaker, input, now, limits) -> (breaker, outputs)`, pure.

        too many failures                 time is over, somebody asks
    closed ──────────────► open ─────────────────────────────────────► half-open
      ▲  │                 ▲ ▲        the probes failed                  │   │
      │  │ asked to pause  │ └────────────────────────────────────────── ┘   │
      │  ▼                 │ too many failures                               │
    recovering ────────────┘ ◄───────────────────────────────────────────────┘
      no backlog is left           the probes succeeded

Open lets nobody through; its time grows with every failure in a row. Half-open gives out a few permits: however many processes ask,
together they get no more, and the permit of a process that died expires. Recovering releases what has waited at a bounded rate,
a little above the rate that was normal while closed, until nothing waits; if that takes much longer than the outage can
explain, the rate was learnt in quieter times and doubles from then on, so nothing is ever stuck here. A pause that the
dependency asked for (Retry-After) holds in every state. A person may force it open or closed, for a time or until `auto`.

Invariants: at most `permits` calls in one half-open phase (those of vanished processes not counted); no call without a grant unless
closed; every state is left by time and successes alone. `now` is the database's clock; randomness arrives in the inputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from domain.work import Step

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    RECOVERING = "recovering"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Thresholds. The first group is for `CallWindow`, the second for the shared machine."""

    window_calls: int = 100
    window_s: float = 30.0
    minimum_calls: int = 20
    failure_rate: float = 0.5
    slow_s: float = 4.0
    slow_rate: float = 0.8
    few_calls: int = 5
    quiet_s: float = 5.0

    open_s: float = 2.0
    open_cap_s: float = 15.0
    open_growth: float = 1.6
    permits: int = 3
    permit_s: float = 15.0
    release_factor: float = 1.25
    release_floor: float = 2.0
    least_factor: float = 0.25
    burst_s: float = 0.15
    idle_s: float = 0.25
    patience: float = 5.0
    doubling_s: float = 20.0
    pause_s: float = 1.0
    pause_cap_s: float = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """The right to one call while half-open."""

    id: int
    holder: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """The shared row. `version` is the row's, for compare-and-set; the machine leaves it alone.

    `since` and `why` belong to the state; `troubled_since` is when it was last plainly closed. `openings` counts those in a row.
    `normal_rate`: calls a second while it was closed, 0 if unknown; `release_rate` and `tokens`: what recovering lets through.
    """

    dependency: str
    version: int = 0
    state: State = State.CLOSED
    since: datetime = NEVER
    why: str = ""
    forced: bool = False
    forced_until: datetime | None = None
    failure_rate: float = 0.0
    troubled_since: datetime = NEVER
    openings: int = 0
    probe_at: datetime = NEVER
    hold_until: datetime = NEVER
    permits: tuple[Permit, ...] = ()
    issued: int = 0
    succeeded: int = 0
    failed: int = 0
    normal_rate: float = 0.0
    release_rate: float = 0.0
    steady_until: datetime = NEVER
    tokens: float = 0.0
    tokens_at: datetime = NEVER

    def is_limited(self) -> bool:
        """Calls need a grant."""
        return self.state is not State.CLOSED

    def is_held(self, now: datetime) -> bool:
        """The dependency asked us to wait, and we do."""
        return now < self.hold_until

    def ends_with_the_backlog(self, now: datetime) -> bool:
        """It moves on when nothing waits any more; so somebody has to look."""
        tried = self.state is State.HALF_OPEN and self.succeeded > self.failed
        return (tried or self.state is State.RECOVERING) and not self.is_held(now)

    def is_lapsed(self, now: datetime) -> bool:
        """The time for which a person forced it is over, though nobody has written so yet."""
        return self.forced and self.forced_until is not None and now >= self.forced_until

    def next_probe(self) -> datetime | None:
        """When a call may be let through at the earliest; None: any time, or not before a person says so."""
        if self.state is not State.OPEN:
            return None
        return self.forced_until if self.forced else max(self.probe_at, self.hold_until)

    def rate(self, now: datetime, limits: Limits) -> float:
        """Calls a second that recovering lets through."""
        late_s = (now - self.steady_until).total_seconds()
        growth = 2.0 ** min(late_s / limits.doubling_s, 20.0) if late_s > 0 else 1.0
        return self.release_rate * growth


# --- inputs ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A process saw too many failures. `chance` in [0, 1) spreads the time of the first probe."""

    why: str
    failure_rate: float
    normal_rate: float
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Somebody could make so many calls."""

    wanted: int
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBack:
    """Nothing was found to do with these permits, or with so many tokens."""

    permits: frozenset[int] = frozenset()
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """The call of a permit ended."""

    permit: int
    succeeded: bool
    why: str
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The dependency asked for a pause; None: it did not say how long."""

    seconds: float | None
    why: str
    normal_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """So many runs wait for this dependency."""

    backlog: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Force:
    """A person decides: open, closed, or (None) that the breaker shall decide again."""

    to: State | None
    until: datetime | None
    who: str
    why: str
    normal_rate: float = 0.0


Input = Trip | Ask | GiveBack | Probed | Pause | Looked | Force

# --- outputs ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The asker may make so many calls; while half-open, each under one of the permits."""

    count: int
    permits: tuple[Permit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A transition, for the record. `who` is empty where the breaker itself decided."""

    before: State
    after: State
    why: str
    who: str = ""


Output = Granted | Changed

# --- where it is kept ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A recorded change: when by the store's clock, which process wrote it, and who wanted it ("" the breaker itself)."""

    dependency: str
    at: datetime
    before: State
    after: State
    why: str
    who: str
    process: str


class Board(Protocol):
    """The breakers of the fleet. Every method may raise `StoreUnavailable`."""

    def read(self) -> tuple[datetime, Mapping[str, Breaker]]:
        """The store's time, and every breaker that was ever changed."""
        ...

    def change(self, after: Breaker, changes: Sequence[Changed], *, process: str) -> bool:
        """Write the breaker if it still has the version that `after` carries, with the record of the changes; False if not."""
        ...

    def count(self, calls: Mapping[tuple[str, int], int], *, slot_s: float) -> None:
        """Add calls that succeeded while closed, by dependency and slot of time (seconds since 1970 divided by `slot_s`)."""
        ...

    def normal_rate(self, dependency: str, *, slot_s: float) -> float:
        """Calls a second in the middle one of the slots of the last hour that had any; 0 if that is too little to tell."""
        ...

    def waiting(self, steps: Sequence[Step], limit: int) -> int:
        """How many runs of these steps are due and nobody has them, counted up to a limit."""
        ...

    def transitions(self, dependency: str | None = None, limit: int = 100) -> Sequence[Transition]:
        """What was recorded, the latest first."""
        ...
