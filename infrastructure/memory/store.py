"""The event store and the work list in memory, in one object because they change in one transaction.

It keeps the promises of `domain.ports` with one lock: whoever holds it sees everything and nobody else anything, so consistency keys need no
locks of their own and the low-water mark is the last position. A transaction holds the lock until its end; a thread that waits inside one
for another thread of the same store waits in vain.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from domain.errors import Poison
from domain.ports import Holder, RecordedEvent, Unit, Verdict
from infrastructure import codec
from infrastructure.chance import chance
from infrastructure.memory.changes import Changes
from infrastructure.memory.event_log import EventLog
from infrastructure.memory.verdicts import Facts, judge
from infrastructure.memory.work_list import MemoryWorkList

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # the escape itself, not a text that looks like it


class MemoryStore(MemoryWorkList):
    """`domain.ports.EventStore` and `domain.ports.WorkList`. Thread-safe."""

    def __init__(self, clock: Callable[[], datetime], random: Callable[[], float] = chance.random) -> None:
        changes = Changes()
        super().__init__(changes, clock, random)
        self._log = EventLog(changes, clock)

    def append(self, units: Sequence[Unit], *, holder: Holder | None = None) -> Sequence[Verdict]:
        """See `domain.ports.EventStore.append`."""
        _refuse_what_no_database_takes(units, holder)
        facts = Facts(version=self._log.version, is_done=self._log.is_done, is_ours=self._work.is_ours)
        with self._changes.block():
            verdicts = judge(units, facts)
            good = [unit for unit, verdict in zip(units, verdicts, strict=True) if verdict.outcome == "appended"]
            for unit in good:
                self._write(unit)
            self._work.change(good, holder)
            return verdicts

    @contextmanager
    def transaction(self) -> Iterator["MemoryTransaction"]:
        """A transaction that commits when the block ends and takes everything back when it raises."""
        with self._changes.block():
            yield MemoryTransaction(self)

    def read(self, streams: Mapping[str, int]) -> Sequence[RecordedEvent]:
        """See `domain.ports.Reader.read`."""
        with self._changes.block():
            return self._log.read(streams)

    def read_orders(self, order_ids: Sequence[str]) -> Sequence[RecordedEvent]:
        """See `domain.ports.Reader.read_orders`."""
        with self._changes.block():
            return self._log.read_orders(order_ids)

    def read_all(
        self, *, after: int, up_to: int | None = None, limit: int = 1000, category: str | None = None
    ) -> Sequence[RecordedEvent]:
        """See `domain.ports.Reader.read_all`."""
        with self._changes.block():
            return self._log.read_all(after, up_to, limit, category)

    def low_water_mark(self) -> int:
        """See `domain.ports.Reader.low_water_mark`."""
        with self._changes.block():
            return self._log.last_position()

    def head(self) -> int:
        """See `domain.ports.Reader.head`."""
        return self.low_water_mark()

    def now(self) -> datetime:
        """See `domain.ports.EventStore.now`."""
        return self._clock()

    def close(self) -> None:
        """Runs that were not released become orphans at once."""
        self.forget_all()

    def _write(self, unit: Unit) -> None:
        for stream, event in unit.events:
            self._log.append(stream, event, unit.meta)
        if not unit.settled:
            self._log.mark_done(unit.meta.command_id)


class MemoryTransaction:
    """`domain.ports.Transaction`; the store's one lock is held already."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def lock(self, keys: Sequence[str]) -> None:
        """Nothing to do: nobody else is in."""

    def read(self, streams: Mapping[str, int]) -> Sequence[RecordedEvent]:
        """As the store's `read`, with what this transaction appended."""
        return self._store.read(streams)

    def append(self, units: Sequence[Unit], *, holder: Holder | None = None) -> Sequence[Verdict]:
        """As the store's `append`, kept or taken back with the transaction."""
        return self._store.append(units, holder=holder)


def _refuse_what_no_database_takes(units: Sequence[Unit], holder: Holder | None) -> None:
    for unit in units:
        if unit.carried and holder is None:
            raise ValueError("who carries runs on must say who he is")
        for text in (unit.meta.command_id, unit.meta.causation_id, unit.meta.correlation_id, unit.meta.actor):
            if _UNSTORABLE.search(text):
                raise Poison("metadata with a character that no database takes")
        for _, event in unit.events:
            name, _, data = codec.encode(event)
            if _NUL.search(data):
                raise Poison(f"{name} with a character that no database takes")
