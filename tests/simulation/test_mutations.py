"""The simulation finds bugs: each mutation of the program is found within a bounded number of seeds."""

import pytest

from tests.simulation.mutations import MUTATIONS, hunt, hunting_ground
from tests.simulation.run import simulate

WITHIN = 40


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_bug_put_in_on_purpose_is_found(name: str) -> None:
    found = hunt(name, range(1, WITHIN))
    assert found is not None, f"{name} is not found within {WITHIN} seeds"
    ground = hunting_ground(found.seed, MUTATIONS[name])
    assert not simulate(ground).findings, "it is found in the sound program, too"
