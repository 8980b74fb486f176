"""The doors: clients that die or repeat themselves, orders over the broker, operators who get into each other's way."""

import json
from collections.abc import Sequence

from domain.messaging import Outbound
from infrastructure.messaging.broker import connect
from infrastructure.messaging.settings import BrokerSettings
from tests.chaos.load import Order, Submission
from tests.chaos.matrix import row
from tests.chaos.run import Run
from tests.servers.simulator import await_that

GROUP = "doors"
DEAD = "SELECT id FROM dead_letters WHERE kind = 'run' AND state = 'open'"


@row("F92", "five clients submit the same orders at once; a sixth other ones under the same keys", group=GROUP)
def all_at_once(run: Run) -> None:
    shop, orders = run.shop, run.make(30)
    file = shop.folder / f"{run.row.number}.jsonl"
    file.write_text("".join(json.dumps(order) + "\n" for order in orders), encoding="utf-8")
    running = [shop.command_line.begin("submit", str(file), "--batch", "7") for _ in range(5)]
    run.struck(5)
    codes = [one.wait(60) for one in running]
    assert codes == [0] * 5, f"exit codes {codes}"
    shop.history.tell(orders, "acknowledged")
    other = [{**order, "note": "something else"} for order in orders]
    file.write_text("".join(json.dumps(order) + "\n" for order in other), encoding="utf-8")
    run.struck()
    assert run.command("submit", str(file)) == 1, "other content under a known key was accepted"
    run.await_closed(1)


@row("F93", "clients die before they are answered", group=GROUP)
def clients_die(run: Run) -> None:
    for plan in ("before_accept:kill@2", "after_accept_before_announce:kill@2", "after_store_append:kill@3"):
        orders = run.make(30)
        client = Submission(
            run.shop.command_line, run.shop.history, orders, run.shop.folder, rate=60, **run.fail_points(plan)
        )
        assert client.code() == -9
        run.shop.history.tell(orders, "unknown")
        run.submit_these(orders)
    run.await_closed(1)


def publish(run: Run, orders: Sequence[Order]) -> None:
    """Orders over the broker, as a program in any language would."""
    broker = connect(BrokerSettings(url="pgmq://", dsn=run.shop.dsn, dead_queue="ow_dead"))
    publisher = broker.publisher()
    run.shop.history.tell(orders, "unknown")
    try:
        bodies = [json.dumps(order).encode() for order in orders]
        publisher.publish(
            [
                Outbound(queue="ow_orders", body=body, message_id=order["order_id"])
                for order, body in zip(orders, bodies, strict=True)
            ]
        )
    finally:
        publisher.close()


@row("F93b", "the door for orders over the broker dies before and after its commit", group=GROUP)
def intake_dies(run: Run) -> None:
    plan = f"after_accept_before_reply:kill@15%;seed={run.seed},after_reply_before_ack:kill@5%,before_accept:kill@10%"
    run.arm(plan, "intake")
    orders = run.make(40)
    for start in range(0, 40, 4):
        publish(run, orders[start : start + 4])
        run.last(0.1)
    placed = f"SELECT count(*) FROM events WHERE type = 'OrderPlaced' AND stream LIKE 'order-{run.row.number}-%'"
    await_that(lambda: run.ask(placed) == [(40,)], within_s=60)
    run.await_closed(1)


@row("F54", "hostile bytes in the queue for orders; the keeper dies over them", group=GROUP, letters=True)
def hostile(run: Run) -> None:
    run.arm(f"before_bury:kill@30%;seed={run.seed},after_bury_before_ack:kill@30%", "keeper")
    broker = connect(BrokerSettings(url="pgmq://", dsn=run.shop.dsn, dead_queue="ow_dead"))
    publisher = broker.publisher()
    bodies = [b"", b"null", b"\xff\xfe", b"{", b"[" * 5000, b'{"order_id": "' + b"x" * 400_000 + b'"}']
    try:
        publisher.publish(
            [Outbound(queue="ow_orders", body=body, message_id=f"h-{n}") for n, body in enumerate(bodies)]
        )
    finally:
        publisher.close()
    run.struck(len(bodies))
    run.submit(10)
    kept = "SELECT count(*) FROM dead_letters WHERE kind = 'message'"
    await_that(lambda: bool((rows := run.ask(kept)) and rows[0][0] >= len(bodies)), within_s=60)
    run.await_closed(1)


@row(
    "F91",
    "two operators retry and discard the same dead letters at once",
    group=GROUP,
    errors=("dead letter", "order is broken", "order by order"),
)
def two_operators(run: Run) -> None:
    orders = run.make(6)
    for order in orders:
        run.shop.history.plant(order["order_id"])
    run.arm(",".join(f"in_turn:raise@key={order['order_id']}" for order in orders))
    run.submit_these(orders)
    await_that(lambda: len(run.ask(DEAD)) == len(orders), within_s=60)
    run.heal()
    options = ["--all-matching", "--reason", "two at once", "--yes"]
    running = [
        run.shop.command_line.begin("dlq", action, *options) for action in ("retry", "discard", "retry", "discard")
    ]
    run.struck(len(running))
    for one in running:
        one.wait(60)
    discarded = "SELECT count(*) FROM dead_letters WHERE kind = 'run' AND state = 'discarded'"
    run.notes.append(f"{run.ask(discarded)[0][0]} of 6 were discarded first")
    run.command("dlq", "restore", "state=discarded", "kind=run", *options)
    run.command("dlq", "retry", "kind=run", *options)
    run.await_closed(1)


@row("F91b", "a person's command dies before its commit, and is given again", group=GROUP)
def commands_die(run: Run) -> None:
    run.shop.behave(latency={"fixed_ms": 500})
    with run.load(8) as orders:
        run.await_begun(4)
        for order in orders[:4]:
            arguments = ("orders", "cancel", order["order_id"], "--command-id", f"cancel {order['order_id']}")
            dead = run.shop.command_line.begin(*arguments, **run.fail_points("before_command:kill"))
            assert dead.wait(60) in {-9, 3, 0}
            assert run.command(*arguments) in {0, 3}
    run.await_closed(1)
