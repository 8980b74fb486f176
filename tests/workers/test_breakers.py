"""The breakers as a process uses them, on a clock that goes when it is told to."""

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.breaker import State
from domain.errors import (
    BreakerOpen,
    CommandRefused,
    KeyExpired,
    Poison,
    RateLimited,
    Transient,
    Unavailable,
)
from domain.work import Step
from tests.workers.breaker_fleet import DOWN, GONE, LIMITS, Fleet, calls, half_open, open_it, run


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_calls_of_a_closed_dependency_cost_no_round_trip(fleet: Fleet) -> None:
    breakers = fleet.process()
    before = fleet.round_trips
    calls(breakers, 500)
    assert fleet.round_trips == before
    assert breakers.limited() == frozenset()


def test_too_many_failures_stop_all_processes(fleet: Fleet) -> None:
    one, other = fleet.process("one"), fleet.process("other")
    open_it(fleet, one)
    fleet.seconds += 0.5
    other.refresh()
    for breakers in (one, other):
        assert breakers.limited() == {"payment"}
        assert breakers.grant("payment", 10) == 0
        with pytest.raises(BreakerOpen) as caught:
            breakers.admit("payment", run())
        assert caught.value.dependency == "payment"
        breakers.admit("carrier", run())


def test_a_process_that_sees_a_failure_looks_at_once_what_the_others_know(fleet: Fleet) -> None:
    one, other = fleet.process("one"), fleet.process("other")
    open_it(fleet, one)
    other.report("payment", run(), DOWN, 0.0)
    fleet.seconds += 0.06
    other.refresh()
    assert other.limited() == {"payment"}


@pytest.mark.parametrize("error", [DOWN, Unavailable("x"), Transient("x"), Poison("garbage"), ValueError("a slip")])
def test_whatever_is_no_answer_is_a_failure(fleet: Fleet, error: Exception) -> None:
    calls(fleet.process(), LIMITS.minimum_calls, error)
    assert fleet.state() is State.OPEN


@pytest.mark.parametrize("error", [CommandRefused("no"), KeyExpired("x"), None])
def test_an_answer_is_a_success_whatever_it_says(fleet: Fleet, error: Exception | None) -> None:
    calls(fleet.process(), 200, error)
    assert fleet.state() is State.CLOSED


def test_slow_answers_open_it_too(fleet: Fleet) -> None:
    breakers = fleet.process()
    fleet.seconds += 10
    calls(breakers, LIMITS.minimum_calls, elapsed_s=LIMITS.slow_s)
    assert fleet.state() is State.OPEN


def test_the_attempts_that_an_outage_used_up_are_given_back_now_and_a_moment_later(fleet: Fleet) -> None:
    breakers = fleet.process()
    began = fleet.now()
    for number in range(LIMITS.minimum_calls):
        breakers.report("payment", run(number), DOWN, 0.0)
        fleet.seconds += 0.1
    ((steps, since),) = fleet.forgiven
    assert set(steps) == {Step.AUTHORIZE, Step.CAPTURE, Step.VOID}
    assert began - timedelta(seconds=10) < since <= began
    fleet.seconds += 2.5
    breakers.refresh()
    assert fleet.forgiven == [(steps, since)] * 2


def test_who_finds_nobody_there_gives_back_what_was_cut_off_before_once_for_each_row_of_failures(fleet: Fleet) -> None:
    breakers = fleet.process()
    began = fleet.now()
    for error in (DOWN, GONE, GONE, None, GONE):
        breakers.report("payment", run(), error, 0.0)
        fleet.seconds += 0.1
    assert fleet.state() is State.CLOSED
    sinces = [since for _, since in fleet.forgiven]
    assert len(sinces) == 2
    assert began - timedelta(seconds=10) < sinces[0] <= began < sinces[1] + timedelta(seconds=5)


def test_a_service_that_is_there_and_fails_forgives_nobody(fleet: Fleet) -> None:
    breakers = fleet.process()
    for _ in range(3):
        breakers.report("payment", run(), DOWN, 0.0)
    assert fleet.forgiven == []


def test_the_time_of_an_outage_is_overlooked_when_the_breaker_closes(fleet: Fleet) -> None:
    breakers = fleet.process()
    open_it(fleet, breakers)
    began = fleet.now()
    half_open(fleet, breakers)
    calls(breakers, LIMITS.permits - 1)
    assert (fleet.state(), fleet.overlooked) == (State.RECOVERING, [])
    fleet.seconds += 100
    breakers.refresh()
    assert (fleet.state(), fleet.overlooked) == (State.CLOSED, [(began, fleet.now())])


def test_the_only_run_that_was_left_is_enough_to_close_it(fleet: Fleet) -> None:
    breakers = fleet.process()
    open_it(fleet, breakers)
    half_open(fleet, breakers)
    calls(breakers, 1)
    breakers.give_back("payment", LIMITS.permits - 1)
    for state in (State.RECOVERING, State.CLOSED):
        fleet.seconds += 1
        breakers.refresh()
        assert fleet.state() is state


def test_only_the_process_that_opened_it_gives_back_attempts(fleet: Fleet) -> None:
    one, other = fleet.process("one"), fleet.process("other")
    for number in range(LIMITS.minimum_calls):
        for breakers in (one, other):
            breakers.report("payment", run(number), DOWN, 0.0)
    assert len(fleet.forgiven) == 1


def test_half_open_only_runs_with_a_permit_are_let_through(fleet: Fleet) -> None:
    breakers = fleet.process()
    open_it(fleet, breakers)
    assert half_open(fleet, breakers) == LIMITS.permits
    for number in range(LIMITS.permits):
        breakers.admit("payment", run(number))
    with pytest.raises(BreakerOpen):
        breakers.admit("payment", run(99))


def test_successful_probes_let_the_backlog_go_at_a_bounded_rate(fleet: Fleet) -> None:
    breakers = fleet.process()
    fleet.backlog = 1000
    open_it(fleet, breakers)
    half_open(fleet, breakers)
    calls(breakers, 2)
    assert fleet.state() is State.RECOVERING
    fleet.seconds += 1.0
    assert breakers.grant("payment", 100) == 1
    breakers.admit("payment", run(7))
    with pytest.raises(BreakerOpen):
        breakers.admit("payment", run(8))


def test_failed_probes_open_it_again(fleet: Fleet) -> None:
    breakers = fleet.process()
    open_it(fleet, breakers)
    half_open(fleet, breakers)
    calls(breakers, 2, DOWN)
    assert fleet.state() is State.OPEN
    assert breakers.grant("payment", 10) == 0


def test_a_slow_probe_is_a_failed_probe(fleet: Fleet) -> None:
    breakers = fleet.process()
    open_it(fleet, breakers)
    half_open(fleet, breakers)
    calls(breakers, 2, elapsed_s=5.0)
    assert fleet.state() is State.OPEN


def test_an_answer_from_before_says_nothing_about_now(fleet: Fleet) -> None:
    breakers = fleet.process()
    fleet.backlog = 1000
    open_it(fleet, breakers)
    half_open(fleet, breakers)
    calls(breakers, 2)
    fleet.seconds += 1.0
    for number in range(100):
        breakers.report("payment", run(number), DOWN, 1.5)
    assert fleet.state() is State.RECOVERING


def test_permits_for_which_no_run_was_found_can_be_used_by_others(fleet: Fleet) -> None:
    one, other = fleet.process("one"), fleet.process("other")
    open_it(fleet, one)
    assert half_open(fleet, one) == 3
    one.give_back("payment", 2)
    other.refresh()
    assert other.grant("payment", 10) == 2


def test_it_closes_when_nothing_waits_any_more(fleet: Fleet) -> None:
    breakers = fleet.process()
    fleet.backlog = 1000
    open_it(fleet, breakers)
    half_open(fleet, breakers)
    calls(breakers, 2)
    fleet.seconds += 1.0
    breakers.refresh()
    assert fleet.state() is State.RECOVERING
    fleet.backlog = 0
    fleet.seconds += 1.0
    breakers.refresh()
    assert breakers.limited() == frozenset()


def test_a_named_pause_holds_the_whole_fleet(fleet: Fleet) -> None:
    one, other = fleet.process("one"), fleet.process("other")
    fleet.backlog = 100
    calls(one, 1, RateLimited("status 429", retry_after_s=120.0))
    fleet.seconds += 119.0
    other.refresh()
    assert other.limited() == {"payment"}
    assert other.grant("payment", 10) == 0
    with pytest.raises(BreakerOpen):
        other.admit("payment", run())
    fleet.seconds += 2.0
    other.refresh()
    assert other.grant("payment", 10) == 1
    assert fleet.forgiven == []


def test_a_probe_that_is_asked_to_pause_proves_nothing(fleet: Fleet) -> None:
    breakers = fleet.process()
    open_it(fleet, breakers)
    assert half_open(fleet, breakers) == 3
    calls(breakers, 1, RateLimited("status 429", retry_after_s=60.0))
    fleet.seconds += 61.0
    breakers.refresh()
    assert breakers.grant("payment", 10) == 3


def test_the_rate_that_is_normal_is_learnt_while_closed(fleet: Fleet) -> None:
    breakers = fleet.process()
    fleet.backlog = 10_000
    for _ in range(200):
        calls(breakers, 10)
        fleet.seconds += 0.1
        breakers.refresh()
    open_it(fleet, breakers)
    half_open(fleet, breakers)
    calls(breakers, 2)
    fleet.seconds += 1.0
    assert breakers.grant("payment", 1000) == pytest.approx(100 * LIMITS.release_factor * LIMITS.burst_s, abs=1)


def test_a_call_that_inquires_first_counts_twice_against_the_rate(fleet: Fleet) -> None:
    breakers = fleet.process()
    fleet.backlog = 1000
    open_it(fleet, breakers)
    half_open(fleet, breakers)
    calls(breakers, 2)
    let_through = 0
    for number in range(100):
        fleet.seconds += 1.0
        if breakers.grant("payment", 10):
            breakers.admit("payment", run(number), 2)
            let_through += 1
        if fleet.seconds > 1000 + 15:
            break
    assert let_through == pytest.approx(6, abs=1)


def test_without_the_store_local_limits_go_on(fleet: Fleet) -> None:
    breakers = fleet.process()
    fleet.away = True
    fleet.seconds += 1.0
    breakers.refresh()
    calls(breakers, LIMITS.minimum_calls, DOWN)
    with pytest.raises(BreakerOpen):
        breakers.admit("payment", run())
    assert half_open(fleet, breakers) == LIMITS.permits


def test_what_opened_while_the_store_was_away_is_told_to_it(fleet: Fleet) -> None:
    breakers = fleet.process()
    fleet.away = True
    for number in range(LIMITS.minimum_calls):
        breakers.report("payment", run(number), DOWN, 0.0)
    fleet.away = False
    fleet.seconds += 0.5
    breakers.refresh()
    assert fleet.state() is State.OPEN


def test_the_store_is_right_about_what_only_we_believed(fleet: Fleet) -> None:
    breakers = fleet.process()
    fleet.away = True
    calls(breakers, 1, RateLimited("status 429", retry_after_s=600.0))
    assert breakers.limited() == {"payment"}
    fleet.away = False
    fleet.seconds += 0.5
    breakers.refresh()
    assert breakers.limited() == frozenset()


def test_what_a_failover_of_the_store_lost_is_forgotten(fleet: Fleet) -> None:
    breakers = fleet.process()
    open_it(fleet, breakers)
    fleet.board.lose_everything()
    fleet.seconds += 1
    breakers.refresh()
    assert breakers.limited() == frozenset()
    open_it(fleet, breakers)


def test_an_answer_of_the_store_that_comes_late_is_not_believed(fleet: Fleet) -> None:
    breakers = fleet.process()
    open_it(fleet, breakers)
    fleet.seconds += LIMITS.open_s + 1
    fleet.board.meanwhile = lambda: breakers.grant("payment", 1)
    breakers.refresh()
    breakers.admit("payment", run())


def test_every_transition_is_logged_by_who_made_it_and_by_who_learns_of_it(fleet: Fleet) -> None:
    one, other = fleet.process("one"), fleet.process("other")
    for breakers in (one, other):
        with capture_logs() as logs:
            if breakers is one:
                open_it(fleet, one)
            fleet.seconds += 0.5
            breakers.refresh()
        (entry,) = [entry for entry in logs if entry["event"] == "breaker"]
        told: dict[str, Any] = {key: entry[key] for key in ("dependency", "before", "after", "reason")}
        assert told == {
            "dependency": "payment",
            "before": "closed",
            "after": "open",
            "reason": "20 of the last 20 calls failed",
        }


def test_trouble_with_the_store_is_logged_once(fleet: Fleet) -> None:
    breakers = fleet.process()
    fleet.away = True
    with capture_logs() as logs:
        for _ in range(5):
            fleet.seconds += 1.0
            breakers.refresh()
    assert [entry["event"] for entry in logs] == ["breakers go on with local limits"]


def test_a_dependency_without_a_breaker_is_never_limited(fleet: Fleet) -> None:
    breakers = fleet.process()
    for number in range(100):
        breakers.report("nobody", run(number), DOWN, 0.0)
    breakers.admit("nobody", run())
    assert breakers.grant("nobody", 7) == 7
