"""One order's turn, without a store: what is decided, what is called, and what becomes of every run that came in."""

from collections.abc import Sequence
from typing import Any

import pytest

from domain import outside
from domain import process as processes
from domain.errors import Incident, KeyExpired, OutcomeUnknown, Poison, Transient, Unavailable
from domain.order import CancellationRequested, CancelReason
from domain.outside import Answer
from domain.ports import Holder
from domain.process import OrderView
from domain.routing import Warehouse
from domain.steps import Context, StockBook
from domain.stock import Stock
from domain.work import Run, RunKey, Step
from tests.domain import views
from tests.domain.examples import CUPS, LATER, NOON, POT, an_order, assigned, units
from workers.retry import Judge, RetryPolicy
from workers.turns import Inputs, Known, Result, Rules, empty_view, take_turn

HOLDER = Holder(id=1, epoch=100)
APPROVED = outside.RiskVerdict(decision="approve", score=1)
PLACED = views.having(an_order(CUPS), view=empty_view("o1"))
PLANNED = views.planned(views.authorized(placed=an_order(CUPS)), assigned(1, units(CUPS)))


def run(step: Step, part: int = 0, ordinal: int = 1, attempts: int = 1) -> Run:
    return Run(RunKey("o1", step, part, ordinal), attempts, epoch=7)


def judge(**policy: Any) -> Judge:
    return Judge(retries=RetryPolicy(**policy), random=lambda: 0.5)


def turn(
    view: OrderView,
    *begin: Run,
    answers: Sequence[tuple[Run, Answer | Exception]] = (),
    stock: dict[str, int] | None = None,
    **rules: Any,
) -> Result:
    """A turn whose bookkeeping has been checked."""
    book = StockBook({f"stock-north+{sku}": (Stock(on_hand=some), 1) for sku, some in (stock or {}).items()})
    context = Context(now=LATER, policy=views.POLICY, warehouses=(Warehouse(id="north"),), stock=book)
    values: dict[str, Any] = {"steps": frozenset(Step), "judge": judge(attempts=3), **rules}
    known = Known(view=view, wants=processes.react(view, views.POLICY))
    inputs = Inputs(begin=list(begin), answers=list(answers))
    result = take_turn(known, inputs, context, Rules(holder=HOLDER, actor="w", **values))
    check(result, known, inputs)
    return result


def check(result: Result, known: Known, inputs: Inputs) -> None:
    """Nothing that is wanted is forgotten, and nothing runs that nobody carries."""
    unit, came_in = result.unit, {run.key for run in inputs.runs()}
    settled = {one.key: one.state for one in unit.settled}
    assert set(settled) == came_in
    running = {key for key, state in settled.items() if state == "running"} | unit.carried
    assert running == {call.run.key for call in result.calls} | {run.key for run in result.deferred}
    assert set(result.finished) == came_in - running
    wanted, before = {want.key for want in result.known.wants}, {want.key for want in known.wants}
    assert {want.key for want in unit.wanted} == wanted - before - came_in
    assert set(unit.dropped) == before - wanted - came_in
    gone = {key for key, state in settled.items() if state == "done"}
    assert gone.isdisjoint(wanted)
    assert unit.carried <= wanted
    assert result.known.wants == processes.react(result.known.view, views.POLICY)


def states(result: Result) -> list[str]:
    return [one.state for one in result.unit.settled]


def names(result: Result) -> list[str]:
    return [type(event).__name__ for _, event in result.unit.events]


def carried(result: Result) -> list[Step]:
    return [key.step for key in result.unit.carried]


def test_a_call_is_asked_for_together_with_its_recorded_intent() -> None:
    view = views.having(views.APPROVED, view=PLACED)
    result = turn(view, run(Step.AUTHORIZE))
    assert names(result) == ["AuthorizationStarted"]
    assert states(result) == ["running"]
    [call] = result.calls
    assert (type(call.request), call.inquire) == (outside.AuthorizePayment, False)


def test_what_may_have_been_asked_before_is_inquired_first() -> None:
    view = turn(views.having(views.APPROVED, view=PLACED), run(Step.AUTHORIZE)).known.view
    [call] = turn(view, run(Step.AUTHORIZE)).calls
    assert call.inquire


@pytest.mark.parametrize(("attempts", "inquire"), [(1, False), (2, True)])
def test_a_second_try_inquires_first(attempts: int, inquire: bool) -> None:
    [call] = turn(PLACED, run(Step.RISK, attempts=attempts)).calls
    assert call.inquire is inquire


def test_a_turn_goes_on_to_the_next_step_in_the_same_unit() -> None:
    result = turn(PLACED, answers=[(run(Step.RISK), APPROVED)])
    assert names(result) == ["RiskAssessed", "AuthorizationStarted"]
    assert states(result) == ["done"]
    assert carried(result) == [Step.AUTHORIZE]
    assert result.announce == ()


def test_what_a_worker_does_not_serve_is_left_to_others_and_announced() -> None:
    result = turn(PLACED, answers=[(run(Step.RISK), APPROVED)], steps=frozenset({Step.RISK}))
    assert names(result) == ["RiskAssessed"]
    assert carried(result) == []
    assert result.announce == ((Step.AUTHORIZE, "o1"),)


def test_a_worker_that_stops_carries_nothing_on() -> None:
    result = turn(PLACED, answers=[(run(Step.RISK), APPROVED)], carry=False)
    assert (carried(result), result.announce) == ([], ((Step.AUTHORIZE, "o1"),))


def test_a_step_that_needs_stock_is_carried_and_begun_in_the_next_batch() -> None:
    view = turn(PLACED, answers=[(run(Step.RISK), APPROVED)]).known.view
    money = outside.PaymentAuthorized(reference="r", amount=an_order(CUPS).total, expires_at=LATER)
    result = turn(view, answers=[(run(Step.AUTHORIZE), money)])
    assert [one.key.step for one in result.deferred] == [Step.ALLOCATE]
    assert names(result) == ["Authorized"]


def test_the_version_that_is_expected_of_stock_is_that_before_the_turn() -> None:
    view = views.authorized(placed=an_order(CUPS))
    result = turn(view, run(Step.ALLOCATE), stock={"cup": 2})
    stock = [type(event).__name__ for stream, event in result.unit.events if stream == "stock-north+cup"]
    assert stock == ["StockAllocated", "StockBackordered"]
    assert result.unit.expected["stock-north+cup"] == 1


def test_a_run_that_nobody_wants_any_more_is_done_without_a_trace() -> None:
    result = turn(PLACED, run(Step.LABEL, 1))
    assert (states(result), names(result)) == (["done"], [])


def test_a_run_of_an_order_that_does_not_exist_is_a_dead_letter_without_an_event() -> None:
    result = turn(empty_view("o1"), run(Step.LABEL, 1))
    assert (states(result), names(result)) == (["dead"], [])


@pytest.mark.parametrize(
    ("error", "attempts", "state", "events"),
    [
        (Unavailable("x"), 3, "ready", []),
        (Transient("x"), 2, "ready", []),
        (OutcomeUnknown("x"), 2, "ready", ["OutcomeUnknown"]),
        (OutcomeUnknown("x"), 3, "dead", ["OutcomeUnknown", "StepFailed"]),
        (Transient("x"), 3, "dead", ["StepFailed"]),
        (Poison("x"), 1, "dead", ["StepFailed"]),
    ],
)
def test_every_failure_has_its_fate(error: Exception, attempts: int, state: str, events: list[str]) -> None:
    view = turn(views.having(views.APPROVED, view=PLACED), run(Step.AUTHORIZE)).known.view
    result = turn(view, answers=[(run(Step.AUTHORIZE, attempts=attempts), error)])
    assert (states(result), names(result)) == ([state], events)
    assert result.calls == ()


@pytest.mark.parametrize(
    ("errors", "unknown"),
    [
        ([Poison("refused")], False),
        ([Transient("later"), Transient("later"), Transient("later")], False),
        ([OutcomeUnknown("lost"), Transient("later"), Poison("refused")], True),
        ([KeyExpired("forgotten")], True),
        ([Incident("another amount")], True),
    ],
)
def test_a_dead_letter_says_whether_its_operation_may_have_happened(errors: list[Exception], *, unknown: bool) -> None:
    view = turn(views.having(views.APPROVED, view=PLACED), run(Step.AUTHORIZE)).known.view
    for attempts, error in enumerate(errors[:-1], start=1):
        view = turn(view, answers=[(run(Step.AUTHORIZE, attempts=attempts), error)]).known.view
    result = turn(view, answers=[(run(Step.AUTHORIZE, attempts=len(errors)), errors[-1])])
    assert states(result) == ["dead"]
    assert result.unit.events[-1][1].unknown is unknown


@pytest.mark.parametrize(("attempts", "crashes", "unknown"), [(1, 0, False), (2, 0, True), (1, 1, True)])
def test_nobody_is_sure_of_a_parcel_that_was_asked_about_before(attempts: int, crashes: int, *, unknown: bool) -> None:
    view = turn(PLANNED, run(Step.LABEL, 1)).known.view
    tried = run(Step.LABEL, 1, attempts=attempts)._replace(crashes=crashes)
    result = turn(view, answers=[(tried, Poison("no"))])
    assert result.unit.events[-1][1].unknown is unknown


def test_an_answer_that_makes_no_sense_is_a_dead_letter() -> None:
    result = turn(PLACED, answers=[(run(Step.RISK), outside.PaymentVoided(reference="r"))])
    assert states(result) == ["dead"]
    assert "PaymentVoided is no answer" in result.unit.settled[0].error


def test_the_failure_of_one_run_does_not_stop_the_others_of_the_turn() -> None:
    view = views.handed_over(PLANNED)
    sent = (run(Step.NOTIFY, 1), outside.CustomerNotified(message_id="m"))
    result = turn(view, run(Step.CAPTURE, 1), answers=[(run(Step.DELIVER, 1), Transient("busy")), sent])
    assert sorted(states(result)) == ["done", "ready", "running"]
    assert names(result) == ["StepSucceeded", "CaptureStarted"]


def test_what_goes_wrong_with_a_step_that_is_carried_on_is_left_to_its_next_claim() -> None:
    view = turn(PLACED, answers=[(run(Step.RISK), APPROVED)]).known.view
    money = outside.PaymentAuthorized(reference="r", amount=an_order(CUPS).total, expires_at=LATER)
    context = Context(now=LATER, policy=views.POLICY, warehouses=())
    known = Known(view=view, wants=processes.react(view, views.POLICY))
    rules = Rules(steps=frozenset(Step), holder=HOLDER, actor="w", judge=judge())
    inputs = Inputs(answers=[(run(Step.AUTHORIZE), money)])
    result = take_turn(known, inputs, context, rules)
    check(result, known, inputs)
    assert (carried(result), names(result)) == ([], ["Authorized"])
    assert result.announce == ((Step.ALLOCATE, "o1"),)


def test_what_is_looked_at_later_gives_its_attempt_back() -> None:
    view = views.handed_over(PLANNED)
    under_way = outside.ParcelStatus(status="in_transit", at=LATER)
    [settled] = turn(view, answers=[(run(Step.DELIVER, 1), under_way)]).unit.settled
    assert (settled.state, settled.keep_attempt) == ("ready", False)
    assert settled.due_in.total_seconds() > 0


def test_a_late_success_of_a_cancelled_order_wants_its_compensation() -> None:
    view = turn(views.having(views.APPROVED, view=PLACED), run(Step.AUTHORIZE)).known.view
    cancelled = CancellationRequested(reason=CancelReason.CUSTOMER, note="", by="ada", at=NOON)
    view = views.having(cancelled, view=view)
    money = outside.PaymentAuthorized(reference="r", amount=an_order(CUPS).total, expires_at=LATER)
    result = turn(view, answers=[(run(Step.AUTHORIZE), money)])
    assert names(result)[:2] == ["Authorized", "LinesCancelled"]
    assert {call.run.key.step for call in result.calls} == {Step.VOID, Step.NOTIFY}


def test_two_runs_of_an_order_are_settled_in_one_unit() -> None:
    view = views.handed_over(PLANNED)
    result = turn(view, run(Step.CAPTURE, 1), run(Step.DELIVER, 1), run(Step.NOTIFY, 1))
    assert states(result) == ["running", "running", "running"]
    assert result.unit.lock == "o1"


def test_a_step_that_fails_half_way_leaves_the_stock_of_its_batch_as_it_was() -> None:
    view = views.labelled(views.planned(views.authorized(), assigned(1, units(CUPS), units(POT))))
    view = turn(view, run(Step.HAND_OVER, 1)).known.view
    promised = {"o1+1": 3}
    cups, pots = Stock(on_hand=3, allocated=3, allocations=promised), Stock(allocated=3, allocations=promised)
    loaded = {"stock-north+cup": (cups, 2), "stock-north+pot": (pots, 2)}
    book = StockBook(loaded)
    context = Context(now=LATER, policy=views.POLICY, stock=book)
    scanned = outside.ParcelAccepted(scan_id="s", at=LATER)
    known = Known(view=view, wants=processes.react(view, views.POLICY))
    rules = Rules(steps=frozenset(Step), holder=HOLDER, actor="w", judge=judge())
    result = take_turn(known, Inputs(answers=[(run(Step.HAND_OVER, 1), scanned)]), context, rules)
    assert (states(result), names(result)) == (["dead"], ["StepFailed"])
    assert book.entries() == loaded


def test_a_unit_says_which_run_caused_it_and_who_took_the_turn() -> None:
    meta = turn(PLACED, run(Step.RISK)).unit.meta
    assert (meta.causation_id, meta.correlation_id, meta.actor) == ("o1/risk/0/1", "o1", "w")


def test_a_run_whose_workers_always_ended_is_a_dead_letter_in_the_end() -> None:
    assert turn(PLACED, run(Step.RISK)._replace(crashes=5)).calls
    result = turn(PLACED, run(Step.RISK)._replace(crashes=6))
    assert not result.calls
    assert states(result) == ["dead"]
    assert names(result) == ["StepFailed"]
