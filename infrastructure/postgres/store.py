"""The event store and the work list on Postgres, in one object because they change in one transaction."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.errors import StoreUnavailable
from domain.ports import Holder, RecordedEvent, Unit, Verdict
from infrastructure.failpoints import reach
from infrastructure.postgres.database import Collision, Connection, Database, transaction
from infrastructure.postgres.queries import load
from infrastructure.postgres.rows import AppendCall, recorded
from infrastructure.postgres.watermark import LowWaterMark
from infrastructure.postgres.work import WorkQueries
from infrastructure.primary import history_of

_SQL = load("events")
_APPEND_TRIES = 4


class PostgresStore(WorkQueries):
    """`domain.ports.EventStore` and `domain.ports.WorkList`. Thread-safe. `direct` is a DSN past a pooler, for the beacons."""

    def __init__(self, dsn: str, *, application: str = "orderwright", size: int = 4, direct: str | None = None) -> None:
        self._database = Database(dsn, application=application, size=size)
        self._mark = LowWaterMark()
        self._mark_history: tuple[int, int] | None = None
        self._history: tuple[int, int] | None = None
        self._mark_lock = threading.Lock()
        self._clock = _DatabaseClock()
        super().__init__(self._database, self._clock.note, direct=direct or dsn)

    def append(self, units: Sequence[Unit], *, holder: Holder | None = None) -> Sequence[Verdict]:
        """See `domain.ports.EventStore.append`. What lost against another transaction is tried again."""
        call = AppendCall(units, holder)
        for attempt in range(1, _APPEND_TRIES + 1):
            try:
                with self._connection() as connection:
                    reach("before_store_append")
                    verdicts = self._append(connection, call)
                    reach("after_store_append")
                    return verdicts
            except Collision:
                if attempt == _APPEND_TRIES:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def transaction(self) -> Iterator["PostgresTransaction"]:
        """A transaction that commits when the block ends and rolls back when it raises."""
        with self._connection() as connection, transaction(connection):
            yield PostgresTransaction(self, connection)

    def read(self, streams: Mapping[str, int]) -> Sequence[RecordedEvent]:
        """See `domain.ports.Reader.read`."""
        with self._database.connection() as connection:
            return self._read(connection, streams)

    def read_orders(self, order_ids: Sequence[str]) -> Sequence[RecordedEvent]:
        """See `domain.ports.Reader.read_orders`."""
        with self._connection() as connection:
            return recorded(connection.execute(_SQL["read_orders"], {"orders": list(set(order_ids))}, binary=True))

    def read_all(
        self, *, after: int, up_to: int | None = None, limit: int = 1000, category: str | None = None
    ) -> Sequence[RecordedEvent]:
        """See `domain.ports.Reader.read_all`."""
        safe = self.low_water_mark() if up_to is None or up_to > self._mark.safe else up_to
        arguments = {
            "after": after,
            "up_to": min(safe, up_to) if up_to is not None else safe,
            "limit": limit,
            "pattern": f"{category}-%",
        }
        statement = _SQL["read_all" if category is None else "read_category"]
        with self._database.connection() as connection:
            return recorded(connection.execute(statement, arguments, binary=True))

    def low_water_mark(self) -> int:
        """See `domain.ports.Reader.low_water_mark`."""
        with self._mark_lock, self._database.connection() as connection:
            if (history := history_of(connection)) != self._mark_history:
                self._mark, self._mark_history = LowWaterMark(), history  # positions may begin anew behind the old mark
            head = _scalar(connection, "head")
            holders = {row[0] for row in connection.execute(_SQL["appenders"])}
            return self._mark.observe(head, holders)

    def head(self) -> int:
        """See `domain.ports.Reader.head`."""
        with self._database.connection() as connection:
            return int(_scalar(connection, "head"))

    def now(self) -> datetime:
        """See `domain.ports.EventStore.now`."""
        if not self._clock.is_fresh():
            with self._database.connection() as connection:
                self._clock.note(_scalar(connection, "now"))
        return self._clock.now()

    def close(self) -> None:
        """Close all connections; runs that were not released become orphans at once."""
        self.forget_all()
        self._database.close()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A connection to the history that our callers know, else once an error: what they remember may never have happened."""
        with self._database.connection() as connection:
            history, before = history_of(connection), self._history
            self._history = history or before
            if None not in {history, before} and history != before:
                raise StoreUnavailable("the database has begun a new history")
            yield connection

    def _append(self, connection: Connection, call: AppendCall) -> Sequence[Verdict]:
        refused: dict[int, Verdict] = {}
        for unit, outcome, stream, expected, current, at in connection.execute(
            _SQL["append"], call.arguments(), binary=True
        ):
            if unit >= 0:
                refused[unit] = Verdict(outcome=outcome, stream=stream, expected=expected, current=current)
            else:
                self._clock.note(at)
        return call.verdicts(refused)

    def _read(self, connection: Connection, streams: Mapping[str, int]) -> list[RecordedEvent]:
        arguments = {"streams": list(streams), "after": list(streams.values())}
        return recorded(connection.execute(_SQL["read"], arguments, binary=True))


class PostgresTransaction:
    """`domain.ports.Transaction` on one connection."""

    def __init__(self, store: PostgresStore, connection: Connection) -> None:
        self._store = store
        self.connection = connection

    def lock(self, keys: Sequence[str]) -> None:
        """Take the consistency keys; held until the commit."""
        self.connection.execute(_SQL["lock"], {"keys": list(keys)})

    def read(self, streams: Mapping[str, int]) -> Sequence[RecordedEvent]:
        """As the store's `read`, seeing what was committed before the locks were granted."""
        return self._store._read(self.connection, streams)  # noqa: SLF001 - the store's own other half

    def append(self, units: Sequence[Unit], *, holder: Holder | None = None) -> Sequence[Verdict]:
        """As the store's `append`, committed with the transaction."""
        return self._store._append(self.connection, AppendCall(units, holder))  # noqa: SLF001 - as above


class _DatabaseClock:
    """The database's time, carried on by the monotonic clock between its answers."""

    _FRESH_S = 60.0

    def __init__(self) -> None:
        self._offset: tuple[datetime, float] = (datetime.fromtimestamp(0, UTC), -1e9)

    def note(self, at: datetime) -> None:
        self._offset = (at, time.monotonic())

    def is_fresh(self) -> bool:
        return time.monotonic() - self._offset[1] < self._FRESH_S

    def now(self) -> datetime:
        at, noted = self._offset
        return at + timedelta(seconds=time.monotonic() - noted)


def _scalar(connection: Connection, name: str) -> Any:  # noqa: ANN401 - a column of any type
    row = connection.execute(_SQL[name], binary=True).fetchone()
    return row[0] if row else None
