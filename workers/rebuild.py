"""The work list from the events: what is missing is put back, and what nothing would ever move is named.

The list is derived: every row of it follows from the events by the process manager. So a row that was lost (a restored backup, a
slip at the database) is made again, and a row that is made although it was just finished is noticed and dropped by whoever claims
it. Both walk over the whole log in pages with flat memory, while everything else goes on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from time import monotonic, sleep
from typing import Protocol

from domain import process as processes
from domain.errors import StoreUnavailable
from domain.order import OrderPlaced
from domain.ports import Reader
from domain.process import OrderView, Policy
from domain.work import RunKey, Want
from infrastructure.failpoints import reach
from workers.turns import empty_view

PAGE = 500
PATIENCE_S = 30.0
PAUSE_S = 0.02

Progress = Callable[[int, int], object]


class WantStore(Reader, Protocol):
    """What rebuilding needs of the store."""

    def want(self, wants: Iterable[Want]) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """`wanted` runs follow from the events of `orders`, of which `missing` were not on the list."""

    orders: int
    wanted: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmoved:
    """An open order that nothing will move, and why."""

    order_id: str
    why: str


def rebuild(store: WantStore, policy: Policy, *, on_progress: Progress = lambda _done, _total: None) -> Rebuilt:
    """Insert every row that is missing; safe while everything runs, and safe to repeat."""
    orders = wanted = missing = 0
    for views in every_order(store, on_progress):
        wants = [want for view in views for want in _to_be_listed(view, policy)]
        orders, wanted, missing = orders + len(views), wanted + len(wants), missing + store.want(wants)
    return Rebuilt(orders=orders, wanted=wanted, missing=missing)


def audit(
    store: Reader,
    policy: Policy,
    missing: Callable[[Iterable[RunKey]], Sequence[RunKey]],
    *,
    on_progress: Progress = lambda _done, _total: None,
) -> Iterator[Unmoved]:
    """Open orders without any run, or whose runs are not all on the list. What is suspicious is looked at twice, since orders move."""
    for views in every_order(store, on_progress):
        suspects = _unmoved(views, policy, missing)
        if suspects:
            yield from _unmoved(read_views(store, list(suspects)), policy, missing).values()


def every_order(store: Reader, on_progress: Progress) -> Iterator[list[OrderView]]:
    """All orders, page by page in the order in which they were placed."""
    total, position = _all_there_is(store), 0
    while True:
        page = store.read_all(after=position, up_to=total, limit=PAGE, category="order")
        if not page:
            on_progress(total, total)
            return
        placed = [recorded.event.order_id for recorded in page if isinstance(recorded.event, OrderPlaced)]
        if placed:
            reach("rebuilding_work")
            yield read_views(store, placed)
        position = page[-1].position
        on_progress(position, total)


def _all_there_is(store: Reader) -> int:
    """The mark once it has reached what is visible now: a first look sees appends under way, and no safe position at all."""
    head, until = store.head(), monotonic() + PATIENCE_S
    while (mark := store.low_water_mark()) < head:
        if monotonic() > until:
            raise StoreUnavailable(f"appends that began before {PATIENCE_S:.0f} s have not ended")
        sleep(PAUSE_S)
    return mark


def read_views(store: Reader, order_ids: Sequence[str]) -> list[OrderView]:
    """These orders as they are now."""
    views = {order_id: empty_view(order_id) for order_id in order_ids}
    for stream, some in groupby(store.read_orders(order_ids), key=lambda recorded: recorded.stream):
        order_id = stream.partition("-")[2].partition("+")[0]
        views[order_id] = processes.extend(views[order_id], stream, [recorded.event for recorded in some])
    return list(views.values())


def _to_be_listed(view: OrderView, policy: Policy) -> list[Want]:
    """What is wanted, except for dead runs that a person discarded: a new row would try them again."""
    discarded = view.process.discarded
    return [want for want in processes.react(view, policy) if want.key[1:] not in discarded]


def _unmoved(
    views: Sequence[OrderView], policy: Policy, missing: Callable[[Iterable[RunKey]], Sequence[RunKey]]
) -> dict[str, Unmoved]:
    found = {
        view.order_id: Unmoved(order_id=view.order_id, why="the process manager wants nothing of it")
        for view in views
        if processes.is_stuck(view, policy)
    }
    wanted = [want.key for view in views for want in _to_be_listed(view, policy)]
    for key in missing(wanted):
        why = f"{key} is wanted and not on the work list: run `orderwright work rebuild`"
        found.setdefault(key.order_id, Unmoved(order_id=key.order_id, why=why))
    return found
