"""Queues that rest, and steps that somebody has paused."""

from collections.abc import Iterable

import pytest

from domain.errors import StepPaused
from domain.work import Run, RunKey, Step
from tests.workers.test_limited import Breakers
from workers.pausing import Pausing
from workers.rationing import Rationing
from workers.retry import Again, Judge, RetryPolicy

CAPTURE = Run(RunKey("o", Step.CAPTURE, 0, 1), 3, 1)


class Consumer:
    """Remembers which queues rest."""

    def __init__(self) -> None:
        self.resting: set[str] = set()

    def pause(self, queues: Iterable[str]) -> None:
        self.resting |= set(queues)

    def resume(self, queues: Iterable[str]) -> None:
        self.resting -= set(queues)


def pausing(breakers: Breakers | Rationing, *steps: Step) -> tuple[Pausing, Consumer]:
    made, consumer = Pausing(breakers, frozenset(steps), lambda step: f"q.{step}"), Consumer()
    made.consumer = consumer
    return made, consumer


def test_the_queues_of_paused_steps_and_of_limited_dependencies_rest() -> None:
    breakers = Breakers("mail")
    paused, consumer = pausing(breakers, Step.NOTIFY, Step.CAPTURE, Step.AUTHORIZE)
    paused.stopped = frozenset({Step.CAPTURE, Step.LABEL})
    paused.refresh()
    assert consumer.resting == {"q.notify", "q.capture"}
    paused.stopped = frozenset()
    paused.refresh()
    assert consumer.resting == {"q.notify"}


def test_a_step_that_is_paused_twice_over_goes_on_when_neither_holds_it_any_more() -> None:
    breakers = Breakers("payment")
    paused, consumer = pausing(breakers, Step.CAPTURE)
    paused.stopped = frozenset({Step.CAPTURE})
    paused.refresh()
    breakers.now_limited.clear()
    paused.refresh()
    assert consumer.resting == {"q.capture"}
    paused.stopped = frozenset()
    paused.refresh()
    assert consumer.resting == set()


def test_a_call_of_a_paused_step_is_refused_and_its_run_keeps_its_attempt() -> None:
    paused, _ = pausing(Breakers(), Step.CAPTURE)
    paused.admit("payment", CAPTURE)
    paused.stopped = frozenset({Step.CAPTURE})
    with pytest.raises(StepPaused) as refused:
        paused.admit("payment", CAPTURE)
    fate = Judge(retries=RetryPolicy(attempts=1), random=lambda: 0.5).fate(refused.value, CAPTURE, None)  # type: ignore[arg-type]
    assert isinstance(fate, Again)
    assert (fate.keep_attempt, fate.due_in.total_seconds(), fate.parked_on, fate.unknown) == (False, 0, "", False)


class Shared:
    """A rate from which so many are left."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, dependency: str, wanted: int, rate: float) -> int:
        taken = min(wanted, self.left)
        self.left -= taken
        return taken

    def give_back(self, dependency: str, count: int, rate: float) -> None:
        self.left += count


def test_a_dependency_with_a_rate_is_served_by_grants_and_is_in_no_trouble() -> None:
    rationing = Rationing(Breakers(), Shared(5))
    assert rationing.limited() == frozenset()
    rationing.rates = {"payment": 5.0}
    assert rationing.limited() == {"payment"}
    assert rationing.troubled() == frozenset()
    assert [rationing.grant("payment", 3), rationing.grant("payment", 3)] == [3, 2]
    rationing.give_back("payment", 1)
    assert rationing.grant("payment", 3) == 1


def test_behind_an_open_breaker_no_more_of_the_rate_is_used_than_is_granted() -> None:
    shared, breakers = Shared(10), Breakers("payment", grants=2)
    rationing = Rationing(breakers, shared)
    rationing.rates = {"payment": 5.0}
    assert rationing.grant("payment", 6) == 2
    assert shared.left == 8
    rationing.give_back("payment", 1)
    assert (shared.left, breakers.given_back) == (9, 1)
    assert rationing.troubled() == {"payment"}


def test_without_a_rate_the_breaker_alone_decides() -> None:
    rationing = Rationing(Breakers("payment", grants=2), Shared(0))
    assert rationing.grant("payment", 6) == 2
