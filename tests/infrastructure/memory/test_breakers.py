"""The contract of the breakers' board, against memory."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from domain.work import Step
from infrastructure.memory.breakers import MemoryBreakers
from tests.contracts import breakers


@pytest.fixture
def board() -> MemoryBreakers:
    return MemoryBreakers(lambda: datetime.now(UTC))


class TestBoard(breakers.BoardContract):
    """Against memory."""


class TestFleet(breakers.FleetContract):
    """Against memory."""


def test_whoever_knows_tells_how_many_wait() -> None:
    def waiting(steps: Sequence[Step], limit: int) -> int:
        assert limit == 5
        return {Step.CAPTURE: 7, Step.NOTIFY: 3}[steps[0]]

    board = MemoryBreakers(lambda: datetime.now(UTC), waiting)
    assert board.waiting([Step.CAPTURE], 5) == 5
    assert board.waiting([Step.NOTIFY], 5) == 3
