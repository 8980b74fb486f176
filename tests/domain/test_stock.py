"""The stock of one SKU: a ledger that never promises a unit twice and keeps its queue."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import stock as stocks
from domain.decider import Decider
from domain.errors import CommandRefused
from tests.domain.examples import NOON
from tests.domain.laws import check_ledger
from tests.spec import Spec

STOCK = Spec(Decider(initial=stocks.Stock(), decide=stocks.decide, evolve=stocks.evolve))
TEN = stocks.StockReceived(quantity=10, delivery="d1", at=NOON)
FOUR = stocks.Allocate(fulfillment_id="a+1", order_id="a", quantity=4)
FOUR_GONE = stocks.StockAllocated(fulfillment_id="a+1", order_id="a", quantity=4)


def adjust(quantity: int) -> stocks.Adjust:
    return stocks.Adjust(quantity=quantity, reason="count", by="eve", at=NOON)


def wait(order_id: str, quantity: int) -> stocks.Backorder:
    return stocks.Backorder(order_id=order_id, quantity=quantity)


def waits(order_id: str, quantity: int) -> stocks.StockBackordered:
    return stocks.StockBackordered(order_id=order_id, quantity=quantity)


def test_goods_arrive() -> None:
    arrived = STOCK.when(stocks.Receive(quantity=10, delivery="d1", at=NOON)).state()
    assert arrived == stocks.Stock(on_hand=10)


def test_nothing_cannot_arrive() -> None:
    STOCK.when(stocks.Receive(quantity=0, delivery="d1", at=NOON)).then_refused("at least 1")


def test_units_are_promised_to_a_fulfillment() -> None:
    after = STOCK.given(TEN).when(FOUR).then(FOUR_GONE).state()
    assert (after.on_hand, after.allocated, after.available()) == (10, 4, 6)


@pytest.mark.parametrize(("quantity", "reason"), [(11, "not enough"), (0, "at least 1")])
def test_what_is_not_there_is_not_promised(quantity: int, reason: str) -> None:
    STOCK.given(TEN).when(replace(FOUR, quantity=quantity)).then_refused(reason)


def test_a_newcomer_does_not_pass_the_queue() -> None:
    STOCK.given(TEN, waits("z", 7)).when(FOUR).then_refused("not enough")


def test_who_waits_is_served_in_the_order_of_arrival() -> None:
    stock = STOCK.given(waits("a", 3), waits("b", 9), waits("c", 1), TEN).state()
    assert [stock.available_to(order_id) for order_id in ("a", "b", "c", "d")] == [10, 7, 0, 0]
    assert stock.fillable() == ["a", "b"]


def test_a_changed_backorder_keeps_its_place() -> None:
    stock = STOCK.given(waits("a", 3), waits("b", 1)).when(wait("a", 2)).state()
    assert list(stock.backorders) == ["a", "b"]
    assert stock.backordered == 3


def test_an_order_leaves_the_queue_once() -> None:
    STOCK.given(waits("a", 3)).when(wait("a", 0)).then(stocks.BackorderWithdrawn(order_id="a"))


def test_who_does_not_wait_cannot_leave_the_queue() -> None:
    STOCK.when(wait("a", 0)).then_nothing()
    STOCK.when(wait("a", -1)).then_nothing()


def test_a_release_gives_back_what_the_fulfillment_holds_and_no_more() -> None:
    released = stocks.AllocationReleased(fulfillment_id="a+1", quantity=4)
    STOCK.given(TEN, FOUR_GONE).when(stocks.Release(fulfillment_id="a+1")).then(released)


def test_shipping_converts_an_allocation() -> None:
    shipped = stocks.StockShipped(fulfillment_id="a+1", quantity=4)
    after = STOCK.given(TEN, FOUR_GONE).when(stocks.ConfirmShipped(fulfillment_id="a+1")).then(shipped).state()
    assert (after.on_hand, after.allocated, dict(after.allocations)) == (6, 0, {})


def test_what_was_not_promised_cannot_ship() -> None:
    STOCK.given(TEN).when(stocks.ConfirmShipped(fulfillment_id="a+1")).then_nothing()


def test_more_than_is_there_cannot_ship() -> None:
    broken = stocks.StockAdjusted(quantity=-8, reason="by hand", by="eve", at=NOON)
    STOCK.given(TEN, FOUR_GONE, broken).when(stocks.ConfirmShipped(fulfillment_id="a+1")).then_refused("on hand")


def test_a_count_cannot_take_away_what_is_promised() -> None:
    STOCK.given(TEN, FOUR_GONE).when(adjust(-7)).then_refused("promised")
    assert STOCK.given(TEN, FOUR_GONE).when(adjust(-6)).state().available() == 0


def test_a_count_that_agrees_is_no_event() -> None:
    STOCK.given(TEN).when(adjust(0)).then_nothing()


ORDERS = st.sampled_from("abcd")
COMMANDS = st.one_of(
    st.builds(stocks.Receive, quantity=st.integers(1, 9), delivery=st.just("d"), at=st.just(NOON)),
    st.builds(adjust, st.integers(-9, 9)),
    st.builds(
        lambda o, n, q: stocks.Allocate(fulfillment_id=f"{o}+{n}", order_id=o, quantity=q),
        ORDERS,
        st.integers(1, 2),
        st.integers(1, 9),
    ),
    st.builds(wait, ORDERS, st.integers(0, 9)),
    st.builds(lambda o, n: stocks.Release(fulfillment_id=f"{o}+{n}"), ORDERS, st.integers(1, 2)),
    st.builds(lambda o, n: stocks.ConfirmShipped(fulfillment_id=f"{o}+{n}"), ORDERS, st.integers(1, 2)),
)


@given(st.lists(COMMANDS, max_size=40))
def test_the_ledger_balances_at_every_prefix(commands: list[stocks.StockCommand]) -> None:
    log: list[stocks.StockEvent] = []
    stock = stocks.Stock()
    for command in commands:
        try:
            events = stocks.decide(command, stock)
        except CommandRefused:
            continue
        if isinstance(command, stocks.Allocate) and events:
            ahead = _ahead_of(command.order_id, stock)
            assert stock.on_hand - stock.allocated - ahead >= command.quantity, "somebody was passed in the queue"
        log += events
        stock = stocks.fold(events, stock)
        check_ledger(log, stock)
        assert stock == stocks.fold(log), "a fold in pieces differs from a fold at once"
        if not isinstance(command, stocks.Receive | stocks.Adjust):
            assert not stocks.decide(command, stock), "a repeated command must be no event"


def _ahead_of(order_id: str, stock: stocks.Stock) -> int:
    queue = list(stock.backorders)
    ahead = queue[: queue.index(order_id)] if order_id in queue else queue
    return sum(stock.backorders[other] for other in ahead)


@given(st.lists(COMMANDS, max_size=20), COMMANDS)
def test_a_fold_leaves_the_former_state_alone(history: list[stocks.StockCommand], command: stocks.StockCommand) -> None:
    stock = stocks.Stock()
    for former in history:
        try:
            stock = stocks.fold(stocks.decide(former, stock), stock)
        except CommandRefused:
            continue
    before = (dict(stock.allocations), dict(stock.backorders), stock.on_hand)
    try:
        stocks.fold(stocks.decide(command, stock), stock)
    except CommandRefused:
        return
    assert before == (dict(stock.allocations), dict(stock.backorders), stock.on_hand)
