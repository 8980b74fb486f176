"""The steps that tell and end: letters, the cancellation, the timer of a hold, the close."""

from domain import fulfillment as fulfillments
from domain import order as orders
from domain import outside
from domain import process as processes
from domain import stock as stocks
from domain.order import CancelReason, HoldReason
from domain.process import OrderView, StepSucceeded, Template
from domain.steps.planning import queue_up
from domain.steps.turn import (
    Context,
    Turn,
    accepted,
    nonsense,
    on_fulfillment,
    on_order,
    on_stock,
    parcel_stock,
)
from domain.work import RunKey


def begin_notify(view: OrderView, key: RunKey, _context: Context) -> Turn:
    match key.ordinal:
        case Template.SHIPPED:
            template = "parcel_shipped"
            tracking = view.fulfillments[key.part].tracking or ""
            facts: tuple[tuple[str, str], ...] = (("tracking", tracking),)
        case number if number > Template.CANCELLED:
            template, facts = "order_cancelled", (("reason", str(view.order.cancel_reason)),)
        case _:
            template, facts = "payment_declined", ()
    request = outside.NotifyCustomer(
        key=f"{key.order_id}:notify:{key.part}:{key.ordinal}",
        order_id=key.order_id,
        customer_id=accepted(view).customer_id,
        template=template,
        facts=facts,
    )
    return Turn(request=request)


def conclude_notify(_view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    match answer:
        case outside.CustomerNotified(message_id=message_id):
            detail = message_id
        case outside.Refused(code=code):
            detail = f"refused ({code})"
        case _:
            raise nonsense(key, answer)
    done = StepSucceeded(step=key.step, part=key.part, ordinal=key.ordinal, detail=detail, at=context.now)
    return Turn(changes=((processes.process_stream(key.order_id), (done,)),))


def begin_cancel(view: OrderView, _key: RunKey, context: Context) -> Turn:
    handed_over = view.handed_over()
    changes = on_order(view, orders.CancelOpenLines(handed_over=handed_over, at=context.now))
    for number, parcel in sorted(view.fulfillments.items()):
        if parcel.created is None or parcel.stood_down or parcel.handed_over:
            continue
        changes += on_fulfillment(view, number, fulfillments.StandDown(reason="cancelled", at=context.now))
        for stream in sorted(parcel_stock(view, number)):
            changes += on_stock(context, stream, stocks.Release(fulfillment_id=parcel.created.fulfillment_id))
    return Turn(changes=changes + queue_up(view, (), context))


def begin_expire(view: OrderView, key: RunKey, context: Context) -> Turn:
    held = [reason for reason, hold in view.order.holds.items() if hold.ordinal == key.ordinal]
    if not held:
        return Turn()
    if not view.order.to_plan() and len(view.handed_over()) == len(view.order.assignments):
        release = orders.ReleaseHold(reason=held[0], note="nothing is left to hold", by="timer", at=context.now)
        return Turn(changes=on_order(view, release))
    reason = CancelReason.DECLINED if held[0] is HoldReason.AWAITING_PAYMENT else CancelReason.EXPIRED
    command = orders.RequestCancellation(
        reason=reason,
        note=f"nobody released the hold {held[0]}",
        by="timer",
        at=context.now,
        handed_over=view.handed_over(),
    )
    return Turn(changes=on_order(view, command))


def begin_close(view: OrderView, _key: RunKey, context: Context) -> Turn:
    return Turn(changes=on_order(view, orders.CloseOrder(at=context.now)))
