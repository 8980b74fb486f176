"""The broker holds nothing of value: it may lose all of its queues in mid-run, or go for good, and every order still ends, without a command."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import psycopg
import pytest
from amqp.exceptions import NotFound
from kombu import Connection
from psycopg import sql

from tests.chaos.load import Submission, make_orders
from tests.chaos.shop import NO_PERSON_NEEDED, Plan, Shop, open_shop
from tests.servers.choice import Node
from tests.servers.simulator import await_that

ORDERS = int(os.environ.get("ORDERWRIGHT_CHAOS_ORDERS", "200")) // 2
SEED = int(os.environ.get("ORDERWRIGHT_CHAOS_SEED", "1"))
STEPS = (
    *("risk", "authorize", "allocate", "label", "hand_over", "capture", "deliver", "notify", "close", "cancel"),
    *("void", "refund_label", "expire"),
)
STEP_QUEUES = [f"ow_{step}" for step in STEPS]
QUEUES = [*STEP_QUEUES, "ow_orders", "ow_dead"]
pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(300 + ORDERS),
    pytest.mark.xdist_group("chaos"),
]


def test_a_database_without_its_queues_still_ends_every_order(tmp_path: Path) -> None:
    with open_shop(tmp_path, Random(SEED), Plan(behaviour=NO_PERSON_NEEDED)) as shop:
        carry_through_a_wipe(shop, lambda: drop_pgmq_queues(shop.dsn))


def test_a_rabbitmq_without_its_queues_still_ends_every_order(
    tmp_path: Path, make_rabbitmq: Callable[[], Node]
) -> None:
    url = make_rabbitmq().start()
    with open_shop(tmp_path, Random(SEED), Plan(broker_url=url, behaviour=NO_PERSON_NEEDED)) as shop:
        carry_through_a_wipe(shop, lambda: delete_rabbitmq_queues(url))


def test_a_rabbitmq_that_never_comes_back_still_lets_every_order_end(
    tmp_path: Path, make_rabbitmq: Callable[[], Node]
) -> None:
    node = make_rabbitmq()
    with open_shop(tmp_path, Random(SEED), Plan(broker_url=node.start(), behaviour=NO_PERSON_NEEDED)) as shop:
        submission = submit(shop)
        shop.await_progress(placed=ORDERS // 5, closed=1)
        node.kill()
        submission.finish()
        expect_every_order_to_end(shop)


def carry_through_a_wipe(shop: Shop, wipe: Callable[[], int]) -> None:
    submission = submit(shop)
    for share in (0.2, 0.6):
        shop.await_progress(placed=int(share * ORDERS), closed=1)
        assert wipe() > 0
    submission.finish()
    expect_every_order_to_end(shop)


def submit(shop: Shop) -> Submission:
    """Nobody decides anything here: there is stock for all, and nothing is held."""
    shop.stock_up(orders=ORDERS, rare=4 * ORDERS)
    orders = make_orders(ORDERS, prefix="W", chance=shop.chance)
    return Submission(shop.command_line, shop.history, orders, shop.folder)


def expect_every_order_to_end(shop: Shop) -> None:
    shop.await_progress(placed=ORDERS, closed=ORDERS)
    await_that(shop.observer.is_quiet, within_s=30)
    assert shop.check()["closed"] == ORDERS


def drop_pgmq_queues(dsn: str) -> int:
    """All queue tables, with whatever waits in them; returns how many there were."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        names = [name for (name,) in connection.execute("SELECT queue_name FROM pgmq.meta")]
        for name in names:
            connection.execute(sql.SQL("SELECT pgmq.drop_queue({})").format(name))
    return len(names)


def delete_rabbitmq_queues(url: str) -> int:
    """All of our queues, with whatever waits in them, once those of the steps are there.

    A queue that is deleted in the very moment in which it is made is broken until the node starts again (rabbitmq-server issue 17457).
    """
    await_that(lambda: set(STEP_QUEUES) <= existing(url), within_s=60)
    doomed = existing(url)
    with Connection(url) as connection:
        for queue in doomed:
            connection.default_channel.queue_delete(queue)
    return len(doomed)


def existing(url: str) -> set[str]:
    with Connection(url) as connection:
        return {queue for queue in QUEUES if exists(connection, queue)}


def exists(connection: Connection, queue: str) -> bool:
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except NotFound:
        return False
    channel.close()
    return True
