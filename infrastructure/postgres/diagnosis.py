"""Questions about the health of a database and of the work list, for `orderwright doctor` and the auditor. Reads only."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from domain.work import RunKey, Step
from infrastructure.postgres.database import connect, is_pooled, translated, watched
from infrastructure.postgres.queries import load

_SQL = load("diagnosis")
DEADLINE_S = 60.0


class Server(NamedTuple):
    """The server and the settings that decide whether a commit survives a crash."""

    version: str
    version_number: int
    fsync: str
    synchronous_commit: str
    full_page_writes: str
    is_standby: bool


class Work(NamedTuple):
    """The work list in numbers; `orphans` are running and their holder is gone."""

    due: int
    later: int
    running: int
    dead: int
    orphans: int
    oldest_due_s: float


class Strain(NamedTuple):
    """What wears a server out: transactions that somebody left open, sessions, notifications that nobody reads."""

    prepared: int
    oldest_transaction_s: float
    oldest_pid: int
    oldest_application: str
    connections: int
    max_connections: int
    notify_queue: float


class Diagnosis:
    """Every question takes a connection of its own: there are few, and the last one may be that it does not answer."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def server(self) -> Server:
        """Version and durability."""
        return Server(*self._one("server"))

    def is_pooled(self) -> bool:
        """A connection pooler stands before it, so nothing may be left in a session."""
        with translated(), connect(self._dsn, application="orderwright doctor") as connection:
            return is_pooled(connection)

    def work(self) -> Work:
        """The work list in numbers."""
        return Work(*self._one("work"))

    def dead_letters(self) -> int:
        """How many wait for a person."""
        return int(self._one("dead_letters")[0])

    def events(self) -> tuple[int, int]:
        """How many there are, and the position of the last."""
        count, last = self._one("events")
        return count, last

    def is_append_only(self) -> bool:
        """The trigger that refuses every change of an event is there and switched on."""
        return bool(self._one("is_append_only")[0])

    def broken_streams(self) -> list[str]:
        """Streams whose versions are not 1 to n, at most five. Reads every event."""
        return [stream for (stream,) in self._rows("broken_streams", {})]

    def shared_tracking(self) -> dict[str, list[str]]:
        """Tracking numbers of more than one parcel with the ids of these, at most five. Reads every event."""
        return dict(self._rows("shared_tracking", {}))

    def strain(self) -> Strain:
        """How worn out the server is."""
        return Strain(*self._one("strain"))

    def pgmq(self) -> str:
        """What the migrations noted about PGMQ."""
        row = self._rows("pgmq", {})
        return str(row[0][0]) if row else "missing"

    def missing(self, keys: Iterable[RunKey]) -> list[RunKey]:
        """Those of the runs that the work list does not have."""
        rows = [(key.order_id, key.step, key.part, key.ordinal) for key in keys]
        names = ("orders", "steps", "parts", "ordinals")
        arguments = {name: [row[index] for row in rows] for index, name in enumerate(names)}
        found = self._rows("missing", arguments)
        return [RunKey(order_id, Step(step), part, ordinal) for order_id, step, part, ordinal in found]

    def _one(self, name: str) -> tuple[Any, ...]:
        return self._rows(name, {})[0]

    def _rows(self, name: str, arguments: dict[str, Any]) -> list[tuple[Any, ...]]:
        with (
            translated(),
            connect(self._dsn, application="orderwright doctor", statement_timeout="50s") as connection,
            watched(connection, DEADLINE_S),
        ):
            return connection.execute(_SQL[name], arguments).fetchall()
