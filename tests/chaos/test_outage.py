"""A gateway that is down, flaps, or asks for a pause, under load: nobody dies, nothing is burnt, and nobody is overrun afterwards.

What is promised is measured as `python -m benchmarks.outage` measures it, on a smaller scale.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks.outage import Case, measure
from tests.e2e.program import Program, order_file
from tests.servers.simulator import Simulator, await_that

pytestmark = pytest.mark.chaos

PERMITS = 3
HEARD_S = 1.0  # until the whole fleet has heard of it


@pytest.mark.parametrize("kind", ["503", "refused"])
def test_an_outage_costs_time_and_nothing_else(kind: Any, database: str, tmp_path: Path) -> None:
    case = Case(kind=kind, orders=220, rate=10.0, before_s=10.0, outage_s=8.0)
    seen = measure(case, database, tmp_path)
    assert (seen.dead, seen.attempts_burnt, seen.calls_while_open) == (0, 0, 0)
    assert seen.phases >= 1
    assert seen.most_in_a_phase <= PERMITS
    assert seen.peak_ratio <= 1.5 + 3 / seen.normal_per_s  # a call or two more or less is chance at ten a second
    assert seen.drain_ratio >= 0.7


@pytest.fixture
def program(tmp_path: Path, database: str, simulator: Simulator) -> Program:
    """Two quick-tempered workers can be started with it."""
    settings = {
        "DATABASE_URL": database,
        "ORDERWRIGHT_GATEWAY_URL": simulator.url,
        "ORDERWRIGHT_BREAKER_OPEN_S": "1",  # who looks twice a second must see that it is open
        "ORDERWRIGHT_BREAKER_OPEN_CAP_S": "2",
        "ORDERWRIGHT_BREAKER_MINIMUM_CALLS": "5",
        "ORDERWRIGHT_BREAKER_RELEASE_FLOOR": "20",
        "ORDERWRIGHT_CALL_DEADLINE_S": "2",
    }
    program = Program(tmp_path, settings)
    program.call("stock", "receive", "MAIN", "TEA", "10000", "--delivery", "D-1")
    order_file(tmp_path / "o.jsonl", 100)
    program.call("submit", "o.jsonl")
    return program


@contextmanager
def at_work(program: Program) -> Iterator[Any]:
    """Two workers and a relay."""
    with program.running("worker") as first, program.running("worker"), program.running("relay"):
        yield first


def every(one: dict[str, float]) -> dict[str, dict[str, float]]:
    """The same for every payment operation."""
    return dict.fromkeys(("authorize", "capture", "inquire"), one)


def moved_on(simulator: Simulator, database: str, before: int) -> bool:
    """The breaker has changed, or nothing is left to do."""
    return len(transitions(database)) > before or captured(simulator) == 100


def captured(simulator: Simulator) -> int:
    return int(simulator.rows("SELECT count(*) FROM captures")[0][0])


def transitions(database: str) -> list[tuple[str, float]]:
    with psycopg.connect(database) as connection:
        query = "SELECT after, extract(epoch FROM at) FROM breaker_transitions WHERE dependency = 'payment' ORDER BY id"
        return [(after, float(at)) for after, at in connection.execute(query)]


def test_a_flapping_gateway_leaves_no_breaker_stuck(program: Program, simulator: Simulator, database: str) -> None:
    with at_work(program):
        for down in (True, False) * 3:
            before = len(transitions(database))
            simulator.behave(faults_of=every({"unavailable": 1.0}) if down else {})
            await_that(partial(moved_on, simulator, database, before), within_s=60)
        await_that(lambda: captured(simulator) == 100, within_s=120)
        await_that(lambda: transitions(database)[-1][0] == "closed", within_s=60)
    for (state, begin), (_, end) in zip(transitions(database), transitions(database)[1:], strict=False):
        if state == "half_open":
            query = "SELECT count(DISTINCT subject) FROM calls WHERE at BETWEEN ? AND ? AND operation IN ('authorize', 'capture')"
            assert simulator.rows(query, begin * 1000, end * 1000)[0][0] <= PERMITS


def test_a_pause_that_one_worker_was_asked_for_is_kept_by_all(
    program: Program, simulator: Simulator, database: str
) -> None:
    simulator.behave(retry_after_s=4, faults_of={"authorize": {"too_many": 1.0}})
    with at_work(program):
        await_that(lambda: bool(transitions(database)), within_s=60)
        simulator.behave(faults_of={})
        await_that(lambda: captured(simulator) == 100, within_s=120)
    ((asked,),) = simulator.rows("SELECT min(at) / 1000.0 FROM calls WHERE fault = 'too_many'")
    began = [at for (at,) in simulator.rows("SELECT at / 1000.0 FROM calls WHERE operation = 'authorize'")]
    assert [at - asked for at in began if asked + HEARD_S < at < asked + 3.9] == []
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM dead_letters").fetchone() == (0,)


def test_a_worker_that_dies_with_permits_in_hand_keeps_nobody_waiting(
    program: Program, simulator: Simulator, database: str
) -> None:
    down = every({"unavailable": 1.0})
    simulator.behave(faults_of=down)
    with program.running("worker") as first, program.running("relay"):
        await_that(lambda: "open" in dict(transitions(database)), within_s=60)
        slow = every({"fixed_ms": 60_000})
        simulator.behave(faults_of={}, latency_of=slow)
        await_that(lambda: out(database) > 0, within_s=60)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(10)
        simulator.behave(latency_of={})
        with program.running("worker"):
            await_that(lambda: captured(simulator) == 100, within_s=120)


def out(database: str) -> int:
    """How many permits are out."""
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT coalesce(sum(cardinality(permit_ids)), 0) FROM breakers").fetchone()
    return int(row[0]) if row else 0
