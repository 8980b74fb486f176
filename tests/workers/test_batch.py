"""Batches: what is broken or stale stays alone, and stock is conserved whatever happens around it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from domain import outside
from domain.order import HoldReason
from domain.ports import RecordedEvent
from domain.work import RunKey, Step, Want
from tests.domain.examples import CUPS, POT
from tests.workers.faulty import BEFORE
from tests.workers.shop import PostgresShop, drive, round_of, rounds_until
from workers import handle
from workers.batch import Batch

UNHEARD = (
    "INSERT INTO events (stream, version, type, schema, data, meta)"
    " VALUES (%s, %s, 'Unheard', 1, '{}', '{\"command_id\": \"x\"}')"
)


@pytest.fixture
def orders(shop: PostgresShop) -> list[str]:
    shop.receive("cup")
    shop.receive("pot")
    orders = [f"o{number}" for number in range(6)]
    shop.place(*orders)
    return orders


def test_a_broken_order_becomes_a_dead_letter_alone(shop: PostgresShop, orders: list[str]) -> None:
    shop.store.sql(UNHEARD, "order-o3", 2)
    worker = shop.worker()
    shop.wake(worker, *orders)
    drive(shop, lambda: shop.closed(*[order_id for order_id in orders if order_id != "o3"]))
    assert [letter.order_id for letter in shop.store.dead_letters()] == ["o3"]
    assert [(row.key.order_id, row.state) for row in shop.store.runs()] == [("o3", "dead")]
    told = [type(recorded.event).__name__ for recorded in shop.store.read({"process-o3": 0})]
    assert told == ["StepFailed"], "the order knows, though nobody could look at it"
    assert len(shop.world.requests(outside.AssessRisk)) == 5, "no batch mate lost an attempt"
    assert (worker.counters.fenced, shop.unknown_runs(worker)) == (0, [])


def test_an_order_that_breaks_while_it_is_worked_on_stays_alone_too(shop: PostgresShop, orders: list[str]) -> None:
    worker = shop.worker()
    shop.world.meanwhile[outside.AuthorizePayment] = lambda: shop.store.sql(UNHEARD, "process-o0", 1)
    shop.wake(worker, *orders)
    drive(shop, lambda: shop.closed(*orders[1:]) and len(shop.store.runs()) == 1)
    assert [letter.order_id for letter in shop.store.dead_letters()] == ["o0"]
    assert shop.world.captures() == {f"{order_id}+1": 1 for order_id in orders[1:]}


def test_a_broken_stock_stops_only_the_orders_that_need_it(shop: PostgresShop, orders: list[str]) -> None:
    shop.place("b1", "b2")
    bad = replace(CUPS, sku="bad")
    shop.place_lines("b3", bad, POT)
    shop.store.sql(UNHEARD, "stock-north+bad", 1)
    worker = shop.worker()
    shop.wake(worker, "b3", *orders, "b1", "b2")
    drive(shop, lambda: shop.closed(*orders, "b1", "b2"))
    assert [(letter.order_id, letter.step) for letter in shop.store.dead_letters()] == [("b3", "allocate")]
    assert (worker.counters.fenced, shop.unknown_runs(worker)) == (0, [])


def test_what_a_batch_committed_is_not_repeated_when_its_second_part_fails(
    shop: PostgresShop, orders: list[str]
) -> None:
    worker = shop.worker()
    shop.wake(worker, *orders)
    more = rounds_until(lambda: any("Authorized" in shop.names(order_id) for order_id in orders))
    while more():
        round_of(worker)
    shop.place("late")
    shop.wake(worker, "late")
    shop.store.faults.of["transaction"] = [BEFORE]
    drive(shop, lambda: shop.closed(*orders))
    assert worker.counters.fenced == 0
    assert not any(inquired for _, inquired in shop.world.calls)


def test_stock_is_conserved_when_an_order_in_the_middle_of_a_batch_is_refused(
    shop: PostgresShop, orders: list[str]
) -> None:
    shop.receive("pot")
    worker = shop.worker()
    shop.wake(worker, *orders)
    more = rounds_until(lambda: any(run.key.step == "allocate" for run in worker.conductor.desk.held.values()))
    while more():
        round_of(worker)
    hold = handle.hold(HoldReason.OTHER, "", "ada")
    shop.handler.on_order("o2", hold, command_id="h", actor="ada")
    others = [order_id for order_id in orders if order_id != "o2"]
    drive(shop, lambda: shop.closed(*others))
    assert worker.counters.conflicts > 0
    stock = shop.stock("cup")
    assert (stock.on_hand, stock.allocated) == (1_000 - 3 * 5, 0)
    shop.handler.on_order("o2", handle.release(None, "", "ada"), command_id="r", actor="ada")
    drive(shop, lambda: shop.closed("o2"))
    assert shop.stock("cup").on_hand == 1_000 - 3 * 6


def test_two_parcels_of_one_order_that_share_a_stock_are_handed_over(shop: PostgresShop) -> None:
    shop.receive("cup", 2)
    shop.receive("pot")
    shop.place("o1")
    worker = shop.worker()
    shop.wake(worker, "o1")
    drive(shop, lambda: "HandedOver" in shop.names("o1") or bool(shop.view("o1").handed_over()))
    shop.receive("cup", 1)
    drive(shop, lambda: shop.closed("o1"))
    assert shop.world.captures() == {"o1+1": 1, "o1+2": 1}
    assert (shop.stock().on_hand, shop.stock().backordered, shop.stock("pot").on_hand) == (0, 0, 999)


def test_what_is_remembered_of_stock_is_bounded(shop: PostgresShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.batch.STOCK_CACHE", 1)
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    worker = shop.worker()
    shop.wake(worker, "o1")
    drive(shop, lambda: shop.closed("o1"))
    assert len(worker.conductor.batch.stock) == 1


def test_looking_at_an_order_reads_it_anew(shop: PostgresShop) -> None:
    shop.place("o1")
    batch = Batch(shop.store, shop.policy, ())
    assert batch.look("o1").view.order.holds == {}
    hold = handle.hold(HoldReason.OTHER, "", "ada")
    shop.handler.on_order("o1", hold, command_id="h", actor="ada")
    assert HoldReason.OTHER in batch.look("o1").view.order.holds


def test_a_broken_order_that_is_partly_another_s_is_given_back_whole(
    shop: PostgresShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.place("o1")
    shop.store.want([Want(RunKey("o1", Step.LABEL, 1))])
    shop.store.sql(UNHEARD, "order-o1", 2)
    worker = shop.worker(sweep=timedelta(hours=1))
    read = shop.store.read_orders

    def steal_and_read(order_ids: Sequence[str]) -> Sequence[RecordedEvent]:
        shop.store.sql("UPDATE step_runs SET epoch = 999999 WHERE step = 'risk'")
        return read(order_ids)

    monkeypatch.setattr(shop.store, "read_orders", steal_and_read)
    shop.wake(worker, "o1")
    more = rounds_until(lambda: worker.counters.fenced > 0)
    while more():
        round_of(worker)
    assert len(worker.conductor.desk) == 0
    round_of(worker)
    assert [row.key.step for row in shop.store.runs() if row.state == "running"] == []
