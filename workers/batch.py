"""A batch: load what the orders of the inputs need, let the domain decide, append everything in one go.

Orders whose turn moves stock are decided under the locks of that stock, in a transaction that reads, decides and appends; so two
workers that plan the same SKU follow each other instead of colliding. All others need no lock before the append. What is read is
kept (`known`, `stock`) and moved on by what was appended, so an order that stays with this worker is read once.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from domain import process as processes
from domain import steps
from domain import stock as stocks
from domain.ports import EventStore, RecordedEvent, Transaction, Verdict
from domain.process import Policy
from domain.routing import Warehouse
from domain.steps import Context, StockBook
from infrastructure.failpoints import reach
from workers.turns import Inputs, Known, Result, Rules, empty_view, take_turn

STOCK_CACHE = 10_000


class Store(EventStore, Protocol):
    """An event store with transactions."""

    def transaction(self) -> AbstractContextManager[Transaction]: ...


@dataclass(slots=True)
class Batch:
    """Decides batches and remembers what it read."""

    store: Store
    policy: Policy
    warehouses: tuple[Warehouse, ...]
    known: dict[str, Known] = field(default_factory=dict)
    stock: OrderedDict[str, tuple[stocks.Stock, int]] = field(default_factory=OrderedDict)

    def take(self, inputs: Mapping[str, Inputs], rules: Rules) -> Iterator[list[tuple[Result, Verdict]]]:
        """Decide and append, part by part: what was given out is committed, whatever happens to the next part.

        Raises `StoreUnavailable` (nothing is known of the orders not given out) and whatever a broken order raises.
        """
        self._load([order_id for order_id in inputs if order_id not in self.known])
        with_stock = {order_id: self._stock_of(order_id, some) for order_id, some in inputs.items()}
        local = {order_id: some for order_id, some in inputs.items() if not with_stock[order_id]}
        moving = {order_id: some for order_id, some in inputs.items() if with_stock[order_id]}
        if local:
            yield self._append(self.store, local, rules, self._context(StockBook({})))
        if moving:
            yield self._take_with_stock(moving, set().union(*with_stock.values()), rules)

    def forget(self, order_ids: Iterable[str]) -> None:
        """Read these orders anew when they are needed again."""
        for order_id in order_ids:
            self.known.pop(order_id, None)

    def forget_all(self) -> None:
        """Nothing that was read is certain any more: after an outage the database may have gone back in time."""
        self.known.clear()
        self.stock.clear()

    def look(self, order_id: str) -> Known:
        """One order as it is now."""
        self.forget([order_id])
        self._load([order_id])
        return self.known[order_id]

    def _load(self, order_ids: Sequence[str]) -> None:
        if not order_ids:
            return
        reach("before_load")
        events: dict[str, list[RecordedEvent]] = defaultdict(list)
        for recorded in self.store.read_orders(order_ids):
            events[_order_of(recorded.stream)].append(recorded)
        for order_id in order_ids:
            view = empty_view(order_id)
            for stream, some in groupby(events[order_id], key=lambda recorded: recorded.stream):
                view = processes.extend(view, stream, [recorded.event for recorded in some])
            self.known[order_id] = Known(view=view, wants=processes.react(view, self.policy))

    def _stock_of(self, order_id: str, inputs: Inputs) -> set[str]:
        view = self.known[order_id].view
        needed: set[str] = set()
        for run in inputs.begin:
            needed |= steps.stock_to_begin(view, run.key, self.warehouses)
        for run, answer in inputs.answers:
            if not isinstance(answer, Exception):
                needed |= steps.stock_to_conclude(view, run.key)
        return needed

    def _take_with_stock(
        self, inputs: Mapping[str, Inputs], streams: set[str], rules: Rules
    ) -> list[tuple[Result, Verdict]]:
        with self.store.transaction() as transaction:
            transaction.lock([*streams, *inputs])
            reach("in_stock_transaction")
            book = self._stock_book(transaction, streams)
            outcome = self._append(transaction, inputs, rules, self._context(book))
            reach("before_stock_commit")
        if all(verdict.outcome == "appended" for _, verdict in outcome):
            self._keep_stock(book.entries())
        else:
            for stream in streams:
                self.stock.pop(stream, None)
        return outcome

    def _stock_book(self, transaction: Transaction, streams: set[str]) -> StockBook:
        loaded = {stream: self.stock.get(stream, (stocks.Stock(), 0)) for stream in streams}
        fresh = transaction.read({stream: version for stream, (_, version) in loaded.items()})
        for stream, some in groupby(fresh, key=lambda recorded: recorded.stream):
            state, version = loaded[stream]
            events = [recorded.event for recorded in some]
            loaded[stream] = (stocks.fold(events, state), version + len(events))
        return StockBook(loaded)

    def _keep_stock(self, entries: Mapping[str, tuple[stocks.Stock, int]]) -> None:
        for stream, entry in entries.items():
            self.stock[stream] = entry
            self.stock.move_to_end(stream)
        while len(self.stock) > STOCK_CACHE:
            self.stock.popitem(last=False)

    def _context(self, book: StockBook) -> Context:
        return Context(now=self.store.now(), policy=self.policy, warehouses=self.warehouses, stock=book)

    def _append(
        self, store: EventStore | Transaction, inputs: Mapping[str, Inputs], rules: Rules, context: Context
    ) -> list[tuple[Result, Verdict]]:
        results = [take_turn(self.known[order_id], some, context, rules) for order_id, some in inputs.items()]
        reach("before_append")
        verdicts = store.append([result.unit for result in results], holder=rules.holder)
        for result, verdict in zip(results, verdicts, strict=True):
            order_id = result.unit.lock
            if verdict.outcome == "appended":
                self.known[order_id] = result.known
            else:
                self.known.pop(order_id, None)
        return list(zip(results, verdicts, strict=True))


def _order_of(stream: str) -> str:
    return stream.partition("-")[2].partition("+")[0]
