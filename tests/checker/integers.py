"""K37: money and goods are whole numbers everywhere, and the lines of an order add up to its total."""

from collections.abc import Iterator
from typing import Any

from tests.checker.evidence import Evidence
from tests.checker.verdict import Findings

MONEY = {
    "order_summary_v1": ("total", "authorized", "captured", "voided"),
    "stock_levels_v1": ("on_hand", "allocated", "received", "shipped"),
}
BOOKS = {
    "authorizations": ("amount", "captured", "voided"),
    "captures": ("amount",),
    "voids": ("amount",),
    "labels": ("cost",),
}


def money_is_whole(evidence: Evidence) -> Findings:
    for event in evidence.events:
        yield from (
            (f"{event.position} {event.stream}", f"{event.type}: {where} is {value!r}")
            for where, value in _floats(event.data)
        )
    for tables, columns in ((evidence.tables, MONEY), (evidence.ledger or {}, BOOKS)):
        for table, names in columns.items():
            for row in tables.get(table, []):
                yield from ((table, f"{name} is {row[name]!r}") for name in names if type(row[name]) is not int)
    yield from _totals(evidence)


def _floats(value: Any, where: str = "data") -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield where, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _floats(inner, f"{where}.{name}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _floats(inner, f"{where}[{place}]")


def _totals(evidence: Evidence) -> Findings:
    for event in evidence.of_type("OrderPlaced"):
        amounts = sum(line["amount"] for line in event.data["lines"]) + event.data["shipping"]["amount"]
        if amounts != event.data["total"]["amount"]:
            yield event.subject, f"lines and shipping are {amounts}, the total is {event.data['total']['amount']}"
