"""Partitions on a real database: whoever works on them, in whatever number, the rows are those of one fold of all events."""

import multiprocessing
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Misconfigured
from domain.partitions import partition_key, partition_of
from domain.ports import Holder
from infrastructure.postgres.leases import PostgresLeases
from infrastructure.postgres.projections import PostgresProjector, PostgresRebuild, partition, status, verify
from infrastructure.postgres.projections.models import OrderTimelines
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
TWINS = """SELECT partition_key(s.stream), partition_of(partition_key(s.stream), %s)
FROM unnest(%s::text[]) WITH ORDINALITY AS s(stream, place) ORDER BY s.place"""

keys = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
streams = st.one_of(
    st.builds("order-{}".format, keys),
    st.builds("fulfillment-{}+{}".format, keys, st.integers(1, 99)),
    st.builds("stock-{}+{}".format, keys, keys),
)


@given(st.lists(streams, min_size=20, max_size=60), st.integers(1, 64))
def test_the_database_and_the_program_agree_on_the_partition(
    module_database: str, some: list[str], partitions: int
) -> None:
    with psycopg.connect(module_database) as connection:
        found = connection.execute(TWINS, [partitions, some]).fetchall()
    assert found == [(partition_key(one), partition_of(partition_key(one), partitions)) for one in some]


def test_every_stream_of_an_order_is_in_one_partition_and_orders_are_spread() -> None:
    names = ("order-{}", "payment-{}", "process-{}", "fulfillment-{}+1", "fulfillment-{}+12")
    spread = defaultdict[int, int](int)
    for number in range(1000):
        (own,) = {partition_of(partition_key(name.format(f"WEB-{number}")), 4) for name in names}
        spread[own] += 1
    assert min(spread.values()) > 200
    assert partition_of("WEB-1001", 4) == 3, "the hash must never change: work is shared out by it"


@pytest.mark.parametrize("partitions", [2, 5, 64])
def test_read_models_in_partitions_are_the_fold_of_all_events(database: str, partitions: int) -> None:
    history = company(61, 300).finish().appended
    store_events(database, history[:200])
    catch_up(database, page=40)
    assert all(one.done for one in partition(database, partitions))
    store_events(database, history[200:])
    catch_up(database, page=40)
    assert {(line.partitions, line.lag_events) for line in status(database)} == {(partitions, 0)}
    assert verify(database) == []
    assert sum(queries(database).counts().values()) == execute(database, "SELECT count(*) FROM order_summary_v1")[0][0]


def holding(dsn: str, *names: str) -> tuple[PostgresLeases, Holder, dict[str, Any]]:
    table = PostgresLeases(dsn)
    holder = table.enter("some projector", HOUR)
    return table, holder, {name: table.take(f"projector:{name}", holder, HOUR) for name in names}


def test_a_projector_moves_the_partitions_that_it_holds_and_no_others(database: str) -> None:
    partition(database, 4)
    store_events(database, company(62, 200).appended)
    table, holder, held = holding(database, "order_summary/1", "order_summary/3", "order_timeline/3")
    projector = PostgresProjector(database, page=50)
    while projector.advance(held).more:
        pass
    projector.close()
    moved = {name for (name,) in execute(database, "SELECT name FROM checkpoints WHERE position > 0")}
    assert moved == held.keys()
    seen = {partition_of(row[0], 4) for row in execute(database, "SELECT order_id FROM order_summary_v1")}
    assert seen == {1, 3}
    assert verify(database) == [], "partitions at different positions are no difference"
    table.leave(holder)
    catch_up(database, page=30)
    assert verify(database) == []


def test_partitions_that_were_left_behind_come_to_where_the_others_are(database: str) -> None:
    partition(database, 3, ["order_timeline"])
    history = company(63, 300).appended
    store_events(database, history[:250])
    table, holder, held = holding(database, "order_timeline/0")
    first = PostgresProjector(database, ["order_timeline"], page=20)
    while first.advance(held).more:
        pass
    table.leave(holder)
    store_events(database, history[250:])
    while first.advance().more:
        pass
    first.close()
    assert {position for (position,) in execute(database, "SELECT position FROM checkpoints WHERE partition >= 0")} == {
        status(database)[1].head
    }
    assert verify(database) == []


def test_a_rebuild_takes_no_partition_back(database: str) -> None:
    partition(database, 3, ["order_timeline"])
    history = company(71, 300).appended
    store_events(database, history[:200])
    catch_up(database)
    with PostgresRebuild(database, ["order_timeline"], page=10_000) as work:
        while len(set(work.fill())) > 1:
            pass
        store_events(database, history[200:])
        table, holder, held = holding(database, "order_timeline/1")
        projector = PostgresProjector(database, ["order_timeline"])
        while projector.advance(held).more:
            pass
        projector.close()
        table.leave(holder)
        furthest = status(database)[1].head
        assert [one.position for one in work.switch()] == [furthest]
    positions = execute(database, "SELECT position FROM checkpoints WHERE partition >= 0 AND model = 'order_timeline'")
    assert positions == [(furthest,)] * 3
    assert verify(database) == []


class Witness(OrderTimelines):
    """Writes down what it is given, in that order; writes nothing else."""

    def __init__(self) -> None:
        self.seen: dict[str, list[int]] = defaultdict(list)

    def apply(self, connection: psycopg.Connection[Any], facts: Sequence[Fact]) -> None:
        for fact in facts:
            self.seen[fact.stream].append(fact.position)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_in_between_every_event_comes_once_and_in_the_order_of_its_stream(
    database: str, seed: int
) -> None:
    random = Random(seed)
    history, stored = company(64 + seed, 250).appended, 0
    witness = Witness()
    projectors = [PostgresProjector(database, ["order_timeline"], page=page) for page in (3, 17, 400)]
    for projector in projectors:
        projector._models = [witness]
    while stored < len(history):
        match random.choice(("append", "advance", "advance", "advance", "change")):
            case "append":
                amount = random.randint(1, 40)
                store_events(database, history[stored : stored + amount])
                stored += amount
            case "advance":
                random.choice(projectors).advance()
            case _:
                partition(database, random.choice((1, 2, 4, 7)), ["order_timeline"])
    partition(database, 3, ["order_timeline"])
    while any(projector.advance().more for projector in projectors) or status(database)[1].lag_events:
        pass
    for projector in projectors:
        projector.close()
    events = execute(database, "SELECT stream, array_agg(position ORDER BY position) FROM events GROUP BY 1")
    assert witness.seen == {stream: positions for stream, positions in events if not stream.startswith("stock-")}


def test_the_number_changes_once_every_partition_is_at_the_barrier(database: str) -> None:
    partition(database, 2, ["order_summary"])
    store_events(database, company(68, 150).appended)
    table, holder, held = holding(database, "order_summary/1")
    projector = PostgresProjector(database, page=10_000)
    projector.advance(held)
    (asked,) = partition(database, 3, ["order_summary"])
    assert not asked.done
    line = status(database)[0]
    assert (line.state, line.partitions, line.wanted, line.barrier) == ("repartitioning", 2, 3, max(line.positions))
    store_events(database, company(69, 50).appended)
    projector.advance(held)
    assert status(database)[0].positions == line.positions, "nobody goes beyond the barrier"
    table.leave(holder)
    assert projector.advance().changed
    line = status(database)[0]
    assert (line.state, line.partitions, line.wanted, set(line.positions)) == ("running", 3, None, {line.position})
    projector.close()
    catch_up(database)
    assert verify(database) == []


def test_a_change_can_be_given_up_and_asked_for_twice(database: str) -> None:
    partition(database, 2, ["order_timeline"])
    store_events(database, company(70, 60).appended)
    table, holder, held = holding(database, "order_timeline/0")
    projector = PostgresProjector(database)
    projector.advance(held)
    assert [one.done for one in (*partition(database, 5, NAMES[1:2]), *partition(database, 5, NAMES[1:2]))] == [
        False,
        False,
    ]
    assert [one.done for one in partition(database, 2, NAMES[1:2])] == [True]
    line = status(database)[1]
    assert (line.state, line.wanted, line.barrier) == ("running", None, None)
    projector.close()
    table.leave(holder)
    catch_up(database)
    assert verify(database) == []


@pytest.mark.parametrize("number", [0, 65])
def test_a_number_of_partitions_that_makes_no_sense_is_refused(database: str, number: int) -> None:
    with pytest.raises(Misconfigured, match="1 to 64"):
        partition(database, number)


def test_an_unknown_event_stops_its_partition_and_no_other(database: str) -> None:
    history = company(71, 200).appended
    partition(database, 4)
    store_events(database, history[:100])
    position = add_event_from_the_future(database, "order-order.1")
    store_events(database, history[100:])
    stopped = partition_of("order.1", 4)
    projector = PostgresProjector(database)
    found = projector.advance().stopped
    while projector.advance().more:
        pass
    projector.close()
    assert {(stop.name, stop.position) for stop in found} == {
        (f"{name}/{stopped}", position) for name in ("order_summary", "order_timeline")
    }
    line = status(database)[0]
    assert (line.state, line.positions[stopped]) == ("stopped", position - 1)
    assert f"partition {stopped}: " in line.reason
    assert {at for number, at in enumerate(line.positions) if number != stopped} == {line.head}
    assert verify(database) == []


def test_a_rebuild_brings_all_partitions_to_one_position(database: str) -> None:
    partition(database, 4)
    store_events(database, company(72, 200).appended)
    table, holder, held = holding(database, "order_summary/1", "order_timeline/0")
    projector = PostgresProjector(database)
    projector.advance(held)
    projector.close()
    table.leave(holder)
    with PostgresRebuild(database, ["order_summary", "order_timeline"]) as rebuild:
        while len(set(rebuild.fill())) > 1:
            pass
        assert [one.reason for one in rebuild.switch()] == ["", ""]
    for line in status(database)[:2]:
        assert (set(line.positions), line.rebuilds, line.partitions) == ({line.head}, 1, 4)
    catch_up(database)
    assert verify(database) == []


def test_a_program_that_knows_no_partitions_finds_no_position_to_go_on_from(database: str) -> None:
    """It compares the position with the mark, so it ends with an error before it has written anything."""
    store_events(database, company(73, 50).appended)
    catch_up(database)
    former = "SELECT c.position, c.stopped_at FROM checkpoints c WHERE c.name = %s FOR UPDATE"
    assert execute(database, former, "order_summary") == [(status(database)[0].head, None)]
    partition(database, 2)
    assert execute(database, former, "order_summary") == [(None, None)]
    partition(database, 1)
    assert execute(database, former, "order_summary") == [(status(database)[0].head, None)]


def test_the_rows_are_those_of_a_fresh_rebuild_in_one_partition(database: str) -> None:
    history = company(74, 300).appended
    partition(database, 4)
    store_events(database, history)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=catch_up, args=(database,), kwargs={"page": 9}) for _ in range(2)]
    for process in processes:
        process.start()
    partition(database, 3)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    catch_up(database)
    before = tables(database)
    partition(database, 1)
    with PostgresRebuild(database) as rebuild:
        while len(set(rebuild.fill())) > 1:
            pass
        rebuild.switch()
    after = tables(database)
    assert {name: after[name] for name in after if name != "checkpoints"} == {
        name: before[name] for name in before if name != "checkpoints"
    }
