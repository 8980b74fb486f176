"""Rebuild and check: the new tables are what the old ones were, and nobody sees them before they are."""

import multiprocessing
import os
import signal

import psycopg
import pytest

from domain.errors import CommandRefused, Misconfigured, StoreUnavailable
from infrastructure.embedded.waiting import wait_until
from infrastructure.postgres.projections import PostgresProjector, PostgresRebuild, session, status, verify
from tests.infrastructure.projections.histories import company, store_events
from tests.infrastructure.projections.read_side import (
    NAMES,
    add_event_from_the_future,
    catch_up,
    execute,
    tables,
)
from workers.replay import Replay


def rebuild(dsn: str, names: list[str] | None = None, *, page: int = 100) -> list[str]:
    """Rebuild; returns the reasons of those that could not be."""
    outcomes = Replay(PostgresRebuild(dsn, names, page=page)).run()
    assert outcomes is not None
    return [outcome.reason for outcome in outcomes if outcome.reason]


def shape(dsn: str) -> list[tuple[object, ...]]:
    """Indexes, constraints and options of every read model's tables."""
    return execute(
        dsn,
        """SELECT c.relname, c.relnamespace::regnamespace::text, c.relkind, c.reloptions,
                  coalesce(pg_get_indexdef(i.indexrelid), ''),
                  (SELECT array_agg(pg_get_constraintdef(k.oid) ORDER BY pg_get_constraintdef(k.oid))::text FROM pg_constraint k WHERE k.conrelid = c.oid)
           FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
           WHERE c.relname ~ '_v1' AND c.relkind IN ('r', 'i') ORDER BY 1, 2""",
    )


def test_a_rebuild_gives_what_was_there(database: str) -> None:
    store_events(database, company(21, 400).appended)
    catch_up(database)
    before = tables(database), shape(database)
    assert rebuild(database) == []
    assert (tables(database), shape(database)) == before


def test_a_rebuild_mends_what_was_changed_by_hand(database: str) -> None:
    store_events(database, company(22, 200).appended)
    catch_up(database)
    execute(database, "UPDATE order_summary_v1 SET captured = captured + 1")
    execute(database, "DELETE FROM order_timeline_v1 WHERE position % 3 = 0")
    assert rebuild(database) == []
    assert verify(database) == []


def test_a_second_rebuild_works_like_the_first(database: str) -> None:
    store_events(database, company(23, 100).appended)
    before = shape(database)
    assert rebuild(database) == []
    assert rebuild(database) == []
    assert shape(database) == before
    assert [line.rebuilds for line in status(database)] == [2, 2, 2]


def test_the_projector_goes_on_with_the_new_tables(database: str) -> None:
    history = company(24, 300).appended
    projector = PostgresProjector(database)
    for start in range(0, len(history), 50):
        store_events(database, history[start : start + 50])
        projector.advance()
        if start % 100 == 0:
            assert rebuild(database) == []
    projector.close()
    assert verify(database) == []
    assert {line.lag_events for line in status(database)} == {0}


def test_what_happens_during_a_rebuild_is_in_the_new_tables(database: str) -> None:
    history = company(25, 300).appended
    store_events(database, history[:200])
    catch_up(database)
    with PostgresRebuild(database, page=50) as work:
        work.fill()
        store_events(database, history[200:])
        catch_up(database)
        work.switch()
    assert verify(database) == []
    assert {line.lag_events for line in status(database)} == {0}


def test_readers_see_the_old_rows_until_the_switch(database: str) -> None:
    store_events(database, company(26, 200).appended)
    catch_up(database)
    before = tables(database)
    with PostgresRebuild(database, page=10_000) as work:
        work.fill()
        assert {line.state for line in status(database)} == {"rebuilding"}
        assert tables(database) == before
    assert tables(database) == before
    assert {line.state for line in status(database)} == {"running"}


def test_a_rebuild_that_is_stopped_changes_nothing(database: str) -> None:
    store_events(database, company(27, 200).appended)
    catch_up(database)
    before = tables(database), shape(database)
    pages = list[tuple[int, int]]()
    replay = Replay(
        PostgresRebuild(database, page=20),
        on_progress=lambda done, total: pages.append((done, total)),
        stopping=lambda: len(pages) == 3,
    )
    assert replay.run() is None
    assert [done for done, _ in pages] == [20, 40, 60]
    assert (tables(database), shape(database)) == before


def die_half_way(dsn: str) -> None:
    with PostgresRebuild(dsn, page=20) as work:
        work.fill()
        work.fill()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_rebuild_killed_half_way_leaves_the_old_tables_and_can_be_started_again(database: str) -> None:
    store_events(database, company(28, 200).appended)
    catch_up(database)
    before = tables(database)
    process = multiprocessing.get_context("spawn").Process(target=die_half_way, args=(database,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert tables(database) == before
    assert rebuild(database) == []
    assert tables(database) == before


def test_the_second_rebuild_of_a_projection_at_once_is_refused(database: str) -> None:
    with PostgresRebuild(database, ["stock_levels"]):
        with pytest.raises(CommandRefused, match="stock_levels is being rebuilt"):
            rebuild(database)
        assert rebuild(database, ["order_summary"]) == []


def test_an_unknown_event_keeps_the_old_tables_of_the_projections_that_read_it(database: str) -> None:
    store_events(database, company(29, 100).appended)
    catch_up(database)
    before = tables(database)
    add_event_from_the_future(database, "order-order.1")
    reasons = rebuild(database)
    assert len(reasons) == 2
    assert all("OrderTeleported" in reason for reason in reasons)
    after = tables(database)
    assert {name: after[name] for name in after if name != "checkpoints"} == {
        name: before[name] for name in before if name != "checkpoints"
    }


def test_a_table_that_is_read_without_a_pause_is_not_switched(database: str) -> None:
    store_events(database, company(30, 60).appended)
    catch_up(database)
    before = tables(database)
    with psycopg.connect(database) as reader, PostgresRebuild(database, switch_timeout_s=0.1) as work:
        reader.execute("SELECT FROM order_summary_v1")
        work.fill()
        with pytest.raises(StoreUnavailable, match="nothing was switched"):
            work.switch()
    assert tables(database) == before


def test_only_existing_projections_can_be_rebuilt(database: str) -> None:
    with pytest.raises(Misconfigured, match="no projection 'orders'"):
        PostgresRebuild(database, ["orders"])


TAMPERINGS = {
    "order_summary_v1": "UPDATE order_summary_v1 SET payment = 'paid' WHERE order_id = 'order.1' AND payment <> 'paid'",
    "pipeline_counts_v1": "UPDATE pipeline_counts_v1 SET orders = orders + 1 WHERE stage = 'closed'",
    "order_timeline_v1": "DELETE FROM order_timeline_v1 WHERE position = (SELECT min(position) FROM order_timeline_v1)",
    "stock_levels_v1": "UPDATE stock_levels_v1 SET on_hand = on_hand + 1 WHERE sku = 'mug' AND warehouse = 'berlin'",
    "stock_backorders_v1": "INSERT INTO stock_backorders_v1 VALUES ('berlin', 'mug', 'ghost', 1)",
}


@pytest.mark.parametrize("table", TAMPERINGS)
def test_the_check_finds_a_row_that_was_changed_by_hand(database: str, table: str) -> None:
    store_events(database, company(31, 12).appended)
    catch_up(database)
    assert verify(database, page=11) == []
    execute(database, TAMPERINGS[table])
    found = verify(database)
    assert {difference.table for difference in found} == {table}
    assert {difference.side for difference in found} <= {"stored", "folded"}


def test_the_check_finds_a_checkpoint_that_moved_alone(database: str) -> None:
    history = company(32, 100).appended
    store_events(database, history[:80])
    catch_up(database)
    store_events(database, history[80:])
    execute(database, "UPDATE checkpoints SET position = (SELECT max(position) FROM events)")
    assert {difference.projection for difference in verify(database)} == set(NAMES)


def test_the_check_may_run_while_the_projector_works(database: str) -> None:
    history = company(33, 300).appended
    store_events(database, history[:200])
    catch_up(database)
    projector = PostgresProjector(database)

    def more(done: int, total: int) -> None:
        if done == total and not appended:
            store_events(database, history[200:])
            appended.append(projector.advance().events)

    appended = list[int]()
    assert verify(database, on_progress=more, page=50) == []
    projector.close()
    assert appended[0] > 0


def test_a_rebuild_that_is_frozen_is_overtaken_and_writes_nothing_when_it_wakes_up(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(database, company(19, 50).appended)
    monkeypatch.setattr(session, "IDLE", "100ms")
    with PostgresRebuild(database, ["order_summary"]) as frozen:
        monkeypatch.undo()
        assert wait_until(lambda: can_begin(database), timeout_s=20.0)
        with PostgresRebuild(database, ["order_summary"]) as heir:
            with pytest.raises(StoreUnavailable):
                frozen.fill()
            while len(set(heir.fill())) > 1:
                pass
            assert [one.reason for one in heir.switch()] == [""]
    assert verify(database) == []


def can_begin(dsn: str) -> bool:
    try:
        with PostgresRebuild(dsn, ["order_summary"]):
            return True
    except CommandRefused:
        return False
