"""Routing: the preferred warehouse if it has everything, else few parcels, else what the order's policy says."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Misconfigured
from domain.order import ShippingPolicy
from domain.routing import Plan, Warehouse, plan, ranked
from domain.values import Units
from tests.domain.examples import CUPS, POT, units, waiting

NORTH = Warehouse(id="north", countries=("NO", "SE"))
SOUTH = Warehouse(id="south", countries=("IT",))
EAST = Warehouse(id="east")
DEMAND = (units(CUPS), units(POT))
PARTIAL, COMPLETE, REMAINDER = ShippingPolicy.PARTIAL, ShippingPolicy.COMPLETE, ShippingPolicy.CANCEL_REMAINDER


def test_a_warehouse_is_preferred_in_the_countries_it_serves() -> None:
    assert ranked([NORTH, SOUTH, EAST], "IT") == [SOUTH, NORTH, EAST]
    assert ranked([NORTH, SOUTH, EAST], "DE") == [NORTH, SOUTH, EAST]


def test_the_preferred_warehouse_sends_all_if_it_has_all() -> None:
    stock = {("north", "cup"): 9, ("north", "pot"): 9, ("south", "cup"): 9, ("south", "pot"): 9}
    assert plan(DEMAND, stock, [NORTH, SOUTH], PARTIAL) == Plan(parcels=(("north", DEMAND),), backorders=())


def test_one_parcel_from_afar_is_better_than_two() -> None:
    stock = {("north", "cup"): 3, ("south", "cup"): 3, ("south", "pot"): 1}
    assert plan(DEMAND, stock, [NORTH, SOUTH], PARTIAL) == Plan(parcels=(("south", DEMAND),), backorders=())


def test_an_order_is_split_where_no_warehouse_has_all() -> None:
    stock = {("north", "cup"): 2, ("south", "cup"): 1, ("east", "pot"): 1}
    split = plan(DEMAND, stock, [NORTH, SOUTH, EAST], PARTIAL)
    assert split.parcels == (
        ("north", (units(CUPS, 2),)),
        ("south", (units(CUPS, 1),)),
        ("east", (units(POT, 1),)),
    )


def test_what_nobody_has_waits_at_the_preferred_warehouse() -> None:
    partial = plan(DEMAND, {("south", "cup"): 2}, [NORTH, SOUTH], PARTIAL)
    assert partial.parcels == (("south", (units(CUPS, 2),)),)
    assert partial.backorders == (waiting(units(CUPS, 1)), waiting(units(POT)))


def test_a_complete_order_waits_as_a_whole() -> None:
    complete = plan(DEMAND, {("south", "cup"): 3}, [NORTH, SOUTH], COMPLETE)
    assert not complete.parcels
    assert complete.backorders == (waiting(units(CUPS)), waiting(units(POT)))


def test_the_remainder_is_given_up_if_the_customer_wants_no_rest() -> None:
    rest = plan(DEMAND, {("south", "cup"): 2}, [NORTH, SOUTH], REMAINDER)
    assert rest.missing == (units(CUPS, 1), units(POT))
    assert not rest.backorders


def test_two_lines_of_one_sku_share_its_stock() -> None:
    twice = (Units(line=1, sku="cup", quantity=2), Units(line=2, sku="cup", quantity=2))
    split = plan(twice, {("north", "cup"): 3}, [NORTH], PARTIAL)
    assert split.parcels == (("north", (Units(line=1, sku="cup", quantity=2), Units(line=2, sku="cup", quantity=1))),)


def test_without_a_warehouse_nothing_can_be_planned() -> None:
    with pytest.raises(Misconfigured, match="no warehouse"):
        plan(DEMAND, {}, [], PARTIAL)


SKUS = st.sampled_from(["cup", "pot", "tea"])
DEMANDS = st.lists(st.tuples(SKUS, st.integers(1, 6)), min_size=1, max_size=4).map(
    lambda rows: [Units(line=line, sku=sku, quantity=quantity) for line, (sku, quantity) in enumerate(rows, start=1)]
)
STOCKS = st.dictionaries(st.tuples(st.sampled_from(["north", "south", "east"]), SKUS), st.integers(-2, 8))


@given(DEMANDS, STOCKS, st.sampled_from(ShippingPolicy))
def test_a_plan_accounts_for_every_unit_and_takes_no_more_than_there_is(
    demand: list[Units], stock: dict[tuple[str, str], int], policy: ShippingPolicy
) -> None:
    result = plan(demand, stock, [NORTH, SOUTH, EAST], policy)
    lines: Counter[int] = Counter()
    taken: Counter[tuple[str, str]] = Counter()
    for warehouse, parcel in result.parcels:
        for some in parcel:
            lines[some.line] += some.quantity
            taken[warehouse, some.sku] += some.quantity
    for some in (*(backorder.units for backorder in result.backorders), *result.missing):
        lines[some.line] += some.quantity
    assert lines == Counter({some.line: some.quantity for some in demand})
    assert all(quantity <= stock.get(place, 0) for place, quantity in taken.items())
    assert len({warehouse for warehouse, _ in result.parcels}) == len(result.parcels), "one parcel a warehouse"
    if policy is COMPLETE:
        assert not (result.parcels and result.backorders)
