"""Questions about the health of a database and of the work list, for `orderwright doctor` and the auditor. Reads only."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import psycopg

from domain.work import RunKey, Step
from infrastructure.postgres.database import conninfo, translated
from infrastructure.postgres.queries import load

_SQL = load("diagnosis")


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


class Diagnosis:
    """Every question takes a connection of its own: there are few, and the last one may be that it does not answer."""

    def __init__(self, dsn: str) -> None:
        self._dsn = conninfo(dsn, application="orderwright doctor")

    def server(self) -> Server:
        """Version and durability."""
        return Server(*self._one("server"))

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
        with translated(), psycopg.connect(self._dsn, autocommit=True) as connection:
            return connection.execute(_SQL[name], arguments).fetchall()
