"""K13 to K15: goods. Stock is conserved at every event, nothing is promised to nobody, nobody gets more than was ordered."""

from collections import Counter
from collections.abc import Iterator

from tests.checker.books import OrderBook, StockBook, fold, fold_stock
from tests.checker.evidence import Event, Evidence
from tests.checker.verdict import Findings


def stock_is_conserved(evidence: Evidence) -> Findings:
    for stream, events in evidence.streams.items():
        if not stream.startswith("stock-"):
            continue
        book = StockBook()
        for event in events:
            yield from ((stream, f"{event.type} (version {event.version}) {wrong}") for wrong in _before(event, book))
            book.apply(event)
            if not 0 <= book.allocated <= book.on_hand:
                yield stream, f"has {book.on_hand} on hand, {book.allocated} promised after version {event.version}"


def _before(event: Event, book: StockBook) -> Iterator[str]:
    identity, quantity = event.data.get("fulfillment_id", ""), event.data.get("quantity", 0)
    match event.type:
        case "StockAllocated" if book.allocations[identity]:
            yield f"promises again to {identity}"
        case "AllocationReleased" | "StockShipped" if book.allocations[identity] != quantity:
            yield f"takes {quantity} of the {book.allocations[identity]} that {identity} was promised"
        case "BackorderWithdrawn" if event.data["order_id"] not in book.queue:
            yield f"takes {event.data['order_id']} out of a queue it was not in"


def nothing_is_kept_for_nobody(evidence: Evidence) -> Findings:
    """What stock has set aside and queued is exactly what the orders wait for; closed orders wait for nothing."""
    books = {order_id: fold(order_id, events) for order_id, events in evidence.orders.items()}
    promised, waiting = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for book in books.values():
        promised += book.promised()
        for backorder in book.backorders:
            units = backorder["units"]
            waiting[f"stock-{backorder['warehouse']}+{units['sku']}", book.order_id] += units["quantity"]
    held, queued = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for stream, events in evidence.streams.items():
        if stream.startswith("stock-"):
            stock = fold_stock(events)
            held.update({(stream, key): quantity for key, quantity in stock.allocations.items() if quantity})
            queued.update({(stream, key): quantity for key, quantity in stock.queue.items()})
    yield from _differences(held, promised, "sets aside")
    yield from _differences(queued, waiting, "queues")
    for book in books.values():
        if book.outcome is not None and (book.promised() or book.backorders):
            yield book.order_id, "is closed and still waits for goods"


def _differences(there: Counter[tuple[str, str]], wanted: Counter[tuple[str, str]], verb: str) -> Findings:
    for stream, owner in sorted(there.keys() | wanted.keys()):
        if there[stream, owner] != wanted[stream, owner]:
            yield stream, f"{verb} {there[stream, owner]} for {owner}, which waits for {wanted[stream, owner]}"


def nobody_gets_too_much(evidence: Evidence) -> Findings:
    for order_id, events in evidence.orders.items():
        book = OrderBook(order_id)
        for event in events:
            book.apply(event)
            if event.type in ("FulfillmentPlanned", "LinesCancelled"):
                yield from ((order_id, f"{wrong} after {event.position}") for wrong in _overbooked(book))
        for line, quantity in (book.shipped() - book.ordered).items():
            yield order_id, f"got {quantity} more of line {line} than was ordered"


def numbers_are_given_once(evidence: Evidence) -> Findings:
    """Who asks where a parcel is must not be told of another."""
    books = [fold(order_id, events) for order_id, events in evidence.orders.items()]
    tracking = Counter(parcel.tracking for book in books for parcel in book.parcels.values() if parcel.tracking)
    scans = Counter(event.data["scan_id"] for event in evidence.of_type("HandedOver"))
    for number, count in (*tracking.items(), *scans.items()):
        if count > 1:
            yield number, f"stands for {count} parcels"


def _overbooked(book: OrderBook) -> Iterator[str]:
    spoken = Counter(book.cancelled)
    for assignment in book.assigned.values():
        for some in assignment["units"]:
            spoken[some["line"]] += some["quantity"]
    for backorder in book.backorders:
        spoken[backorder["units"]["line"]] += backorder["units"]["quantity"]
    for line, quantity in (spoken - book.ordered).items():
        yield f"{quantity} more of line {line} are planned or cancelled than were ordered"
