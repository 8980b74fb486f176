"""Which warehouse sends what: ranked rules over what is available.

1. One warehouse that has everything, the preferred one first (a warehouse prefers the countries it serves, then its place in the
   list). 2. Otherwise as few parcels as possible: again and again the warehouse that covers most of the rest. 3. What nobody has is
   backordered at the preferred warehouse, or handled as the order's shipping policy says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.errors import Misconfigured
from domain.order import Backorder, ShippingPolicy
from domain.values import Units


@dataclass(frozen=True, slots=True, kw_only=True)
class Warehouse:
    """A place that sends parcels; `countries` are those it is first choice for."""

    id: str
    countries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`parcels`: (warehouse, units) of each new fulfillment; `missing`: units that nobody has."""

    parcels: tuple[tuple[str, tuple[Units, ...]], ...]
    backorders: tuple[Backorder, ...]
    missing: tuple[Units, ...] = ()


def ranked(warehouses: Sequence[Warehouse], country: str) -> list[Warehouse]:
    """The warehouses in the order of preference for a country; the sort is stable."""
    return sorted(warehouses, key=lambda warehouse: country not in warehouse.countries)


def plan(
    demand: Sequence[Units],
    available: Mapping[tuple[str, str], int],
    warehouses: Sequence[Warehouse],
    policy: ShippingPolicy,
) -> Plan:
    """Assign `demand` to `warehouses` (in order of preference), given the units available by (warehouse, sku)."""
    if not warehouses:
        raise Misconfigured("there is no warehouse to send anything from")
    stock = dict(available)
    parcels: list[tuple[str, tuple[Units, ...]]] = []
    rest = list(demand)
    candidates = list(warehouses)
    while rest and candidates:
        best = max(candidates, key=lambda warehouse: _covered(warehouse.id, rest, stock))
        candidates.remove(best)
        taken, rest = _take(best.id, rest, stock)
        if taken:
            parcels.append((best.id, tuple(taken)))
    missing = tuple(rest)
    if not missing:
        return Plan(parcels=tuple(parcels), backorders=())
    if policy is ShippingPolicy.CANCEL_REMAINDER:
        return Plan(parcels=tuple(parcels), backorders=(), missing=missing)
    if policy is ShippingPolicy.COMPLETE:
        parcels, rest = [], list(demand)
    backorders = tuple(Backorder(warehouse=warehouses[0].id, units=units) for units in rest)
    return Plan(parcels=tuple(parcels), backorders=backorders)


def _covered(warehouse: str, demand: Sequence[Units], stock: Mapping[tuple[str, str], int]) -> int:
    left: dict[str, int] = {}
    covered = 0
    for units in demand:
        free = left.setdefault(units.sku, max(0, stock.get((warehouse, units.sku), 0)))
        taken = min(units.quantity, free)
        left[units.sku] = free - taken
        covered += taken
    return covered


def _take(
    warehouse: str, demand: Sequence[Units], stock: dict[tuple[str, str], int]
) -> tuple[list[Units], list[Units]]:
    taken, rest = [], []
    for units in demand:
        free = max(0, stock.get((warehouse, units.sku), 0))
        quantity = min(units.quantity, free)
        if quantity > 0:
            taken.append(Units(line=units.line, sku=units.sku, quantity=quantity))
            stock[warehouse, units.sku] = free - quantity
        if quantity < units.quantity:
            rest.append(Units(line=units.line, sku=units.sku, quantity=units.quantity - quantity))
    return taken, rest
