"""A fulfillment: one warehouse's work for one order, which becomes exactly one parcel.

The hand-over to the carrier is the pivot of the whole order: before it everything can be undone, after it only a return can follow.
An intent (`LabelStarted`, `HandOverStarted`) is recorded before the carrier is asked, so a parcel whose hand-over was started can
not be stood down until the carrier's answer is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, assert_never

from domain.decider import Decider
from domain.errors import CommandRefused
from domain.fulfillment_events import (
    CallNotDone,
    Delivered,
    FulfillmentCreated,
    FulfillmentEvent,
    HandedOver,
    HandOverRefused,
    HandOverStarted,
    LabelFailed,
    LabelPurchased,
    LabelRefunded,
    LabelRefundFailed,
    LabelRefundStarted,
    LabelStarted,
    StoodDown,
)
from domain.values import Money, Units

__all__ = [
    "DECIDER",
    "Call",
    "CallNotDone",
    "Create",
    "Delivered",
    "Fulfillment",
    "FulfillmentCommand",
    "FulfillmentCreated",
    "FulfillmentEvent",
    "HandOverRefused",
    "HandOverStarted",
    "HandedOver",
    "LabelFailed",
    "LabelPurchased",
    "LabelRefundFailed",
    "LabelRefundStarted",
    "LabelRefunded",
    "LabelStarted",
    "RecordDelivered",
    "RecordHandOver",
    "RecordHandOverRefused",
    "RecordLabel",
    "RecordLabelRefund",
    "RecordLabelRefused",
    "RecordNotDone",
    "StandDown",
    "StartHandOver",
    "StartLabel",
    "StartLabelRefund",
    "StoodDown",
    "decide",
    "evolve",
]

# --- commands ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    fulfillment_id: str
    order_id: str
    warehouse: str
    units: tuple[Units, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartLabel:
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordLabel:
    tracking: str
    carrier: str
    cost: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordLabelRefused:
    code: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartHandOver:
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordHandOver:
    scan_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordHandOverRefused:
    code: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDelivered:
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StandDown:
    """Take the parcel out of work, if the carrier neither has it nor may have it."""

    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartLabelRefund:
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordLabelRefund:
    """`refused` carries the carrier's code when it will not refund."""

    at: datetime
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordNotDone:
    """The open call did not happen; a person says so."""

    at: datetime


FulfillmentCommand = (
    Create
    | StartLabel
    | RecordLabel
    | RecordLabelRefused
    | StartHandOver
    | RecordHandOver
    | RecordHandOverRefused
    | RecordDelivered
    | StandDown
    | StartLabelRefund
    | RecordLabelRefund
    | RecordNotDone
)

Call = Literal["label", "hand_over", "refund_label"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fulfillment:
    """What the next decision needs. `open` names the carrier call that was started and has no result yet."""

    created: FulfillmentCreated | None = None
    open: Call | None = None
    open_key: str = ""
    open_since: datetime | None = None
    labels: int = 0
    tracking: str | None = None
    hand_overs: int = 0
    handed_over: bool = False
    delivered: bool = False
    stood_down: bool = False
    label_refunds: int = 0
    label_refund: Literal["done", "refused"] | None = None

    def open_ordinal(self) -> int:
        """The ordinal of the open call; 0 for none."""
        match self.open:
            case None:
                return 0
            case "label":
                return self.labels
            case "hand_over":
                return self.hand_overs
            case "refund_label":
                return self.label_refunds
            case _:
                assert_never(self.open)

    def past_pivot(self) -> bool:
        """The carrier has the parcel, or may have it."""
        return self.handed_over or self.open == "hand_over"


def decide(command: FulfillmentCommand, fulfillment: Fulfillment) -> Sequence[FulfillmentEvent]:  # noqa: C901, PLR0911, PLR0912 - one flat case a command
    """The events that follow from a command. Raises `CommandRefused`; a repeat is no event."""
    if isinstance(command, Create):
        return _create(command, fulfillment)
    if fulfillment.created is None:
        raise CommandRefused("there is no such fulfillment")
    match command:
        case StartLabel() | StartHandOver() | StartLabelRefund():
            return _start(command, fulfillment)
        case RecordLabel() | RecordLabelRefused():
            return _record_label(command, fulfillment)
        case RecordHandOver() | RecordHandOverRefused():
            return _record_hand_over(command, fulfillment)
        case RecordDelivered(at=at):
            if not fulfillment.handed_over:
                raise CommandRefused("the parcel was not handed over")
            return [] if fulfillment.delivered else [Delivered(at=at)]
        case StandDown():
            return _stand_down(command, fulfillment)
        case RecordLabelRefund():
            return _record_label_refund(command, fulfillment)
        case RecordNotDone(at=at):
            return [CallNotDone(key=fulfillment.open_key, at=at)] if fulfillment.open else []
        case _:
            assert_never(command)


def evolve(fulfillment: Fulfillment, event: FulfillmentEvent) -> Fulfillment:  # noqa: C901, PLR0911, PLR0912 - one flat case an event
    """The fulfillment after one event."""
    match event:
        case FulfillmentCreated():
            return replace(fulfillment, created=event)
        case LabelStarted(key=key, ordinal=ordinal, at=at):
            return replace(fulfillment, open="label", open_key=key, open_since=at, labels=ordinal)
        case LabelPurchased():
            return replace(fulfillment, open=None, tracking=event.tracking)
        case LabelFailed() | HandOverRefused() | CallNotDone():
            return replace(fulfillment, open=None)
        case HandOverStarted(key=key, ordinal=ordinal, at=at):
            return replace(fulfillment, open="hand_over", open_key=key, open_since=at, hand_overs=ordinal)
        case HandedOver():
            return replace(fulfillment, open=None, handed_over=True)
        case Delivered():
            return replace(fulfillment, delivered=True)
        case StoodDown():
            return replace(fulfillment, stood_down=True)
        case LabelRefundStarted(key=key, ordinal=ordinal, at=at):
            return replace(fulfillment, open="refund_label", open_key=key, open_since=at, label_refunds=ordinal)
        case LabelRefunded():
            return replace(fulfillment, open=None, label_refund="done")
        case LabelRefundFailed():
            return replace(fulfillment, open=None, label_refund="refused")
        case _:
            assert_never(event)


def _create(command: Create, fulfillment: Fulfillment) -> Sequence[FulfillmentEvent]:
    if fulfillment.created is not None:
        return []
    if not command.units:
        raise CommandRefused("a parcel needs at least one unit", field="units")
    created = FulfillmentCreated(
        fulfillment_id=command.fulfillment_id,
        order_id=command.order_id,
        warehouse=command.warehouse,
        units=command.units,
        at=command.at,
    )
    return [created]


def _start(
    command: StartLabel | StartHandOver | StartLabelRefund, fulfillment: Fulfillment
) -> Sequence[FulfillmentEvent]:
    if fulfillment.open:
        return []
    identity = fulfillment.created.fulfillment_id if fulfillment.created else ""
    if isinstance(command, StartLabelRefund):
        owed = fulfillment.stood_down and fulfillment.tracking and not fulfillment.label_refund
        ordinal = fulfillment.label_refunds + 1
        refund = LabelRefundStarted(key=f"{identity}:label-refund:{ordinal}", ordinal=ordinal, at=command.at)
        return [refund] if owed else []
    if fulfillment.stood_down:
        raise CommandRefused("the fulfillment was stood down")
    if isinstance(command, StartLabel):
        ordinal = fulfillment.labels + 1
        label = LabelStarted(key=f"{identity}:label:{ordinal}", ordinal=ordinal, at=command.at)
        return [] if fulfillment.tracking else [label]
    if not fulfillment.tracking:
        raise CommandRefused("the parcel has no label")
    ordinal = fulfillment.hand_overs + 1
    scan = HandOverStarted(key=f"{identity}:scan:{ordinal}", ordinal=ordinal, at=command.at)
    return [] if fulfillment.handed_over else [scan]


def _record_label(command: RecordLabel | RecordLabelRefused, fulfillment: Fulfillment) -> Sequence[FulfillmentEvent]:
    if fulfillment.open != "label":
        return []
    key = fulfillment.open_key
    if isinstance(command, RecordLabelRefused):
        return [LabelFailed(key=key, code=command.code, at=command.at)]
    return [
        LabelPurchased(key=key, tracking=command.tracking, carrier=command.carrier, cost=command.cost, at=command.at)
    ]


def _record_hand_over(
    command: RecordHandOver | RecordHandOverRefused, fulfillment: Fulfillment
) -> Sequence[FulfillmentEvent]:
    if fulfillment.open != "hand_over":
        return []
    key = fulfillment.open_key
    if isinstance(command, RecordHandOverRefused):
        return [HandOverRefused(key=key, code=command.code, at=command.at)]
    return [HandedOver(key=key, scan_id=command.scan_id, at=command.at)]


def _stand_down(command: StandDown, fulfillment: Fulfillment) -> Sequence[FulfillmentEvent]:
    if fulfillment.stood_down:
        return []
    if fulfillment.handed_over:
        raise CommandRefused("the carrier has the parcel")
    if fulfillment.open:
        raise CommandRefused(f"the carrier's answer is awaited ({fulfillment.open_key})")
    return [StoodDown(reason=command.reason, at=command.at)]


def _record_label_refund(command: RecordLabelRefund, fulfillment: Fulfillment) -> Sequence[FulfillmentEvent]:
    if fulfillment.open != "refund_label":
        return []
    if command.refused:
        return [LabelRefundFailed(key=fulfillment.open_key, code=command.refused, at=command.at)]
    return [LabelRefunded(key=fulfillment.open_key, at=command.at)]


DECIDER: Decider[FulfillmentCommand, Fulfillment, FulfillmentEvent] = Decider(
    initial=Fulfillment(), decide=decide, evolve=evolve
)
