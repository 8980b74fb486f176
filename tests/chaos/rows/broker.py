"""The broker holds nothing of value: it may be wiped, killed, frozen, full or out of reach, and messages may be lost, doubled or mixed."""

from collections.abc import Callable, Sequence

import psycopg
from psycopg import sql

from infrastructure.messaging.broker import connect
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.messaging.wakeups import WakeUps
from tests.chaos.matrix import row
from tests.chaos.run import Run
from tests.faults import rabbitmq
from tests.servers.simulator import await_that

STEPS = (
    *("risk", "authorize", "allocate", "label", "hand_over", "capture", "deliver", "notify", "close", "cancel"),
    *("void", "refund_label", "expire"),
)
GONE = (r"relation .pgmq\.q_ow_\w+. does not exist",)
QUEUES = [*(f"ow_{step}" for step in STEPS), "ow_orders", "ow_dead"]


def drop_pgmq_queues(dsn: str) -> int:
    """All queue tables, with whatever waits in them; returns how many there were."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        names = [name for (name,) in connection.execute("SELECT queue_name FROM pgmq.meta")]
        for name in names:
            connection.execute(sql.SQL("SELECT pgmq.drop_queue({})").format(name))
    return len(names)


def send(run: Run, orders: Sequence[str]) -> None:
    """A wake-up of every step for each of these orders."""
    broker = connect(BrokerSettings(url="pgmq://", dsn=run.shop.dsn, dead_queue="ow_dead"))
    publisher = broker.publisher()
    try:
        WakeUps(publisher).announce([(step, order_id) for step in STEPS for order_id in orders])
        run.struck(len(STEPS) * len(orders))
    finally:
        publisher.close()


def under_load(run: Run, harm: Callable[[], object], times: int = 3) -> None:
    with run.load(60, seconds=2):
        for _ in range(times):
            run.last(0.5)
            harm()
            run.struck()


@row("F39", "every queue is dropped under load (pgmq)", group="pgmq", errors=GONE)
def wiped_pgmq(run: Run) -> None:
    under_load(run, lambda: drop_pgmq_queues(run.shop.dsn))


@row("F40", "queues are emptied, again and again (pgmq)", group="pgmq")
def broken_pgmq(run: Run) -> None:
    def harm() -> None:
        with run.shop.cluster.ask() as connection:
            for step in STEPS:
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("pgmq", f"q_ow_{step}")))

    under_load(run, harm)


@row("F46", "every message is sent twice", group="pgmq")
def doubled(run: Run) -> None:
    run.arm("before_publish:dup", "relay", "worker-1", "worker-2")
    run.arm_clients("before_publish:dup")
    run.submit(40)
    run.await_closed(1)


@row("F48", "messages are mixed in a window of a hundred", group="pgmq")
def mixed(run: Run) -> None:
    publish_by(run, "before_publish:reorder(100)")


@row("F48b", "a broker that confirms messages and swallows nine of ten", group="pgmq", level="N", outage_s=120)
def swallowed(run: Run) -> None:
    publish_by(run, f"before_publish:lose@90%;seed={run.seed}")


def publish_by(run: Run, plan: str) -> None:
    run.arm(plan, "relay", "worker-1", "worker-2")
    run.arm_clients(plan)
    run.submit(60)
    run.await_closed(1)


@row("F44", "messages go to a queue that is gone (pgmq)", group="pgmq", errors=GONE)
def unroutable_pgmq(run: Run) -> None:
    def harm() -> None:
        with psycopg.connect(run.shop.dsn, autocommit=True) as connection:
            connection.execute("SELECT pgmq.drop_queue('ow_risk'), pgmq.drop_queue('ow_allocate')")

    with run.load(60, seconds=2):
        for _ in range(3):
            run.last(0.5)
            try:
                harm()
            except psycopg.Error:
                continue
            run.struck()


@row("F50", "wake-ups for orders that do not exist, and a run of one", group="pgmq", errors=("dead letter",))
def unknown_orders(run: Run) -> None:
    send(run, ["NOBODY-1", "NOBODY-2"])
    run.submit(20)
    run.await_closed(1)


@row("F58", "four relays at once", group="pgmq")
def many_relays(run: Run) -> None:
    more = [run.shop.add(f"relay-{number}") for number in range(2, 5)]
    for role in more:
        role.start()
        run.struck()
    run.submit(60)
    run.await_closed(1)
    for role in more:
        assert role.stop() == 0
        run.shop.roles.remove(role)


@row("F59", "a relay dies between marking and publishing, and after publishing", group="pgmq")
def relay_dies(run: Run) -> None:
    run.shop.behave(faults={"error_before": 0.2})
    run.arm(
        f"after_wake_before_publish:kill@30%;seed={run.seed},after_publish_before_next:kill@5%,before_orphans:kill@5%",
        "relay",
    )
    run.submit(60)
    run.await_closed(0.9)


@row("F39b", "RabbitMQ is reset: no queue, no exchange, no message is left", group="rabbitmq", outage_s=40)
def wiped_rabbitmq(run: Run) -> None:
    assert run.node is not None
    with run.load(60, seconds=2):
        run.await_begun(5)
        rabbitmq.delete_queues(run.node.url, QUEUES)
        run.struck()
        run.last(0.5)
        rabbitmq.delete_queues(run.node.url, QUEUES)
        run.struck()


@row("F41", "RabbitMQ is killed and restarted", group="rabbitmq", outage_s=40)
def killed_rabbitmq(run: Run) -> None:
    assert run.node is not None
    with run.load(60, seconds=2):
        run.await_begun(5)
        run.node.kill()
        run.struck()
        run.node.start()


@row("F42", "RabbitMQ is frozen for 6 s", group="rabbitmq", outage_s=40)
def frozen_rabbitmq(run: Run) -> None:
    assert run.node is not None
    with run.load(60, seconds=2):
        run.await_begun(5)
        with rabbitmq.frozen(run.node):
            run.struck()
            run.last(6)


@row("F45", "a worker is cut off from RabbitMQ in silence", group="rabbitmq", outage_s=40)
def cut_off_rabbitmq(run: Run) -> None:
    proxy = run.shop.proxies["broker"]
    with run.load(60, seconds=2):
        run.await_begun(5)
        proxy.blackhole()
        run.struck()
        run.last(3)
        proxy.reset()
        run.struck()
        proxy.heal()


@row("F9b", "SIGTERM while RabbitMQ is down", group="rabbitmq", outage_s=60)
def asked_to_leave_without_a_broker(run: Run) -> None:
    import signal

    assert run.node is not None
    with run.load(20):
        run.await_begun(5)
        run.node.kill()
        for name in ("worker-1", "relay"):
            role = run.shop.role(name)
            role.ask(signal.SIGTERM)
            run.struck()
            code = role.wait(14)
            assert code == 0, f"{name} ended with {code}"
        run.node.start()


@row("F30", "RabbitMQ has a memory alarm for some seconds", group="rabbitmq", level="N", outage_s=40)
def alarmed_rabbitmq(run: Run) -> None:
    assert run.node is not None
    with run.load(60, seconds=2):
        run.await_begun(5)
        with rabbitmq.out_of_memory(run.node):
            run.struck()
            run.last(6)


@row("F43", "RabbitMQ's queues are full: it refuses messages", group="rabbitmq", level="N", outage_s=40)
def full_rabbitmq(run: Run) -> None:
    assert run.node is not None
    with run.load(60, seconds=2):
        run.await_begun(5)
        with rabbitmq.full_queues(run.node):
            run.struck()
            run.last(5)


@row("F47", "every message ten times, to four workers", group="pgmq", level="N")
def ten_times(run: Run) -> None:
    more = [run.shop.add(f"worker-{number}") for number in (3, 4)]
    for role in more:
        role.start()
    plan = ",".join(["before_publish:dup"] * 3)
    run.arm(plan, "relay", "worker-1", "worker-2", "worker-3", "worker-4")
    run.arm_clients(plan)
    run.submit(60)
    run.await_closed(1)
    for role in more:
        assert role.stop() == 0
        run.shop.roles.remove(role)
        run._armed.remove(role)


@row("F60", "a relay takes longer to publish than anybody waits", group="pgmq", level="N")
def slow_relay(run: Run) -> None:
    run.shop.behave(faults={"error_before": 0.3})
    run.arm("after_wake_before_publish:sleep(4);times=2", "relay")
    run.submit(60)
    run.await_closed(1, within_s=60)


@row("F49", "messages that arrive long after their orders have ended", group="pgmq")
def much_too_late(run: Run) -> None:
    orders = run.submit(20)
    run.await_closed(1)
    send(run, [order["order_id"] for order in orders])
    depth = "SELECT coalesce(sum(queue_length), 0) FROM pgmq.metrics_all()"
    await_that(lambda: run.ask(depth) == [(0,)], within_s=20)
