"""What happens to the machines below: packets get lost, the disk is full, clocks jump. Where this takes root, others skip the row."""

import subprocess
import sys
from functools import partial
from time import time

from psycopg.conninfo import make_conninfo

from tests.chaos.groups import LEASE_S
from tests.chaos.matrix import NotHere, row
from tests.chaos.run import Run
from tests.faults import islands
from tests.faults.clocks import Clock
from tests.faults.disk import filled, free_bytes
from tests.servers.simulator import await_that

HOUR_S = 3600.0
TCP_USER_TIMEOUT_S = 5.0
PROBE = """
import sys, time, psycopg
connection = psycopg.connect(sys.argv[1], autocommit=True)
print("there", flush=True)
sys.stdin.readline()
began = time.monotonic()
try:
    connection.execute("SELECT 1")
except psycopg.OperationalError:
    print(time.monotonic() - began)
"""


@row("F26", "packets get lost between a worker and everything else; another takes over", group="network", level="N")
def packets_are_lost(run: Run) -> None:
    if reason := islands.why_not():
        raise NotHere(reason)
    shop, worker = run.shop, run.shop.role("worker-1")
    with islands.Island() as island:
        island.bridge(shop.cluster.port, shop.gateway_port)
        worker.restart(**island.environment, DATABASE_URL=shop.dsn, ORDERWRIGHT_GATEWAY_URL=shop.gateway_url)
        shop.behave(latency={"fixed_ms": 300})
        with run.load(40), _probe(island, shop.dsn) as probe:
            run.await_begun(1)
            took = run.take_over_s("worker-1", island.lose, within_s=3 * LEASE_S)
            run.struck()
            failed_after_s = float(probe.communicate("go\n", timeout=30)[0])
            run.await_closed(0.9)
            island.heal()
        worker.restart()
    run.notes.append(f"a statement failed after {failed_after_s:.1f} s")
    assert failed_after_s <= TCP_USER_TIMEOUT_S + 1.5, f"a statement waited for {failed_after_s:.1f} s"
    assert took <= LEASE_S + 2.5, f"taken over only after {took:.1f} s"


def _probe(island: islands.Island, dsn: str) -> "subprocess.Popen[str]":
    """A session of the island that has our time limits and nobody who watches it; waits for a line."""
    limited = make_conninfo(dsn, tcp_user_timeout=int(TCP_USER_TIMEOUT_S * 1000))
    command = [*island.prefix, sys.executable, "-c", PROBE, limited]
    probe = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert probe.stdout is not None
    assert probe.stdout.readline() == "there\n", "the probe found no database"
    return probe


@row("F29", "the database's disk is full, log included", group="disk", level="N", errors=("disk", "space"), outage_s=60)
def full_disk(run: Run) -> None:
    cluster = run.shop.cluster
    with run.load(60, seconds=3):
        run.await_begun(5)
        with filled(cluster.folder):
            run.struck()
            run.last(8)
            run.notes.append(f"{free_bytes(cluster.folder)} bytes were free")
            ended = not cluster.runs()
        if ended:
            run.notes.append("the server ended, and was started again")
            cluster.start()
    run.await_closed(0.9)


@row("F97", "power loss: what was not synchronized is gone from the disk", group="power", level="R", outage_s=60)
def power_loss(run: Run) -> None:
    disk, cluster = run.disk, run.shop.cluster
    assert disk is not None
    with run.load(90, seconds=4):
        for placed in (5, 30):
            run.await_begun(placed)
            processes = cluster.processes()
            disk.lose_power()
            cluster.kill_all(processes)
            disk.restore_power()
            run.struck()
            cluster.start()
    run.await_closed(0.9)


@row("F82", "the clocks of workers and relay jump by hours, within their leases", group="workers", level="N")
def clocks_jump(run: Run) -> None:
    names = ("worker-1", "worker-2", "relay")
    clocks = [Clock(run.shop.folder / f"{name}.clock") for name in names]
    for name, clock in zip(names, clocks, strict=True):
        run.shop.role(name).restart(**clock.environment)
    run.shop.behave(latency={"fixed_ms": 100})
    with run.load(60, seconds=4):
        run.await_begun(5)
        for _ in range(4):
            for clock in clocks:
                clock.jump(run.chance.choice((-HOUR_S, HOUR_S, 24 * HOUR_S)))
                run.struck()
            run.last(0.8)
    run.await_closed(0.9)
    for name in names:
        run.shop.role(name).restart()


@row("F83", "the database's clock jumps by 40 s, and back by 20 s", group="clock", level="N")
def the_servers_clock_jumps(run: Run) -> None:
    assert run.clock is not None
    began = _ahead_s(run)
    with run.load(60, seconds=4):
        run.await_begun(5)
        for to_s in (40, 20):
            run.clock.jump(to_s)
            await_that(partial(_is_ahead, run, began + to_s), within_s=20)
            run.struck()
            run.last(2)
    run.await_closed(0.9)


def _is_ahead(run: Run, seconds: float) -> bool:
    return abs(_ahead_s(run) - seconds) < 5


def _ahead_s(run: Run) -> float:
    """How far the server is ahead of us; far off if it does not answer."""
    rows = run.ask("SELECT extract(epoch FROM clock_timestamp())")
    return float(rows[0][0]) - time() if rows else -HOUR_S
