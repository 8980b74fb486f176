"""What a person uses when a seed is red: the command that repeats it, and the smallest run that still fails."""

from dataclasses import replace

import pytest

from tests.simulation import __main__ as command
from tests.simulation.fleet import run_fleet
from tests.simulation.minimize import fails, minimize, told
from tests.simulation.mutations import mutated
from tests.simulation.shape import Shape, shape_of

SOUND = 3


def test_minimizing_leaves_what_matters() -> None:
    def killed_with_two(shape: Shape) -> bool:
        return 2 in shape.orders and any(one.kind == "kill" for one in shape.plan)

    shape = next(shape for shape in map(shape_of, range(1, 500)) if killed_with_two(shape))
    small = minimize(shape, killed_with_two)
    assert small.orders == (2,)
    assert [one.kind for one in small.plan] == ["kill"]
    assert not small.rates
    assert small.workers == 1
    assert "kill" in told(small)


def test_what_does_not_fail_is_not_made_smaller() -> None:
    shape = shape_of(SOUND)
    assert minimize(shape, lambda _: False) == shape


def test_a_red_seed_is_told_with_the_command_that_repeats_it(capsys: pytest.CaptureFixture[str]) -> None:
    with mutated("no void of what is not needed"):
        seed = next(seed for seed in range(1, 50) if fails(shape_of(seed)))
        assert command.run(["--seed", str(seed)]) == 1
    assert "in limbo" in capsys.readouterr().out


def test_a_trace_shows_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["--seed", str(SOUND), "--trace"]) == 0
    told_ = capsys.readouterr().out
    assert "OrderPlaced" in told_
    assert f"seed {SOUND}: " in told_


def test_many_seeds_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_fleet(1, 4, jobs=2) == 0
    assert "4 green, 0 red" in capsys.readouterr().out


def test_the_shape_of_a_seed_is_always_the_same() -> None:
    assert shape_of(7) == shape_of(7)
    assert replace(shape_of(7), seed=8) != shape_of(8)
