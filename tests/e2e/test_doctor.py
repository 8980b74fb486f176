"""`orderwright doctor` names the promise that was broken, whoever broke it."""

import psycopg
import pytest

from tests.e2e.program import Program, order_file

pytestmark = pytest.mark.e2e

DISABLED = "SET session_replication_role = replica"  # what only a superuser can do: change what must never change


def troubles(program: Program, *arguments: str) -> dict[str, tuple[str, str]]:
    """Check: (promise, why) of everything that is not ok, but the settings of a server for tests."""
    found = program.call("doctor", "--json", *arguments).json()
    known = {"fsync", "synchronous_commit", "full_page_writes", "gateway", "broker"}
    return {
        one["check"]: (one["promise"], one["why"])
        for one in found
        if one["state"] != "ok" and one["check"] not in known
    }


@pytest.fixture
def with_orders(program: Program) -> Program:
    order_file(program.folder / "o.jsonl", 5)
    program.call("submit", "o.jsonl")
    return program


def test_a_well_kept_log_passes_the_thorough_checks(with_orders: Program) -> None:
    assert troubles(with_orders, "--verify-all") == {}


def test_an_event_that_was_changed_by_hand_is_named_by_its_place(with_orders: Program, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(DISABLED)
        connection.execute("UPDATE events SET data = '{}' WHERE stream = 'order-A-3'")
    promise, why = troubles(with_orders, "--verify-all")["events"]
    assert promise == "P4"
    assert "OrderPlaced" in why


def test_a_hole_in_a_stream_is_found(with_orders: Program, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(DISABLED)
        connection.execute("UPDATE events SET version = 2 WHERE stream = 'order-A-3'")
    assert troubles(with_orders, "--verify-all")["streams"] == (
        "P15",
        "versions are missing or doubled in order-A-3",
    )


def test_a_log_that_could_be_changed_is_reported(with_orders: Program, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE events DISABLE TRIGGER events_are_for_ever")
    assert troubles(with_orders)["append-only"][0] == "P41"


def test_a_reservation_that_nobody_needs_is_found(with_orders: Program, database: str) -> None:
    with_orders.call("stock", "receive", "MAIN", "TEA", "5", "--delivery", "D-1")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO events (stream, version, type, schema, data, meta) SELECT stream, 2, 'StockAllocated', 1,"
            """ '{"fulfillment_id": "A-1+1", "order_id": "A-1", "quantity": 2}', meta FROM events WHERE type = 'StockReceived'"""
        )
    assert troubles(with_orders, "--verify-all")["stock"][0] == "P11"
