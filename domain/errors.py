"""Every deliberate error. The class tells the worker what to do; the fields say why.

A `CommandRefused` is a business answer and is never retried. A `VersionConflict` means read and decide again, at once. A
`Transient` costs an attempt and is tried later. `Unavailable` means that the other side was surely not reached, `OutcomeUnknown`
that it may have been: only an inquiry may follow. `RateLimited`, `BreakerOpen` and `StepPaused` concern more than the run that met
them, so they cost nothing. `Poison` can never succeed, and `Misconfigured` stops the process.
"""

from dataclasses import dataclass


class OrderwrightError(Exception):
    """The root of all errors that this program raises on purpose."""


class CommandRefused(OrderwrightError):
    """The domain said no: a retry cannot help."""

    def __init__(self, reason: str, *, field: str | None = None) -> None:
        self.reason = reason
        self.field = field
        super().__init__(f"{field}: {reason}" if field else reason)


class VersionConflict(OrderwrightError):
    """Somebody appended first: read and decide again."""

    def __init__(self, stream: str, *, expected: int, current: int) -> None:
        self.stream = stream
        self.expected = expected
        self.current = current
        super().__init__(f"{stream}: expected version {expected}, is at {current}")


class Transient(OrderwrightError):
    """It may work later; one attempt is used up."""

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        self.reason = reason
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class Unavailable(Transient):
    """The other side was surely not reached, so nothing happened there."""


class BreakerOpen(Unavailable):
    """We did not even ask: the breaker of that dependency lets nobody through now."""

    def __init__(self, dependency: str, *, retry_after_s: float | None = None) -> None:
        self.dependency = dependency
        super().__init__(f"the breaker of {dependency} is open", retry_after_s=retry_after_s)


class StepPaused(Unavailable):
    """We did not even ask: somebody paused this step everywhere."""

    def __init__(self, step: str) -> None:
        self.step = step
        super().__init__(f"the step {step} is paused")


class RateLimited(Transient):
    """The other side has done nothing and asks all of us to come later."""


class OutcomeUnknown(Transient):
    """The other side may have acted; ask it by key before anything else."""


class StoreUnavailable(Transient):
    """The database did not answer."""


class IntakeClosed(Transient):
    """Somebody closed the doors for new orders for a while; nothing was stored."""

    def __init__(self) -> None:
        super().__init__(
            "no new orders are taken in for now (setting intake_open); nothing was stored, submit again later"
        )


class BrokerUnavailable(Transient):
    """The broker did not take or confirm the messages."""


class Poison(OrderwrightError):
    """It can never succeed: keep it where a person sees it."""


class KeyExpired(Poison):
    """The other side knows nothing of the key and keeps keys no longer than that: it never happened, or it was forgotten."""


class Incident(Poison):
    """The other side did something else than it was asked, such as another amount: no program may go on from there."""


@dataclass
class UndecodableMessage(Poison):
    """A message whose bytes are not what this program reads."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass
class UnknownEvent(Poison):
    """A stored event of a type or schema that this code does not know."""

    type: str
    schema: int

    def __str__(self) -> str:
        return f"event type {self.type!r} (schema {self.schema}) is unknown to this version"


class Misconfigured(OrderwrightError):
    """The process cannot run like this; the message says what to change."""
