"""The process manager: from all that happened to an order, what should be done next.

`react(view)` is level-triggered: it looks at the whole order and names every piece of work that should exist now. Whoever appends
events computes it before and after; what is new becomes rows of the work list, what is no longer wanted is dropped, in the
append's own transaction. So work cannot be forgotten by a lost message or a crash, a late success after a cancellation starts its
own compensation (an authorized payment of a cancelled order wants a void), and the list can be rebuilt from the events.

Rules (the order of early steps: risk is cheap, an authorization is undone by a void, an allocation is undone for free):

- an operation whose intent is recorded is wanted until its result is known, whatever else happened;
- a hold, or a payment whose outcome is unknown, stops everything before the hand-over, nothing after it;
- a cancellation waits until no operation is open, then stands down what the carrier does not have;
- one payment operation at a time;
- a dead run stops its order: nothing new begins until it is tried again or its matter is settled, except for the way out
  (a cancellation and its compensations). What the outside was asked for goes on, and a parcel that is under way is followed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.fulfillment import Fulfillment
from domain.order import HoldReason
from domain.order_view import (
    OrderStreamEvent,
    OrderView,
    Place,
    Process,
    evolve_process,
    extend,
    fulfillment_id,
    fulfillment_stream,
    order_stream,
    payment_stream,
    process_stream,
    stock_stream,
)
from domain.process_events import (
    ProcessEvent,
    StepDiscarded,
    StepFailed,
    StepRestored,
    StepRetried,
    StepSucceeded,
)
from domain.work import RunKey, Step, Want

__all__ = [
    "OrderStreamEvent",
    "OrderView",
    "Policy",
    "Process",
    "ProcessEvent",
    "StepDiscarded",
    "StepFailed",
    "StepRestored",
    "StepRetried",
    "StepSucceeded",
    "Template",
    "awaited",
    "evolve_process",
    "extend",
    "failures",
    "fulfillment_id",
    "fulfillment_stream",
    "is_open",
    "is_stuck",
    "order_stream",
    "payment_stream",
    "process_stream",
    "react",
    "stock_stream",
]


class Template:
    """Ordinals of the `notify` runs; the letter that goes out."""

    SHIPPED = 1
    PAYMENT_DECLINED = 1_000  # plus the number of the authorization
    CANCELLED = 2_000  # plus the number of the cancellation


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Durations of the process's timers.

    `key_window`: how long the gateways are sure to remember an idempotency key. The last tenth of it is a margin for what happens
    between our decision and their clock, so a call is never made, only asked about, once nine tenths have passed. `authorization_life` is
    assumed of an authorization that only a person knows of. `authorization_margin`: how long one must still live at a hand-over.
    """

    backorder_recheck: timedelta = timedelta(hours=1)
    backorder_wait: timedelta = timedelta(days=30)
    payment_answer: timedelta = timedelta(days=3)
    key_window: timedelta = timedelta(hours=24)
    authorization_life: timedelta = timedelta(days=7)
    authorization_margin: timedelta = timedelta(hours=1)

    def may_act_for(self, since: datetime, now: datetime) -> timedelta:
        """So long the gateway is sure to recognize a key that was first used at or after `since`, so a repeat is no second act.

        Not positive: it may have forgotten.
        """
        return self.key_window * 0.9 - (now - since)


def react(view: OrderView, policy: Policy) -> frozenset[Want]:
    """Every piece of work that should exist for this order now."""
    wants = _wants(view, policy)
    dead = failures(view, policy) if view.process.failed else frozenset()
    return wants if not dead else dead | {want for want in wants if _goes_on(view, want.key)}


def failures(view: OrderView, policy: Policy) -> frozenset[Want]:
    """The dead runs that stop this order. A hold does not make them go away; what settles their matter does."""
    places = {place for place in view.process.failed if place[0] is not Step.NOTIFY}
    if not places:
        return frozenset()
    free = replace(view, order=replace(view.order, holds={})) if view.order.holds else view
    wants = _wants(view, policy) | (_wants(free, policy) if free is not view else frozenset())
    return frozenset(want for want in wants if _place(want.key) in places)


def is_stuck(view: OrderView, policy: Policy) -> bool:
    """The order is open and nothing will move it but a person who knows of it from nowhere else; an auditor lists such orders.

    Orders that are held or have a dead letter are on lists of their own; one whose dead letter was discarded is not.
    """
    if view.order.placed is None or view.order.closed or view.order.holds:
        return False
    return all(_place(want.key) in view.process.discarded for want in react(view, policy))


def awaited(view: OrderView) -> tuple[str, ...]:
    """The keys of the operations whose answers are not known yet. A cancellation waits for them."""
    payment = (view.payment.open.key,) if view.payment.open else ()
    return payment + tuple(parcel.open_key for _, parcel in sorted(view.fulfillments.items()) if parcel.open)


_LETS_GO = frozenset({Step.NOTIFY, Step.CANCEL, Step.EXPIRE, Step.VOID, Step.REFUND_LABEL, Step.DELIVER})


def _goes_on(view: OrderView, key: RunKey) -> bool:
    """What a dead run does not stop: letters, the way out (a hold's timer leads there), and what the outside has been asked."""
    return key.step in _LETS_GO or is_open(view, key)


def is_open(view: OrderView, key: RunKey) -> bool:
    """The outside may have been asked by this run: its intent is recorded, its answer is not."""
    if operation := view.payment.open:
        open_run = _want(view, Step(operation.operation), _number(operation.fulfillment_id), operation.ordinal)
        if open_run.key == key:
            return True
    parcel = view.fulfillments.get(key.part)
    if parcel is None or parcel.open is None:
        return False
    return (key.step, key.ordinal) == (Step(parcel.open), parcel.open_ordinal())


def _place(key: RunKey) -> Place:
    return key.step, key.part, key.ordinal


def _wants(view: OrderView, policy: Policy) -> frozenset[Want]:
    if view.order.placed is None:
        return frozenset()
    return frozenset((*_money(view), *_way_to_pivot(view, policy), *_parcels(view), *_letters(view), *_close(view)))


def _want(view: OrderView, step: Step, part: int = 0, ordinal: int = 1, due: datetime | None = None) -> Want:
    return Want(RunKey(view.order_id, step, part, ordinal), due)


def _money(view: OrderView) -> Iterator[Want]:
    """The one payment operation that is open or may start."""
    order, payment = view.order, view.payment
    if payment.open:
        part = _number(payment.open.fulfillment_id)
        yield _want(view, Step(payment.open.operation), part, payment.open.ordinal)
        return
    answer_awaited = order.cancelling or HoldReason.AWAITING_PAYMENT in order.holds
    for number, parcel in sorted(view.fulfillments.items()):
        key = fulfillment_id(view.order_id, number)
        if not parcel.handed_over or key in payment.captured or (key in payment.capture_failed and answer_awaited):
            continue
        yield _want(view, Step.CAPTURE, number, payment.captures.get(key, 0) + 1)
        return
    done = not order.cancelling and not order.to_plan() and not _in_work(view)
    handing_over = any(parcel.open == "hand_over" for parcel in view.fulfillments.values())
    if (done or (payment.lapsed and not handing_over)) and payment.remainder() > 0 and not payment.void_failed:
        yield _want(view, Step.VOID, 0, payment.voids + 1)


def _in_work(view: OrderView) -> bool:
    """A parcel is on its way to the carrier, or handed over and not captured yet."""
    for assignment in view.order.assignments:
        parcel = view.fulfillments.get(_number(assignment.fulfillment_id))
        if parcel is None or assignment.fulfillment_id not in view.payment.captured:
            return True
    return False


def _way_to_pivot(view: OrderView, policy: Policy) -> Iterator[Want]:
    """The cancellation; or the timers of the holds; or the way to a plan."""
    order, payment = view.order, view.payment
    if order.closed:
        return
    if order.cancelling:
        if payment.open is None and not any(f.open for f in view.fulfillments.values()):
            yield _want(view, Step.CANCEL, 0, order.plans + 1)
    elif order.holds:
        yield from _timers(view)
    elif _lacks_money(view):
        if payment.open is None and (payment.remainder() == 0 or payment.void_failed):
            yield _want(view, Step.AUTHORIZE, 0, payment.authorizations + 1)
    elif order.to_plan():
        yield from _way_to_plan(view, policy)


def _timers(view: OrderView) -> Iterator[Want]:
    for hold in view.order.holds.values():
        if hold.until is not None:
            yield _want(view, Step.EXPIRE, 0, hold.ordinal, hold.until)


def _lacks_money(view: OrderView) -> bool:
    """The authorization was given up, and there are parcels to send."""
    return view.payment.lapsed and any(
        not parcel.handed_over and not parcel.stood_down for parcel in view.fulfillments.values()
    )


def _way_to_plan(view: OrderView, policy: Policy) -> Iterator[Want]:
    """Risk, authorization and planning; then, what is backordered is planned again from time to time."""
    order, payment = view.order, view.payment
    if order.risk is None:
        yield _want(view, Step.RISK)
    elif payment.authorized is None:
        if payment.open is None:
            yield _want(view, Step.AUTHORIZE, 0, payment.authorizations + 1)
    elif order.unplanned() or order.planned_at is None:
        yield _want(view, Step.ALLOCATE, 0, order.plans + 1)
    else:
        yield _want(view, Step.ALLOCATE, 0, order.plans + 1, order.planned_at + policy.backorder_recheck)


def _parcels(view: OrderView) -> Iterator[Want]:
    """The one thing that may happen to each fulfillment now."""
    unknown = view.payment.open is not None and view.payment.open.unknown
    blocked = bool(view.order.holds or view.order.cancelling or unknown or _lacks_money(view))
    for number, parcel in view.fulfillments.items():
        if parcel.open:
            yield _want(view, Step(parcel.open), number, parcel.open_ordinal())
        elif parcel.stood_down or parcel.handed_over:
            yield from _after_work(view, number, parcel)
        elif not blocked and parcel.tracking:
            yield _want(view, Step.HAND_OVER, number, parcel.hand_overs + 1)
        elif not blocked:
            yield _want(view, Step.LABEL, number, parcel.labels + 1)


def _after_work(view: OrderView, number: int, parcel: Fulfillment) -> Iterator[Want]:
    """The refund of a label that is not needed any more; the way to the customer."""
    if _owes_label(parcel):
        yield _want(view, Step.REFUND_LABEL, number, parcel.label_refunds + 1)
    if parcel.handed_over and not parcel.delivered:
        yield _want(view, Step.DELIVER, number)


def _letters(view: OrderView) -> Iterator[Want]:
    """What the customer is told."""
    letters = [(number, Template.SHIPPED) for number, parcel in view.fulfillments.items() if parcel.handed_over]
    letters += [(0, Template.CANCELLED + number) for number in range(1, view.order.cancellations + 1)]
    if HoldReason.AWAITING_PAYMENT in view.order.holds:
        letters.append((0, Template.PAYMENT_DECLINED + view.payment.authorizations))
    for part, template in letters:
        key = (Step.NOTIFY, part, template)
        if key not in view.process.done and key not in view.process.failed:
            yield _want(view, Step.NOTIFY, part, template)


def _close(view: OrderView) -> Iterator[Want]:
    """The order can be closed: every unit is delivered or cancelled and no money is held or owed."""
    order, payment = view.order, view.payment
    if order.closed or order.cancelling or order.to_plan() or payment.open:
        return
    parcels = [view.fulfillments.get(_number(a.fulfillment_id)) for a in order.assignments]
    if not all(parcel and parcel.delivered for parcel in parcels):
        return
    no_money_held = payment.remainder() == 0 or payment.void_failed
    if no_money_held and not _in_work(view) and not any(_owes_label(f) for f in view.fulfillments.values()):
        yield _want(view, Step.CLOSE)


def _owes_label(parcel: Fulfillment) -> bool:
    return bool(parcel.stood_down and parcel.tracking and not parcel.label_refund)


def _number(fulfillment: str | None) -> int:
    return int(fulfillment.rpartition("+")[2]) if fulfillment else 0
