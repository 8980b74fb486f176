"""Whether every order was carried to its end once, in the right order of its events, and none waited much longer than those around it.

All of it is read from the events. Fairness is said in three figures: Jain's index of the times from acceptance to close (1: all alike),
the slowest in terms of the median, and overtaking: how many orders that came later were closed before the most overtaken one.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import psycopg

ORDERS = """
    SELECT split_part(substr(stream, strpos(stream, '-') + 1), '+', 1) AS order_id, array_agg(type ORDER BY position)
    FROM events WHERE stream LIKE 'order-%' OR stream LIKE 'fulfillment-%' GROUP BY 1
"""
OUT_OF_ORDER = """
    SELECT count(*) FROM (
        SELECT version, row_number() OVER (PARTITION BY stream ORDER BY position) AS place FROM events) AS numbered
    WHERE version <> place
"""
TIMES = """
    SELECT extract(epoch FROM closed.recorded_at - placed.recorded_at)::float, closed.position
    FROM events placed JOIN events closed ON closed.stream = placed.stream AND closed.type = 'OrderClosed'
    WHERE placed.type = 'OrderPlaced' ORDER BY placed.position
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """`jain`, `slowest` (in medians) and `overtaken` (orders) of one run; `median_s` from acceptance to close."""

    jain: float
    slowest: float
    overtaken: int
    median_s: float


def check_order(dsn: str, orders: int) -> None:
    """Raises `AssertionError` unless each order was placed once, first, and closed once, last, with no version out of its place."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute(ORDERS).fetchall()
        misplaced = connection.execute(OUT_OF_ORDER).fetchone()
    assert misplaced == (0,), f"{misplaced} events stand out of their order"
    assert len(found) == orders, f"{len(found)} of {orders} orders are there"
    for order_id, types in found:
        ends = (types[0], types[-1], types.count("OrderPlaced"), types.count("OrderClosed"))
        assert ends == ("OrderPlaced", "OrderClosed", 1, 1), f"{order_id}: {types}"


def measure_fairness(dsn: str) -> Fairness:
    """Of all orders that were closed."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(TIMES).fetchall()
    times = [float(seconds) for seconds, _ in rows]
    return Fairness(
        jain=jain(times),
        slowest=max(times) / median(times),
        overtaken=most_overtaken([position for _, position in rows]),
        median_s=median(times),
    )


def jain(values: Sequence[float]) -> float:
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))


def most_overtaken(closed: Sequence[int]) -> int:
    """`closed`: where each order was closed, in the order of their arrival. First come, first served is 0."""
    later: list[int] = []
    most = 0
    for position in reversed(closed):
        most = max(most, bisect_left(later, position))
        insort(later, position)
    return most
