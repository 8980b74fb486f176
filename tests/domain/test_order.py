"""The order: what may be promised, held, planned, cancelled and closed."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import order as orders
from domain.errors import CommandRefused
from domain.order import CancelReason, HoldReason
from domain.values import Money, OrderLine, Units
from tests.domain.examples import CUPS, LATER, NOON, POT, an_order, assigned, eur, units, waiting
from tests.spec import Spec

ORDER = Spec(orders.DECIDER)
PLACED = an_order()
HOLD = orders.PlaceHold(reason=HoldReason.OTHER, note="call back", by="ann", at=NOON)
HELD = orders.HoldPlaced(reason=HoldReason.OTHER, note="call back", by="ann", at=NOON)
RELEASE_ALL = orders.ReleaseHold(reason=None, note="", by="ann", at=LATER)
CANCEL = orders.RequestCancellation(reason=CancelReason.CUSTOMER, note="", by="bob", at=LATER)
CANCELLATION = orders.CancellationRequested(reason=CancelReason.CUSTOMER, note="", by="bob", at=LATER)
CLOSE = orders.CloseOrder(at=LATER)
ALL_ASSIGNED = orders.FulfillmentPlanned(assignments=(assigned(1, units(CUPS), units(POT)),), backorders=(), at=NOON)
SPLIT = orders.FulfillmentPlanned(assignments=(assigned(1, units(CUPS)),), backorders=(waiting(units(POT)),), at=NOON)


def risk(decision: str) -> orders.RecordRisk:
    return orders.RecordRisk(decision=decision, score=7, reasons=("velocity",), at=NOON)  # type: ignore[arg-type]


def assessed(decision: str) -> orders.RiskAssessed:
    return orders.RiskAssessed(decision=decision, score=7, reasons=("velocity",), at=NOON)  # type: ignore[arg-type]


def planned(command: orders.PlanFulfillment) -> orders.FulfillmentPlanned:
    return orders.FulfillmentPlanned(assignments=command.assignments, backorders=command.backorders, at=command.at)


def cancel_lines(*handed_over: str) -> orders.CancelOpenLines:
    return orders.CancelOpenLines(handed_over=frozenset(handed_over), at=LATER)


def test_an_order_is_placed_once() -> None:
    ORDER.when(orders.PlaceOrder(placed=PLACED)).then(PLACED)


def test_the_same_key_with_other_content_is_refused() -> None:
    other = orders.PlaceOrder(placed=replace(PLACED, content_hash="h2"))
    ORDER.given(PLACED).when(other).then_refused("other content")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (replace(PLACED, lines=()), "at least one line"),
        (an_order(CUPS, CUPS), "same number"),
        (an_order(replace(CUPS, quantity=0)), "start at 1"),
        (an_order(replace(CUPS, amount=-1)), "start at 1"),
        (an_order(shipping=-1), "start at 1"),
        (an_order(total=1), "do not add up"),
        (replace(PLACED, shipping=Money(amount=499, currency="NOK")), "do not add up"),
    ],
)
def test_an_order_whose_lines_make_no_sense_is_refused(broken: orders.OrderPlaced, reason: str) -> None:
    ORDER.when(orders.PlaceOrder(placed=broken)).then_refused(reason)


@pytest.mark.parametrize("command", [HOLD, RELEASE_ALL, CANCEL, CLOSE, risk("approve")])
def test_nothing_can_be_done_to_an_order_that_does_not_exist(command: orders.OrderCommand) -> None:
    ORDER.when(command).then_refused("no such order")


def test_an_approved_order_goes_on() -> None:
    ORDER.given(PLACED).when(risk("approve")).then(assessed("approve"))


def test_a_review_holds_the_order() -> None:
    hold = orders.HoldPlaced(reason=HoldReason.HIGH_RISK_OF_FRAUD, note="velocity", by="risk", at=NOON)
    ORDER.given(PLACED).when(risk("review")).then(assessed("review"), hold)


def test_a_rejection_cancels_the_order() -> None:
    requested = orders.CancellationRequested(reason=CancelReason.FRAUD, note="velocity", by="risk", at=NOON)
    ORDER.given(PLACED).when(risk("reject")).then(assessed("reject"), requested)


@pytest.mark.parametrize("decision", ["review", "reject"])
def test_a_late_verdict_on_a_cancelled_order_is_only_recorded(decision: str) -> None:
    cancelled = ORDER.given(PLACED, CANCELLATION).when(cancel_lines())
    cancelled.when(risk(decision)).then(assessed(decision))


def test_a_review_does_not_double_the_hold_of_an_operator() -> None:
    hold = orders.HoldPlaced(reason=HoldReason.HIGH_RISK_OF_FRAUD, note="odd", by="ann", at=NOON)
    ORDER.given(PLACED, hold).when(risk("review")).then(assessed("review"))


def test_a_hold_is_placed_and_released() -> None:
    held = ORDER.given(PLACED).when(HOLD).then(HELD)
    held.when(RELEASE_ALL).then(orders.HoldReleased(reason=HoldReason.OTHER, note="", by="ann", at=LATER))


def test_one_of_two_holds_can_be_released() -> None:
    address = replace(HELD, reason=HoldReason.INCORRECT_ADDRESS)
    release = replace(RELEASE_ALL, reason=HoldReason.OTHER)
    after = ORDER.given(PLACED, HELD, address).when(release).state()
    assert set(after.holds) == {HoldReason.INCORRECT_ADDRESS}


def test_a_cancelled_order_cannot_be_held() -> None:
    ORDER.given(PLACED, CANCELLATION).when(HOLD).then_refused("being cancelled")


def test_a_closed_order_cannot_be_held() -> None:
    closed = ORDER.given(PLACED, CANCELLATION).when(cancel_lines()).when(CLOSE)
    closed.when(HOLD).then_refused("closed")


def test_a_held_order_cannot_be_planned() -> None:
    plan = orders.PlanFulfillment(assignments=ALL_ASSIGNED.assignments, backorders=(), at=NOON)
    ORDER.given(PLACED, HELD).when(plan).then_refused("held")


def test_an_order_that_is_being_cancelled_cannot_be_planned() -> None:
    plan = orders.PlanFulfillment(assignments=ALL_ASSIGNED.assignments, backorders=(), at=NOON)
    ORDER.given(PLACED, CANCELLATION).when(plan).then_refused("being cancelled")


def test_a_plan_assigns_and_backorders() -> None:
    plan = orders.PlanFulfillment(assignments=SPLIT.assignments, backorders=SPLIT.backorders, at=NOON)
    after = ORDER.given(PLACED).when(plan).state()
    assert not after.unplanned()
    assert after.to_plan() == (units(POT),)


def test_a_plan_that_only_waits_on_is_no_event() -> None:
    plan = orders.PlanFulfillment(assignments=(), backorders=(waiting(units(POT)),), at=LATER)
    ORDER.given(PLACED, SPLIT).when(plan).then_nothing()


def test_a_plan_cannot_send_more_than_is_open() -> None:
    plan = orders.PlanFulfillment(assignments=(assigned(2, units(CUPS)),), backorders=(), at=NOON)
    ORDER.given(PLACED, SPLIT).when(plan).then_refused("more units than are open")


def test_a_plan_gives_up_what_nobody_has() -> None:
    plan = orders.PlanFulfillment(
        assignments=(assigned(1, units(CUPS)),), backorders=(), missing=(units(POT),), at=NOON
    )
    after = ORDER.given(PLACED).when(plan).state()
    assert after.cancelled == (units(POT),)
    assert after.cancel_reason is CancelReason.INVENTORY
    assert not after.to_plan()


def test_a_fulfillment_is_assigned_only_once() -> None:
    plan = orders.PlanFulfillment(assignments=(assigned(1, units(POT)),), backorders=(), at=NOON)
    ORDER.given(PLACED, SPLIT).when(plan).then_refused("only once")


def test_a_request_to_cancel_clears_the_holds() -> None:
    after = ORDER.given(PLACED, HELD).when(CANCEL).then(CANCELLATION).state()
    assert not after.holds


def test_what_was_handed_over_cannot_be_cancelled() -> None:
    refused = orders.CancellationRefused(
        reason=CancelReason.CUSTOMER,
        why="everything was handed over to the carrier",
        offered="return",
        by="bob",
        at=LATER,
    )
    request = replace(CANCEL, handed_over=frozenset({"o1+1"}))
    assert ORDER.given(PLACED, ALL_ASSIGNED).when(request).state().cancelling is None
    assert list(orders.decide(request, orders.DECIDER.fold([PLACED, ALL_ASSIGNED]))) == [refused]


def test_a_cancelled_order_is_not_cancelled_again() -> None:
    ORDER.given(PLACED, CANCELLATION).when(cancel_lines()).when(CANCEL).then_nothing()


def test_only_the_open_part_of_a_part_shipped_order_is_cancelled() -> None:
    after = ORDER.given(PLACED, SPLIT, CANCELLATION).when(cancel_lines("o1+1")).state()
    assert after.cancelled == (units(POT),)
    assert [assignment.fulfillment_id for assignment in after.assignments] == ["o1+1"]


def test_a_cancellation_that_comes_after_the_last_hand_over_is_refused() -> None:
    after = ORDER.given(PLACED, ALL_ASSIGNED, CANCELLATION).when(cancel_lines("o1+1")).state()
    assert after.cancelling is None
    assert not after.cancelled
    assert after.cancellations == 0


def test_an_order_with_open_units_cannot_be_closed() -> None:
    ORDER.given(PLACED, SPLIT).when(CLOSE).then_refused("open units")


@pytest.mark.parametrize(
    ("history", "outcome"),
    [
        ([ALL_ASSIGNED], "delivered"),
        (
            [
                replace(SPLIT, backorders=()),
                orders.LinesCancelled(units=(units(POT),), stood_down=(), reason=CancelReason.INVENTORY, at=NOON),
            ],
            "partially_delivered",
        ),
        (
            [
                orders.LinesCancelled(
                    units=(units(CUPS), units(POT)), stood_down=(), reason=CancelReason.CUSTOMER, at=NOON
                )
            ],
            "cancelled",
        ),
    ],
)
def test_a_closed_order_says_how_it_ended(history: list[orders.OrderEvent], outcome: str) -> None:
    assert ORDER.given(PLACED, *history).when(CLOSE).state().closed == outcome
    ORDER.given(PLACED, *history).when(CLOSE).when(CLOSE).then_nothing()


def test_a_second_hold_for_the_same_reason_gets_a_timer_of_its_own() -> None:
    again = ORDER.given(PLACED, HELD).when(RELEASE_ALL).when(HOLD).state()
    assert again.holds[HoldReason.OTHER].ordinal == 2


def test_the_end_of_a_hold_makes_a_waiting_order_plan_at_once() -> None:
    assert ORDER.given(PLACED, SPLIT, HELD).when(RELEASE_ALL).state().planned_at is None


QUANTITIES = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@st.composite
def histories(draw: st.DrawFn) -> tuple[orders.OrderPlaced, list[orders.OrderEvent]]:
    """An order and anything that commands can make of it, in any order, refused ones left out."""
    lines = [OrderLine(number=n, sku="cup", quantity=q, amount=q) for n, q in enumerate(draw(QUANTITIES), start=1)]
    placed = an_order(*lines)
    events: list[orders.OrderEvent] = [placed]
    for number in range(draw(st.integers(0, 8))):
        state = orders.DECIDER.fold(events)
        command = draw(commands(state, number))
        try:
            events += orders.decide(command, state)
        except CommandRefused:
            continue
    return placed, events


@st.composite
def commands(draw: st.DrawFn, state: orders.Order, number: int) -> orders.OrderCommand:
    kind = draw(st.sampled_from(["plan", "hold", "release", "cancel", "cancel lines", "risk", "close"]))
    handed_over = frozenset(a.fulfillment_id for a in state.assignments if draw(st.booleans()))
    if kind == "plan":
        return draw(plans(state, number))
    others: dict[str, orders.OrderCommand] = {
        "hold": HOLD,
        "release": RELEASE_ALL,
        "cancel": replace(CANCEL, handed_over=handed_over),
        "cancel lines": orders.CancelOpenLines(handed_over=handed_over, at=LATER),
        "risk": risk(draw(st.sampled_from(["approve", "review", "reject"]))),
        "close": CLOSE,
    }
    return others[kind]


@st.composite
def plans(draw: st.DrawFn, state: orders.Order, number: int) -> orders.PlanFulfillment:
    """Every open unit is sent, backordered, given up, or left for later."""
    heaps: tuple[list[Units], ...] = ([], [], [], [])
    for some in state.to_plan():
        for place in [draw(st.integers(0, 3)) for _ in range(some.quantity)]:
            heaps[place].append(Units(line=some.line, sku=some.sku, quantity=1))
    sent, late, missing, _left = heaps
    assignments = (assigned(number + 1, *sent),) if sent else ()
    backorders = tuple(waiting(one) for one in late)
    return orders.PlanFulfillment(assignments=assignments, backorders=backorders, missing=tuple(missing), at=NOON)


@given(histories())
def test_every_unit_is_cancelled_assigned_backordered_or_unplanned(
    history: tuple[orders.OrderPlaced, list[orders.OrderEvent]],
) -> None:
    placed, events = history
    for length in range(1, len(events) + 1):
        state = orders.DECIDER.fold(events[:length])
        parts: Counter[int] = Counter()
        assigned_units = [some for assignment in state.assignments for some in assignment.units]
        for some in (*state.cancelled, *assigned_units, *(b.units for b in state.backorders), *state.unplanned()):
            parts[some.line] += some.quantity
        assert parts == Counter({line.number: line.quantity for line in placed.lines})


@given(histories(), st.data())
def test_a_command_repeated_right_after_success_is_no_event(
    history: tuple[orders.OrderPlaced, list[orders.OrderEvent]], data: st.DataObject
) -> None:
    state = orders.DECIDER.fold(history[1])
    command = data.draw(commands(state, 99))
    try:
        events = orders.decide(command, state)
    except CommandRefused:
        return
    after = orders.DECIDER.fold(events, state)
    if any(isinstance(event, orders.CancellationRefused) for event in events):
        assert after.cancelled == state.cancelled
    elif not (isinstance(command, orders.PlanFulfillment) and command.missing):
        assert not orders.decide(command, after)


def test_money_of_two_currencies_does_not_add_up() -> None:
    with pytest.raises(ValueError, match="EUR and NOK"):
        eur(1) + Money(amount=1, currency="NOK")


def test_a_hold_cannot_end_before_it_begins() -> None:
    with pytest.raises(CommandRefused, match="until"):
        orders.decide(replace(HOLD, until=NOON), orders.DECIDER.fold([an_order()]))
