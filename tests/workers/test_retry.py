"""What an error means for a run."""

from collections.abc import Callable
from datetime import timedelta
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import CommandRefused, OrderwrightError, OutcomeUnknown, Poison, Transient, Unavailable, UnknownEvent
from domain.work import Run, RunKey, Step
from tests.domain.examples import NOON
from workers.retry import Again, GiveUp, Judge, RetryPolicy

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
