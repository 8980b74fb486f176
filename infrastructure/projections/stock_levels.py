"""One row a SKU at a warehouse, and one for each order that waits in its queue.

An order's place in the queue is replaced by a later one and left without a word about the quantity, so the quantity queued is kept.
"""

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime

from domain import stock
from domain.errors import Poison
from infrastructure.projections.facts import Fact

StockKey = tuple[str, str]
QueueKey = tuple[str, str, str]


@dataclass(slots=True)
class StockLevel:
    """The row; fields are in the order of the table's columns, without the generated one."""

    warehouse: str
    sku: str
    on_hand: int
    allocated: int
    backordered: int
    received: int
    shipped: int
    adjusted: int
    position: int
    updated_at: datetime


@dataclass(slots=True)
class StockRows:
    """Both tables' rows that a batch touches. `queued` 0 means that no such row exists or that it is to go."""

    levels: MutableMapping[StockKey, StockLevel] = field(default_factory=dict)
    queued: MutableMapping[QueueKey, int] = field(default_factory=dict)


def stock_key(fact: Fact) -> StockKey:
    """Warehouse and SKU; a warehouse's id has no plus sign, a SKU may."""
    warehouse, plus, sku = fact.subject.partition("+")
    if not plus:
        raise Poison(f"{fact.stream} names no warehouse and SKU")
    return warehouse, sku


def queue_key(fact: Fact) -> QueueKey | None:
    """The place in a queue that the fact is about."""
    match fact.event:
        case stock.StockBackordered(order_id=order_id) | stock.BackorderWithdrawn(order_id=order_id):
            return (*stock_key(fact), order_id)
        case _:
            return None


def project(rows: StockRows, facts: Iterable[Fact]) -> StockRows:
    """`rows` holds what exists of what the facts name; the result is what changed."""
    changed = StockRows()
    for fact in facts:
        key = stock_key(fact)
        level = rows.levels.get(key)
        if level is None:
            level = rows.levels[key] = StockLevel(*key, 0, 0, 0, 0, 0, 0, fact.position, fact.at)
        place = queue_key(fact)
        if place is None:
            _move(level, fact)
        else:
            waiting = fact.event.quantity if isinstance(fact.event, stock.StockBackordered) else 0
            level.backordered += waiting - rows.queued.get(place, 0)
            rows.queued[place] = changed.queued[place] = waiting
        level.position, level.updated_at = fact.position, fact.at
        changed.levels[key] = level
    return changed


def _move(level: StockLevel, fact: Fact) -> None:
    match fact.event:
        case stock.StockReceived(quantity=quantity):
            level.on_hand += quantity
            level.received += quantity
        case stock.StockAdjusted(quantity=quantity):
            level.on_hand += quantity
            level.adjusted += quantity
        case stock.StockAllocated(quantity=quantity):
            level.allocated += quantity
        case stock.AllocationReleased(quantity=quantity):
            level.allocated -= quantity
        case stock.StockShipped(quantity=quantity):
            level.allocated -= quantity
            level.on_hand -= quantity
            level.shipped += quantity
        case _:
            raise Poison(f"{fact.stream}: {type(fact.event).__name__} is no event of stock")
