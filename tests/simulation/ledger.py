"""The oracle's own fold: what the events say about each order, and what no event may do.

Written from the rules, not from the program: none of its code is used. An event that breaks a rule is a `Wrong`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Place = tuple[str, int, int]


class Wrong(Exception):
    """An event that may not be here."""


def must(holds: object, sentence: str) -> None:
    if not holds:
        raise Wrong(sentence)


@dataclass(slots=True)
class Parcel:
    """`state`: created, labelled, gone, delivered, down. `asked`: the key of the call that is open."""

    units: dict[str, int] = field(default_factory=dict)
    warehouse: str = ""
    state: str = ""
    asked: str = ""
    tracking: str = ""
    label_owed: bool = False


@dataclass(slots=True)
class Order:
    """Everything about one order. `failed`: dead runs that stop it."""

    placed: Any = None
    holds: set[str] = field(default_factory=set)
    cancelling: bool = False
    closed: str = ""
    paying: str = ""
    payment_unknown: bool = False
    authorized: int = 0
    reference: str = ""
    captured: dict[str, int] = field(default_factory=dict)
    voided: int = 0
    void_refused: bool = False
    parcels: dict[str, Parcel] = field(default_factory=dict)
    backorders: Counter[tuple[str, str]] = field(default_factory=Counter)
    assigned: set[str] = field(default_factory=set)
    cancelled: Counter[str] = field(default_factory=Counter)
    failed: dict[Place, str] = field(default_factory=dict)
    succeeded: set[Place] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)

    def stopped(self) -> bool:
        return any(place[0] != "notify" for place in self.failed)

    def settles(self, *steps: str, part: int = 0) -> None:
        """The matter of these dead runs is settled, so they stop nothing any more."""
        for place in [place for place in self.failed if place[0] in steps and part in (0, place[1])]:
            del self.failed[place]

    def may_begin(self, what: str) -> None:
        """What nobody may begin for an order that is held, stopped, being cancelled or closed."""
        must(not self.holds, f"{what} while held for {sorted(self.holds)}")
        must(not self.cancelling, f"{what} while being cancelled")
        must(not self.closed, f"{what} after the close")


def apply(order: Order, stream: str, event: Any) -> None:
    """One event of an order's stream."""
    _ORDER[type(event).__name__](order, stream.partition("-")[2], event)


# --- the order ---


def _placed(order: Order, _: str, event: Any) -> None:
    must(order.placed is None, "placed twice")
    order.placed = event


def _hold(order: Order, _: str, event: Any) -> None:
    must(not order.closed and not order.cancelling, "held although it is ending")
    order.holds.add(event.reason)


def _planned(order: Order, _: str, event: Any) -> None:
    order.may_begin("planned")
    must(not order.stopped(), "planned although a run of it is dead")
    must(order.authorized or order.placed.total.amount == 0, "planned without money")
    order.settles("allocate")
    order.assigned |= {one.fulfillment_id for one in event.assignments}
    order.backorders = Counter()
    for one in event.backorders:
        order.backorders[one.warehouse, one.units.sku] += one.units.quantity


def _cancelling(order: Order, _: str, __: Any) -> None:
    must(not order.closed and not order.cancelling, "a cancellation of what is ending")
    order.cancelling = True
    order.holds.clear()


def _not_cancelling(order: Order, _: str, __: Any) -> None:
    order.settles("cancel")
    order.cancelling = False


def _cancelled(order: Order, _: str, event: Any) -> None:
    must(not order.closed, "cancelled after the close")
    order.settles("risk", "authorize", "allocate", "cancel", "expire")
    order.cancelling = False
    order.backorders = Counter()
    order.assigned -= set(event.stood_down)
    for units in event.units:
        order.cancelled[units.sku] += units.quantity


def _closed(order: Order, _: str, event: Any) -> None:
    must(not order.closed, "closed twice")
    must(not order.paying, "closed while a payment is open")
    must(not order.backorders, "closed while it waits for stock")
    kept = [order.parcels[name] for name in order.assigned]
    must(all(parcel.state == "delivered" for parcel in kept), "closed before everything was delivered")
    must(
        order.authorized == sum(order.captured.values()) + order.voided or order.void_refused, "closed with money held"
    )
    must(set(order.captured) >= order.assigned, "closed without the money of a parcel")
    order.settles("close", "expire")
    order.closed = event.outcome


def _released_hold(order: Order, _: str, event: Any) -> None:
    order.settles("expire")
    order.holds.discard(event.reason)


# --- the payment ---


def _pay(order: Order, event: Any) -> None:
    must(not order.paying, f"{event.key} is begun while {order.paying} is open")
    must(event.key not in order.keys, f"the key {event.key} is used twice")
    order.keys.add(event.key)
    order.paying = event.key


def _paid(order: Order, event: Any) -> None:
    must(order.paying == event.key, f"an end of {event.key} while {order.paying or 'nothing'} is open")
    order.settles("authorize", "capture", "void")
    order.paying = ""
    order.payment_unknown = False


def _authorizing(order: Order, _: str, event: Any) -> None:
    order.may_begin("authorized")
    must(not order.stopped(), "authorized although a run of it is dead")
    must(not order.authorized, "authorized twice")
    _pay(order, event)


def _authorized(order: Order, _: str, event: Any) -> None:
    _paid(order, event)
    must(event.amount == order.placed.total, "another amount was authorized")
    order.authorized, order.reference = event.amount.amount, event.reference


def _capturing(order: Order, _: str, event: Any) -> None:
    must(not order.closed, "captured after the close")
    must(not order.stopped(), "captured although a run of it is dead")
    must(order.parcels[event.fulfillment_id].state in ("gone", "delivered"), "captured before the hand-over")
    must(event.fulfillment_id not in order.captured, "captured twice")
    _pay(order, event)


def _captured(order: Order, _: str, event: Any) -> None:
    _paid(order, event)
    must(event.fulfillment_id not in order.captured, "captured twice")
    order.captured[event.fulfillment_id] = event.amount.amount
    must(sum(order.captured.values()) + order.voided <= order.authorized, "more captured than authorized")


def _voiding(order: Order, _: str, event: Any) -> None:
    must(not order.closed, "voided after the close")
    _pay(order, event)


def _voided(order: Order, _: str, event: Any) -> None:
    _paid(order, event)
    order.voided = event.amount.amount
    must(sum(order.captured.values()) + order.voided <= order.authorized, "more voided than was left")


def _not_voided(order: Order, _: str, event: Any) -> None:
    _paid(order, event)
    order.void_refused = True


def _unknown(order: Order, _: str, event: Any) -> None:
    must(order.paying == event.key, "unknown, but not asked")
    order.payment_unknown = True


# --- parcels ---


def _created(order: Order, name: str, event: Any) -> None:
    must(name not in order.parcels, "created twice")
    must(name in order.assigned, "created without a plan")
    parcel = order.parcels[name] = Parcel(warehouse=event.warehouse, state="created")
    for units in event.units:
        parcel.units[units.sku] = parcel.units.get(units.sku, 0) + units.quantity


def _asking(state: str, what: str, *, way_out: bool = False) -> Callable[[Order, str, Any], None]:
    def asks(order: Order, name: str, event: Any) -> None:
        parcel = order.parcels[name]
        if not way_out:
            order.may_begin(what)
            must(not order.stopped(), f"{what} although a run of it is dead")
            must(not order.payment_unknown, f"{what} while the outcome of a payment is unknown")
        must(not parcel.asked and parcel.state == state, f"{what} while {parcel.state} {parcel.asked}")
        must(event.key not in order.keys, f"the key {event.key} is used twice")
        order.keys.add(event.key)
        parcel.asked = event.key

    return asks


def _answered(state: str = "") -> Callable[[Order, str, Any], None]:
    def answers(order: Order, name: str, event: Any) -> None:
        parcel = order.parcels[name]
        must(parcel.asked == event.key, f"an answer to {event.key}, but {parcel.asked or 'nothing'} was asked")
        order.settles("label", "hand_over", "refund_label", part=_number(name))
        parcel.asked = ""
        parcel.state = state or parcel.state
        parcel.tracking = getattr(event, "tracking", parcel.tracking)

    return answers


def _delivered(order: Order, name: str, _: Any) -> None:
    must(order.parcels[name].state == "gone", f"delivered while {order.parcels[name].state}")
    order.settles("deliver", part=_number(name))
    order.parcels[name].state = "delivered"


def _down(order: Order, name: str, _: Any) -> None:
    parcel = order.parcels[name]
    must(
        not parcel.asked and parcel.state in ("created", "labelled"), f"stood down while {parcel.state} {parcel.asked}"
    )
    order.settles("label", "hand_over", part=_number(name))
    parcel.label_owed = parcel.state == "labelled"
    parcel.state = "down"


def _label_settled(order: Order, name: str, event: Any) -> None:
    _answered()(order, name, event)
    must(order.parcels[name].label_owed, "a refund of a label that nobody owes")
    order.parcels[name].label_owed = False


def _number(name: str) -> int:
    return int(name.rpartition("+")[2])


# --- the process ---


def _place(event: Any) -> Place:
    return str(event.step), event.part, event.ordinal


def _succeeded(order: Order, _: str, event: Any) -> None:
    must(_place(event) not in order.succeeded, f"{_place(event)} succeeded twice")
    order.succeeded.add(_place(event))


def _failed(order: Order, _: str, event: Any) -> None:
    order.failed[_place(event)] = event.reason


def _retried(order: Order, _: str, event: Any) -> None:
    order.failed.pop(_place(event), None)


def _nothing(order: Order, _: str, __: Any) -> None:
    must(order.placed, "an event of an order that is not there")


_ORDER: Mapping[str, Callable[[Order, str, Any], None]] = {
    "OrderPlaced": _placed,
    "RiskAssessed": _nothing,
    "HoldPlaced": _hold,
    "HoldReleased": _released_hold,
    "FulfillmentPlanned": _planned,
    "CancellationRequested": _cancelling,
    "CancellationRefused": _not_cancelling,
    "LinesCancelled": _cancelled,
    "OrderClosed": _closed,
    "AuthorizationStarted": _authorizing,
    "Authorized": _authorized,
    "AuthorizationDeclined": lambda order, _, event: _paid(order, event),
    "CaptureStarted": _capturing,
    "Captured": _captured,
    "CaptureFailed": lambda order, _, event: _paid(order, event),
    "VoidStarted": _voiding,
    "Voided": _voided,
    "VoidFailed": _not_voided,
    "OutcomeUnknown": _unknown,
    "OperationNotDone": lambda order, _, event: _paid(order, event),
    "CallNotDone": _answered(),
    "FulfillmentCreated": _created,
    "LabelStarted": _asking("created", "labelled"),
    "LabelPurchased": _answered("labelled"),
    "LabelFailed": _answered(),
    "HandOverStarted": _asking("labelled", "handed over"),
    "HandedOver": _answered("gone"),
    "HandOverRefused": _answered(),
    "Delivered": _delivered,
    "StoodDown": _down,
    "LabelRefundStarted": _asking("down", "refunded", way_out=True),
    "LabelRefunded": _label_settled,
    "LabelRefundFailed": _label_settled,
    "StepSucceeded": _succeeded,
    "StepFailed": _failed,
    "StepRetried": _retried,
    "StepDiscarded": _nothing,
    "StepRestored": _nothing,
}
