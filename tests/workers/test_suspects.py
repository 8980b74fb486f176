"""Runs that end their workers: they are told apart from their neighbours, taken alone, and given up in the end."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from domain import outside
from domain.process import StepFailed
from domain.work import Step
from tests.workers.shop import PostgresShop, drive, hasten, round_of, rounds_until, wait_until, working
from tests.workers.test_limited import Breakers
from workers.relay import Relay
from workers.retry import CRASHES

AT_ONCE = timedelta(0)
LONG_AGO = "due_at = due_at - interval '1 h', wake_at = wake_at - interval '1 h'"


def crash(shop: PostgresShop, *orders: str, times: int = 2) -> None:
    """Let workers vanish with the runs of these orders."""
    for _ in range(times):
        holder = shop.store.register("doomed", timedelta(hours=1))
        shop.store.claim(orders, list(Step), holder) or shop.store.claim_suspect(list(Step), holder)
        shop.store.sql("DELETE FROM holders WHERE id = %s", holder.id)
        assert shop.store.orphans(thorough=True) == len(orders)
        hasten(shop)


def test_a_suspect_waits_until_the_desk_is_empty_and_then_has_it_alone(shop: PostgresShop) -> None:
    shop.place("good")
    worker = shop.worker(threads=1, sweep=AT_ONCE, steps=frozenset({Step.RISK}))
    calling, answer = threading.Event(), threading.Event()

    def linger() -> None:
        calling.set()
        assert answer.wait(30)

    shop.world.meanwhile[outside.AssessRisk] = linger
    shop.wake(worker, "good")
    with working(worker):
        wait_until(calling.is_set)
        shop.place("bad")
        shop.store.sql(f"UPDATE step_runs SET crashes = 2, {LONG_AGO} WHERE order_id = 'bad'")
        wait_until(lambda: not worker.conductor._claims.may_carry(), "nothing more is taken on")
        shop.place("late")
        shop.wake(worker, "late")
        assert {key.order_id for key in worker.conductor.desk.held} == {"good"}
        answer.set()
        wait_until(lambda: "RiskAssessed" in shop.names("bad"))
        wait_until(lambda: "RiskAssessed" in shop.names("late"), "the others are not forgotten")


def test_suspects_are_taken_one_by_one_and_nothing_beside_them(shop: PostgresShop) -> None:
    shop.place("s1", "s2", "s3", "other")
    crash(shop, "s1", "s2", "s3")
    worker = shop.worker(sweep=AT_ONCE, steps=frozenset({Step.RISK}))
    shop.wake(worker, "other")
    most: list[set[str]] = []
    more = rounds_until(lambda: all("RiskAssessed" in shop.names(one) for one in ("s1", "s2", "s3", "other")))
    while more():
        round_of(worker)
        most.append({key.order_id for key in worker.conductor.desk.held})
    assert {len(held) for held in most if held & {"s1", "s2", "s3"}} <= {0, 1}


def test_a_suspect_is_the_probe_of_a_limited_dependency_for_which_nothing_else_waits(shop: PostgresShop) -> None:
    shop.place("bad")
    crash(shop, "bad")
    breakers = Breakers("risk")
    worker = shop.worker(sweep=AT_ONCE, breakers=breakers)
    more = rounds_until(lambda: "RiskAssessed" in shop.names("bad"))
    while more():
        breakers.grants = 1
        round_of(worker)
        assert len(worker.conductor.desk) <= 1


def test_a_run_that_its_worker_survives_is_no_suspect_any_more(shop: PostgresShop) -> None:
    shop.place("s1")
    crash(shop, "s1")
    worker = shop.worker(sweep=AT_ONCE)
    shop.world.faults[outside.AssessRisk] = [TimeoutError("anything")]
    more = rounds_until(lambda: [row.state for row in shop.store.runs()] == ["ready"] and bool(shop.world.calls))
    while more():
        round_of(worker)
    [row] = shop.store.runs()
    assert (row.crashes, row.attempts) == (0, 1)


def test_a_run_that_ended_too_many_workers_is_a_dead_letter_and_its_order_knows(shop: PostgresShop) -> None:
    shop.place("s1")
    crash(shop, "s1", times=CRASHES + 1)
    drive(shop, lambda: bool(shop.store.dead_letters()), shop.worker(sweep=AT_ONCE))
    assert shop.world.calls == []
    [failed] = [one.event for one in shop.store.read_orders(["s1"]) if isinstance(one.event, StepFailed)]
    assert "its workers ended" in failed.reason
    assert failed.unknown


@contextmanager
def program(shop: PostgresShop, how: str) -> Iterator["subprocess.Popen[str]"]:
    """Worker processes that end badly, in a group of their own; one for each line that they are sent."""
    command = [sys.executable, "-m", "tests.workers.doomed", shop.store._dsn, how]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=nowhere, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def another(process: "subprocess.Popen[str]", count: int = 1) -> None:
    assert process.stdin is not None
    process.stdin.write("another\n" * count)
    process.stdin.flush()


def test_an_order_that_kills_its_workers_is_the_only_one_that_pays_for_it(shop: PostgresShop) -> None:
    innocents = [f"o{number}" for number in range(49)]
    shop.place("poison", *innocents)
    hasten(shop)
    with program(shop, "poison") as process:
        another(process, CRASHES + 2)
        wait_until(lambda: bool(shop.store.dead_letters()), "poison is given up")
        wait_until(lambda: all("RiskAssessed" in shop.names(order_id) for order_id in innocents), "the others go on")
    [letter] = shop.store.dead_letters()
    assert letter.order_id == "poison"
    assert f"{CRASHES + 1} times" in letter.reason
    assert shop.names("poison") == ["OrderPlaced", "StepFailed"]
    assert all(shop.names(order_id).count("RiskAssessed") == 1 for order_id in innocents)
    assert {(row.attempts, row.crashes) for row in shop.store.runs() if row.key.order_id != "poison"} == {(0, 0)}


def test_the_work_of_a_killed_process_is_taken_over_within_a_second(shop: PostgresShop) -> None:
    """Most of three times: a machine may be busy with other things."""
    heir = shop.worker(sweep=timedelta(hours=1), steps=frozenset({Step.RISK}))
    round_of(heir)  # after this it works on what it is woken for
    with working(heir), program(shop, "hang") as process:
        took = sorted(_take_over(shop, process, order_id) for order_id in ("o1", "o2", "o3"))
    assert took[1] < 1.0


def _take_over(shop: PostgresShop, process: "subprocess.Popen[str]", order_id: str) -> float:
    """Seconds from the death of who had the order until another one has done his work."""
    shop.place(order_id)
    hasten(shop)
    another(process)
    owner = "SELECT h.name FROM holders h JOIN step_runs r ON r.holder = h.id WHERE r.order_id = %s"
    wait_until(lambda: bool(shop.store.sql(owner, order_id)), "somebody works on the order")
    [(name,)] = shop.store.sql(owner, order_id)
    relay = Relay(shop.store, shop.announce, lambda _step: None)
    clock = threading.Thread(target=relay.run)
    clock.start()
    os.kill(int(name.removeprefix("doomed ")), signal.SIGKILL)
    killed_at = time.monotonic()
    wait_until(lambda: "RiskAssessed" in shop.names(order_id))
    took = time.monotonic() - killed_at
    relay.stop()
    clock.join(10)
    return took


def test_a_run_that_ends_even_who_wants_to_give_it_up_is_given_up_unseen(shop: PostgresShop) -> None:
    shop.place("bad", "good")
    shop.store.sql(f"UPDATE step_runs SET crashes = {CRASHES + 4}, {LONG_AGO} WHERE order_id = 'bad'")
    worker = shop.worker(sweep=AT_ONCE)
    shop.wake(worker, "good")
    drive(shop, lambda: [letter.order_id for letter in shop.store.dead_letters()] == ["bad"])
    assert "bad" not in worker.conductor.batch.known, "nobody looked at it"
    told = [recorded.event for recorded in shop.store.read({"process-bad": 0})]
    assert [type(event) for event in told] == [StepFailed]
