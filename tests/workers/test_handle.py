"""Commands of a person, beside workers that change the same orders."""

from functools import partial

import pytest

from domain import outside
from domain import stock as stocks
from domain.errors import CommandRefused, OutcomeUnknown, Poison
from domain.order import CancelReason, HoldReason
from domain.outside import Request
from domain.work import Step
from tests.domain.examples import NOON
from tests.workers.faulty import AFTER
from tests.workers.shop import EAGER, PostgresShop, drive, hasten
from workers import handle

CANCEL = handle.cancel(CancelReason.CUSTOMER, "changed my mind", "ada")
HOLD = handle.hold(HoldReason.OTHER, "look at it", "ada")
RELEASE = handle.release(None, "fine", "ada")


def is_waiting(shop: PostgresShop, order_id: str) -> bool:
    return bool(shop.view(order_id).order.backorders)


def command(shop: PostgresShop, what: object, command_id: str = "c1", order_id: str = "o1") -> tuple[str, ...]:
    return shop.handler.on_order(order_id, what, command_id=command_id, actor="ada").events  # type: ignore[arg-type]


def adjust(shop: PostgresShop, quantity: int, command_id: str = "a1") -> tuple[str, ...]:
    stock = stocks.Adjust(quantity=quantity, reason="counted", by="ada", at=NOON)
    return shop.handler.on_stock("north", "cup", stock, command_id=command_id, actor="ada").events


def test_an_order_is_cancelled_and_the_work_that_follows_is_announced(shop: PostgresShop) -> None:
    shop.place("o1")
    shop.worker()
    assert command(shop, CANCEL) == ("CancellationRequested",)
    drive(shop, lambda: shop.closed("o1") and shop.at_rest())
    assert {"LinesCancelled", "OrderClosed"} <= set(shop.names("o1"))


def test_a_hold_stops_the_order_and_its_release_wakes_it(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    assert command(shop, HOLD, "h") == ("HoldPlaced",)
    assert shop.at_rest()
    shop.worker()
    assert command(shop, RELEASE, "r") == ("HoldReleased",)
    drive(shop, lambda: shop.closed("o1"))


def test_a_command_that_is_repeated_does_nothing(shop: PostgresShop) -> None:
    shop.place("o1")
    assert command(shop, HOLD, "h") == ("HoldPlaced",)
    assert command(shop, RELEASE, "r") == ("HoldReleased",)
    assert command(shop, HOLD, "h") == ()
    assert shop.names("o1") == ["OrderPlaced", "HoldPlaced", "HoldReleased"]


def test_a_repeat_is_no_refusal_even_if_the_command_could_not_be_done_again(shop: PostgresShop) -> None:
    shop.receive("cup", 5)
    assert adjust(shop, -5) == ("StockAdjusted",)
    assert adjust(shop, -5) == ()
    with pytest.raises(CommandRefused):
        adjust(shop, -5, "a2")
    with pytest.raises(CommandRefused):
        adjust(shop, -5, "a2")


def test_a_command_whose_answer_was_lost_is_done_once_when_it_is_repeated(shop: PostgresShop) -> None:
    shop.place("o1")
    shop.store.faults.of["append"] = [AFTER]
    with pytest.raises(Exception, match="lost"):
        command(shop, CANCEL)
    assert command(shop, CANCEL) == ()
    assert shop.names("o1").count("CancellationRequested") == 1
    shop.worker()
    hasten(shop)
    drive(shop, lambda: shop.closed("o1"))


def test_there_is_no_order_to_change(shop: PostgresShop) -> None:
    with pytest.raises(CommandRefused, match="no order"):
        command(shop, CANCEL, order_id="nobody")


def test_a_command_decides_again_when_a_worker_was_faster(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker()
    looked: list[int] = []

    def slowly(view: object, now: object) -> object:
        if not looked:
            shop.wake(worker, "o1")
            drive(shop, lambda: "RiskAssessed" in shop.names("o1"))
        looked.append(1)
        return CANCEL(view, now)  # type: ignore[arg-type]

    assert command(shop, slowly) == ("CancellationRequested",)
    assert len(looked) == 2


def test_what_comes_in_wakes_the_orders_that_wait_for_it_in_the_order_of_their_waiting(shop: PostgresShop) -> None:
    shop.worker()
    for order_id in ("o1", "o2", "o3"):
        shop.place(order_id)
        shop.announce([("risk", order_id)])
        drive(shop, partial(is_waiting, shop, order_id))
    shop.receive("pot")
    drive(shop, lambda: shop.view("o3").order.plans > 1)
    shop.receive("cup", 3)
    drive(shop, lambda: shop.closed("o1"))
    assert [bool(shop.view(order_id).order.backorders) for order_id in ("o1", "o2", "o3")] == [False, True, True]
    shop.receive("cup", 6)
    drive(shop, lambda: shop.closed("o2", "o3") and shop.at_rest())
    assert (shop.stock().on_hand, shop.stock().backordered, shop.stock("pot").on_hand) == (0, 0, 997)


def test_stock_that_is_set_free_by_a_cancellation_goes_to_who_waits_for_it(shop: PostgresShop) -> None:
    shop.receive("pot")
    shop.receive("cup", 3)
    shop.worker()
    shop.place("o1", "o2")
    shop.world.meanwhile[outside.BuyLabel] = lambda: command(shop, HOLD, "h")
    shop.announce([("risk", "o1")])
    drive(shop, lambda: "HoldPlaced" in shop.names("o1") and "LabelPurchased" in shop.names("o1"))
    shop.announce([("risk", "o2")])
    drive(shop, lambda: bool(shop.view("o2").order.backorders))
    command(shop, CANCEL)
    drive(shop, lambda: shop.closed("o1", "o2"))
    assert shop.stock().on_hand == 0


def test_a_delivery_that_comes_again_with_another_quantity_is_refused(shop: PostgresShop) -> None:
    assert receive(shop, 100, "truck-1") == ("StockReceived",)
    assert receive(shop, 100, "truck-1") == ()
    with pytest.raises(CommandRefused, match="with 100 units before"):
        receive(shop, 50, "truck-1")


def receive(shop: PostgresShop, quantity: int, delivery: str) -> tuple[str, ...]:
    command = stocks.Receive(quantity=quantity, delivery=delivery, at=shop.store.now())
    return shop.handler.on_stock("north", "cup", command, command_id=f"receive:{delivery}", actor="ada").events


def in_trouble(shop: PostgresShop, kind: type[Request], error: Exception) -> None:
    """An order with a dead run."""
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    shop.world.faults[kind] = [error] * EAGER.attempts
    shop.wake(shop.worker(), "o1")
    drive(shop, lambda: [row.state for row in shop.store.runs()] == ["dead"])


def test_an_order_in_trouble_can_be_held_and_released_and_its_dead_run_stays_dead(shop: PostgresShop) -> None:
    in_trouble(shop, outside.AssessRisk, Poison("no"))
    assert command(shop, HOLD, "h") == ("HoldPlaced",)
    assert [row.state for row in shop.store.runs()] == ["dead"]
    assert command(shop, RELEASE, "r") == ("HoldReleased",)
    assert [(row.key.step, row.state) for row in shop.store.runs()] == [(Step.RISK, "dead")]


def test_an_order_in_trouble_can_be_cancelled(shop: PostgresShop) -> None:
    in_trouble(shop, outside.AssessRisk, Poison("no"))
    done = shop.handler.on_order("o1", CANCEL, command_id="c", actor="ada")
    assert (done.events, done.awaited) == (("CancellationRequested",), ())
    drive(shop, lambda: shop.closed("o1") and shop.at_rest())


def test_a_cancellation_that_waits_for_an_unknown_outcome_says_so(shop: PostgresShop) -> None:
    in_trouble(shop, outside.BuyLabel, OutcomeUnknown("lost"))
    done = shop.handler.on_order("o1", CANCEL, command_id="c", actor="ada")
    assert (done.events, done.awaited) == (("CancellationRequested",), ("o1+1:label:1",))
    again = shop.handler.on_order("o1", CANCEL, command_id="c2", actor="ada")
    assert (again.events, again.awaited) == ((), ("o1+1:label:1",))
    assert [(row.key.step, row.state) for row in shop.store.runs()] == [(Step.LABEL, "dead")]
