"""The oracle's own fold of a stock: what is there and whom it is promised to, never below zero."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.ledger import must


@dataclass(slots=True)
class Stock:
    """One article at one warehouse."""

    received: int = 0
    shipped: int = 0
    allocated: Counter[str] = field(default_factory=Counter)
    queue: dict[str, int] = field(default_factory=dict)
    deliveries: set[str] = field(default_factory=set)

    def free(self) -> int:
        """What is there and promised to nobody."""
        return self.received - self.shipped - self.allocated.total()

    def check(self) -> None:
        held = self.allocated.total()
        on_hand = self.received - self.shipped
        must(on_hand >= 0, f"{on_hand} on hand")
        must(0 <= held <= on_hand, f"{held} promised of {on_hand} on hand")
        must(all(count >= 0 for count in self.allocated.values()), "an allocation below zero")


def apply_stock(stock: Stock, event: Any) -> None:
    """One event of a stock's stream."""
    _STOCK[type(event).__name__](stock, event)
    stock.check()


def _received(stock: Stock, event: Any) -> None:
    must(event.delivery not in stock.deliveries, f"the delivery {event.delivery} was received twice")
    stock.deliveries.add(event.delivery)
    stock.received += event.quantity


def _allocated(stock: Stock, event: Any) -> None:
    must(event.fulfillment_id not in stock.allocated, f"{event.fulfillment_id} was promised twice")
    stock.allocated[event.fulfillment_id] = event.quantity


def _released(stock: Stock, event: Any) -> None:
    must(stock.allocated.pop(event.fulfillment_id, 0) == event.quantity, "another quantity was released")


def _shipped(stock: Stock, event: Any) -> None:
    must(stock.allocated.pop(event.fulfillment_id, 0) == event.quantity, "another quantity was shipped")
    stock.shipped += event.quantity


def _queued(stock: Stock, event: Any) -> None:
    stock.queue[event.order_id] = event.quantity


def _withdrawn(stock: Stock, event: Any) -> None:
    must(stock.queue.pop(event.order_id, 0), f"{event.order_id} left a queue that it was not in")


_STOCK: Mapping[str, Callable[[Stock, Any], None]] = {
    "StockReceived": _received,
    "StockAllocated": _allocated,
    "AllocationReleased": _released,
    "StockShipped": _shipped,
    "StockBackordered": _queued,
    "BackorderWithdrawn": _withdrawn,
}
