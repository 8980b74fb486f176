"""What every step is made of: its surroundings, its result, and the commands on single streams that it is composed of.

A `Turn` is a value: the events to append, by stream, and the request to make of the outside. The helpers decide one command on
one stream of an order and return the changes of that stream, none when there is nothing to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from domain import fulfillment as fulfillments
from domain import order as orders
from domain import outside
from domain import payment as payments
from domain import process as processes
from domain import stock as stocks
from domain.errors import Poison
from domain.process import OrderStreamEvent, OrderView, Policy
from domain.routing import Warehouse
from domain.work import RunKey

StreamEvent = OrderStreamEvent | stocks.StockEvent
Changes = tuple[tuple[str, tuple[StreamEvent, ...]], ...]


class StockBook:
    """The stock streams of a batch: each decision sees what the decisions before it in the batch did."""

    def __init__(self, loaded: Mapping[str, tuple[stocks.Stock, int]]) -> None:
        self._entries = dict(loaded)

    def __getitem__(self, stream: str) -> stocks.Stock:
        return self._entries[stream][0]

    def version(self, stream: str) -> int:
        """The version that the next event of the stream follows."""
        return self._entries[stream][1]

    def __contains__(self, stream: str) -> bool:
        return stream in self._entries

    def apply(self, stream: str, events: Sequence[stocks.StockEvent]) -> None:
        """Move on by events that will be appended."""
        state, version = self._entries[stream]
        self._entries[stream] = (stocks.fold(events, state), version + len(events))

    def entries(self) -> dict[str, tuple[stocks.Stock, int]]:
        """A copy of all states and versions, to keep or to go back to."""
        return dict(self._entries)

    def go_back(self, entries: Mapping[str, tuple[stocks.Stock, int]]) -> None:
        """Forget what was applied since `entries` was taken."""
        self._entries = dict(entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a step may know besides the order: the time (of the database), the rules, the warehouses, the stock."""

    now: datetime
    policy: Policy = field(default_factory=Policy)
    warehouses: tuple[Warehouse, ...] = ()
    stock: StockBook = field(default_factory=lambda: StockBook({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """`inquire`: the request may have been made before, so ask what became of it first. `again_after`: look again later.

    `act` False: only ask. The gateway may have forgotten the key by now, so making the request could do the same thing twice; it may
    have done so, too, when the answer to the question comes later than `act_within`.
    """

    changes: Changes = ()
    request: outside.Request | None = None
    inquire: bool = False
    act: bool = True
    act_within: timedelta | None = None
    again_after: timedelta | None = None


def ask(changes: Changes, request: outside.Request, since: datetime | None, context: Context) -> Turn:
    """The turn of an operation: made at once if its intent is new (`changes`); inquired first if that was recorded at `since`."""
    if changes or since is None:
        return Turn(changes=changes, request=request, inquire=not changes)
    left = context.policy.may_act_for(since, context.now)
    act = left > timedelta(0)
    return Turn(request=request, inquire=True, act=act, act_within=left if act else None)


def on_order(view: OrderView, *commands: orders.OrderCommand) -> Changes:
    state, events = view.order, list[StreamEvent]()
    for command in commands:
        new = orders.decide(command, state)
        state = orders.DECIDER.fold(new, state)
        events += new
    return ((processes.order_stream(view.order_id), tuple(events)),) if events else ()


def on_payment(view: OrderView, *commands: payments.PaymentCommand) -> Changes:
    state, events = view.payment, list[StreamEvent]()
    for command in commands:
        new = payments.decide(command, state)
        state = payments.DECIDER.fold(new, state)
        events += new
    return ((processes.payment_stream(view.order_id), tuple(events)),) if events else ()


def on_fulfillment(view: OrderView, number: int, command: fulfillments.FulfillmentCommand) -> Changes:
    parcel = view.fulfillments.get(number, fulfillments.DECIDER.initial)
    events = tuple(fulfillments.decide(command, parcel))
    return ((processes.fulfillment_stream(view.order_id, number), events),) if events else ()


def on_stock(context: Context, stream: str, *commands: stocks.StockCommand) -> Changes:
    events: list[stocks.StockEvent] = []
    for command in commands:
        new = stocks.decide(command, context.stock[stream])
        context.stock.apply(stream, new)
        events += new
    return ((stream, tuple(events)),) if events else ()


def accepted(view: OrderView) -> orders.OrderPlaced:
    if view.order.placed is None:
        raise Poison(f"{view.order_id}: there is no such order")
    return view.order.placed


def nonsense(key: RunKey, answer: outside.Answer) -> Poison:
    return Poison(f"{key}: {type(answer).__name__} is no answer to this step")


def held_by(view: OrderView, refusal: Changes, hold: orders.PlaceHold) -> Changes:
    """A refusal and the hold that follows from it: none if the refusal was known, or if the order is ending anyway."""
    if not refusal or view.order.cancelling or view.order.closed:
        return refusal
    return refusal + on_order(view, hold)


def parcel_stock(view: OrderView, number: int) -> set[str]:
    parcel = view.fulfillments.get(number)
    if parcel is None or parcel.created is None:
        return set()
    return {processes.stock_stream(parcel.created.warehouse, units.sku) for units in parcel.created.units}
