"""A run that is a dead letter stops its order, and nothing but its order; the way out stays open."""

import pytest

from domain import fulfillment as fulfillments
from domain import order as orders
from domain import payment as payments
from domain.order import CancelReason, HoldReason
from domain.process import (
    OrderView,
    StepDiscarded,
    StepFailed,
    StepRestored,
    StepRetried,
    Template,
    awaited,
    failures,
    is_stuck,
)
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

HELD = orders.HoldPlaced(reason=HoldReason.OTHER, note="", by="ann", at=NOON, until=LATER)
CANCELLATION = orders.CancellationRequested(reason=CancelReason.CUSTOMER, note="", by="bob", at=NOON)
TWO_PARCELS = planned(authorized(), assigned(1, units(CUPS)), assigned(2, units(POT)))
ONE_AND_A_BACKORDER = planned(authorized(), assigned(1, units(CUPS)), backorders=(waiting(units(POT)),))
LABEL = RunKey("o1", Step.LABEL, 1, 1)
LABEL_STARTED = fulfillments.LabelStarted(key="o1+1:label:1", ordinal=1, at=NOON)
CAPTURE_STARTED = payments.CaptureStarted(
    key="o1+1:capture:1", ordinal=1, fulfillment_id="o1+1", amount=eur(1499), at=NOON
)


def failed(view: OrderView, step: Step, part: int = 0, ordinal: int = 1) -> OrderView:
    return having(StepFailed(step=step, part=part, ordinal=ordinal, attempts=8, reason="no", at=NOON), view=view)


def by_hand(view: OrderView, kind: type[StepRetried | StepDiscarded | StepRestored], key: RunKey) -> OrderView:
    return having(kind(step=key.step, part=key.part, ordinal=key.ordinal, by="ann", note="", at=NOON), view=view)


def test_an_order_with_a_dead_run_begins_nothing_new() -> None:
    assert wanted(TWO_PARCELS) == {(Step.LABEL, 1, 1), (Step.LABEL, 2, 1)}
    assert wanted(failed(TWO_PARCELS, Step.LABEL, 1)) == {(Step.LABEL, 1, 1)}


def test_a_backorder_is_not_planned_again_behind_a_dead_run() -> None:
    assert wanted(failed(ONE_AND_A_BACKORDER, Step.LABEL, 1)) == {(Step.LABEL, 1, 1)}


def test_a_parcel_is_not_captured_behind_a_dead_run_but_followed() -> None:
    view = failed(handed_over(TWO_PARCELS), Step.LABEL, 2)
    assert wanted(view) == {(Step.LABEL, 2, 1), (Step.DELIVER, 1, 1), (Step.NOTIFY, 1, Template.SHIPPED)}


def test_what_the_outside_was_asked_goes_on_behind_a_dead_run() -> None:
    asked = parcel(TWO_PARCELS, 2, fulfillments.LabelStarted(key="o1+2:label:1", ordinal=1, at=NOON))
    assert wanted(failed(asked, Step.LABEL, 1)) == {(Step.LABEL, 1, 1), (Step.LABEL, 2, 1)}
    capturing = failed(having(CAPTURE_STARTED, view=handed_over(TWO_PARCELS)), Step.LABEL, 2)
    assert (Step.CAPTURE, 1, 1) in wanted(capturing)


def test_a_retry_sets_the_order_going_again() -> None:
    view = by_hand(failed(TWO_PARCELS, Step.LABEL, 1), StepRetried, LABEL)
    assert wants(view) == wants(TWO_PARCELS)


def test_the_answer_of_a_dead_run_sets_the_order_going_again() -> None:
    view = failed(parcel(TWO_PARCELS, 1, LABEL_STARTED), Step.LABEL, 1)
    bought = fulfillments.LabelPurchased(key="o1+1:label:1", tracking="T1", carrier="swift", cost=eur(490), at=LATER)
    assert wanted(parcel(view, 1, bought)) == {(Step.HAND_OVER, 1, 1), (Step.LABEL, 2, 1)}


def test_a_dead_letter_to_the_customer_stops_nobody() -> None:
    view = failed(handed_over(TWO_PARCELS), Step.NOTIFY, 1, Template.SHIPPED)
    assert wanted(view) == wanted(handed_over(TWO_PARCELS)) - {(Step.NOTIFY, 1, Template.SHIPPED)}


def test_a_dead_run_stays_wanted_while_the_order_is_held() -> None:
    view = having(HELD, view=failed(TWO_PARCELS, Step.LABEL, 1))
    assert wants(view) == {Want(LABEL), Want(RunKey("o1", Step.EXPIRE, 0, 1), LATER)}


@pytest.mark.parametrize(
    ("view", "step", "part"),
    [
        (having(an_order()), Step.RISK, 0),
        (having(an_order(), APPROVED), Step.AUTHORIZE, 0),
        (authorized(), Step.ALLOCATE, 0),
        (TWO_PARCELS, Step.LABEL, 1),
        (labelled(TWO_PARCELS), Step.HAND_OVER, 1),
    ],
)
def test_an_order_with_a_dead_run_that_asked_nothing_can_be_cancelled(view: OrderView, step: Step, part: int) -> None:
    assert wanted(having(CANCELLATION, view=failed(view, step, part))) == {(Step.CANCEL, 0, view.order.plans + 1)}


def test_a_cancellation_waits_for_a_dead_run_that_may_have_acted_and_says_so() -> None:
    view = having(CANCELLATION, view=failed(parcel(TWO_PARCELS, 1, LABEL_STARTED), Step.LABEL, 1))
    assert wants(view) == {Want(LABEL)}
    assert awaited(view) == ("o1+1:label:1",)
    refused = fulfillments.LabelFailed(key="o1+1:label:1", code="no", at=LATER)
    ended = parcel(view, 1, refused)
    assert wanted(ended) == {(Step.CANCEL, 0, 2)}
    assert not awaited(ended)


def test_a_cancelled_order_is_compensated_although_one_compensation_is_dead() -> None:
    view = labelled(labelled(TWO_PARCELS, 1), 2)
    lines = orders.LinesCancelled(
        units=(units(CUPS), units(POT)), stood_down=("o1+1", "o1+2"), reason=CancelReason.CUSTOMER, at=NOON
    )
    view = having(CANCELLATION, lines, view=view)
    for number in (1, 2):
        view = parcel(view, number, fulfillments.StoodDown(reason="cancelled", at=NOON))
    left = {(Step.REFUND_LABEL, 1, 1), (Step.REFUND_LABEL, 2, 1), (Step.VOID, 0, 1)}
    assert left <= wanted(failed(view, Step.REFUND_LABEL, 1))
    assert (Step.CLOSE, 0, 1) not in wanted(failed(view, Step.VOID))


def test_a_discarded_run_still_stops_its_order_and_an_auditor_lists_it() -> None:
    view = failed(TWO_PARCELS, Step.LABEL, 1)
    assert not is_stuck(view, POLICY)
    view = by_hand(view, StepDiscarded, LABEL)
    assert wants(view) == {Want(LABEL)}
    assert is_stuck(view, POLICY)
    assert not is_stuck(having(CANCELLATION, view=view), POLICY)
    assert not is_stuck(by_hand(view, StepRestored, LABEL), POLICY)


def test_what_is_discarded_and_retried_fails_anew_as_a_dead_letter() -> None:
    view = by_hand(by_hand(failed(TWO_PARCELS, Step.LABEL, 1), StepDiscarded, LABEL), StepRetried, LABEL)
    assert wants(view) == wants(TWO_PARCELS)
    assert not is_stuck(failed(view, Step.LABEL, 1), POLICY)


def test_the_failures_of_an_order_are_those_that_stop_it_now() -> None:
    view = failed(TWO_PARCELS, Step.LABEL, 1)
    assert failures(view, POLICY) == {Want(LABEL)}
    assert not failures(having(CANCELLATION, view=view), POLICY)
    assert not failures(captured(handed_over(view), 1499), POLICY)
