"""The outside world is slow, down, flapping, forgetful, or answers nonsense. Nobody may be charged twice for it."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.load import Order
from tests.chaos.matrix import row
from tests.chaos.run import Run
from tests.faults import signals
from tests.servers.simulator import await_that

GROUP = "gateway"
DEAD = "SELECT order_id FROM step_runs WHERE state = 'dead'"
PAYMENT = ("authorize", "capture", "void")


def of_payment(**faults: float) -> dict[str, dict[str, float]]:
    return dict.fromkeys(PAYMENT, faults)


def calls(run: Run, *operations: str) -> int:
    """How often the simulator was asked for these operations, by its own books."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(f"file:{run.shop.ledger}?mode=ro", uri=True)) as books:
        marks = ",".join("?" * len(operations))
        found = books.execute(f"SELECT count(*) FROM calls WHERE operation IN ({marks})", operations).fetchone()
    return int(found[0])


def nobody_died(run: Run) -> None:
    assert run.ask(DEAD) == [], "the outage has made dead letters"


@row("F66", "the carrier takes 10 s for an answer", group=GROUP)
def slow_carrier(run: Run) -> None:
    run.shop.behave(latency_of={"label": {"fixed_ms": 10_000}})
    orders = run.submit(30)
    run.struck()
    paid = "SELECT count(*) FROM events WHERE type = 'Authorized' AND stream LIKE 'payment-F66-%'"
    await_that(lambda: bool((rows := run.ask(paid)) and rows[0][0] >= 0.8 * len(orders)), within_s=15)
    run.shop.behave(**run.shop.behaviour, latency_of={})
    run.await_closed(1)
    nobody_died(run)


@row("F67", "the payment gateway answers 500 to everything for 6 s", group=GROUP, outage_s=30)
def down(run: Run) -> None:
    before = calls(run, *PAYMENT)
    run.shop.behave(faults_of=of_payment(error_before=1.0))
    run.submit(60)
    run.struck()
    run.last(5)
    asked = calls(run, *PAYMENT) - before
    run.notes.append(f"{asked} calls while it was down")
    run.shop.behave(faults_of={})
    run.await_closed(1)
    nobody_died(run)


@row("F67b", "the whole outside world is down for some seconds, and back", group=GROUP, outage_s=30)
def gone(run: Run) -> None:
    with run.load(40):
        run.await_begun(3)
        run.shop.simulator.kill()
        run.struck()
        run.last(4)
        run.shop.simulator.start()
    run.await_closed(1)
    nobody_died(run)


@row("F71", "the gateway has acted, and a third of its answers is lost", group=GROUP)
def lost_answers(run: Run) -> None:
    run.shop.behave(faults={"drop_after": 0.3})
    run.struck()
    run.submit(40)
    run.await_closed(0.9)


@row("F72", "500 after acting, garbage, dripping answers", group=GROUP, errors=("dead letter",))
def nonsense(run: Run) -> None:
    run.shop.behave(faults={"error_after": 0.1, "garbage": 0.1, "drip": 0.03, "error_before": 0.05})
    run.struck()
    run.submit(40)
    run.await_closed(0.9)


@row("F73", "429 with Retry-After, for all workers", group=GROUP)
def too_many(run: Run) -> None:
    run.shop.behave(retry_after_s=3, faults_of={"authorize": {"too_many": 1.0}})
    before = calls(run, "authorize")
    run.submit(40)
    run.struck()
    run.last(2)
    asked = calls(run, "authorize") - before
    run.notes.append(f"{asked} calls within the 3 s for which none was welcome")
    run.shop.behave(faults_of={})
    run.await_closed(1)
    nobody_died(run)
    assert asked <= 80, f"{asked} calls though it was told to wait"


@row("F70", "six workers at the moment when the breaker is half open", group=GROUP, outage_s=30)
def half_open(run: Run) -> None:
    with more_workers(run, 4):
        run.shop.behave(faults_of=of_payment(error_before=1.0))
        run.submit(80)
        run.struck()
        run.last(5)
        before = calls(run, *PAYMENT)
        run.last(4)
        probes = calls(run, *PAYMENT) - before
        run.notes.append(f"{probes} probes of 6 workers in 4 s")
        run.shop.behave(faults_of={})
        run.await_closed(1)
    nobody_died(run)
    assert probes <= 40, f"{probes} calls in 4 s to a dependency that is down"


@contextmanager
def more_workers(run: Run, count: int) -> Iterator[None]:
    more = [run.shop.add(f"worker-{number}") for number in range(3, 3 + count)]
    for role in more:
        role.start()
    try:
        yield
        for role in more:
            assert role.stop() == 0
    finally:
        for role in more:
            role.kill()
            run.shop.roles.remove(role)


@row("F81", "a compensation fails again and again", group=GROUP, outage_s=30)
def void_fails(run: Run) -> None:
    run.shop.behave(faults_of={"void": {"error_before": 1.0}}, latency_of={"label": {"fixed_ms": 800}})
    with run.load(12) as orders:
        run.await_begun(6)
        cancel(run, orders[:6])
    run.last(3)
    run.shop.behave(faults_of={}, latency_of={})
    run.await_closed(1)
    nobody_died(run)


@row("F80", "cancellations race with captures and hand-overs", group=GROUP)
def cancelled_in_time_or_not(run: Run) -> None:
    with run.load(24, seconds=2) as orders:
        run.await_begun(2)
        cancel(run, orders)
    run.await_closed(1)


def cancel(run: Run, orders: list[Order]) -> None:
    """Several at once, as if by several people."""
    running = []
    for order in orders:
        running.append(run.shop.command_line.begin("orders", "cancel", order["order_id"], "--reason", "customer"))
        run.struck()
        if len(running) >= 6:
            running.pop(0).wait(60)
    for one in running:
        one.wait(60)


@row("F78", "fifty orders want the last unit", group=GROUP)
def the_last_unit(run: Run) -> None:
    sku = f"LAST-{run.seed}"
    run.shop.operator.receive([("EAST", sku, 1)])
    orders = run.make(50)
    for order in orders:
        line = {"sku": sku, "quantity": 1, "amount": 700, "name": "The last one"}
        order.update(lines=[line], shipping=0, total=700, shipping_policy="cancel-remainder")
    run.submit_these(orders)
    run.struck(len(orders))
    run.await_closed(1)
    gone = run.ask(f"SELECT count(*) FROM events WHERE stream = 'stock-EAST+{sku}' AND type = 'StockAllocated'")
    assert gone == [(1,)], f"the last unit was allocated {gone} times"


@row("F68", "the gateway flaps: two seconds up, two seconds down", group=GROUP, level="N", outage_s=40)
def flapping(run: Run) -> None:
    with run.load(100, seconds=12):
        for _ in range(4):
            run.shop.behave(faults_of=of_payment(error_before=1.0))
            run.struck()
            run.last(2)
            run.shop.behave(faults_of={})
            run.last(2)
    run.await_closed(1)
    nobody_died(run)


@row("F69", "a worker dies while it holds a permit of the half-open breaker", group=GROUP, level="N", outage_s=40)
def dies_with_a_permit(run: Run) -> None:
    run.shop.behave(faults_of=of_payment(error_before=1.0))
    run.submit(40)
    run.last(3)
    run.arm("before_call:kill@1")
    run.await_fired(2)
    run.arm("none")
    run.last(2)
    run.shop.behave(faults_of={})
    run.await_closed(1)
    nobody_died(run)


@row(
    "F74",
    "the gateway forgets its keys, and has lost answers",
    group=GROUP,
    level="N",
    letters=True,
    errors=("dead letter",),
)
def amnesia(run: Run) -> None:
    run.shop.behave(key_ttl_s=0.3, inquiry_ttl_s=3600.0, faults_of={"capture": {"drop_after": 0.4}})
    run.submit(30)
    run.struck()
    run.await_closed(0.9)


@row("F79", "a hot article: 400 orders of one SKU at once", group=GROUP, level="N")
def hot(run: Run) -> None:
    orders = run.make(400)
    for order in orders:
        order["lines"] = [{"sku": "TEA", "quantity": 1, "amount": 500, "name": "Tea"}]
        order.update(shipping=490, total=990)
    with more_workers(run, 2):
        run.submit_these(orders, seconds=2)
        run.struck(len(orders))
        run.await_closed(1, within_s=90)


@row(
    "F90",
    "thirty dead letters are retried by one command while the gateway is down",
    group=GROUP,
    level="N",
    letters=True,
    errors=("dead letter",),
    outage_s=60,
)
def retried_in_an_outage(run: Run) -> None:
    orders = run.make(30)
    run.arm("in_turn:raise")
    run.submit_these(orders)
    await_that(lambda: len(run.ask(DEAD)) >= len(orders), within_s=180)
    run.arm("none")
    run.shop.behave(faults_of=of_payment(error_before=1.0))
    before = calls(run, *PAYMENT)
    assert run.command("dlq", "retry", "state=open", "--all-matching", "--reason", "too early", "--yes") == 0
    run.struck(len(orders))
    run.last(5)
    run.notes.append(f"{calls(run, *PAYMENT) - before} calls while it was down")
    run.shop.behave(faults_of={})
    run.await_closed(1)


@row("F77", "the carrier gives one tracking number to two orders", group=GROUP, level="N", doubled_numbers=True)
def doubled_numbers(run: Run) -> None:
    run.shop.behave(same_tracking_share=0.2)
    run.submit(30)
    run.await_closed(1)
    query = (
        "SELECT count(*) FROM (SELECT FROM events WHERE type = 'LabelPurchased'"
        " GROUP BY data->>'tracking' HAVING count(*) > 1) AS t"
    )
    [(doubled,)] = run.ask(query)
    run.struck(doubled)
    said = run.shop.command_line.read("doctor", "--verify-all")
    assert "the carrier gave out" in said, f"the doctor does not name the parcels: {said[-500:]}"


@row("F13", "a thread keeps the processor for 5 s: the lease is lost, and nothing else", group=GROUP, level="N")
def starved(run: Run) -> None:
    run.shop.behave(latency={"fixed_ms": 100})
    run.arm("before_call:spin(5)@5;times=1", "worker-1")
    run.shop.role("worker-2").kill()
    with run.load(60, seconds=5):
        run.await_fired(1)
        run.shop.role("worker-2").start()
    run.await_closed(1)


@row("F12", "frozen exactly between decision and commit, past the lease", group=GROUP, level="N")
def frozen_before_the_commit(run: Run) -> None:
    run.arm("before_store_append:sleep(5)@2;times=1,before_stock_commit:sleep(5)@1;times=1", "worker-1")
    with run.load(40):
        run.await_fired(1)
        pid = run.shop.role("worker-1").pid
        signals.freeze([pid])
        run.struck()
        run.last(4)
        signals.thaw([pid])
    run.await_closed(1)
