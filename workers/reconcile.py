"""Compares our events with the gateway's books and with the stock, and lists differences. Reads only, while everything runs.

The gateway's books are read page by page; for each page the payments concerned are read as they are now, so what is under way is
known to be. Then our own results are walked through: those from before the reading began must have been in the books. Memory grows by one small number for each line of the books.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from domain import reconciliation as books
from domain.errors import CommandRefused
from domain.payment import Authorized, Captured, Voided
from domain.ports import Reader
from domain.process import payment_stream, stock_stream
from domain.reconciliation import Difference, Fact, GoodsBook, Movement

PAGE = 1000
PATIENCE = timedelta(minutes=5)

Progress = Callable[[int, int], object]


class BookStore(Reader, Protocol):
    """What reconciling needs of the store."""

    def now(self) -> datetime: ...


@dataclass(slots=True)
class Money:
    """`here` and `there`: minor units by (operation, currency). `differences` come one by one from `compare`."""

    store: BookStore
    statement: Iterable[Sequence[Movement]]
    patience: timedelta = PATIENCE
    on_progress: Progress = lambda _done, _total: None
    here: Counter[tuple[str, str]] = field(default_factory=Counter)
    there: Counter[tuple[str, str]] = field(default_factory=Counter)
    _seen: set[int] = field(default_factory=set)

    def compare(self) -> Iterator[Difference]:
        """Every difference, the gateway's books first."""
        started, mark = self.store.now(), self.store.low_water_mark()
        for page in self.statement:
            yield from self._compare_page(page)
        yield from self._unheard(started, mark)

    def _compare_page(self, page: Sequence[Movement]) -> Iterator[Difference]:
        facts = self._facts({books.order_of(movement.key) for movement in page})
        now = self.store.now()
        for movement in page:
            self.there[movement.operation, movement.amount.currency] += movement.amount.amount
            if hash(movement.key) in self._seen:
                yield books.doubled(movement)
                continue
            self._seen.add(hash(movement.key))
            difference = books.judge(movement, facts.get(movement.key), now=now, patience=self.patience)
            if difference:
                yield difference

    def _facts(self, order_ids: set[str]) -> dict[str, Fact]:
        streams = {payment_stream(order_id): 0 for order_id in sorted(order_ids)}
        by_stream: dict[str, list[Any]] = {}
        for recorded in self.store.read(streams):
            by_stream.setdefault(recorded.stream, []).append(recorded.event)
        facts: dict[str, Fact] = {}
        for events in by_stream.values():
            facts |= books.facts_of(events)
        return facts

    def _unheard(self, started: datetime, mark: int) -> Iterator[Difference]:
        """Our results that the books lack, unless they came while we read."""
        for stream, event in _walk(self.store, mark, "payment", self.on_progress):
            if not isinstance(event, Authorized | Captured | Voided) or not event.reference:
                continue
            operation = type(event).__name__
            self.here[_OPERATION[operation], event.amount.currency] += event.amount.amount
            if hash(event.key) in self._seen or event.at > started:
                continue
            order_id = stream.partition("-")[2]
            yield books.unheard(event.key, self._facts({order_id})[event.key])


_OPERATION = {"Authorized": "authorize", "Captured": "capture", "Voided": "void"}


def compare_goods(
    store: Reader, counted: Mapping[str, int] | None = None, *, on_progress: Progress = lambda _done, _total: None
) -> list[Difference]:
    """What stock and orders say of each other at one position.

    A transaction may lie across the position that a reading ends at, so only what still differs a little later is a difference.
    """
    book, first = GoodsBook(), store.low_water_mark()
    _read_into(book, store, 0, first, on_progress)
    found = book.differences(counted)
    if not found:
        return []
    _read_into(book, store, first, store.low_water_mark(), on_progress)
    still = set(book.differences(counted))
    return [difference for difference in found if difference in still]


def read_count(path: Path) -> dict[str, int]:
    """Units on hand by stock stream, from a CSV file with the columns warehouse, sku and on_hand.

    Raises `CommandRefused` with the line and the field.
    """
    counted: dict[str, int] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"warehouse", "sku", "on_hand"} <= set(rows.fieldnames or ()):
            raise CommandRefused("the first line must name the columns warehouse, sku and on_hand", field=str(path))
        for number, row in enumerate(rows, 2):
            text = (row["on_hand"] or "").strip()
            if not (text.isascii() and text.isdigit() and len(text) <= 12):
                raise CommandRefused("on_hand must be a whole number of units", field=f"{path} line {number}")
            counted[stock_stream((row["warehouse"] or "").strip(), (row["sku"] or "").strip())] = int(text)
    return counted


def _read_into(book: GoodsBook, store: Reader, after: int, up_to: int, on_progress: Progress) -> None:
    for number, (stream, event) in enumerate(_walk(store, up_to, None, on_progress, after=after), 1):
        book.read(stream, event)
        if number % PAGE == 0:
            book.turn_page()
    book.turn_page()


def _walk(
    store: Reader, up_to: int, category: str | None, on_progress: Progress, *, after: int = 0
) -> Iterator[tuple[str, Any]]:
    while page := store.read_all(after=after, up_to=up_to, limit=PAGE, category=category):
        yield from ((recorded.stream, recorded.event) for recorded in page)
        after = page[-1].position
        on_progress(after, up_to)
