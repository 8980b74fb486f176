"""The process manager: from all that happened to an order, what should be done next.

`react(view)` is level-triggered: it looks at the whole order and names every piece of work that should exist now. Whoever appends
events computes it before and after; what is new becomes rows of the work list, what is no longer wanted is dropped, in the
append's own transaction. So work cannot be forgotten by a lost message or a crash, a late success after a cancellation starts its
own compensation (an authorized payment of a cancelled order wants a void), and the list can be rebuilt from the events.

Rules (the order of early steps: risk is cheap, an authorization is undone by a void, an allocation is undone for free):

- an operation whose intent is recorded is wanted until its result is known, whatever else happened;
- a hold, or a payment whose outcome is unknown, stops everything before the hand-over, nothing after it;
- a cancellation waits until no operation is open, then stands down what the carrier does not have;
- one payment operation at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never

from domain import fulfillment as fulfillments
from domain import order as orders
from domain import payment as payments
from domain.fulfillment import Fulfillment
from domain.order import HoldReason, Order
from domain.payment import Payment
from domain.work import RunKey, Step, Want

# --- the process's own events: results of steps that no aggregate records ---


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSucceeded:
    step: Step
    part: int
    ordinal: int
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed:
    """The run is a dead letter: a person decides. It stays wanted, so a retry only makes it due again."""

    step: Step
    part: int
    ordinal: int
    attempts: int
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRetried:
    step: Step
    part: int
    ordinal: int
    by: str
    note: str
    at: datetime


ProcessEvent = StepSucceeded | StepFailed | StepRetried
OrderStreamEvent = orders.OrderEvent | payments.PaymentEvent | fulfillments.FulfillmentEvent | ProcessEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """`done` and `failed` hold (step, part, ordinal)."""

    done: frozenset[tuple[Step, int, int]] = frozenset()
    failed: Mapping[tuple[Step, int, int], str] = field(default_factory=dict)


class Template:
    """Ordinals of the `notify` runs; the letter that goes out."""

    SHIPPED = 1
    PAYMENT_DECLINED = 1_000  # plus the number of the authorization
    CANCELLED = 2_000  # plus the number of the cancellation


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Durations of the process's timers."""

    backorder_recheck: timedelta = timedelta(hours=1)
    backorder_wait: timedelta = timedelta(days=30)
    payment_answer: timedelta = timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """All streams of one order, folded. `versions` holds the version of each stream as seen, 0 for none."""

    order_id: str
    order: Order = orders.DECIDER.initial
    payment: Payment = payments.DECIDER.initial
    process: Process = Process()
    fulfillments: Mapping[int, Fulfillment] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)

    def handed_over(self) -> frozenset[str]:
        """Ids of the fulfillments that the carrier has. One that it only may have is waited for, not counted."""
        return frozenset(f.created.fulfillment_id for f in self.fulfillments.values() if f.created and f.handed_over)


def order_stream(order_id: str) -> str:
    """The stream of the order itself."""
    return f"order-{order_id}"


def payment_stream(order_id: str) -> str:
    """The stream of the order's payment."""
    return f"payment-{order_id}"


def process_stream(order_id: str) -> str:
    """The stream of the order's process."""
    return f"process-{order_id}"


def fulfillment_id(order_id: str, number: int) -> str:
    """The id of an order's nth fulfillment."""
    return f"{order_id}+{number}"


def fulfillment_stream(order_id: str, number: int) -> str:
    """The stream of an order's nth fulfillment."""
    return f"fulfillment-{order_id}+{number}"


def stock_stream(warehouse: str, sku: str) -> str:
    """The stream of a SKU's stock at a warehouse."""
    return f"stock-{warehouse}+{sku}"


def extend(view: OrderView, stream: str, events: Sequence[OrderStreamEvent]) -> OrderView:
    """The view after `events` were appended to one of its streams."""
    versions = {**view.versions, stream: view.versions.get(stream, 0) + len(events)}
    category, _, identity = stream.partition("-")
    match category:
        case "order":
            return replace(view, order=orders.DECIDER.fold(events, view.order), versions=versions)  # type: ignore[arg-type]
        case "payment":
            return replace(view, payment=payments.DECIDER.fold(events, view.payment), versions=versions)  # type: ignore[arg-type]
        case "process":
            return replace(view, process=_fold_process(view.process, events), versions=versions)
        case "fulfillment":
            number = int(identity.rpartition("+")[2])
            before = view.fulfillments.get(number, fulfillments.DECIDER.initial)
            after = fulfillments.DECIDER.fold(events, before)  # type: ignore[arg-type]
            return replace(view, fulfillments={**view.fulfillments, number: after}, versions=versions)
        case _:
            raise ValueError(f"{stream} is not a stream of an order")


def _fold_process(process: Process, events: Sequence[OrderStreamEvent]) -> Process:
    for event in events:
        process = evolve_process(process, event)  # type: ignore[arg-type]
    return process


def evolve_process(process: Process, event: ProcessEvent) -> Process:
    """The process after one event."""
    key = (event.step, event.part, event.ordinal)
    match event:
        case StepSucceeded():
            return replace(process, done=process.done | {key})
        case StepFailed():
            return replace(process, failed={**process.failed, key: event.reason})
        case StepRetried():
            return replace(process, failed={k: v for k, v in process.failed.items() if k != key})
        case _:
            assert_never(event)


def react(view: OrderView, policy: Policy) -> frozenset[Want]:
    """Every piece of work that should exist for this order now."""
    if view.order.placed is None:
        return frozenset()
    return frozenset((*_money(view), *_way_to_pivot(view, policy), *_parcels(view), *_letters(view), *_close(view)))


def is_stuck(view: OrderView, policy: Policy) -> bool:
    """The order is open and nothing will move it but a person who releases a hold; an auditor lists such orders."""
    return not react(view, policy) and view.order.placed is not None and not view.order.closed and not view.order.holds


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
    if done and payment.remainder() > 0 and not payment.void_failed:
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
        for hold in order.holds.values():
            if hold.until is not None:
                yield _want(view, Step.EXPIRE, 0, hold.ordinal, hold.until)
    elif order.to_plan():
        yield from _way_to_plan(view, policy)


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
    blocked = bool(view.order.holds or view.order.cancelling or unknown)
    for number, parcel in view.fulfillments.items():
        if parcel.open:
            ordinals = {"label": parcel.labels, "hand_over": parcel.hand_overs, "refund_label": 1}
            yield _want(view, Step(parcel.open), number, ordinals[parcel.open])
        elif parcel.stood_down or parcel.handed_over:
            yield from _after_work(view, number, parcel)
        elif not blocked and parcel.tracking:
            yield _want(view, Step.HAND_OVER, number, parcel.hand_overs + 1)
        elif not blocked:
            yield _want(view, Step.LABEL, number, parcel.labels + 1)


def _after_work(view: OrderView, number: int, parcel: Fulfillment) -> Iterator[Want]:
    """The refund of a label that is not needed any more; the way to the customer."""
    if _owes_label(parcel):
        yield _want(view, Step.REFUND_LABEL, number)
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
