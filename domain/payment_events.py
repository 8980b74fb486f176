"""What can happen to a payment, as stored for ever: reshape an event only through an upcaster."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from domain.values import Money

Operation = Literal["authorize", "capture", "void"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationStarted:
    key: str
    ordinal: int
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorized:
    key: str
    reference: str
    amount: Money
    expires_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationExpiring:
    """It would not live until the capture: it is voided, and another takes its place before anything is handed over."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationDeclined:
    key: str
    code: str
    kind: Literal["hard", "soft"]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureStarted:
    key: str
    ordinal: int
    fulfillment_id: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    key: str
    fulfillment_id: str
    reference: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureFailed:
    key: str
    fulfillment_id: str
    code: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidStarted:
    key: str
    ordinal: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Voided:
    key: str
    reference: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidFailed:
    key: str
    code: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeUnknown:
    """The gateway may have acted on `key` and did not say; an inquiry comes before any repeat."""

    key: str
    operation: Operation
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationNotDone:
    """A person found out that the open operation never happened: it may be begun again, under the next ordinal."""

    key: str
    operation: Operation
    at: datetime


PaymentEvent = (
    AuthorizationStarted
    | Authorized
    | AuthorizationExpiring
    | AuthorizationDeclined
    | CaptureStarted
    | Captured
    | CaptureFailed
    | VoidStarted
    | Voided
    | VoidFailed
    | OutcomeUnknown
    | OperationNotDone
)
