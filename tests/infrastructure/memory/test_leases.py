"""The contract of leases, against memory."""

from collections.abc import Callable

import pytest

from domain.lease import Grant
from infrastructure.memory.leases import MemoryLeases
from tests.contracts import leases
from tests.contracts.leases import Write
from tests.contracts.stores import Advance
from tests.infrastructure.memory.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> MemoryLeases:
    return MemoryLeases(clock)


@pytest.fixture
def advance(clock: Clock) -> Advance:
    return clock.advance


@pytest.fixture
def write(table: MemoryLeases) -> Write:
    def write(grant: Grant, meanwhile: Callable[[], object] = lambda: None) -> None:
        with table.transaction() as transaction:
            table.guard(transaction, grant)
            meanwhile()

    return write


holder, rival, vanish = leases.holder, leases.rival, leases.vanish


class TestTaking(leases.TakingContract):
    """Against memory."""


class TestKeeping(leases.KeepingContract):
    """Against memory."""


class TestGuarding(leases.GuardingContract):
    """Against memory."""
