"""The contract of settings, against three members of etcd: in peace, and while they are killed one after the other."""

from uuid import uuid4

import pytest

from domain.configuration import Revision
from domain.errors import CommandRefused
from infrastructure.etcd.settings_store import EtcdSettings
from tests.contracts import settings as contract
from tests.contracts.settings import put
from tests.contracts.settings_machine import run_settings_machine
from tests.infrastructure.etcd.conftest import Connect
from tests.servers.etcd import EtcdCluster


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


def test_random_lives_agree_with_the_model(store: EtcdSettings, other: EtcdSettings) -> None:
    run_settings_machine(store, other, max_examples=10, stateful_step_count=10)


def test_what_a_wiped_cluster_has_lost_is_put_in_force_beyond_all_that_was_seen(
    etcd: EtcdCluster, store: EtcdSettings, other: EtcdSettings
) -> None:
    kept = [put(store, {"batch": number + 1}) for number in range(3)][-1]
    etcd.wipe()
    assert store.read() == Revision()
    assert put(store, {"batch": 9}).version < kept.version
    request = uuid4().hex
    restored = store.restore(kept, who="cli:ada", why="wiped", request=request)
    assert (restored.version > kept.version, restored.values) == (True, kept.values)
    assert (
        store.restore(Revision(version=restored.version + 1), who="cli:ada", why="again", request=request) == restored
    )
    assert other.wait(kept.version, 0.0) == restored
    assert [change.version for change in store.history(limit=2)] == [restored.version, 1]
    with pytest.raises(CommandRefused, match="nothing is lost"):
        other.restore(kept, who="cli:ada", why="wiped", request=uuid4().hex)
