"""The whole pipeline behind pgbouncer in transaction mode, with every process going through it."""

from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.e2e.program import Program, order_file
from tests.servers.simulator import Simulator, await_that

pytestmark = pytest.mark.e2e

CLOSED = "SELECT count(*) FROM order_summary_v1 WHERE stage = 'closed'"
LEFT_BEHIND = """SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND a.datname = current_database()"""


def pooler_of(program: Program) -> list[str]:
    return [one["state"] for one in program.call("doctor", "--json").json() if one["check"] == "pooler"]


def test_orders_go_from_submission_to_delivery_behind_a_pooler(
    tmp_path: Path, database: str, pooled: str, simulator: Simulator
) -> None:
    program = Program(tmp_path, {"DATABASE_URL": pooled, "ORDERWRIGHT_GATEWAY_URL": simulator.url})
    program.call("stock", "receive", "MAIN", "TEA", "10", "--delivery", "D-1")
    with ExitStack() as stack:
        roles = [stack.enter_context(program.running(role)) for role in ("worker", "relay", "projector")]
        order_file(tmp_path / "o.jsonl", 5)
        assert program.call("submit", "o.jsonl").code == 0
        with psycopg.connect(database, autocommit=True) as observer:
            await_that(lambda: observer.execute(CLOSED).fetchone() == (5,))
        assert [role.end().code for role in roles] == [0, 0, 0]
        assert all(role.says("behind a connection pooler") for role in roles)
    assert simulator.summary()["captured"] == {"EUR": 2500}
    with psycopg.connect(database) as observer:
        assert observer.execute(LEFT_BEHIND).fetchone() == (0,)
    assert pooler_of(program) == ["warn"]
    refused = program.call("migrate", "up")
    assert (refused.code, "direct_url" in refused.err) == (3, True)


def test_the_way_past_a_pooler_is_taken_where_it_matters(
    tmp_path: Path, database: str, pooled: str, empty_database: str
) -> None:
    program = Program(tmp_path, {"DATABASE_URL": pooled, "ORDERWRIGHT_DIRECT_URL": database})
    assert pooler_of(program) == ["ok"]
    assert program.call("migrate", "up").code == 0
    assert program.call("replay", "--json").code == 0
    astray = program.call("migrate", "status", ORDERWRIGHT_DIRECT_URL=empty_database)
    assert (astray.code, "names another database" in astray.err) == (3, True)
