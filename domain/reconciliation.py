"""Whether our events agree with the books of others: the gateway's movements of money, the goods that parcels and stock speak of.

Pure: whoever reads the books (page by page) hands them in. A `Difference` says in words what we hold and what the other side holds; it
is for a person. Nothing here proposes to move money: after an unknown outcome only an inquiry may, and after a loss on either side
only a person can know.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from domain import fulfillment as fulfillments
from domain import payment as payments
from domain import stock as stocks
from domain.order import FulfillmentPlanned, LinesCancelled, OrderClosed
from domain.payment import Operation
from domain.process import stock_stream
from domain.values import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """A line of the gateway's books: under `key` it authorized, captured or voided `amount`."""

    key: str
    operation: Operation
    reference: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`subject` is an idempotency key, or a stock and who is concerned; `here` and `there` are sentences."""

    kind: str
    order_id: str
    subject: str
    here: str
    there: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What our events hold about one key. `amount` None: begun without an amount (a void frees what is left)."""

    operation: Operation
    state: str  # "open", "done" or "refused"
    amount: Money | None
    since: datetime
    reference: str = ""


def order_of(key: str) -> str:
    """The order that a key of ours belongs to; order ids hold neither colon nor plus."""
    return key.partition(":")[0].partition("+")[0]


def facts_of(events: Iterable[payments.PaymentEvent]) -> dict[str, Fact]:
    """All keys of one payment. What was free of charge never went to the gateway and has no reference."""
    facts: dict[str, Fact] = {}
    for event in events:
        match event:
            case payments.AuthorizationStarted():
                facts[event.key] = Fact(operation="authorize", state="open", amount=event.amount, since=event.at)
            case payments.CaptureStarted():
                facts[event.key] = Fact(operation="capture", state="open", amount=event.amount, since=event.at)
            case payments.VoidStarted():
                facts[event.key] = Fact(operation="void", state="open", amount=None, since=event.at)
            case payments.Authorized() | payments.Captured() | payments.Voided():
                facts[event.key] = Fact(
                    operation=facts[event.key].operation,
                    state="done",
                    amount=event.amount,
                    since=event.at,
                    reference=event.reference,
                )
            case payments.AuthorizationDeclined() | payments.CaptureFailed() | payments.VoidFailed():
                before = facts[event.key]
                facts[event.key] = Fact(
                    operation=before.operation, state="refused", amount=before.amount, since=event.at
                )
            case _:
                pass
    return facts


def judge(movement: Movement, fact: Fact | None, *, now: datetime, patience: timedelta) -> Difference | None:
    """One line of the gateway's books against our events. What was begun within `patience` may still be under way."""
    there = f"{movement.operation} of {_amount(movement.amount)} done at {movement.at:%Y-%m-%d %H:%M:%S} ({movement.reference})"
    if fact is None:
        return _difference("unknown here", movement.key, "no such operation was ever begun", there)
    here = _told(fact)
    if fact.operation != movement.operation:
        return _difference("another operation", movement.key, here, there)
    match fact.state:
        case "refused":
            return _difference("refused here", movement.key, here, there)
        case "open":
            late = now - fact.since > patience
            return _difference("unanswered here", movement.key, here, there) if late else None
        case _:
            same = fact.amount == movement.amount and fact.reference == movement.reference
            return None if same else _difference("another amount or reference", movement.key, here, there)


def doubled(movement: Movement) -> Difference:
    """The gateway acted twice under one key, so it had forgotten the first time."""
    there = f"{movement.operation} of {_amount(movement.amount)} once more at {movement.at:%Y-%m-%d %H:%M:%S} ({movement.reference})"
    return _difference("done twice", movement.key, "begun once", there)


def unheard(key: str, fact: Fact) -> Difference:
    """We hold a result that the gateway's books do not."""
    return _difference("unknown there", key, _told(fact), "nothing under this key")


def _difference(kind: str, key: str, here: str, there: str) -> Difference:
    return Difference(kind=kind, order_id=order_of(key), subject=key, here=here, there=there)


def _told(fact: Fact) -> str:
    amount = f" of {_amount(fact.amount)}" if fact.amount else ""
    reference = f" ({fact.reference})" if fact.reference else ""
    return f"{fact.operation}{amount} {fact.state} since {fact.since:%Y-%m-%d %H:%M:%S}{reference}"


def _amount(money: Money) -> str:
    """In minor units, as it stands in both books."""
    return f"{money.amount} {money.currency}"


# --- goods: every promise of a stock belongs to a parcel that still needs it, and the other way round ---

Promises = dict[tuple[str, str], int]


@dataclass(slots=True)
class GoodsBook:
    """Folds the global order; at any position stock and orders must say the same, since one transaction writes both.

    `promised` and `queued` map (stock stream, fulfillment or order id) to units, as the orders' streams tell it.
    """

    stock: dict[str, list[stocks.StockEvent]] = field(default_factory=dict)
    states: dict[str, stocks.Stock] = field(default_factory=dict)
    parcels: dict[str, fulfillments.FulfillmentCreated] = field(default_factory=dict)
    queued: dict[str, Promises] = field(default_factory=dict)

    def read(self, stream: str, event: Any) -> None:  # noqa: ANN401 - the category tells the type
        """The next event of the global order."""
        category, _, identity = stream.partition("-")
        if category == "stock":
            self.stock.setdefault(stream, []).append(event)
            return
        match event:
            case fulfillments.FulfillmentCreated():
                self.parcels[event.fulfillment_id] = event
            case fulfillments.StoodDown() | fulfillments.HandedOver():
                self.parcels.pop(identity, None)
            case FulfillmentPlanned():
                self._queue(identity, event)
            case LinesCancelled() | OrderClosed():
                self.queued.pop(identity, None)
            case _:
                pass

    def turn_page(self) -> None:
        """Fold what was read since; a stock is copied once a page instead of once an event."""
        for stream, events in self.stock.items():
            self.states[stream] = stocks.fold(events, self.states.get(stream))
        self.stock.clear()

    def _queue(self, order_id: str, planned: FulfillmentPlanned) -> None:
        waiting: Promises = {}
        for backorder in planned.backorders:
            place = (stock_stream(backorder.warehouse, backorder.units.sku), order_id)
            waiting[place] = waiting.get(place, 0) + backorder.units.quantity
        self.queued[order_id] = waiting

    def differences(self, counted: Mapping[str, int] | None = None) -> list[Difference]:
        """All of them; `counted` holds units on hand by stock stream, as somebody has counted them."""
        self.turn_page()
        allocated = {
            (stream, parcel): units for stream, s in self.states.items() for parcel, units in s.allocations.items()
        }
        backordered = {
            (stream, order): units for stream, s in self.states.items() for order, units in s.backorders.items()
        }
        queued = {place: units for waiting in self.queued.values() for place, units in waiting.items()}
        return [
            *_compare("allocation", self._promised(), allocated),
            *_compare("backorder", queued, backordered),
            *_uncountable(self.states),
            *_counted(self.states, counted or {}),
        ]

    def _promised(self) -> Promises:
        promised: Promises = {}
        for parcel in self.parcels.values():
            for units in parcel.units:
                place = (stock_stream(parcel.warehouse, units.sku), parcel.fulfillment_id)
                promised[place] = promised.get(place, 0) + units.quantity
        return promised


def _compare(kind: str, orders: Promises, stock: Promises) -> Iterable[Difference]:
    for place in sorted({*orders, *stock}):
        ours, theirs = orders.get(place, 0), stock.get(place, 0)
        if ours != theirs:
            stream, owner = place
            yield Difference(
                kind=kind,
                order_id=order_of(owner),
                subject=f"{stream} {owner}",
                here=f"the order's streams need {ours}",
                there=f"the stock's stream promises {theirs}",
            )


def _uncountable(states: Mapping[str, stocks.Stock]) -> Iterable[Difference]:
    for stream, state in sorted(states.items()):
        if state.on_hand < 0 or state.allocated > state.on_hand:
            there = f"{state.on_hand} on hand, {state.allocated} promised"
            yield Difference(
                kind="more promised than there is", order_id="", subject=stream, here="never allowed", there=there
            )


def _counted(states: Mapping[str, stocks.Stock], counted: Mapping[str, int]) -> Iterable[Difference]:
    for stream, units in sorted(counted.items()):
        held = states.get(stream, stocks.Stock()).on_hand
        if held != units:
            yield Difference(
                kind="count", order_id="", subject=stream, here=f"{held} on hand", there=f"{units} counted"
            )


def totals(differences: Sequence[Difference]) -> dict[str, int]:
    """How many of each kind."""
    counts: dict[str, int] = {}
    for difference in differences:
        counts[difference.kind] = counts.get(difference.kind, 0) + 1
    return counts
