"""What can be asked of a payment, and what the gateway or a person may report of it.

Re-exported by `domain.payment`, which decides about them.
"""

from dataclasses import dataclass
from datetime import datetime

from domain.values import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAuthorization:
    order_id: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAuthorized:
    reference: str
    amount: Money
    expires_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDeclined:
    code: str
    hard: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCapture:
    """`allowance`: the value of all parcels handed over so far; captures never exceed it."""

    fulfillment_id: str
    amount: Money
    allowance: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCaptured:
    fulfillment_id: str
    reference: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCaptureRefused:
    fulfillment_id: str
    code: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartVoid:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVoided:
    reference: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVoidRefused:
    code: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordUnknown:
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordNotDone:
    """The open operation did not happen; a person says so."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordExpiring:
    """The authorization will have expired before the capture."""

    at: datetime


Result = RecordAuthorized | RecordDeclined | RecordCaptured | RecordCaptureRefused | RecordVoided | RecordVoidRefused
PaymentCommand = StartAuthorization | StartCapture | StartVoid | RecordUnknown | RecordNotDone | RecordExpiring | Result
