"""Runs in which somebody's clock is wrong by an hour: only the database's decides."""

from tests.checker.expect import Expect
from tests.mutants.shop import Shop, an_order

REST_S = 9.0
AN_HOUR = 3600.0


def early_timer(shop: Shop) -> Expect:
    """A payment is declined, the customer has some time to answer, and a worker believes that this time is over."""
    shop.open("relay", "projector", settings={"payment_answer_s": "1800", "sweep_s": "0.2"}, soft_decline_share=1.0)
    shop.receive("TEA", 20)
    shop.start("worker", name="early", skew_s=AN_HOUR)
    shop.submit([an_order("T-1")])
    shop.until(lambda: shop.count("HoldPlaced") == 1)
    shop.until(lambda: shop.count("OrderClosed") == 1, within_s=1.5)
    shop.rest(closed=0, within_s=REST_S)
    return Expect(quiet_within_s=REST_S - 1)


def hasty_relay(shop: Shop) -> Expect:
    """Workers wait for a slow dependency; a relay whose clock is ahead must not think that they are gone."""
    shop.open("worker", "worker", "projector", latency_of={"authorize": {"fixed_ms": 4500}}, settings={"lease_s": "3"})
    shop.receive("TEA", 20)
    shop.submit([an_order(f"Y-{number}") for number in range(4)])
    shop.until(lambda: shop.count("AuthorizationStarted") == 4)
    hasty = shop.start("relay", name="hasty", points="none", skew_s=AN_HOUR)
    shop.until(lambda: shop.reached("hasty", "after_publish_before_next", "reached"))
    (ends,) = shop.sql("SELECT max(expires_at) FROM holders")[0]
    shop.until(lambda: shop.sql("SELECT min(expires_at) > %s FROM holders", ends)[0][0] is True, within_s=8)
    shop.await_observer()
    hasty.stop()
    shop.start("relay")
    shop.rest(closed=4, within_s=REST_S)
    return Expect(all_closed=True, quiet_within_s=REST_S - 1, lease_s=3)


RUNS = (early_timer, hasty_relay)
