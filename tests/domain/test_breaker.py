"""The breaker's machine, by example; `test_breaker_machine.py` says what holds whatever happens."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.breaker import (
    NEVER,
    Ask,
    Breaker,
    Changed,
    Force,
    GiveBack,
    Granted,
    Limits,
    Looked,
    Pause,
    Probed,
    State,
    Trip,
)
from domain.breaker_machine import step

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
LIMITS = Limits()
TRIP = Trip(why="20 of the last 20 calls failed", failure_rate=1.0, normal_rate=100.0, chance=0.5)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def after(breaker: Breaker, *inputs: tuple[float, Any]) -> Breaker:
    for seconds, event in inputs:
        breaker, _ = step(breaker, event, later(seconds), LIMITS)
    return breaker


def granted(breaker: Breaker, wanted: int, seconds: float) -> int:
    _, outputs = step(breaker, Ask(wanted=wanted, holder="w"), later(seconds), LIMITS)
    return sum(output.count for output in outputs if isinstance(output, Granted))


CLOSED = Breaker(dependency="payment")
OPEN = after(CLOSED, (0, TRIP))
HALF_OPEN = after(OPEN, (10, Ask(wanted=3, holder="w")))


def probed(permit: int, *, succeeded: bool) -> Probed:
    return Probed(permit=permit, succeeded=succeeded, why="status 503", chance=0.5)


def recovering(normal_rate: float = 100.0) -> Breaker:
    opened = after(CLOSED, (0, replace(TRIP, normal_rate=normal_rate)), (10, Ask(wanted=3, holder="w")))
    return after(opened, (11, probed(1, succeeded=True)), (11, probed(2, succeeded=True)))


def test_a_closed_breaker_grants_whatever_is_wanted() -> None:
    assert granted(CLOSED, 1000, 0) == 1000


def test_an_open_breaker_grants_nothing_before_its_time_is_over() -> None:
    assert OPEN.state is State.OPEN
    assert granted(OPEN, 5, 1.9) == 0


def test_the_first_ask_after_its_time_makes_it_half_open_with_a_few_permits() -> None:
    assert granted(OPEN, 100, 10) == LIMITS.permits
    assert HALF_OPEN.state is State.HALF_OPEN
    assert granted(HALF_OPEN, 100, 11) == 0


def test_every_change_is_told_with_its_reason() -> None:
    _, outputs = step(CLOSED, TRIP, NOW, LIMITS)
    assert outputs == (Changed(before=State.CLOSED, after=State.OPEN, why=TRIP.why),)


def test_the_permit_of_a_vanished_process_expires() -> None:
    assert granted(HALF_OPEN, 100, 10 + LIMITS.permit_s - 1) == 0
    assert granted(HALF_OPEN, 100, 10 + LIMITS.permit_s + 1) == 3


def test_a_used_permit_is_not_given_out_again() -> None:
    once = after(HALF_OPEN, (11, probed(1, succeeded=True)))
    assert granted(once, 100, 10 + LIMITS.permit_s + 1) == 2


def test_a_permit_that_was_given_back_is_free() -> None:
    assert granted(after(HALF_OPEN, (11, GiveBack(permits=frozenset({2})))), 100, 11) == 1


def test_most_probes_have_to_succeed() -> None:
    one = after(HALF_OPEN, (11, probed(1, succeeded=False)))
    assert one.state is State.HALF_OPEN
    assert after(one, (11, probed(2, succeeded=True)), (11, probed(3, succeeded=True))).state is State.RECOVERING
    assert after(one, (11, probed(2, succeeded=False))).state is State.OPEN


def test_a_probe_that_succeeded_is_enough_if_nothing_else_waits() -> None:
    once = after(HALF_OPEN, (11, probed(1, succeeded=True)), (11, GiveBack(permits=frozenset({2, 3}))))
    assert after(once, (12, Looked(backlog=1))).state is State.HALF_OPEN
    assert after(once, (12, Looked(backlog=0))).state is State.RECOVERING
    assert after(once, (12, Looked(backlog=0)), (13, Looked(backlog=0))).state is State.CLOSED


def test_probes_that_are_under_way_are_waited_for() -> None:
    once = after(HALF_OPEN, (11, probed(1, succeeded=True)))
    assert after(once, (12, Looked(backlog=0))).state is State.HALF_OPEN
    assert after(once, (10 + LIMITS.permit_s + 1, Looked(backlog=0))).state is State.RECOVERING


def test_nothing_that_waits_is_no_proof_that_it_works() -> None:
    untried = after(HALF_OPEN, (11, GiveBack(permits=frozenset({1, 2, 3}))))
    failed = after(HALF_OPEN, (11, probed(1, succeeded=False)), (11, GiveBack(permits=frozenset({2, 3}))))
    for breaker in (OPEN, untried, failed):
        assert after(breaker, (12, Looked(backlog=0))) == breaker


def test_the_result_of_an_older_permit_counts_for_nothing() -> None:
    again = after(HALF_OPEN, (11, probed(1, succeeded=False)), (11, probed(2, succeeded=False)))
    later_on = after(again, (60, Ask(wanted=3, holder="w")), (61, probed(3, succeeded=True)))
    assert (later_on.succeeded, later_on.failed) == (0, 0)
    assert len(later_on.permits) == 3


def test_every_failed_probe_makes_the_wait_longer_up_to_a_bound() -> None:
    breaker, at, waits = OPEN, 0.0, []
    for _ in range(12):
        waits.append((breaker.probe_at - breaker.since).total_seconds())
        at += 1000
        breaker = after(breaker, (at, Ask(wanted=2, holder="w")))
        first, second = (permit.id for permit in breaker.permits)
        breaker = after(breaker, (at, probed(first, succeeded=False)), (at, probed(second, succeeded=False)))
    assert waits == sorted(waits)
    assert waits[0] == LIMITS.open_s
    assert waits[-1] == LIMITS.open_cap_s


def test_recovering_lets_a_little_more_through_than_was_normal() -> None:
    breaker, total = recovering(100.0), 0
    for tick in range(1, 101):
        breaker, outputs = step(breaker, Ask(wanted=1000, holder="w"), later(11 + tick / 10), LIMITS)
        total += sum(output.count for output in outputs if isinstance(output, Granted))
    assert total == pytest.approx(1250, abs=2)


def test_who_asks_seldom_cannot_save_up_tokens() -> None:
    assert granted(recovering(100.0), 1000, 11 + 30) == pytest.approx(125 * LIMITS.burst_s, abs=1)


def test_unused_tokens_are_given_back() -> None:
    used, _ = step(recovering(100.0), Ask(wanted=10, holder="w"), later(12), LIMITS)
    assert after(used, (12, GiveBack(tokens=10))).tokens == pytest.approx(used.tokens + 10)


def test_it_closes_when_nothing_waits_any_more() -> None:
    assert after(recovering(), (12, Looked(backlog=500))).state is State.RECOVERING
    closed = after(recovering(), (12, Looked(backlog=0)))
    assert (closed.state, closed.openings) == (State.CLOSED, 0)


def test_a_breaker_that_learnt_no_rate_begins_carefully_and_doubles() -> None:
    breaker = recovering(0.0)
    assert breaker.rate(later(11), LIMITS) == LIMITS.release_floor
    assert breaker.rate(later(11 + 2 * LIMITS.doubling_s), LIMITS) == 4 * LIMITS.release_floor


def test_the_rate_stays_for_as_long_as_the_outage_can_explain() -> None:
    breaker = recovering(100.0)
    assert breaker.rate(later(11 + 40), LIMITS) == pytest.approx(125)
    assert breaker.rate(later(11 + 11 * LIMITS.patience + 100), LIMITS) > 500


def test_too_many_failures_while_recovering_open_it_again_for_longer() -> None:
    again = after(recovering(), (12, TRIP))
    assert (again.state, again.openings) == (State.OPEN, 2)


def test_a_named_pause_holds_a_closed_breaker_and_is_released_slowly() -> None:
    held = after(CLOSED, (0, Pause(seconds=120.0, why="status 429", normal_rate=100.0)))
    assert granted(held, 10, 119.9) == 0
    assert granted(held, 1000, 121) == pytest.approx(100 * LIMITS.burst_s, abs=1)


def test_a_pause_holds_half_open_and_open_too() -> None:
    pause = Pause(seconds=120.0, why="status 429", normal_rate=100.0)
    assert granted(after(OPEN, (1, pause)), 10, 100) == 0
    freed = after(HALF_OPEN, (11, GiveBack(permits=frozenset({1, 2, 3}))), (11, pause))
    assert granted(freed, 10, 130) == 0
    assert granted(freed, 10, 132) == 3


def test_of_two_pauses_the_longer_one_counts() -> None:
    held = after(CLOSED, (0, Pause(seconds=120.0, why="x", normal_rate=1.0)))
    assert after(held, (1, Pause(seconds=5.0, why="x", normal_rate=1.0))).hold_until == later(120)
    assert after(held, (1, Pause(seconds=200.0, why="x", normal_rate=1.0))).hold_until == later(201)


def test_only_the_first_request_for_a_pause_lowers_the_rate() -> None:
    held = after(recovering(100.0), (12, Pause(seconds=2.0, why="x", normal_rate=0.0)))
    assert held.release_rate == pytest.approx(87.5)
    assert after(held, (13, Pause(seconds=2.0, why="x", normal_rate=0.0))).release_rate == pytest.approx(87.5)


def test_a_person_can_force_it_open_until_told_otherwise() -> None:
    forced = after(CLOSED, (0, Force(to=State.OPEN, until=None, who="ann", why="fraud")))
    assert granted(forced, 10, 1e6) == 0
    freed = after(forced, (1e6, Force(to=None, until=None, who="ann", why="over")))
    assert granted(freed, 10, 1e6) == 3


def test_what_was_forced_for_a_time_is_probed_when_it_is_over() -> None:
    forced = after(CLOSED, (0, Force(to=State.OPEN, until=later(600), who="ann", why="fraud")))
    assert granted(forced, 10, 599) == 0
    _, outputs = step(forced, Ask(wanted=10, holder="w"), later(601), LIMITS)
    assert [type(output) for output in outputs] == [Changed, Changed, Granted]


def test_forced_closed_hears_neither_failures_nor_pauses() -> None:
    forced = after(OPEN, (1, Force(to=State.CLOSED, until=None, who="ann", why="we know better")))
    assert after(forced, (2, TRIP), (3, Pause(seconds=60.0, why="x", normal_rate=0.0))) == forced


def test_forcing_tells_who_it_was() -> None:
    _, outputs = step(CLOSED, Force(to=State.OPEN, until=None, who="ann", why="fraud"), NOW, LIMITS)
    assert outputs == (Changed(before=State.CLOSED, after=State.OPEN, why="fraud", who="ann"),)


def test_letting_a_closed_breaker_decide_changes_nothing() -> None:
    assert step(CLOSED, Force(to=None, until=None, who="ann", why="x"), NOW, LIMITS) == (CLOSED, ())


def test_the_next_probe_is_known() -> None:
    assert CLOSED.next_probe() is None
    assert OPEN.next_probe() == later(2)
    assert after(OPEN, (1, Pause(seconds=60.0, why="x", normal_rate=0.0))).next_probe() == later(61)
    assert after(OPEN, (1, Force(to=State.OPEN, until=None, who="a", why="x"))).next_probe() is None


def test_a_clock_that_lags_behind_gives_out_no_token_twice() -> None:
    used, _ = step(recovering(100.0), Ask(wanted=1000, holder="w"), later(20), LIMITS)
    assert granted(after(used, (15, Ask(wanted=1000, holder="v"))), 1000, 20) == 0
    assert used.tokens_at > NEVER


def test_many_requests_for_a_pause_lower_the_rate_to_a_quarter_and_no_further() -> None:
    breaker, at = recovering(100.0), 12.0
    for _ in range(20):
        breaker = after(breaker, (at, Pause(seconds=1.0, why="x", normal_rate=0.0)))
        at += 2.0
    assert breaker.release_rate == 25.0


@pytest.mark.parametrize("back_s", [3600.0, 86_400.0])
def test_a_clock_that_is_set_back_stops_nobody_for_longer(back_s: float) -> None:
    assert granted(OPEN, 10, -back_s) == LIMITS.permits
    assert granted(HALF_OPEN, 10, -back_s) == LIMITS.permits
    assert granted(recovering(100.0), 10, -back_s) > 0
