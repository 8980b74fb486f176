"""The contract of settings once more, against etcd, while one member after the other is killed and comes back with its data."""

import random
import threading
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest

from infrastructure.etcd.address import access
from infrastructure.etcd.client import Etcd
from infrastructure.etcd.settings_store import EtcdSettings
from tests.contracts import settings as contract
from tests.servers.etcd import EtcdCluster

PAUSE_S = 0.5


@pytest.fixture(scope="module", autouse=True)
def kills(etcd_cluster: EtcdCluster) -> Iterator[None]:
    """A leader as often as not."""
    chance, stop, killed = random.Random(3), threading.Event(), list[int]()

    def kill_and_start() -> None:
        while not stop.is_set():
            victim = chance.choice([etcd_cluster.leader(), chance.choice(etcd_cluster.members)])
            victim.kill()
            killed.append(victim.number)
            stop.wait(PAUSE_S)
            victim.start()
            etcd_cluster.recover()
            stop.wait(PAUSE_S)

    thread = threading.Thread(target=kill_and_start)
    thread.start()
    yield
    stop.set()
    thread.join(60)
    etcd_cluster.recover()
    assert killed


@pytest.fixture(scope="module")
def prefix() -> str:
    return f"test-{uuid4().hex}"


@pytest.fixture
def store(etcd_cluster: EtcdCluster, prefix: str) -> Iterator[EtcdSettings]:
    with closing(EtcdSettings(Etcd(access(etcd_cluster.url, prefix=prefix)))) as store:
        yield store


@pytest.fixture
def other(etcd_cluster: EtcdCluster, prefix: str) -> Iterator[EtcdSettings]:
    with closing(EtcdSettings(Etcd(access(etcd_cluster.url, prefix=prefix)))) as store:
        yield store


class TestChanging(contract.ChangingContract):
    """While members are killed."""


class TestHistory(contract.HistoryContract):
    """While members are killed."""


class TestWaiting(contract.WaitingContract):
    """While members are killed."""


class TestConcurrency(contract.ConcurrencyContract):
    """While members are killed."""
