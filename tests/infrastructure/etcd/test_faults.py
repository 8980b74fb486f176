"""The settings in a cluster that meets with faults: changes go on, nothing is lost or seen twice, nobody reads the past (P36, K29)."""

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from domain.configuration import SettingsStore, StaleVersion
from domain.errors import StoreUnavailable
from infrastructure.embedded.waiting import wait_until
from infrastructure.etcd.settings_store import EtcdSettings
from tests.checker.configuration import wrongs
from tests.contracts.recording import Recorded
from tests.contracts.settings import put
from tests.infrastructure.etcd.conftest import Connect
from tests.servers.etcd import EtcdCluster, EtcdMember

OUTAGE_S = 15.0
FAULTS: dict[str, Callable[[EtcdMember], None]] = {
    "killed": EtcdMember.kill,
    "frozen": EtcdMember.freeze,
    "cut off": EtcdMember.cut_off,
}


class Crowd:
    """Writers, readers and a follower, all at once, of whom every call is recorded."""

    def __init__(self, connect: Connect) -> None:
        self.calls: list[dict[str, Any]] = []
        self.done_at: list[float] = []
        self._connect = connect
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(5)
        members = [self._write, self._write, self._read, self._read, self._follow]
        self._work = [self._pool.submit(one, f"{one.__name__} {number}") for number, one in enumerate(members)]

    def end(self) -> float:
        """The longest time without a change."""
        self._stop.set()
        for work in self._work:
            work.result(30)
        self._pool.shutdown()
        moments = sorted(self.done_at)
        return max(later - earlier for earlier, later in pairwise(moments))

    def goes_on(self) -> bool:
        """Ten changes from now on."""
        wanted = len(self.done_at) + 10
        return wait_until(lambda: len(self.done_at) >= wanted, timeout_s=2 * OUTAGE_S)

    def _store(self, client: str) -> Recorded:
        return Recorded(EtcdSettings(self._connect()), self.calls, client)

    def _write(self, client: str) -> None:
        store = self._store(client)
        while not self._stop.is_set():
            with suppress(StoreUnavailable, StaleVersion):
                version = store.read().version
                store.change(version, {client: version}, who="cli:ada", why="a test", request=uuid4().hex)
                self.done_at.append(time.monotonic())

    def _read(self, client: str) -> None:
        store = self._store(client)
        while not self._stop.wait(0.01):
            with suppress(StoreUnavailable):
                store.read()

    def _follow(self, client: str) -> None:
        store, version = self._store(client), 0
        while not self._stop.is_set():
            with suppress(StoreUnavailable):
                if revision := store.wait(version, 0.5):
                    store.seen(revision)
                    version = revision.version


@pytest.mark.parametrize("fault", FAULTS)
def test_changes_go_on_after_the_leader_is(etcd: EtcdCluster, connect: Connect, fault: str) -> None:
    crowd = Crowd(connect)
    try:
        assert crowd.goes_on()
        FAULTS[fault](etcd.leader())
        assert crowd.goes_on()
        etcd.recover()
        assert crowd.goes_on()
    finally:
        outage_s = crowd.end()
    say(f"leader {fault}: no change for {outage_s:.1f} s, {len(crowd.done_at)} changes, {len(crowd.calls)} calls")
    assert wrongs(crowd.calls) == []
    assert outage_s < OUTAGE_S


def test_without_a_majority_nobody_is_told_anything_and_all_is_there_afterwards(
    etcd: EtcdCluster, connect: Connect
) -> None:
    store = EtcdSettings(connect(deadline_s=1.0))
    revision = put(store, {"batch": 5})
    for member in etcd.members[:2]:
        member.kill()
    change = partial(store.change, revision.version, {}, who="cli:ada", why="why", request=uuid4().hex)
    for call in (store.read, partial(store.wait, 0, 0.1), change):
        with pytest.raises(StoreUnavailable, match="etcd did not answer within 1 s"):
            call()
    began = time.monotonic()
    etcd.recover()
    found = store.read()
    say(f"majority lost: back {time.monotonic() - began:.1f} s after its members were started")
    assert found.version in (revision.version, revision.version + 1), "a change without an answer may have happened"
    assert change().version == revision.version + 1


def test_a_member_that_was_cut_off_tells_nobody_the_past(etcd: EtcdCluster, connect: Connect) -> None:
    store = EtcdSettings(connect())
    put(store, {"batch": 5})
    alone = etcd.leader()
    alone.cut_off()
    lonely = EtcdSettings(connect(url=f"etcd://{alone.address}", deadline_s=1.0))
    with pytest.raises(StoreUnavailable):
        lonely.read()
    newer = put(store, {"batch": 6})
    with pytest.raises(StoreUnavailable):
        lonely.change(newer.version - 1, {}, who="cli:ada", why="why", request=uuid4().hex)
    alone.heal()
    assert eventually_reads(lonely, newer.version)


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")


def eventually_reads(store: SettingsStore, version: int) -> bool:
    def reads() -> bool:
        with suppress(StoreUnavailable):
            return store.read().version == version
        return False

    return wait_until(reads, timeout_s=OUTAGE_S)


def test_a_member_that_ended_by_itself_is_started_again_by_the_harness(etcd: EtcdCluster) -> None:
    victim = etcd.leader()
    assert victim.process is not None
    victim.process.kill()
    victim.process.wait(timeout=5)
    etcd.recover()
    assert [one.process is not None and one.process.poll() for one in etcd.members] == [None] * 3
