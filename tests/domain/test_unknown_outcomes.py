"""Nobody knows whether it happened: it is asked about, never done again on a guess, and a person may tell."""

from datetime import datetime, timedelta

import pytest

from domain import fulfillment as fulfillments
from domain import order as orders
from domain import payment as payments
from domain import process as processes
from domain import steps
from domain import stock as stocks
from domain.errors import CommandRefused, Incident
from domain.order import CancelReason
from domain.process import OrderView, Policy
from domain.work import Run, RunKey, Step
from tests.domain.examples import CUPS, LATER, NOON, POT, an_order, assigned, eur, units
from tests.domain.views import APPROVED, authorized, handed_over, having, labelled, parcel, planned, wanted

ONE_PARCEL = planned(authorized(), assigned(1, units(CUPS), units(POT)))
LINES = orders.LinesCancelled(
    units=(units(CUPS), units(POT)), stood_down=("o1+1",), reason=CancelReason.CUSTOMER, at=NOON
)
STOOD_DOWN = parcel(having(LINES, view=labelled(ONE_PARCEL)), 1, fulfillments.StoodDown(reason="cancelled", at=NOON))
TO_VOID = having(LINES, view=authorized())
CASES = {
    Step.AUTHORIZE: (having(an_order(), APPROVED), 0),
    Step.LABEL: (ONE_PARCEL, 1),
    Step.HAND_OVER: (labelled(ONE_PARCEL), 1),
    Step.CAPTURE: (handed_over(ONE_PARCEL), 1),
    Step.VOID: (TO_VOID, 0),
    Step.REFUND_LABEL: (STOOD_DOWN, 1),
}
FOLLOWS = {
    Step.AUTHORIZE: Step.ALLOCATE,
    Step.LABEL: Step.HAND_OVER,
    Step.HAND_OVER: Step.CAPTURE,
    Step.CAPTURE: Step.DELIVER,
    Step.VOID: Step.CLOSE,
    Step.REFUND_LABEL: Step.VOID,
}


def context(now: datetime = LATER) -> steps.Context:
    stock = stocks.Stock(on_hand=9, allocated=4, allocations={"o1+1": 4})
    book = {processes.stock_stream("north", sku): (stock, 1) for sku in ("cup", "pot")}
    return steps.Context(now=now, policy=Policy(key_window=timedelta(hours=10)), stock=steps.StockBook(book))


def extended(view: OrderView, turn: steps.Turn) -> OrderView:
    for stream, events in turn.changes:
        if not stream.startswith("stock-"):
            view = processes.extend(view, stream, events)  # type: ignore[arg-type]
    return view


def begun(step: Step) -> tuple[OrderView, RunKey, steps.Turn]:
    """The view in which the operation is open, its run, and the turn that opened it at `LATER`."""
    view, part = CASES[step]
    key = RunKey("o1", step, part)
    turn = steps.begin(view, Run(key, 1, 1), context())
    return extended(view, turn), key, turn


@pytest.mark.parametrize("step", CASES)
@pytest.mark.parametrize(("hours", "left"), [(0, 9), (8.99, 0.01), (9, None), (99, None)])
def test_an_operation_is_repeated_within_the_window_of_its_key_and_then_only_asked_about(
    step: Step, hours: float, left: float | None
) -> None:
    view, key, first = begun(step)
    assert (first.inquire, first.act) == (False, True)
    again = steps.begin(view, Run(key, 2, 2), context(LATER + timedelta(hours=hours)))
    within = None if left is None else timedelta(hours=left)
    assert again == steps.Turn(request=first.request, inquire=True, act=left is not None, act_within=within)


@pytest.mark.parametrize("step", CASES)
def test_what_a_person_found_to_have_happened_counts_as_if_answered(step: Step) -> None:
    view, key, _ = begun(step)
    told = extended(view, steps.by_hand(view, key, True, "ref-1", context()))
    assert (key.step, key.part, key.ordinal) not in wanted(told)
    assert FOLLOWS[step] in {some for some, *_ in wanted(told)}


@pytest.mark.parametrize("step", CASES)
def test_what_a_person_found_not_to_have_happened_begins_anew_under_another_key(step: Step) -> None:
    view, key, first = begun(step)
    told = extended(view, steps.by_hand(view, key, False, "", context()))
    assert (key.step, key.part, 2) in wanted(told)
    assert (key.step, key.part, 1) not in wanted(told)
    again = steps.begin(told, Run(key._replace(ordinal=2), 1, 1), context())
    assert again.changes
    assert not again.inquire
    assert again.request
    assert first.request
    assert again.request != first.request


@pytest.mark.parametrize("step", [Step.AUTHORIZE, Step.LABEL, Step.HAND_OVER])
def test_an_order_can_be_cancelled_once_a_person_found_that_nothing_happened(step: Step) -> None:
    view, key, _ = begun(step)
    requested = orders.CancellationRequested(reason=CancelReason.CUSTOMER, note="", by="bob", at=NOON)
    view = having(requested, view=view)
    assert Step.CANCEL not in {some for some, *_ in wanted(view)}
    told = extended(view, steps.by_hand(view, key, False, "", context()))
    assert Step.CANCEL in {some for some, *_ in wanted(told)}


@pytest.mark.parametrize("step", CASES)
@pytest.mark.parametrize("happened", [True, False])
def test_only_what_is_open_can_be_concluded(step: Step, *, happened: bool) -> None:
    view, part = CASES[step]
    with pytest.raises(CommandRefused, match="nothing was asked"):
        steps.by_hand(view, RunKey("o1", step, part), happened, "ref-1", context())
    view, key, _ = begun(step)
    for other in (key._replace(ordinal=7), key._replace(part=key.part + 1)):
        with pytest.raises(CommandRefused, match="nothing was asked"):
            steps.by_hand(view, other, happened, "ref-1", context())


@pytest.mark.parametrize("step", [step for step in CASES if step is not Step.REFUND_LABEL])
def test_what_happened_has_a_reference(step: Step) -> None:
    view, key, _ = begun(step)
    with pytest.raises(CommandRefused, match="reference"):
        steps.by_hand(view, key, True, " ", context())


def test_a_person_may_say_that_a_parcel_arrived_but_not_that_it_never_will() -> None:
    view, key = handed_over(ONE_PARCEL), RunKey("o1", Step.DELIVER, 1)
    assert extended(view, steps.by_hand(view, key, True, "", context())).fulfillments[1].delivered
    with pytest.raises(CommandRefused, match="under way"):
        steps.by_hand(view, key, False, "", context())


def test_the_time_of_an_operation_is_that_of_its_last_beginning() -> None:
    view, key, _ = begun(Step.LABEL)
    told = extended(view, steps.by_hand(view, key, False, "", context(LATER + timedelta(hours=20))))
    again = extended(told, steps.begin(told, Run(key._replace(ordinal=2), 1, 1), context(LATER + timedelta(hours=21))))
    turn = steps.begin(again, Run(key._replace(ordinal=2), 2, 2), context(LATER + timedelta(hours=22)))
    assert turn.act


def test_another_amount_than_asked_is_an_incident_that_names_both() -> None:
    view, _, _ = begun(Step.CAPTURE)
    captured = payments.RecordCaptured(fulfillment_id="o1+1", reference="c1", amount=eur(9900), at=LATER)
    with pytest.raises(Incident, match="9900 EUR instead of 4499 EUR"):
        payments.decide(captured, view.payment)
