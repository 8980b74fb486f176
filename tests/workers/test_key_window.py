"""A gateway that may have forgotten: the worker asks, does not act, and hands the order to a person with both possibilities."""

from datetime import timedelta

from domain import outside
from domain.errors import OutcomeUnknown
from domain.process import Policy, StepFailed
from tests.workers.shop import PostgresShop, drive


def stock_up(shop: PostgresShop) -> None:
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1", "o2")


def test_past_the_window_nothing_is_captured_on_a_guess_and_a_person_is_told_both_possibilities(
    shop: PostgresShop,
) -> None:
    shop.policy = Policy(key_window=timedelta(0))
    stock_up(shop)
    shop.world.faults[outside.CapturePayment] = [OutcomeUnknown("the answer was lost")]
    shop.wake(shop.worker(), "o1", "o2")
    drive(shop, lambda: bool(shop.store.dead_letters()) and (shop.closed("o1") or shop.closed("o2")))
    [letter] = shop.store.dead_letters()
    assert "never happened, or it happened and the key is forgotten" in letter.reason
    assert letter.order_id
    failed = [some.event for some in shop.store.read_orders([letter.order_id]) if isinstance(some.event, StepFailed)]
    assert [event.unknown for event in failed] == [True]
    assert letter.order_id not in {capture.order_id for capture in shop.world.inside.payments.captures}
    assert len(shop.world.inside.payments.captures) == 1


def test_past_the_window_what_the_gateway_still_knows_is_believed(shop: PostgresShop) -> None:
    shop.policy = Policy(key_window=timedelta(0))
    stock_up(shop)

    def lose() -> None:
        raise OutcomeUnknown("the answer was lost")

    shop.world.meanwhile[outside.CapturePayment] = lose
    shop.wake(shop.worker(), "o1", "o2")
    drive(shop, lambda: shop.closed("o1", "o2") and shop.at_rest())
    assert shop.world.captures() == {"o1+1": 1, "o2+1": 1}
