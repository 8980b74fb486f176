"""What the tests of the intake share: a store in memory that can be made to fail, and orders."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from domain.ports import Holder, Unit, Verdict
from domain.work import Step
from infrastructure.intake import OrderSubmission, encode_order, parse_order
from infrastructure.memory import MemoryStore
from tests.corpus import document
from workers.intake import Intake

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def ignore(*_: object) -> None:
    """Nothing goes wrong."""


class FaultyStore(MemoryStore):
    """`before` and `after` run around every append and may raise; `appends` counts them."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: NOW)
        self.before: Callable[[Sequence[Unit]], None] = ignore
        self.after: Callable[[], None] = ignore
        self.appends = 0

    def append(self, units: Sequence[Unit], *, holder: Holder | None = None) -> Sequence[Verdict]:
        self.appends += 1
        self.before(units)
        verdicts = super().append(units, holder=holder)
        self.after()
        return verdicts

    def orders(self) -> list[str]:
        return [recorded.stream.removeprefix("order-") for recorded in self.read_all(after=0, limit=1_000_000)]


class Heard:
    """What was announced; `broken` makes it fail."""

    def __init__(self) -> None:
        self.steps: list[tuple[Step, str]] = []
        self.calls = 0
        self.broken: Exception | None = None

    def __call__(self, steps: Sequence[tuple[Step, str]]) -> None:
        self.calls += 1
        if self.broken is not None:
            raise self.broken
        self.steps += steps


def order(order_id: str, **changes: Any) -> OrderSubmission:
    return parse_order(encode_order(document(order_id=order_id, **changes)))


def once(error: Exception) -> Callable[..., None]:
    """Raise the first time only."""
    left = [error]

    def fail(*_: object) -> None:
        if left:
            raise left.pop()

    return fail


def new_intake(store: FaultyStore | None = None, heard: Heard | None = None) -> Intake:
    return Intake(store or FaultyStore(), heard or Heard())
