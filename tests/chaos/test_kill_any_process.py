"""Any process may die at any moment, without a goodbye, while orders are under way: it costs time and nothing else."""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from tests.chaos.load import Order, Submission, make_orders
from tests.chaos.shop import Plan, Shop, open_shop
from tests.servers.rabbitmq import RabbitNode

ORDERS = int(os.environ.get("ORDERWRIGHT_CHAOS_ORDERS", "200"))
SEED = int(os.environ.get("ORDERWRIGHT_CHAOS_SEED", "1"))
VICTIMS = ("worker-1", "worker-2", "relay", "projector", "simulator", "client", "postgres")
SETTLE_S = 60 + ORDERS / 20

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(300 + ORDERS),
    pytest.mark.xdist_group("chaos"),  # one after the other: each takes all the processors it gets
]


def test_every_order_ends_once_and_rightly_whoever_is_killed(
    tmp_path: Path,
) -> None:
    with open_shop(tmp_path, Random(SEED)) as shop:
        switches: dict[str, Switch] = {"postgres": (shop.cluster.kill, shop.cluster.start)}
        carry_through_kills(shop, VICTIMS, switches, orders=ORDERS)


def test_a_killed_rabbitmq_loses_no_order(tmp_path: Path, make_rabbitmq: Callable[[], RabbitNode]) -> None:
    node = make_rabbitmq()
    with open_shop(tmp_path, Random(SEED), Plan(broker_url=node.start())) as shop:
        carry_through_kills(shop, ["broker", "worker-1"], {"broker": (node.kill, node.start)}, orders=ORDERS // 3)


Switch = tuple[Callable[[], object], Callable[[], object]]


def carry_through_kills(shop: Shop, victims: Sequence[str], switches: dict[str, Switch], *, orders: int) -> None:
    """A share of the load for each victim, which dies while that share is under way; then all must have ended well."""
    load = make_orders(orders, prefix="K", chance=shop.chance)
    shop.stock_up(orders=orders)
    for number, victim in enumerate(victims):
        carry_through_kill(shop, load[number :: len(victims)], victim, switches.get(victim))
        shop.history.sample(shop.observer.sample())
    shop.settle(within_s=SETTLE_S)
    verdict = shop.check()
    assert verdict["orders"] == verdict["closed"] == orders


def carry_through_kill(shop: Shop, share: list[Order], victim: str, switch: Switch | None) -> None:
    """The victim is away for a while, in which a customer changes their mind."""
    placed, closed, _ = shop.observer.progress()
    submission = Submission(shop.command_line, shop.history, share, shop.folder)
    shop.await_progress(placed=placed + len(share) // 3, closed=closed + 1)
    cancellation = shop.command_line.begin("orders", "cancel", share[len(share) // 3]["order_id"])
    if victim == "client":
        submission.kill()
    else:
        kill, start = switch or _switch(shop, victim)
        kill()
        threading.Event().wait(shop.chance.uniform(0.5, 2.0))
        start()
    submission.finish()
    cancellation.wait(60)


def _switch(shop: Shop, name: str) -> Switch:
    role = shop.simulator if name == "simulator" else shop.role(name)
    return role.kill, role.start
