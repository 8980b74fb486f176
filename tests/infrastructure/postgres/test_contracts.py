"""The contracts of the store, against Postgres."""

from collections.abc import Iterator
from functools import partial

import pytest

from infrastructure.postgres.store import PostgresStore
from tests.contracts import event_store, settling, suspects, transactions, work_list
from tests.contracts.stores import Advance
from tests.infrastructure.postgres.stores import age


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    store = PostgresStore(database)
    yield store
    store.close()


@pytest.fixture
def advance(database: str) -> Advance:
    return partial(age, database)


class TestAppending(event_store.AppendingContract):
    """Against Postgres."""


class TestTogether(event_store.TogetherContract):
    """Against Postgres."""


class TestReading(event_store.ReadingContract):
    """Against Postgres."""


class TestTransaction(transactions.TransactionContract):
    """Against Postgres."""


class TestClaiming(work_list.ClaimingContract):
    """Against Postgres."""


class TestSettling(settling.SettlingContract):
    """Against Postgres."""


class TestAnnouncing(work_list.AnnouncingContract):
    """Against Postgres."""


class TestHolding(work_list.HoldingContract):
    """Against Postgres."""


class TestSuspects(suspects.SuspectContract):
    """Against Postgres."""


class TestMending(suspects.MendingContract):
    """Against Postgres."""
