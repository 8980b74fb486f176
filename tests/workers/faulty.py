"""Stores that fail on request, on Postgres and in memory."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from domain.errors import StoreUnavailable
from domain.ports import Holder, Unit, Verdict
from domain.work import Run, RunKey, Step
from infrastructure.memory import MemoryStore
from infrastructure.postgres.store import PostgresStore
from tests.infrastructure.memory.clock import Clock

if TYPE_CHECKING:
    from threading import Event

BEFORE, AFTER = "before", "after"
PATIENCE_S = 30.0


class Faults:
    """`of["append"] = [AFTER]`: the next append is committed and its answer lost; BEFORE: only the error.

    `silence`: calls that wait for an event before anything else; `down`: nothing works; `calls`: how often each was called.
    """

    def __init__(self) -> None:
        self.of: dict[str, list[str | None]] = defaultdict(list)
        self.silence: dict[str, Event] = {}
        self.calls: dict[str, int] = defaultdict(int)
        self.down = False

    @contextmanager
    def around(self, name: str) -> Iterator[None]:
        self.calls[name] += 1
        if name in self.silence:
            self.silence[name].wait(PATIENCE_S)
        fault = self.of[name].pop(0) if self.of[name] else None
        if self.down or fault == BEFORE:
            raise StoreUnavailable(f"{name} did not reach the store")
        yield
        if fault == AFTER:
            raise StoreUnavailable(f"the answer to {name} was lost")


class _Faulty:
    """Put before a store among the bases of a class."""

    faults: Faults

    def append(self, units: Sequence[Unit], *, holder: Holder | None = None) -> Sequence[Verdict]:
        with self.faults.around("append"):
            return super().append(units, holder=holder)  # type: ignore[misc, no-any-return]

    def claim(self, order_ids: Sequence[str], steps: Sequence[Step], holder: Holder) -> Sequence[Run]:
        with self.faults.around("claim"):
            return super().claim(order_ids, steps, holder)  # type: ignore[misc, no-any-return]

    def claim_due(self, limit: int, steps: Sequence[Step], holder: Holder) -> Sequence[Run]:
        with self.faults.around("claim_due"):
            return super().claim_due(limit, steps, holder)  # type: ignore[misc, no-any-return]

    def register(self, name: str, lease: timedelta) -> Holder:
        with self.faults.around("register"):
            return super().register(name, lease)  # type: ignore[misc, no-any-return]

    def release(self, holder: Holder) -> int:
        with self.faults.around("release"):
            return super().release(holder)  # type: ignore[misc, no-any-return]

    def disown(self, holder: int, held: Iterable[tuple[RunKey, int]]) -> int:
        with self.faults.around("disown"):
            return super().disown(holder, held)  # type: ignore[misc, no-any-return]

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with self.faults.around("transaction"), super().transaction() as transaction:  # type: ignore[misc]
            yield transaction


class FaultyPostgres(_Faulty, PostgresStore):
    """With a way to do behind its back what no call of it does."""

    def __init__(self, dsn: str) -> None:
        self.faults = Faults()
        self._dsn = dsn
        super().__init__(dsn)

    def sql(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), arguments)
            return cursor.fetchall() if cursor.description else []


class FaultyMemory(_Faulty, MemoryStore):
    """With a clock that a test moves on."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.clock = Clock()
        super().__init__(self.clock)
