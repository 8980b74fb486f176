"""What a person found out about an operation whose outcome nobody knew: it happened, or it did not.

What happened is recorded as if the gateway had answered now. What did not is closed without effect: it may begin again, with the next
ordinal and so under a key that no gateway has seen, or the order may be cancelled. A parcel that is under way can be concluded, too.
"""

from collections.abc import Callable, Mapping

from domain import fulfillment as fulfillments
from domain import outside
from domain import payment as payments
from domain.errors import CommandRefused
from domain.process import OrderView, is_open
from domain.steps import money, parcels
from domain.steps.turn import Context, Turn, accepted, on_fulfillment, on_payment
from domain.values import Money
from domain.work import RunKey, Step

BY_HAND = "by hand"

Answer = Callable[[OrderView, RunKey, str, Context], outside.Answer]
Conclude = Callable[[OrderView, RunKey, outside.Answer, Context], Turn]


def by_hand(view: OrderView, key: RunKey, happened: bool, reference: str, context: Context) -> Turn:  # noqa: FBT001 - the one question
    """The turn of a conclusion; `reference` is what the other side calls its act. Raises `CommandRefused`."""
    if not can_conclude(view, key):
        raise CommandRefused(f"{key}: nothing was asked of the outside that waits for its outcome")
    if happened:
        if not reference.strip() and key.step not in _WITHOUT_REFERENCE:
            raise CommandRefused("what happened has a reference at the other side", field="reference")
        answer, conclude = _HAPPENED[key.step]
        return conclude(view, key, answer(view, key, reference.strip(), context), context)
    if key.step is Step.DELIVER:
        raise CommandRefused("a parcel that did not arrive is still under way; try the run again")
    if is_payment(key.step):
        return Turn(changes=on_payment(view, payments.RecordNotDone(at=context.now)))
    return Turn(changes=on_fulfillment(view, key.part, fulfillments.RecordNotDone(at=context.now)))


def can_conclude(view: OrderView, key: RunKey) -> bool:
    """The outside was asked by this run and its answer is not known; or the carrier has the parcel and it has not arrived."""
    parcel = view.fulfillments.get(key.part)
    under_way = parcel is not None and parcel.handed_over and not parcel.delivered
    return is_open(view, key) or (key.step is Step.DELIVER and under_way)


def is_payment(step: Step) -> bool:
    """The step moves money."""
    return step in (Step.AUTHORIZE, Step.CAPTURE, Step.VOID)


def _authorized(view: OrderView, _key: RunKey, reference: str, context: Context) -> outside.Answer:
    asked = view.payment.open
    since = asked.started_at if asked else context.now
    expires_at = since + context.policy.authorization_life
    return outside.PaymentAuthorized(reference=reference, amount=_amount(view), expires_at=expires_at)


def _captured(view: OrderView, _key: RunKey, reference: str, _context: Context) -> outside.Answer:
    return outside.PaymentCaptured(reference=reference, amount=_amount(view))


def _voided(_view: OrderView, _key: RunKey, reference: str, _context: Context) -> outside.Answer:
    return outside.PaymentVoided(reference=reference)


def _bought(view: OrderView, _key: RunKey, reference: str, _context: Context) -> outside.Answer:
    cost = Money(amount=0, currency=accepted(view).total.currency)
    return outside.LabelBought(tracking=reference, carrier=BY_HAND, cost=cost)


def _accepted(_view: OrderView, _key: RunKey, reference: str, context: Context) -> outside.Answer:
    return outside.ParcelAccepted(scan_id=reference, at=context.now)


def _refunded(view: OrderView, key: RunKey, _reference: str, _context: Context) -> outside.Answer:
    return outside.LabelRefunded(tracking=view.fulfillments[key.part].tracking or "")


def _arrived(_view: OrderView, _key: RunKey, _reference: str, context: Context) -> outside.Answer:
    return outside.ParcelStatus(status="delivered", at=context.now)


def _amount(view: OrderView) -> Money:
    asked = view.payment.open
    return asked.amount if asked and asked.amount else accepted(view).total


_HAPPENED: Mapping[Step, tuple[Answer, Conclude]] = {
    Step.AUTHORIZE: (_authorized, money.conclude_authorize),
    Step.CAPTURE: (_captured, money.conclude_capture),
    Step.VOID: (_voided, money.conclude_void),
    Step.LABEL: (_bought, parcels.conclude_label),
    Step.HAND_OVER: (_accepted, parcels.conclude_hand_over),
    Step.REFUND_LABEL: (_refunded, parcels.conclude_refund_label),
    Step.DELIVER: (_arrived, parcels.conclude_deliver),
}
_WITHOUT_REFERENCE = frozenset({Step.REFUND_LABEL, Step.DELIVER})
