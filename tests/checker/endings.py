"""K8, K18 to K20: every order has ended, or something will move it; nothing is left over; every effect happened once."""

from collections import Counter
from datetime import timedelta

from tests.checker.books import fold
from tests.checker.evidence import Evidence, Row, read_moment
from tests.checker.log import FREE
from tests.checker.verdict import Findings

AFTER_THE_CLOSE = {
    *("OrderClosed", "RiskAssessed", "HoldReleased", "CancellationRefused"),
    *("StepSucceeded", "StepFailed", "StepRetried", "StepDiscarded", "StepRestored"),
}
EFFECTS = ("authorizations", "captures", "voids", "labels", "scans", "mails")


def every_order_ends_once(evidence: Evidence) -> Findings:
    for order_id, events in evidence.orders.items():
        types = [event.type for event in events]
        if types.count("OrderClosed") > 1:
            yield order_id, f"was closed {types.count('OrderClosed')} times"
        if "OrderClosed" in types:
            late = [name for name in types[types.index("OrderClosed") :] if name not in AFTER_THE_CLOSE]
            if late:
                yield order_id, f"went on after its close: {', '.join(late)}"
    for order_id, why in open_orders(evidence).items():
        if not why:
            yield order_id, "is open, and nothing will move it"


def open_orders(evidence: Evidence) -> dict[str, str]:
    """Every order that has not ended, with what will move it; empty if nothing will."""
    runs: dict[str, list[str]] = {}
    for row in evidence.rows("step_runs"):
        runs.setdefault(row["order_id"], []).append("{step}/{part}/{ordinal} is {state}".format(**row))
    movers = {}
    for order_id, events in evidence.orders.items():
        book = fold(order_id, events)
        if book.outcome is None:
            held = [f"held for {reason}" for reason in book.holds]
            movers[order_id] = ", ".join([*runs.get(order_id, []), *held])
    return movers


def everything_has_ended(evidence: Evidence) -> Findings:
    """K8 at the end of a run whose operator has decided all that was left to decide."""
    yield from ((order_id, f"is open: {why}") for order_id, why in open_orders(evidence).items())


def no_work_is_left(evidence: Evidence) -> Findings:
    """K18: a closed order wants nothing any more, but for what a person has to decide; who is due will be announced."""
    letters = {_run(row) for row in evidence.rows("dead_letters") if row["kind"] == "run"}
    closed = {event.subject for event in evidence.of_type("OrderClosed")}
    for row in evidence.rows("step_runs"):
        if row["order_id"] in closed and row["state"] != "dead":
            yield _run(row), f"of a closed order is {row['state']}"
        if row["state"] == "ready" and _is_due(row, evidence) and not _will_wake(row, evidence):
            yield _run(row), f"is due, and nobody will be told before {row['wake_at']}"
        if row["state"] == "dead" and _run(row) not in letters:
            yield _run(row), "is dead without a letter"


def no_zombies(evidence: Evidence) -> Findings:
    """K19: no run of an unknown order, none held by nobody, no order that moved by itself."""
    holders = {row["id"] for row in evidence.rows("holders")}
    for row in evidence.rows("step_runs"):
        if f"order-{row['order_id']}" not in evidence.streams:
            yield _run(row), "is work of an order that does not exist"
        if row["state"] == "running" and row["holder"] not in holders:
            yield _run(row), f"runs in the hands of {row['holder']}, who does not exist"
        if (row["state"] == "running") != (row["holder"] is not None and row["epoch"] is not None):
            yield _run(row), f"is {row['state']} with holder {row['holder']} and epoch {row['epoch']}"
    for event in evidence.events:
        if event.category not in FREE and event.meta.get("correlation_id") != event.order_id:
            yield str(event.position), f"{event.type} of {event.order_id} belongs to {event.meta.get('correlation_id')}"


def effects_happened_once(evidence: Evidence) -> Findings:
    """K20: one row of the ledger a key, known to our events; each letter of an order once."""
    for table in EFFECTS:
        keys = Counter(row["key"] for row in evidence.books(table))
        yield from ((table, f"{key} acted {count} times") for key, count in keys.items() if count > 1)
    labels = Counter(row["fulfillment_id"] for row in evidence.books("labels") if row["refunded_at"] is None)
    yield from ((name, f"has {count} paid labels") for name, count in labels.items() if count > 1)
    letters = Counter((row["order_id"], row["template"], _place(row)) for row in evidence.books("mails"))
    yield from (("mails", f"{letter} was sent {count} times") for letter, count in letters.items() if count > 1)
    yield from _known_parcels(evidence)
    yield from _known_letters(evidence)


def _known_parcels(evidence: Evidence) -> Findings:
    """The carrier's books and ours name the same parcels."""
    for table, kind, name in (("labels", "LabelPurchased", "tracking"), ("scans", "HandedOver", "scan_id")):
        ours = {event.data[name] for event in evidence.of_type(kind)}
        theirs = {row[name] for row in evidence.books(table)}
        yield from ((kind, f"{one} is not in the carrier's books") for one in sorted(ours - theirs))
        if not open_orders(evidence):
            yield from ((table, f"{one} is told by no {kind}") for one in sorted(theirs - ours))


def _known_letters(evidence: Evidence) -> Findings:
    sent = {row["key"] for row in evidence.books("mails")}
    for event in evidence.of_type("StepSucceeded"):
        key = f"{event.order_id}:{event.data['step']}:{event.data['part']}:{event.data['ordinal']}"
        if key not in sent and not event.data["detail"].startswith("refused"):
            yield event.order_id, f"{key} is said to be sent, but is not in the books of the mail service"
    for row in evidence.books("mails"):
        if f"order-{row['order_id']}" not in evidence.streams:
            yield row["key"], "was sent about an order that does not exist"


def _place(row: Row) -> str:
    """Part and ordinal of a letter, from its key `order:notify:part:ordinal`."""
    return ":".join(row["key"].split(":")[-2:])


def _run(row: Row) -> str:
    return "{order_id}/{step}/{part}/{ordinal}".format(**row)


def _is_due(row: Row, evidence: Evidence) -> bool:
    return read_moment(row["due_at"]) <= evidence.moment


def _will_wake(row: Row, evidence: Evidence) -> bool:
    """A mark that is a minute off is no retry any more; `infinity` is no time that can be read."""
    return "infinity" not in row["wake_at"] and read_moment(row["wake_at"]) <= evidence.moment + timedelta(minutes=1)
