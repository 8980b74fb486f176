"""The load: orders of every kind, submitted through the command line, and a history of what the client was told.

An answer is acknowledged, refused, or unknown; no answer is unknown and never a refusal. A line of the history is on disk before
the next command begins, so a history is whole whenever it is read.
"""

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.chaos.processes import CommandLine

SKUS = ("TEA", "CUP")
RARE = "RARE"
POLICIES = ("ship-partial", "ship-partial", "ship-complete", "cancel-remainder")
COUNTRIES = ("US", "CA", "DE", "FR", "NO")
Order = dict[str, Any]


def make_orders(count: int, *, prefix: str, chance: Random) -> list[Order]:
    return [_order(f"{prefix}-{number:05}", chance) for number in range(count)]


def _order(order_id: str, chance: Random) -> Order:
    skus = chance.sample([*SKUS, RARE], k=chance.choice((1, 1, 2, 3)))
    lines = [_line(sku, chance) for sku in skus]
    shipping = chance.choice((0, 490, 1290)) if any(line["amount"] for line in lines) else 490
    return {
        "order_id": order_id,
        "customer_id": f"C-{chance.randrange(500)}",
        "currency": chance.choice(("EUR", "USD", "JPY")),
        "lines": lines,
        "shipping": shipping,
        "total": sum(line["amount"] for line in lines) + shipping,
        "ship_to": {"name": "Ada Byron", "street": "Main St 1", "city": "Boston", "country": chance.choice(COUNTRIES)},
        "payment": {"token": "tok_1"},
        "shipping_policy": chance.choice(POLICIES),
    }


def _line(sku: str, chance: Random) -> dict[str, Any]:
    """Prices that do not divide by their quantity, so that splits must round; some are gifts, some cost next to nothing."""
    quantity, amount = chance.randint(1, 4), chance.choice((0, 1, *[chance.randint(100, 9_999)] * 8))
    return {"sku": sku, "quantity": quantity, "amount": amount, "name": sku.title()}


class History:
    """What the load was told, for the checker."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        path.touch()

    def tell(self, orders: Sequence[Order], outcome: str) -> None:
        self._write([{"order_id": order["order_id"], "outcome": outcome, "order": order} for order in orders])

    def mark(self, name: str, at: str) -> None:
        """A moment that the checker should know of."""
        self._write([{"mark": name, "at": at}])

    def plant(self, order_id: str) -> None:
        """A run of this order is meant to become a dead letter."""
        self._write([{"planted": {"order_id": order_id}}])

    def sample(self, sample: dict[str, Any] | None) -> None:
        if sample is not None:
            self._write([{"sample": sample}])

    def _write(self, lines: Sequence[dict[str, Any]]) -> None:
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))


class Submission:
    """One file of orders on its way in. `rate` orders a second, so that it is under way when something dies."""

    def __init__(
        self,
        command_line: CommandLine,
        history: History,
        orders: list[Order],
        folder: Path,
        *,
        rate: float = 0,
        **more: str,
    ) -> None:
        self._more = more
        self._command_line = command_line
        self._history = history
        self._orders = orders
        self._file = folder / f"{orders[0]['order_id']}.jsonl"
        self._file.write_text("".join(json.dumps(order) + "\n" for order in orders), encoding="utf-8")
        self._process = self._begin(rate=int(rate or max(20, len(orders))))

    def kill(self) -> None:
        """The client dies: nobody knows what was accepted. Then it is submitted again, as a client would."""
        self._process.kill()
        self._process.wait(30)
        self._history.tell(self._orders, "unknown")
        self._process = self._begin(rate=0)

    def code(self) -> int:
        """How the first try ended."""
        return int(self._process.wait(60))

    def finish(self, tries: int = 20) -> None:
        """Wait for the answer; a client that got none asks again."""
        for _ in range(tries):
            if self._process.wait(90) == 0:
                self._history.tell(self._orders, "acknowledged")
                return
            self._history.tell(self._orders, "unknown")
            self._process = self._begin(rate=0)
        pytest.fail("the orders were never accepted; see commands.log")

    def _begin(self, *, rate: int) -> Any:
        pace = ["--rate", str(rate), "--batch", "10"] if rate else []
        more, self._more = self._more, {}
        return self._command_line.begin("submit", str(self._file), *pace, **more)
