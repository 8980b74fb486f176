"""The fulfillment: everything can be undone before the hand-over, nothing after it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import fulfillment as fulfillments
from domain.errors import CommandRefused
from tests.domain.examples import CUPS, LATER, NOON, eur, units
from tests.spec import Spec

PARCEL = Spec(fulfillments.DECIDER)
CREATE = fulfillments.Create(fulfillment_id="o1+1", order_id="o1", warehouse="north", units=(units(CUPS),), at=NOON)
CREATED = fulfillments.FulfillmentCreated(
    fulfillment_id="o1+1", order_id="o1", warehouse="north", units=(units(CUPS),), at=NOON
)
START_LABEL = fulfillments.StartLabel(at=NOON)
LABEL_STARTED = fulfillments.LabelStarted(key="o1+1:label:1", ordinal=1, at=NOON)
RECORD_LABEL = fulfillments.RecordLabel(tracking="T1", carrier="swift", cost=eur(490), at=NOON)
LABELLED = fulfillments.LabelPurchased(key="o1+1:label:1", tracking="T1", carrier="swift", cost=eur(490), at=NOON)
NO_LABEL = fulfillments.RecordLabelRefused(code="bad_address", at=NOON)
START_SCAN = fulfillments.StartHandOver(at=NOON)
SCAN_STARTED = fulfillments.HandOverStarted(key="o1+1:scan:1", ordinal=1, at=NOON)
SCANNED = fulfillments.RecordHandOver(scan_id="s1", at=NOON)
HANDED_OVER = fulfillments.HandedOver(key="o1+1:scan:1", scan_id="s1", at=NOON)
NOT_TAKEN = fulfillments.RecordHandOverRefused(code="too_heavy", at=NOON)
DELIVER = fulfillments.RecordDelivered(at=LATER)
STAND_DOWN = fulfillments.StandDown(reason="cancelled", at=LATER)
STOOD_DOWN = fulfillments.StoodDown(reason="cancelled", at=LATER)
START_REFUND = fulfillments.StartLabelRefund(at=LATER)
REFUND_STARTED = fulfillments.LabelRefundStarted(key="o1+1:label-refund:1", at=LATER)
REFUNDED = fulfillments.RecordLabelRefund(at=LATER)
READY = (CREATED, LABEL_STARTED, LABELLED)


def test_a_fulfillment_is_created_once() -> None:
    PARCEL.when(CREATE).then(CREATED)


def test_an_empty_parcel_is_refused() -> None:
    PARCEL.when(replace(CREATE, units=())).then_refused("at least one unit")


@pytest.mark.parametrize("command", [START_LABEL, RECORD_LABEL, START_SCAN, SCANNED, DELIVER, STAND_DOWN])
def test_nothing_happens_to_a_fulfillment_that_does_not_exist(command: fulfillments.FulfillmentCommand) -> None:
    PARCEL.when(command).then_refused("no such fulfillment")


def test_a_label_is_bought_under_a_recorded_key() -> None:
    PARCEL.given(CREATED).when(START_LABEL).then(LABEL_STARTED)
    PARCEL.given(CREATED, LABEL_STARTED).when(RECORD_LABEL).then(LABELLED)


def test_after_a_refused_label_the_next_try_has_the_next_key() -> None:
    again = PARCEL.given(CREATED, LABEL_STARTED).when(NO_LABEL).when(START_LABEL).state()
    assert again.open_key == "o1+1:label:2"


def test_a_labelled_parcel_needs_no_second_label() -> None:
    PARCEL.given(*READY).when(START_LABEL).then_nothing()


def test_a_parcel_without_a_label_cannot_be_handed_over() -> None:
    PARCEL.given(CREATED).when(START_SCAN).then_refused("no label")


def test_the_carrier_takes_the_parcel_once() -> None:
    PARCEL.given(*READY).when(START_SCAN).then(SCAN_STARTED)
    PARCEL.given(*READY, SCAN_STARTED).when(SCANNED).then(HANDED_OVER)
    PARCEL.given(*READY, SCAN_STARTED, HANDED_OVER).when(START_SCAN).then_nothing()


def test_after_a_refused_hand_over_the_next_try_has_the_next_key() -> None:
    again = PARCEL.given(*READY, SCAN_STARTED).when(NOT_TAKEN).when(START_SCAN).state()
    assert again.open_key == "o1+1:scan:2"


def test_what_was_handed_over_is_delivered() -> None:
    PARCEL.given(*READY, SCAN_STARTED, HANDED_OVER).when(DELIVER).then(fulfillments.Delivered(at=LATER))


def test_what_was_not_handed_over_cannot_be_delivered() -> None:
    PARCEL.given(*READY).when(DELIVER).then_refused("not handed over")


@pytest.mark.parametrize("history", [(CREATED,), READY])
def test_a_parcel_is_stood_down_before_the_hand_over(history: tuple[fulfillments.FulfillmentEvent, ...]) -> None:
    PARCEL.given(*history).when(STAND_DOWN).then(STOOD_DOWN)


def test_a_parcel_that_the_carrier_has_cannot_be_stood_down() -> None:
    PARCEL.given(*READY, SCAN_STARTED, HANDED_OVER).when(STAND_DOWN).then_refused("the carrier has")


@pytest.mark.parametrize("history", [(CREATED, LABEL_STARTED), (*READY, SCAN_STARTED)])
def test_a_stand_down_waits_for_the_answer_of_the_carrier(history: tuple[fulfillments.FulfillmentEvent, ...]) -> None:
    PARCEL.given(*history).when(STAND_DOWN).then_refused("awaited")


@pytest.mark.parametrize("command", [START_LABEL, START_SCAN])
def test_a_parcel_that_was_stood_down_goes_nowhere(command: fulfillments.FulfillmentCommand) -> None:
    PARCEL.given(*READY, STOOD_DOWN).when(command).then_refused("stood down")


def test_the_label_of_a_parcel_that_was_stood_down_is_refunded() -> None:
    PARCEL.given(*READY, STOOD_DOWN).when(START_REFUND).then(REFUND_STARTED)
    done = fulfillments.LabelRefunded(key="o1+1:label-refund:1", at=LATER)
    PARCEL.given(*READY, STOOD_DOWN, REFUND_STARTED).when(REFUNDED).then(done)


def test_a_parcel_is_stood_down_once_even_while_its_label_is_being_refunded() -> None:
    PARCEL.given(*READY, STOOD_DOWN, REFUND_STARTED).when(STAND_DOWN).then_nothing()


def test_a_refused_refund_is_final() -> None:
    refused = PARCEL.given(*READY, STOOD_DOWN, REFUND_STARTED).when(replace(REFUNDED, refused="too_late"))
    assert refused.state().label_refund == "refused"
    refused.when(START_REFUND).then_nothing()


@pytest.mark.parametrize("history", [(CREATED, STOOD_DOWN), READY])
def test_no_label_is_refunded_that_is_needed_or_was_never_bought(
    history: tuple[fulfillments.FulfillmentEvent, ...],
) -> None:
    PARCEL.given(*history).when(START_REFUND).then_nothing()


@pytest.mark.parametrize("answer", [RECORD_LABEL, NO_LABEL, SCANNED, NOT_TAKEN, REFUNDED])
def test_an_answer_to_nothing_is_no_event(answer: fulfillments.FulfillmentCommand) -> None:
    PARCEL.given(CREATED).when(answer).then_nothing()


COMMANDS = st.sampled_from(
    [
        CREATE,
        START_LABEL,
        RECORD_LABEL,
        NO_LABEL,
        START_SCAN,
        SCANNED,
        NOT_TAKEN,
        DELIVER,
        STAND_DOWN,
        START_REFUND,
        REFUNDED,
        replace(REFUNDED, refused="no"),
    ]
)


@given(st.lists(COMMANDS, max_size=30))
def test_no_way_leads_from_a_stand_down_to_a_hand_over_or_back(commands: list[fulfillments.FulfillmentCommand]) -> None:
    state = fulfillments.DECIDER.initial
    for command in commands:
        try:
            events = fulfillments.decide(command, state)
        except CommandRefused:
            continue
        state = fulfillments.DECIDER.fold(events, state)
        assert not (state.stood_down and state.past_pivot())
        assert not state.delivered or state.handed_over
        assert not state.handed_over or state.tracking
        assert not fulfillments.decide(command, state) or not events, "a repeated command must be no event"
