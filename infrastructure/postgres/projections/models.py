"""The read models: which tables each has, which streams it reads, and how a batch of facts changes it.

Work is per batch: one query for the rows that the facts touch, the pure fold, one COPY for those that changed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol

from domain.errors import Misconfigured
from infrastructure.postgres.database import Connection
from infrastructure.postgres.projections.tables import Table
from infrastructure.postgres.queries import load
from infrastructure.projections import order_summary, order_timeline, stock_levels
from infrastructure.projections.facts import ORDER_CATEGORIES, Fact
from infrastructure.projections.order_stages import STAGES
from infrastructure.projections.order_summary import OrderSummary
from infrastructure.projections.stock_levels import StockLevel, StockRows

_SQL = load("read_models")


class ReadModel(Protocol):
    """`apply` works inside the caller's transaction and sees only facts of `categories`, in the global order.

    Rows belong to one partition each, unless the model is `mixed`: then some are added to by all, and stay locked until the commit.
    """

    @property
    def name(self) -> str: ...

    @property
    def tables(self) -> Sequence[Table]: ...

    @property
    def categories(self) -> frozenset[str]: ...

    @property
    def mixed(self) -> bool: ...

    def apply(self, connection: Connection, facts: Sequence[Fact]) -> None: ...


class OrderSummaries:
    """The status of every order, and how many orders are in each stage."""

    name = "order_summary"
    categories = ORDER_CATEGORIES
    mixed = True  # the counts of stages
    summaries = Table(
        "order_summary_v1",
        dict.fromkeys(["order_id", "customer_id", "country", "currency", "payment", "fulfillment"], "text")
        | {"holds": "text[]", "stage": "text", "outcome": "text", "risk": "text", "cancelling": "bool"}
        | {"cancel_reason": "text", "failed_steps": "text[]"}
        | dict.fromkeys(["total", "authorized", "captured", "voided"], "int8")
        | dict.fromkeys(
            ["lines", "units", "units_cancelled", "units_backordered", "units_shipped", "units_delivered", "parcels"],
            "int4",
        )
        | {"parcel_details": "jsonb", "placed_at": "timestamptz", "updated_at": "timestamptz"}
        | {"placed_position": "int8", "position": "int8", "last_event": "text"},
    )
    counts = Table("pipeline_counts_v1", {"stage": "text", "orders": "int8"})
    tables = (summaries, counts)

    def apply(self, connection: Connection, facts: Sequence[Fact]) -> None:
        fresh = {fact.subject for fact in facts if order_summary.begins(fact)}
        known = {fact.subject for fact in facts} - fresh
        rows = self.read(connection, known) if known else {}
        before = Counter(row.stage for row in rows.values())
        changed = order_summary.project(rows, facts).values()
        self._save(connection, changed, fresh)
        self._count(connection, before, Counter(row.stage for row in changed))

    @staticmethod
    def read(connection: Connection, order_ids: Iterable[str]) -> dict[str, OrderSummary]:
        """The rows of these orders."""
        found = connection.execute(_SQL["summaries"], {"orders": list(order_ids)}, binary=True)
        return {row[0]: OrderSummary(*row) for row in found}

    def _save(self, connection: Connection, changed: Iterable[OrderSummary], fresh: set[str]) -> None:
        values = attrgetter(*self.summaries.columns)
        new = [values(row) for row in changed if row.order_id in fresh]
        old = [values(row) for row in changed if row.order_id not in fresh]
        if new:
            self.summaries.insert(connection, new)
        if old:
            self.summaries.upsert(connection, old)

    @staticmethod
    def _count(connection: Connection, before: Mapping[str, int], after: Mapping[str, int]) -> None:
        """Every stage has its row from the first batch on, so the table does not depend on how facts are cut into batches."""
        change = [after.get(stage, 0) - before.get(stage, 0) for stage in STAGES]
        connection.execute(_SQL["add_counts"], {"stages": list(STAGES), "change": change})


class OrderTimelines:
    """Every event of every order, in words."""

    name = "order_timeline"
    categories = ORDER_CATEGORIES
    mixed = False
    entries = Table(
        "order_timeline_v1",
        {"order_id": "text", "position": "int8", "at": "timestamptz", "stream": "text"}
        | {"version": "int4", "type": "text", "summary": "text"},
        keys=2,
    )
    tables = (entries,)

    def apply(self, connection: Connection, facts: Sequence[Fact]) -> None:
        self.entries.insert(connection, order_timeline.project(facts))


class StockLevels:
    """What is where, and who waits for it."""

    name = "stock_levels"
    categories = frozenset({"stock"})
    mixed = False
    levels = Table(
        "stock_levels_v1",
        {"warehouse": "text", "sku": "text"}
        | dict.fromkeys(["on_hand", "allocated", "backordered", "received", "shipped", "adjusted", "position"], "int8")
        | {"updated_at": "timestamptz"},
        keys=2,
    )
    backorders = Table(
        "stock_backorders_v1", {"warehouse": "text", "sku": "text", "order_id": "text", "quantity": "int8"}, keys=3
    )
    tables = (levels, backorders)

    def apply(self, connection: Connection, facts: Sequence[Fact]) -> None:
        changed = stock_levels.project(self._read(connection, facts), facts)
        self.levels.upsert(connection, map(attrgetter(*self.levels.columns), changed.levels.values()))
        gone = [place for place, quantity in changed.queued.items() if not quantity]
        if gone:
            connection.execute(_SQL["leave_queues"], _columns(gone, "warehouses", "skus", "orders"))
        if len(gone) < len(changed.queued):
            waiting = [(*place, quantity) for place, quantity in changed.queued.items() if quantity]
            self.backorders.upsert(connection, waiting)

    @staticmethod
    def _read(connection: Connection, facts: Sequence[Fact]) -> StockRows:
        keys = _columns({stock_levels.stock_key(fact) for fact in facts}, "warehouses", "skus")
        levels = [StockLevel(*row) for row in connection.execute(_SQL["levels"], keys, binary=True)]
        rows = StockRows(levels={(level.warehouse, level.sku): level for level in levels})
        places = {place for fact in facts if (place := stock_levels.queue_key(fact))}
        if places:
            arguments = _columns(places, "warehouses", "skus", "orders")
            found = connection.execute(_SQL["queued"], arguments, binary=True)
            rows.queued.update({(row[0], row[1], row[2]): row[3] for row in found})
        return rows


def _columns(rows: Iterable[tuple[str, ...]], *names: str) -> dict[str, Any]:
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


READ_MODELS: Mapping[str, ReadModel] = {
    model.name: model for model in (OrderSummaries(), OrderTimelines(), StockLevels())
}


def read_models(names: Iterable[str] | None = None) -> list[ReadModel]:
    """The named read models, or all."""
    wanted = list(READ_MODELS) if names is None else list(dict.fromkeys(names))
    for name in wanted:
        if name not in READ_MODELS:
            raise Misconfigured(f"There is no projection {name!r}; there are {', '.join(READ_MODELS)}.")
    return [READ_MODELS[name] for name in wanted]
