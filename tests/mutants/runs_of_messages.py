"""Runs in which messages are lost, cannot be read, or find no queue. Nobody sweeps: a lost wake-up must show."""

import amqp
import kombu
import psycopg

from tests.checker.expect import Expect
from tests.mutants.shop import Shop, an_order

REST_S = 9.0
NEVER = {"sweep_s": "3600"}
TEN_SECONDS_PASS = "UPDATE step_runs SET wake_at = wake_at - interval '10 s' WHERE state = 'ready'"
THE_LETTERS_LEASE_PASSES = "UPDATE pgmq.q_{} SET vt = clock_timestamp() WHERE vt > clock_timestamp()"


def killed_after_wake_up(shop: Shop) -> Expect:
    """A worker is killed when it was woken and has claimed nothing; nobody else knows of the work, no relay, no sweep."""
    shop.open("projector", settings=NEVER)
    shop.receive("TEA", 20)
    waiting = shop.start_sweeper(name="waiting")
    shop.freeze(waiting)
    dying = shop.start("worker", name="dying", points="before_claim:sleep(5)@1")
    shop.submit([an_order("W-1")])
    shop.until(lambda: shop.reached("dying", "before_claim"))
    shop.until(lambda: not _depth(shop, "ow_risk"), within_s=1)
    dying.kill()
    shop.sql(THE_LETTERS_LEASE_PASSES.format("ow_risk"))
    shop.thaw(waiting)
    shop.rest(closed=1, within_s=REST_S)
    return Expect(all_closed=True, quiet_within_s=REST_S - 1)


def relay_killed(shop: Shop) -> Expect:
    """A relay is killed when it has marked rows as announced and has published nothing; the next one has to announce them again."""
    shop.open("projector", settings=NEVER)
    shop.receive("TEA", 20)
    shop.start_sweeper(name="worker")
    _lose_frames(shop, lambda: shop.submit([an_order("L-1")]))
    shop.sql(TEN_SECONDS_PASS)
    shop.start("relay", name="dying", points="after_wake_before_publish:kill@1").wait(15)
    shop.sql(TEN_SECONDS_PASS)
    shop.start("relay", name="relay")
    shop.rest(closed=1, within_s=REST_S)
    return Expect(all_closed=True, quiet_within_s=REST_S - 1)


def unreadable(shop: Shop) -> Expect:
    """Strangers put what nobody can read into our queues."""
    shop.open("worker", "relay", "projector", "keeper")
    shop.receive("TEA", 20)
    shop.until(lambda: _depth(shop, "ow_risk") is not None)
    for number, text in enumerate(("no frame at all", '{"step": "risk", "subjects": "U-1"}', "")):
        shop.plant(("ow_risk", "ow_label", "ow_close")[number], text)
    shop.submit([an_order("U-1")])
    shop.until(lambda: shop.sql("SELECT count(*) FROM dead_letters")[0][0] == 3, within_s=6)
    shop.rest(closed=1, within_s=REST_S)
    return Expect(all_closed=True, quiet_within_s=REST_S - 1)


def deaf_broker(shop: Shop) -> Expect:
    """The broker does not confirm what is sent to the dead-letter queue, until the sender has lost patience."""
    shop.open("worker", "relay", "projector", "keeper")
    shop.receive("TEA", 20)
    shop.until(lambda: _depth(shop, "ow_risk") is not None and _depth(shop, "ow_dead") is not None)
    with psycopg.connect(shop.dsn) as stubborn:
        stubborn.execute("LOCK TABLE pgmq.q_ow_dead IN SHARE ROW EXCLUSIVE MODE")
        shop.plant("ow_risk", "no frame at all")
        shop.until(lambda: bool(_blocked(shop)), within_s=5)
        shop.until(lambda: not _blocked(shop), within_s=9)
    shop.sql(THE_LETTERS_LEASE_PASSES.format("ow_risk"))
    shop.submit([an_order("D-1")])
    shop.until(lambda: shop.sql("SELECT count(*) FROM dead_letters")[0][0] == 1, within_s=6)
    shop.rest(closed=1, within_s=REST_S)
    return Expect(all_closed=True, quiet_within_s=REST_S - 1)


def _lose_frames(shop: Shop, act: object) -> None:
    """Whatever is announced meanwhile is lost, as in a broker that is wiped."""
    shop.sql("CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    shop.sql("CREATE TRIGGER lose BEFORE INSERT ON pgmq.q_ow_risk FOR EACH ROW EXECUTE FUNCTION lose()")
    assert callable(act)
    act()
    shop.sql("DROP TRIGGER lose ON pgmq.q_ow_risk")


def _depth(shop: Shop, queue: str) -> int | None:
    """How many messages a queue holds, hidden ones too; None: there is no such queue."""
    if shop.sql("SELECT to_regclass(%s)", f"pgmq.q_{queue}") == [(None,)]:
        return None
    return int(shop.sql(f"SELECT count(*) FROM pgmq.q_{queue}")[0][0])


def _blocked(shop: Shop) -> list[tuple[object, ...]]:
    return shop.sql(
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() "
        "AND query LIKE '%%send_batch%%'"
    )


def queue_gone(shop: Shop) -> Expect:
    """A queue is deleted between a worker's last look at it and its next message; whoever reads it notices later."""
    shop.open("projector", settings=NEVER)
    shop.receive("TEA", 20)
    others = "authorize,allocate,label,hand_over,capture,deliver,notify,close"
    reader = shop.start_sweeper("--steps", others, name="reader")
    shop.start("worker", "--steps", "risk", name="first", points="before_announce:sleep(1.5)")
    shop.until(lambda: shop.sql("SELECT count(*) FROM holders")[0][0] == 2)
    shop.submit([an_order("Q-1")])
    shop.until(lambda: shop.count("RiskAssessed") == 1)
    shop.freeze(reader)
    with kombu.Connection(shop.settings["ORDERWRIGHT_BROKER_URL"]) as connection:
        connection.default_channel.queue_delete("ow_authorize")
    shop.until(lambda: shop.reached("first", "before_announce") and _sent(shop), within_s=4)
    shop.thaw(reader)
    shop.rest(closed=1, within_s=REST_S)
    return Expect(all_closed=True, quiet_within_s=REST_S - 1)


def _sent(shop: Shop) -> bool:
    """The queue is there again, with a message in it."""
    with kombu.Connection(shop.settings["ORDERWRIGHT_BROKER_URL"]) as connection:
        try:
            return bool(connection.default_channel.queue_declare("ow_authorize", passive=True).message_count)
        except amqp.NotFound:
            return False


RUNS = (queue_gone, killed_after_wake_up, relay_killed, unreadable, deaf_broker)
