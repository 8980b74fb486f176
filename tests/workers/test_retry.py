"""What an error means for a run."""

from collections.abc import Callable
from datetime import datetime, timedelta
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import (
    BreakerOpen,
    CommandRefused,
    KeyExpired,
    OrderwrightError,
    OutcomeUnknown,
    Poison,
    RateLimited,
    Transient,
    Unavailable,
    UnknownEvent,
)
from domain.work import Run, RunKey, Step
from tests.domain.examples import NOON
from workers.retry import Again, GiveUp, Judge, RetryPolicy, RetryTable
from workers.retry_budget import RetryBudget

POLICY = RetryPolicy(attempts=5, base_s=1.0, cap_s=10.0)


def half() -> float:
    return 0.5


def fate_of(error: Exception, attempts: int = 1, random: Callable[[], float] = half) -> Again | GiveUp:
    run = Run(RunKey("o1", Step.RISK), attempts, 1)
    return Judge(retries=POLICY, random=random).fate(error, run, NOON)


def again(error: Exception, attempts: int = 1, random: Callable[[], float] = half) -> Again:
    fate = fate_of(error, attempts, random)
    assert isinstance(fate, Again)
    return fate


def test_what_did_not_reach_the_other_side_gives_its_attempt_back() -> None:
    fate = again(Unavailable("no route"))
    assert (fate.keep_attempt, fate.unknown) == (False, False)


@given(attempts=st.integers(1, 10_000))
def test_what_did_not_reach_the_other_side_is_tried_for_ever(attempts: int) -> None:
    assert isinstance(fate_of(Unavailable("no route"), attempts), Again)


def test_what_may_work_later_uses_an_attempt_up() -> None:
    fate = again(Transient("busy"))
    assert (fate.keep_attempt, fate.unknown) == (True, False)


@pytest.mark.parametrize("error", [OutcomeUnknown("lost"), ZeroDivisionError("anything")])
def test_what_may_have_happened_is_recorded_as_unknown_also_when_it_is_given_up(error: Exception) -> None:
    assert again(error).unknown
    assert fate_of(error, 5) == GiveUp(reason=f"{type(error).__name__}: {error}", unknown=True)


@pytest.mark.parametrize("error", [Transient("x"), OutcomeUnknown("x"), ZeroDivisionError("x")])
@pytest.mark.parametrize(("attempts", "fate"), [(4, Again), (5, GiveUp), (6, GiveUp)])
def test_the_last_attempt_is_the_last(error: Exception, attempts: int, fate: type) -> None:
    assert isinstance(fate_of(error, attempts), fate)


@pytest.mark.parametrize("error", [Poison("x"), CommandRefused("x"), UnknownEvent(type="t", schema=1)])
def test_what_can_never_succeed_is_given_up_at_once(error: OrderwrightError) -> None:
    assert fate_of(error) == GiveUp(reason=f"{type(error).__name__}: {error}")


def test_the_waits_grow_up_to_their_cap() -> None:
    waits = [again(Transient("x"), attempts).due_in for attempts in (1, 2, 3, 4)]
    assert waits == [timedelta(seconds=0.05 + half) for half in (1.0, 2.0, 4.0, 5.0)]


@given(attempts=st.integers(1, 4), chance=st.floats(0, 1, exclude_max=True))
def test_the_jitter_is_full(attempts: int, chance: float) -> None:
    fate = again(Transient("x"), attempts, lambda: chance)
    assert fate.due_in == timedelta(seconds=0.05 + min(10.0, 2.0**attempts) * chance)


@given(attempts=st.integers(1, 4), chance=st.floats(0, 1, exclude_max=True), named=st.floats(0, 10_000))
def test_a_time_that_the_other_side_named_is_a_floor(attempts: int, chance: float, named: float) -> None:
    fate = again(Transient("x", retry_after_s=named), attempts, lambda: chance)
    assert fate.due_in >= timedelta(seconds=named)


@pytest.mark.parametrize("named", [inf, 1e300, -5.0])
def test_a_senseless_time_is_no_reason_to_wait_for_ever(named: float) -> None:
    assert timedelta(0) < again(Transient("x", retry_after_s=named)).due_in < timedelta(days=2)


@given(text=st.text(max_size=2_000))
def test_a_reason_is_text_that_every_log_and_database_takes(text: str) -> None:
    reason = again(Transient(text + "\x00\ud800\n")).reason
    assert reason.isprintable()
    reason.encode()


def judge(**rules: Any) -> Judge:
    return Judge(**{"retries": POLICY, "random": half, **rules})


def tried(attempts: int = 1, step: Step = Step.CAPTURE, *, since: datetime | None = None, crashes: int = 0) -> Run:
    return Run(RunKey("o1", step), attempts, 1, crashes, since)


def test_every_step_has_its_own_policy_or_that_of_its_dependency_or_the_common_one() -> None:
    own, money, common = RetryPolicy(attempts=1), RetryPolicy(attempts=2), RetryPolicy(attempts=3)
    table = RetryTable(common=common, special={"capture": own, "payment": money})
    assert [table.of(step) for step in (Step.CAPTURE, Step.VOID, Step.LABEL, Step.ALLOCATE)] == [
        own,
        money,
        common,
        common,
    ]


@pytest.mark.parametrize(("age_s", "fate"), [(59, Again), (61, GiveUp)])
def test_a_run_that_has_failed_for_too_long_is_given_up_however_seldom_it_was_tried(age_s: int, fate: type) -> None:
    patient = RetryPolicy(attempts=100, deadline_s=60.0)
    run = tried(2, since=NOON - timedelta(seconds=age_s))
    assert isinstance(judge(retries=patient).fate(Transient("x"), run, NOON), fate)


@pytest.mark.parametrize("error", [Transient("x"), OutcomeUnknown("x"), ZeroDivisionError("x")])
def test_while_its_breaker_is_not_closed_no_run_is_given_up_or_loses_an_attempt(error: Exception) -> None:
    fate = judge(limited=frozenset({"payment"})).fate(error, tried(99, since=NOON - timedelta(days=99)), NOON)
    assert isinstance(fate, Again)
    assert not fate.keep_attempt


def test_what_can_never_succeed_is_given_up_whatever_its_breaker_says() -> None:
    assert judge(limited=frozenset({"payment"})).fate(Poison("x"), tried(), NOON) == GiveUp(reason="Poison: x")


def test_what_its_breaker_sent_back_waits_for_the_breaker_and_for_nothing_else() -> None:
    fate = judge().fate(BreakerOpen("payment"), tried(99), NOON)
    assert isinstance(fate, Again)
    assert (fate.parked_on, fate.keep_attempt, fate.due_in) == ("payment", False, timedelta(0))


def test_who_is_asked_to_come_later_does_so_for_ever_and_at_no_cost() -> None:
    fate = judge().fate(RateLimited("429", retry_after_s=30.0), tried(99), NOON)
    assert isinstance(fate, Again)
    assert (fate.keep_attempt, fate.due_in >= timedelta(seconds=30)) == (False, True)


def test_beyond_the_budget_a_retry_waits_longer_at_no_cost() -> None:
    within = judge().fate(Transient("x"), tried(), NOON)
    beyond = judge(may_retry=lambda _dependency: False).fate(Transient("x"), tried(), NOON)
    assert isinstance(within, Again)
    assert isinstance(beyond, Again)
    assert (within.keep_attempt, beyond.keep_attempt) == (True, False)
    assert beyond.due_in >= timedelta(seconds=POLICY.cap_s / 2) > within.due_in


def test_while_a_breaker_is_not_closed_no_budget_puts_its_runs_off_for_minutes() -> None:
    outage: dict[str, Any] = {"may_retry": lambda _dependency: False, "limited": frozenset({"payment"})}
    fate = judge(**outage).fate(Unavailable("refused"), tried(), NOON)
    assert isinstance(fate, Again)
    assert (fate.keep_attempt, fate.due_in < timedelta(seconds=POLICY.cap_s / 2)) == (False, True)


def test_what_nobody_knows_of_any_more_may_have_happened() -> None:
    fate = judge().fate(KeyExpired("forgotten"), tried(), NOON)
    assert isinstance(fate, GiveUp)
    assert fate.unknown


@pytest.mark.parametrize(
    ("crashes", "step", "unknown"), [(5, Step.RISK, None), (6, Step.RISK, True), (6, Step.CLOSE, False)]
)
def test_a_run_that_ended_more_than_five_workers_is_given_up(crashes: int, step: Step, unknown: bool | None) -> None:
    fate = judge().crashed(tried(step=step, crashes=crashes))
    assert (fate.unknown if fate else None) == unknown


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_share_of_the_calls_and_a_floor_may_be_retries() -> None:
    budget = RetryBudget(Clock(), share=0.1, floor=2)
    for _ in range(50):
        budget.called("payment")
    assert [budget.may_retry("payment") for _ in range(8)] == [True] * 7 + [False]
    assert [budget.may_retry("carrier") for _ in range(3)] == [True, True, False]


def test_after_a_minute_the_budget_is_there_again() -> None:
    clock = Clock()
    budget = RetryBudget(clock, share=0.0, floor=1)
    assert budget.may_retry("mail")
    clock.now = 49.0
    assert not budget.may_retry("mail")
    clock.now = 61.0
    assert budget.may_retry("mail")
