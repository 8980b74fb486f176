"""The contract of settings stores, against memory."""

from datetime import UTC, datetime

import pytest

from domain.configuration import SettingsStore
from infrastructure.memory.settings_store import MemorySettings
from tests.contracts import settings
from tests.contracts.settings_machine import run_settings_machine


@pytest.fixture
def store() -> SettingsStore:
    return MemorySettings(lambda: datetime.now(UTC))


@pytest.fixture
def other(store: SettingsStore) -> SettingsStore:
    return store


class TestChanging(settings.ChangingContract):
    """Against memory."""


class TestHistory(settings.HistoryContract):
    """Against memory."""


class TestWaiting(settings.WaitingContract):
    """Against memory."""


class TestConcurrency(settings.ConcurrencyContract):
    """Against memory."""


def test_random_lives_agree_with_the_model(store: SettingsStore) -> None:
    run_settings_machine(store, store, max_examples=50, stateful_step_count=30)
