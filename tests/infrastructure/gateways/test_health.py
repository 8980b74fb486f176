"""Whether the outside world answers at all, asked with nothing but what is installed to run."""

from infrastructure.gateways.health import trouble
from tests.servers.simulator import Simulator


def test_a_simulator_that_runs_is_well(shared_simulator: Simulator) -> None:
    assert trouble(shared_simulator.url) is None


def test_nobody_at_the_door_is_trouble() -> None:
    assert trouble("http://127.0.0.1:1") is not None


def test_an_address_that_is_none_is_trouble_and_no_crash() -> None:
    assert trouble("not a url") is not None
