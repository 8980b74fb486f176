"""Orders that break whoever takes them: only they may die of it, and a person can bring them back.

Attempts are four in this group, so that an order is given up in seconds. After the fault every dead letter is retried, and must end well.
"""

from tests.chaos.load import Order
from tests.chaos.matrix import row
from tests.chaos.run import Run
from tests.servers.simulator import await_that

GROUP = "poison"
DEAD = "SELECT order_id FROM step_runs WHERE state = 'dead' ORDER BY order_id"


def bring_back(run: Run, guilty: list[str]) -> None:
    """Exactly the guilty are dead letters; without the fault, a retry ends them like all others."""
    await_that(lambda: {order_id for (order_id,) in run.ask(DEAD)} >= set(guilty), within_s=120)
    run.await_closed((len(run.orders) - len(guilty)) / len(run.orders))
    assert [order_id for (order_id,) in run.ask(DEAD)] == guilty, "others died, too"
    run.heal()
    for order_id in guilty:
        assert (
            run.command("dlq", "retry", f"order={order_id}", "--all-matching", "--reason", "the fault is gone", "--yes")
            == 0
        )


def poisoned(run: Run, action: str, count: int = 1) -> tuple[list[Order], list[str]]:
    """A load in which some orders do this to whoever decides about them."""
    orders = run.make(40)
    guilty = sorted(order["order_id"] for order in run.chance.sample(orders, count))
    for order_id in guilty:
        run.shop.history.plant(order_id)
    run.arm(",".join(f"{action}@key={order_id}" for order_id in guilty))
    return orders, guilty


@row(
    "F51",
    "an order whose handler always fails",
    group=GROUP,
    errors=("dead letter", "order is broken", "order by order"),
)
def always_fails(run: Run) -> None:
    orders, guilty = poisoned(run, "in_turn:raise", count=2)
    run.submit_these(orders)
    bring_back(run, guilty)


@row("F51b", "an order whose calls always fail", group=GROUP, errors=("dead letter",))
def calls_always_fail(run: Run) -> None:
    orders, guilty = poisoned(run, "after_call_before_commit:drop-response", count=2)
    run.submit_these(orders)
    bring_back(run, guilty)


@row("F52", "an order that kills whoever decides about it", group=GROUP, errors=("dead letter",), outage_s=60)
def kills_its_worker(run: Run) -> None:
    orders, guilty = poisoned(run, "in_turn:kill")
    run.submit_these(orders)
    bring_back(run, guilty)


@row(
    "F52c",
    "an order that kills whoever looks at it",
    group=GROUP,
    errors=("dead letter", "ends its workers"),
    outage_s=90,
)
def kills_who_looks(run: Run) -> None:
    orders, guilty = poisoned(run, "before_turn:kill")
    run.submit_these(orders)
    bring_back(run, guilty)


@row(
    "F51c",
    "an order that cannot be looked at",
    group=GROUP,
    errors=("dead letter", "order is broken", "order by order"),
)
def cannot_be_looked_at(run: Run) -> None:
    orders, guilty = poisoned(run, "before_turn:raise", count=2)
    run.submit_these(orders)
    bring_back(run, guilty)


@row("F52b", "an order that kills whoever calls for it", group=GROUP, errors=("dead letter",), outage_s=60)
def kills_its_caller(run: Run) -> None:
    orders, guilty = poisoned(run, "after_call_before_commit:kill")
    run.submit_these(orders)
    bring_back(run, guilty)


@row(
    "F53",
    "an order whose handler never returns",
    group=GROUP,
    errors=("dead letter", "stuck", "a round does not end"),
    outage_s=60,
)
def never_returns(run: Run) -> None:
    orders, guilty = poisoned(run, "in_turn:hang")
    run.submit_these(orders)
    bring_back(run, guilty)
