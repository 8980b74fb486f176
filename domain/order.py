"""The order: the promise to the customer. Its lines, plans, holds, cancellation and close.

Facts of other streams (what was handed over, what is still open) arrive in the commands; the order never reads another aggregate.
Every unit of a line is at any time exactly one of: cancelled, assigned to a fulfillment, backordered, or unplanned.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, assert_never

from domain.decider import Decider
from domain.errors import CommandRefused
from domain.order_commands import (
    CancelOpenLines,
    CloseOrder,
    OrderCommand,
    PlaceHold,
    PlaceOrder,
    PlanFulfillment,
    RecordRisk,
    ReleaseHold,
    RequestCancellation,
)
from domain.order_events import (
    Assignment,
    Backorder,
    CancellationRefused,
    CancellationRequested,
    CancelReason,
    FulfillmentPlanned,
    HoldPlaced,
    HoldReason,
    HoldReleased,
    LinesCancelled,
    OrderClosed,
    OrderEvent,
    OrderPlaced,
    RiskAssessed,
    ShippingPolicy,
)
from domain.values import Money, Units

__all__ = [
    "DECIDER",
    "Assignment",
    "Backorder",
    "CancelOpenLines",
    "CancelReason",
    "CancellationRefused",
    "CancellationRequested",
    "CloseOrder",
    "FulfillmentPlanned",
    "Hold",
    "HoldPlaced",
    "HoldReason",
    "HoldReleased",
    "LinesCancelled",
    "Order",
    "OrderClosed",
    "OrderCommand",
    "OrderEvent",
    "OrderPlaced",
    "PlaceHold",
    "PlaceOrder",
    "PlanFulfillment",
    "RecordRisk",
    "ReleaseHold",
    "RequestCancellation",
    "RiskAssessed",
    "ShippingPolicy",
    "decide",
    "evolve",
]

# --- state ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold and its running number, which names its timer."""

    ordinal: int
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the next decision needs. `planned_at` None: plan at once, be it for the first time or because a hold has ended."""

    placed: OrderPlaced | None = None
    risk: Literal["approve", "review", "reject"] | None = None
    holds: Mapping[HoldReason, Hold] = field(default_factory=dict)
    holds_placed: int = 0
    plans: int = 0
    planned_at: datetime | None = None
    assignments: tuple[Assignment, ...] = ()
    backorders: tuple[Backorder, ...] = ()
    cancelling: CancelReason | None = None
    cancel_reason: CancelReason | None = None
    cancelled: tuple[Units, ...] = ()
    cancellations: int = 0
    closed: Literal["delivered", "partially_delivered", "cancelled"] | None = None
    open_units: tuple[Units, ...] = ()
    unplanned_units: tuple[Units, ...] = ()

    def unplanned(self) -> tuple[Units, ...]:
        """Units of which nobody has decided yet where they come from: neither assigned, backordered nor cancelled."""
        return self.unplanned_units

    def to_plan(self) -> tuple[Units, ...]:
        """What a plan has to cover: unplanned units and those that wait in a backorder."""
        return self.open_units


def _counted(order: Order) -> Order:
    """The order with its open units counted anew. They change seldom and are asked for with every decision."""
    return replace(order, open_units=_left(order, ()), unplanned_units=_left(order, order.backorders))


def _left(order: Order, backorders: Sequence[Backorder]) -> tuple[Units, ...]:
    if order.placed is None:
        return ()
    taken: Counter[int] = Counter()
    for units in [*_assigned(order.assignments), *order.cancelled, *(backorder.units for backorder in backorders)]:
        taken[units.line] += units.quantity
    return tuple(
        Units(line=line.number, sku=line.sku, quantity=line.quantity - taken[line.number])
        for line in order.placed.lines
        if line.quantity > taken[line.number]
    )


def decide(command: OrderCommand, order: Order) -> Sequence[OrderEvent]:  # noqa: C901, PLR0911, PLR0912 - one flat case a command
    """The events that follow from a command.

    Raises `CommandRefused` where the rules forbid it; a repeat of what has happened is no event.
    """
    if isinstance(command, PlaceOrder):
        return _place(command.placed, order)
    if order.placed is None:
        raise CommandRefused("there is no such order")
    match command:
        case RecordRisk():
            return _record_risk(command, order)
        case PlaceHold():
            return _place_hold(command, order)
        case ReleaseHold():
            return _release_hold(command, order)
        case PlanFulfillment():
            return _plan(command, order)
        case RequestCancellation():
            return _request_cancellation(command, order)
        case CancelOpenLines():
            return _cancel_open_lines(command, order)
        case CloseOrder():
            return _close(command, order)
        case _:
            assert_never(command)


def evolve(order: Order, event: OrderEvent) -> Order:  # noqa: C901, PLR0911, PLR0912 - one flat case an event
    """The order after one event."""
    match event:
        case OrderPlaced():
            return _counted(replace(order, placed=event))
        case RiskAssessed():
            return replace(order, risk=event.decision)
        case HoldPlaced():
            hold = Hold(ordinal=order.holds_placed + 1, until=event.until)
            return replace(order, holds={**order.holds, event.reason: hold}, holds_placed=hold.ordinal)
        case HoldReleased():
            holds = {reason: hold for reason, hold in order.holds.items() if reason != event.reason}
            return replace(order, holds=holds, planned_at=None)
        case FulfillmentPlanned():
            planned = replace(
                order,
                plans=order.plans + 1,
                planned_at=event.at,
                assignments=order.assignments + event.assignments,
                backorders=event.backorders,
            )
            return _counted(planned)
        case CancellationRequested():
            return replace(order, cancelling=event.reason, holds={})
        case CancellationRefused():
            return replace(order, cancelling=None)
        case LinesCancelled():
            return _counted(_without(order, event))
        case OrderClosed():
            return replace(order, closed=event.outcome)
        case _:
            assert_never(event)


def _without(order: Order, event: LinesCancelled) -> Order:
    return replace(
        order,
        cancelling=None,
        cancel_reason=event.reason,
        cancelled=order.cancelled + event.units,
        cancellations=order.cancellations + 1,
        assignments=tuple(a for a in order.assignments if a.fulfillment_id not in event.stood_down),
        backorders=(),
    )


def _place(placed: OrderPlaced, order: Order) -> Sequence[OrderEvent]:
    if order.placed is None:
        _check(placed)
        return [placed]
    if order.placed.content_hash == placed.content_hash:
        return []
    raise CommandRefused("an order with this key and other content was accepted before", field="order_id")


def _check(placed: OrderPlaced) -> None:
    """What the money rests on: lines that can be divided into parcels and that add up to the total."""
    lines = placed.lines
    if not lines:
        raise CommandRefused("an order needs at least one line", field="lines")
    if len({line.number for line in lines}) < len(lines):
        raise CommandRefused("two lines have the same number", field="lines")
    if any(line.quantity < 1 or line.amount < 0 for line in lines) or placed.shipping.amount < 0:
        raise CommandRefused("quantities start at 1, amounts at 0", field="lines")
    amounts = Money(amount=sum(line.amount for line in lines), currency=placed.total.currency)
    if placed.shipping.currency != placed.total.currency or amounts + placed.shipping != placed.total:
        raise CommandRefused("the lines and the shipping do not add up to the total", field="total")


def _record_risk(command: RecordRisk, order: Order) -> Sequence[OrderEvent]:
    if order.risk is not None:
        return []
    assessed = RiskAssessed(decision=command.decision, score=command.score, reasons=command.reasons, at=command.at)
    if order.cancelling or not order.to_plan() or command.decision == "approve":
        return [assessed]
    note = ", ".join(command.reasons)
    if command.decision == "review" and HoldReason.HIGH_RISK_OF_FRAUD in order.holds:
        return [assessed]
    if command.decision == "review":
        return [assessed, HoldPlaced(reason=HoldReason.HIGH_RISK_OF_FRAUD, note=note, by="risk", at=command.at)]
    return [assessed, CancellationRequested(reason=CancelReason.FRAUD, note=note, by="risk", at=command.at)]


def _place_hold(command: PlaceHold, order: Order) -> Sequence[OrderEvent]:
    if order.closed:
        raise CommandRefused(f"the order is closed ({order.closed})")
    if order.cancelling:
        raise CommandRefused("the order is being cancelled")
    if command.reason in order.holds:
        return []
    if command.until is not None and command.until <= command.at:
        raise CommandRefused("lies in the past", field="until")
    return [HoldPlaced(reason=command.reason, note=command.note, by=command.by, at=command.at, until=command.until)]


def _release_hold(command: ReleaseHold, order: Order) -> Sequence[OrderEvent]:
    reasons = [reason for reason in order.holds if command.reason in (None, reason)]
    return [HoldReleased(reason=reason, note=command.note, by=command.by, at=command.at) for reason in reasons]


def _plan(command: PlanFulfillment, order: Order) -> Sequence[OrderEvent]:
    if order.holds:
        raise CommandRefused(f"the order is held ({', '.join(order.holds)})")
    if order.cancelling or order.closed:
        raise CommandRefused("the order is being cancelled or closed")
    known = {assignment.fulfillment_id for assignment in order.assignments}
    unchanged = order.plans > 0 and not command.missing and command.backorders == order.backorders
    if unchanged and all(assignment.fulfillment_id in known for assignment in command.assignments):
        return []
    if any(assignment.fulfillment_id in known for assignment in command.assignments):
        raise CommandRefused("a fulfillment is assigned only once", field="assignments")
    covered: Counter[int] = Counter()
    for units in [*_assigned(command.assignments), *(b.units for b in command.backorders), *command.missing]:
        covered[units.line] += units.quantity
    open_units = {units.line: units.quantity for units in order.to_plan()}
    if any(quantity > open_units.get(line, 0) for line, quantity in covered.items()):
        raise CommandRefused("the plan covers more units than are open", field="assignments")
    planned = FulfillmentPlanned(assignments=command.assignments, backorders=command.backorders, at=command.at)
    if not command.missing:
        return [planned]
    given_up = LinesCancelled(units=command.missing, stood_down=(), reason=CancelReason.INVENTORY, at=command.at)
    return [planned, given_up]


def _assigned(assignments: Sequence[Assignment]) -> list[Units]:
    return [units for assignment in assignments for units in assignment.units]


def _request_cancellation(command: RequestCancellation, order: Order) -> Sequence[OrderEvent]:
    if order.cancelling or _is_cancelled(order):
        return []
    if not _open_units(order, command.handed_over):
        return [_refused(command.reason, command.by, command.at)]
    return [CancellationRequested(reason=command.reason, note=command.note, by=command.by, at=command.at)]


def _is_cancelled(order: Order) -> bool:
    return not order.assignments and not order.to_plan()


def _refused(reason: CancelReason, by: str, at: datetime) -> CancellationRefused:
    why = "everything was handed over to the carrier"
    return CancellationRefused(reason=reason, why=why, offered="return", by=by, at=at)


def _cancel_open_lines(command: CancelOpenLines, order: Order) -> Sequence[OrderEvent]:
    if order.cancelling is None:
        return []
    units = _open_units(order, command.handed_over)
    if not units:
        return [_refused(order.cancelling, "carrier", command.at)]
    stood_down = tuple(a.fulfillment_id for a in order.assignments if a.fulfillment_id not in command.handed_over)
    return [LinesCancelled(units=units, stood_down=stood_down, reason=order.cancelling, at=command.at)]


def _open_units(order: Order, handed_over: frozenset[str]) -> tuple[Units, ...]:
    """All units that are neither cancelled nor handed over."""
    assigned = _assigned([a for a in order.assignments if a.fulfillment_id not in handed_over])
    return order.to_plan() + tuple(assigned)


def _close(command: CloseOrder, order: Order) -> Sequence[OrderEvent]:
    if order.closed:
        return []
    if order.to_plan() or order.cancelling:
        raise CommandRefused("the order still has open units")
    if not order.assignments:
        return [OrderClosed(outcome="cancelled", at=command.at)]
    return [OrderClosed(outcome="partially_delivered" if order.cancelled else "delivered", at=command.at)]


DECIDER: Decider[OrderCommand, Order, OrderEvent] = Decider(initial=Order(), decide=decide, evolve=evolve)
