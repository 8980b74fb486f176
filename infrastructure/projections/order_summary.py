"""One row an order: where it stands on the three axes, its money, its units, its parcels and its stage.

Events move counters and facts; the axes and the stage are derived from those, once a batch. Two orders with the same history have
the same row whatever the batches were.
"""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from domain import fulfillment as parcels
from domain import order as orders
from domain import payment as payments
from domain import process as processes
from domain.errors import Poison
from domain.ports import RecordedEvent
from infrastructure.projections.facts import Fact, of
from infrastructure.projections.order_stages import fulfillment_axis, stage_of

Parcel = dict[str, Any]
ParcelMove = parcels.LabelPurchased | parcels.HandedOver | parcels.Delivered | parcels.StoodDown


@dataclass(slots=True)
class OrderSummary:
    """The row. Fields are in the order of the table's columns; positional, because a replay makes millions of them."""

    order_id: str
    customer_id: str
    country: str
    currency: str
    payment: str
    fulfillment: str
    holds: list[str]
    stage: str
    outcome: str | None
    risk: str | None
    cancelling: bool
    cancel_reason: str | None
    failed_steps: list[str]
    total: int
    authorized: int
    captured: int
    voided: int
    lines: int
    units: int
    units_cancelled: int
    units_backordered: int
    units_shipped: int
    units_delivered: int
    parcels: int
    parcel_details: list[Parcel]
    placed_at: datetime
    updated_at: datetime
    placed_position: int
    position: int
    last_event: str


def begins(fact: Fact) -> bool:
    """The fact makes a row, so there is none to load."""
    return type(fact.event) is orders.OrderPlaced


def project(rows: MutableMapping[str, OrderSummary], facts: Iterable[Fact]) -> Mapping[str, OrderSummary]:
    """`rows` holds what exists of the orders that the facts name; the result is what changed."""
    changed: dict[str, OrderSummary] = {}
    for fact in facts:
        event = fact.event
        kind = type(event)
        if kind is orders.OrderPlaced:
            row = rows[fact.subject] = _placed(fact, event)
        else:
            found = rows.get(fact.subject)
            if found is None:
                raise Poison(f"{fact.stream}: {kind.__name__} of an order that was never placed")
            row = found
            _change(row, fact)
        row.position, row.updated_at, row.last_event = fact.position, fact.at, kind.__name__
        changed[fact.subject] = row
    for row in changed.values():
        row.fulfillment = fulfillment_axis(row)
        row.stage = stage_of(row)
    return changed


def fold_order(events: Iterable[RecordedEvent]) -> OrderSummary:
    """The row of one order from all its events."""
    (row,) = project({}, map(of, events)).values()
    return row


def _change(row: OrderSummary, fact: Fact) -> None:
    kind = type(fact.event)
    if change := _CHANGES.get(kind):
        change(row, fact.event)
    elif parcel_change := _PARCEL_CHANGES.get(kind):
        parcel_change(row, fact.part, fact.event)
    elif kind not in _ONLY_THE_LAST_EVENT:
        raise Poison(f"{fact.stream}: {kind.__name__} is no event of an order")


def _placed(fact: Fact, placed: orders.OrderPlaced) -> OrderSummary:
    return OrderSummary(
        order_id=fact.subject,
        customer_id=placed.customer_id,
        country=placed.ship_to.country,
        currency=placed.total.currency,
        payment="none",
        fulfillment="unfulfilled",
        holds=[],
        stage="placed",
        outcome=None,
        risk=None,
        cancelling=False,
        cancel_reason=None,
        failed_steps=[],
        total=placed.total.amount,
        authorized=0,
        captured=0,
        voided=0,
        lines=len(placed.lines),
        units=sum(line.quantity for line in placed.lines),
        units_cancelled=0,
        units_backordered=0,
        units_shipped=0,
        units_delivered=0,
        parcels=0,
        parcel_details=[],
        placed_at=placed.placed_at,
        updated_at=fact.at,
        placed_position=fact.position,
        position=fact.position,
        last_event="OrderPlaced",
    )


# --- the order's own events ---


def _risk_assessed(row: OrderSummary, event: orders.RiskAssessed) -> None:
    row.risk = event.decision


def _hold_placed(row: OrderSummary, event: orders.HoldPlaced) -> None:
    if event.reason not in row.holds:
        row.holds.append(str(event.reason))


def _hold_released(row: OrderSummary, event: orders.HoldReleased) -> None:
    row.holds = [reason for reason in row.holds if reason != event.reason]


def _planned(row: OrderSummary, event: orders.FulfillmentPlanned) -> None:
    row.units_backordered = sum(backorder.units.quantity for backorder in event.backorders)


def _cancellation_requested(row: OrderSummary, _event: orders.CancellationRequested) -> None:
    row.cancelling, row.holds = True, []


def _cancellation_refused(row: OrderSummary, _event: orders.CancellationRefused) -> None:
    row.cancelling = False


def _lines_cancelled(row: OrderSummary, event: orders.LinesCancelled) -> None:
    row.cancelling, row.cancel_reason, row.units_backordered = False, str(event.reason), 0
    row.units_cancelled += sum(units.quantity for units in event.units)


def _closed(row: OrderSummary, event: orders.OrderClosed) -> None:
    row.outcome = event.outcome


# --- money ---


def _authorized(row: OrderSummary, event: payments.Authorized) -> None:
    row.authorized += event.amount.amount
    row.payment = _paid(row) if row.captured else "authorized"


def _captured(row: OrderSummary, event: payments.Captured) -> None:
    row.captured += event.amount.amount
    row.payment = _paid(row)


def _voided(row: OrderSummary, event: payments.Voided) -> None:
    row.voided += event.amount.amount
    row.payment = "voided" if row.payment == "authorized" else _paid(row)


def _paid(row: OrderSummary) -> str:
    return "paid" if row.captured >= row.authorized - row.voided else "partially_paid"


# --- parcels ---


def _parcel_created(row: OrderSummary, number: int, created: parcels.FulfillmentCreated) -> None:
    units = sum(some.quantity for some in created.units)
    row.parcel_details.append({"number": number, "warehouse": created.warehouse, "units": units, "state": "planned"})
    row.parcels += 1


def _parcel_moved(row: OrderSummary, number: int, event: ParcelMove) -> None:
    parcel = _parcel(row, number)
    match event:
        case parcels.LabelPurchased(carrier=carrier, tracking=tracking):
            parcel.update(state="labelled", carrier=carrier, tracking=tracking)
        case parcels.HandedOver():
            parcel["state"] = "handed_over"
            row.units_shipped += parcel["units"]
        case parcels.Delivered():
            parcel["state"] = "delivered"
            row.units_delivered += parcel["units"]
        case parcels.StoodDown():
            parcel["state"] = "stood_down"
            row.parcels -= 1


def _parcel(row: OrderSummary, number: int) -> Parcel:
    for parcel in row.parcel_details:
        if parcel["number"] == number:
            return parcel
    raise Poison(f"{row.order_id}: fulfillment {number} was never created")


# --- the process ---


def _step_failed(row: OrderSummary, event: processes.StepFailed) -> None:
    name = _step(event)
    if name not in row.failed_steps:
        row.failed_steps.append(name)


def _step_retried(row: OrderSummary, event: processes.StepRetried) -> None:
    name = _step(event)
    row.failed_steps = [failed for failed in row.failed_steps if failed != name]


def _step(event: processes.ProcessEvent) -> str:
    return f"{event.step}/{event.part}/{event.ordinal}"


_CHANGES: Mapping[type[Any], Callable[[OrderSummary, Any], None]] = {
    orders.RiskAssessed: _risk_assessed,
    orders.HoldPlaced: _hold_placed,
    orders.HoldReleased: _hold_released,
    orders.FulfillmentPlanned: _planned,
    orders.CancellationRequested: _cancellation_requested,
    orders.CancellationRefused: _cancellation_refused,
    orders.LinesCancelled: _lines_cancelled,
    orders.OrderClosed: _closed,
    payments.Authorized: _authorized,
    payments.Captured: _captured,
    payments.Voided: _voided,
    processes.StepFailed: _step_failed,
    processes.StepRetried: _step_retried,
}
_PARCEL_CHANGES: Mapping[type[Any], Callable[[OrderSummary, int, Any], None]] = {
    parcels.FulfillmentCreated: _parcel_created,
    **dict.fromkeys(get_args(ParcelMove), _parcel_moved),
}
_ONLY_THE_LAST_EVENT = frozenset(get_args(processes.OrderStreamEvent)) - _CHANGES.keys() - _PARCEL_CHANGES.keys()
