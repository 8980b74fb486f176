"""How a worker serves dependencies whose breakers are not closed, and dependencies that are slow."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from domain import outside
from domain.errors import BreakerOpen, OutcomeUnknown, RateLimited, Transient
from domain.work import Run, Step
from tests.workers.shop import PostgresShop, drive, hasten, round_of, rounds_until, wait_until, working
from tests.workers.test_calls import Post, SlowWorld, letter
from workers.breaking import AllClosed
from workers.calls import CallThreads
from workers.relay import Relay, RelaySettings

AT_ONCE = timedelta(0)


class Breakers(AllClosed):
    """Limited as a test says, and they remember what they were told."""

    def __init__(self, *limited: str, grants: int = 0) -> None:
        self.now_limited = set(limited)
        self.closed_to: set[str] = set()
        self.grants = grants
        self.given_back = 0
        self.reports: list[tuple[str, str, Exception | None]] = []

    def limited(self) -> frozenset[str]:
        return frozenset(self.now_limited)

    def grant(self, dependency: str, wanted: int, /) -> int:
        granted, self.grants = min(self.grants, wanted), 0
        return granted

    def give_back(self, dependency: str, count: int, /) -> None:
        self.given_back += count

    def admit(self, dependency: str, run: Run, requests: int = 1, /) -> None:
        if dependency in self.closed_to:
            raise BreakerOpen(dependency)

    def report(self, dependency: str, run: Run, error: Exception | None, elapsed_s: float, /) -> None:
        assert elapsed_s >= 0
        self.reports.append((dependency, run.key.order_id, error))


def rows(shop: PostgresShop, step: Step) -> list[tuple[str, int, str | None]]:
    found = [row for row in shop.store.runs() if row.key.step == step]
    return [(row.state, row.attempts, row.parked_on) for row in found]


def test_a_limited_step_is_neither_claimed_nor_carried_on_nor_announced(shop: PostgresShop) -> None:
    shop.place("o1", "o2")
    breakers = Breakers("payment")
    worker = shop.worker(sweep=AT_ONCE, breakers=breakers)
    woken: list[tuple[str, str]] = []
    relay = Relay(shop.store, woken.extend, lambda _step: None, RelaySettings(), breakers=breakers)
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
    breakers.now_limited.clear()
    hasten(shop)
    drive(shop, lambda: all("Authorized" in shop.names(order_id) for order_id in ("o1", "o2")))


def test_as_many_runs_as_are_granted_are_claimed_the_oldest_first_and_the_rest_is_given_back(
    shop: PostgresShop,
) -> None:
    breakers = Breakers("risk", grants=2)
    for order_id in ("o1", "o2", "o3"):
        shop.place(order_id)
        hasten(shop)
    worker = shop.worker(breakers=breakers, steps=frozenset({Step.RISK}))
    more = rounds_until(lambda: len(shop.world.calls) == 2)
    while more():
        round_of(worker)
    assert {request.order_id for request, _ in shop.world.requests(outside.AssessRisk)} == {"o1", "o2"}  # type: ignore[union-attr]
    breakers.grants = 5
    more = rounds_until(lambda: breakers.given_back > 0)
    while more():
        round_of(worker)
    assert (len(shop.world.calls), breakers.given_back) == (3, 4)


def test_what_the_breaker_sends_back_is_parked_and_keeps_its_attempt(shop: PostgresShop) -> None:
    shop.place("o1")
    breakers = Breakers()
    breakers.closed_to = {"risk"}
    worker = shop.worker(breakers=breakers)
    shop.wake(worker, "o1")
    drive(shop, lambda: rows(shop, Step.RISK) == [("ready", 0, "risk")])
    assert (shop.world.calls, breakers.reports) == ([], [])
    breakers.closed_to = set()
    drive(shop, lambda: "RiskAssessed" in shop.names("o1"))
    assert breakers.reports[0] == ("risk", "o1", None)


def test_failures_beside_an_open_breaker_use_up_no_attempt(shop: PostgresShop) -> None:
    shop.place("o1")
    breakers = Breakers("risk", grants=1)
    worker = shop.worker(sweep=AT_ONCE, breakers=breakers)
    error = OutcomeUnknown("gone")
    shop.world.faults[outside.AssessRisk] = [error] * 9
    more = rounds_until(lambda: len(shop.world.calls) == 5)
    while more():
        breakers.grants = 1
        round_of(worker)
    more = rounds_until(lambda: rows(shop, Step.RISK) == [("ready", 0, None)])
    while more():
        round_of(worker)
    assert breakers.reports[0] == ("risk", "o1", error)
    assert shop.store.dead_letters() == []


def test_who_is_asked_to_come_later_comes_later_and_has_lost_nothing(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker()
    shop.world.faults[outside.AssessRisk] = [RateLimited("429", retry_after_s=600.0)]
    shop.wake(worker, "o1")
    drive(shop, lambda: rows(shop, Step.RISK) == [("ready", 0, None)] and bool(shop.world.calls))
    [row] = shop.store.runs()
    assert row.due_at - shop.store.now() > timedelta(seconds=500)


def test_beyond_the_budget_retries_wait_longer_and_cost_nothing(shop: PostgresShop) -> None:
    orders = [f"o{number}" for number in range(6)]
    shop.place(*orders)
    worker = shop.worker(retry_floor=2, retry_share=0.0, steps=frozenset({Step.RISK}))
    shop.world.faults[outside.AssessRisk] = [Transient("later")] * 6
    shop.wake(worker, *orders)
    more = rounds_until(lambda: len(shop.world.calls) >= 6 and not len(worker.conductor.desk))
    while more():
        round_of(worker)
    attempts = sorted(row.attempts for row in shop.store.runs() if row.last_error)
    assert attempts == [0, 0, 0, 0, 1, 1]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


def test_a_dependency_that_hangs_takes_neither_the_threads_nor_the_room_of_the_others(
    shop: PostgresShop, gate: threading.Event
) -> None:
    shop.receive("cup", 10_000)
    shop.receive("pot", 10_000)
    orders = [f"o{number}" for number in range(40)]
    shop.place(*orders)
    real = shop.world.call

    def call(request: outside.Request, *, inquire_first: bool, act: bool = True, **more: Any) -> outside.Answer:
        if isinstance(request, outside.BuyLabel):
            assert gate.wait(60)
        return real(request, inquire_first=inquire_first, act=act, **more)

    shop.world.call = call  # type: ignore[method-assign]
    worker = shop.worker(threads=2, in_flight=12, batch=5, sweep=timedelta(milliseconds=10))
    with working(worker):
        for order_id in orders:
            shop.wake(worker, order_id)
        wait_until(lambda: all("Authorized" in shop.names(order_id) for order_id in orders), "payments go on")
        labels = [key for key in list(worker.conductor.desk.held) if key.step == Step.LABEL]
        assert 0 < len(labels) < 12
        gate.set()
        wait_until(lambda: shop.closed(*orders), "and in the end everything")
    assert shop.world.captures() == {f"{order_id}+1": 1 for order_id in orders}


def test_a_call_that_never_comes_back_is_an_unknown_outcome_and_its_thread_is_replaced(
    shop: PostgresShop, gate: threading.Event
) -> None:
    shop.place("o1", "o2")
    shop.world.meanwhile[outside.AssessRisk] = lambda: gate.wait(60)
    worker = shop.worker(threads=1, call_limit=timedelta(milliseconds=300), steps=frozenset({Step.RISK}))
    with working(worker):
        shop.wake(worker, "o1", "o2")
        wait_until(lambda: "RiskAssessed" in shop.names("o2"), "another thread makes the next call")
        wait_until(lambda: any("OutcomeUnknown" in (row.last_error or "") for row in shop.store.runs("o1")))
        gate.set()
    assert shop.names("o1").count("RiskAssessed") <= 1


def test_the_answer_of_a_call_that_was_written_off_is_nobodys(gate: threading.Event) -> None:
    world, post, now = SlowWorld(), Post(), [0.0]
    calls = CallThreads(world, post, threads=1, limit_s=5.0, clock=lambda: now[0])
    calls.make(letter(1))
    wait_until(lambda: world.inside == ["NotifyCustomer"])
    now[0] = 6.0
    calls.look_after()
    [(run, answer)] = post.answers
    assert (run.key.ordinal, isinstance(answer, OutcomeUnknown)) == (1, True)
    world.mail_gate.set()
    calls.make(letter(2))
    wait_until(lambda: len(post.answers) == 2)
    assert [run.key.ordinal for run, _ in post.answers] == [1, 2]
    calls.close()
