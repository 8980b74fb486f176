"""Leases under what happens to processes and networks: kills, freezes, cuts. No two ever write under one name."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import IO

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from domain.lease import LeaseLost
from domain.ports import Holder as DomainHolder
from domain.work import Run, Step
from infrastructure.embedded.waiting import wait_until
from infrastructure.postgres.database import connect
from infrastructure.postgres.leases import PostgresLeases
from infrastructure.postgres.store import PostgresStore
from tests.contracts.stores import run_key, settle, want
from tests.faults.proxy import Proxy
from tests.workers.lease_holder import NAME, prepare
from workers.leases import Leases

ROOT = Path(__file__).parents[2]
LONG = timedelta(seconds=30)
SHORT = timedelta(seconds=1.5)


class Holder:
    """A process that holds the lease, or wants to."""

    def __init__(self, dsn: str, lease: timedelta) -> None:
        arguments = [sys.executable, "-m", "tests.workers.lease_holder", dsn, str(lease.total_seconds())]
        self.process = subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.process.pid

    def said(self) -> list[str]:
        """Its next words, once it says any."""
        stdout: IO[bytes] | None = self.process.stdout
        assert stdout is not None
        return stdout.readline().decode().split()

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self) -> None:
        self.send(signal.SIGCONT)
        self.process.kill()
        self.process.communicate(timeout=20)


@contextmanager
def holder(dsn: str, lease: timedelta) -> Iterator[Holder]:
    process = Holder(dsn, lease)
    try:
        yield process
    finally:
        process.end()


@pytest.fixture
def counter(database: str) -> str:
    prepare(database)
    return database


def take_over_s(dsn: str, lease: timedelta, fault: Callable[[], object]) -> float:
    """How long after the fault another process has the lease."""
    leases = Leases(PostgresLeases(dsn), "rival", LONG)
    leases.take("something else")  # connected, as one that waits is
    fault()
    started = time.monotonic()
    with leases.hold(NAME, wait_s=lease.total_seconds() + 20):
        took = time.monotonic() - started
    leases.close()
    return took


def written(dsn: str) -> list[int]:
    """The epochs of all writes, in the order in which they were written."""
    with psycopg.connect(dsn) as observer:
        rows = observer.execute("SELECT n, epoch FROM written ORDER BY n").fetchall()
        assert [n for n, _ in rows] == list(range(1, len(rows) + 1))
    return [epoch for _, epoch in rows]


def test_the_lease_of_a_killed_process_is_taken_within_a_second(counter: str) -> None:
    """The best of three counts: a busy machine is not what this is about."""
    took: list[float] = []
    while len(took) < 3 and min(took, default=9.0) >= 1.0:
        with holder(counter, LONG) as killed:
            assert killed.said()[0] == "holds"
            took.append(take_over_s(counter, LONG, lambda: killed.send(signal.SIGKILL)))
    assert min(took) < 1.0


def test_without_a_beacon_the_lease_of_a_killed_process_is_taken_when_it_runs_out(counter: str, pooled: str) -> None:
    with holder(pooled, SHORT) as killed:
        assert killed.said()[0] == "holds"
        took = take_over_s(pooled, SHORT, lambda: killed.send(signal.SIGKILL))
    assert 0.5 < took < SHORT.total_seconds() + 1.0


def test_a_process_that_was_frozen_past_its_lease_writes_nothing_when_it_wakes_up(counter: str) -> None:
    with holder(counter, SHORT) as frozen:
        word, epoch = frozen.said()
        assert word == "holds"
        leases = Leases(PostgresLeases(counter), "rival", LONG)
        frozen.send(signal.SIGSTOP)
        with leases.hold(NAME, wait_s=20.0) as lease:
            before = written(counter)
            frozen.send(signal.SIGCONT)
            assert frozen.said() in (["refused", epoch], ["ended", epoch])
            assert written(counter) == before
            assert lease.epoch > int(epoch)
        leases.close()


CLAIM = """
import sys
from datetime import timedelta
from infrastructure.postgres.store import PostgresStore
from tests.contracts.stores import claim, run_key, settle
store = PostgresStore(sys.argv[1])
run = claim(store, run_key(), store.register("worker", timedelta(seconds=1)))
print("claimed", run.epoch, flush=True)
sys.stdin.readline()
print(settle(store, run, "done"), flush=True)
"""


def test_a_worker_that_was_frozen_past_its_lease_settles_no_run_when_it_wakes_up(database: str) -> None:
    with closing(PostgresStore(database)) as store:
        want(store, run_key())
        with subprocess.Popen(
            [sys.executable, "-c", CLAIM, database], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as worker:
            try:
                assert worker.stdout is not None
                assert worker.stdout.readline().startswith(b"claimed")
                worker.send_signal(signal.SIGSTOP)
                assert wait_until(lambda: store.orphans() == 1, timeout_s=20.0)
                heir = store.register("heir", LONG)
                runs = claim_patiently(store, heir)
                worker.send_signal(signal.SIGCONT)
                out, _ = worker.communicate(b"\n", timeout=20)
                assert out.strip() == b"fenced"
                assert settle(store, runs[0], "done") == "appended"
            finally:
                worker.kill()


def claim_patiently(store: PostgresStore, holder: DomainHolder) -> Sequence[Run]:
    """A run whose worker vanished is due again a little later."""
    runs: list[Run] = []

    def claimed() -> bool:
        runs.extend(store.claim(["o1"], list(Step), holder))
        return bool(runs)

    assert wait_until(claimed, timeout_s=20.0)
    return runs


def test_a_holder_that_is_cut_off_stops_trusting_before_another_has_its_lease(counter: str) -> None:
    given = conninfo_to_dict(counter)
    lost: list[float] = []
    with Proxy("127.0.0.1", int(str(given["port"]))) as proxy:
        leases = Leases(PostgresLeases(make_conninfo(counter, host="127.0.0.1", port=proxy.port)), "cut off", SHORT)
        with leases.hold(NAME, outside=True, on_lost=lambda: lost.append(time.monotonic())) as lease:
            proxy.blackhole()
            rivals = Leases(PostgresLeases(counter), "rival", LONG)
            with rivals.hold(NAME, wait_s=20.0):
                assert not lease.trusted()
                assert wait_until(lambda: bool(lost), timeout_s=10.0)
                with connect(counter, application="late") as late, pytest.raises(LeaseLost), late.transaction():
                    lease.guard(late)
        with rivals.hold(NAME) as free:
            assert free.epoch > lease.epoch
        rivals.close()
        leases.close()


def test_of_many_who_are_killed_and_frozen_no_two_ever_write(counter: str) -> None:
    """Whoever writes meets with a fault, again and again. Epochs only grow from write to write: nobody wrote after another had begun."""
    holders = [Holder(counter, SHORT / 2) for _ in range(3)]
    faults = [*[signal.SIGKILL] * 3, *[signal.SIGSTOP] * 4]
    random.Random(7).shuffle(faults)
    try:
        for fault in faults:
            assert wait_until(lambda: writer(counter, holders) is not None, timeout_s=30.0)
            befall(counter, holders, fault)
            if fault is signal.SIGKILL:
                holders.append(Holder(counter, SHORT / 2))
    finally:
        for one in holders:
            one.end()
    epochs = [epoch for epoch, _ in groupby(written(counter))]
    assert len(epochs) > len(faults)
    assert epochs == sorted(set(epochs))


def befall(dsn: str, holders: Sequence[Holder], fault: signal.Signals) -> None:
    """Whoever writes, until somebody else does."""
    victim = writer(dsn, holders)
    assert victim is not None
    victim.send(fault)
    assert wait_until(lambda: writer(dsn, holders) not in (victim, None), timeout_s=30.0)
    victim.send(signal.SIGCONT)


def writer(dsn: str, holders: Sequence[Holder]) -> Holder | None:
    """Who has written last."""
    with psycopg.connect(dsn) as observer:
        row = observer.execute("SELECT pid FROM written ORDER BY n DESC LIMIT 1").fetchone()
    return next((one for one in holders if row == (one.pid,)), None)
