"""What the command line and the console ask of the read models. Everything is bounded: a limit and a keyset cursor."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infrastructure.postgres.database import Connection, Database
from infrastructure.postgres.queries import load
from infrastructure.projections.order_stages import STAGES
from infrastructure.projections.order_summary import OrderSummary

_SQL = load("read_models")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """What an order must be to be listed; None does not care. `prefix` is the beginning of its id."""

    stage: str | None = None
    payment: str | None = None
    fulfillment: str | None = None
    hold: str | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One event of an order, in words."""

    order_id: str
    position: int
    at: datetime
    stream: str
    version: int
    type: str
    summary: str


@dataclass(frozen=True, slots=True)
class StockRow:
    """One SKU at one warehouse."""

    warehouse: str
    sku: str
    on_hand: int
    allocated: int
    backordered: int
    available: int
    received: int
    shipped: int
    adjusted: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Total:
    """Orders of one status on the payment and fulfillment axes, with one outcome ("" while open), in one currency."""

    payment: str
    fulfillment: str
    outcome: str
    currency: str
    orders: int
    total: int
    authorized: int
    captured: int
    voided: int


class ReadModelQueries:
    """Thread-safe; shares the pool that it is given."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_orders(
        self, wanted: OrderFilter | None = None, *, limit: int = 50, before: int | None = None
    ) -> list[OrderSummary]:
        """The newest first; `before` is the `placed_position` of the last one that was seen."""
        chosen = wanted or OrderFilter()
        arguments = {
            "stage": chosen.stage,
            "payment": chosen.payment,
            "fulfillment": chosen.fulfillment,
            "hold": chosen.hold,
            "prefix": chosen.prefix,
            "before": before,
            "limit": limit,
        }
        return [OrderSummary(*row) for row in self._rows("list_orders", arguments)]

    def get_order(self, order_id: str) -> OrderSummary | None:
        """The order, if the projection has seen it."""
        for row in self._rows("summaries", {"orders": [order_id]}):
            return OrderSummary(*row)
        return None

    def timeline(self, order_id: str, *, after: int = 0, limit: int = 1000) -> list[TimelineEntry]:
        """The events of an order after a position, the oldest first."""
        arguments = {"order_id": order_id, "after": after, "limit": limit}
        return [TimelineEntry(*row) for row in self._rows("timeline", arguments)]

    def stock(
        self,
        *,
        sku: str | None = None,
        warehouse: str | None = None,
        after: tuple[str, str] | None = None,
        limit: int = 1000,
    ) -> list[StockRow]:
        """Stock by warehouse and SKU; `after` is the warehouse and SKU of the last row that was seen."""
        after_warehouse, after_sku = after or (None, None)
        arguments = {
            "sku": sku,
            "warehouse": warehouse,
            "after_warehouse": after_warehouse,
            "after_sku": after_sku,
            "limit": limit,
        }
        return [StockRow(*row) for row in self._rows("stock", arguments)]

    def counts(self) -> dict[str, int]:
        """Orders by stage: every stage, in the order of an order's way."""
        found: dict[str, int] = dict(self._rows("counts", {}))
        return {stage: found.get(stage, 0) for stage in STAGES}

    def totals(self) -> list[Total]:
        """Orders and money by status, outcome and currency; reads every order."""
        return [Total(*row) for row in self._rows("totals", {})]

    def _rows(self, name: str, arguments: dict[str, Any]) -> Sequence[Any]:
        with self._connection() as connection:
            return connection.execute(_SQL[name], arguments, binary=True).fetchall()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with self._database.connection() as connection:
            yield connection
