"""What a run came to: our books, made from the events alone, beside those of the outside world. They must agree to the cent."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from domain import payment as payments
from domain import stock as stocks
from domain.ports import Reader, RecordedEvent

Sums = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`axes`: (order, payment, fulfillment) to the number of orders; money by kind and currency, in minor units."""

    orders: int
    ended: int
    axes: Mapping[tuple[str, str, str], int]
    ours: Mapping[str, Sums]
    theirs: Mapping[str, Sums]
    stock: Sums
    people: Sums
    faults: Sums
    events: int
    restarts: int
    seconds: float

    def problems(self) -> list[str]:
        """Everything that is not as it must be; nothing, if all is well."""
        found = [] if self.ended == self.orders else [f"{self.orders - self.ended} orders did not come to an end"]
        for kind, sums in self.ours.items():
            if dict(sums) != dict(self.theirs.get(kind, {})):
                found.append(f"{kind}: we have {dict(sums)}, the outside world has {dict(self.theirs.get(kind, {}))}")
        stock = self.stock
        if stock["received"] != stock["on hand"] + stock["shipped"]:
            found.append(
                f"stock: {stock['received']} received, but {stock['on hand']} on hand and {stock['shipped']} shipped"
            )
        if stock["allocated"] or stock["backordered"]:
            found.append(
                f"stock: {stock['allocated']} units allocated and {stock['backordered']} backordered at the end"
            )
        return found

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        axes = [
            {"order": order, "payment": payment, "fulfillment": fulfillment, "orders": count}
            for (order, payment, fulfillment), count in self.axes.items()
        ]
        plain = {name: getattr(self, name) for name in ("orders", "ended", "events", "restarts", "seconds")}
        books = {"ours": self.ours, "theirs": self.theirs, "stock": self.stock}
        return {
            **plain,
            "axes": axes,
            **books,
            "people": self.people,
            "faults": self.faults,
            "problems": self.problems(),
        }


def money(store: Reader) -> dict[str, Sums]:
    """Authorized, captured and voided by currency, from the events of all payments."""
    sums: dict[str, Counter[str]] = {"authorized": Counter(), "captured": Counter(), "voided": Counter()}
    for recorded in _all(store, "payment"):
        match recorded.event:
            case payments.Authorized(amount=amount):
                sums["authorized"][amount.currency] += amount.amount
            case payments.Captured(amount=amount):
                sums["captured"][amount.currency] += amount.amount
            case payments.Voided(amount=amount):
                sums["voided"][amount.currency] += amount.amount
            case _:
                pass
    return {kind: {currency: amount for currency, amount in found.items() if amount} for kind, found in sums.items()}


def stock(store: Reader) -> Sums:
    """Units received, shipped, on hand, allocated and backordered, from the events of all stocks."""
    streams: dict[str, list[Any]] = {}
    moved: Counter[str] = Counter({"received": 0, "shipped": 0})
    for recorded in _all(store, "stock"):
        streams.setdefault(recorded.stream, []).append(recorded.event)
        match recorded.event:
            case stocks.StockReceived(quantity=quantity):
                moved["received"] += quantity
            case stocks.StockShipped(quantity=quantity):
                moved["shipped"] += quantity
            case _:
                pass
    states = [stocks.fold(events) for events in streams.values()]
    return {
        **moved,
        "on hand": sum(state.on_hand for state in states),
        "allocated": sum(state.allocated for state in states),
        "backordered": sum(state.backordered for state in states),
    }


def _all(store: Reader, category: str) -> Iterator[RecordedEvent]:
    position = 0
    while page := store.read_all(after=position, limit=5000, category=category):
        yield from page
        position = page[-1].position
