"""The steps of one parcel: label, hand-over, delivery, and the refund of a label that is not needed any more."""

from datetime import datetime, timedelta

from domain import fulfillment as fulfillments
from domain import outside
from domain import payment as payments
from domain import process as processes
from domain import stock as stocks
from domain.order import HoldReason, PlaceHold
from domain.process import OrderView
from domain.steps.money import expires_too_soon
from domain.steps.turn import (
    Context,
    Turn,
    accepted,
    ask,
    held_by,
    nonsense,
    on_fulfillment,
    on_payment,
    on_stock,
    parcel_stock,
)
from domain.work import RunKey


def _since(view: OrderView, key: RunKey) -> datetime | None:
    parcel = view.fulfillments[key.part]
    return parcel.open_since if parcel.open else None


def begin_label(view: OrderView, key: RunKey, context: Context) -> Turn:
    created = view.fulfillments[key.part].created
    changes = on_fulfillment(view, key.part, fulfillments.StartLabel(at=context.now))
    identity = processes.fulfillment_id(key.order_id, key.part)
    request = outside.BuyLabel(
        key=f"{identity}:label:{key.ordinal}",
        fulfillment_id=identity,
        warehouse=created.warehouse if created else "",
        ship_to=accepted(view).ship_to,
        units=sum(units.quantity for units in created.units) if created else 0,
    )
    return ask(changes, request, _since(view, key), context)


def conclude_label(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    match answer:
        case outside.LabelBought():
            bought = fulfillments.RecordLabel(
                tracking=answer.tracking, carrier=answer.carrier, cost=answer.cost, at=context.now
            )
            return Turn(changes=on_fulfillment(view, key.part, bought))
        case outside.Refused(code=code):
            refused = fulfillments.RecordLabelRefused(code=code, at=context.now)
            hold = PlaceHold(
                reason=HoldReason.INCORRECT_ADDRESS, note=f"label refused ({code})", by="carrier", at=context.now
            )
            return Turn(changes=held_by(view, on_fulfillment(view, key.part, refused), hold))
        case _:
            raise nonsense(key, answer)


def begin_hand_over(view: OrderView, key: RunKey, context: Context) -> Turn:
    if not view.fulfillments[key.part].open and expires_too_soon(view, context):
        changes = on_payment(view, payments.RecordExpiring(at=context.now))
        return Turn(changes=changes, again_after=None if changes else _ONE_CAPTURE)
    changes = on_fulfillment(view, key.part, fulfillments.StartHandOver(at=context.now))
    identity = processes.fulfillment_id(key.order_id, key.part)
    request = outside.HandOverParcel(
        key=f"{identity}:scan:{key.ordinal}", tracking=view.fulfillments[key.part].tracking or ""
    )
    return ask(changes, request, _since(view, key), context)


def conclude_hand_over(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    identity = processes.fulfillment_id(key.order_id, key.part)
    match answer:
        case outside.ParcelAccepted(scan_id=scan_id):
            accepted = fulfillments.RecordHandOver(scan_id=scan_id, at=context.now)
            changes = on_fulfillment(view, key.part, accepted)
            if changes:
                for stream in sorted(parcel_stock(view, key.part)):
                    changes += on_stock(context, stream, stocks.ConfirmShipped(fulfillment_id=identity))
            return Turn(changes=changes)
        case outside.Refused(code=code):
            refused = fulfillments.RecordHandOverRefused(code=code, at=context.now)
            hold = PlaceHold(reason=HoldReason.OTHER, note=f"hand-over refused ({code})", by="carrier", at=context.now)
            return Turn(changes=held_by(view, on_fulfillment(view, key.part, refused), hold))
        case _:
            raise nonsense(key, answer)


_ONE_CAPTURE = timedelta(seconds=1)
TRACKING_INTERVALS = (timedelta(milliseconds=200), timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1))


def begin_deliver(view: OrderView, key: RunKey, _context: Context) -> Turn:
    return Turn(request=outside.TrackParcel(tracking=view.fulfillments[key.part].tracking or ""))


def conclude_deliver(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    if not isinstance(answer, outside.ParcelStatus):
        raise nonsense(key, answer)
    if answer.status == "delivered":
        return Turn(changes=on_fulfillment(view, key.part, fulfillments.RecordDelivered(at=answer.at)))
    return Turn(again_after=tracking_interval(context.now - answer.at))


def tracking_interval(under_way: timedelta) -> timedelta:
    """How long to wait before asking again: the longer a parcel travels, the more seldom."""
    for interval in TRACKING_INTERVALS:
        if under_way < interval * 20:
            return interval
    return TRACKING_INTERVALS[-1]


def begin_refund_label(view: OrderView, key: RunKey, context: Context) -> Turn:
    changes = on_fulfillment(view, key.part, fulfillments.StartLabelRefund(at=context.now))
    identity = processes.fulfillment_id(key.order_id, key.part)
    tracking = view.fulfillments[key.part].tracking or ""
    request = outside.RefundLabel(key=f"{identity}:label-refund:{key.ordinal}", tracking=tracking)
    return ask(changes, request, _since(view, key), context)


def conclude_refund_label(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    match answer:
        case outside.LabelRefunded():
            command = fulfillments.RecordLabelRefund(at=context.now)
        case outside.Refused(code=code):
            command = fulfillments.RecordLabelRefund(at=context.now, refused=code)
        case _:
            raise nonsense(key, answer)
    return Turn(changes=on_fulfillment(view, key.part, command))
