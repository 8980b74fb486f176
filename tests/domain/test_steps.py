"""Steps: what is recorded before the outside is asked, and what its answer leads to."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain import fulfillment as fulfillments
from domain import order as orders
from domain import outside, steps
from domain import process as processes
from domain import stock as stocks
from domain.errors import Poison
from domain.order import CancelReason, HoldReason
from domain.process import OrderView, Template
from domain.routing import Warehouse
from domain.work import Run, RunKey, Step
from tests.domain.examples import CUPS, LATER, NOON, POT, an_order, assigned, eur, units, waiting
from tests.domain.views import APPROVED, authorized, captured, handed_over, having, labelled, planned, wanted

NORTH = Warehouse(id="north", countries=("NO",))
PAYMENT, ORDER = processes.payment_stream("o1"), processes.order_stream("o1")
PARCEL = processes.fulfillment_stream("o1", 1)
CUPS_NORTH, POT_NORTH = processes.stock_stream("north", "cup"), processes.stock_stream("north", "pot")
ONE_PARCEL = planned(authorized(), assigned(1, units(CUPS), units(POT)))
TO_AUTHORIZE = having(an_order(), APPROVED)


def run(step: Step, part: int = 0, ordinal: int = 1) -> Run:
    return Run(RunKey("o1", step, part, ordinal), attempts=1, epoch=1)


def with_stock(cups: stocks.Stock | None = None, pots: stocks.Stock | None = None) -> steps.Context:
    book = steps.StockBook({CUPS_NORTH: (cups or stocks.Stock(), 3), POT_NORTH: (pots or stocks.Stock(), 5)})
    return steps.Context(now=LATER, warehouses=(NORTH,), stock=book)


def allocated(quantity: int) -> stocks.Stock:
    return stocks.Stock(on_hand=9, allocated=quantity, allocations={"o1+1": quantity})


def after(view: OrderView, turn: steps.Turn) -> OrderView:
    for stream, events in turn.changes:
        if not stream.startswith("stock-"):
            view = processes.extend(view, stream, events)  # type: ignore[arg-type]
    return view


def events_of(turn: steps.Turn) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for stream, events in turn.changes:
        names.setdefault(stream, []).extend(type(event).__name__ for event in events)
    return names


def test_the_intent_is_recorded_before_the_gateway_is_asked() -> None:
    turn = steps.begin(TO_AUTHORIZE, run(Step.AUTHORIZE), with_stock())
    assert events_of(turn) == {PAYMENT: ["AuthorizationStarted"]}
    assert turn.request == outside.AuthorizePayment(key="o1:auth:1", order_id="o1", amount=eur(4499), token="tok")
    assert not turn.inquire


def test_who_finds_the_intent_recorded_inquires_first() -> None:
    first = steps.begin(TO_AUTHORIZE, run(Step.AUTHORIZE), with_stock())
    second = steps.begin(after(TO_AUTHORIZE, first), run(Step.AUTHORIZE), with_stock())
    assert not second.changes
    assert second.inquire
    assert second.request == first.request


@pytest.mark.parametrize(("hard", "expected"), [(True, "CancellationRequested"), (False, "HoldPlaced")])
def test_a_decline_cancels_if_hard_and_holds_if_soft(*, hard: bool, expected: str) -> None:
    view = after(TO_AUTHORIZE, steps.begin(TO_AUTHORIZE, run(Step.AUTHORIZE), with_stock()))
    answer = outside.PaymentDeclined(code="no", hard=hard)
    turn = steps.conclude(view, run(Step.AUTHORIZE), answer, with_stock())
    assert events_of(turn) == {PAYMENT: ["AuthorizationDeclined"], ORDER: [expected]}


def test_a_decline_of_an_order_that_is_being_cancelled_changes_nothing_about_it() -> None:
    requested = orders.CancellationRequested(reason=CancelReason.STAFF, note="", by="ann", at=NOON)
    view = after(TO_AUTHORIZE, steps.begin(TO_AUTHORIZE, run(Step.AUTHORIZE), with_stock()))
    turn = steps.conclude(
        having(requested, view=view),
        run(Step.AUTHORIZE),
        outside.PaymentDeclined(code="no", hard=False),
        with_stock(),
    )
    assert events_of(turn) == {PAYMENT: ["AuthorizationDeclined"]}


@pytest.mark.parametrize(
    ("view", "work", "refusal"),
    [
        (TO_AUTHORIZE, run(Step.AUTHORIZE), outside.PaymentDeclined(code="no", hard=False)),
        (ONE_PARCEL, run(Step.LABEL, 1), outside.Refused(code="no")),
        (labelled(ONE_PARCEL), run(Step.HAND_OVER, 1), outside.Refused(code="no")),
        (handed_over(ONE_PARCEL), run(Step.CAPTURE, 1), outside.Refused(code="no")),
    ],
)
def test_a_refusal_that_comes_twice_does_not_put_back_a_released_hold(
    view: OrderView, work: Run, refusal: outside.Answer
) -> None:
    view = after(view, steps.begin(view, work, with_stock()))
    view = after(view, steps.conclude(view, work, refusal, with_stock()))
    (reason,) = view.order.holds
    view = having(orders.HoldReleased(reason=reason, note="", by="ann", at=LATER), view=view)
    assert not steps.conclude(view, work, refusal, with_stock()).changes


@pytest.mark.parametrize(
    ("step", "recorded"), [(Step.AUTHORIZE, True), (Step.RISK, False), (Step.NOTIFY, False), (Step.LABEL, False)]
)
def test_an_unknown_outcome_is_recorded_where_money_is_concerned(step: Step, *, recorded: bool) -> None:
    view = after(TO_AUTHORIZE, steps.begin(TO_AUTHORIZE, run(Step.AUTHORIZE), with_stock()))
    turn = steps.unknown(view, run(step), "timed out", LATER)
    assert events_of(turn) == ({PAYMENT: ["OutcomeUnknown"]} if recorded else {})


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.NOTIFY])
def test_an_answer_that_makes_no_sense_is_poison(step: Step) -> None:
    answer = outside.CustomerNotified(message_id="m1")
    with pytest.raises(Poison, match="no answer"):
        steps.conclude(ONE_PARCEL, run(step, 1), answer, with_stock())


def test_a_letter_is_not_answered_with_a_label() -> None:
    with pytest.raises(Poison, match="no answer"):
        steps.conclude(ONE_PARCEL, run(Step.NOTIFY, 1), outside.LabelRefunded(tracking="T1"), with_stock())


def test_a_plan_creates_the_parcel_and_promises_the_stock() -> None:
    context = with_stock(cups=stocks.Stock(on_hand=3), pots=stocks.Stock(on_hand=1))
    turn = steps.begin(authorized(), run(Step.ALLOCATE), context)
    assert events_of(turn) == {
        ORDER: ["FulfillmentPlanned"],
        PARCEL: ["FulfillmentCreated"],
        CUPS_NORTH: ["StockAllocated"],
        POT_NORTH: ["StockAllocated"],
    }
    assert context.stock[CUPS_NORTH].available() == 0
    assert context.stock.version(CUPS_NORTH) == 4


def test_the_next_order_of_a_batch_sees_what_the_one_before_it_took() -> None:
    context = with_stock(cups=stocks.Stock(on_hand=3), pots=stocks.Stock(on_hand=1))
    steps.begin(authorized(), run(Step.ALLOCATE), context)
    other = replace(authorized(), order_id="o2")
    turn = steps.begin(other, Run(RunKey("o2", Step.ALLOCATE), 1, 1), context)
    assert events_of(turn)[CUPS_NORTH] == ["StockBackordered"]


def test_what_is_missing_waits_in_the_queue() -> None:
    turn = steps.begin(authorized(), run(Step.ALLOCATE), with_stock(cups=stocks.Stock(on_hand=2)))
    assert events_of(turn)[CUPS_NORTH] == ["StockAllocated", "StockBackordered"]
    assert events_of(turn)[POT_NORTH] == ["StockBackordered"]


def waiting_for_all() -> OrderView:
    return planned(authorized(), backorders=(waiting(units(CUPS)), waiting(units(POT))))


def test_who_waits_in_vain_looks_again_later() -> None:
    turn = steps.begin(waiting_for_all(), run(Step.ALLOCATE, 0, 2), with_stock())
    assert turn == steps.Turn(again_after=processes.Policy().backorder_recheck)


def test_who_has_waited_too_long_is_cancelled() -> None:
    context = replace(with_stock(), now=NOON + timedelta(days=31))
    turn = steps.begin(waiting_for_all(), run(Step.ALLOCATE, 0, 2), context)
    assert events_of(turn) == {ORDER: ["CancellationRequested"]}


def test_a_queue_at_a_warehouse_that_is_no_longer_ours_is_left() -> None:
    view = planned(authorized(), backorders=(waiting(units(CUPS), "gone"), waiting(units(POT))))
    gone = processes.stock_stream("gone", "cup")
    assert gone in steps.stock_to_begin(view, RunKey("o1", Step.ALLOCATE, 0, 2), [NORTH])
    queued = stocks.Stock(backordered=3, backorders={"o1": 3})
    book = steps.StockBook({CUPS_NORTH: (stocks.Stock(), 0), POT_NORTH: (stocks.Stock(), 0), gone: (queued, 1)})
    turn = steps.begin(view, run(Step.ALLOCATE, 0, 2), replace(with_stock(), stock=book))
    assert events_of(turn)[gone] == ["BackorderWithdrawn"]


def test_the_hand_over_ships_the_stock_in_the_same_append() -> None:
    view = labelled(ONE_PARCEL)
    view = after(view, steps.begin(view, run(Step.HAND_OVER, 1), with_stock()))
    context = with_stock(allocated(3), allocated(1))
    answer = outside.ParcelAccepted(scan_id="s1", at=LATER)
    turn = steps.conclude(view, run(Step.HAND_OVER, 1), answer, context)
    assert events_of(turn) == {PARCEL: ["HandedOver"], CUPS_NORTH: ["StockShipped"], POT_NORTH: ["StockShipped"]}
    assert steps.stock_to_conclude(view, run(Step.HAND_OVER, 1).key) == {CUPS_NORTH, POT_NORTH}


def test_a_capture_is_asked_again_for_the_amount_of_its_intent() -> None:
    view = handed_over(planned(authorized(), assigned(1, units(CUPS)), assigned(2, units(POT))))
    first = steps.begin(view, run(Step.CAPTURE, 1), with_stock())
    again = steps.begin(handed_over(after(view, first), 2), run(Step.CAPTURE, 1), with_stock())
    assert again.request == first.request
    assert again.inquire


def test_a_parcel_on_its_way_is_asked_for_more_and_more_seldom() -> None:
    waits = [steps.tracking_interval(timedelta(seconds=s)) for s in (-5, 0, 10, 60, 7200, 10**7)]
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]
    status = outside.ParcelStatus(status="in_transit", at=NOON)
    turn = steps.conclude(handed_over(ONE_PARCEL), run(Step.DELIVER, 1), status, with_stock())
    assert turn.again_after
    assert not turn.changes


def test_a_cancellation_stands_down_releases_and_leaves_the_queue_at_once() -> None:
    view = planned(authorized(), assigned(1, units(CUPS)), backorders=(waiting(units(POT)),))
    requested = orders.CancellationRequested(reason=CancelReason.STAFF, note="", by="ann", at=NOON)
    view = having(requested, view=view)
    context = with_stock(allocated(3), stocks.Stock(backordered=1, backorders={"o1": 1}))
    turn = steps.begin(view, run(Step.CANCEL, 0, 2), context)
    assert events_of(turn) == {
        ORDER: ["LinesCancelled"],
        PARCEL: ["StoodDown"],
        CUPS_NORTH: ["AllocationReleased"],
        POT_NORTH: ["BackorderWithdrawn"],
    }
    assert (Step.VOID, 0, 1) in wanted(after(view, turn))


def test_a_cancellation_touches_no_stock_of_what_is_handed_over() -> None:
    view = handed_over(planned(authorized(), assigned(1, units(CUPS)), assigned(2, units(POT))))
    assert steps.stock_to_begin(view, RunKey("o1", Step.CANCEL, 0, 2), [NORTH]) == {POT_NORTH}


def held(reason: HoldReason, view: OrderView) -> OrderView:
    hold = orders.HoldPlaced(reason=reason, note="", by="ann", at=NOON, until=LATER)
    return having(hold, view=view)


@pytest.mark.parametrize(
    ("reason", "cancelled"),
    [(HoldReason.AWAITING_PAYMENT, CancelReason.DECLINED), (HoldReason.OTHER, CancelReason.EXPIRED)],
)
def test_a_hold_that_nobody_releases_ends_in_a_cancellation(reason: HoldReason, cancelled: CancelReason) -> None:
    view = held(reason, authorized())
    assert after(view, steps.begin(view, run(Step.EXPIRE), with_stock())).order.cancelling is cancelled


def test_a_hold_that_holds_nothing_any_more_is_released_by_its_timer() -> None:
    view = held(HoldReason.OTHER, handed_over(ONE_PARCEL))
    turn = steps.begin(view, run(Step.EXPIRE), with_stock())
    assert events_of(turn) == {ORDER: ["HoldReleased"]}
    assert (Step.EXPIRE, 0, 1) not in wanted(after(view, turn))


def test_the_timer_of_a_released_hold_does_nothing() -> None:
    assert steps.begin(authorized(), run(Step.EXPIRE), with_stock()) == steps.Turn()


@pytest.mark.parametrize(
    ("view", "part", "letter", "template"),
    [
        (handed_over(ONE_PARCEL), 1, Template.SHIPPED, "parcel_shipped"),
        (authorized(), 0, Template.CANCELLED + 1, "order_cancelled"),
        (authorized(), 0, Template.PAYMENT_DECLINED + 1, "payment_declined"),
    ],
)
def test_each_letter_has_its_template(view: OrderView, part: int, letter: int, template: str) -> None:
    turn = steps.begin(view, run(Step.NOTIFY, part, letter), with_stock())
    assert isinstance(turn.request, outside.NotifyCustomer)
    assert turn.request.template == template


def test_a_letter_that_is_refused_is_done_with() -> None:
    view = handed_over(ONE_PARCEL)
    turn = steps.conclude(view, run(Step.NOTIFY, 1), outside.Refused(code="no_mail"), with_stock())
    assert (Step.NOTIFY, 1, Template.SHIPPED) not in wanted(after(view, turn))


def test_a_delivered_and_paid_order_is_closed() -> None:
    view = captured(handed_over(ONE_PARCEL), 4499)
    view = processes.extend(view, PARCEL, [fulfillments.Delivered(at=LATER)])
    turn = steps.begin(view, run(Step.CLOSE), with_stock())
    assert events_of(turn) == {ORDER: ["OrderClosed"]}


def test_an_order_that_does_not_exist_is_poison() -> None:
    with pytest.raises(Poison, match="no such order"):
        steps.begin(OrderView(order_id="o1"), run(Step.RISK), with_stock())


def test_a_batch_can_go_back_on_what_it_applied() -> None:
    book = with_stock(cups=stocks.Stock(on_hand=3)).stock
    before = book.entries()
    book.apply(CUPS_NORTH, [stocks.StockAllocated(fulfillment_id="o1+1", order_id="o1", quantity=3)])
    book.go_back(before)
    assert book[CUPS_NORTH].allocated == 0
    assert CUPS_NORTH in book


def test_a_late_authorization_of_a_cancelled_order_is_voided() -> None:
    started = after(TO_AUTHORIZE, steps.begin(TO_AUTHORIZE, run(Step.AUTHORIZE), with_stock()))
    requested = orders.CancellationRequested(reason=CancelReason.CUSTOMER, note="", by="bob", at=NOON)
    view = having(requested, view=started)
    assert wanted(view) == {(Step.AUTHORIZE, 0, 1)}
    answer = outside.PaymentAuthorized(reference="r1", amount=eur(4499), expires_at=LATER)
    view = after(view, steps.conclude(view, run(Step.AUTHORIZE), answer, with_stock()))
    view = after(view, steps.begin(view, run(Step.CANCEL), with_stock()))
    assert (Step.VOID, 0, 1) in wanted(view)
    void = steps.begin(view, run(Step.VOID), with_stock())
    assert void.request == outside.VoidPayment(key="o1:void:1", authorization="r1")
    view = after(view, void)
    view = after(view, steps.conclude(view, run(Step.VOID), outside.PaymentVoided(reference="v1"), with_stock()))
    assert view.payment.voided == eur(4499)
    assert (Step.CLOSE, 0, 1) in wanted(view)
