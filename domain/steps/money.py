"""The steps that judge and move money: risk, authorization, capture and void.

Each is `begin` (record the intent, name the request) and `conclude` (record the answer). A begin that finds its intent recorded
already asks for an inquiry instead of a second try. Where nothing is to be paid, nothing is asked: gateways refuse an amount of 0.
"""

from datetime import datetime

from domain import order as orders
from domain import outside
from domain import payment as payments
from domain import process as processes
from domain.order import CancelReason, HoldReason, PlaceHold
from domain.pricing import parcel_value, value_handed_over, value_to_come
from domain.process import OrderView
from domain.steps.turn import Changes, Context, Turn, accepted, ask, held_by, nonsense, on_order, on_payment
from domain.work import RunKey


def begin_risk(view: OrderView, key: RunKey, _context: Context) -> Turn:
    placed = accepted(view)
    request = outside.AssessRisk(
        key=f"{key.order_id}:risk",
        order_id=key.order_id,
        customer_id=placed.customer_id,
        total=placed.total,
        country=placed.ship_to.country,
    )
    return Turn(request=request)


def conclude_risk(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    if not isinstance(answer, outside.RiskVerdict):
        raise nonsense(key, answer)
    command = orders.RecordRisk(decision=answer.decision, score=answer.score, reasons=answer.reasons, at=context.now)
    return Turn(changes=on_order(view, command))


def _since(view: OrderView) -> datetime | None:
    return view.payment.open.started_at if view.payment.open else None


def begin_authorize(view: OrderView, key: RunKey, context: Context) -> Turn:
    placed, already = accepted(view), view.payment.open
    amount = already.amount if already and already.amount else value_to_come(view)
    command = payments.StartAuthorization(order_id=key.order_id, amount=amount, at=context.now)
    if amount.amount == 0:
        free = payments.RecordAuthorized(reference="", amount=amount, expires_at=context.now, at=context.now)
        return Turn(changes=on_payment(view, command, free))
    changes = on_payment(view, command)
    request = outside.AuthorizePayment(
        key=f"{key.order_id}:auth:{key.ordinal}",
        order_id=key.order_id,
        amount=amount,
        token=placed.payment_token,
    )
    return ask(changes, request, _since(view), context)


def conclude_authorize(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    now = context.now
    match answer:
        case outside.PaymentAuthorized():
            command = payments.RecordAuthorized(
                reference=answer.reference, amount=answer.amount, expires_at=answer.expires_at, at=now
            )
            return Turn(changes=on_payment(view, command))
        case outside.PaymentDeclined(code=code, hard=hard):
            changes = on_payment(view, payments.RecordDeclined(code=code, hard=hard, at=now))
            if not changes or view.order.cancelling or view.order.closed:
                return Turn(changes=changes)
            return Turn(changes=changes + _after_decline(view, answer, context))
        case _:
            raise nonsense(key, answer)


def _after_decline(view: OrderView, answer: outside.PaymentDeclined, context: Context) -> Changes:
    note, now = f"payment declined ({answer.code})", context.now
    if answer.hard:
        return on_order(view, orders.RequestCancellation(reason=CancelReason.DECLINED, note=note, by="payment", at=now))
    until = now + context.policy.payment_answer
    return on_order(
        view, orders.PlaceHold(reason=HoldReason.AWAITING_PAYMENT, note=note, by="payment", at=now, until=until)
    )


def expires_too_soon(view: OrderView, context: Context) -> bool:
    """The authorization will not live long enough to be captured after a hand-over now. A short life has a short margin."""
    payment = view.payment
    if payment.remainder() <= 0 or payment.expires_at is None or payment.authorized_at is None:
        return False
    margin = min(context.policy.authorization_margin, (payment.expires_at - payment.authorized_at) / 10)
    return context.now >= payment.expires_at - margin


def begin_capture(view: OrderView, key: RunKey, context: Context) -> Turn:
    identity = processes.fulfillment_id(key.order_id, key.part)
    already = view.payment.open
    amount = already.amount if already and already.amount else parcel_value(view, key.part)
    command = payments.StartCapture(
        fulfillment_id=identity, amount=amount, allowance=value_handed_over(view), at=context.now
    )
    if amount.amount == 0:
        free = payments.RecordCaptured(fulfillment_id=identity, reference="", amount=amount, at=context.now)
        return Turn(changes=on_payment(view, command, free))
    changes = on_payment(view, command)
    request = outside.CapturePayment(
        key=f"{identity}:capture:{key.ordinal}", authorization=view.payment.reference or "", amount=amount
    )
    return ask(changes, request, _since(view), context)


def conclude_capture(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    identity, now = processes.fulfillment_id(key.order_id, key.part), context.now
    match answer:
        case outside.PaymentCaptured(reference=reference, amount=amount):
            done = payments.RecordCaptured(fulfillment_id=identity, reference=reference, amount=amount, at=now)
            return Turn(changes=on_payment(view, done))
        case outside.Refused(code=code):
            refused = payments.RecordCaptureRefused(fulfillment_id=identity, code=code, at=now)
            note = f"capture refused ({code}){_too_late(view, now)}"
            hold = PlaceHold(reason=HoldReason.AWAITING_PAYMENT, note=note, by="payment", at=now)
            return Turn(changes=held_by(view, on_payment(view, refused), hold))
        case _:
            raise nonsense(key, answer)


def _too_late(view: OrderView, now: datetime) -> str:
    """What the person who looks at a refused capture must know: a further try at a dead authorization is refused as well."""
    ended = view.payment.expires_at
    if ended is None or now < ended:
        return ""
    return f": the authorization ended at {ended:%Y-%m-%d %H:%M} UTC, the goods are handed over; collect the money in another way"


def begin_void(view: OrderView, key: RunKey, context: Context) -> Turn:
    changes = on_payment(view, payments.StartVoid(order_id=key.order_id, at=context.now))
    request = outside.VoidPayment(key=f"{key.order_id}:void:{key.ordinal}", authorization=view.payment.reference or "")
    return ask(changes, request, _since(view), context)


def conclude_void(view: OrderView, key: RunKey, answer: outside.Answer, context: Context) -> Turn:
    match answer:
        case outside.PaymentVoided(reference=reference):
            return Turn(changes=on_payment(view, payments.RecordVoided(reference=reference, at=context.now)))
        case outside.Refused(code=code):
            return Turn(changes=on_payment(view, payments.RecordVoidRefused(code=code, at=context.now)))
        case _:
            raise nonsense(key, answer)
