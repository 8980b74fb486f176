"""What can be asked of an order. Facts of other streams, such as what was handed over, arrive in the command.

Re-exported by `domain.order`, which decides about them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from domain.order_events import Assignment, Backorder, CancelReason, HoldReason, OrderPlaced
from domain.values import Units


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    placed: OrderPlaced


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRisk:
    """What the risk service said. A review holds the order, a rejection cancels it."""

    decision: Literal["approve", "review", "reject"]
    score: int
    reasons: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceHold:
    reason: HoldReason
    note: str
    by: str
    at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHold:
    """`reason` None releases every hold."""

    reason: HoldReason | None
    note: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFulfillment:
    """`missing`: units that nobody has and that the order's policy gives up."""

    assignments: tuple[Assignment, ...]
    backorders: tuple[Backorder, ...]
    at: datetime
    missing: tuple[Units, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCancellation:
    """`handed_over`: the fulfillments that are past the pivot, which nothing can cancel."""

    reason: CancelReason
    note: str
    by: str
    at: datetime
    handed_over: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOpenLines:
    """Cancels every unit that is not handed over; the caller stands the other fulfillments down in the same append.

    The carrier may have taken everything since the cancellation was requested: then it is refused.
    """

    handed_over: frozenset[str]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseOrder:
    at: datetime


OrderCommand = (
    PlaceOrder
    | RecordRisk
    | PlaceHold
    | ReleaseHold
    | PlanFulfillment
    | RequestCancellation
    | CancelOpenLines
    | CloseOrder
)
