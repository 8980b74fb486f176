"""Settings that change while whole processes run: at once, without a restart, and not without the last good ones."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from infrastructure.embedded import EmbeddedPostgres
from infrastructure.postgres import migrate
from infrastructure.postgres.settings_store import PostgresSettings
from tests.e2e.program import Program, Running, order_file
from tests.servers.simulator import Simulator, await_that

pytestmark = pytest.mark.e2e

IN_FORCE = "settings in force"


def ready(database: str, step: str, *, attempts: int | None = None) -> int:
    """Runs of a step that wait, and have so many attempts."""
    with psycopg.connect(database) as connection:
        return one(
            connection,
            "SELECT count(*) FROM step_runs WHERE step = %s AND state = 'ready' AND attempts = coalesce(%s, attempts)",
            step,
            attempts,
        )


def one(connection: psycopg.Connection[Any], query: str, *arguments: object) -> int:
    return int(connection.execute(query, arguments).fetchall()[0][0])


def put(database: str, **values: Any) -> None:
    """Put these in force and nothing else, without the time that a command takes."""
    with closing(PostgresSettings(database)) as store:
        store.change(store.read().version, values, who="a test", why="a test", request=uuid4().hex)


@pytest.fixture
def roles(program: Program, simulator: Simulator, tmp_path: Path) -> Iterator[tuple[Running, Running]]:
    """A worker and a relay, with goods in stock and ten orders in a file."""
    program.call("stock", "receive", "MAIN", "TEA", "100", "--delivery", "D-1")
    order_file(tmp_path / "o.jsonl", 10)
    with ExitStack() as stack:
        worker = stack.enter_context(program.running("worker", "--gateway-url", simulator.url, "--threads", "2"))
        relay = stack.enter_context(program.running("relay"))
        worker.await_word("registered")
        yield worker, relay


def test_a_paused_step_is_done_by_nobody_until_it_goes_on(
    program: Program, simulator: Simulator, database: str, roles: tuple[Running, Running]
) -> None:
    def captures() -> int:
        return int(simulator.rows("SELECT count(*) FROM captures")[0][0])

    assert program.call("settings", "set", "paused=capture", "--reason", "the bank is away").code == 0
    for role in roles:
        role.await_word(IN_FORCE)
    program.call("submit", "o.jsonl")
    await_that(lambda: ready(database, "capture", attempts=0) == 10)
    assert captures() == 0
    found = program.call("doctor", "--json")
    assert "the bank is away" in next(one["why"] for one in found.json() if one["check"] == "paused steps")
    assert program.call("settings", "unset", "paused", "--reason", "it is back").code == 0
    await_that(lambda: captures() == 10)
    with psycopg.connect(database) as connection:
        assert one(connection, "SELECT count(*) FROM events WHERE type = 'StepFailed'") == 0


def test_calls_that_wait_for_a_thread_when_their_step_is_paused_are_not_made_and_cost_nothing(
    program: Program, simulator: Simulator, database: str, roles: tuple[Running, Running]
) -> None:
    simulator.behave(latency_of={"authorize": {"fixed_ms": 2000}})
    program.call("submit", "o.jsonl")
    await_that(lambda: simulator.rows("SELECT count(*) FROM calls WHERE operation = 'authorize'") != [(0,)])
    put(database, paused=["authorize"])
    roles[0].await_word(IN_FORCE)
    await_that(lambda: not running(database, "authorize"))
    waiting = ready(database, "authorize", attempts=0)
    assert waiting > 0
    assert waiting == ready(database, "authorize")
    simulator.behave(latency_of={})
    put(database)
    await_that(lambda: not ready(database, "authorize") and not running(database, "authorize"))


def running(database: str, step: str) -> int:
    with psycopg.connect(database) as connection:
        return one(connection, "SELECT count(*) FROM step_runs WHERE step = %s AND state = 'running'", step)


def test_thresholds_and_threads_change_under_a_running_worker(
    program: Program, simulator: Simulator, database: str, roles: tuple[Running, Running]
) -> None:
    put(database, breaker_minimum_calls=2, breaker_failure_rate=1.0, call_threads=8)
    roles[0].await_word(IN_FORCE)
    simulator.behave(faults={"error_before": 1.0})
    program.call("submit", "o.jsonl")
    await_that(lambda: state_of(database, "risk") in {"open", "half_open"})
    simulator.behave(faults={})
    await_that(lambda: simulator.rows("SELECT count(*) FROM captures") == [(10,)], within_s=60)


def test_all_workers_together_keep_to_a_rate(
    program: Program, simulator: Simulator, database: str, roles: tuple[Running, Running]
) -> None:
    put(database, rates={"risk": 0.1})
    with program.running("worker", "--gateway-url", simulator.url) as second:
        for worker in (roles[0], second):
            worker.await_word(IN_FORCE)
        program.call("submit", "o.jsonl")
        await_that(lambda: simulator.rows("SELECT count(*) FROM calls") != [(0,)])
        assert ready(database, "risk", attempts=0) >= 5
        put(database)
        await_that(lambda: ready(database, "risk") == 0)


def state_of(database: str, dependency: str) -> str:
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT state FROM breakers WHERE dependency = %s", [dependency]).fetchall()
    return str(rows[0][0]) if rows else "closed"


def test_a_closed_intake_refuses_orders_for_the_time_being(program: Program, tmp_path: Path, database: str) -> None:
    order_file(tmp_path / "o.jsonl", 3)
    put(database, intake_open=False)
    refused = program.call("submit", "o.jsonl", "--json")
    assert (refused.code, refused.json()["accepted"]) == (5, 0)
    assert "no new orders are taken in for now" in refused.err
    assert "intake" in {one["check"] for one in program.call("doctor", "--json").json() if one["state"] == "warn"}
    put(database)
    assert program.call("submit", "o.jsonl", "--json").json()["accepted"] == 3


def test_a_worker_goes_on_with_the_last_good_settings_while_the_store_is_away(
    make_postgres: Callable[[], EmbeddedPostgres], simulator: Simulator, tmp_path: Path
) -> None:
    server = make_postgres()
    database = server.start().dsn
    migrate.up(database)
    program = Program(tmp_path, {"DATABASE_URL": database})
    put(database, paused=["risk"])
    with program.running("worker", "--gateway-url", simulator.url) as worker:
        worker.await_word("registered")
        server.stop()
        worker.await_word("the settings store is away")
        server.start()
        worker.await_word("the settings store is back")
        assert worker.says(IN_FORCE)
        assert worker.end().code == 0


def test_a_worker_that_starts_without_the_store_goes_by_the_last_good_settings(
    program: Program, simulator: Simulator, tmp_path: Path, database: str
) -> None:
    put(database, paused=["risk"])
    with program.running("worker", "--gateway-url", simulator.url) as worker:
        worker.await_word(IN_FORCE)
    rename(database, "settings_changes", "nowhere")
    with program.running("worker", "--gateway-url", simulator.url) as worker:
        worker.await_word("the settings store is away")
        worker.await_word("registered")
        order_file(tmp_path / "o.jsonl", 3)
        program.call("submit", "o.jsonl")
        worker.await_word(IN_FORCE)
        assert ready(database, "risk", attempts=0) == 3
        rename(database, "nowhere", "settings_changes")
        put(database)
        await_that(lambda: ready(database, "risk") == 0)


def rename(database: str, old: str, new: str) -> None:
    """Only the settings are away; everything else is there."""
    with psycopg.connect(database) as connection:
        connection.execute(f"ALTER TABLE {old} RENAME TO {new}")


def test_whoever_decides_about_breakers_is_told_of_nothing_else(program: Program, database: str) -> None:
    put(database, breaker_open_s=600.0, breaker_open_cap_s=600.0)
    told = [
        program.call("breakers", *words).err
        for words in (["open", "payment", "--reason", "a test"], ["auto", "payment", "--reason", "a test"], ["list"])
    ]
    assert told == [
        "payment: forced open until `breakers auto payment`\n",
        "payment: decides by itself again, now open\n",
        "",
    ]
