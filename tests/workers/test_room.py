"""Room on the desk: slow dependencies leave some to the others, whatever their number."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Transient
from domain.work import DEPENDENCY, Run, RunKey, Step
from workers.desk import Desk
from workers.room import Room
from workers.turns import Inputs

ONE_OF_EACH = (Step.RISK, Step.CAPTURE, Step.LABEL, Step.NOTIFY)


def fill(desk: Desk, steps: tuple[Step, ...], in_flight: int) -> None:
    """Hold as many runs of these steps as there is room for."""
    numbers = count()
    while True:
        room = Room(desk, in_flight)
        takable = [step for step in steps if room.take(step)]
        if not takable:
            return
        desk.hold(Run(RunKey(f"o{next(numbers)}", takable[0]), 1, 1))


@pytest.mark.parametrize(("slow", "left"), [(1, 333), (2, 111), (3, 37), (4, 12)])
def test_however_many_dependencies_are_slow_there_is_room_left(slow: int, left: int) -> None:
    desk = Desk()
    for step in ONE_OF_EACH[:slow]:
        fill(desk, (step,), 1000)
    assert Room(desk, 1000).free == left
    assert Room(desk, 1000).full() <= {DEPENDENCY[step] for step in ONE_OF_EACH[:slow]}


def test_steps_that_call_nobody_need_no_room() -> None:
    desk = Desk()
    fill(desk, ONE_OF_EACH, 10)
    assert Room(desk, 10).take(Step.ALLOCATE)


def test_what_is_about_to_be_settled_makes_room_for_what_follows() -> None:
    desk = Desk()
    run = Run(RunKey("o1", Step.LABEL), 1, 1)
    desk.hold(run)
    assert not Room(desk, 1).take(Step.CAPTURE)
    assert Room(desk, 1, {"o1": Inputs(answers=[(run, Transient("x"))])}).take(Step.CAPTURE)


@given(st.lists(st.sampled_from(ONE_OF_EACH), max_size=40), st.integers(1, 20))
def test_no_more_is_taken_than_there_is_room_for(steps: list[Step], in_flight: int) -> None:
    room = Room(Desk(), in_flight)
    assert sum(map(room.take, steps)) <= in_flight
