"""Nothing is handed over on an authorization that may be gone when it is captured."""

from datetime import datetime, timedelta

import pytest

from domain import order as orders
from domain import outside, steps
from domain import payment as payments
from domain import process as processes
from domain.order import CancelReason
from domain.pricing import value_to_come
from domain.process import OrderView
from domain.work import Run, RunKey, Step
from tests.domain.examples import CUPS, NOON, POT, assigned, eur, units, waiting
from tests.domain.views import NEXT_WEEK, authorized, captured, handed_over, having, labelled, planned, wanted

ONE_PARCEL = planned(authorized(), assigned(1, units(CUPS), units(POT)))
TWO_PARCELS = planned(authorized(), assigned(1, units(CUPS)), assigned(2, units(POT)))
TOO_LATE = NEXT_WEEK - timedelta(minutes=59)
EXPIRING = payments.AuthorizationExpiring(at=TOO_LATE)
VOIDING = payments.VoidStarted(key="o1:void:1", ordinal=1, at=TOO_LATE)
CANCELLATION = orders.CancellationRequested(reason=CancelReason.CUSTOMER, note="", by="bob", at=NOON)


def voided(amount: int) -> payments.Voided:
    return payments.Voided(key="o1:void:1", reference="v1", amount=eur(amount), at=TOO_LATE)


def begin(view: OrderView, step: Step, now: datetime, part: int = 0, ordinal: int = 1) -> steps.Turn:
    return steps.begin(view, Run(RunKey("o1", step, part, ordinal), 1, 1), steps.Context(now=now))


def extended(view: OrderView, turn: steps.Turn) -> OrderView:
    for stream, events in turn.changes:
        view = processes.extend(view, stream, events)  # type: ignore[arg-type]
    return view


def test_a_parcel_is_handed_over_while_the_authorization_lives_long_enough() -> None:
    turn = begin(labelled(ONE_PARCEL), Step.HAND_OVER, NEXT_WEEK - timedelta(minutes=61), 1)
    assert isinstance(turn.request, outside.HandOverParcel)


def test_a_parcel_waits_for_another_authorization_if_this_one_ends_too_soon() -> None:
    view = labelled(ONE_PARCEL)
    turn = begin(view, Step.HAND_OVER, TOO_LATE, 1)
    assert turn.request is None
    view = extended(view, turn)
    assert wanted(view) == {(Step.VOID, 0, 1)}
    view = having(VOIDING, view=view)
    assert wanted(view) == {(Step.VOID, 0, 1)}
    view = having(voided(4499), view=view)
    assert wanted(view) == {(Step.AUTHORIZE, 0, 2)}
    again = begin(view, Step.AUTHORIZE, TOO_LATE, 0, 2)
    assert again.request == outside.AuthorizePayment(key="o1:auth:2", order_id="o1", amount=eur(4499), token="tok")
    answer = outside.PaymentAuthorized(reference="r2", amount=eur(4499), expires_at=TOO_LATE + timedelta(days=7))
    run = Run(RunKey("o1", Step.AUTHORIZE, 0, 2), 1, 1)
    view = extended(view, again)
    view = extended(view, steps.conclude(view, run, answer, steps.Context(now=TOO_LATE)))
    assert wanted(view) == {(Step.HAND_OVER, 1, 1)}
    assert isinstance(begin(view, Step.HAND_OVER, TOO_LATE, 1).request, outside.HandOverParcel)
    capture = begin(handed_over(view), Step.CAPTURE, TOO_LATE, 1).request
    assert isinstance(capture, outside.CapturePayment)
    assert (capture.authorization, capture.amount) == ("r2", eur(4499))


def test_an_authorization_that_ended_and_cannot_be_voided_is_replaced_too() -> None:
    failed = payments.VoidFailed(key="o1:void:1", code="authorization_expired", at=TOO_LATE)
    view = having(EXPIRING, VOIDING, failed, view=labelled(ONE_PARCEL))
    assert wanted(view) == {(Step.AUTHORIZE, 0, 2)}
    started = payments.AuthorizationStarted(key="o1:auth:2", ordinal=2, amount=eur(4499), at=TOO_LATE)
    done = payments.Authorized(key="o1:auth:2", reference="r2", amount=eur(4499), expires_at=NEXT_WEEK, at=TOO_LATE)
    view = having(started, done, view=view)
    assert view.payment.remainder() == 4499
    assert wanted(view) == {(Step.HAND_OVER, 1, 1)}


def test_only_what_is_still_to_come_is_authorized_again() -> None:
    view = captured(handed_over(TWO_PARCELS, 1), 1499)
    assert value_to_come(view) == eur(3000)
    view = having(EXPIRING, VOIDING, voided(3000), view=view)
    assert (Step.AUTHORIZE, 0, 2) in wanted(view)
    request = begin(view, Step.AUTHORIZE, TOO_LATE, 0, 2).request
    assert isinstance(request, outside.AuthorizePayment)
    assert request.amount == eur(3000)


@pytest.mark.parametrize(("hours", "told"), [(-1, False), (1, True)])
def test_who_looks_at_a_refused_capture_is_told_that_the_authorization_had_ended(hours: int, *, told: bool) -> None:
    now = NEXT_WEEK + timedelta(hours=hours)
    view = extended(handed_over(ONE_PARCEL), begin(handed_over(ONE_PARCEL), Step.CAPTURE, now, 1))
    refusal = outside.Refused(code="authorization_expired")
    turn = steps.conclude(view, Run(RunKey("o1", Step.CAPTURE, 1, 1), 1, 1), refusal, steps.Context(now=now))
    [note] = [event.note for _, events in turn.changes for event in events if isinstance(event, orders.HoldPlaced)]
    assert ("the authorization ended at" in note) == told


def test_what_waits_for_stock_is_authorized_with_the_rest() -> None:
    view = planned(authorized(), assigned(1, units(CUPS)), backorders=(waiting(units(POT)),))
    assert value_to_come(view) == eur(4499)


def test_a_parcel_that_the_carrier_has_is_captured_before_the_rest_is_voided() -> None:
    view = having(EXPIRING, view=handed_over(TWO_PARCELS, 1))
    assert (Step.CAPTURE, 1, 1) in wanted(view)
    assert (Step.VOID, 0, 1) not in wanted(view)


def test_a_hand_over_waits_for_a_capture_that_is_under_way() -> None:
    started = payments.CaptureStarted(key="o1+1:capture:1", ordinal=1, fulfillment_id="o1+1", amount=eur(1499), at=NOON)
    view = having(started, view=labelled(handed_over(TWO_PARCELS, 1), 2))
    turn = begin(view, Step.HAND_OVER, TOO_LATE, 2)
    assert (turn.changes, turn.request) == ((), None)
    assert turn.again_after


@pytest.mark.parametrize("after", [(EXPIRING,), (EXPIRING, VOIDING, voided(4499))])
def test_an_order_between_two_authorizations_can_be_cancelled(after: tuple[payments.PaymentEvent, ...]) -> None:
    view = having(*after, CANCELLATION, view=labelled(ONE_PARCEL))
    assert (Step.CANCEL, 0, 2) in wanted(view)
    assert (Step.AUTHORIZE, 0, 2) not in wanted(view)


def test_a_gateway_whose_authorizations_live_for_seconds_is_not_asked_for_ever() -> None:
    started = payments.AuthorizationStarted(key="o1:auth:1", ordinal=1, amount=eur(4499), at=NOON)
    soon = NOON + timedelta(seconds=10)
    done = payments.Authorized(key="o1:auth:1", reference="r1", amount=eur(4499), expires_at=soon, at=NOON)
    view = having(started, done, view=labelled(ONE_PARCEL))
    view = having(payments.AuthorizationExpiring(at=NOON), VOIDING, voided(4499), started, done, view=view)
    assert begin(view, Step.HAND_OVER, NOON + timedelta(seconds=8), 1).request
    assert begin(view, Step.HAND_OVER, NOON + timedelta(seconds=9), 1).request is None
