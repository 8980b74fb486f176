"""The projector's loop: it rests when it may, survives a lost database, and stops when told."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import structlog

from domain.errors import StoreUnavailable
from domain.lease import Grant
from infrastructure.embedded import EmbeddedPostgres
from infrastructure.memory.leases import MemoryLeases
from infrastructure.postgres import migrate
from infrastructure.postgres.projections import PostgresProjector, Round, Stopped, status, verify
from tests.infrastructure.memory.clock import Clock
from tests.infrastructure.projections.histories import company, store_events
from workers.leases import Leases
from workers.projector import BUSY_S, IDLE_S, LONGEST_BACKOFF_S, Projector
from workers.shares import Shares

DEADLINE_S = 60.0
TIME = timedelta(seconds=10)


@dataclass
class Script:
    """Projections that do what they are told, round by round, then tell the projector to stop."""

    rounds: list[Round | StoreUnavailable]
    done: Callable[[], None] = lambda: None
    closed: int = 0
    held: list[Mapping[str, Grant] | None] = field(default_factory=list)
    taken: list[Round | StoreUnavailable] = field(default_factory=list)

    def advance(self, held: Mapping[str, Grant] | None = None) -> Round:
        self.held.append(held)
        if not self.rounds:
            self.done()
            return Round()
        self.taken.append(self.rounds.pop(0))
        if isinstance(self.taken[-1], StoreUnavailable):
            raise self.taken[-1]
        return self.taken[-1]

    def close(self) -> None:
        self.closed += 1


def run(*rounds: Round | StoreUnavailable) -> Script:
    script = Script(list(rounds))
    projector = Projector(script)
    script.done = projector.stop
    projector.run()
    return script


def pause_after(projector: Projector, done: Round, took_s: float = 0.0) -> float:
    return projector._rest(done, took_s)


def test_a_full_page_is_followed_by_the_next_at_once() -> None:
    assert pause_after(Projector(Script([])), Round(events=100, more=True), took_s=1.0) == 0


def test_the_pause_after_work_is_as_long_as_the_work_within_bounds() -> None:
    projector = Projector(Script([]))
    pauses = [pause_after(projector, Round(events=1), took_s) for took_s in (0.001, 0.1, 10.0)]
    assert pauses == [BUSY_S, 0.1, IDLE_S]


def test_the_pause_doubles_while_nothing_happens_and_starts_over_after_work() -> None:
    projector = Projector(Script([]))
    assert [pause_after(projector, Round()) for _ in range(6)] == [0.02, 0.04, 0.08, 0.16, 0.25, 0.25]
    pause_after(projector, Round(events=1))
    assert pause_after(projector, Round()) == 0.02


def test_a_lost_database_is_waited_for_with_a_growing_bounded_pause_and_logged_once() -> None:
    projector = Projector(Script([]))
    with structlog.testing.capture_logs() as logs:
        pauses = [projector._back_off(StoreUnavailable("gone")) for _ in range(200)]
    assert max(pauses) <= LONGEST_BACKOFF_S
    assert max(pauses[100:]) > max(pauses[:2])
    assert [entry["event"] for entry in logs] == ["projector.waiting"]


def test_work_goes_on_after_the_database_is_back() -> None:
    with structlog.testing.capture_logs() as logs:
        script = run(StoreUnavailable("gone"), Round(events=1))
    assert len(script.taken) == 2
    assert [entry["event"] for entry in logs] == ["projector.waiting", "projector.recovered"]


def test_a_stopped_projection_is_logged_with_position_and_reason() -> None:
    stop = Stopped(name="order_summary", position=7, reason="unknown")
    with structlog.testing.capture_logs() as logs:
        run(Round(stopped=[stop]))
    (entry,) = logs
    assert (entry["log_level"], entry["projection"], entry["position"]) == ("error", "order_summary", 7)


def test_the_projections_are_closed_once_however_often_it_is_stopped() -> None:
    projector = Projector(script := Script([]))
    projector.stop()
    projector.stop()
    projector.run()
    assert (script.closed, script.taken) == (1, [])


def test_a_wake_up_ends_an_idle_pause() -> None:
    projector = Projector(script := Script([Round() for _ in range(6)]))
    script.done = projector.stop
    thread = threading.Thread(target=projector.run)
    thread.start()
    deadline = time.monotonic() + DEADLINE_S
    while thread.is_alive() and time.monotonic() < deadline:
        projector.wake()
    thread.join(0)
    assert len(script.taken) == 6


def test_a_projector_without_a_lease_stands_by_and_one_whose_lease_is_lost_gives_it_up() -> None:
    shares = Shares(Leases(MemoryLeases(Clock()), "a", TIME), "projector", lambda: ["orders"], look_every_s=0.0)
    script = Script([Round(lost=["orders"]), Round()])
    projector = Projector(script, shares)
    script.done = projector.stop
    projector.run()
    epochs = [grant.epoch for held in script.held for grant in (held or {}).values()]
    assert len(epochs) == 3
    assert epochs[0] < epochs[1] == epochs[2]
    other = Leases(table := MemoryLeases(Clock()), "b", TIME)
    assert other.take("projector:orders") is not None
    idle = Projector(script, Shares(Leases(table, "a", TIME), "projector", lambda: ["orders"], look_every_s=0.0))
    script.rounds, script.held = [Round()], []
    assert idle._round() == IDLE_S
    assert script.held == []


ROLE = """
import signal, sys
from infrastructure.postgres.projections import PostgresProjector
from workers.projector import Projector
projector = Projector(PostgresProjector(sys.argv[1], page=50))
signal.signal(signal.SIGTERM, lambda *_: projector.stop())
projector.run()
"""


def start_role(dsn: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ROLE, dsn], cwd=Path(__file__).parents[2])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"


def caught_up(dsn: str) -> bool:
    return all(line.lag_events == 0 for line in status(dsn))


def has_begun(dsn: str) -> bool:
    return all(line.position for line in status(dsn))


def test_a_killed_projector_is_replaced_without_losing_or_doubling_anything(database: str) -> None:
    store_events(database, company(41, 600).appended)
    first = start_role(database)
    wait_until(lambda: has_begun(database))
    first.kill()
    first.wait(DEADLINE_S)
    second = start_role(database)
    wait_until(lambda: caught_up(database))
    second.terminate()
    assert second.wait(DEADLINE_S) == 0
    assert verify(database) == []


def test_the_projector_survives_a_restart_of_the_database(make_postgres: Callable[[], EmbeddedPostgres]) -> None:
    server = make_postgres()
    dsn = server.start().dsn
    migrate.up(dsn)
    history = company(42, 300).appended
    store_events(dsn, history[:100])
    projector = Projector(PostgresProjector(dsn, page=20))
    thread = threading.Thread(target=projector.run)
    thread.start()
    try:
        wait_until(lambda: caught_up(dsn))
        server.stop()
        dsn = server.start().dsn
        store_events(dsn, history[100:])
        wait_until(lambda: caught_up(dsn))
    finally:
        projector.stop()
        thread.join(DEADLINE_S)
    assert not thread.is_alive()
    assert verify(dsn) == []
