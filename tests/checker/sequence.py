"""K12: what must have happened before, over all streams of an order in the global order."""

from collections.abc import Callable, Iterator

from tests.checker.books import OrderBook
from tests.checker.evidence import Event, Evidence, split_fulfillment
from tests.checker.verdict import Findings

Seen = dict[tuple[str, str], int]


def causes_come_first(evidence: Evidence) -> Findings:
    for order_id, events in evidence.orders.items():
        book, seen = OrderBook(order_id), Seen()
        for event in events:
            rule = _RULES.get(event.type)
            for wrong in rule(event, book, seen) if rule else ():
                yield order_id, f"{event.type} at {event.position} {wrong}"
            book.apply(event)
            seen[event.type, _about(event)] = event.position
        for parcel in book.gone():
            for stream in parcel.by_stream():
                if ("StockShipped", f"{stream} {parcel.fulfillment_id}") not in seen:
                    yield parcel.fulfillment_id, f"was handed over, but never left {stream}"


def _about(event: Event) -> str:
    """What the event is about: a fulfillment, in stock with its stream."""
    fulfillment = str(event.data.get("fulfillment_id") or (event.subject if event.category == "fulfillment" else ""))
    return f"{event.stream} {fulfillment}" if event.category == "stock" else fulfillment


def _risk_first(event: Event, book: OrderBook, seen: Seen) -> Iterator[str]:
    if book.risk in (None, "reject"):
        yield f"though the risk is {book.risk}"
    yield from _undisturbed(event, book, seen)


def _money_first(event: Event, book: OrderBook, seen: Seen) -> Iterator[str]:
    if book.authorized is None:
        yield "before the payment was authorized"
    if event.type in ("LabelStarted", "HandOverStarted") and book.unknown:
        yield "while the outcome of a payment is unknown"
    yield from _undisturbed(event, book, seen)


def _undisturbed(event: Event, book: OrderBook, seen: Seen) -> Iterator[str]:
    if book.holds:
        yield f"while the order is held for {', '.join(book.holds)}"
    if book.cancelling or book.outcome:
        yield "while the order is being cancelled or closed"


def _planned_first(event: Event, book: OrderBook, seen: Seen) -> Iterator[str]:
    plan = book.assigned.get(event.subject, {})
    if plan.get("warehouse") != event.data["warehouse"] or plan.get("units") != event.data["units"]:
        yield "is not in the plan"


def _created_first(event: Event, book: OrderBook, seen: Seen) -> Iterator[str]:
    identity = event.data["fulfillment_id"]
    parcel = book.parcels.get(split_fulfillment(identity)[1])
    if parcel is None or parcel.by_stream()[event.stream] != event.data["quantity"]:
        yield f"is for {event.data['quantity']} units that no parcel {identity} has"


def _goods_first(event: Event, book: OrderBook, seen: Seen) -> Iterator[str]:
    yield from _money_first(event, book, seen)
    parcel = book.parcels[split_fulfillment(event.subject)[1]]
    if parcel.tracking is None:
        yield "without a label"
    for stream in parcel.by_stream():
        if ("StockAllocated", f"{stream} {parcel.fulfillment_id}") not in seen:
            yield f"before {stream} was allocated"
        if ("AllocationReleased", f"{stream} {parcel.fulfillment_id}") in seen:
            yield f"after {stream} was released"


def _carrier_first(event: Event, book: OrderBook, seen: Seen) -> Iterator[str]:
    identity = str(event.data["fulfillment_id"])
    if ("HandedOver", identity) not in seen:
        yield f"before {identity} was handed over"


def _nothing_left(event: Event, book: OrderBook, seen: Seen) -> Iterator[str]:
    """The close: every unit delivered or cancelled, the outcome is the one that follows."""
    kept = [parcel for parcel in book.parcels.values() if parcel.state != "stood_down"]
    if any(parcel.state != "delivered" for parcel in kept):
        yield "before everything was delivered"
    left = book.ordered - book.cancelled
    for parcel in kept:
        for some in parcel.units:
            left[some["line"]] -= some["quantity"]
    if any(left.values()):
        yield f"with units that are neither delivered nor cancelled: {dict(left)}"
    outcome = "cancelled" if not kept else "partially_delivered" if book.cancelled.total() else "delivered"
    if event.data["outcome"] != outcome:
        yield f"as {event.data['outcome']}, it is {outcome}"


_RULES: dict[str, Callable[[Event, OrderBook, Seen], Iterator[str]]] = {
    "AuthorizationStarted": _risk_first,
    "FulfillmentPlanned": _money_first,
    "FulfillmentCreated": _planned_first,
    "StockAllocated": _created_first,
    "LabelStarted": _money_first,
    "HandOverStarted": _goods_first,
    "CaptureStarted": _carrier_first,
    "Captured": _carrier_first,
    "StockShipped": _carrier_first,
    "OrderClosed": _nothing_left,
}
