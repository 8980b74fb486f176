"""What a person, a test or an auditor sees of the work list: its rows and its dead letters, the same from every adapter."""

from datetime import datetime
from typing import NamedTuple

from domain.work import RunKey


class RunRow(NamedTuple):
    """A row of the work list. `wake_at`: when somebody should announce the run, or announce it again."""

    key: RunKey
    state: str
    attempts: int
    due_at: datetime
    wake_at: datetime
    holder: int | None
    epoch: int | None
    last_error: str | None


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
