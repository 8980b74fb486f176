"""The contract of settings, against three members of etcd: in peace, and while they are killed one after the other."""

import pytest

from infrastructure.etcd.settings_store import EtcdSettings
from tests.contracts import settings as contract
from tests.infrastructure.etcd.conftest import Connect


@pytest.fixture
def store(connect: Connect) -> EtcdSettings:
    return EtcdSettings(connect())


@pytest.fixture
def other(connect: Connect) -> EtcdSettings:
    return EtcdSettings(connect())


class TestChanging(contract.ChangingContract):
    """Against etcd."""


class TestHistory(contract.HistoryContract):
    """Against etcd."""


class TestWaiting(contract.WaitingContract):
    """Against etcd."""


class TestConcurrency(contract.ConcurrencyContract):
    """Against etcd."""
