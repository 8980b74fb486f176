"""The step worker: from acceptance to close, and through everything that is lost, late, doubled or gone on the way."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from domain import outside
from domain.errors import OutcomeUnknown, Poison, Transient, Unavailable
from domain.order import CancelReason, HoldReason
from domain.ports import Holder, Unit, Verdict
from domain.work import RunKey, Step, Want
from tests.workers.faulty import AFTER, BEFORE
from tests.workers.shop import PostgresShop, drive, hasten, round_of, rounds_until, wait_until, working
from workers import handle
from workers.conductor import CONFLICTS
from workers.retry import RetryPolicy

ALL_CALLS = ["append", "claim", "claim_due", "transaction", "disown", "register"]


def cancel(shop: PostgresShop, order_id: str = "o1") -> None:
    command = handle.cancel(CancelReason.CUSTOMER, "", "ada")
    shop.handler.on_order(order_id, command, command_id=f"cancel-{order_id}", actor="ada")


@pytest.mark.parametrize("threads", [0, 4])
def test_an_order_goes_from_acceptance_to_close(shop: PostgresShop, threads: int) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    worker = shop.worker(threads=threads)
    with working(worker) as drained:
        shop.wake(worker, "o1")
        wait_until(lambda: shop.closed("o1"), "the order is closed")
        wait_until(shop.at_rest, "nothing is left to do")
    assert drained == [True]
    assert shop.world.captures() == {"o1+1": 1}
    assert shop.names("o1").count("OrderClosed") == 1
    assert (shop.stock("cup").on_hand, shop.stock("pot").on_hand) == (997, 999)


def test_an_answer_that_comes_after_a_cancellation_is_concluded_on_the_fresh_view_and_the_money_is_voided(
    shop: PostgresShop,
) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    worker = shop.worker()
    shop.world.meanwhile[outside.AuthorizePayment] = lambda: cancel(shop)
    shop.wake(worker, "o1")
    drive(shop, lambda: shop.closed("o1") and shop.at_rest())
    assert worker.counters.conflicts >= 1
    assert worker.conductor.desk.conflicts == {}
    names = shop.names("o1")
    assert names.index("CancellationRequested") < names.index("Authorized") < names.index("Voided")
    assert shop.world.captures() == {}
    assert shop.stock("cup").on_hand == 1_000


def test_an_answer_that_comes_while_the_order_is_on_hold_is_kept_and_nothing_follows_before_the_release(
    shop: PostgresShop,
) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    worker = shop.worker()
    hold = handle.hold(HoldReason.OTHER, "wait", "ada")
    shop.world.meanwhile[outside.BuyLabel] = lambda: shop.handler.on_order("o1", hold, command_id="h", actor="ada")
    shop.wake(worker, "o1")
    drive(shop, lambda: "LabelPurchased" in shop.names("o1") and shop.at_rest())
    assert "HandOverStarted" not in shop.names("o1")
    shop.handler.on_order("o1", handle.release(None, "go", "ada"), command_id="r", actor="ada")
    drive(shop, lambda: shop.closed("o1"))
    assert shop.world.captures() == {"o1+1": 1}


def test_a_lost_fence_writes_nothing_and_gives_back_the_other_runs_of_the_order(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    worker = shop.worker()
    stolen = "UPDATE step_runs SET epoch = 999999 WHERE step = 'authorize'"
    shop.world.meanwhile[outside.AuthorizePayment] = lambda: shop.store.sql(stolen)
    shop.wake(worker, "o1")
    while not worker.counters.fenced:
        round_of(worker)
    assert "Authorized" not in shop.names("o1")
    round_of(worker)
    assert shop.unknown_runs(worker) == []
    drive(shop, lambda: shop.closed("o1") and shop.at_rest())
    assert shop.world.captures() == {"o1+1": 1}


@pytest.mark.parametrize("name", ALL_CALLS)
@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("nth", range(3))
def test_an_answer_of_the_store_that_was_lost_leads_to_one_effect_and_leaves_no_run_behind(
    shop: PostgresShop, name: str, when: str, nth: int
) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1", "o2")
    shop.store.faults.of[name] = [None] * nth + [when]
    worker = shop.worker(sweep=timedelta(0))
    shop.wake(worker, "o1", "o2")
    drive(shop, lambda: shop.at_rest() and shop.closed("o1", "o2"))
    assert shop.world.captures() == {"o1+1": 1, "o2+1": 1}
    assert shop.unknown_runs(worker) == []
    assert (shop.stock("cup").on_hand, shop.stock("cup").allocated) == (994, 0)


def test_a_store_that_fails_again_and_again_at_every_call_delays_orders_only(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    orders = [f"o{number}" for number in range(8)]
    shop.place(*orders)
    worker = shop.worker(sweep=timedelta(0), batch=3)
    for name in ALL_CALLS:
        shop.store.faults.of[name] = [AFTER, None, BEFORE, AFTER, None, None] * 4
    shop.wake(worker, *orders)
    drive(shop, lambda: shop.at_rest() and shop.closed(*orders))
    assert shop.world.captures() == {f"{order_id}+1": 1 for order_id in orders}
    assert shop.unknown_runs(worker) == []


def test_a_commit_that_arrives_after_we_gave_up_on_it_leaves_no_run_behind(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker(reconcile=timedelta(0))
    round_of(worker)
    shop.store.claim(["o1"], list(Step), worker.holding.current)
    assert shop.unknown_runs(worker) != []
    round_of(worker)
    assert shop.unknown_runs(worker) == []


def test_what_a_sweep_claimed_without_our_hearing_of_it_is_given_back(shop: PostgresShop) -> None:
    shop.place("o1")
    hasten(shop)
    worker = shop.worker(sweep=timedelta(0))
    shop.store.faults.of["claim_due"] = [AFTER]
    round_of(worker)
    assert shop.unknown_runs(worker) != []
    round_of(worker)
    assert shop.unknown_runs(worker) == []


def test_an_outside_that_is_not_reached_costs_no_attempt(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker()
    shop.world.faults[outside.AssessRisk] = [Unavailable("no route")] * 7
    shop.wake(worker, "o1")
    drive(shop, lambda: not shop.world.faults[outside.AssessRisk])
    drive(shop, lambda: "RiskAssessed" in shop.names("o1"))
    assert shop.store.dead_letters() == []


def test_each_failed_try_uses_an_attempt_and_the_last_one_makes_a_dead_letter_that_the_order_knows_of(
    shop: PostgresShop,
) -> None:
    shop.place("o1")
    worker = shop.worker()
    shop.world.faults[outside.AssessRisk] = [Transient("later")] * 9
    shop.wake(worker, "o1")
    drive(shop, lambda: bool(shop.store.dead_letters()))
    assert len(shop.world.requests(outside.AssessRisk)) == 3
    [letter] = shop.store.dead_letters()
    assert (letter.order_id, letter.step, letter.attempts) == ("o1", "risk", 3)
    assert "later" in letter.reason
    assert shop.names("o1") == ["OrderPlaced", "StepFailed"]
    assert [row.state for row in shop.store.runs()] == ["dead"]


def test_a_time_that_the_other_side_named_is_waited_for(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker()
    shop.world.faults[outside.AssessRisk] = [Transient("429", retry_after_s=600.0)]
    shop.wake(worker, "o1")
    drive(shop, lambda: [row.state for row in shop.store.runs()] == ["ready"] and bool(shop.world.calls))
    [row] = shop.store.runs()
    assert timedelta(seconds=500) < row.due_at - shop.store.now()


def test_poison_is_a_dead_letter_at_once(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker()
    shop.world.faults[outside.AssessRisk] = [Poison("nonsense")]
    shop.wake(worker, "o1")
    drive(shop, lambda: bool(shop.store.dead_letters()))
    assert len(shop.world.calls) == 1


def test_after_an_unknown_outcome_the_gateway_is_asked_first_and_by_the_same_key(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    worker = shop.worker()
    shop.world.faults[outside.CapturePayment] = [OutcomeUnknown("lost")]
    shop.wake(worker, "o1")
    drive(shop, lambda: shop.closed("o1") and shop.at_rest())
    (first, inquired), (second, inquired_again) = shop.world.requests(outside.CapturePayment)
    assert first == second
    assert (inquired, inquired_again) == (False, True)
    assert "OutcomeUnknown" in shop.names("o1")
    assert shop.world.captures() == {"o1+1": 1}


def test_the_reason_of_a_failure_may_be_any_text(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker()
    shop.world.faults[outside.AssessRisk] = [Transient("\x00\ud800\x1b[2J"), Poison("\x00\ud800" * 5_000)]
    shop.wake(worker, "o1")
    drive(shop, lambda: bool(shop.store.dead_letters()))
    assert len(shop.world.calls) == 2
    assert "StepFailed" in shop.names("o1")


def test_a_last_try_whose_outcome_is_unknown_says_so_before_it_is_given_up(shop: PostgresShop) -> None:
    shop.place("o1")
    shop.world.faults[outside.AuthorizePayment] = [OutcomeUnknown("lost")] * 9
    worker = shop.worker(retry=RetryPolicy(attempts=1))
    shop.wake(worker, "o1")
    drive(shop, lambda: bool(shop.store.dead_letters()))
    assert shop.names("o1")[-2:] == ["OutcomeUnknown", "StepFailed"]


def test_a_run_of_an_order_that_does_not_exist_is_a_dead_letter(shop: PostgresShop) -> None:
    shop.store.want([Want(RunKey("nobody", Step.LABEL, 1))])
    shop.wake(shop.worker(), "nobody")
    drive(shop, lambda: bool(shop.store.dead_letters()))
    [letter] = shop.store.dead_letters()
    assert (letter.order_id, letter.reason) == ("nobody", "there is no such order")
    assert shop.store.read_all(after=0) == []


def test_wake_ups_that_are_doubled_late_or_about_nobody_do_nothing(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    worker = shop.worker()
    shop.wake(worker, "o1", "o1", "nobody")
    shop.wake(worker, "o1")
    drive(shop, lambda: shop.closed("o1") and shop.at_rest())
    before, calls = shop.names("o1"), len(shop.world.calls)
    shop.wake(worker, "o1")
    drive(shop, lambda: len(shop.settled) == 5)
    assert (shop.names("o1"), len(shop.world.calls)) == (before, calls)
    assert shop.store.dead_letters() == []


def test_a_frame_is_settled_only_after_its_orders_were_claimed(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker()
    round_of(worker)
    shop.store.faults.of["claim"] = [BEFORE, AFTER]
    shop.wake(worker, "o1")
    for _ in range(2):
        round_of(worker)
        assert shop.settled == []
    round_of(worker)
    assert shop.settled == ["o1"]


def test_frames_that_come_during_an_outage_are_settled_when_it_is_over(shop: PostgresShop) -> None:
    orders = [f"o{number}" for number in range(6)]
    shop.place(*orders)
    worker = shop.worker()
    round_of(worker)
    shop.store.faults.down = True
    for order_id in orders:
        shop.wake(worker, order_id)
        round_of(worker)
    shop.store.faults.down = False
    drive(shop, lambda: sorted(shop.settled) == orders)


def test_work_that_nobody_announced_is_found(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    hasten(shop)
    worker = shop.worker(sweep=timedelta(0))
    deadline = rounds_until(lambda: worker.counters.swept == 1)
    while deadline():
        round_of(worker)
    assert shop.settled == []


def test_a_worker_that_hears_no_wake_ups_takes_what_was_announced_too(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker(sweep=timedelta(0))
    round_of(worker)
    assert worker.counters.swept == 0
    worker.hears = lambda: False
    found = rounds_until(lambda: worker.counters.swept > 0)
    while found():
        round_of(worker)


def test_a_sweep_that_was_full_is_followed_by_another_at_once(shop: PostgresShop) -> None:
    shop.place(*[f"o{number}" for number in range(10)])
    hasten(shop)
    worker = shop.worker(sweep=timedelta(hours=1), batch=2)
    more = rounds_until(lambda: worker.counters.swept == 10)
    while more():
        round_of(worker)


def test_no_more_runs_are_held_than_there_is_room_for_and_every_order_gets_its_turn(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    orders = [f"o{number}" for number in range(30)]
    shop.place(*orders)
    worker = shop.worker(in_flight=4, batch=5)
    most = 0
    for order_id in orders:
        shop.wake(worker, order_id)
    more = rounds_until(lambda: shop.at_rest() and shop.closed(*orders) and set(shop.settled) == set(orders))
    while more():
        round_of(worker)
        most = max(most, len({key.order_id for key in worker.conductor.desk.held}))
    assert most == 4


def test_an_order_that_always_conflicts_waits_like_any_other_retry(
    shop: PostgresShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1", "o2")
    worker = shop.worker()
    real = shop.store.append

    def never_o1(units: Sequence[Unit], *, holder: Holder | None = None) -> Sequence[Verdict]:
        stale = [replace(u, expected={**u.expected, "order-o1": 77}) if "order-o1" in u.expected else u for u in units]
        verdicts: Sequence[Verdict] = real(stale, holder=holder)
        return verdicts

    monkeypatch.setattr(shop.store, "append", never_o1)
    shop.wake(worker, "o1", "o2")
    drive(shop, lambda: shop.closed("o2") and bool(shop.store.dead_letters()))
    [letter] = shop.store.dead_letters()
    assert (letter.order_id, letter.attempts) == ("o1", 3)
    assert worker.counters.conflicts == 3 * CONFLICTS
    assert shop.unknown_runs(worker) == []


def test_what_the_worker_remembers_is_forgotten_with_its_orders(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1", "o2", "o3")
    worker = shop.worker()
    shop.world.faults[outside.BuyLabel] = [Poison("no")]
    shop.wake(worker, "o1", "o2", "o3", "nobody")
    drive(shop, lambda: bool(shop.store.dead_letters()) and len(shop.store.runs()) == 1)
    drive(shop, lambda: not worker.conductor.desk.held)
    assert (worker.conductor.batch.known, worker.conductor.desk.waiting, dict(worker.conductor.desk.conflicts)) == (
        {},
        {},
        {},
    )


def test_steps_that_the_worker_does_not_serve_are_announced_to_others(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    money = shop.worker(steps=frozenset({Step.RISK, Step.AUTHORIZE, Step.CAPTURE, Step.VOID}))
    goods = shop.worker(steps=frozenset(Step) - money.conductor.settings.steps)
    shop.wake(money, "o1")
    more = rounds_until(lambda: shop.closed("o1") and shop.at_rest())
    while more():
        round_of(money)
        round_of(goods)
    assert money.counters.runs > 0
    assert goods.counters.runs > 0
