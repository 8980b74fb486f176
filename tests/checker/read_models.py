"""K16: every row of every read model against our own fold of the events up to the checkpoint of their partition."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from tests.checker.books import OrderBook, fold, fold_stock
from tests.checker.evidence import Event, Evidence, MissingEvidence, Row
from tests.checker.log import FREE
from tests.checker.stages import fulfillment_axis, payment_axis, stage
from tests.checker.verdict import Findings

Rows = Mapping[tuple[Any, ...], Row]


def read_models_are_folds(evidence: Evidence) -> Findings:
    checkpoints: dict[str, dict[int, Row]] = {}
    for row in evidence.checkpoints():
        model, _, number = row["name"].partition("/")
        checkpoints.setdefault(model, {})[int(number or 0)] = row
    missing = sorted(_CHECKS.keys() - checkpoints.keys())
    for name in _CHECKS.keys() & checkpoints.keys():
        partitions = checkpoints[name]
        for row in partitions.values():
            if row["state"] == "stopped":
                yield row["name"], f"stopped at {row['stopped_at']}: {row['reason']}"
        seen = [event for event in evidence.events if event.position <= _position(event, partitions)]
        yield from _CHECKS[name](evidence, seen)
        if seen != evidence.events and evidence.whole:
            behind = min(row["position"] for row in partitions.values())
            yield name, f"is behind: {behind} of {evidence.events[-1].position}"
    if missing and evidence.events:
        raise MissingEvidence(f"no checkpoint of {', '.join(missing)}")


def _position(event: Event, partitions: Mapping[int, Row]) -> int:
    """How far the partition of an event is: by the SHA-256 of the order, for stock of what its stream is named after."""
    if len(partitions) == 1:
        return int(partitions[0]["position"])
    subject = event.subject.rpartition("+")[0] if event.category == "fulfillment" else event.subject
    number = int(sha256(subject.encode()).hexdigest()[:6], 16) % len(partitions)
    return int(partitions[number]["position"])


def _compare(table: str, there: Rows, expected: Rows) -> Findings:
    for key in sorted(there.keys() | expected.keys(), key=str):
        mine, theirs = expected.get(key), there.get(key)
        if mine is None or theirs is None:
            yield f"{table} {key}", "is a row too many" if mine is None else "is missing"
            continue
        wrong = {name: (theirs.get(name), mine[name]) for name in mine if not _equal(theirs.get(name), mine[name])}
        if wrong:
            found = ", ".join(f"{name} is {seen!r}, the events say {meant!r}" for name, (seen, meant) in wrong.items())
            yield f"{table} {key}", found


def _equal(seen: Any, meant: Any) -> bool:
    return bool(seen == meant) or (isinstance(meant, datetime) and seen and _moment(seen) == meant)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _indexed(rows: Iterable[Row], *key: str) -> dict[tuple[Any, ...], Row]:
    return {tuple(row[name] for name in key): row for row in rows}


def _order_summaries(evidence: Evidence, events: list[Event]) -> Findings:
    by_order: dict[str, list[Event]] = {}
    for event in events:
        if event.order_id and event.category not in FREE:
            by_order.setdefault(event.order_id, []).append(event)
    books = [fold(order_id, some) for order_id, some in by_order.items()]
    expected = {(book.order_id,): _summary(book) for book in books}
    yield from _compare("order_summary", _indexed(evidence.rows("order_summary_v1"), "order_id"), expected)
    counted = {(row["stage"],): {"orders": row["orders"]} for row in evidence.rows("pipeline_counts_v1")}
    stages = Counter(stage(book) for book in books)
    some = {key: row for key, row in counted.items() if row["orders"] or key[0] in stages}
    yield from _compare("pipeline_counts", some, {(name,): {"orders": n} for name, n in stages.items()})


def _summary(book: OrderBook) -> Row:
    last = book.last
    assert last is not None
    kept = [parcel for parcel in book.parcels.values() if parcel.state != "stood_down"]
    placed = book.placed
    return {
        "customer_id": placed["customer_id"],
        "country": placed["ship_to"]["country"],
        "currency": placed["total"]["currency"],
        "payment": payment_axis(book),
        "fulfillment": fulfillment_axis(book),
        "holds": book.holds,
        "stage": stage(book),
        "outcome": book.outcome,
        "risk": book.risk,
        "cancelling": book.cancelling,
        "cancel_reason": book.cancel_reason,
        "failed_steps": book.failed_steps,
        "total": placed["total"]["amount"],
        "authorized": book.authorized or 0,
        "captured": sum(book.captured.values()),
        "voided": book.voided,
        "lines": len(placed["lines"]),
        "units": book.ordered.total(),
        "units_cancelled": book.cancelled.total(),
        "units_backordered": sum(some["units"]["quantity"] for some in book.backorders),
        "units_shipped": sum(parcel.quantity for parcel in book.gone()),
        "units_delivered": sum(parcel.quantity for parcel in kept if parcel.state == "delivered"),
        "parcels": len(kept),
        "parcel_details": [_parcel(book, number) for number in book.parcels],
        "placed_at": _moment(placed["placed_at"]),
        "updated_at": _moment(last.recorded_at),
        "placed_position": book.placed_position,
        "position": last.position,
        "last_event": last.type,
    }


def _parcel(book: OrderBook, number: int) -> Row:
    parcel = book.parcels[number]
    row = {"number": number, "warehouse": parcel.warehouse, "units": parcel.quantity, "state": parcel.state}
    labelled = {"carrier": parcel.carrier, "tracking": parcel.tracking} if parcel.tracking else {}
    return {**row, **labelled}


def _timelines(evidence: Evidence, events: list[Event]) -> Findings:
    expected = {
        (event.order_id, event.position): {
            "at": _moment(event.recorded_at),
            "stream": event.stream,
            "version": event.version,
            "type": event.type,
        }
        for event in events
        if event.category not in FREE
    }
    there = _indexed(evidence.rows("order_timeline_v1"), "order_id", "position")
    yield from _compare("order_timeline", there, expected)


def _stock_levels(evidence: Evidence, events: list[Event]) -> Findings:
    streams: dict[str, list[Event]] = {}
    for event in events:
        if event.category == "stock":
            streams.setdefault(event.subject, []).append(event)
    levels: dict[tuple[Any, ...], Row] = {}
    queue: dict[tuple[Any, ...], Row] = {}
    for subject, some in streams.items():
        book, (warehouse, _, sku) = fold_stock(some), subject.partition("+")
        last, backordered = some[-1], sum(book.queue.values())
        levels[warehouse, sku] = {
            "on_hand": book.on_hand,
            "allocated": book.allocated,
            "backordered": backordered,
            "available": book.on_hand - book.allocated - backordered,
            "received": book.received,
            "shipped": book.shipped,
            "adjusted": book.adjusted,
            "position": last.position,
            "updated_at": _moment(last.recorded_at),
        }
        queue.update({(warehouse, sku, order_id): {"quantity": n} for order_id, n in book.queue.items()})
    yield from _compare("stock_levels", _indexed(evidence.rows("stock_levels_v1"), "warehouse", "sku"), levels)
    rows = _indexed(evidence.rows("stock_backorders_v1"), "warehouse", "sku", "order_id")
    yield from _compare("stock_backorders", rows, queue)


_CHECKS: dict[str, Callable[[Evidence, list[Event]], Findings]] = {
    "order_summary": _order_summaries,
    "order_timeline": _timelines,
    "stock_levels": _stock_levels,
}
