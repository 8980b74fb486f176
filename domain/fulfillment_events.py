"""What can happen to a fulfillment, as stored for ever: reshape an event only through an upcaster."""

from dataclasses import dataclass
from datetime import datetime

from domain.values import Money, Units


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentCreated:
    fulfillment_id: str
    order_id: str
    warehouse: str
    units: tuple[Units, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelStarted:
    key: str
    ordinal: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPurchased:
    key: str
    tracking: str
    carrier: str
    cost: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFailed:
    key: str
    code: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverStarted:
    key: str
    ordinal: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverRefused:
    key: str
    code: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    key: str
    scan_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoodDown:
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRefundStarted:
    key: str
    at: datetime
    ordinal: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRefunded:
    key: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRefundFailed:
    key: str
    code: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CallNotDone:
    """A person found out that what the carrier was asked for never happened: it may be asked again, under the next ordinal."""

    key: str
    at: datetime


FulfillmentEvent = (
    FulfillmentCreated
    | LabelStarted
    | LabelPurchased
    | LabelFailed
    | HandOverStarted
    | HandOverRefused
    | HandedOver
    | Delivered
    | StoodDown
    | LabelRefundStarted
    | LabelRefunded
    | LabelRefundFailed
    | CallNotDone
)
