"""The roles behind the broker's queues: orders come in, and what nobody can read is kept."""

import pytest

from domain.messaging import Outbound
from infrastructure.messaging.broker import connect
from infrastructure.messaging.settings import BrokerSettings
from tests.e2e.program import Program, order_line
from tests.servers.simulator import await_that

pytestmark = pytest.mark.e2e


def test_orders_come_in_over_the_broker_and_rubbish_is_kept_as_dead_letters(program: Program, database: str) -> None:
    broker = connect(BrokerSettings(url="pgmq://", dsn=database))
    with program.running("intake") as intake, program.running("keeper") as keeper, broker.publisher() as publisher:
        publisher.declare(["ow_orders"])
        publisher.publish(
            [
                Outbound(queue="ow_orders", body=order_line(1)),
                Outbound(queue="ow_orders", body=b"\x1b[31mrubbish"),
                Outbound(queue="ow_orders", body=b"\x80\x04K\x01.", content_type="application/x-python-serialize"),
            ]
        )
        await_that(lambda: len(program.call("dlq", "list", "--json").json()) == 2)
        await_that(lambda: len(program.call("work", "list", "--json").json()) == 1)
        letters = program.call("dlq", "list").out
        assert [role.end().code for role in (intake, keeper)] == [0, 0]
    assert "ow_orders" in letters
    assert "\x1b" not in letters
    doctor = {one["check"]: one for one in program.call("doctor", "--json").json()}
    assert (doctor["dead letters"]["state"], doctor["dead letters"]["why"]) == ("warn", "2")
    assert doctor["dead letters"]["fix"] == "orderwright dlq list"
