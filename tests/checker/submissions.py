"""K1 to K3 and K9: what the load was told against what is stored, and whether the counts add up."""

from collections import Counter

from tests.checker.books import fold
from tests.checker.evidence import Evidence, Row
from tests.checker.verdict import Findings


def acknowledged_is_stored(evidence: Evidence) -> Findings:
    stored = _stored(evidence)
    for line in _outcomes(evidence):
        if line["outcome"] == "acknowledged" and line["order_id"] not in stored:
            yield line["order_id"], "was acknowledged and is not stored"


def stored_was_attempted(evidence: Evidence) -> Findings:
    outcomes: dict[str, set[str]] = {}
    for line in _outcomes(evidence):
        outcomes.setdefault(line["order_id"], set()).add(line["outcome"])
    for order_id in _stored(evidence):
        if order_id not in outcomes:
            yield order_id, "is stored, and nobody submitted it"
        elif outcomes[order_id] == {"refused"}:
            yield order_id, "was refused, and is stored"


def one_order_a_key(evidence: Evidence) -> Findings:
    placed = Counter(event.data["order_id"] for event in evidence.of_type("OrderPlaced"))
    yield from ((order_id, f"was placed {count} times") for order_id, count in placed.items() if count > 1)
    attempts: dict[str, list[Row]] = {}
    for line in _outcomes(evidence):
        if line["outcome"] != "refused":
            attempts.setdefault(line["order_id"], []).append(line)
    for event in evidence.of_type("OrderPlaced"):
        if event.data["order_id"] != event.subject:
            yield event.subject, f"holds the order {event.data['order_id']}"
        told = [difference(line, event.data) for line in attempts.get(event.subject, [])]
        if told and all(told):
            yield event.subject, told[-1]


def difference(line: Row, placed: Row) -> str:
    """In what the stored order is not what was sent; empty if it is the same."""
    if "content_hash" in line and line["content_hash"] != placed["content_hash"]:
        return "has another content hash than was sent"
    if "order" not in line:
        return ""
    sent, stored = _essence(line["order"]), _stored_essence(placed)
    return ", ".join(
        f"{name} is {stored[name]!r}, sent was {sent[name]!r}" for name in sent if sent[name] != stored[name]
    )


def _essence(order: Row) -> Row:
    return {
        "customer_id": order["customer_id"],
        "lines": [(line["sku"], line["quantity"], line["amount"], line.get("name") or "") for line in order["lines"]],
        "shipping": order["shipping"],
        "total": order["total"],
        "currency": order["currency"],
        "ship_to": {name: value for name, value in order["ship_to"].items() if value is not None},
        "policy": order.get("shipping_policy", "ship-partial"),
        "token": order["payment"]["token"],
        "note": order.get("note") or "",
    }


def _stored_essence(placed: Row) -> Row:
    return {
        "customer_id": placed["customer_id"],
        "lines": [(line["sku"], line["quantity"], line["amount"], line["name"]) for line in placed["lines"]],
        "shipping": placed["shipping"]["amount"],
        "total": placed["total"]["amount"],
        "currency": placed["total"]["currency"],
        "ship_to": {name: value for name, value in placed["ship_to"].items() if value is not None},
        "policy": placed["policy"],
        "token": placed["payment_token"],
        "note": placed["note"],
    }


def counts_add_up(evidence: Evidence) -> Findings:
    """At the end by our own fold, and in every sample that was taken while the run went on."""
    for sample in (line["sample"] for line in evidence.told() if "sample" in line):
        staged = sum(sample["stages"].values())
        if staged != sample["orders"]:
            yield sample.get("at", "a sample"), f"{sample['orders']} orders, but {staged} in all stages"
    states = Counter(fold(order_id, events).outcome or "open" for order_id, events in evidence.orders.items())
    if states.total() != len(_stored(evidence)):
        yield "orders", f"{len(_stored(evidence))} stored, but {dict(states)} counted"


def _outcomes(evidence: Evidence) -> list[Row]:
    return [line for line in evidence.told() if "order_id" in line]


def _stored(evidence: Evidence) -> set[str]:
    return {event.subject for event in evidence.of_type("OrderPlaced")}
