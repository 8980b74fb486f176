"""The process manager: what an order wants next, after whatever happened to it."""

from dataclasses import replace

import pytest

from domain import fulfillment as fulfillments
from domain import order as orders
from domain import payment as payments
from domain.order import CancelReason, HoldReason
from domain.process import OrderView, StepFailed, StepRetried, StepSucceeded, Template, extend, is_stuck
from domain.work import RunKey, Step, Want
from tests.domain.examples import CUPS, LATER, NOON, POT, an_order, assigned, eur, units, waiting
from tests.domain.views import (
    APPROVED,
    POLICY,
    authorized,
    captured,
    handed_over,
    having,
    labelled,
    parcel,
    planned,
    wanted,
    wants,
)

HELD = orders.HoldPlaced(reason=HoldReason.OTHER, note="", by="ann", at=NOON)
RELEASED = orders.HoldReleased(reason=HoldReason.OTHER, note="", by="ann", at=LATER)
CANCELLATION = orders.CancellationRequested(reason=CancelReason.CUSTOMER, note="", by="bob", at=NOON)
AUTH_STARTED = payments.AuthorizationStarted(key="o1:auth:1", ordinal=1, amount=eur(4499), at=NOON)
BOTH = (units(CUPS), units(POT))
ONE_PARCEL = planned(authorized(), assigned(1, *BOTH))
TWO_PARCELS = planned(authorized(), assigned(1, units(CUPS)), assigned(2, units(POT)))
LETTER = (Step.NOTIFY, 1, Template.SHIPPED)


def cancelled(view: OrderView, *stood_down: str, at_least: tuple[orders.OrderEvent, ...] = ()) -> OrderView:
    lines = orders.LinesCancelled(units=BOTH, stood_down=stood_down, reason=CancelReason.CUSTOMER, at=NOON)
    view = having(CANCELLATION, lines, *at_least, view=view)
    for identity in stood_down:
        view = parcel(view, int(identity[-1]), fulfillments.StoodDown(reason="cancelled", at=NOON))
    return view


def test_an_order_that_does_not_exist_wants_nothing() -> None:
    assert not wanted(OrderView(order_id="o1"))


def test_a_new_order_wants_its_risk_assessed() -> None:
    assert wanted(having(an_order())) == {(Step.RISK, 0, 1)}


def test_an_approved_order_wants_its_payment_authorized() -> None:
    assert wanted(having(an_order(), APPROVED)) == {(Step.AUTHORIZE, 0, 1)}


def test_a_recorded_intent_is_wanted_until_its_answer_is_known() -> None:
    started = having(an_order(), APPROVED, AUTH_STARTED)
    for whatever in ((), (HELD,), (CANCELLATION,)):
        assert (Step.AUTHORIZE, 0, 1) in wanted(having(*whatever, view=started))


def test_after_a_soft_decline_the_next_authorization_is_wanted() -> None:
    declined = payments.AuthorizationDeclined(key="o1:auth:1", code="no", kind="soft", at=NOON)
    assert wanted(having(an_order(), APPROVED, AUTH_STARTED, declined)) == {(Step.AUTHORIZE, 0, 2)}


def test_an_authorized_order_wants_a_plan() -> None:
    assert wanted(authorized()) == {(Step.ALLOCATE, 0, 1)}


def test_a_backorder_is_planned_again_later() -> None:
    view = planned(authorized(), backorders=(waiting(units(CUPS)), waiting(units(POT))))
    due = NOON + POLICY.backorder_recheck
    assert wants(view) == {Want(RunKey("o1", Step.ALLOCATE, 0, 2), due)}


def test_a_backorder_is_planned_again_at_once_when_a_hold_ends() -> None:
    view = planned(authorized(), backorders=(waiting(units(CUPS)), waiting(units(POT))))
    assert wants(having(HELD, RELEASED, view=view)) == {Want(RunKey("o1", Step.ALLOCATE, 0, 2), None)}


@pytest.mark.parametrize("view", [having(an_order()), having(an_order(), APPROVED), authorized(), ONE_PARCEL])
def test_a_hold_stops_everything_before_the_hand_over(view: OrderView) -> None:
    assert not wanted(having(HELD, view=view))


def test_a_hold_ends_in_a_timer_if_it_has_an_end() -> None:
    view = having(an_order(), replace(HELD, until=LATER))
    assert wants(view) == {Want(RunKey("o1", Step.EXPIRE, 0, 1), LATER)}


def test_a_hold_stops_nothing_after_the_hand_over() -> None:
    view = having(HELD, view=handed_over(ONE_PARCEL))
    assert wanted(view) == {(Step.CAPTURE, 1, 1), (Step.DELIVER, 1, 1), LETTER}


def test_a_parcel_wants_a_label_and_then_the_carrier() -> None:
    assert wanted(ONE_PARCEL) == {(Step.LABEL, 1, 1)}
    assert wanted(labelled(ONE_PARCEL)) == {(Step.HAND_OVER, 1, 1)}


def test_nothing_is_picked_while_the_outcome_of_a_payment_is_unknown() -> None:
    started = payments.CaptureStarted(key="o1+1:capture:1", ordinal=1, fulfillment_id="o1+1", amount=eur(1499), at=NOON)
    unknown = payments.OutcomeUnknown(key="o1+1:capture:1", operation="capture", reason="", at=NOON)
    view = having(started, unknown, view=handed_over(TWO_PARCELS))
    assert wanted(view) == {(Step.CAPTURE, 1, 1), (Step.DELIVER, 1, 1), LETTER}


def test_parcels_are_captured_one_after_the_other() -> None:
    view = handed_over(handed_over(TWO_PARCELS, 1), 2)
    assert {key for key in wanted(view) if key[0] is Step.CAPTURE} == {(Step.CAPTURE, 1, 1)}
    view = captured(view, 1499)
    assert {key for key in wanted(view) if key[0] is Step.CAPTURE} == {(Step.CAPTURE, 2, 1)}


def refused_capture() -> OrderView:
    started = payments.CaptureStarted(key="o1+1:capture:1", ordinal=1, fulfillment_id="o1+1", amount=eur(1499), at=NOON)
    failed = payments.CaptureFailed(key="o1+1:capture:1", fulfillment_id="o1+1", code="no", at=NOON)
    return having(started, failed, view=handed_over(TWO_PARCELS))


@pytest.mark.parametrize("reason", [HoldReason.AWAITING_PAYMENT, HoldReason.OTHER])
def test_a_refused_capture_waits_for_the_payment_and_for_no_other_hold(reason: HoldReason) -> None:
    view = having(replace(HELD, reason=reason), view=refused_capture())
    assert ((Step.CAPTURE, 1, 2) in wanted(view)) == (reason is HoldReason.OTHER)


def test_a_refused_capture_does_not_go_round_in_circles_during_a_cancellation() -> None:
    view = having(CANCELLATION, view=refused_capture())
    assert wanted(view) == {(Step.CANCEL, 0, 2), (Step.DELIVER, 1, 1), LETTER}


def test_a_cancellation_stops_the_way_to_the_pivot() -> None:
    assert wanted(having(an_order(), CANCELLATION)) == {(Step.CANCEL, 0, 1)}
    assert wanted(having(CANCELLATION, view=labelled(ONE_PARCEL))) == {(Step.CANCEL, 0, 2)}


def test_a_cancellation_waits_for_the_answer_of_the_carrier() -> None:
    scanning = fulfillments.HandOverStarted(key="o1+1:scan:1", ordinal=1, at=NOON)
    view = having(CANCELLATION, view=parcel(labelled(ONE_PARCEL), 1, scanning))
    assert wanted(view) == {(Step.HAND_OVER, 1, 1)}


def test_money_that_is_authorized_after_the_cancellation_is_voided() -> None:
    started = cancelled(having(an_order(), APPROVED, AUTH_STARTED))
    late = payments.Authorized(key="o1:auth:1", reference="r1", amount=eur(4499), expires_at=LATER, at=NOON)
    assert (Step.VOID, 0, 1) in wanted(having(late, view=started))


def test_an_order_that_was_cancelled_before_its_assessment_is_not_assessed() -> None:
    assert wanted(cancelled(having(an_order()))) == {(Step.CLOSE, 0, 1), (Step.NOTIFY, 0, Template.CANCELLED + 1)}


def test_the_label_of_a_cancelled_parcel_is_refunded_before_the_close() -> None:
    view = cancelled(labelled(ONE_PARCEL), "o1+1")
    assert wanted(view) == {(Step.REFUND_LABEL, 1, 1), (Step.VOID, 0, 1), (Step.NOTIFY, 0, Template.CANCELLED + 1)}


def test_what_is_left_of_the_money_is_voided_after_the_last_capture() -> None:
    lines = orders.LinesCancelled(units=(units(POT),), stood_down=("o1+2",), reason=CancelReason.CUSTOMER, at=NOON)
    view = having(CANCELLATION, lines, view=handed_over(TWO_PARCELS))
    view = parcel(view, 2, fulfillments.StoodDown(reason="cancelled", at=NOON))
    assert (Step.VOID, 0, 1) not in wanted(view)
    assert (Step.VOID, 0, 1) in wanted(captured(view, 1499))


def test_a_refused_void_is_left_to_expire() -> None:
    view = cancelled(authorized())
    started = payments.VoidStarted(key="o1:void:1", ordinal=1, at=NOON)
    failed = payments.VoidFailed(key="o1:void:1", code="no", at=NOON)
    assert wanted(having(started, failed, view=view)) == {(Step.CLOSE, 0, 1), (Step.NOTIFY, 0, Template.CANCELLED + 1)}


def test_an_order_is_closed_when_all_is_delivered_and_paid() -> None:
    view = parcel(handed_over(ONE_PARCEL), 1, fulfillments.Delivered(at=LATER))
    assert (Step.CLOSE, 0, 1) not in wanted(view)
    assert (Step.CLOSE, 0, 1) in wanted(captured(view, 4499))


def test_an_order_is_not_closed_while_money_is_held() -> None:
    view = captured(parcel(handed_over(ONE_PARCEL), 1, fulfillments.Delivered(at=LATER)), 4000)
    assert (Step.CLOSE, 0, 1) not in wanted(view)
    assert (Step.VOID, 0, 1) in wanted(view)


def test_a_closed_order_wants_no_more_than_its_letters() -> None:
    view = captured(parcel(handed_over(ONE_PARCEL), 1, fulfillments.Delivered(at=LATER)), 4499)
    view = having(orders.OrderClosed(outcome="delivered", at=LATER), view=view)
    assert wanted(view) == {LETTER}
    sent = StepSucceeded(step=Step.NOTIFY, part=1, ordinal=Template.SHIPPED, detail="m1", at=LATER)
    assert not wanted(having(sent, view=view))


def test_each_cancellation_has_a_letter_of_its_own() -> None:
    given_up = orders.LinesCancelled(units=(units(POT),), stood_down=(), reason=CancelReason.INVENTORY, at=NOON)
    sent = StepSucceeded(step=Step.NOTIFY, part=0, ordinal=Template.CANCELLED + 1, detail="m1", at=NOON)
    view = cancelled(having(an_order(), given_up, sent))
    assert (Step.NOTIFY, 0, Template.CANCELLED + 2) in wanted(view)


def test_a_declined_customer_is_told_while_the_order_waits_for_the_payment() -> None:
    view = having(an_order(), APPROVED, AUTH_STARTED)
    declined = payments.AuthorizationDeclined(key="o1:auth:1", code="no", kind="soft", at=NOON)
    view = having(declined, replace(HELD, reason=HoldReason.AWAITING_PAYMENT), view=view)
    assert wanted(view) == {(Step.NOTIFY, 0, Template.PAYMENT_DECLINED + 1)}


def test_a_letter_that_cannot_be_sent_holds_nobody_up_and_can_be_retried() -> None:
    failed = StepFailed(step=Step.NOTIFY, part=1, ordinal=Template.SHIPPED, attempts=9, reason="no", at=NOON)
    view = having(failed, view=handed_over(ONE_PARCEL))
    assert LETTER not in wanted(view)
    retried = StepRetried(step=Step.NOTIFY, part=1, ordinal=Template.SHIPPED, by="ann", note="", at=NOON)
    assert LETTER in wanted(having(retried, view=view))


def test_a_dead_letter_stays_wanted() -> None:
    failed = StepFailed(step=Step.LABEL, part=1, ordinal=1, attempts=9, reason="no", at=NOON)
    assert (Step.LABEL, 1, 1) in wanted(having(failed, view=ONE_PARCEL))


def test_an_open_order_that_nobody_moves_is_stuck() -> None:
    lost = replace(ONE_PARCEL, fulfillments={})
    assert is_stuck(lost, POLICY)
    assert not is_stuck(having(HELD, view=ONE_PARCEL), POLICY)
    assert not is_stuck(ONE_PARCEL, POLICY)


def test_a_stream_of_another_kind_is_no_part_of_an_order() -> None:
    with pytest.raises(ValueError, match="not a stream of an order"):
        extend(ONE_PARCEL, "stock-north+cup", [])
