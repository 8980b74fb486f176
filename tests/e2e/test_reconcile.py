"""`orderwright reconcile` against the simulator's own books, tampered with as only an accident could."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.program import Program, order_file
from tests.servers.simulator import Simulator, await_that

pytestmark = pytest.mark.e2e


def tamper(simulator: Simulator, *statements: str) -> None:
    with closing(sqlite3.connect(simulator.ledger)) as books, books:
        for statement in statements:
            books.execute(statement)


def work_off(program: Program, simulator: Simulator, orders: int) -> None:
    program.call("stock", "receive", "MAIN", "TEA", "10", "--delivery", "D-1")
    order_file(program.folder / "o.jsonl", orders)
    with program.running("worker", "--gateway-url", simulator.url):
        assert program.call("submit", "o.jsonl").code == 0
        await_that(lambda: program.call("work", "list", "--json").json() == [])


def test_differences_are_listed_from_both_sides(program: Program, simulator: Simulator, tmp_path: Path) -> None:
    work_off(program, simulator, 3)
    agreed = program.call("reconcile", "--json", "--gateway-url", simulator.url)
    assert (agreed.code, agreed.json()) == (0, [])
    assert "capture: here EUR 15.00, at the gateway EUR 15.00" in agreed.err

    lines = [
        {"key": key, "operation": operation, "reference": reference, "amount": 500, "currency": "EUR"}
        for operation, table in (("authorize", "authorizations"), ("capture", "captures"))
        for key, reference in simulator.rows(f"SELECT key, reference FROM {table} ORDER BY key")
    ]
    books = tmp_path / "books.jsonl"
    dated = [json.dumps({**line, "at": "2026-11-23T10:00:00Z"}) for line in lines]
    books.write_text("\n".join([*dated[:-1], dated[0]]))  # the last capture is missing, the first authorization doubled
    by_file = program.call("reconcile", "--json", "--statement", "books.jsonl").json()
    assert [(one["kind"], one["order_id"]) for one in by_file] == [("done twice", "A-0"), ("unknown there", "A-2")]

    tamper(
        simulator,
        "UPDATE captures SET amount = 499 WHERE order_id = 'A-1'",
        "DELETE FROM captures WHERE order_id = 'A-2'",
        "INSERT INTO captures SELECT 'cap_x', 'A-0+1:capture:2', authorization, order_id, amount, currency, at"
        " FROM captures WHERE order_id = 'A-0'",
    )
    (tmp_path / "count.csv").write_text("warehouse,sku,on_hand\nMAIN,TEA,6\n")
    differs = program.call("reconcile", "--json", "--gateway-url", simulator.url, "--count", "count.csv")
    kinds = [(one["kind"], one["order_id"]) for one in differs.json()]
    assert kinds == [
        ("another amount or reference", "A-1"),
        ("unknown here", "A-0"),
        ("unknown there", "A-2"),
        ("count", ""),
    ]
    assert differs.code == 1


def test_a_broken_statement_or_count_names_the_line(program: Program, tmp_path: Path) -> None:
    (tmp_path / "books.jsonl").write_text('\n{"key": "A-1:auth:1", "operation": "steal"}\n')
    (tmp_path / "count.csv").write_text("warehouse,sku,on_hand\nMAIN,TEA,many\n")
    assert "books.jsonl line 2: " in program.call("reconcile", "--statement", "books.jsonl").err
    (tmp_path / "books.jsonl").write_text("")
    ended = program.call("reconcile", "--statement", "books.jsonl", "--count", "count.csv")
    assert (ended.code, "count.csv line 2: on_hand" in ended.err) == (3, True)


def test_what_is_still_under_way_is_a_difference_only_for_the_impatient(program: Program, simulator: Simulator) -> None:
    simulator.behave(faults_of={"authorize": {"drop_after": 1.0}, "inquire": {"unavailable": 1.0}})
    order_file(program.folder / "o.jsonl", 1)
    with program.running("worker", "--gateway-url", simulator.url):
        assert program.call("submit", "o.jsonl").code == 0
        await_that(lambda: simulator.rows("SELECT count(*) FROM authorizations") == [(1,)])
    ask = ("reconcile", "--json", "--gateway-url", simulator.url, "--patience")
    patient, impatient = program.call(*ask, "300"), program.call(*ask, "0")
    assert (patient.code, patient.json()) == (0, [])
    assert [(one["kind"], one["order_id"]) for one in impatient.json()] == [("unanswered here", "A-0")]
    assert impatient.code == 1
