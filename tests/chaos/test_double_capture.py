"""Nobody is charged twice: workers die between the gateway's answer and their commit, again and again, and the gateway's books are read.

A key of its own for every attempt would have made as many double captures as there were kills.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from domain.work import Step
from tests.chaos.processes import CommandLine, Role, Supervisor, environment_of
from tests.servers.simulator import Simulator, await_that

ORDERS = 300
KILLS = 10
SETTINGS = {
    "ORDERWRIGHT_IN_FLIGHT": "16",
    "ORDERWRIGHT_BATCH": "16",
    "ORDERWRIGHT_SWEEP_S": "0.2",
    "ORDERWRIGHT_LOG_FORMAT": "json",
}
DEADLY = {"ORDERWRIGHT_TEST_MODE": "1", "ORDERWRIGHT_FAILPOINTS": "after_call_before_commit:kill@28"}
OTHERS = ",".join(sorted({step.value for step in Step} - {"capture"}))
REST = ["worker", "--steps", OTHERS]


def test_no_order_is_captured_twice_however_often_workers_die_between_answer_and_commit(
    tmp_path: Path, simulator: Simulator, database: str
) -> None:
    environment = environment_of(
        tmp_path, {**SETTINGS, "DATABASE_URL": database, "ORDERWRIGHT_GATEWAY_URL": simulator.url}
    )
    command_line = CommandLine(environment, tmp_path)
    receive = ["stock", "receive", "MAIN", "TEA", str(ORDERS), "--delivery", "D-1"]
    assert command_line.run(*receive) == command_line.run("submit", str(_orders(tmp_path))) == 0
    with _roles(tmp_path, environment) as supervisor:
        await_that(lambda: _captures(simulator)[1] >= ORDERS, within_s=100)
        assert supervisor.restarts >= KILLS
        await_that(lambda: _is_told(database), within_s=60)
    captures, orders = _captures(simulator)
    assert captures == orders == ORDERS


@contextmanager
def _roles(folder: Path, environment: dict[str, str]) -> Iterator[Supervisor]:
    """Two workers that capture and die of it, a third one for all the rest, and a relay."""
    deadly = [["worker", "--steps", "capture", "--name", f"deadly-{number}"] for number in (1, 2)]
    roles = [Role(command[-1], command, {**environment, **DEADLY}, folder) for command in deadly]
    roles += [Role(name, command, environment, folder) for name, command in (("relay", ["relay"]), ("rest", REST))]
    for role in roles:
        role.start()
    supervisor = Supervisor(lambda: roles)
    try:
        yield supervisor
    finally:
        supervisor.close()
        for role in roles:
            role.kill()


def _is_told(database: str) -> bool:
    """Every capture is an event of its order."""
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT count(*) FROM events WHERE type = 'Captured'").fetchone()
    return found == (ORDERS,)


def _orders(folder: Path) -> Path:
    file = folder / "orders.jsonl"
    file.write_text("".join(json.dumps(_order(number)) + "\n" for number in range(ORDERS)), encoding="utf-8")
    return file


def _order(number: int) -> dict[str, object]:
    return {
        "order_id": f"A-{number:03}",
        "customer_id": "C-1",
        "currency": "EUR",
        "lines": [{"sku": "TEA", "quantity": 1, "amount": 500, "name": "Tea"}],
        "shipping": 490,
        "total": 990,
        "ship_to": {"name": "Ada Byron", "street": "Main St 1", "city": "Boston", "country": "US"},
        "payment": {"token": "tok_1"},
        "shipping_policy": "ship-complete",
    }


def _captures(simulator: Simulator) -> tuple[int, int]:
    """By the gateway's own books: how many captures, and of how many orders."""
    ((captures, orders),) = simulator.rows("SELECT count(*), count(DISTINCT order_id) FROM captures")
    return captures, orders
