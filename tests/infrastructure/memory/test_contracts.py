"""The contracts of the store, against memory."""

import pytest

from infrastructure.memory import MemoryStore
from tests.contracts import event_store, settling, suspects, transactions, work_list
from tests.contracts.stores import Advance
from tests.infrastructure.memory.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock)


@pytest.fixture
def advance(clock: Clock) -> Advance:
    return clock.advance


class TestAppending(event_store.AppendingContract):
    """Against memory."""


class TestTogether(event_store.TogetherContract):
    """Against memory."""


class TestReading(event_store.ReadingContract):
    """Against memory."""


class TestTransaction(transactions.TransactionContract):
    """Against memory."""


class TestClaiming(work_list.ClaimingContract):
    """Against memory."""


class TestSettling(settling.SettlingContract):
    """Against memory."""


class TestAnnouncing(work_list.AnnouncingContract):
    """Against memory."""


class TestHolding(work_list.HoldingContract):
    """Against memory."""


class TestSuspects(suspects.SuspectContract):
    """Against memory."""


class TestMending(suspects.MendingContract):
    """Against memory."""
