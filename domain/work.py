"""The work list's vocabulary: what an order wants done next, and the run that does it.

A run is identified by order, step, part and ordinal. `part` is the number of the fulfillment, 0 for the whole order; the ordinal
tells repeats apart (a second authorization, a plan after new stock) and is derived from the events, so wanting the same thing
twice is one row. A timer is a run whose due time lies ahead.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Step(StrEnum):
    """Everything that the pipeline does to an order."""

    RISK = "risk"
    AUTHORIZE = "authorize"
    ALLOCATE = "allocate"
    LABEL = "label"
    HAND_OVER = "hand_over"
    CAPTURE = "capture"
    DELIVER = "deliver"
    NOTIFY = "notify"
    CANCEL = "cancel"
    VOID = "void"
    REFUND_LABEL = "refund_label"
    EXPIRE = "expire"
    CLOSE = "close"

    __hash__ = str.__hash__  # Enum's own is written in Python, and steps are hashed all the time


DEPENDENCY: Mapping[Step, str] = {
    Step.RISK: "risk",
    Step.AUTHORIZE: "payment",
    Step.CAPTURE: "payment",
    Step.VOID: "payment",
    Step.LABEL: "carrier",
    Step.REFUND_LABEL: "carrier",
    Step.HAND_OVER: "carrier",
    Step.DELIVER: "carrier",
    Step.NOTIFY: "mail",
}
"""Which outside service a step calls; steps that call nobody are absent."""


class RunKey(NamedTuple):
    """The identity of a run. A tuple, because an order's turn hashes a few hundred of them."""

    order_id: str
    step: Step
    part: int = 0
    ordinal: int = 1

    def __str__(self) -> str:
        return f"{self.order_id}/{self.step}/{self.part}/{self.ordinal}"


class Want(NamedTuple):
    """Work that should exist. `due` None means now."""

    key: RunKey
    due: datetime | None = None


class Run(NamedTuple):
    """A claimed run. `epoch` is the fencing token of the claim; `attempts` counts this one.

    `crashes`: how many workers ended in a row while they had it. `failing_since`: its first failed attempt that still counts.
    """

    key: RunKey
    attempts: int
    epoch: int
    crashes: int = 0
    failing_since: datetime | None = None


# --- what a person, a test or an auditor sees of the work list, the same from every adapter ---


class RunRow(NamedTuple):
    """A row of the work list. `wake_at`: when somebody should announce the run, or announce it again.

    `parked_on`: the dependency whose breaker sent it back the last time it was claimed.
    """

    key: RunKey
    state: str
    attempts: int
    due_at: datetime
    wake_at: datetime
    holder: int | None
    epoch: int | None
    last_error: str | None
    crashes: int = 0
    parked_on: str | None = None


class DeadLetter(NamedTuple):
    """A run, or a message, that a person has to decide about. It is a record: it stays when the run is tried again."""

    id: int
    kind: str
    order_id: str | None
    step: str | None
    part: int | None
    ordinal: int | None
    attempts: int
    reason: str
    origin: str
    body: bytes | None
    first_tried_at: datetime | None
    died_at: datetime
