"""The axes and the stage of an order, as the read model promises them, derived from the checker's own book."""

from tests.checker.books import OrderBook


def payment_axis(book: OrderBook) -> str:
    captured = sum(book.captured.values())
    if book.authorized is None:
        return "none"
    if not book.captured:
        return "voided" if book.voided else "authorized"
    return "paid" if captured >= book.authorized - book.voided else "partially_paid"


def fulfillment_axis(book: OrderBook) -> str:
    kept = book.ordered.total() - book.cancelled.total()
    shipped = sum(parcel.quantity for parcel in book.gone())
    if kept == 0:
        return "cancelled"
    if shipped == kept:
        return "delivered" if all(parcel.state == "delivered" for parcel in book.gone()) else "fulfilled"
    if shipped:
        return "partial"
    return "backordered" if book.backorders else "unfulfilled"


def stage(book: OrderBook) -> str:
    """The first that fits, from the end of an order's life to the least advanced of its work."""
    if book.outcome is not None:
        return "cancelled" if book.outcome == "cancelled" else "closed"
    if book.cancelling or book.cancelled.total() == book.ordered.total():
        return "cancelling"
    if book.holds:
        return "held"
    if book.authorized is None:
        return "placed" if book.risk is None else "approved"
    return _stage_of_work(book)


def _stage_of_work(book: OrderBook) -> str:
    states = {parcel.state for parcel in book.parcels.values()}
    for state in ("planned", "labelled"):
        if state in states:
            return state
    if book.backorders:
        return "backordered"
    shipped = sum(parcel.quantity for parcel in book.gone())
    if shipped + book.cancelled.total() < book.ordered.total():
        return "authorized"
    return "handed_over" if "handed_over" in states else "delivered"
