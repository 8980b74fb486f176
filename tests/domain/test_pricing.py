"""Pricing: however an order is split, its parcels add up to its total, to the cent."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from domain.pricing import parcel_value, value_handed_over
from domain.process import OrderView
from domain.values import OrderLine, Units
from tests.domain.examples import CUPS, POT, an_order, assigned, eur, units
from tests.domain.views import authorized, captured, handed_over, planned


def split(*parcels: tuple[Units, ...], view: OrderView | None = None) -> OrderView:
    view = view or authorized()
    assignments = [assigned(number, *parcel) for number, parcel in enumerate(parcels, start=1)]
    return planned(view, *assignments)


def test_the_shipping_goes_with_the_first_captured_parcel() -> None:
    view = split((units(CUPS),), (units(POT),))
    assert parcel_value(view, 2) == eur(3499)
    assert parcel_value(captured(view, 3499, number=2), 1) == eur(1000)


def test_the_cents_that_do_not_divide_are_not_lost() -> None:
    view = split(*[(units(CUPS, 1),)] * 3)
    amounts = []
    for number in (1, 2, 3):
        amounts.append(parcel_value(view, number).amount)
        view = captured(view, amounts[-1], number=number)
    assert amounts == [333 + 499, 333, 334]


def test_only_what_the_carrier_has_is_worth_anything() -> None:
    view = split((units(CUPS),), (units(POT),))
    assert value_handed_over(view) == eur(499)
    assert value_handed_over(handed_over(view, 2)) == eur(3499)


@given(st.data())
def test_parcels_of_a_shipped_order_add_up_to_the_total_however_they_are_split(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(st.integers(1, 7), st.integers(0, 9999)), min_size=1, max_size=4))
    lines = [OrderLine(number=n, sku=f"s{n}", quantity=q, amount=a) for n, (q, a) in enumerate(rows, start=1)]
    placed = an_order(*lines, shipping=data.draw(st.integers(0, 999)))
    parcels: dict[int, list[Units]] = {}
    for line in lines:
        for _ in range(line.quantity):
            parcels.setdefault(data.draw(st.integers(0, 4)), []).append(units(line, 1))
    view = split(*[tuple(parcel) for parcel in parcels.values()], view=authorized(placed=placed))
    total = 0
    for number in data.draw(st.permutations(range(1, len(parcels) + 1))):
        view = handed_over(view, number)
        amount = parcel_value(view, number).amount
        assert amount >= 0
        total += amount
        assert total <= value_handed_over(view).amount
        view = captured(view, amount, number=number)
    assert total == placed.total.amount


def test_a_free_line_costs_nothing() -> None:
    free = replace(CUPS, amount=0)
    view = split((units(free),), view=authorized(placed=an_order(free, shipping=0)))
    assert parcel_value(view, 1) == eur(0)
