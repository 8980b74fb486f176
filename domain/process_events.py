"""What can happen to the process of an order, as stored for ever: results that no aggregate records, and what people decided.

Re-exported by `domain.process`, which says what follows from them.
"""

from dataclasses import dataclass
from datetime import datetime

from domain.work import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSucceeded:
    step: Step
    part: int
    ordinal: int
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed:
    """The run is a dead letter: a person decides. It stays wanted, so a retry only makes it due again.

    `unknown`: what was asked of the outside may have happened and may not have. Absent in the oldest events, which meant no.
    """

    step: Step
    part: int
    ordinal: int
    attempts: int
    reason: str
    at: datetime
    unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRetried:
    step: Step
    part: int
    ordinal: int
    by: str
    note: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDiscarded:
    """A person will not try the failed run again. Its order stays stopped: it is cancelled, concluded, or the run is restored."""

    step: Step
    part: int
    ordinal: int
    by: str
    note: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRestored:
    """The discard was taken back: the run is a dead letter again."""

    step: Step
    part: int
    ordinal: int
    by: str
    note: str
    at: datetime


ProcessEvent = StepSucceeded | StepFailed | StepRetried | StepDiscarded | StepRestored
