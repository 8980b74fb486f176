"""The relay: nothing that is due stays unannounced, and nobody is flooded."""

import threading
from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from domain import outside
from domain.errors import BrokerUnavailable, StoreUnavailable, Transient
from domain.work import RunKey, Step, Want
from tests.workers.shop import PostgresShop, drive, hasten, rounds_until, wait_until
from workers.announce import patiently
from workers.relay import Relay, RelaySettings

HOUR = timedelta(hours=1)
OFTEN = RelaySettings(interval_s=0.001, orphans_every_s=0.0, tidy_every_s=0.0, limit=3)


class Heard:
    """What was announced; `fail` may raise."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.fail: Callable[[], None] = lambda: None

    def __call__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.fail()
        self.pairs += pairs


def relay(shop: PostgresShop, heard: Heard, backlog: int | None = None, settings: RelaySettings = OFTEN) -> Relay:
    return Relay(shop.store, heard, lambda _step: backlog, settings)


def fail() -> None:
    raise BrokerUnavailable("away")


def test_what_its_appender_never_announced_is_announced(shop: PostgresShop) -> None:
    shop.place("o1")
    heard = Heard()
    assert not relay(shop, heard).look()
    assert heard.pairs == [], "for a while it is left to the appender"
    hasten(shop)
    relay(shop, heard).look()
    assert heard.pairs == [("risk", "o1")]


def test_a_retry_is_announced_when_its_time_has_come(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker()
    shop.world.faults[outside.AssessRisk] = [Transient("later", retry_after_s=60.0)]
    shop.wake(worker, "o1")
    drive(shop, lambda: bool(shop.world.calls) and [row.state for row in shop.store.runs()] == ["ready"])
    heard = Heard()
    relay(shop, heard).look()
    assert heard.pairs == []
    hasten(shop)
    relay(shop, heard).look()
    assert heard.pairs == [("risk", "o1")]


def test_a_timer_is_announced_when_it_is_due(shop: PostgresShop) -> None:
    heard = Heard()
    shop.store.want([Want(RunKey("o1", Step.EXPIRE), shop.store.now() + HOUR)])
    relay(shop, heard).look()
    assert heard.pairs == []
    hasten(shop)
    relay(shop, heard).look()
    assert heard.pairs == [("expire", "o1")]


@pytest.mark.parametrize("how", ["its row is gone", "its lease ran out", "its beacon went out"])
def test_the_runs_of_a_holder_who_is_gone_are_announced(shop: PostgresShop, how: str) -> None:
    shop.place("o1")
    holder = shop.store.register("doomed", HOUR)
    shop.store.claim(["o1"], list(Step), holder)
    heard = Heard()
    relay(shop, heard).look()
    assert heard.pairs == []
    match how:
        case "its row is gone":
            shop.store.sql("DELETE FROM holders")
        case "its lease ran out":
            shop.store.sql("UPDATE holders SET expires_at = clock_timestamp()")
        case _:
            shop.store.forget(holder)
            dark = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7302 AND granted"
            wait_until(lambda: shop.store.sql(dark) == [(0,)], "the server noticed")
    more = rounds_until(lambda: bool(heard.pairs))
    with capture_logs() as logs:
        while more():
            relay(shop, heard).look()
    assert heard.pairs == [("risk", "o1")]
    assert [(entry["log_level"], entry["runs"]) for entry in logs] == [("warning", 1)]


def test_a_full_load_is_followed_by_another_look_at_once(shop: PostgresShop) -> None:
    shop.place(*[f"o{number}" for number in range(7)])
    hasten(shop)
    heard = Heard()
    one = relay(shop, heard)
    assert [one.look(), one.look(), one.look()] == [True, True, False]
    assert len(set(heard.pairs)) == 7
    assert one.announced == 7


def test_while_workers_are_behind_nothing_is_added_to_the_queue(shop: PostgresShop) -> None:
    shop.place("o1")
    hasten(shop)
    heard = Heard()
    assert not relay(shop, heard, backlog=50).look()
    assert heard.pairs == []
    relay(shop, heard, backlog=49).look()
    assert heard.pairs == [("risk", "o1")]


def test_a_backlog_of_one_step_keeps_no_other_step_waiting(shop: PostgresShop) -> None:
    shop.place("o1")
    shop.place("o2")
    shop.store.sql("UPDATE step_runs SET step = 'label', part = 1 WHERE order_id = 'o2'")
    hasten(shop)
    heard = Heard()
    Relay(shop.store, heard, lambda step: 1_000 if step == "risk" else 0, OFTEN).look()
    assert heard.pairs == [("label", "o2")]


def test_runs_of_the_vanished_are_set_free_even_while_workers_are_behind(shop: PostgresShop) -> None:
    shop.place("o1")
    shop.store.claim(["o1"], list(Step), shop.store.register("doomed", HOUR))
    shop.store.sql("DELETE FROM holders")
    relay(shop, Heard(), backlog=1_000).look()
    assert [row.state for row in shop.store.runs()] == ["ready"]


def test_an_outage_of_broker_or_store_is_waited_out_without_spinning(shop: PostgresShop) -> None:
    shop.place("o1")
    hasten(shop)
    heard = Heard()
    errors: list[Exception] = [BrokerUnavailable("away"), StoreUnavailable("away"), BrokerUnavailable("away")]
    asked: list[int] = []

    def backlog(step: str) -> None:
        asked.append(1)
        if errors:
            raise errors.pop(0)

    one = Relay(shop.store, heard, backlog, OFTEN)
    thread = threading.Thread(target=one.run)
    with capture_logs() as logs:
        thread.start()
        wait_until(lambda: bool(heard.pairs))
        one.stop()
        thread.join(10)
    assert not thread.is_alive()
    assert [entry["failures"] for entry in logs if entry["event"] == "relay waits"] == [1, 2, 3]
    assert heard.pairs == [("risk", "o1")]


def test_wake_ups_that_the_broker_did_not_take_are_sent_again_later(shop: PostgresShop) -> None:
    shop.place("o1")
    hasten(shop)
    heard = Heard()
    heard.fail = fail
    with pytest.raises(BrokerUnavailable):
        relay(shop, heard).look()
    heard.fail = lambda: None
    hasten(shop)
    relay(shop, heard).look()
    assert heard.pairs == [("risk", "o1")]


def test_holders_who_are_long_gone_are_forgotten(shop: PostgresShop) -> None:
    shop.store.register("old", HOUR)
    shop.store.sql("UPDATE holders SET expires_at = clock_timestamp() - interval '2 h'")
    relay(shop, Heard()).look()
    assert shop.store.sql("SELECT count(*) FROM holders") == [(0,)]


def test_a_broker_that_is_away_does_not_fail_what_was_committed() -> None:
    heard = Heard()
    heard.fail = fail
    with capture_logs() as logs:
        patiently(heard)([("risk", "o1")])
    assert [(entry["log_level"], entry["wake_ups"]) for entry in logs] == [("warning", 1)]


def test_where_there_is_nothing_to_announce_the_broker_is_left_alone() -> None:
    heard = Heard()
    heard.fail = fail
    with capture_logs() as logs:
        patiently(heard)([])
    assert logs == []
