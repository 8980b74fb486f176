"""The people of the demonstration: a buyer who changes his mind, a clerk who decides about held orders, a lorry that arrives.

They use the very commands that the command line offers, and are no part of the pipeline.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from domain.errors import CommandRefused
from domain.order import CancelReason, HoldReason, OrderCommand
from domain.process import OrderView
from domain.stock import Receive
from workers.bootstrap import Runtime
from workers.demo.scenario import Delivery, decides
from workers.handle import cancel, release

Command = Callable[[OrderView, datetime], OrderCommand]

THINKS = timedelta(seconds=2)


class People:
    """Counts what they did, for the summary."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._handler = runtime.handler()
        self._looked_at: set[tuple[str, str]] = set()
        self.done = {"released": 0, "cancelled": 0, "cancelled too late": 0, "left to expire": 0}

    def deliver(self, delivery: Delivery, number: int) -> int:
        """Bring goods to the warehouses; returns how many units."""
        now = self._runtime.store().now()
        for (warehouse, sku), units in delivery.items():
            receipt = Receive(quantity=units, delivery=f"lorry-{number}", at=now)
            command_id = f"receive:lorry-{number}:{warehouse}:{sku}"
            self._handler.on_stock(warehouse, sku, receipt, command_id=command_id, actor="demo")
        return sum(delivery.values())

    def change_mind(self, order_ids: Iterable[str]) -> None:
        """The buyers cancel."""
        for order_id in order_ids:
            command = cancel(CancelReason.CUSTOMER, "changed his mind", "buyer")
            self._cancel(order_id, command_id=f"demo:cancel:{order_id}", command=command)

    def decide(self) -> None:
        """Look through the held orders and decide about those that have waited for a moment."""
        now = self._runtime.store().now()
        for row in self._runtime.orders({"stage": "held"}, limit=200):
            for hold in row.holds:
                if now - row.updated_at >= THINKS:
                    self._decide(row.order_id, hold, f"demo:{row.order_id}:{row.position}")

    def _decide(self, order_id: str, hold: str, command_id: str) -> None:
        match decides(order_id, hold):
            case "release":
                command = release(HoldReason(hold), "looked at it", "clerk")
                done = self._handler.on_order(order_id, command, command_id=command_id, actor="clerk")
                self.done["released"] += bool(done.events)
            case "cancel":
                self._cancel(order_id, command_id=command_id, command=cancel(CancelReason.STAFF, "not good", "clerk"))
            case _:
                self.done["left to expire"] += (order_id, hold) not in self._looked_at
                self._looked_at.add((order_id, hold))

    def _cancel(self, order_id: str, *, command_id: str, command: Command) -> None:
        try:
            events = self._handler.on_order(order_id, command, command_id=command_id, actor="demo").events
        except CommandRefused:
            return
        if events:
            self.done["cancelled too late" if "CancellationRefused" in events else "cancelled"] += 1
