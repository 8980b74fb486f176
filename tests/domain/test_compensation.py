"""Every stage before the pivot, every answer, before and after the cancellation: money, goods and labels end balanced."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

import pytest

from domain import order as orders
from domain import outside
from domain import stock as stocks
from domain.process import awaited, failures, stock_stream
from domain.work import RunKey, Step
from tests.domain.outside_world import OutsideWorld
from tests.domain.simulation import SKUS, WAREHOUSES, Pipeline
from tests.domain.test_whole_order import new_order

NOT_BEGUN = {
    "accepted": Step.RISK,
    "approved": Step.AUTHORIZE,
    "authorized": Step.ALLOCATE,
    "planned": Step.LABEL,
    "labelled": Step.HAND_OVER,
}
UNDER_WAY = {
    "risk pending": Step.RISK,
    "authorizing": Step.AUTHORIZE,
    "label open": Step.LABEL,
    "handing over": Step.HAND_OVER,
}
WITH_INTENT = [stage for stage in UNDER_WAY if stage != "risk pending"]


class Scripted(OutsideWorld):
    """Grants everything except the kinds of requests that it is told to refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.moody = False
        self.refusing: set[type] = set()
        self.hard = False

    def _act(self, request: outside.Request, chance: Random, now: datetime) -> outside.Answer:
        if type(request) not in self.refusing:
            return super()._act(request, chance, now)
        if isinstance(request, outside.AuthorizePayment):
            return outside.PaymentDeclined(code="no", hard=self.hard)
        return outside.Refused(code="no")


@dataclass
class Shop:
    """One order at a stage."""

    step: Step
    world: Scripted = field(default_factory=Scripted)

    def __post_init__(self) -> None:
        self.pipeline = Pipeline(world=self.world)
        for warehouse in WAREHOUSES:
            for sku in SKUS:
                goods = stocks.Receive(quantity=1, delivery="first", at=self.pipeline.now)
                self.pipeline.on_stock(stock_stream(warehouse.id, sku), goods)
        policy = orders.ShippingPolicy.PARTIAL
        lines = [("cup", 2, 1000), ("pot", 1, 3000)]  # two warehouses, hence two parcels
        self.pipeline.place(new_order(1, lines, 499, policy, "NO", self.pipeline.now))
        while self.key() is None:
            self.begin(self.pipeline.all_due()[0])

    def key(self) -> RunKey | None:
        return next((key for key in self.pipeline.all_due() if key.step is self.step), None)

    def begin(self, key: RunKey) -> None:
        self.pipeline.begin(key)
        if key in self.pipeline.calls:
            self.pipeline.conclude(key)

    def cancel(self) -> None:
        self.pipeline.cancel("o1")
        self.pipeline.check()

    def end(self) -> None:
        """Until there is nothing left to do; what is dead stays so."""
        self.pipeline.settle()
        self.pipeline.check()


def check_balance(shop: Shop) -> None:
    """By the books of the other side, and by ours: nothing is held, nothing is owed."""
    world, view = shop.world, shop.pipeline.views["o1"]
    answers = list(world.by_key.values())
    assert view.order.closed
    assert not shop.pipeline.wants("o1")
    for money in (some for some in answers if isinstance(some, outside.PaymentAuthorized)):
        left = money.amount.amount - world.captured.get(money.reference, 0)
        refused = outside.VoidPayment in world.refusing
        assert (left == 0) != (money.reference in world.voided or refused), "money is held, or was given back too much"
    refunded = {some.tracking for some in answers if isinstance(some, outside.LabelRefunded)}
    sent = {parcel.tracking for parcel in view.fulfillments.values() if parcel.handed_over}
    bought = {some.tracking for some in answers if isinstance(some, outside.LabelBought)}
    assert bought - sent == refunded or outside.RefundLabel in world.refusing
    for warehouse in WAREHOUSES:
        for sku in SKUS:
            stock = shop.pipeline.stock(stock_stream(warehouse.id, sku))
            assert not stock.allocations
            assert not stock.backorders
    assert sum(world.captured.values()) == view.payment.captured_total()
    assert {parcel.delivered for parcel in view.fulfillments.values() if not parcel.stood_down} <= {True}


@pytest.mark.parametrize("stage", NOT_BEGUN)
@pytest.mark.parametrize("dead", [False, True])
def test_an_order_that_is_cancelled_between_two_steps_ends_balanced(stage: str, *, dead: bool) -> None:
    shop = Shop(NOT_BEGUN[stage])
    key = shop.key()
    if dead and key:
        shop.pipeline.give_up(key)
    shop.cancel()
    shop.end()
    check_balance(shop)
    assert shop.pipeline.views["o1"].order.closed == "cancelled"


def answered(shop: Shop, key: RunKey) -> None:
    shop.pipeline.conclude(key)


def lost(shop: Shop, key: RunKey) -> None:
    """It was done, and the answer never came."""
    shop.pipeline.conclude(key, lost=True)


def killed(shop: Shop, key: RunKey) -> None:
    """The worker ended before it asked."""
    shop.pipeline.calls.pop(key)


ARRIVALS: list[Callable[[Shop, RunKey], None]] = [answered, lost, killed]


@pytest.mark.parametrize("stage", UNDER_WAY)
@pytest.mark.parametrize("arrives", ARRIVALS)
@pytest.mark.parametrize("says", ["yes", "no", "never"])
@pytest.mark.parametrize("when", ["before the cancellation", "after it"])
def test_an_order_that_is_cancelled_around_an_answer_ends_balanced(
    stage: str, arrives: Callable[[Shop, RunKey], None], says: str, when: str
) -> None:
    shop = Shop(UNDER_WAY[stage])
    key = shop.key()
    assert key
    shop.pipeline.begin(key)
    if says != "yes":
        shop.world.refusing, shop.world.hard = {type(shop.pipeline.calls[key].request)}, says == "never"
    for act in [lambda: arrives(shop, key), shop.cancel][:: 1 if when.startswith("before") else -1]:
        act()
    shop.end()
    check_balance(shop)


@pytest.mark.parametrize("stage", WITH_INTENT)
@pytest.mark.parametrize("happened", [True, False])
def test_a_cancellation_waits_for_what_nobody_knows_until_a_person_finds_out(stage: str, *, happened: bool) -> None:
    shop = Shop(UNDER_WAY[stage])
    key = shop.key()
    assert key
    shop.pipeline.begin(key)
    call = shop.pipeline.calls[key]
    if happened:
        shop.world.ask(call.request, Random(0), shop.pipeline.now)
    shop.pipeline.give_up(key)
    shop.cancel()
    shop.end()
    view = shop.pipeline.views["o1"]
    assert view.order.cancelling
    assert awaited(view)
    assert {want.key for want in failures(view, shop.pipeline.policy)} == {key}
    shop.pipeline.conclude_by_hand(key)
    shop.end()
    check_balance(shop)


@pytest.mark.parametrize("compensation", [outside.VoidPayment, outside.RefundLabel])
def test_an_order_whose_compensation_is_refused_ends_well(compensation: type) -> None:
    shop = Shop(Step.HAND_OVER)
    shop.world.refusing = {compensation}
    shop.cancel()
    shop.end()
    check_balance(shop)
    view = shop.pipeline.views["o1"]
    assert view.payment.void_failed if compensation is outside.VoidPayment else view.fulfillments[1].label_refund


@pytest.mark.parametrize("step", [Step.CANCEL, Step.VOID, Step.REFUND_LABEL])
def test_a_compensation_that_fails_is_on_the_list_and_is_not_forgotten(step: Step) -> None:
    shop = Shop(Step.HAND_OVER)
    shop.cancel()
    while not (due := [key for key in shop.pipeline.all_due() if key.step is step]):
        shop.begin(next(key for key in shop.pipeline.all_due() if key.step is Step.CANCEL))
    for key in due:
        shop.pipeline.give_up(key)
    shop.end()
    view = shop.pipeline.views["o1"]
    assert not view.order.closed
    assert {want.key for want in failures(view, shop.pipeline.policy)} == set(due)
    shop.pipeline.attend()
    shop.end()
    check_balance(shop)
