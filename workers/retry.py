"""How often a step is tried, and how long it waits in between. The one retry layer: attempts are counted in the database.

Backoff is exponential with full jitter: a random time between nothing and the current ceiling, so that a fleet that failed together
does not return together. A time that the other side named (Retry-After) is a floor. What is no fault of the run costs it no
attempt: the other side was not reached, asked all of us to come later, its breaker is not closed, or too many retries are under way.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from domain.errors import (
    BreakerOpen,
    CommandRefused,
    Incident,
    KeyExpired,
    OutcomeUnknown,
    Poison,
    RateLimited,
    StepPaused,
    Transient,
    Unavailable,
)
from domain.work import DEPENDENCY, Run, Step

CRASHES = 5
BEYOND_S = 20.0  # what is beyond the budget waits for about so long; a breaker will have opened by then if it must
REASON_LIMIT = 500
LONGEST_FLOOR_S = 86_400.0
SHORTEST_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Try again after `due_in`, or when the breaker of `parked_on` allows. `keep_attempt` False: the attempt does not count."""

    due_in: timedelta
    keep_attempt: bool
    unknown: bool
    reason: str
    parked_on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """A person has to look at it. `unknown`: the other side may have acted, so that is recorded as well."""

    reason: str
    unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`attempts` in all, and none after `deadline_s` since the first that failed; waits grow from `base_s` to `cap_s`."""

    attempts: int = 8
    base_s: float = 0.5
    cap_s: float = 60.0
    deadline_s: float = 86_400.0

    def of(self, step: Step) -> "RetryPolicy":
        """The same for every step."""
        del step
        return self

    def wait(self, attempts: int, random: Callable[[], float], at_least_s: float | None = None) -> timedelta:
        """How long a run that has been tried `attempts` times waits; `random` gives [0, 1)."""
        ceiling = min(self.cap_s, self.base_s * 2 ** min(attempts, 30))
        floor = min(max(at_least_s or 0.0, SHORTEST_S), LONGEST_FLOOR_S)
        return timedelta(seconds=floor + ceiling * random())

    def is_over(self, run: Run, now: datetime) -> bool:
        """Whether the attempt that just failed was the last."""
        age_s = (now - run.failing_since).total_seconds() if run.failing_since else 0.0
        return run.attempts >= self.attempts or age_s > self.deadline_s


class Retries(Protocol):
    """Knows the policy of every step."""

    def of(self, step: Step) -> RetryPolicy: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryTable:
    """The policy of every step: its own, else that of its dependency, else the common one."""

    common: RetryPolicy = field(default_factory=RetryPolicy)
    special: Mapping[str, RetryPolicy] = field(default_factory=dict)

    def of(self, step: Step) -> RetryPolicy:
        """The policy of a step."""
        return self.special.get(step) or self.special.get(DEPENDENCY.get(step, ""), self.common)


def unlimited(dependency: str) -> bool:
    """No budget."""
    del dependency
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What an error means for a run. `limited`: dependencies whose breakers are not closed; `may_retry` asks the budget."""

    retries: Retries
    random: Callable[[], float]
    limited: frozenset[str] = frozenset()
    may_retry: Callable[[str], bool] = unlimited

    def fate(self, error: Exception, run: Run, now: datetime) -> Again | GiveUp:
        """Try it again, and when; or let a person decide."""
        if isinstance(error, (Poison, CommandRefused)):
            return GiveUp(reason=_told(error), unknown=isinstance(error, (KeyExpired, Incident)))
        if isinstance(error, (BreakerOpen, RateLimited, StepPaused)):
            return self._not_now(error, run)
        blameless = isinstance(error, Unavailable) or DEPENDENCY.get(run.key.step) in self.limited
        if not blameless and self.retries.of(run.key.step).is_over(run, now):
            return GiveUp(reason=_told(error), unknown=_may_have_happened(error))
        return self._again(error, run, counts=not blameless)

    def crashed(self, run: Run) -> GiveUp | None:
        """Whether the run has ended enough workers. It may have done so after the outside had acted."""
        if run.crashes <= CRASHES:
            return None
        reason = f"its workers ended while they had it, {run.crashes} times in a row"
        return GiveUp(reason=reason, unknown=run.key.step in DEPENDENCY)

    def _not_now(self, error: BreakerOpen | RateLimited | StepPaused, run: Run) -> Again:
        """Nobody has done anything; it concerns all runs of the dependency, or of the step, alike."""
        if isinstance(error, BreakerOpen):
            wait, parked_on = timedelta(0), error.dependency
        elif isinstance(error, StepPaused):
            wait, parked_on = timedelta(0), ""
        else:
            wait, parked_on = self.retries.of(run.key.step).wait(1, self.random, error.retry_after_s), ""
        return Again(due_in=wait, keep_attempt=False, unknown=False, reason=_told(error), parked_on=parked_on)

    def _again(self, error: Exception, run: Run, *, counts: bool) -> Again:
        policy, dependency = self.retries.of(run.key.step), DEPENDENCY.get(run.key.step)
        attempts = min(run.attempts, 4) if isinstance(error, Unavailable) else run.attempts
        wait = policy.wait(attempts, self.random, getattr(error, "retry_after_s", None))
        if dependency is not None and dependency not in self.limited and not self.may_retry(dependency):
            counts = False
            wait = max(wait, timedelta(seconds=min(policy.cap_s, BEYOND_S) * (0.5 + self.random() / 2)))
        return Again(due_in=wait, keep_attempt=counts, unknown=_may_have_happened(error), reason=_told(error))


def _may_have_happened(error: Exception) -> bool:
    """An error that nobody foresaw says nothing about the other side."""
    return isinstance(error, OutcomeUnknown) or not isinstance(error, Transient)


def _told(error: Exception) -> str:
    """What an error says, as text that every log and every database takes."""
    text = f"{type(error).__name__}: {error}"[:REASON_LIMIT]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
