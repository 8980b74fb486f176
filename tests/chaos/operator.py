"""The person at the desk: receives goods, releases what is held, cancels what stays held. All of it by the command line."""

import subprocess
from collections import Counter
from itertools import count

from tests.chaos.observer import Observer
from tests.chaos.processes import CommandLine
from tests.faults.nursery import Child

AT_ONCE = 4
PATIENCE = 3
DECIDED = {0, 3}  # done, or too late for it
HELD = "SELECT order_id, position FROM order_summary_v1 WHERE stage = 'held' ORDER BY order_id"
SHORT = "SELECT warehouse, sku FROM stock_levels_v1 WHERE on_hand - allocated < backordered"


class Operator:
    """Decides by what the read models show; once about each state of an order, since the screen may be behind."""

    def __init__(self, command_line: CommandLine, observer: Observer) -> None:
        self._command_line = command_line
        self._observer = observer
        self._looked_at: dict[str, int] = {}
        self._released = Counter[str]()
        self._deliveries = count(1)

    def work(self) -> None:
        """One look at the screen, and what follows from it."""
        held = self._observer.ask(HELD) or []
        new = [(order_id, position) for order_id, position in held if self._looked_at.get(order_id, 0) < position]
        codes = self.run([self._decision(order_id) for order_id, _ in new])
        self._looked_at.update(one for one, code in zip(new, codes, strict=True) if code in DECIDED)
        self.receive([(warehouse, sku, 100) for warehouse, sku in self._observer.ask(SHORT) or []])

    def receive(self, goods: list[tuple[str, str, int]]) -> None:
        """Goods by warehouse, SKU and quantity."""
        delivery = f"D-{next(self._deliveries)}"
        self.run([["stock", "receive", place, sku, str(n), "--delivery", delivery] for place, sku, n in goods])

    def cancel(self, order_id: str) -> None:
        """A customer changed their mind; it may be too late."""
        self.run([["orders", "cancel", order_id, "--reason", "customer"]])

    def run(self, commands: list[list[str]]) -> list[int]:
        """Give a few commands at once; returns their exit codes."""
        codes: list[int] = []
        for start in range(0, len(commands), AT_ONCE):
            running = [self._command_line.begin(*one) for one in commands[start : start + AT_ONCE]]
            codes += [_wait(process) for process in running]
        return codes

    def _decision(self, order_id: str) -> list[str]:
        self._released[order_id] += 1
        if self._released[order_id] % PATIENCE == 0:
            return ["orders", "cancel", order_id, "--reason", "staff", "--note", "it stays held"]
        return ["orders", "release", order_id, "--note", "looked at it"]


def _wait(process: Child) -> int:
    try:
        return process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
        raise
