"""The runs: each a few seconds of real processes under the fault that exposes one kind of bug, and what the checker may expect of them.

A run never fails by itself: whatever it waits for and does not see, it goes on to the verdict. `RUNS` has them by name.
"""

from collections.abc import Callable, Mapping

from tests.checker.expect import Expect
from tests.mutants import runs_of_messages, runs_of_time, runs_whole
from tests.mutants.shop import Shop, an_order

Run = Callable[[Shop], Expect]
REST_S = 9.0
SLOW_COMMITS = """
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(CASE WHEN random() < 0.25 THEN 0.4 ELSE 0 END); RETURN NULL; END $$;
    CREATE TRIGGER dawdle AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION dawdle()
"""
NOTHING_LEFT = Expect(all_closed=True, quiet_within_s=REST_S - 1, attempts=12)


def rough(shop: Shop) -> Expect:
    """Answers are lost on their way, cards are declined, and transactions take their time to commit."""
    shop.open(
        *("worker", "worker", "relay", "projector"),
        settings={"batch": "4", "attempts": "12"},
        hard_decline_share=0.1,
        faults={"drop_after": 0.25, "error_before": 0.05},
    )
    shop.receive("TEA", 100)
    shop.receive("CUP", 100)
    shop.sql(SLOW_COMMITS)
    lines = ((("TEA", 3, 1000),), (("TEA", 1, 990), ("CUP", 3, 2000)), (("CUP", 2, 333),))
    shop.submit([an_order(f"R-{number}", *lines[number % 3]) for number in range(12)], "--batch", "3")
    shop.rest(closed=12, within_s=REST_S)
    return Expect(all_closed=True, quiet_within_s=REST_S - 1, attempts=12)


def cancelled(shop: Shop) -> Expect:
    """Customers change their minds while their goods are set aside and the carrier does not answer."""
    shop.open("worker", "relay", "projector", settings={"attempts": "100"}, faults_of={"label": {"error_before": 1.0}})
    shop.receive("TEA", 20)
    orders = [an_order(f"C-{number}") for number in range(4)]
    shop.submit(orders)
    shop.until(lambda: shop.count("LabelStarted") >= len(orders))
    for order in orders[:2]:
        shop.cancel(order["order_id"])
    assert shop.world is not None
    shop.world.behave(faults_of={})
    shop.rest(closed=4, within_s=REST_S)
    return Expect(all_closed=True, quiet_within_s=REST_S - 1, attempts=100)


def scarce(shop: Shop) -> Expect:
    """Two workers share out the last units of a stock; neither can hold more than two orders at once."""
    shop.open("worker", "worker", "relay", "projector", settings={"in_flight": "2"}, latency={"fixed_ms": 10})
    shop.receive("RARE", 9)
    orders = [an_order(f"S-{number}", ("RARE", 1, 700), policy="cancel-remainder") for number in range(20)]
    shop.submit(orders, "--batch", "1")
    shop.rest(closed=20, within_s=REST_S)
    return NOTHING_LEFT


def overtaken(shop: Shop) -> Expect:
    """A customer cancels between a worker's decision and its write."""
    shop.open("relay", "projector")
    shop.receive("TEA", 20)
    shop.start("worker", name="slow", points="before_store_append:sleep(1.2)@2+;times=2")
    shop.submit([an_order("O-1")])
    shop.until(lambda: shop.reached("slow", "before_store_append"))
    shop.cancel("O-1")
    shop.rest(closed=1, within_s=REST_S)
    return NOTHING_LEFT


def projector_killed(shop: Shop) -> Expect:
    """The projector dies when a page is applied and its checkpoint is not moved."""
    shop.open("worker", "relay")
    shop.receive("TEA", 50)
    shop.submit([an_order(f"P-{number}") for number in range(5)])
    shop.until(lambda: shop.count("OrderClosed") >= 3)
    dying = shop.start("projector", name="dying", points="before_checkpoint:kill@1")
    dying.wait(20)
    shop.start("projector")
    shop.rest(closed=5, within_s=REST_S)
    return NOTHING_LEFT


def frozen_worker(shop: Shop) -> Expect:
    """A worker is frozen between an answer and its write, for longer than its lease; another one is at the same work when it wakes up."""
    shop.open("relay", "projector", settings={"lease_s": "1"}, latency_of={"authorize": {"fixed_ms": 200}})
    shop.receive("TEA", 20)
    frozen = shop.start("worker", name="frozen", points="before_append:sleep(1.5)@3")  # of the authorization
    shop.submit([an_order("F-1")])
    shop.until(lambda: shop.reached("frozen", "before_append"))
    shop.freeze(frozen)
    first = _epoch(shop)
    assert shop.world is not None
    shop.world.behave(latency_of={"authorize": {"fixed_ms": 3000}, "inquire": {"fixed_ms": 3000}})
    shop.start("worker", name="second")
    shop.until(lambda: _epoch(shop) not in (None, first))
    shop.await_observer()
    shop.thaw(frozen)
    shop.until(lambda: shop.count("Authorized") == 1, within_s=8)
    shop.world.behave(latency_of={})
    shop.rest(closed=1, within_s=REST_S)
    return Expect(all_closed=True, quiet_within_s=REST_S - 1, lease_s=1)


def _epoch(shop: Shop) -> int | None:
    rows = shop.sql("SELECT epoch FROM step_runs WHERE step = 'authorize'")
    return rows[0][0] if rows else None


def hopeless(shop: Shop) -> Expect:
    """The carrier never answers, and the worker is killed again and again before a run has used up its attempts."""
    shop.open("relay", "projector", settings={"attempts": "4"}, faults_of={"label": {"error_before": 1.0}})
    shop.receive("TEA", 20)
    shop.tell({"planted": {"order_id": "H-1", "step": "label"}})
    shop.submit([an_order("H-1")])
    for life in range(1, 5):
        worker = shop.start("worker", name=f"life-{life}")
        shop.until(lambda life=life: _calls(shop) >= 3 * life or bool(shop.sql("SELECT 1 FROM dead_letters")), 10)  # type: ignore[misc]
        worker.kill()
    shop.start("worker")
    shop.rest(closed=0, within_s=REST_S)
    return Expect(quiet_within_s=REST_S - 1, attempts=4, crashes=5, errors=("dead letter",))


def outage(shop: Shop) -> Expect:
    """The payment gateway fails for a while, and two workers, neither with much to do, must leave it alone together."""
    shop.open(
        *("relay", "projector"),
        settings={"attempts": "12", "breaker_open_s": "3", "breaker_minimum_calls": "10", "in_flight": "4"},
        faults_of={"authorize": {"error_before": 1.0}, "inquire": {"error_before": 1.0}},
    )
    shop.receive("TEA", 50)
    shop.start("worker", name="one")
    shop.start("worker", name="two")
    shop.submit([an_order(f"A-{number}") for number in range(8)], "--batch", "1")
    shop.until(lambda: bool(shop.sql("SELECT 1 FROM breaker_transitions WHERE after = 'open'")), within_s=8)
    shop.until(lambda: shop.sql("SELECT count(*) FROM breaker_transitions WHERE after = 'open'")[0][0] > 1, within_s=8)
    assert shop.world is not None
    shop.world.behave(faults_of={})
    shop.rest(closed=8, within_s=REST_S)
    return Expect(all_closed=True, quiet_within_s=REST_S - 1, attempts=12, blind_s=1.2)


def _calls(shop: Shop) -> int:
    assert shop.world is not None
    return int(shop.world.rows("SELECT coalesce(max(attempts), 0) FROM requests WHERE operation = 'label'")[0][0])


RUNS: Mapping[str, Run] = {
    run.__name__: run
    for run in (
        *(rough, cancelled, scarce, overtaken, projector_killed, frozen_worker, hopeless, outage),
        *runs_of_messages.RUNS,
        *runs_of_time.RUNS,
        runs_whole.everything,
    )
}
