"""The contract of settings, against three members of etcd: in peace, and while they are killed one after the other."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from infrastructure.etcd.address import access
from infrastructure.etcd.client import Etcd
from infrastructure.etcd.settings_store import EtcdSettings
from tests.contracts import settings as contract
from tests.servers.etcd import EtcdCluster

Open = Callable[[], EtcdSettings]


@pytest.fixture
def open_store(etcd: EtcdCluster) -> Iterator[Open]:
    prefix, opened = f"test-{uuid4().hex}", list[EtcdSettings]()

    def open_one() -> EtcdSettings:
        opened.append(EtcdSettings(Etcd(access(etcd.url, prefix=prefix))))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def store(open_store: Open) -> EtcdSettings:
    return open_store()


@pytest.fixture
def other(open_store: Open) -> EtcdSettings:
    return open_store()


class TestChanging(contract.ChangingContract):
    """Against etcd."""


class TestHistory(contract.HistoryContract):
    """Against etcd."""


class TestWaiting(contract.WaitingContract):
    """Against etcd."""


class TestConcurrency(contract.ConcurrencyContract):
    """Against etcd."""
