"""The projector on a real database: every event once, whatever is killed, doubled or unknown."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from infrastructure.postgres.leases import PostgresLeases
from infrastructure.postgres.projections import PostgresProjector, Stopped, status, verify
from infrastructure.postgres.projections.models import OrderSummaries, OrderTimelines
from infrastructure.postgres.projections.queries import OrderFilter, ReadModelQueries
from infrastructure.projections.facts import Fact
from tests.infrastructure.projections.histories import company, store_events
from tests.infrastructure.projections.read_side import (
    NAMES,
    add_event_from_the_future,
    catch_up,
    execute,
    queries,
    tables,
)

HOUR = timedelta(hours=1)


def test_the_read_models_are_a_fold_of_the_events(database: str) -> None:
    store_events(database, company(1, 400).finish().appended)
    catch_up(database, page=37)
    assert verify(database) == []


def test_pages_of_any_size_end_in_the_same_rows(database: str) -> None:
    history = company(2, 300).appended
    store_events(database, history[:150])
    catch_up(database, page=1000)
    store_events(database, history[150:])
    catch_up(database, page=1)
    assert verify(database) == []


def test_counts_of_stages_are_those_of_the_orders(database: str) -> None:
    store_events(database, company(3, 400).appended)
    catch_up(database, page=20)
    counted = {stage: orders for stage, orders in queries(database).counts().items() if orders}
    assert counted == dict(execute(database, "SELECT stage, count(*) FROM order_summary_v1 GROUP BY 1"))
    assert len(counted) > 3


def test_a_second_projector_passes_by_what_the_first_one_works_on(database: str) -> None:
    store_events(database, company(4, 100).appended)
    first, second = PostgresProjector(database, page=10), PostgresProjector(database, page=10)
    with psycopg.connect(database) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(7303, hashtext('order_summary'))")
        second.advance()
        positions = {line.name: line.position for line in status(database)}
    assert positions["order_summary"] == 0
    assert positions["order_timeline"] > 0
    while first.advance().more or second.advance().more:
        pass
    for projector in (first, second):
        projector.close()
    assert verify(database) == []


def test_two_projectors_at_once_count_nothing_twice(database: str) -> None:
    store_events(database, company(5, 400).appended)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=catch_up, args=(database,), kwargs={"page": 7}) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    catch_up(database)
    assert verify(database) == []


def test_a_projector_that_lost_its_lease_moves_no_checkpoint(database: str) -> None:
    store_events(database, company(9, 50).appended)
    table = PostgresLeases(database)
    owner = table.enter("owner", HOUR)
    held = {name: table.take(f"projector:{name}", owner, HOUR) for name in NAMES}
    grants = {name: grant for name, grant in held.items() if grant is not None}
    assert list(grants) == NAMES
    projector = PostgresProjector(database)
    table.release(grants["order_summary"])
    done = projector.advance(grants)
    assert done.lost == ["order_summary"]
    positions = {line.name: line.position for line in status(database)}
    assert positions.pop("order_summary") == 0
    assert all(positions.values())
    assert projector.advance({}).events == 0
    projector.close()
    table.forget(owner)


class KilledAfterApplying(OrderSummaries):
    """Dies when the rows are changed and the checkpoint is not."""

    def apply(self, connection: psycopg.Connection[Any], facts: Sequence[Fact]) -> None:
        super().apply(connection, facts)
        os.kill(os.getpid(), signal.SIGKILL)


def die_while_projecting(dsn: str) -> None:
    projector = PostgresProjector(dsn, ["order_summary"], page=50)
    projector._models = [KilledAfterApplying()]
    projector.advance()


def test_a_projector_killed_between_rows_and_checkpoint_leaves_neither(database: str) -> None:
    store_events(database, company(6, 200).appended)
    projector = PostgresProjector(database, page=30)
    projector.advance()
    projector.close()
    before = tables(database)
    process = multiprocessing.get_context("spawn").Process(target=die_while_projecting, args=(database,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert tables(database) == before
    catch_up(database)
    assert verify(database) == []


def test_an_unknown_event_stops_the_projections_that_read_it_and_no_other(database: str) -> None:
    history = company(7, 120).appended
    store_events(database, history[:60])
    position = add_event_from_the_future(database, "order-order.1")
    store_events(database, history[60:])
    projector = PostgresProjector(database)
    stopped = projector.advance().stopped
    assert [(stop.name, stop.position) for stop in stopped] == [
        ("order_summary", position),
        ("order_timeline", position),
    ]
    lines = {line.name: line for line in status(database)}
    assert (lines["order_summary"].state, lines["order_summary"].position) == ("stopped", position - 1)
    assert "OrderTeleported" in lines["order_summary"].reason
    assert lines["order_summary"].lag_s > 0
    assert (lines["stock_levels"].state, lines["stock_levels"].lag_events) == ("running", 0)
    assert projector.advance().stopped == []
    projector.close()
    assert verify(database) == []


def test_a_stopped_projection_goes_on_with_a_program_that_knows_the_event(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(database, company(8, 100).appended)
    add_event_from_the_future(database, "order-order.1")
    catch_up(database)
    upgrade(monkeypatch)
    catch_up(database)
    assert [(line.state, line.reason, line.lag_events) for line in status(database)] == [("running", "", 0)] * 3
    assert verify(database) == []


def test_an_old_program_goes_on_behind_an_upgraded_one(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    history = company(9, 160).appended
    store_events(database, history[:80])
    add_event_from_the_future(database, "order-order.1")
    old = PostgresProjector(database)
    assert len(old.advance().stopped) == 2
    with monkeypatch.context() as patch:
        upgrade(patch)
        catch_up(database)
    store_events(database, history[80:])
    assert old.advance().stopped == []
    old.close()
    assert [line.lag_events for line in status(database)] == [0, 0, 0]


def upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program now reads the event as one that it knows."""
    from domain.order import CancellationRefused, CancelReason
    from infrastructure import codec
    from tests.infrastructure.projections.histories import START

    decode = codec.decode
    event = CancellationRefused(reason=CancelReason.OTHER, why="w", offered="return", by="b", at=START)

    def upgraded(name: str, schema: int, data: bytes | str) -> object:
        return event if name == "OrderTeleported" else decode(name, schema, data)

    monkeypatch.setattr(codec, "decode", upgraded)


class Poisoned(OrderTimelines):
    """Cannot take one event."""

    def __init__(self, position: int) -> None:
        self._position = position

    def apply(self, connection: psycopg.Connection[Any], facts: Sequence[Fact]) -> None:
        super().apply(connection, facts)
        if any(fact.position == self._position for fact in facts):
            connection.execute("SELECT 1 / 0")


def test_a_failing_apply_stops_right_before_the_event_at_fault(database: str) -> None:
    store_events(database, company(10, 100).appended)
    culprit = execute(database, "SELECT position FROM events WHERE stream LIKE 'order-%' ORDER BY 1 OFFSET 20")[0][0]
    projector = PostgresProjector(database, ["order_timeline", "stock_levels"])
    projector._models[0] = Poisoned(culprit)
    (stop,) = projector.advance().stopped
    projector.close()
    assert isinstance(stop, Stopped)
    assert (stop.name, stop.position) == ("order_timeline", culprit)
    assert "DivisionByZero" in stop.reason
    assert execute(database, "SELECT max(position) < %s FROM order_timeline_v1", culprit) == [(True,)]
    assert verify(database) == []


def test_the_mark_is_not_passed_while_an_appender_is_under_way(database: str) -> None:
    store_events(database, company(11, 50).appended)
    with psycopg.connect(database) as appender:
        appender.execute("SELECT pg_advisory_xact_lock_shared(7301, 1)")
        catch_up(database)
        assert {line.position for line in status(database)} == {0}
    catch_up(database)
    assert {line.lag_events for line in status(database)} == {0}


def test_orders_are_listed_newest_first_and_page_by_page(database: str) -> None:
    store_events(database, company(12, 400).appended)
    catch_up(database)
    read = queries(database)
    seen, before = list[str](), None
    while page := read.list_orders(limit=3, before=before):
        seen += [row.order_id for row in page]
        before = page[-1].placed_position
    assert seen == [
        row[0] for row in execute(database, "SELECT order_id FROM order_summary_v1 ORDER BY placed_position DESC")
    ]


@pytest.mark.parametrize(
    ("wanted", "condition"),
    [
        (OrderFilter(stage="closed"), "stage = 'closed'"),
        (OrderFilter(payment="paid"), "payment = 'paid'"),
        (OrderFilter(fulfillment="cancelled"), "fulfillment = 'cancelled'"),
        (OrderFilter(hold="OTHER"), "'OTHER' = ANY (holds)"),
        (OrderFilter(prefix="order.1"), "order_id LIKE 'order.1%'"),
        (OrderFilter(stage="closed", payment="paid"), "stage = 'closed' AND payment = 'paid'"),
    ],
)
def test_a_filter_lists_what_it_names(many_orders: ReadModelQueries, wanted: OrderFilter, condition: str) -> None:
    found = {row.order_id for row in many_orders.list_orders(wanted, limit=1000)}
    rows = execute(many_orders._database.dsn, f"SELECT order_id FROM order_summary_v1 WHERE {condition}")
    assert found == {row[0] for row in rows}
    assert found


@pytest.fixture(scope="module")
def many_orders(module_database: str) -> ReadModelQueries:
    store_events(module_database, company(13, 600).appended)
    catch_up(module_database)
    return queries(module_database)


def test_a_timeline_tells_every_event_of_its_order_in_order(many_orders: ReadModelQueries) -> None:
    (order,) = many_orders.list_orders(OrderFilter(stage="closed"), limit=1)
    entries = many_orders.timeline(order.order_id)
    assert [entry.position for entry in entries] == sorted(entry.position for entry in entries)
    assert (entries[0].type, entries[-1].position) == ("OrderPlaced", order.position)
    assert many_orders.timeline(order.order_id, after=entries[2].position, limit=2) == entries[3:5]


def test_stock_is_listed_by_warehouse_and_sku(many_orders: ReadModelQueries) -> None:
    everything = many_orders.stock()
    assert [(row.warehouse, row.sku) for row in everything] == sorted((row.warehouse, row.sku) for row in everything)
    assert all(row.available == row.on_hand - row.allocated - row.backordered for row in everything)
    assert many_orders.stock(sku="lamp+shade", warehouse="leeds") == [
        r for r in everything if r.sku == "lamp+shade" and r.warehouse == "leeds"
    ]
    first = everything[0]
    assert many_orders.stock(after=(first.warehouse, first.sku)) == everything[1:]


def test_an_order_that_nobody_placed_is_not_there(many_orders: ReadModelQueries) -> None:
    assert many_orders.get_order("nobody") is None
    assert many_orders.timeline("nobody") == []


def test_totals_add_up_to_the_orders(many_orders: ReadModelQueries) -> None:
    rows = many_orders.totals()
    assert sum(row.orders for row in rows) == sum(many_orders.counts().values())


def test_the_status_names_every_projection_before_any_has_begun(database: str) -> None:
    assert [(line.name, line.position, line.state) for line in status(database)] == [(n, 0, "running") for n in NAMES]
