"""Days in a shop, told by a seed: longer and busier than what a state machine tries, and as short to repeat as a number."""

from collections.abc import Callable
from datetime import timedelta
from random import Random

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain import order as orders
from domain import stock as stocks
from domain.process import awaited, failures
from domain.work import Step
from tests.domain.simulation import SKUS, Pipeline
from tests.domain.test_whole_order import STREAMS, finish, new_order

COUNTRIES = ("NO", "IT", "DE")


def work(shop: Pipeline, chance: Random) -> None:
    shop.work(chance.randint(1, 8))


def place(shop: Pipeline, chance: Random) -> None:
    lines = [(chance.choice(SKUS), chance.randint(1, 5), chance.randint(1, 1000)) for _ in range(chance.randint(1, 3))]
    policy, country = chance.choice(list(orders.ShippingPolicy)), chance.choice(COUNTRIES)
    if len(shop.views) < 4:
        shop.place(new_order(len(shop.views) + 1, lines, chance.choice([0, 499]), policy, country, shop.now))


def hold(shop: Pipeline, chance: Random) -> None:
    until = chance.choice([None, shop.now + timedelta(days=chance.randint(1, 4))])
    for order_id in _some_order(shop, chance):
        shop.hold(order_id, chance.choice(list(orders.HoldReason)), until)


def release(shop: Pipeline, chance: Random) -> None:
    for order_id in _some_order(shop, chance):
        shop.release(order_id, chance.choice([None, *orders.HoldReason]))


def cancel(shop: Pipeline, chance: Random) -> None:
    for order_id in _some_order(shop, chance):
        shop.cancel(order_id)


def kill(shop: Pipeline, _chance: Random) -> None:
    shop.kill()


def give_up(shop: Pipeline, chance: Random) -> None:
    if due := shop.all_due():
        shop.give_up(chance.choice(due))


def retry(shop: Pipeline, _chance: Random) -> None:
    shop.retry_the_dead()


def decide(shop: Pipeline, chance: Random) -> None:
    if shop.dead:
        what = chance.choice([shop.discard, shop.restore, shop.conclude_by_hand])
        what(chance.choice(sorted(shop.dead, key=str)))


def receive(shop: Pipeline, chance: Random) -> None:
    goods = stocks.Receive(quantity=chance.randint(1, 6), delivery="next", at=shop.now)
    shop.on_stock(chance.choice(STREAMS), goods)


def count(shop: Pipeline, chance: Random) -> None:
    counted = stocks.Adjust(quantity=chance.randint(-4, 4), reason="count", by="eve", at=shop.now)
    shop.on_stock(chance.choice(STREAMS), counted)


def wait(shop: Pipeline, chance: Random) -> None:
    shop.wait(chance.choice([1, 24, 24 * 4, 24 * 31]))


WEIGHTS: dict[Callable[[Pipeline, Random], None], int] = {
    work: 45,
    place: 15,
    hold: 10,
    release: 8,
    cancel: 3,
    kill: 4,
    give_up: 2,
    retry: 2,
    decide: 3,
    receive: 8,
    count: 3,
    wait: 5,
}


def _some_order(shop: Pipeline, chance: Random) -> list[str]:
    return [chance.choice(sorted(shop.views))] if shop.views else []


@settings(max_examples=120, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32))
def test_a_random_day_ends_well(seed: int) -> None:
    finish(day(seed, WEIGHTS))


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32))
def test_after_a_day_of_failures_every_order_can_be_cancelled_and_all_is_undone_or_on_the_list(seed: int) -> None:
    shop = day(seed, {**WEIGHTS, give_up: 15, work: 60, retry: 0, decide: 0})
    shop.kill()
    shop.settle()
    for order_id in shop.views:
        shop.cancel(order_id)
    shop.settle()
    for order_id, view in shop.views.items():
        listed = failures(view, shop.policy)
        assert view.order.closed or view.order.holds or listed, (
            f"{order_id} is neither ended nor on the list: {shop.wants(order_id)}"
        )
        assert {want.key for want in listed} <= shop.dead
        waits = view.order.cancelling and not any(want.key.step is Step.CANCEL for want in listed)
        assert not waits or awaited(view), f"{order_id}: nobody knows what its cancellation waits for"
    finish(shop)


def day(seed: int, weights: dict[Callable[[Pipeline, Random], None], int]) -> Pipeline:
    """What is left after a day on which these things happen that often."""
    chance = Random(seed)
    shop = Pipeline(chance=Random(seed + 1))
    for stream in STREAMS:
        shop.on_stock(stream, stocks.Receive(quantity=chance.randint(1, 8), delivery="first", at=shop.now))
    for act in chance.choices(list(weights), list(weights.values()), k=chance.randint(10, 60)):
        act(shop, chance)
        shop.check()
    return shop
