"""Stock levels say what the stock streams say."""

from collections.abc import Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from infrastructure.projections import stock_levels
from infrastructure.projections.facts import Fact
from infrastructure.projections.stock_levels import StockRows
from tests.infrastructure.projections.histories import Company, company, facts

HISTORIES = st.builds(company, st.integers(0, 2**32), st.integers(1, 250))


def stock_facts(grown: Company) -> list[Fact]:
    return [fact for fact in facts(grown.appended) if fact.category == "stock"]


def fold(history: Sequence[Fact]) -> StockRows:
    return stock_levels.project(StockRows(), history)


@given(HISTORIES)
def test_levels_and_queues_are_those_of_the_stock_streams(grown: Company) -> None:
    rows = fold(stock_facts(grown))
    for stream, (stock, _) in grown.stock.items():
        warehouse, _, sku = stream.removeprefix("stock-").partition("+")
        if level := rows.levels.get((warehouse, sku)):
            assert (level.on_hand, level.allocated, level.backordered) == (
                stock.on_hand,
                stock.allocated,
                stock.backordered,
            )
            assert level.received + level.adjusted - level.shipped == stock.on_hand
        queue = {key[2]: quantity for key, quantity in rows.queued.items() if key[:2] == (warehouse, sku) and quantity}
        assert queue == dict(stock.backorders)


@given(HISTORIES, st.randoms(use_true_random=False))
def test_batches_of_any_size_give_the_rows_of_one_fold(grown: Company, cuts: Random) -> None:
    history, rows = stock_facts(grown), StockRows()
    while history:
        size = cuts.randint(1, 15)
        stock_levels.project(rows, history[:size])
        history = history[size:]
    assert rows == fold(stock_facts(grown))
