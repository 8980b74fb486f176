"""The order's row: what happened to it, on three axes, in units and in money."""

from random import Random
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from domain import fulfillment as parcels
from domain import payment as payments
from domain import process as processes
from domain.order import CancelReason, LinesCancelled
from domain.values import Money, Units
from domain.work import Step
from infrastructure.projections import order_summary, order_timeline
from infrastructure.projections.facts import ORDER_CATEGORIES, Fact
from infrastructure.projections.order_stages import STAGES
from infrastructure.projections.order_summary import OrderSummary
from tests.infrastructure.projections.histories import START, Company, company, facts

HISTORIES = st.builds(company, st.integers(0, 2**32), st.integers(1, 250))


def order_facts(grown: Company) -> list[Fact]:
    return [fact for fact in facts(grown.appended) if fact.category in ORDER_CATEGORIES]


def fold(grown: Company) -> dict[str, OrderSummary]:
    return dict(order_summary.project({}, order_facts(grown)))


def only_order(quantities: list[int]) -> Company:
    grown = Company(random=Random(1))
    grown.place(quantities=quantities)
    return grown


def row_after(grown: Company, *changes: tuple[str, Any]) -> OrderSummary:
    for stream, event in changes:
        grown.append(stream, (event,))
    return fold(grown)["order.1"]


@given(HISTORIES, st.randoms(use_true_random=False))
def test_batches_of_any_size_give_the_rows_of_one_fold(grown: Company, cuts: Random) -> None:
    history, rows = order_facts(grown), dict[str, OrderSummary]()
    while history:
        size = cuts.randint(1, 40)
        rows.update(order_summary.project(rows, history[:size]))
        history = history[size:]
    assert rows == fold(grown)


@given(HISTORIES)
def test_units_money_and_outcome_are_those_of_the_order_itself(grown: Company) -> None:
    rows = fold(grown)
    for order_id, view in grown.views.items():
        row = rows[order_id]
        assert row.units_cancelled == sum(units.quantity for units in view.order.cancelled)
        assert row.units_backordered == sum(backorder.units.quantity for backorder in view.order.backorders)
        assert row.units_shipped == sum(units_of(p) for p in view.fulfillments.values() if p.handed_over)
        assert row.units_delivered == sum(units_of(p) for p in view.fulfillments.values() if p.delivered)
        assert row.captured == view.payment.captured_total()
        assert row.authorized - row.captured - row.voided == view.payment.remainder()
        assert set(row.holds) == set(view.order.holds)
        assert row.outcome == view.order.closed
        assert row.cancelling == (view.order.cancelling is not None)


def units_of(parcel: parcels.Fulfillment) -> int:
    return sum(units.quantity for units in parcel.created.units) if parcel.created else 0


@given(HISTORIES)
def test_every_order_is_in_a_known_stage_and_a_closed_one_in_a_last_one(grown: Company) -> None:
    for row in fold(grown).values():
        assert row.stage in STAGES
        assert (row.stage in {"closed", "cancelled"}) == (row.outcome is not None)


@given(HISTORIES)
def test_the_axes_never_contradict_the_outcome(grown: Company) -> None:
    for row in fold(grown).values():
        if row.outcome == "delivered":
            assert row.fulfillment == "delivered"
        if row.outcome == "cancelled":
            assert row.fulfillment == "cancelled"
            assert row.captured == 0


def test_a_placed_order_owes_everything() -> None:
    row = row_after(only_order([2, 1]))
    assert (row.payment, row.fulfillment, row.stage) == ("none", "unfulfilled", "placed")
    assert (row.lines, row.units, row.total, row.country) == (2, 3, 3 * 999 + 490, "GB")


def test_money_captured_in_part_makes_the_order_partially_paid() -> None:
    row = row_after(only_order([2]), authorized(1000), captured(400, part=1))
    assert row.payment == "partially_paid"


def test_capturing_all_that_was_authorized_pays_the_order() -> None:
    row = row_after(only_order([2]), authorized(1000), captured(400, part=1), captured(600, part=2))
    assert row.payment == "paid"


def test_voiding_what_was_not_captured_leaves_the_order_paid() -> None:
    row = row_after(only_order([2]), authorized(1000), captured(400, part=1), voided(600))
    assert row.payment == "paid"


def test_voiding_everything_leaves_the_order_voided() -> None:
    assert row_after(only_order([2]), authorized(1000), voided(1000)).payment == "voided"


def test_an_order_with_one_of_two_parcels_on_the_road_is_partial_and_counted_at_the_other_ones_stage() -> None:
    first, second = parcel(1, 1), parcel(2, 1)
    row = row_after(only_order([2]), authorized(1000), *first, *second, label(1), label(2), hand_over(1))
    assert (row.fulfillment, row.stage) == ("partial", "labelled")


def test_a_delivered_rest_after_a_cancelled_line_counts_as_delivered() -> None:
    row = row_after(
        only_order([2]), authorized(1000), *parcel(1, 1), cancelled(1), label(1), hand_over(1), delivered(1)
    )
    assert (row.fulfillment, row.stage) == ("delivered", "delivered")


def test_a_step_that_was_given_up_shows_until_it_is_tried_again() -> None:
    failed = processes.StepFailed(step=Step.LABEL, part=1, ordinal=2, attempts=5, reason="r", at=START)
    retried = processes.StepRetried(step=Step.LABEL, part=1, ordinal=2, by="b", note="n", at=START)
    grown = only_order([1])
    assert row_after(grown, ("process-order.1", failed)).failed_steps == ["label/1/2"]
    assert row_after(grown, ("process-order.1", retried)).failed_steps == []


@given(HISTORIES)
def test_no_line_of_a_timeline_shows_anything_personal(grown: Company) -> None:
    lines = "\n".join(row[-1] for row in order_timeline.project(order_facts(grown)))
    assert not [word for word in ("Ada", "Secret", "tok_", "ring", "customer-", "eve", "called") if word in lines]


def test_every_event_of_an_order_has_words_and_a_meaning_for_its_row() -> None:
    known = set(order_timeline._WORDS)
    assert known == set(get_args(processes.OrderStreamEvent))


def test_money_is_written_with_the_digits_of_its_currency() -> None:
    amounts = [Money(amount=1250, currency=currency) for currency in ("EUR", "JPY", "KWD")]
    assert [order_timeline.money(amount) for amount in amounts] == ["EUR 12.50", "JPY 1250", "KWD 1.250"]


def authorized(amount: int) -> tuple[str, Any]:
    event = payments.Authorized(
        key="k", reference="r", amount=Money(amount=amount, currency="EUR"), expires_at=START, at=START
    )
    return "payment-order.1", event


def captured(amount: int, *, part: int) -> tuple[str, Any]:
    money = Money(amount=amount, currency="EUR")
    event = payments.Captured(key="k", fulfillment_id=f"order.1+{part}", reference="r", amount=money, at=START)
    return "payment-order.1", event


def voided(amount: int) -> tuple[str, Any]:
    event = payments.Voided(key="k", reference="r", amount=Money(amount=amount, currency="EUR"), at=START)
    return "payment-order.1", event


def parcel(number: int, quantity: int) -> list[tuple[str, Any]]:
    units = (Units(line=1, sku="mug", quantity=quantity),)
    event = parcels.FulfillmentCreated(
        fulfillment_id=f"order.1+{number}", order_id="order.1", warehouse="leeds", units=units, at=START
    )
    return [(f"fulfillment-order.1+{number}", event)]


def label(number: int) -> tuple[str, Any]:
    cost = Money(amount=1, currency="EUR")
    event = parcels.LabelPurchased(key="k", tracking="T", carrier="UPS", cost=cost, at=START)
    return f"fulfillment-order.1+{number}", event


def hand_over(number: int) -> tuple[str, Any]:
    return f"fulfillment-order.1+{number}", parcels.HandedOver(key="k", scan_id="s", at=START)


def delivered(number: int) -> tuple[str, Any]:
    return f"fulfillment-order.1+{number}", parcels.Delivered(at=START)


def cancelled(quantity: int) -> tuple[str, Any]:
    units = (Units(line=1, sku="mug", quantity=quantity),)
    event = LinesCancelled(units=units, stood_down=(), reason=CancelReason.CUSTOMER, at=START)
    return "order-order.1", event
