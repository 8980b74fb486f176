"""The checker's own fold: the book of one order, of one stock stream. Moved by raw events, deaf to what it does not know."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.checker.evidence import Event, Row, split_fulfillment


@dataclass(slots=True)
class Parcel:
    """One fulfillment. `state`: planned, labelled, handed_over, delivered or stood_down."""

    fulfillment_id: str
    number: int
    warehouse: str
    units: list[Row]
    state: str = "planned"
    tracking: str | None = None
    carrier: str | None = None

    @property
    def quantity(self) -> int:
        return sum(some["quantity"] for some in self.units)

    def by_stream(self) -> Counter[str]:
        """How many units of it come from each stock stream."""
        streams = Counter[str]()
        for some in self.units:
            streams[f"stock-{self.warehouse}+{some['sku']}"] += some["quantity"]
        return streams


@dataclass(slots=True)
class OrderBook:
    """Where an order stands after the events it was given."""

    order_id: str
    placed: Row = field(default_factory=dict)
    placed_position: int = 0
    last: Event | None = None
    risk: str | None = None
    holds: list[str] = field(default_factory=list)
    cancelling: bool = False
    cancel_reason: str | None = None
    outcome: str | None = None
    assigned: dict[str, Row] = field(default_factory=dict)
    backorders: list[Row] = field(default_factory=list)
    cancelled: Counter[int] = field(default_factory=Counter)
    parcels: dict[int, Parcel] = field(default_factory=dict)
    authorized: int | None = None
    captured: dict[str, int] = field(default_factory=dict)
    voided: int = 0
    void_failed: bool = False
    unknown: bool = False
    failed_steps: list[str] = field(default_factory=list)

    @property
    def ordered(self) -> Counter[int]:
        """Units by line."""
        return Counter({line["number"]: line["quantity"] for line in self.placed.get("lines", [])})

    def gone(self) -> list[Parcel]:
        """The parcels that the carrier has or had."""
        return [parcel for parcel in self.parcels.values() if parcel.state in ("handed_over", "delivered")]

    def shipped(self) -> Counter[int]:
        """Units by line that left with a parcel."""
        shipped = Counter[int]()
        for some in (units for parcel in self.gone() for units in parcel.units):
            shipped[some["line"]] += some["quantity"]
        return shipped

    def promised(self) -> Counter[tuple[str, str]]:
        """What stock must have set aside: (stream, fulfillment) -> units of parcels that wait for the carrier."""
        promised = Counter[tuple[str, str]]()
        for parcel in self.parcels.values():
            if parcel.state in ("planned", "labelled"):
                for stream, quantity in parcel.by_stream().items():
                    promised[stream, parcel.fulfillment_id] += quantity
        return promised

    def worth(self, parcels: Iterable[Parcel]) -> int:
        """The price of the units in these parcels: a line's amount is shared cumulatively over its units."""
        units = Counter[int]()
        for parcel in parcels:
            for some in parcel.units:
                units[some["line"]] += some["quantity"]
        return sum(line["amount"] * units[line["number"]] // line["quantity"] for line in self.placed["lines"])

    def apply(self, event: Event) -> None:
        """Move on by one event of any of the order's streams."""
        change = _CHANGES.get(event.type)
        if change is not None:
            change(self, event)
        if event.category != "stock":
            self.last = event


def _placed(book: OrderBook, event: Event) -> None:
    book.placed, book.placed_position = event.data, event.position


def _risk(book: OrderBook, event: Event) -> None:
    book.risk = event.data["decision"]


def _held(book: OrderBook, event: Event) -> None:
    book.holds.append(event.data["reason"])


def _released(book: OrderBook, event: Event) -> None:
    book.holds = [reason for reason in book.holds if reason != event.data["reason"]]


def _planned(book: OrderBook, event: Event) -> None:
    book.assigned.update({some["fulfillment_id"]: some for some in event.data["assignments"]})
    book.backorders = event.data["backorders"]


def _cancelling(book: OrderBook, event: Event) -> None:
    book.cancelling, book.holds = True, []


def _not_cancelling(book: OrderBook, event: Event) -> None:
    book.cancelling = False


def _cancelled(book: OrderBook, event: Event) -> None:
    book.cancelling, book.cancel_reason, book.backorders = False, event.data["reason"], []
    for some in event.data["units"]:
        book.cancelled[some["line"]] += some["quantity"]
    for identity in event.data["stood_down"]:
        book.assigned.pop(identity, None)


def _closed(book: OrderBook, event: Event) -> None:
    book.outcome = event.data["outcome"]


def _authorized(book: OrderBook, event: Event) -> None:
    book.authorized, book.unknown = (book.authorized or 0) + event.data["amount"]["amount"], False
    book.void_failed = False


def _captured(book: OrderBook, event: Event) -> None:
    book.captured[event.data["fulfillment_id"]] = event.data["amount"]["amount"]
    book.unknown = False


def _voided(book: OrderBook, event: Event) -> None:
    book.voided, book.unknown = book.voided + event.data["amount"]["amount"], False


def _void_failed(book: OrderBook, event: Event) -> None:
    book.void_failed, book.unknown = True, False


def _known(book: OrderBook, event: Event) -> None:
    book.unknown = False


def _unknown(book: OrderBook, event: Event) -> None:
    book.unknown = True


def _created(book: OrderBook, event: Event) -> None:
    identity, data = event.subject, event.data
    number = split_fulfillment(identity)[1]
    book.parcels[number] = Parcel(identity, number, data["warehouse"], data["units"])


def _moved(state: str) -> Callable[[OrderBook, Event], None]:
    def change(book: OrderBook, event: Event) -> None:
        parcel = book.parcels[split_fulfillment(event.subject)[1]]
        parcel.state = state
        parcel.tracking = event.data.get("tracking", parcel.tracking)
        parcel.carrier = event.data.get("carrier", parcel.carrier)

    return change


def _failed(book: OrderBook, event: Event) -> None:
    name = "{step}/{part}/{ordinal}".format(**event.data)
    book.failed_steps = [*(some for some in book.failed_steps if some != name), name]


def _retried(book: OrderBook, event: Event) -> None:
    name = "{step}/{part}/{ordinal}".format(**event.data)
    book.failed_steps = [some for some in book.failed_steps if some != name]


_CHANGES: dict[str, Callable[[OrderBook, Event], Any]] = {
    "OrderPlaced": _placed,
    "RiskAssessed": _risk,
    "HoldPlaced": _held,
    "HoldReleased": _released,
    "FulfillmentPlanned": _planned,
    "CancellationRequested": _cancelling,
    "CancellationRefused": _not_cancelling,
    "LinesCancelled": _cancelled,
    "OrderClosed": _closed,
    "Authorized": _authorized,
    "AuthorizationDeclined": _known,
    "Captured": _captured,
    "CaptureFailed": _known,
    "Voided": _voided,
    "VoidFailed": _void_failed,
    "OutcomeUnknown": _unknown,
    "OperationNotDone": _known,
    "FulfillmentCreated": _created,
    "LabelPurchased": _moved("labelled"),
    "HandedOver": _moved("handed_over"),
    "Delivered": _moved("delivered"),
    "StoodDown": _moved("stood_down"),
    "StepFailed": _failed,
    "StepRetried": _retried,
}


def fold(order_id: str, events: Iterable[Event]) -> OrderBook:
    """The book of an order after these events."""
    book = OrderBook(order_id)
    for event in events:
        book.apply(event)
    return book


@dataclass(slots=True)
class StockBook:
    """A SKU at a warehouse. `allocations` by fulfillment, `queue` by order."""

    received: int = 0
    adjusted: int = 0
    shipped: int = 0
    allocations: Counter[str] = field(default_factory=Counter)
    queue: dict[str, int] = field(default_factory=dict)
    last: Event | None = None

    @property
    def on_hand(self) -> int:
        return self.received + self.adjusted - self.shipped

    @property
    def allocated(self) -> int:
        return self.allocations.total()

    def apply(self, event: Event) -> None:
        """Move on by one event of the stream."""
        data, self.last = event.data, event
        match event.type:
            case "StockReceived":
                self.received += data["quantity"]
            case "StockAdjusted":
                self.adjusted += data["quantity"]
            case "StockAllocated":
                self.allocations[data["fulfillment_id"]] += data["quantity"]
            case "AllocationReleased" | "StockShipped":
                self.allocations[data["fulfillment_id"]] -= data["quantity"]
                self.shipped += data["quantity"] if event.type == "StockShipped" else 0
            case "StockBackordered":
                self.queue[data["order_id"]] = data["quantity"]
            case "BackorderWithdrawn":
                self.queue.pop(data["order_id"], None)
            case _:
                pass


def fold_stock(events: Iterable[Event]) -> StockBook:
    """The book of a stock stream after these events."""
    book = StockBook()
    for event in events:
        book.apply(event)
    return book
