"""`python -m benchmarks.outage`: the payment gateway is down for a minute while orders keep coming in.

Orders arrive at a steady rate; two workers and a relay carry them over HTTP to the simulator. Then the gateway is gone: either every
payment operation answers 503, or the whole outside refuses connections. What counts is taken from the simulator's own list of calls
and from the database: whether anything died, how many attempts are still charged to runs, how many calls got through while the breaker
was half-open, the gateway's busiest second afterwards beside its normal rate, and how fast the backlog was worked off.
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Literal

import psycopg

from benchmarks.flow import _accept, _order_id, _place, fresh_database
from domain.breaker import State, Transition
from infrastructure.postgres.breakers import PostgresBreakers
from infrastructure.postgres.database import Database
from infrastructure.settings import load
from workers.bootstrap import Runtime

SERVICES = {
    "risk": ("risk",),
    "payment": ("authorize", "capture", "void"),
    "carrier": ("label", "refund_label", "hand_over", "track"),
    "mail": ("notify",),
}
PAYMENT = SERVICES["payment"]
TICK_S = 0.1
WARM = 10  # orders before the clock starts, so that everybody is there
LAG_S = 0.6  # until every process has heard of a change
PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`rate` orders arrive in a second; the outage begins after `before_s` and lasts `outage_s`."""

    kind: Literal["503", "refused"]
    orders: int = 2000
    rate: float = 20.0
    before_s: float = 25.0
    outage_s: float = 60.0
    workers: int = 2
    latency_ms: int = 20
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def service(self) -> str:
        """What keeps all orders waiting: when nothing answers, that is what an order needs first."""
        return "payment" if self.kind == "503" else "risk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a case came to; ratios are to the rate of a service before the outage."""

    kind: str
    dead: int
    attempts_burnt: int
    calls_while_open: int
    phases: int
    most_in_a_phase: int
    normal_per_s: float
    peak: int
    peak_ratio: float
    other: str
    drain_ratio: float
    back_after_s: float
    drain_s: float


def measure(case: Case, dsn: str, folder: Path) -> Figures:
    """Run one case on a migrated, empty database."""
    with ExitStack() as stack:
        settings, _ = load({"database_url": dsn}, environment={})
        runtime = stack.enter_context(Runtime(settings))
        _accept(runtime.store(), 0)
        simulator = Simulator(folder, case.latency_ms)
        stack.callback(simulator.kill)
        environment = _environment(case, dsn, simulator.url)
        for role in [*["worker"] * case.workers, "relay"]:
            stack.enter_context(_running(role, environment, folder))
        _place_orders(runtime, 0, WARM)
        _await_closed(dsn, WARM)
        began = time.time()
        arrivals = threading.Thread(target=_arrive, args=(runtime, case), daemon=True)
        arrivals.start()
        _wait(case.before_s)
        down_at = time.time()
        burnt = _outage(case, simulator, dsn)
        back_at = time.time()
        _await_closed(dsn, case.orders)
        arrivals.join()
        closed_at = time.time()
        transitions = _transitions(dsn)
        dead = _scalar(dsn, "SELECT count(*) FROM dead_letters")
    times = Times(began=began, down=down_at, back=back_at, closed=closed_at)
    return _figures(case, simulator.ledger, times, transitions, dead=dead, burnt=burnt)


def _outage(case: Case, simulator: "Simulator", dsn: str) -> int:
    """The outage itself; returns how many attempts are charged to runs that are waiting when it is about to end."""
    if case.kind == "refused":
        simulator.kill()
    else:
        simulator.behave(faults_of={name: {"unavailable": 1.0} for name in (*PAYMENT, "inquire")})
    _wait(case.outage_s)
    burnt = _scalar(dsn, "SELECT coalesce(sum(cardinality(failed_at)), 0) FROM step_runs")
    if case.kind == "refused":
        simulator.start()
    else:
        simulator.behave(faults_of={})
    return burnt


class Seen:
    """The simulator's list of calls to one service, by its clock."""

    def __init__(self, ledger: Path, service: str) -> None:
        operations = SERVICES[service]
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as books:
            rows = books.execute("SELECT at, operation, subject FROM calls").fetchall()
        keys = {key for _, operation, key in rows if operation in operations}
        self.calls = sorted(
            (at / 1000, key)
            for at, operation, key in rows
            if operation in operations or (operation == "inquire" and key in keys)
        )

    def between(self, begin: float, end: float) -> list[str]:
        return [key for at, key in self.calls if begin <= at < end]

    def busiest_second(self, begin: float, end: float) -> int:
        """Of any second, not only of those that begin with a whole number."""
        times = [at for at, _ in self.calls if begin <= at < end]
        return max((bisect_left(times, at + 1.0) - number for number, at in enumerate(times)), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When the orders began to come, the gateway went and came back, and the last order was closed."""

    began: float
    down: float
    back: float
    closed: float

    def normal(self, seen: Seen) -> float:
        """Calls a second before the outage, without the first seconds."""
        warm = self.began + min(5.0, (self.down - self.began) / 3)
        return len(seen.between(warm, self.down)) / (self.down - warm)


def _figures(
    case: Case, ledger: Path, times: Times, transitions: Sequence[Transition], *, dead: int, burnt: int
) -> Figures:
    all_seen = {service: Seen(ledger, service) for service in SERVICES}
    seen = all_seen[case.service]
    changes = [one for one in reversed(transitions) if one.dependency == case.service]
    probes = [len(set(seen.between(begin, end))) for begin, end in _phases(changes, State.HALF_OPEN)]
    opened = [(begin + LAG_S, min(end, times.back)) for begin, end in _phases(changes, State.OPEN)]
    recovering = [phase for phase in _phases(changes, State.RECOVERING) if phase[0] >= times.back]
    released, drained = recovering[0] if recovering else (times.back, times.closed)
    drained = min(drained, times.closed)
    normal = times.normal(seen)
    peaks = {name: one.busiest_second(times.back, times.closed) for name, one in all_seen.items()}
    ratios = {name: peak / times.normal(all_seen[name]) for name, peak in peaks.items()}
    other = max(set(SERVICES) - {case.service}, key=lambda name: ratios[name])
    return Figures(
        kind=case.kind,
        dead=dead,
        attempts_burnt=burnt,
        calls_while_open=sum(len(seen.between(begin, end)) for begin, end in opened),
        phases=len(probes),
        most_in_a_phase=max(probes, default=0),
        normal_per_s=normal,
        peak=peaks[case.service],
        peak_ratio=ratios[case.service],
        other=f"{ratios[other]:.2f} ({other})",
        drain_ratio=len(seen.between(released, drained)) / (drained - released) / normal,
        back_after_s=released - times.back,
        drain_s=times.closed - times.back,
    )


def _phases(changes: Sequence[Transition], state: State) -> list[tuple[float, float]]:
    """When the breaker entered the state, and left it."""
    times = [one.at.timestamp() for one in changes] + [float("inf")]
    return [(times[n], times[n + 1]) for n, one in enumerate(changes) if one.after is state]


def _transitions(dsn: str) -> Sequence[Transition]:
    with closing(Database(dsn, size=1)) as database:
        return PostgresBreakers(database).transitions(limit=100_000)


def _arrive(runtime: Runtime, case: Case) -> None:
    """Orders come in at a steady rate, whatever happens."""
    began, placed = time.monotonic(), WARM
    while placed < case.orders:
        due = min(case.orders, WARM + int((time.monotonic() - began) * case.rate))
        if due > placed:
            _place_orders(runtime, placed, due)
            placed = due
        _wait(TICK_S)


def _place_orders(runtime: Runtime, first: int, end: int) -> None:
    store = runtime.store()
    store.append([_place(number, store) for number in range(first, end)])
    runtime.wake_ups().announce([("risk", _order_id(number)) for number in range(first, end)])


class Simulator:
    """The outside world as a process; `kill` and `start` keep its books and its port."""

    def __init__(self, folder: Path, latency_ms: int) -> None:
        self.ledger = folder / "ledger.db"
        self._folder = folder
        self._latency_ms = latency_ms
        self._port = 0
        self.start()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        port_file = self._folder / "port"
        port_file.unlink(missing_ok=True)
        options = [f"--ledger={self.ledger}", f"--port-file={port_file}", f"--latency-ms={self._latency_ms}"]
        command = [sys.executable, "-m", "workers.simulator", *options, f"--port={self._port}"]
        with (self._folder / "simulator.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not port_file.exists() or not port_file.read_text().strip():
            assert time.monotonic() < deadline, "the simulator did not start"
            _wait(0.02)
        self._port = int(port_file.read_text())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def behave(self, **changes: Mapping[str, Mapping[str, float]]) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request("PUT", "/control", json.dumps(changes), {"content-type": "application/json"})
        assert connection.getresponse().status == 200
        connection.close()


def _environment(case: Case, dsn: str, url: str) -> dict[str, str]:
    foreign = ("ORDERWRIGHT_", "PG", "DATABASE_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    ours = {"DATABASE_URL": dsn, "ORDERWRIGHT_GATEWAY_URL": url, "ORDERWRIGHT_LOG_FORMAT": "json", **case.settings}
    return {**kept, **ours}


@contextmanager
def _running(role: str, environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    with (folder / f"{role}.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "workers", role], env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


def _await_closed(dsn: str, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    query = "SELECT (SELECT count(*) FROM events WHERE type = 'OrderClosed') - (SELECT count(*) FROM step_runs)"
    while (closed := _scalar(dsn, query)) < count:
        assert time.monotonic() < deadline, f"{closed} of {count} orders are closed"
        _wait(0.5)


def _scalar(dsn: str, query: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


ROWS = (
    ("dead letters", "dead", "0"),
    ("attempts burnt", "attempts_burnt", "0"),
    ("calls while open", "calls_while_open", "0"),
    ("half-open phases", "phases", ""),
    ("most calls in one", "most_in_a_phase", "3 at most"),
    ("normal calls/s", "normal_per_s", ""),
    ("busiest second after", "peak", ""),
    ("  in terms of normal", "peak_ratio", "1.5 at most"),
    ("  of the worst other service", "other", ""),
    ("drain, in terms of normal", "drain_ratio", "0.7 at least"),
    ("seconds until released", "back_after_s", ""),
    ("seconds until all closed", "drain_s", ""),
)


def show(found: Sequence[Figures]) -> None:
    out = sys.stdout.write
    out(f"{'':32}" + "".join(f"{one.kind:>16}" for one in found) + "   promised\n")
    for title, name, promise in ROWS:
        values = [getattr(one, name) for one in found]
        cells = "".join(f"{value:>16.2f}" if isinstance(value, float) else f"{value:>16}" for value in values)
        out(f"{title:32}{cells}   {promise}\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=__doc__)
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--outage-s", type=float, default=60.0)
    parser.add_argument("--kind", choices=["503", "refused"], action="append")
    options = parser.parse_args()
    found = []
    for kind in options.kind or ["503", "refused"]:
        case = Case(kind=kind, orders=options.orders, rate=options.rate, outage_s=options.outage_s)
        with fresh_database() as dsn, tempfile.TemporaryDirectory(prefix="ow-outage-") as folder:
            found.append(measure(case, dsn, Path(folder)))
    show(found)


if __name__ == "__main__":
    main()
