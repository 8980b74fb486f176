"""The whole pipeline on RabbitMQ: orders come in over the broker and are closed, also when somebody deletes every queue."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from domain.work import Step
from tests.e2e.program import Program, order_line
from tests.e2e.strangers import INTAKE, amqp_connection, amqp_stranger
from tests.servers.simulator import Simulator, await_that

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ORDERS = 200
QUEUES = (*(f"ow_{step}" for step in Step), INTAKE, "ow_dead")
PATIENCE_S = 120.0


class Floor:
    """Intake, two workers and a relay, with stock for every order."""

    def __init__(self, program: Program, database: str, broker_url: str) -> None:
        self.program = program
        self._books = psycopg.connect(database, autocommit=True)
        self._broker_url = broker_url

    def count(self, event: str) -> int:
        rows = self._books.execute("SELECT count(*) FROM events WHERE type = %s", [event]).fetchall()
        return int(rows[0][0])

    @contextmanager
    def working(self, gateway_url: str) -> Iterator[None]:
        delivery = ("stock", "receive", "MAIN", "TEA", str(ORDERS), "--delivery", "D-1")
        assert self.program.call(*delivery).code == 0
        with ExitStack() as stack:
            roles = [
                stack.enter_context(self.program.running(role, ORDERWRIGHT_GATEWAY_URL=gateway_url))
                for role in ("intake", "worker", "worker", "relay")
            ]
            yield
            assert [role.end().code for role in roles] == [0] * len(roles)

    def submit(self) -> None:
        with amqp_stranger(self._broker_url) as stranger:
            for number in range(ORDERS):
                stranger.send(order_line(number))

    def close(self) -> None:
        self._books.close()


@pytest.fixture
def floor(tmp_path: Path, database: str, rabbitmq: str) -> Iterator[Floor]:
    delete_queues(rabbitmq)
    floor = Floor(Program(tmp_path, {"DATABASE_URL": database, "ORDERWRIGHT_BROKER_URL": rabbitmq}), database, rabbitmq)
    yield floor
    floor.close()


def delete_queues(url: str) -> None:
    with amqp_connection(url) as connection:
        channel = connection.channel()
        for queue in QUEUES:
            channel.queue_delete(queue)


def test_orders_from_the_broker_are_closed(floor: Floor, simulator: Simulator) -> None:
    with floor.working(simulator.url):
        floor.submit()
        await_that(lambda: floor.count("OrderClosed") == ORDERS, within_s=PATIENCE_S)
    assert simulator.summary()["captured"] == {"EUR": 500 * ORDERS}
    assert floor.count("OrderPlaced") == ORDERS


def test_orders_are_closed_although_all_queues_are_deleted_in_the_midst(
    floor: Floor, simulator: Simulator, rabbitmq: str
) -> None:
    with floor.working(simulator.url):
        floor.submit()
        await_that(lambda: floor.count("OrderPlaced") == ORDERS, within_s=PATIENCE_S)
        for share in (0, ORDERS // 2):
            await_that(lambda: floor.count("OrderClosed") > share, within_s=PATIENCE_S)  # noqa: B023 - waited for at once
            delete_queues(rabbitmq)
        await_that(lambda: floor.count("OrderClosed") == ORDERS, within_s=PATIENCE_S)
    assert simulator.summary()["captured"] == {"EUR": 500 * ORDERS}
