"""Leases of a worker: kept, lost, taken over, given back; and the way a worker leaves."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from domain import outside
from domain.errors import StoreUnavailable
from domain.ports import Holder
from tests.workers.faulty import BEFORE
from tests.workers.shop import PostgresShop, drive, round_of, rounds_until, wait_until, working
from workers.holding import Holding

SECOND = timedelta(seconds=1)
LONG = timedelta(hours=1)
BLINK = timedelta(milliseconds=30)


class Book:
    """Who holds, by the word of a test."""

    def __init__(self) -> None:
        self.registered = 0
        self.renewals = 0
        self.forgotten: list[int] = []
        self.renew_answers: Callable[[], bool] = lambda: True

    def register(self, name: str, lease: timedelta) -> Holder:
        self.registered += 1
        return Holder(id=self.registered, epoch=self.registered)

    def renew(self, holder: Holder, lease: timedelta) -> bool:
        self.renewals += 1
        return self.renew_answers()

    def release(self, holder: Holder) -> int:
        return 0

    def excuse(self, former: Holder) -> int:
        return 0

    def forget(self, holder: Holder) -> None:
        self.forgotten.append(holder.id)


def keep(holding: Holding) -> None:
    threading.Thread(target=holding.keep, daemon=True).start()


def raising(error: Exception) -> Callable[[], bool]:
    def answer() -> bool:
        raise error

    return answer


def test_who_never_registered_is_no_holder() -> None:
    holding = Holding(Book(), "w", SECOND, lambda: None)
    assert holding.is_lost()
    with pytest.raises(StoreUnavailable):
        _ = holding.current


def test_a_lease_is_renewed_until_it_is_given_up() -> None:
    book = Book()
    holding = Holding(book, "w", BLINK * 10, lambda: None)
    holder = holding.acquire()
    keep(holding)
    wait_until(lambda: book.renewals >= 3)
    assert holding.current == holder
    assert not holding.is_lost()
    holding.stop()


def test_a_lease_that_is_not_renewed_is_lost_and_somebody_is_told() -> None:
    book, told = Book(), threading.Event()
    book.renew_answers = lambda: False
    holding = Holding(book, "w", BLINK, told.set)
    holding.acquire()
    keep(holding)
    wait_until(told.is_set)
    assert holding.is_lost()
    holding.stop()


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ValueError("anything")])
def test_a_lease_that_cannot_be_renewed_is_lost_when_its_time_is_over(error: Exception) -> None:
    book, told = Book(), threading.Event()
    book.renew_answers = raising(error)
    holding = Holding(book, "w", BLINK, told.set)
    holding.acquire()
    keep(holding)
    wait_until(told.is_set)
    assert holding.is_lost()
    holding.stop()


def test_after_any_error_the_next_lease_is_renewed_again() -> None:
    book = Book()
    book.renew_answers = raising(ValueError("anything"))
    holding = Holding(book, "w", BLINK * 10, lambda: None)
    holding.acquire()
    keep(holding)
    wait_until(holding.is_lost)
    book.renew_answers = lambda: True
    holding.acquire()
    renewals = book.renewals
    wait_until(lambda: book.renewals > renewals + 1)
    assert not holding.is_lost()
    assert book.forgotten == [1]
    holding.stop()


def test_a_renewal_of_a_former_lease_says_nothing_about_the_present_one() -> None:
    book, told = Book(), threading.Event()
    holding = Holding(book, "w", LONG, told.set)
    former = holding.acquire()
    holding.acquire()
    holding._note(former, renewed=False, asked_at=0.0)
    assert not holding.is_lost()
    assert not told.is_set()
    holding.stop()


@pytest.mark.parametrize(
    "loss",
    [
        "UPDATE holders SET expires_at = clock_timestamp() - interval '1 h'",
        "DELETE FROM holders",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'orderwright beacon'",
    ],
)
def test_a_worker_that_lost_its_lease_starts_over_and_finishes(shop: PostgresShop, loss: str) -> None:
    shop.receive("cup")
    shop.receive("pot")
    orders = [f"o{number}" for number in range(5)]
    shop.place(*orders)
    worker = shop.worker(lease=SECOND, threads=2)
    shop.world.meanwhile[outside.AuthorizePayment] = lambda: shop.store.sql(loss)
    with working(worker) as drained:
        shop.wake(worker, *orders)
        more = rounds_until(lambda: shop.closed(*orders) and shop.at_rest())
        while more():
            shop.relay.look()
    assert drained == [True]
    assert shop.world.captures() == {f"{order_id}+1": 1 for order_id in orders}


def test_what_belongs_to_a_lost_lease_is_not_written(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker()
    shop.wake(worker, "o1")
    more = rounds_until(lambda: bool(shop.world.calls))
    while more():
        round_of(worker)
    worker.holding._renewed_at = float("-inf")
    round_of(worker)
    assert len(worker.conductor.desk) == 0
    assert shop.store.orphans() == 0
    assert {(row.state, row.attempts, row.crashes) for row in shop.store.runs()} == {("ready", 0, 0)}
    drive(shop, lambda: "RiskAssessed" in shop.names("o1"))
    assert shop.names("o1").count("RiskAssessed") == 1


def test_calls_that_are_being_made_are_concluded_and_the_rest_is_given_back_when_the_worker_stops(
    shop: PostgresShop,
) -> None:
    orders = [f"o{number}" for number in range(6)]
    shop.place(*orders)
    entered, leave = threading.Event(), threading.Event()
    worker = shop.worker(threads=1)

    def linger() -> None:
        entered.set()
        assert leave.wait(30)

    shop.world.meanwhile[outside.AssessRisk] = linger
    with working(worker) as drained:
        shop.wake(worker, *orders)
        wait_until(entered.is_set)
        worker.stop()
        wait_until(lambda: len(worker.conductor.desk) == 1, "what was not begun is let go")
        leave.set()
    assert drained == [True]
    assert len(shop.world.calls) == 1
    assert [order_id for order_id in orders if "RiskAssessed" in shop.names(order_id)] == ["o0"]
    assert {(row.state, row.attempts, row.holder) for row in shop.store.runs()} == {("ready", 0, None)}
    assert shop.store.sql("SELECT count(*) FROM holders") == [(0,)]


def test_a_worker_leaves_within_its_grace_time_while_the_store_is_down(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker(grace=timedelta(milliseconds=500))
    with working(worker) as drained:
        wait_until(lambda: worker.holding._current is not None)
        shop.store.faults.down = True
        worker.stop()
        wait_until(lambda: bool(drained))
    assert drained == [False]


def test_a_worker_leaves_within_its_grace_time_while_the_store_does_not_answer(shop: PostgresShop) -> None:
    shop.place("o1")
    answer = threading.Event()
    worker = shop.worker(grace=timedelta(milliseconds=200))
    shop.store.faults.silence["claim"] = answer
    with working(worker) as drained:
        shop.wake(worker, "o1")
        wait_until(lambda: shop.store.faults.calls["claim"] == 1)
        worker.stop()
        wait_until(lambda: bool(drained))
    assert drained == [False]
    answer.set()


def test_a_worker_that_is_stopped_before_it_ever_registered_leaves(shop: PostgresShop) -> None:
    shop.store.faults.down = True
    worker = shop.worker()
    with working(worker) as drained:
        wait_until(lambda: shop.store.faults.calls["register"] > 0)
    assert drained == [True]


def test_a_store_that_is_away_when_we_give_back_is_asked_again(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker()
    shop.store.faults.of["release"] = [BEFORE, BEFORE]
    with working(worker) as drained:
        wait_until(lambda: worker.holding._current is not None)
    assert drained == [True]
    assert shop.store.sql("SELECT count(*) FROM holders") == [(0,)]


def test_while_the_store_is_away_a_worker_waits_and_does_not_spin(shop: PostgresShop) -> None:
    shop.store.faults.down = True
    worker = shop.worker()
    with capture_logs() as logs, working(worker):
        wait_until(lambda: shop.store.faults.calls["register"] >= 4)
    failures = [entry["failures"] for entry in logs if entry["event"] == "store unavailable"]
    assert failures[:4] == [1, 2, 3, 4]
    assert {entry["log_level"] for entry in logs if entry["event"] == "store unavailable"} == {"warning"}


def test_what_was_claimed_and_not_begun_is_not_begun_by_a_worker_that_stops(shop: PostgresShop) -> None:
    shop.place("o1")
    worker = shop.worker()
    round_of(worker)
    shop.store.faults.of["append"] = [BEFORE]
    shop.wake(worker, "o1")
    round_of(worker)
    assert len(worker.conductor.desk) == 1
    worker.stop()
    assert worker.run()
    assert shop.world.calls == []
    assert [(row.state, row.attempts) for row in shop.store.runs()] == [("ready", 0)]
