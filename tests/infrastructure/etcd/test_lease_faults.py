"""Leases in a cluster that meets with faults, and under processes that do: no two ever write under one name."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from domain.lease import LeaseLost
from infrastructure.embedded.waiting import wait_until
from infrastructure.etcd.leases import EtcdLeases
from infrastructure.postgres import database as postgres
from infrastructure.postgres.fences import Fences
from tests.faults import signals
from tests.faults.proxy import Proxy
from tests.infrastructure.etcd.conftest import Connect
from tests.infrastructure.etcd.test_faults import FAULTS, OUTAGE_S, say
from tests.servers.etcd import EtcdCluster
from tests.workers.lease_holder import NAME, prepare
from workers.leases import Lease, Leases

ROOT = Path(__file__).parents[3]
SHORT = timedelta(seconds=2)
LONG = timedelta(seconds=30)


@pytest.fixture
def counter(database: str) -> str:
    prepare(database)
    return database


def writes(dsn: str) -> list[tuple[int, int]]:
    """Epoch and process of each write, in their order."""
    with psycopg.connect(dsn) as observer:
        rows = observer.execute("SELECT n, epoch, pid FROM written ORDER BY n").fetchall()
    assert [n for n, _, _ in rows] == list(range(1, len(rows) + 1))
    return [(epoch, pid) for _, epoch, pid in rows]


class Holders:
    """Processes that all want to write, and do it as fast as they can when they may."""

    def __init__(self, dsn: str, url: str, count: int) -> None:
        self._dsn = dsn
        arguments = [
            sys.executable,
            "-m",
            "tests.workers.lease_holder",
            dsn,
            str(SHORT.total_seconds()),
            url,
            uuid4().hex,
        ]
        self._processes = [
            subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=None)
            for _ in range(count)
        ]

    def writer(self) -> int:
        """Whoever writes now: not who did before it was frozen."""
        before = len(writes(self._dsn))
        assert wait_until(lambda: len(writes(self._dsn)) > before + 5, timeout_s=30.0), "nobody writes"
        return writes(self._dsn)[-1][1]

    def freeze_the_writer(self) -> None:
        """Until another one writes."""
        frozen = self.writer()
        with signals.frozen([frozen]):
            assert wait_until(lambda: writes(self._dsn)[-1][1] != frozen, timeout_s=30.0), "nobody took over"

    def end(self) -> None:
        for one in self._processes:
            signals.thaw([one.pid])
            one.kill()
            one.communicate(timeout=20)


def test_whatever_befalls_the_cluster_and_the_writers_no_two_write_beside_each_other(
    etcd: EtcdCluster, counter: str
) -> None:
    """The leader of etcd is frozen, cut off and killed, and each time the writer is frozen past its lease and goes on."""
    holders = Holders(counter, etcd.url, 2)
    faults = list(FAULTS)
    random.Random(5).shuffle(faults)
    try:
        for fault in faults:
            began = time.monotonic()
            FAULTS[fault](etcd.leader())
            holders.freeze_the_writer()
            holders.writer()
            say(f"leader {fault}, writer frozen: another wrote {time.monotonic() - began:.1f} s later")
            etcd.recover()
    finally:
        holders.end()
    epochs = [epoch for epoch, _ in groupby(writes(counter), key=lambda write: write[0])]
    assert len(epochs) >= len(faults)
    assert epochs == sorted(set(epochs)), "somebody wrote after another had begun"


def test_a_holder_keeps_its_lease_when_the_leader_is_frozen(etcd: EtcdCluster, connect: Connect, counter: str) -> None:
    """Its lease is longer than the election of another leader."""
    leases = Leases(EtcdLeases(connect(), Fences(counter)), "holder", timedelta(seconds=10))
    with leases.hold(NAME) as lease:
        etcd.leader().freeze()
        assert renewed(lease)
        with closing(postgres.connect(counter, application="test")) as connection, connection.transaction():
            lease.guard(connection)
    leases.close()


def renewed(lease: Lease) -> bool:
    """It is trusted for longer than it was."""
    before = lease._trusted_until
    return wait_until(lambda: lease._trusted_until > before, timeout_s=OUTAGE_S)


@pytest.fixture
def proxied(etcd: EtcdCluster) -> Iterator[list[Proxy]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Proxy("127.0.0.1", one.port)) for one in etcd.members]


def test_a_holder_that_is_cut_off_stops_trusting_before_another_has_its_lease(
    connect: Connect, counter: str, proxied: Sequence[Proxy]
) -> None:
    lost: list[float] = []
    far = connect(url="etcd://" + ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxied), deadline_s=1.0)
    leases = Leases(EtcdLeases(far, Fences(counter)), "cut off", SHORT)
    rivals = Leases(EtcdLeases(connect(), Fences(counter)), "rival", LONG)
    with leases.hold(NAME, outside=True, on_lost=lambda: lost.append(time.monotonic())) as lease:
        for proxy in proxied:
            proxy.blackhole()
        with rivals.hold(NAME, wait_s=20.0):
            assert not lease.trusted()
            assert wait_until(lambda: bool(lost), timeout_s=10.0)
            with closing(postgres.connect(counter, application="late")) as late, pytest.raises(LeaseLost):
                lease.guard(late)
    rivals.close()
    leases.close()


def test_a_leader_that_was_cut_off_renews_nothing(etcd: EtcdCluster, connect: Connect, counter: str) -> None:
    """Its client still reaches it, and it does not know yet that it leads nobody."""
    alone = etcd.leader()
    leases = Leases(
        EtcdLeases(connect(url=f"etcd://{alone.address}", deadline_s=1.0), Fences(counter)), "lonely", SHORT
    )
    rivals = Leases(EtcdLeases(connect(), Fences(counter)), "rival", LONG)
    with leases.hold(NAME, outside=True) as lease:
        alone.cut_off()
        with rivals.hold(NAME, wait_s=20.0) as newer:
            assert not lease.trusted()
            assert newer.epoch > lease.epoch
    rivals.close()
    leases.close()
