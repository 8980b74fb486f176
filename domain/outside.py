"""What we ask of the outside world, and what it may answer.

Requests are values: a step decides purely which request to make, the shell makes it. Every request that changes something outside
carries a `key`, made from order, operation and ordinal and never from the attempt, by which the other side recognises a repeat and
by which we can inquire what became of it. A refusal is an answer, not an error; errors are those of `domain.errors`: `Unavailable`
(surely not reached), `Transient` (answered "later"), `OutcomeUnknown` (may have acted), `Poison` (an answer that makes no sense).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from domain.values import Address, Money


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessRisk:
    key: str
    order_id: str
    customer_id: str
    total: Money
    country: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskVerdict:
    decision: Literal["approve", "review", "reject"]
    score: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizePayment:
    key: str
    order_id: str
    amount: Money
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAuthorized:
    reference: str
    amount: Money
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDeclined:
    code: str
    hard: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePayment:
    key: str
    authorization: str
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptured:
    reference: str
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidPayment:
    key: str
    authorization: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentVoided:
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyLabel:
    key: str
    fulfillment_id: str
    warehouse: str
    ship_to: Address
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelBought:
    tracking: str
    carrier: str
    cost: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundLabel:
    key: str
    tracking: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRefunded:
    tracking: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverParcel:
    """Asks the carrier to accept the parcel; its acceptance scan is the fact that moves the goods."""

    key: str
    tracking: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelAccepted:
    scan_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackParcel:
    tracking: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelStatus:
    status: Literal["in_transit", "delivered"]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyCustomer:
    key: str
    order_id: str
    customer_id: str
    template: str
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerNotified:
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The other side will not do it, for a reason of business; a repeat gets the same answer."""

    code: str


class RiskAssessor(Protocol):
    """Judges an order; reads only, so it may be asked again at will."""

    def assess(self, request: AssessRisk) -> RiskVerdict: ...


class PaymentGateway(Protocol):
    """Moves money. Every operation is idempotent by `key` for as long as the gateway remembers it."""

    def authorize(self, request: AuthorizePayment) -> PaymentAuthorized | PaymentDeclined: ...

    def capture(self, request: CapturePayment) -> PaymentCaptured | Refused: ...

    def void(self, request: VoidPayment) -> PaymentVoided | Refused: ...

    def inquire(
        self, key: str
    ) -> PaymentAuthorized | PaymentDeclined | PaymentCaptured | PaymentVoided | Refused | None:
        """What became of the operation with that key; None: the gateway has never seen it."""
        ...


class Carrier(Protocol):
    """Sells labels, takes parcels, says where they are."""

    def buy_label(self, request: BuyLabel) -> LabelBought | Refused: ...

    def refund_label(self, request: RefundLabel) -> LabelRefunded | Refused: ...

    def hand_over(self, request: HandOverParcel) -> ParcelAccepted | Refused: ...

    def track(self, request: TrackParcel) -> ParcelStatus: ...

    def inquire(self, key: str) -> LabelBought | LabelRefunded | ParcelAccepted | Refused | None: ...


class Notifier(Protocol):
    """Sends mail; at least once, deduplicated by the receiver's system by `key`."""

    def notify(self, request: NotifyCustomer) -> CustomerNotified | Refused: ...


Request = (
    AssessRisk
    | AuthorizePayment
    | CapturePayment
    | VoidPayment
    | BuyLabel
    | RefundLabel
    | HandOverParcel
    | TrackParcel
    | NotifyCustomer
)
Answer = (
    RiskVerdict
    | PaymentAuthorized
    | PaymentDeclined
    | PaymentCaptured
    | PaymentVoided
    | LabelBought
    | LabelRefunded
    | ParcelAccepted
    | ParcelStatus
    | CustomerNotified
    | Refused
)
