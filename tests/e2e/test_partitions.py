"""Several projectors and relays as processes: they share the work, follow a new number, and survive the death of one of them."""

import signal
from collections import Counter
from contextlib import ExitStack

import pytest

from infrastructure.postgres.projections import partition, status, verify
from tests.e2e.program import Program, order_file
from tests.infrastructure.projections.histories import company, store_events
from tests.infrastructure.projections.read_side import execute
from tests.servers.simulator import Simulator, await_that

pytestmark = pytest.mark.e2e

HELD = """SELECT h.name, count(*) FROM leases l JOIN holders h ON h.id = l.holder
WHERE l.name LIKE %s AND l.expires_at > clock_timestamp() AND NOT holder_is_gone(h.id) GROUP BY 1"""


def shares(dsn: str, role: str) -> dict[int, int]:
    """How many of the role's leases each process has, by its pid."""
    held = execute(dsn, HELD, f"{role}:%")
    return {int(name.rpartition(":")[2]): count for name, count in held}


def are_caught_up(dsn: str, partitions: int) -> bool:
    return all((line.partitions, line.wanted, line.lag_events) == (partitions, None, 0) for line in status(dsn))


def test_projectors_share_partitions_and_a_kill_in_the_midst_of_a_change_costs_nothing(
    program: Program, database: str
) -> None:
    history = company(81, 500).appended
    store_events(database, history[:300])
    with ExitStack() as stack:
        first = stack.enter_context(program.running("projector", "--partitions", "4"))
        others = [stack.enter_context(program.running("projector")) for _ in range(2)]
        pids = {one.process.pid for one in (first, *others)}
        await_that(lambda: shares(database, "projector") == dict.fromkeys(pids, 4))
        store_events(database, history[300:400])
        partition(database, 2)
        first.process.kill()
        store_events(database, history[400:])
        pids.remove(first.process.pid)
        await_that(lambda: are_caught_up(database, 2))
        await_that(lambda: shares(database, "projector") == dict.fromkeys(pids, 3))
        partition(database, 1)
        await_that(lambda: are_caught_up(database, 1))
        assert [other.end(signal.SIGTERM).code for other in others] == [0, 0]
    assert verify(database) == []
    assert shares(database, "projector") == {}


def test_relays_share_partitions_and_orders_go_through_when_one_of_them_is_killed(
    program: Program, database: str, simulator: Simulator
) -> None:
    program.call("stock", "receive", "MAIN", "TEA", "50", "--delivery", "D-1")
    with ExitStack() as stack:
        first = stack.enter_context(program.running("relay", "--partitions", "5"))
        second = stack.enter_context(program.running("relay"))
        pids = {first.process.pid, second.process.pid}
        await_that(lambda: shares(database, "relay") == dict.fromkeys(pids, 3))
        stack.enter_context(program.running("worker", "--gateway-url", simulator.url))
        order_file(program.folder / "o.jsonl", 20)
        assert program.call("submit", "o.jsonl").code == 0
        first.process.kill()
        await_that(lambda: shares(database, "relay") == {second.process.pid: 6})
        closed = "SELECT count(*) FROM events WHERE type = 'OrderClosed'"
        await_that(lambda: execute(database, closed) == [(20,)])
        assert second.end().code == 0
    assert Counter(simulator.summary()["captured"]) == {"EUR": 20 * 500}
