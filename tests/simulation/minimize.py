"""The smallest run that still fails: without the orders, faults and processes that do not matter.

It takes away what it can, part by part, as long as something is still wrong; the bisection is that of delta debugging.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.simulation.run import simulate
from tests.simulation.shape import Shape

T = TypeVar("T")
Fails = Callable[[Shape], bool]


def fails(shape: Shape) -> bool:
    """Something is wrong at the end of this run."""
    return bool(simulate(shape).findings)


def minimize(shape: Shape, fails: Fails = fails) -> Shape:
    """A smaller shape that fails, too; the same one if nothing can be left out, or if it does not fail."""
    if not fails(shape):
        return shape
    while (smaller := next(filter(fails, _smaller(shape)), None)) is not None:
        shape = smaller
    return shape


def _smaller(shape: Shape) -> Iterator[Shape]:
    """Shapes with less in them, the boldest first."""
    for orders in _less(shape.orders):
        if orders:
            yield replace(shape, orders=tuple(orders))
    for kinds in _less(sorted(shape.rates)):
        yield replace(shape, rates={kind: shape.rates[kind] for kind in kinds})
    for plan in _less(shape.plan):
        yield replace(shape, plan=tuple(plan))
    if shape.workers > 1:
        yield replace(shape, workers=shape.workers - 1)
    if shape.poison or shape.declines:
        yield replace(shape, poison=0.0, declines=0.0)
    if shape.transit_s:
        yield replace(shape, transit_s=0.0)


def _less(items: Sequence[T]) -> Iterator[list[T]]:
    """Without the first half, without the second, then quarters and so on down to single items."""
    size = len(items) // 2
    while size >= 1:
        for start in range(0, len(items), size):
            yield [*items[:start], *items[start + size :]]
        size //= 2
    if len(items) == 1:
        yield []


def told(shape: Shape) -> str:
    """What is left, for people."""
    rates = ", ".join(f"{kind} {rate:.2%}" for kind, rate in sorted(shape.rates.items())) or "none"
    plan = "\n".join(f"    {one.at:8.3f} s  {one.kind} ({one.lasts:g} s, {one.whom:.3f})" for one in shape.plan)
    return (
        f"orders {shape.orders}, {shape.workers} workers, stock {shape.stock}, poison {shape.poison}, "
        f"declines {shape.declines}\n  by chance: {rates}\n  planned:\n{plan or '    nothing'}"
    )
