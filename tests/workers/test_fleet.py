"""Several workers on the same orders: each order once, whoever gets it."""

from datetime import timedelta

from domain.ports import Meta, Unit
from domain.process import stock_stream
from domain.stock import StockReceived
from tests.domain.examples import NOON
from tests.workers.shop import PostgresShop, drive, rounds_until, wait_until, working

WAITING = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def test_two_workers_that_are_woken_for_the_same_orders_close_each_once(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    orders = [f"o{number}" for number in range(60)]
    shop.place(*orders)
    first, second = shop.worker(batch=7, threads=2), shop.worker(batch=7)
    with working(first, second) as drained:
        for start in range(0, 60, 5):
            for worker in (first, second, first):
                shop.wake(worker, *orders[start : start + 5])
        wait_until(lambda: shop.at_rest() and shop.closed(*orders))
    assert drained == [True, True]
    assert shop.world.captures() == {f"{order_id}+1": 1 for order_id in orders}
    assert (shop.stock("cup").on_hand, shop.stock("pot").on_hand) == (1_000 - 180, 1_000 - 60)
    assert shop.store.dead_letters() == []
    assert sorted(set(shop.settled)) == sorted(orders)


def test_two_workers_on_one_sku_follow_each_other_instead_of_colliding(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    mine, yours = [f"m{number}" for number in range(40)], [f"y{number}" for number in range(40)]
    shop.place(*mine, *yours)
    first, second = shop.worker(batch=10), shop.worker(batch=10)
    with working(first, second):
        for start in range(0, 40, 10):
            shop.wake(first, *mine[start : start + 10])
            shop.wake(second, *yours[start : start + 10])
        wait_until(lambda: shop.at_rest() and shop.closed(*mine, *yours))
    assert first.counters.conflicts + second.counters.conflicts == 0
    assert shop.stock("cup").on_hand == 1_000 - 240


def test_who_plans_waits_for_who_moves_the_same_stock_and_sees_what_he_did(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    worker = shop.worker()
    stream = stock_stream("north", "cup")
    more = StockReceived(quantity=5, delivery="d2", at=NOON)
    unit = Unit(lock=stream, expected={stream: 1}, events=[(stream, more)], meta=Meta(command_id="more"))
    with working(worker):
        with shop.store.transaction() as transaction:
            transaction.lock([stream])
            shop.wake(worker, "o1")
            wait_until(lambda: shop.store.sql(WAITING) == [(1,)], "the worker waits for the stock")
            transaction.append([unit])
        wait_until(lambda: shop.closed("o1"))
    assert worker.counters.conflicts == 0
    assert shop.stock("cup").on_hand == 1_005 - 3


def test_scarce_stock_is_promised_once_by_two_workers(shop: PostgresShop) -> None:
    shop.receive("cup", 30)
    shop.receive("pot")
    orders = [f"o{number}" for number in range(20)]
    shop.place(*orders)
    first, second = shop.worker(batch=3), shop.worker(batch=3)
    with working(first, second):
        for number, order_id in enumerate(orders):
            shop.wake((first, second)[number % 2], order_id)
        wait_until(lambda: sum(shop.closed(order_id) for order_id in orders) == 10)
        wait_until(lambda: shop.stock("cup").on_hand == 0)
    stock = shop.stock("cup")
    assert (stock.allocated, stock.backordered, len(stock.backorders)) == (0, 30, 10)


def test_the_orders_of_a_killed_worker_go_on_at_another(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    orders = [f"o{number}" for number in range(10)]
    shop.place(*orders)
    killed = shop.worker()
    shop.wake(killed, *orders)
    more = rounds_until(lambda: killed.counters.batches >= 3)
    while more():
        killed.conductor.once(timeout_s=0.0)
    assert len(killed.conductor.desk) > 0
    shop.store.forget(killed.holding.current)
    heir = shop.worker()
    drive(shop, lambda: shop.at_rest() and shop.closed(*orders), heir)
    assert shop.world.captures() == {f"{order_id}+1": 1 for order_id in orders}
    assert shop.stock("cup").on_hand == 1_000 - 30


def test_a_frozen_worker_that_wakes_up_writes_nothing_of_what_others_took_over(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    frozen = shop.worker(reconcile=timedelta(hours=1))
    shop.wake(frozen, "o1")
    more = rounds_until(lambda: bool(shop.world.calls))
    while more():
        frozen.conductor.once(timeout_s=0.0)
    shop.store.sql("UPDATE holders SET expires_at = clock_timestamp() - interval '1 h'")
    heir = shop.worker()
    drive(shop, lambda: shop.closed("o1"), heir)
    frozen.conductor.once(timeout_s=0.0)
    assert frozen.counters.fenced == 1
    assert shop.names("o1").count("RiskAssessed") == 1
    assert shop.world.captures() == {"o1+1": 1}
