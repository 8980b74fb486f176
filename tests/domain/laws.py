"""The laws of an order, of its money and of the stock: true after every single step, whatever happened."""

from collections import Counter
from collections.abc import Mapping, Sequence

from domain import fulfillment as fulfillments
from domain import order as orders
from domain import payment as payments
from domain import stock as stocks
from domain.pricing import value_handed_over
from domain.process import (
    OrderView,
    Policy,
    failures,
    fulfillment_id,
    fulfillment_stream,
    payment_stream,
    stock_stream,
)

PICKING = (fulfillments.LabelStarted, fulfillments.HandOverStarted)
STARTED = (payments.AuthorizationStarted, payments.CaptureStarted, payments.VoidStarted)
NEW_WORK = (*PICKING, orders.FulfillmentPlanned, payments.AuthorizationStarted, payments.CaptureStarted)
ENDED = (
    payments.Authorized,
    payments.AuthorizationDeclined,
    payments.Captured,
    payments.CaptureFailed,
    payments.Voided,
    payments.VoidFailed,
    payments.OperationNotDone,
)
Log = Mapping[str, Sequence[object]]


def check_change(view: OrderView, stream: str, event: object) -> None:
    """What may follow what, over all streams of an order."""
    order = view.order
    if isinstance(event, NEW_WORK):
        assert not failures(view, Policy()), f"{stream}: {event} behind a dead run"
    if isinstance(event, PICKING):
        assert not (view.payment.open and view.payment.open.unknown), f"{stream}: {event} with an unknown payment"
        assert view.payment.authorized, f"{stream}: {event} without money"
    if isinstance(event, (*PICKING, orders.FulfillmentPlanned)):
        assert not order.holds, f"{stream}: {event} while held"
        assert not order.cancelling, f"{stream}: {event} while being cancelled"
    if isinstance(event, orders.LinesCancelled):
        assert event.units, "a cancellation of nothing"
    if isinstance(event, orders.CancellationRequested):
        assert order.to_plan() or order.assignments, "a cancellation of what is cancelled"
    if isinstance(event, fulfillments.HandedOver):
        parcel = view.fulfillments[int(stream.rpartition("+")[2])]
        assert not parcel.stood_down, f"{stream}: handed over after it was stood down"
    if order.closed:
        assert not isinstance(event, (*PICKING, orders.CancellationRequested, *STARTED)), f"{event} after the close"


def check_order(view: OrderView, log: Log) -> None:
    """Lines, money and parcels of one order."""
    _check_lines(view)
    _check_money(view)
    _check_operations(log.get(payment_stream(view.order_id), ()))
    _check_parcels(view, log)


def _check_lines(view: OrderView) -> None:
    order = view.order
    if order.placed is None:
        return
    parts: Counter[int] = Counter()
    assigned = [units for assignment in order.assignments for units in assignment.units]
    for units in [*order.cancelled, *assigned, *(b.units for b in order.backorders), *order.unplanned()]:
        assert units.quantity > 0
        parts[units.line] += units.quantity
    assert parts == Counter({line.number: line.quantity for line in order.placed.lines})
    kept = {assignment.fulfillment_id for assignment in order.assignments}
    for number, parcel in view.fulfillments.items():
        assert parcel.stood_down == (fulfillment_id(view.order_id, number) not in kept)
        assert not (parcel.stood_down and parcel.past_pivot())


def _check_money(view: OrderView) -> None:
    payment = view.payment
    captured, authorized = payment.captured_total(), payment.authorized.amount if payment.authorized else 0
    voided = payment.voided.amount if payment.voided else 0
    assert captured + voided <= authorized
    if captured:
        assert captured <= value_handed_over(view).amount
    for key in payment.captured:
        assert view.fulfillments[int(key.rpartition("+")[2])].handed_over


def _check_operations(events: Sequence[object]) -> None:
    """One at a time: started, ended, started."""
    is_open = False
    for event in events:
        if isinstance(event, STARTED):
            assert not is_open, f"{event} while another is open"
            is_open = True
        elif isinstance(event, ENDED):
            assert is_open, f"{event} of nothing"
            is_open = False
    captures = Counter(event.fulfillment_id for event in events if isinstance(event, payments.Captured))
    assert all(count == 1 for count in captures.values()), "a parcel was captured twice"


def _check_parcels(view: OrderView, log: Log) -> None:
    for number in view.fulfillments:
        events = log[fulfillment_stream(view.order_id, number)]
        stood_down = [type(event) for event in events].count(fulfillments.StoodDown)
        handed_over = [type(event) for event in events].count(fulfillments.HandedOver)
        assert stood_down + handed_over <= 1


def check_stock(log: Log, views: Mapping[str, OrderView]) -> None:
    """Conservation, at every stream's end; what stock has promised is exactly what the orders know of."""
    promised: Counter[tuple[str, str]] = Counter()
    gone: Counter[tuple[str, str]] = Counter()
    waiting: Counter[tuple[str, str]] = Counter()
    for view in views.values():
        promised.update(_units_of(view, handed_over=False))
        gone.update(_units_of(view, handed_over=True))
        for backorder in view.order.backorders:
            stream = stock_stream(backorder.warehouse, backorder.units.sku)
            waiting[stream, view.order_id] += backorder.units.quantity
    held: Counter[tuple[str, str]] = Counter()
    queued: Counter[tuple[str, str]] = Counter()
    shipped: Counter[tuple[str, str]] = Counter()
    for stream in (name for name in log if name.startswith("stock-")):
        stock = stocks.fold(log[stream])  # type: ignore[arg-type]
        check_ledger(log[stream], stock)
        held.update({(stream, key): quantity for key, quantity in stock.allocations.items()})
        queued.update({(stream, key): quantity for key, quantity in stock.backorders.items()})
        shipped.update(
            {(stream, e.fulfillment_id): e.quantity for e in log[stream] if isinstance(e, stocks.StockShipped)}
        )
    assert held == promised
    assert shipped == gone
    assert queued == waiting


def _units_of(view: OrderView, *, handed_over: bool) -> Counter[tuple[str, str]]:
    """What was assigned and is with the carrier, or is not, by stream and fulfillment."""
    found: Counter[tuple[str, str]] = Counter()
    for assignment in view.order.assignments:
        if (assignment.fulfillment_id in view.handed_over()) == handed_over:
            for units in assignment.units:
                found[stock_stream(assignment.warehouse, units.sku), assignment.fulfillment_id] += units.quantity
    return found


def check_ledger(events: Sequence[object], stock: stocks.Stock) -> None:
    """Nothing appears from nowhere, nothing is promised twice."""
    inward = sum(e.quantity for e in events if isinstance(e, stocks.StockReceived | stocks.StockAdjusted))
    shipped = sum(e.quantity for e in events if isinstance(e, stocks.StockShipped))
    assert stock.on_hand == inward - shipped
    assert 0 <= stock.allocated <= stock.on_hand
    assert stock.allocated == sum(stock.allocations.values())
    assert stock.backordered == sum(stock.backorders.values())
    assert all(quantity > 0 for quantity in [*stock.allocations.values(), *stock.backorders.values()])
