"""What must hold when the faults have stopped, people have decided, and nothing is left to do."""

from collections import Counter
from collections.abc import Iterator

from tests.simulation.books import Books
from tests.simulation.oracle import Oracle

Finding = tuple[str, str]


def judge_end(oracle: Oracle, books: Books, work_left: list[str], *, may_wait: bool) -> Iterator[Finding]:
    """Everything that is wrong at the end. `may_wait`: an order may be held, for a person who has not come yet."""
    yield from _submissions(oracle)
    yield from (("work list", f"{row} is left") for row in work_left)
    for order_id, order in sorted(oracle.orders.items()):
        if order.placed is not None and not order.closed and not (may_wait and order.holds and not order.failed):
            state = "held for " + ", ".join(sorted(order.holds)) if order.holds else "in limbo"
            yield order_id, f"is open: {state}, dead: {sorted(order.failed)}"
    yield from _money(oracle, books)
    yield from _parcels(oracle, books)
    yield from _stock(oracle)


def _submissions(oracle: Oracle) -> Iterator[Finding]:
    stored = {order_id for order_id, order in oracle.orders.items() if order.placed is not None}
    yield from ((order_id, "lost: acknowledged and not stored") for order_id in sorted(oracle.acknowledged - stored))
    yield from ((order_id, "unexpected: stored, never submitted") for order_id in sorted(stored - oracle.attempted))


def _money(oracle: Oracle, books: Books) -> Iterator[Finding]:
    """The gateway's books say the same as the events, and nothing is held for what is closed."""
    captures = Counter(capture.key.partition(":")[0] for capture in books.captures)
    amounts = Counter[str]()
    for capture in books.captures:
        amounts[capture.key.partition(":")[0]] += capture.amount
    yield from ((name, f"captured {times} times") for name, times in sorted(captures.items()) if times > 1)
    told = {name: amount for order in oracle.orders.values() for name, amount in order.captured.items() if amount}
    if told != dict(amounts):
        yield "captures", f"the events say {_differences(told, amounts)} and the gateway does not"
    for order_id, order in sorted(oracle.orders.items()):
        held = [one for one in books.authorizations.values() if one.order_id == order_id]
        if len(held) > 1:
            yield order_id, f"authorized {len(held)} times"
        if sum(one.amount for one in held) != order.authorized:
            yield order_id, f"authorized {order.authorized}, at the gateway {sum(one.amount for one in held)}"
        if sum(one.voided for one in held) != order.voided:
            yield order_id, f"voided {order.voided}, at the gateway {sum(one.voided for one in held)}"
        if order.closed and books.held(order_id) and not order.void_refused:
            yield order_id, f"is closed and {books.held(order_id)} are held"


def _differences(told: dict[str, int], real: Counter[str]) -> str:
    names = sorted({*told, *real})
    return ", ".join(f"{n}: {told.get(n)} / {real.get(n)}" for n in names if told.get(n) != real.get(n))


def _parcels(oracle: Oracle, books: Books) -> Iterator[Finding]:
    """Every label became a parcel with the carrier or was given back; every scan is known."""
    for tracking, label in sorted(books.labels.items()):
        order = oracle.orders[label.fulfillment_id.partition("+")[0]]
        parcel = order.parcels.get(label.fulfillment_id)
        if parcel is None or parcel.tracking != tracking:
            yield tracking, "a label that no event knows"
        elif (label.scanned_at is not None) != (parcel.state in ("gone", "delivered")):
            yield tracking, f"scanned: {label.scanned_at}, but the parcel is {parcel.state}"
        elif parcel.state == "down" and not label.refunded:
            yield tracking, "a label that was never given back"
    for name, parcel in sorted((n, p) for order in oracle.orders.values() for n, p in order.parcels.items()):
        if parcel.tracking and parcel.tracking not in books.labels:
            yield name, f"the carrier has no label {parcel.tracking}"


def _stock(oracle: Oracle) -> Iterator[Finding]:
    """What left the shelves is what the carrier took; nothing is kept for what is closed."""
    for stream, stock in sorted(oracle.stocks.items()):
        for name in stock.allocated:
            if oracle.orders[name.partition("+")[0]].closed:
                yield stream, f"still promised to {name}, which is closed"
        for order_id in stock.queue:
            if oracle.orders[order_id].closed:
                yield stream, f"{order_id} is closed and still queued"
    shipped = sum(stock.shipped for stock in oracle.stocks.values())
    gone = sum(
        sum(parcel.units.values())
        for order in oracle.orders.values()
        for parcel in order.parcels.values()
        if parcel.state in ("gone", "delivered")
    )
    if shipped != gone:
        yield "stock", f"{shipped} units left the shelves, {gone} are with the carrier"
