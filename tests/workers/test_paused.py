"""Steps that somebody paused, and other settings that change under a worker."""

from dataclasses import replace
from datetime import timedelta

from domain.work import Step
from tests.workers.shop import PostgresShop, drive, hasten, round_of, rounds_until
from tests.workers.test_limited import rows
from workers.relay import Relay, RelaySettings

AT_ONCE = timedelta(0)


def test_a_paused_step_is_neither_claimed_nor_carried_on_nor_announced(shop: PostgresShop) -> None:
    shop.place("o1", "o2")
    worker = shop.worker(sweep=AT_ONCE, paused=frozenset({Step.AUTHORIZE}))
    woken: list[tuple[str, str]] = []
    relay = Relay(shop.store, woken.extend, lambda _step: None, RelaySettings())
    relay.paused = frozenset({Step.AUTHORIZE})
    shop.wake(worker, "o1", "o2")
    more = rounds_until(lambda: len(rows(shop, Step.AUTHORIZE)) == 2)
    while more():
        round_of(worker)
    hasten(shop)
    shop.wake(worker, "o1", "o2")
    for _ in range(3):
        round_of(worker)
        relay.look()
    assert rows(shop, Step.AUTHORIZE) == [("ready", 0, None)] * 2
    assert not any(step == Step.AUTHORIZE for step, _ in woken)
    relay.paused = frozenset()
    relay.look()
    assert sum(step == Step.AUTHORIZE for step, _ in woken) == 2


def test_a_step_goes_on_in_the_worker_that_is_told_so(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker(sweep=AT_ONCE, paused=frozenset(Step))
    hasten(shop)
    shop.wake(worker, "o1")
    for _ in range(3):
        round_of(worker)
    assert rows(shop, Step.RISK) == [("ready", 0, None)]
    worker.conductor.adopt(replace(worker.conductor.settings, paused=frozenset()))
    more = rounds_until(lambda: rows(shop, Step.RISK) == [])
    while more():
        round_of(worker)
    hasten(shop)
    drive(shop, lambda: "Authorized" in shop.names("o1"))
