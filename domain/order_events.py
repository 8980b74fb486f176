"""What can happen to an order, as stored for ever: reshape an event only through an upcaster.

Apart from `domain.order`, which re-exports all of it, because the storage format should change for other reasons than the rules.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from domain.values import Address, Money, OrderLine, Units


class HoldReason(StrEnum):
    """Why an order waits for a person (the set that Shopify's fulfillment holds use)."""

    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    HIGH_RISK_OF_FRAUD = "HIGH_RISK_OF_FRAUD"
    INCORRECT_ADDRESS = "INCORRECT_ADDRESS"
    INVENTORY_OUT_OF_STOCK = "INVENTORY_OUT_OF_STOCK"
    UNKNOWN_DELIVERY_DATE = "UNKNOWN_DELIVERY_DATE"
    OTHER = "OTHER"


class CancelReason(StrEnum):
    """Why an order, or what is left of it, is cancelled."""

    CUSTOMER = "customer"
    DECLINED = "declined"
    FRAUD = "fraud"
    INVENTORY = "inventory"
    STAFF = "staff"
    EXPIRED = "expired"
    OTHER = "other"


class ShippingPolicy(StrEnum):
    """What to do with what is not in stock."""

    PARTIAL = "ship-partial"
    COMPLETE = "ship-complete"
    CANCEL_REMAINDER = "cancel-remainder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The units that one warehouse will send as one parcel."""

    fulfillment_id: str
    warehouse: str
    units: tuple[Units, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backorder:
    """Units that wait in the queue of one warehouse's stock."""

    warehouse: str
    units: Units


# --- events: stored for ever; reshape only through an upcaster ---


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlaced:
    order_id: str
    customer_id: str
    ship_to: Address
    lines: tuple[OrderLine, ...]
    shipping: Money
    total: Money
    payment_token: str
    policy: ShippingPolicy
    content_hash: str
    placed_at: datetime
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskAssessed:
    decision: Literal["approve", "review", "reject"]
    score: int
    reasons: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPlaced:
    """`until`: when the hold ends in a cancellation if nobody releases it; None waits for ever."""

    reason: HoldReason
    note: str
    by: str
    at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldReleased:
    reason: HoldReason
    note: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentPlanned:
    """The plan for all units that were not assigned before; `backorders` replaces the former backorders."""

    assignments: tuple[Assignment, ...]
    backorders: tuple[Backorder, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationRequested:
    reason: CancelReason
    note: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationRefused:
    reason: CancelReason
    why: str
    offered: Literal["return"]
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesCancelled:
    units: tuple[Units, ...]
    stood_down: tuple[str, ...]
    reason: CancelReason
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderClosed:
    outcome: Literal["delivered", "partially_delivered", "cancelled"]
    at: datetime


OrderEvent = (
    OrderPlaced
    | RiskAssessed
    | HoldPlaced
    | HoldReleased
    | FulfillmentPlanned
    | CancellationRequested
    | CancellationRefused
    | LinesCancelled
    | OrderClosed
)
