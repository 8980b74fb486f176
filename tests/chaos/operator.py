"""The person at the desk: receives goods, releases what is held, cancels what stays held."""

from collections import Counter
from collections.abc import Mapping
from itertools import count

from domain import order as orders
from domain import stock as stocks
from infrastructure.settings import load
from tests.chaos.observer import Observer
from workers import handle
from workers.bootstrap import Runtime

HELD = "SELECT order_id FROM order_summary_v1 WHERE stage = 'held' ORDER BY order_id"
WAITING = "SELECT DISTINCT warehouse, sku FROM stock_backorders_v1"


class Operator:
    """Decides by what the read models show, as a person at a screen."""

    def __init__(self, observer: Observer, environment: Mapping[str, str]) -> None:
        settings, _ = load({}, environment=environment)
        self._runtime = Runtime(settings)
        self._observer = observer
        self._seen = Counter[str]()
        self._numbers = count(1)

    def work(self) -> None:
        """One look at the screen."""
        for (order_id,) in self._observer.ask(HELD) or []:
            self._decide(order_id)
        for warehouse, sku in self._observer.ask(WAITING) or []:
            self.receive(warehouse, sku, 100)

    def receive(self, warehouse: str, sku: str, quantity: int) -> None:
        number = next(self._numbers)
        handler = self._runtime.handler()
        command = stocks.Receive(quantity=quantity, delivery=f"D-{number}", at=handler.store.now())
        handler.on_stock(warehouse, sku, command, command_id=f"receive-{number}", actor="ann")

    def cancel(self, order_id: str) -> None:
        self._on_order(order_id, handle.cancel(orders.CancelReason.CUSTOMER, "changed their mind", "ann"))

    def close(self) -> None:
        self._runtime.close()

    def _decide(self, order_id: str) -> None:
        self._seen[order_id] += 1
        if self._seen[order_id] == 3:
            self.cancel(order_id)
        else:
            self._on_order(order_id, handle.release(None, "looked at it", "ann"))

    def _on_order(self, order_id: str, command: object) -> None:
        handler = self._runtime.handler()
        number = next(self._numbers)
        handler.on_order(order_id, command, command_id=f"operator-{number}", actor="ann")  # type: ignore[arg-type]
