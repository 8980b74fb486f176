"""What each step does, purely: `begin` a claimed run, then `conclude` it with the answer of the outside.

A step returns a `Turn`: the events to append, by stream, and, where the outside has to be asked, the request. Nothing here calls
anything; the shell appends the events (the intent among them) before it makes the request. A run is finished when the process
manager no longer wants it, so a step never says "done".

Steps that move stock (plan, hand over, cancel) say by `stock_needed` which stock streams must be at hand; the shell locks and
loads them into the `StockBook` of the batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from domain import fulfillment as fulfillments
from domain import order as orders
from domain import outside, routing
from domain import payment as payments
from domain import process as processes
from domain import stock as stocks
from domain.errors import Poison
from domain.order import CancelReason, HoldReason
from domain.pricing import parcel_value, value_handed_over
from domain.process import OrderStreamEvent, OrderView, Policy, StepSucceeded, Template
from domain.routing import Warehouse
from domain.values import Units
from domain.work import Run, RunKey, Step

StreamEvent = OrderStreamEvent | stocks.StockEvent


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a step may know besides the order: the time (of the database), the rules, the warehouses, the stock."""

    now: datetime
    policy: Policy = field(default_factory=Policy)
    warehouses: tuple[Warehouse, ...] = ()
    stock: StockBook = field(default_factory=lambda: StockBook({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """`inquire`: the request may have been made before, so ask what became of it first. `again_after`: look again later."""

    changes: tuple[tuple[str, tuple[StreamEvent, ...]], ...] = ()
    request: outside.Request | None = None
    inquire: bool = False
    again_after: timedelta | None = None


def begin(view: OrderView, run: Run, context: Context) -> Turn:
    """The first half of a step."""
    return _BEGIN[run.key.step](view, run.key, context)


def conclude(view: OrderView, run: Run, answer: outside.Answer, context: Context) -> Turn:
    """The second half, with the answer to the request of the first."""
    return _CONCLUDE[run.key.step](view, run.key, answer, context)


def unknown(view: OrderView, run: Run, reason: str, now: datetime) -> Turn:
    """The outside may have acted and did not say: record it where money is concerned."""
    if run.key.step not in (Step.AUTHORIZE, Step.CAPTURE, Step.VOID):
        return Turn()
    command = payments.RecordUnknown(reason=reason, at=now)
    return Turn(changes=_payment(view, command))


def stock_needed(view: OrderView, key: RunKey, warehouses: Sequence[Warehouse]) -> set[str]:
    """The stock streams that `begin` or `conclude` of this run will decide upon."""
    order = view.order
    match key.step:
        case Step.ALLOCATE:
            skus = {units.sku for units in order.to_plan()}
            return {processes.stock_stream(warehouse.id, sku) for warehouse in warehouses for sku in skus}
        case Step.HAND_OVER:
            return _parcel_stock(view, key.part)
        case Step.CANCEL:
            waiting = {processes.stock_stream(b.warehouse, b.units.sku) for b in order.backorders}
            return waiting.union(*(_parcel_stock(view, number) for number in view.fulfillments))
        case _:
            return set()


def _parcel_stock(view: OrderView, number: int) -> set[str]:
    parcel = view.fulfillments.get(number)
    if parcel is None or parcel.created is None:
        return set()
    return {processes.stock_stream(parcel.created.warehouse, units.sku) for units in parcel.created.units}


# --- helpers: one command on one stream ---

Changes = tuple[tuple[str, tuple[StreamEvent, ...]], ...]


def _order(view: OrderView, *commands: orders.OrderCommand) -> Changes:
    state, events = view.order, list[StreamEvent]()
    for command in commands:
        new = orders.decide(command, state)
        state = orders.DECIDER.fold(new, state)
        events += new
    return ((processes.order_stream(view.order_id), tuple(events)),) if events else ()


def _payment(view: OrderView, command: payments.PaymentCommand) -> Changes:
    events = tuple(payments.decide(command, view.payment))
    return ((processes.payment_stream(view.order_id), events),) if events else ()


def _fulfillment(view: OrderView, number: int, command: fulfillments.FulfillmentCommand) -> Changes:
    parcel = view.fulfillments.get(number, fulfillments.DECIDER.initial)
    events = tuple(fulfillments.decide(command, parcel))
    return ((processes.fulfillment_stream(view.order_id, number), events),) if events else ()


def _stock(context: Context, stream: str, *commands: stocks.StockCommand) -> Changes:
    events: list[stocks.StockEvent] = []
    for command in commands:
        new = stocks.decide(command, context.stock[stream])
        context.stock.apply(stream, new)
        events += new
    return ((stream, tuple(events)),) if events else ()


def _placed(view: OrderView) -> orders.OrderPlaced:
    if view.order.placed is None:
        raise Poison(f"{view.order_id}: there is no such order")
    return view.order.placed


def _nonsense(key: RunKey, answer: outside.Answer) -> Poison:
    return Poison(f"{key}: {type(answer).__name__} is no answer to this step")


# --- risk ---


def _begin_risk(view: OrderView, key: RunKey, context: Context) -> Turn:
    placed = _placed(view)
    request = outside.AssessRisk(
        key=f"{key.order_id}:risk",
        order_id=key.order_id,
        customer_id=placed.customer_id,
        total=placed.total,
        country=placed.ship_to.country,
    )
    return Turn(request=request)


def _conclude_risk(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    if not isinstance(answer, outside.RiskVerdict):
        raise _nonsense(key, answer)
    command = orders.RecordRisk(
        decision=answer.decision, score=answer.score, reasons=answer.reasons, at=context.now
    )
    return Turn(changes=_order(view, command))


# --- money ---


def _begin_authorize(view: OrderView, key: RunKey, context: Context) -> Turn:
    placed = _placed(view)
    command = payments.StartAuthorization(order_id=key.order_id, amount=placed.total, at=context.now)
    changes = _payment(view, command)
    request = outside.AuthorizePayment(
        key=f"{key.order_id}:auth:{key.ordinal}",
        order_id=key.order_id,
        amount=placed.total,
        token=placed.payment_token,
    )
    return Turn(changes=changes, request=request, inquire=not changes)


def _conclude_authorize(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    now = context.now
    match answer:
        case outside.PaymentAuthorized():
            command = payments.RecordAuthorized(
                reference=answer.reference, amount=answer.amount, expires_at=answer.expires_at, at=now
            )
            return Turn(changes=_payment(view, command))
        case outside.PaymentDeclined(code=code, hard=hard):
            changes = _payment(view, payments.RecordDeclined(code=code, hard=hard, at=now))
            if view.order.cancelling or view.order.closed:
                return Turn(changes=changes)
            return Turn(changes=changes + _after_decline(view, answer, context))
        case _:
            raise _nonsense(key, answer)


def _after_decline(view: OrderView, answer: outside.PaymentDeclined, context: Context) -> Changes:
    note, now = f"payment declined ({answer.code})", context.now
    if answer.hard:
        return _order(
            view, orders.RequestCancellation(reason=CancelReason.DECLINED, note=note, by="payment", at=now)
        )
    until = now + context.policy.payment_answer
    return _order(
        view, orders.PlaceHold(reason=HoldReason.AWAITING_PAYMENT, note=note, by="payment", at=now, until=until)
    )


def _begin_capture(view: OrderView, key: RunKey, context: Context) -> Turn:
    identity = processes.fulfillment_id(key.order_id, key.part)
    already = view.payment.open
    amount = already.amount if already and already.amount else parcel_value(view, key.part)
    command = payments.StartCapture(
        fulfillment_id=identity, amount=amount, allowance=value_handed_over(view), at=context.now
    )
    changes = _payment(view, command)
    request = outside.CapturePayment(
        key=f"{identity}:capture:{key.ordinal}", authorization=view.payment.reference or "", amount=amount
    )
    return Turn(changes=changes, request=request, inquire=not changes)


def _conclude_capture(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    identity, now = processes.fulfillment_id(key.order_id, key.part), context.now
    match answer:
        case outside.PaymentCaptured(reference=reference, amount=amount):
            done = payments.RecordCaptured(fulfillment_id=identity, reference=reference, amount=amount, at=now)
            return Turn(changes=_payment(view, done))
        case outside.Refused(code=code):
            refused = payments.RecordCaptureRefused(fulfillment_id=identity, code=code, at=now)
            hold = _hold(view, HoldReason.AWAITING_PAYMENT, f"capture refused ({code})", "payment", context)
            return Turn(changes=_payment(view, refused) + hold)
        case _:
            raise _nonsense(key, answer)


def _begin_void(view: OrderView, key: RunKey, context: Context) -> Turn:
    changes = _payment(view, payments.StartVoid(order_id=key.order_id, at=context.now))
    request = outside.VoidPayment(
        key=f"{key.order_id}:void:{key.ordinal}", authorization=view.payment.reference or ""
    )
    return Turn(changes=changes, request=request, inquire=not changes)


def _conclude_void(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    match answer:
        case outside.PaymentVoided(reference=reference):
            return Turn(changes=_payment(view, payments.RecordVoided(reference=reference, at=context.now)))
        case outside.Refused(code=code):
            return Turn(changes=_payment(view, payments.RecordVoidRefused(code=code, at=context.now)))
        case _:
            raise _nonsense(key, answer)


# --- planning, stock ---


def _begin_allocate(view: OrderView, key: RunKey, context: Context) -> Turn:
    placed, order = _placed(view), view.order
    demand = order.to_plan()
    warehouses = routing.ranked(context.warehouses, placed.ship_to.country)
    available = {
        (warehouse.id, sku): context.stock[processes.stock_stream(warehouse.id, sku)].available_to(key.order_id)
        for warehouse in warehouses
        for sku in {units.sku for units in demand}
    }
    plan = routing.plan(demand, available, warehouses, placed.policy)
    if not plan.parcels and order.plans and plan.backorders == order.backorders:
        return _wait_for_stock(view, context)
    number = max(view.fulfillments, default=0)
    assignments = tuple(
        orders.Assignment(
            fulfillment_id=processes.fulfillment_id(key.order_id, number + place), warehouse=warehouse, units=units
        )
        for place, (warehouse, units) in enumerate(plan.parcels, start=1)
    )
    command = orders.PlanFulfillment(
        assignments=assignments, backorders=plan.backorders, missing=plan.missing, at=context.now
    )
    changes = _order(view, command)
    for assignment in assignments:
        changes += _create_parcel(view, assignment, context)
    return Turn(changes=changes + _queue_up(view, plan.backorders, context))


def _wait_for_stock(view: OrderView, context: Context) -> Turn:
    if context.now < _placed(view).placed_at + context.policy.backorder_wait:
        return Turn(again_after=context.policy.backorder_recheck)
    command = orders.RequestCancellation(
        reason=CancelReason.INVENTORY,
        note="out of stock for too long",
        by="backorder",
        at=context.now,
        handed_over=view.handed_over(),
    )
    return Turn(changes=_order(view, command))


def _create_parcel(view: OrderView, assignment: orders.Assignment, context: Context) -> Changes:
    number = int(assignment.fulfillment_id.rpartition("+")[2])
    create = fulfillments.Create(
        fulfillment_id=assignment.fulfillment_id,
        order_id=view.order_id,
        warehouse=assignment.warehouse,
        units=assignment.units,
        at=context.now,
    )
    changes = _fulfillment(view, number, create)
    for sku, quantity in sorted(_by_sku(assignment.units).items()):
        allocate = stocks.Allocate(
            fulfillment_id=assignment.fulfillment_id, order_id=view.order_id, quantity=quantity
        )
        changes += _stock(context, processes.stock_stream(assignment.warehouse, sku), allocate)
    return changes


def _queue_up(view: OrderView, backorders: Sequence[orders.Backorder], context: Context) -> Changes:
    """Enter, change or leave the queues, so that they say what the plan says."""
    waiting = {processes.stock_stream(b.warehouse, b.units.sku): 0 for b in view.order.backorders}
    for backorder in backorders:
        stream = processes.stock_stream(backorder.warehouse, backorder.units.sku)
        waiting[stream] = waiting.get(stream, 0) + backorder.units.quantity
    changes: Changes = ()
    for stream, quantity in sorted(waiting.items()):
        changes += _stock(context, stream, stocks.Backorder(order_id=view.order_id, quantity=quantity))
    return changes


def _by_sku(units: Sequence[Units]) -> dict[str, int]:
    total: dict[str, int] = {}
    for some in units:
        total[some.sku] = total.get(some.sku, 0) + some.quantity
    return total


# --- parcels ---


def _begin_label(view: OrderView, key: RunKey, context: Context) -> Turn:
    created = view.fulfillments[key.part].created
    changes = _fulfillment(view, key.part, fulfillments.StartLabel(at=context.now))
    identity = processes.fulfillment_id(key.order_id, key.part)
    request = outside.BuyLabel(
        key=f"{identity}:label:{key.ordinal}",
        fulfillment_id=identity,
        warehouse=created.warehouse if created else "",
        ship_to=_placed(view).ship_to,
        units=sum(units.quantity for units in created.units) if created else 0,
    )
    return Turn(changes=changes, request=request, inquire=not changes)


def _conclude_label(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    match answer:
        case outside.LabelBought():
            bought = fulfillments.RecordLabel(
                tracking=answer.tracking, carrier=answer.carrier, cost=answer.cost, at=context.now
            )
            return Turn(changes=_fulfillment(view, key.part, bought))
        case outside.Refused(code=code):
            refused = fulfillments.RecordLabelRefused(code=code, at=context.now)
            hold = _hold(view, HoldReason.INCORRECT_ADDRESS, f"label refused ({code})", "carrier", context)
            return Turn(changes=_fulfillment(view, key.part, refused) + hold)
        case _:
            raise _nonsense(key, answer)


def _hold(view: OrderView, reason: HoldReason, note: str, by: str, context: Context) -> Changes:
    if view.order.cancelling or view.order.closed:
        return ()
    return _order(view, orders.PlaceHold(reason=reason, note=note, by=by, at=context.now))


def _begin_hand_over(view: OrderView, key: RunKey, context: Context) -> Turn:
    changes = _fulfillment(view, key.part, fulfillments.StartHandOver(at=context.now))
    identity = processes.fulfillment_id(key.order_id, key.part)
    request = outside.HandOverParcel(
        key=f"{identity}:scan:{key.ordinal}", tracking=view.fulfillments[key.part].tracking or ""
    )
    return Turn(changes=changes, request=request, inquire=not changes)


def _conclude_hand_over(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    identity = processes.fulfillment_id(key.order_id, key.part)
    match answer:
        case outside.ParcelAccepted(scan_id=scan_id):
            accepted = fulfillments.RecordHandOver(scan_id=scan_id, at=context.now)
            changes = _fulfillment(view, key.part, accepted)
            if changes:
                for stream in sorted(_parcel_stock(view, key.part)):
                    changes += _stock(context, stream, stocks.ConfirmShipped(fulfillment_id=identity))
            return Turn(changes=changes)
        case outside.Refused(code=code):
            refused = fulfillments.RecordHandOverRefused(code=code, at=context.now)
            hold = _hold(view, HoldReason.OTHER, f"hand-over refused ({code})", "carrier", context)
            return Turn(changes=_fulfillment(view, key.part, refused) + hold)
        case _:
            raise _nonsense(key, answer)


TRACKING_INTERVALS = (timedelta(milliseconds=200), timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1))


def _begin_deliver(view: OrderView, key: RunKey, context: Context) -> Turn:
    return Turn(request=outside.TrackParcel(tracking=view.fulfillments[key.part].tracking or ""))


def _conclude_deliver(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    if not isinstance(answer, outside.ParcelStatus):
        raise _nonsense(key, answer)
    if answer.status == "delivered":
        return Turn(changes=_fulfillment(view, key.part, fulfillments.RecordDelivered(at=answer.at)))
    return Turn(again_after=tracking_interval(context.now - answer.at))


def tracking_interval(under_way: timedelta) -> timedelta:
    """How long to wait before asking again: the longer a parcel travels, the more seldom."""
    for interval in TRACKING_INTERVALS:
        if under_way < interval * 20:
            return interval
    return TRACKING_INTERVALS[-1]


def _begin_refund_label(view: OrderView, key: RunKey, context: Context) -> Turn:
    changes = _fulfillment(view, key.part, fulfillments.StartLabelRefund(at=context.now))
    identity = processes.fulfillment_id(key.order_id, key.part)
    tracking = view.fulfillments[key.part].tracking or ""
    request = outside.RefundLabel(key=f"{identity}:label-refund", tracking=tracking)
    return Turn(changes=changes, request=request, inquire=not changes)


def _conclude_refund_label(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    match answer:
        case outside.LabelRefunded():
            command = fulfillments.RecordLabelRefund(at=context.now)
        case outside.Refused(code=code):
            command = fulfillments.RecordLabelRefund(at=context.now, refused=code)
        case _:
            raise _nonsense(key, answer)
    return Turn(changes=_fulfillment(view, key.part, command))


# --- letters ---


def _begin_notify(view: OrderView, key: RunKey, context: Context) -> Turn:
    match key.ordinal:
        case Template.SHIPPED:
            template = "parcel_shipped"
            tracking = view.fulfillments[key.part].tracking or ""
            facts: tuple[tuple[str, str], ...] = (("tracking", tracking),)
        case Template.CANCELLED:
            template, facts = "order_cancelled", (("reason", str(view.order.cancel_reason)),)
        case _:
            template, facts = "payment_declined", ()
    request = outside.NotifyCustomer(
        key=f"{key.order_id}:notify:{key.part}:{key.ordinal}",
        order_id=key.order_id,
        customer_id=_placed(view).customer_id,
        template=template,
        facts=facts,
    )
    return Turn(request=request)


def _conclude_notify(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    match answer:
        case outside.CustomerNotified(message_id=message_id):
            detail = message_id
        case outside.Refused(code=code):
            detail = f"refused ({code})"
        case _:
            raise _nonsense(key, answer)
    done = StepSucceeded(step=key.step, part=key.part, ordinal=key.ordinal, detail=detail, at=context.now)
    return Turn(changes=((processes.process_stream(key.order_id), (done,)),))


# --- ends ---


def _begin_cancel(view: OrderView, key: RunKey, context: Context) -> Turn:
    handed_over = view.handed_over()
    changes = _order(view, orders.CancelOpenLines(handed_over=handed_over, at=context.now))
    for number, parcel in sorted(view.fulfillments.items()):
        if parcel.created is None or parcel.stood_down or parcel.past_pivot():
            continue
        changes += _fulfillment(view, number, fulfillments.StandDown(reason="cancelled", at=context.now))
        for stream in sorted(_parcel_stock(view, number)):
            changes += _stock(context, stream, stocks.Release(fulfillment_id=parcel.created.fulfillment_id))
    return Turn(changes=changes + _queue_up(view, (), context))


def _begin_expire(view: OrderView, key: RunKey, context: Context) -> Turn:
    held = [reason for reason, hold in view.order.holds.items() if hold.ordinal == key.ordinal]
    if not held:
        return Turn()
    reason = CancelReason.DECLINED if held[0] is HoldReason.AWAITING_PAYMENT else CancelReason.EXPIRED
    command = orders.RequestCancellation(
        reason=reason,
        note=f"nobody released the hold {held[0]}",
        by="timer",
        at=context.now,
        handed_over=view.handed_over(),
    )
    return Turn(changes=_order(view, command))


def _begin_close(view: OrderView, key: RunKey, context: Context) -> Turn:
    return Turn(changes=_order(view, orders.CloseOrder(at=context.now)))


_BEGIN: Mapping[Step, Callable[[OrderView, RunKey, Context], Turn]] = {
    Step.RISK: _begin_risk,
    Step.AUTHORIZE: _begin_authorize,
    Step.ALLOCATE: _begin_allocate,
    Step.LABEL: _begin_label,
    Step.HAND_OVER: _begin_hand_over,
    Step.CAPTURE: _begin_capture,
    Step.DELIVER: _begin_deliver,
    Step.NOTIFY: _begin_notify,
    Step.CANCEL: _begin_cancel,
    Step.VOID: _begin_void,
    Step.REFUND_LABEL: _begin_refund_label,
    Step.EXPIRE: _begin_expire,
    Step.CLOSE: _begin_close,
}

_CONCLUDE: Mapping[Step, Callable[[OrderView, RunKey, outside.Answer, Context], Turn]] = {
    Step.RISK: _conclude_risk,
    Step.AUTHORIZE: _conclude_authorize,
    Step.LABEL: _conclude_label,
    Step.HAND_OVER: _conclude_hand_over,
    Step.CAPTURE: _conclude_capture,
    Step.DELIVER: _conclude_deliver,
    Step.NOTIFY: _conclude_notify,
    Step.VOID: _conclude_void,
    Step.REFUND_LABEL: _conclude_refund_label,
}
