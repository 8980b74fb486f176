"""How often a step is tried, and how long it waits in between. The one retry layer: attempts are counted in the database.

Backoff is exponential with full jitter: a random time between nothing and the current ceiling, so that a fleet that failed together
does not return together. A time that the other side named (Retry-After) is a floor.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from domain.errors import CommandRefused, OutcomeUnknown, Poison, Transient, Unavailable

REASON_LIMIT = 500
LONGEST_FLOOR_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Try again after `due_in`. `keep_attempt` False: nothing reached the other side, so the attempt does not count."""

    due_in: timedelta
    keep_attempt: bool
    unknown: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """A person has to look at it. `unknown`: the other side may have acted, so that is recorded as well."""

    reason: str
    unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`attempts` in all; waits grow from `base_s` to `cap_s`. `crashes` more are allowed to a run whose workers vanished."""

    attempts: int = 8
    crashes: int = 20
    base_s: float = 0.5
    cap_s: float = 60.0

    def after(self, error: Exception, attempts: int, random: Callable[[], float]) -> Again | GiveUp:
        """What an error means for a run that has been tried `attempts` times; `random` gives [0, 1)."""
        reason = _told(error)
        match error:
            case Unavailable():
                wait = self._wait(min(attempts, 4), random, error.retry_after_s)
                return Again(due_in=wait, keep_attempt=False, unknown=False, reason=reason)
            case Transient():
                unknown = isinstance(error, OutcomeUnknown)
                if attempts >= self.attempts:
                    return GiveUp(reason=reason, unknown=unknown)
                wait = self._wait(attempts, random, error.retry_after_s)
                return Again(due_in=wait, keep_attempt=True, unknown=unknown, reason=reason)
            case Poison() | CommandRefused():
                return GiveUp(reason=reason)
            case _:
                if attempts >= self.attempts:
                    return GiveUp(reason=reason, unknown=True)
                return Again(due_in=self._wait(attempts, random, None), keep_attempt=True, unknown=True, reason=reason)

    def _wait(self, attempts: int, random: Callable[[], float], at_least_s: float | None) -> timedelta:
        ceiling = min(self.cap_s, self.base_s * 2 ** min(attempts, 30))
        floor = min(max(at_least_s or 0.0, 0.05), LONGEST_FLOOR_S)
        return timedelta(seconds=floor + ceiling * random())


def _told(error: Exception) -> str:
    """What an error says, as text that every log and every database takes."""
    text = f"{type(error).__name__}: {error}"[:REASON_LIMIT]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
