"""Pages of events in the global order, read and decoded once for all projections that stand at the same place.

An event that cannot be decoded does not fail the page: an `Undecodable` takes its place, and only the projections that read its
category stop at it.
"""

from dataclasses import dataclass
from typing import Any

from domain.errors import Poison
from infrastructure import codec
from infrastructure.postgres.database import Connection
from infrastructure.postgres.queries import load
from infrastructure.projections.facts import Fact, Undecodable, fact

_SQL = load("projections")


@dataclass(frozen=True, slots=True)
class Page:
    """Facts after one position; `last` is the position up to which there is nothing else, `full` says that more may follow."""

    facts: list[Fact]
    last: int
    full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Some:
    """Some partitions of so many."""

    partitions: int
    mine: tuple[int, ...]


class Pages:
    """Reads pages and remembers the last one."""

    def __init__(self, *, size: int, categories: frozenset[str]) -> None:
        self._size = size
        self._categories = categories
        self._last: tuple[tuple[int, int, Some | None], Page] | None = None

    def read(self, connection: Connection, *, after: int, up_to: int, only: Some | None = None) -> Page:
        """The next page, of all partitions or of some; `up_to` must not be beyond the low-water mark."""
        if self._last is None or self._last[0] != (after, up_to, only):
            self._last = (after, up_to, only), self._read(connection, after, up_to, only)
        return self._last[1]

    def forget(self) -> None:
        """Give the memory back."""
        self._last = None

    def _read(self, connection: Connection, after: int, up_to: int, only: Some | None) -> Page:
        arguments: dict[str, Any] = {"after": after, "up_to": up_to, "limit": self._size}
        if only is not None:
            arguments |= {"partitions": only.partitions, "mine": list(only.mine)}
        query = _SQL["page" if only is None else "page_of_partitions"]
        rows = connection.execute(query, arguments, binary=True).fetchall()
        full = len(rows) == self._size
        facts = [
            fact(position, stream, version, _event(name, schema, data), at)
            for position, stream, version, name, schema, data, at in rows
            if stream.partition("-")[0] in self._categories
        ]
        return Page(facts, rows[-1][0] if full else up_to, full)


def _event(name: str, schema: int, data: str) -> object:
    try:
        return codec.decode(name, schema, data)
    except Poison as error:
        return Undecodable(str(error))
