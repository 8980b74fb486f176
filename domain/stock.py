"""The stock of one SKU at one warehouse: a typed ledger of what is there and whom it is promised to.

`available = on_hand - allocated - backordered`: whoever waits in the backorder queue comes before newcomers, so the queue is
FIFO by construction. Placement changes allocations only; shipping converts an allocation, and only then does `on_hand` fall.

The state's two dictionaries are as large as the number of orders in flight, so `fold` copies them once for a run of events
instead of once an event.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from domain.errors import CommandRefused

# --- events ---


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReceived:
    quantity: int
    delivery: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StockAllocated:
    fulfillment_id: str
    order_id: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StockBackordered:
    """`quantity` is what the order waits for in all; it replaces a former entry and keeps its place."""

    order_id: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackorderWithdrawn:
    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationReleased:
    fulfillment_id: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StockShipped:
    fulfillment_id: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StockAdjusted:
    """A correction by a person, up or down."""

    quantity: int
    reason: str
    by: str
    at: datetime


StockEvent = (
    StockReceived
    | StockAllocated
    | StockBackordered
    | BackorderWithdrawn
    | AllocationReleased
    | StockShipped
    | StockAdjusted
)

# --- commands ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Receive:
    quantity: int
    delivery: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocate:
    """Promise `quantity` to a fulfillment. If the order was waiting, a `Backorder` beside it says what it still waits for."""

    fulfillment_id: str
    order_id: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backorder:
    """Queue up for `quantity`; 0 leaves the queue."""

    order_id: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    fulfillment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmShipped:
    fulfillment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjust:
    quantity: int
    reason: str
    by: str
    at: datetime


StockCommand = Receive | Allocate | Backorder | Release | ConfirmShipped | Adjust

# --- state ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """`allocations` by fulfillment id; `backorders` by order id in the order of arrival."""

    on_hand: int = 0
    allocated: int = 0
    backordered: int = 0
    allocations: Mapping[str, int] = field(default_factory=dict)
    backorders: Mapping[str, int] = field(default_factory=dict)

    def available(self) -> int:
        """Units that a newcomer may have."""
        return self.on_hand - self.allocated - self.backordered

    def available_to(self, order_id: str) -> int:
        """Units that this order may have: all that is free but what is queued ahead of it."""
        free = self.on_hand - self.allocated
        for queued, quantity in self.backorders.items():
            if queued == order_id:
                return max(0, free)
            free -= quantity
        return max(0, free)

    def fillable(self) -> list[str]:
        """The orders at the head of the queue that could be served now, in their order."""
        free = self.on_hand - self.allocated
        served = []
        for order_id, quantity in self.backorders.items():
            if free <= 0:
                break
            served.append(order_id)
            free -= quantity
        return served


def decide(command: StockCommand, stock: Stock) -> Sequence[StockEvent]:  # noqa: C901, PLR0911, PLR0912 - one flat case a command
    """The events that follow from a command. Raises `CommandRefused`; a repeat is no event."""
    match command:
        case Receive(quantity=quantity):
            if quantity <= 0:
                raise CommandRefused("must be at least 1", field="quantity")
            return [StockReceived(quantity=quantity, delivery=command.delivery, at=command.at)]
        case Allocate():
            return _allocate(command, stock)
        case Backorder(order_id=order_id, quantity=quantity):
            if stock.backorders.get(order_id, 0) == max(quantity, 0):
                return []
            if quantity <= 0:
                return [BackorderWithdrawn(order_id=order_id)]
            return [StockBackordered(order_id=order_id, quantity=quantity)]
        case Release(fulfillment_id=fulfillment_id):
            held = stock.allocations.get(fulfillment_id, 0)
            return [AllocationReleased(fulfillment_id=fulfillment_id, quantity=held)] if held else []
        case ConfirmShipped(fulfillment_id=fulfillment_id):
            held = stock.allocations.get(fulfillment_id, 0)
            if held > stock.on_hand:
                raise CommandRefused(f"only {stock.on_hand} on hand, {held} to ship", field="quantity")
            return [StockShipped(fulfillment_id=fulfillment_id, quantity=held)] if held else []
        case Adjust():
            if command.quantity == 0:
                return []
            if stock.on_hand + command.quantity < stock.allocated:
                raise CommandRefused("less than is promised already", field="quantity")
            return [StockAdjusted(quantity=command.quantity, reason=command.reason, by=command.by, at=command.at)]
        case _:
            assert_never(command)


def fold(events: Iterable[StockEvent], state: Stock | None = None) -> Stock:
    """The stock after `events`, starting from `state` or from nothing."""
    before = state or Stock()
    ledger = _Ledger(before)
    for event in events:
        ledger.apply(event)
    return ledger.freeze()


def evolve(stock: Stock, event: StockEvent) -> Stock:
    """The stock after one event."""
    return fold([event], stock)


def _allocate(command: Allocate, stock: Stock) -> Sequence[StockEvent]:
    if command.fulfillment_id in stock.allocations:
        return []
    if command.quantity <= 0:
        raise CommandRefused("must be at least 1", field="quantity")
    if command.quantity > stock.available_to(command.order_id):
        raise CommandRefused("not enough in stock", field="quantity")
    return [StockAllocated(fulfillment_id=command.fulfillment_id, order_id=command.order_id, quantity=command.quantity)]


class _Ledger:
    """The accumulator of `fold`: its own copies, changed in place."""

    def __init__(self, stock: Stock) -> None:
        self.on_hand = stock.on_hand
        self.allocated = stock.allocated
        self.backordered = stock.backordered
        self.allocations = dict(stock.allocations)
        self.backorders = dict(stock.backorders)

    def apply(self, event: StockEvent) -> None:
        match event:
            case StockReceived(quantity=quantity) | StockAdjusted(quantity=quantity):
                self.on_hand += quantity
            case StockAllocated(fulfillment_id=fulfillment_id, quantity=quantity):
                self.allocations[fulfillment_id] = self.allocations.get(fulfillment_id, 0) + quantity
                self.allocated += quantity
            case StockBackordered(order_id=order_id, quantity=quantity):
                self.backordered += quantity - self.backorders.get(order_id, 0)
                self.backorders[order_id] = quantity
            case BackorderWithdrawn(order_id=order_id):
                self.backordered -= self.backorders.pop(order_id, 0)
            case AllocationReleased(fulfillment_id=fulfillment_id, quantity=quantity):
                self._take_back(fulfillment_id, quantity)
            case StockShipped(fulfillment_id=fulfillment_id, quantity=quantity):
                self._take_back(fulfillment_id, quantity)
                self.on_hand -= quantity
            case _:
                assert_never(event)

    def _take_back(self, fulfillment_id: str, quantity: int) -> None:
        self.allocated -= quantity
        left = self.allocations.get(fulfillment_id, 0) - quantity
        if left > 0:
            self.allocations[fulfillment_id] = left
        else:
            self.allocations.pop(fulfillment_id, None)

    def freeze(self) -> Stock:
        return Stock(
            on_hand=self.on_hand,
            allocated=self.allocated,
            backordered=self.backordered,
            allocations=self.allocations,
            backorders=self.backorders,
        )
