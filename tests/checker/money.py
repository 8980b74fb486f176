"""K10 and K11: the gateway's own ledger against our events, capture by capture and in sums."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.checker.books import OrderBook, fold
from tests.checker.evidence import Event, Evidence, Row, split_fulfillment
from tests.checker.verdict import Findings


def captures_are_exact(evidence: Evidence) -> Findings:
    books = {order_id: fold(order_id, events) for order_id, events in evidence.orders.items()}
    captured = _by_key(evidence.of_type("Captured"))
    at_gateway: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in evidence.books("captures"):
        parcel = row["key"].partition(":")[0]
        at_gateway[row["order_id"], parcel].append(row)
        yield from ((row["reference"], wrong) for wrong in _capture_wrongs(row, books, captured))
    for (order_id, parcel), rows in at_gateway.items():
        if len(rows) > 1:
            yield parcel, f"was captured {len(rows)} times at the gateway: {[row['reference'] for row in rows]}"
        if parcel not in {gone.fulfillment_id for gone in books.get(order_id, OrderBook(order_id)).gone()}:
            yield parcel, "was captured, but not handed over"
    for book in books.values():
        yield from _parcels_unpaid(book, at_gateway)
    yield from _references(evidence)
    yield from _amounts(evidence)


def _references(evidence: Evidence) -> Findings:
    """Each capture of ours is one of the gateway's, but for parcels of gifts: there is nothing to ask the gateway for."""
    references = {row["reference"] for row in evidence.books("captures")}
    for event in evidence.of_type("Captured"):
        amount, reference = event.data["amount"]["amount"], event.data["reference"]
        if amount and reference not in references:
            yield event.subject, f"{reference!r} is no capture of the gateway"
        if not amount and reference:
            yield event.subject, f"{reference!r} stands for nothing"


def _capture_wrongs(row: Row, books: dict[str, OrderBook], captured: dict[str, Event]) -> Iterator[str]:
    book, event = books.get(row["order_id"]), captured.get(row["key"])
    if book is None:
        yield f"takes money of {row['order_id']}, an order that does not exist"
    elif event is None and book.outcome is not None:
        yield f"took {row['amount']} of {row['order_id']}, which no event tells"
    if event is not None and not _same(row, event):
        yield f"is {row['amount']} {row['currency']}, the event says {event.data['reference']} {event.data['amount']}"


def _parcels_unpaid(book: OrderBook, at_gateway: dict[tuple[str, str], list[Row]]) -> Findings:
    if book.outcome is None:
        return
    for parcel in book.gone():
        if not at_gateway.get((book.order_id, parcel.fulfillment_id)) and book.captured.get(parcel.fulfillment_id) != 0:
            yield parcel.fulfillment_id, "was handed over and never captured at the gateway"


def _amounts(evidence: Evidence) -> Findings:
    """Each capture takes what its units are worth, the shipping fee with the first, in the order's currency."""
    for order_id, events in evidence.orders.items():
        book, paid = OrderBook(order_id), list[str]()
        for event in events:
            book.apply(event)
            if event.type != "Captured":
                continue
            before = [parcel for parcel in book.parcels.values() if parcel.fulfillment_id in paid]
            paid.append(event.data["fulfillment_id"])
            after = [parcel for parcel in book.parcels.values() if parcel.fulfillment_id in paid]
            fee = 0 if before else book.placed["shipping"]["amount"]
            worth = {**book.placed["total"], "amount": book.worth(after) - book.worth(before) + fee}
            if event.data["amount"] != worth:
                yield event.data["fulfillment_id"], f"is worth {worth}, captured was {event.data['amount']}"


def one_authorization_an_order(evidence: Evidence) -> Findings:
    """Part of K10: no second authorization holds or took money, and each is what an event tells."""
    used = Counter(
        row["order_id"] for row in evidence.books("authorizations") if row["amount"] > row["voided"] or row["captured"]
    )
    yield from ((order_id, f"has {count} live authorizations") for order_id, count in used.items() if count > 1)
    told = {event.data["reference"] for event in evidence.of_type("Authorized")}
    known = {row["reference"] for row in evidence.books("authorizations")}
    for event in evidence.of_type("Authorized"):
        if event.data["amount"]["amount"] and event.data["reference"] not in known:
            yield event.subject, f"{event.data['reference']} is no authorization of the gateway"
    closed = {event.subject for event in evidence.of_type("OrderClosed")}
    for row in evidence.books("authorizations"):
        if f"order-{row['order_id']}" not in evidence.streams:
            yield row["reference"], f"holds money of {row['order_id']}, an order that does not exist"
        elif row["reference"] not in told and row["order_id"] in closed:
            yield row["reference"], f"of {row['order_id']} is told by no event"


def sums_are_equal(evidence: Evidence) -> Findings:
    for table, kind in (("authorizations", "Authorized"), ("captures", "Captured"), ("voids", "Voided")):
        books, events = Counter[str](), Counter[str]()
        for row in evidence.books(table):
            books[row["currency"]] += row["amount"]
        for event in evidence.of_type(kind):
            events[event.data["amount"]["currency"]] += event.data["amount"]["amount"]
        for currency in sorted(books.keys() | events.keys()):
            if books[currency] != events[currency]:
                yield table, f"{books[currency]} {currency} in the ledger, {events[currency]} in the events"


def nothing_is_held_for_the_closed(evidence: Evidence) -> Findings:
    """The other half of K11: a closed order has its money captured or given back."""
    held = Counter[str]()
    for row in evidence.books("authorizations"):
        held[row["order_id"]] += row["amount"] - row["captured"] - row["voided"]
    for order_id, events in evidence.orders.items():
        book = fold(order_id, events)
        if book.outcome is not None and held[order_id] and not book.void_failed:
            yield order_id, f"is closed, and {held[order_id]} are still held on the card"
        if sum(book.captured.values()) + book.voided > (book.authorized or 0):
            yield order_id, f"captured or gave back more than the {book.authorized} that were authorized"


def _same(row: Row, event: Event) -> bool:
    data = event.data
    told = (data["reference"], data["amount"], data["fulfillment_id"], split_fulfillment(data["fulfillment_id"])[0])
    amount = {"amount": row["amount"], "currency": row["currency"]}
    return told == (row["reference"], amount, row["key"].partition(":")[0], row["order_id"])


def _by_key(events: list[Event]) -> dict[str, Event]:
    return {event.data["key"]: event for event in events}
