"""The contract, over HTTP against a really started simulator process."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from domain.outside import CustomerNotified
from infrastructure.gateways.http import http_world
from tests.contracts.gateways import GatewayContract, Harness, mail
from tests.servers.simulator import Simulator

_FAULTS = {"lost_answer": "drop_after", "error_before": "error_before", "too_many": "too_many"}


class HttpHarness(Harness):
    def __init__(self, simulator: Simulator) -> None:
        self.outside = http_world(simulator.url, threads=8, deadline_s=10)
        self._simulator = simulator

    def behave(self, **changes: Any) -> None:
        faults = {_FAULTS[name]: changes.pop(name) for name in list(changes) if name in _FAULTS}
        self._simulator.behave(**changes, faults=faults)

    def summary(self) -> dict[str, dict[str, int]]:
        return self._simulator.summary()


@pytest.fixture
def harness(shared_simulator: Simulator) -> Iterator[HttpHarness]:
    harness = HttpHarness(shared_simulator)
    yield harness
    harness.outside.close()


def test_who_makes_all_calls_without_threads_is_connected_too(shared_simulator: Simulator) -> None:
    with closing(http_world(shared_simulator.url, threads=0, deadline_s=10)) as world:
        request = mail("order-without-threads")
        assert isinstance(world.call(request, inquire_first=False), CustomerNotified)


class TestHttpGateways(GatewayContract):
    """The contract, over HTTP."""
