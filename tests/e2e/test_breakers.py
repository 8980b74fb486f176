"""The breakers from the command line, and on whole processes."""

from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.e2e.program import Program, order_file
from tests.servers.simulator import Simulator, await_that

pytestmark = pytest.mark.e2e


def test_a_person_stops_the_calls_to_a_service_and_lets_them_go_on(
    program: Program, simulator: Simulator, database: str, tmp_path: Path
) -> None:
    def waiting() -> int:
        with psycopg.connect(database) as connection:
            rows = connection.execute("SELECT count(*) FROM step_runs WHERE step = 'authorize' AND state = 'ready'")
            return int(rows.fetchall()[0][0])

    program.call("stock", "receive", "MAIN", "TEA", "10", "--delivery", "D-1")
    forced = program.call("breakers", "open", "payment", "--reason", "fraud alarm", "--for", "2h")
    assert (forced.code, forced.err) == (0, "payment: forced open for 2h\n")
    with ExitStack() as stack:
        for role in (("worker", "--gateway-url", simulator.url), ("relay",)):
            stack.enter_context(program.running(*role))
        order_file(tmp_path / "o.jsonl", 2)
        program.call("submit", "o.jsonl")
        await_that(lambda: waiting() == 2)
        assert simulator.rows("SELECT count(*) FROM calls WHERE operation = 'authorize'") == [(0,)]
        assert "decides by itself again" in program.call("breakers", "auto", "payment", "--reason", "false alarm").err
        await_that(lambda: simulator.rows("SELECT count(*) FROM captures") == [(2,)])
    shown = program.call("breakers", "history", "payment", "--json").json()
    assert [(one["after"], one["why"]) for one in shown[-2:]] == [("open", "false alarm"), ("open", "fraud alarm")]
    assert all(one["who"].startswith("cli:") for one in shown[-2:])
