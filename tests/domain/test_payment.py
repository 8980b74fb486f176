"""The payment: one operation at a time, never more captured than authorized or handed over."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import payment as payments
from domain.errors import CommandRefused
from tests.domain.examples import LATER, NOON, eur
from tests.spec import Spec

PAYMENT = Spec(payments.DECIDER)
START = payments.StartAuthorization(order_id="o1", amount=eur(1000), at=NOON)
STARTED = payments.AuthorizationStarted(key="o1:auth:1", ordinal=1, amount=eur(1000), at=NOON)
GRANTED = payments.RecordAuthorized(reference="r1", amount=eur(1000), expires_at=LATER, at=NOON)
AUTHORIZED = payments.Authorized(key="o1:auth:1", reference="r1", amount=eur(1000), expires_at=LATER, at=NOON)
CAPTURE = payments.StartCapture(fulfillment_id="o1+1", amount=eur(400), allowance=eur(600), at=NOON)
CAPTURE_STARTED = payments.CaptureStarted(
    key="o1+1:capture:1", ordinal=1, fulfillment_id="o1+1", amount=eur(400), at=NOON
)
GOT_IT = payments.RecordCaptured(fulfillment_id="o1+1", reference="c1", amount=eur(400), at=NOON)
CAPTURED = payments.Captured(key="o1+1:capture:1", fulfillment_id="o1+1", reference="c1", amount=eur(400), at=NOON)
NO_CAPTURE = payments.RecordCaptureRefused(fulfillment_id="o1+1", code="no_funds", at=NOON)
VOID = payments.StartVoid(order_id="o1", at=NOON)
VOID_STARTED = payments.VoidStarted(key="o1:void:1", ordinal=1, at=NOON)
VOIDED = payments.RecordVoided(reference="v1", at=NOON)
UNKNOWN = payments.RecordUnknown(reason="timed out", at=NOON)


def declined(*, hard: bool) -> payments.RecordDeclined:
    return payments.RecordDeclined(code="no_funds", hard=hard, at=NOON)


def test_the_intent_to_authorize_carries_a_key_of_its_ordinal() -> None:
    PAYMENT.when(START).then(STARTED)


def test_an_authorization_is_recorded_once() -> None:
    PAYMENT.given(STARTED).when(GRANTED).then(AUTHORIZED)


def test_what_is_authorized_is_not_authorized_again() -> None:
    PAYMENT.given(STARTED, AUTHORIZED).when(START).then_nothing()


def test_a_gateway_that_authorizes_another_amount_is_not_believed() -> None:
    PAYMENT.given(STARTED).when(replace(GRANTED, amount=eur(999))).then_incident("another amount")


def test_after_a_soft_decline_the_next_try_has_the_next_key() -> None:
    again = PAYMENT.given(STARTED).when(declined(hard=False)).when(START).state()
    assert again.open
    assert again.open.key == "o1:auth:2"


def test_a_hard_decline_is_final() -> None:
    PAYMENT.given(STARTED).when(declined(hard=True)).when(START).then_refused("for good")


def test_a_parcel_is_captured() -> None:
    PAYMENT.given(STARTED, AUTHORIZED).when(CAPTURE).then(CAPTURE_STARTED)
    PAYMENT.given(STARTED, AUTHORIZED, CAPTURE_STARTED).when(GOT_IT).then(CAPTURED)


def test_a_captured_parcel_is_not_captured_again() -> None:
    PAYMENT.given(STARTED, AUTHORIZED, CAPTURE_STARTED, CAPTURED).when(CAPTURE).then_nothing()


def test_no_more_is_captured_than_is_authorized() -> None:
    greedy = replace(CAPTURE, amount=eur(1001), allowance=eur(5000))
    PAYMENT.given(STARTED, AUTHORIZED).when(greedy).then_refused("more than is authorized")


def test_no_more_is_captured_than_was_handed_over() -> None:
    greedy = replace(CAPTURE, amount=eur(601))
    PAYMENT.given(STARTED, AUTHORIZED).when(greedy).then_refused("more than was handed over")


def test_a_gateway_that_captures_another_amount_is_not_believed() -> None:
    PAYMENT.given(STARTED, AUTHORIZED, CAPTURE_STARTED).when(replace(GOT_IT, amount=eur(1))).then_incident("another")


def test_a_refused_capture_can_be_tried_again_under_a_new_key() -> None:
    again = PAYMENT.given(STARTED, AUTHORIZED, CAPTURE_STARTED).when(NO_CAPTURE).when(CAPTURE).state()
    assert again.open
    assert again.open.key == "o1+1:capture:2"
    assert not again.capture_failed


@pytest.mark.parametrize("command", [replace(CAPTURE, fulfillment_id="o1+2"), VOID])
def test_only_one_operation_is_open_at_a_time(command: payments.PaymentCommand) -> None:
    PAYMENT.given(STARTED, AUTHORIZED, CAPTURE_STARTED).when(command).then_refused("another operation is open")


def test_a_void_gives_back_what_was_not_captured() -> None:
    PAYMENT.given(STARTED, AUTHORIZED, CAPTURE_STARTED, CAPTURED).when(VOID).then(VOID_STARTED)
    after = PAYMENT.given(STARTED, AUTHORIZED, CAPTURE_STARTED, CAPTURED, VOID_STARTED).when(VOIDED).state()
    assert after.voided == eur(600)
    assert after.remainder() == 0


def test_there_is_nothing_to_void_without_an_authorization() -> None:
    PAYMENT.when(VOID).then_nothing()


def test_a_refused_void_is_remembered() -> None:
    refused = payments.RecordVoidRefused(code="too_late", at=NOON)
    assert PAYMENT.given(STARTED, AUTHORIZED, VOID_STARTED).when(refused).state().void_failed == "too_late"


@pytest.mark.parametrize("answer", [GRANTED, GOT_IT, NO_CAPTURE, VOIDED, declined(hard=False), UNKNOWN])
def test_an_answer_to_nothing_is_no_event(answer: payments.PaymentCommand) -> None:
    PAYMENT.when(answer).then_nothing()


def test_an_answer_to_another_question_is_no_event() -> None:
    PAYMENT.given(STARTED).when(VOIDED).then_nothing()
    PAYMENT.given(STARTED, AUTHORIZED, CAPTURE_STARTED).when(replace(GOT_IT, fulfillment_id="o1+9")).then_nothing()


def test_an_unknown_outcome_leaves_the_operation_open() -> None:
    unknown = payments.OutcomeUnknown(key="o1:auth:1", operation="authorize", reason="timed out", at=NOON)
    state = PAYMENT.given(STARTED).when(UNKNOWN).then(unknown).state()
    assert state.open
    assert state.open.unknown


def test_an_unknown_outcome_is_resolved_by_the_answer() -> None:
    assert PAYMENT.given(STARTED).when(UNKNOWN).when(GRANTED).state().open is None


PARCELS = [f"o1+{number}" for number in range(3)]
AMOUNTS = st.integers(0, 700)
COMMANDS = st.one_of(
    st.sampled_from([START, GRANTED, VOID, VOIDED, UNKNOWN, declined(hard=False), declined(hard=True)]),
    st.builds(
        payments.StartCapture,
        fulfillment_id=st.sampled_from(PARCELS),
        amount=st.builds(eur, AMOUNTS),
        allowance=st.builds(eur, AMOUNTS),
        at=st.just(NOON),
    ),
    st.sampled_from([replace(NO_CAPTURE, fulfillment_id=parcel) for parcel in PARCELS]),
    st.just("answer"),
)


@given(st.lists(COMMANDS, max_size=25))
def test_money_is_never_made(commands: list[payments.PaymentCommand | str]) -> None:
    state = payments.DECIDER.initial
    for drawn in commands:
        command = _the_answer(state) if isinstance(drawn, str) else drawn
        try:
            events = payments.decide(command, state)
        except CommandRefused:
            continue
        was_open = state.open
        state = payments.DECIDER.fold(events, state)
        assert len(events) <= 1
        assert not (was_open and state.open and was_open.key != state.open.key), "two operations at once"
        assert 0 <= state.captured_total() <= (state.authorized.amount if state.authorized else 0)
        assert state.remainder() >= 0
        assert not payments.decide(command, state) or not events, "a repeated command must be no event"


def _the_answer(state: payments.Payment) -> payments.PaymentCommand:
    """Whatever capture is open succeeds."""
    if state.open is None or state.open.fulfillment_id is None or state.open.amount is None:
        return GRANTED
    return replace(GOT_IT, fulfillment_id=state.open.fulfillment_id, amount=state.open.amount)
