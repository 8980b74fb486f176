"""A cluster that was put back to an old snapshot, as the manual describes it: nothing that was decided since is decided again, or undone."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from domain.lease import Grant, LeaseLost
from infrastructure.embedded.waiting import wait_until
from infrastructure.etcd.leases import EtcdLeases
from infrastructure.postgres import database as postgres
from infrastructure.postgres.fences import Fences
from infrastructure.settings import Settings
from tests.conftest import REQUIRE_ETCD
from tests.contracts.leases import TIME, take
from tests.contracts.settings import put
from tests.infrastructure.etcd.conftest import Connect
from tests.servers.etcd import EtcdCluster, find_etcdctl
from workers.bootstrap import Runtime

PATIENCE_S = 30.0


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """Where one is kept."""
    if find_etcdctl() is None and os.environ.get(REQUIRE_ETCD) == "1":
        pytest.fail(f"etcdctl is not installed, but {REQUIRE_ETCD}=1", pytrace=False)
    if find_etcdctl() is None:
        pytest.skip("etcdctl is not installed (Debian: apt install etcd-client)")
    return tmp_path / "orderwright.snapshot"


@pytest.fixture
def runtime(etcd: EtcdCluster, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """A process that looks for lost versions often."""
    monkeypatch.setattr("workers.live.WAIT_S", 0.2)
    given = {"coordination_url": etcd.url, "etcd_prefix": uuid4().hex, "data_dir": tmp_path}
    with Runtime(Settings.model_validate({"database_url": SecretStr(database), **given})) as runtime:
        yield runtime


def write(table: EtcdLeases, grant: Grant, dsn: str) -> None:
    with closing(postgres.connect(dsn, application="test")) as connection, connection.transaction():
        table.guard(connection, grant)


def test_no_epoch_is_given_out_twice_although_revisions_are(
    etcd: EtcdCluster, connect: Connect, snapshot: Path, module_database: str
) -> None:
    """The former holder was frozen meanwhile: by its own clock the lease is still its own."""
    first, second = (EtcdLeases(connect(), Fences(module_database)) for _ in range(2))
    take(first, first.enter("first", TIME), "another thing")
    etcd.snapshot(snapshot)
    former = take(first, first.enter("first again", TIME))
    etcd.restore(snapshot)
    rival = second.enter("second", TIME)
    assert second.take("thing", rival, TIME) is None, "the very epoch that the former holder has"
    grant = take(second, rival)
    assert grant.epoch > former.epoch
    write(second, grant, module_database)
    with pytest.raises(LeaseLost):
        write(first, former, module_database)


def test_no_process_goes_back_to_older_settings_without_a_persons_word(
    etcd: EtcdCluster, snapshot: Path, runtime: Runtime
) -> None:
    store, live = runtime.settings_store(), runtime.live()
    put(store, {"batch": 11})
    etcd.snapshot(snapshot)
    newest = put(store, {"batch": 22})
    assert wait_until(lambda: live.now().version == newest.version, timeout_s=PATIENCE_S)
    with capture_logs() as said:
        etcd.restore(snapshot)
        assert wait_until(lambda: any("lost versions" in one["event"] for one in said), timeout_s=PATIENCE_S)
    assert (live.now().version, live.now().settings.batch) == (newest.version, 22)
    restored = runtime.restore_settings(who="cli:ada", why="the disk was lost")
    assert wait_until(lambda: live.now().version == restored.version, timeout_s=PATIENCE_S)
    assert live.now().settings.batch == 22
