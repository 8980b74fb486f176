"""Whole processes, as a supervisor sees them: orders go through, signals are obeyed, codes are right."""

import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from infrastructure.embedded import EmbeddedPostgres
from infrastructure.postgres import migrate
from tests.e2e.program import Program, order_file
from tests.servers.simulator import Simulator, await_that

pytestmark = pytest.mark.e2e


def outcome(program: Program, order_id: str) -> str | None:
    ended = program.call("orders", "show", order_id, "--json")
    value: str | None = ended.json()["outcome"]
    return value


def test_an_order_goes_from_submission_to_delivery(program: Program, simulator: Simulator, tmp_path: Path) -> None:
    program.call("stock", "receive", "MAIN", "TEA", "10", "--delivery", "D-1")
    with ExitStack() as stack:
        worker = stack.enter_context(program.running("worker", "--gateway-url", simulator.url))
        roles = [stack.enter_context(program.running(role)) for role in ("relay", "projector", "keeper", "intake")]
        order_file(tmp_path / "o.jsonl", 3)
        assert program.call("submit", "o.jsonl").code == 0
        await_that(lambda: outcome(program, "A-2") == "delivered")
        await_that(lambda: len(program.call("orders", "list", "--stage", "closed", "--json").json()) == 3)
        shown = program.call("orders", "show", "A-2").out
        assert [role.end().code for role in (worker, *roles)] == [0] * 5
    assert "HandedOver" in shown
    assert shown.index("OrderPlaced") < shown.index("HandedOver") < shown.index("OrderClosed")
    assert simulator.summary()["captured"] == {"EUR": 1500}
    stock = program.call("stock", "show", "--json").json()
    assert [(row["on_hand"], row["shipped"]) for row in stock] == [(7, 3)]
    assert program.call("replay", "--verify").code == 0
    assert program.call("replay", "--json").code == 0
    doctor = program.call("doctor", "--json", "--gateway-url", simulator.url)
    troubles = {one["check"]: one["state"] for one in doctor.json() if one["state"] != "ok"}
    assert troubles == dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "fail")  # a server for tests
    assert doctor.code == 1


def test_a_held_order_goes_on_when_it_is_released(program: Program, tmp_path: Path) -> None:
    order_file(tmp_path / "o.jsonl", 1)
    program.call("submit", "o.jsonl")
    assert program.call("orders", "hold", "A-0", "--reason", "OTHER", "--note", "wait").code == 0
    assert program.call("work", "list", "--json").json() == []
    assert program.call("orders", "release", "A-0").code == 0
    assert [run["step"] for run in program.call("work", "list", "--json").json()] == ["risk"]
    assert "nothing to do" in program.call("orders", "release", "A-0").err
    assert program.call("orders", "cancel", "A-0", "--reason", "customer").code == 0
    assert program.call("orders", "hold", "A-0").code == 3
    assert program.call("orders", "cancel", "NOBODY").code == 3
    assert program.call("orders", "cancel", "no order id").code == 2


def test_a_delivery_is_counted_once(program: Program) -> None:
    first, second = (program.call("stock", "receive", "MAIN", "TEA", "5", "--delivery", "D-1") for _ in range(2))
    assert "received 5" in first.err
    assert "counted before" in second.err
    with program.running("projector"):
        await_that(lambda: [row["on_hand"] for row in program.call("stock", "show", "--json").json()] == [5])


def test_a_lost_work_list_is_noticed_and_made_again(program: Program, database: str, tmp_path: Path) -> None:
    import psycopg

    order_file(tmp_path / "o.jsonl", 700)
    program.call("submit", "o.jsonl")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM step_runs WHERE order_id <> 'A-5'")
    audit = program.call("work", "audit", "--json")
    assert (audit.code, len(audit.json())) == (1, 699)
    assert program.call("doctor").code == 1
    rebuilt = program.call("work", "rebuild", "--json")
    assert rebuilt.json() == {"orders": 700, "wanted": 700, "missing": 699}
    assert program.call("work", "audit").code == 0


def test_a_worker_ends_in_time_although_its_database_is_gone(
    alone: Program, simulator: Simulator, make_postgres: Callable[[], EmbeddedPostgres], tmp_path: Path
) -> None:
    server = make_postgres()
    dsn = server.start().dsn
    migrate.up(dsn)
    order_file(tmp_path / "o.jsonl", 5)
    alone.call("submit", "o.jsonl", DATABASE_URL=dsn)
    arguments = ("worker", "--gateway-url", simulator.url, "--drain-timeout", "3")
    with alone.running(*arguments, DATABASE_URL=dsn) as worker:
        worker.await_word("registered")
        server.stop()
        worker.await_word("store unavailable")
        ended = worker.end()
    assert ended.code in (0, 1)
    assert "drained" in ended.err or "grace time over" in ended.err  # it may be waiting for a connection just then


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_at_once(
    alone: Program,
    simulator: Simulator,
    make_postgres: Callable[[], EmbeddedPostgres],
    number: signal.Signals,
    code: int,
) -> None:
    server = make_postgres()
    dsn = server.start().dsn
    migrate.up(dsn)
    with alone.running("worker", "--gateway-url", simulator.url, "--drain-timeout", "600", DATABASE_URL=dsn) as worker:
        worker.await_word("registered")
        server.stop()
        worker.await_word("store unavailable")
        worker.process.send_signal(number)
        worker.await_word("draining")
        assert worker.end(number).code == code


def test_a_worker_without_an_outside_world_is_refused_with_a_sentence(program: Program) -> None:
    ended = program.call("worker")
    assert ended.code == 3
    assert "gateway_url is not set" in ended.err


def test_a_database_without_migrations_is_refused_with_the_command_that_helps(
    alone: Program, empty_database: str
) -> None:
    ended = alone.call("orders", "list", DATABASE_URL=empty_database)
    assert ended.code == 3
    assert "orderwright migrate up" in ended.err
    assert alone.call("migrate", "check", DATABASE_URL=empty_database).code == 1
    assert alone.call("migrate", "up", DATABASE_URL=empty_database).code == 0
    assert alone.call("migrate", "check", DATABASE_URL=empty_database).code == 0
    states = alone.call("migrate", "status", "--json", DATABASE_URL=empty_database).json()
    assert {line["state"] for line in states} == {"applied"}
