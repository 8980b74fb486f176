"""What a parcel is worth.

A line's frozen amount is shared over its units cumulatively, `amount * n // quantity` for the first n units, so the parcels of a
fully shipped line add up to the line to the last cent, however it was split. The shipping fee goes with the first parcel that
is captured: if the rest of the order is cancelled later, it has been earned.
"""

from collections import Counter

from domain.fulfillment import Fulfillment
from domain.order import OrderPlaced
from domain.process import OrderView, fulfillment_id
from domain.values import Money


def parcel_value(view: OrderView, number: int) -> Money:
    """What to capture for the nth fulfillment, given what was captured before."""
    placed = _placed(view)
    before: Counter[int] = Counter()
    for other, parcel in view.fulfillments.items():
        if fulfillment_id(view.order_id, other) in view.payment.captured:
            before += _units_of(parcel)
    after = before + _units_of(view.fulfillments[number])
    amount = _share(placed, after) - _share(placed, before)
    if not view.payment.captured:
        amount += placed.shipping.amount
    return Money(amount=amount, currency=placed.total.currency)


def value_to_come(view: OrderView) -> Money:
    """What can still be captured: everything that is neither captured nor cancelled."""
    placed = _placed(view)
    before: Counter[int] = Counter()
    after: Counter[int] = Counter({units.line: units.quantity for units in view.order.to_plan()})
    for number, parcel in view.fulfillments.items():
        if fulfillment_id(view.order_id, number) in view.payment.captured:
            before += _units_of(parcel)
        elif not parcel.stood_down:
            after += _units_of(parcel)
    amount = _share(placed, before + after) - _share(placed, before)
    if not view.payment.captured:
        amount += placed.shipping.amount
    return Money(amount=amount, currency=placed.total.currency)


def value_handed_over(view: OrderView) -> Money:
    """The value of everything the carrier has, with the shipping fee: no more than this is ever captured."""
    placed = _placed(view)
    units: Counter[int] = Counter()
    for parcel in view.fulfillments.values():
        if parcel.handed_over:
            units += _units_of(parcel)
    return Money(amount=_share(placed, units) + placed.shipping.amount, currency=placed.total.currency)


def _units_of(parcel: Fulfillment) -> Counter[int]:
    units: Counter[int] = Counter()
    for some in parcel.created.units if parcel.created else ():
        units[some.line] += some.quantity
    return units


def _share(placed: OrderPlaced, units: Counter[int]) -> int:
    return sum(line.amount * units[line.number] // line.quantity for line in placed.lines)


def _placed(view: OrderView) -> OrderPlaced:
    if view.order.placed is None:
        raise ValueError(f"{view.order_id}: there is no such order")
    return view.order.placed
