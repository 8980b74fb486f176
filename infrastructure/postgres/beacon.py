"""A holder's connection, and the beacon that burns on it: a session lock that the server itself ends when the process dies.

Every process that claims runs or takes leases is a row in `holders`. On a direct connection it also holds the advisory lock
(7302, its id) for as long as the session lives. Who looks for it in `pg_locks` learns of a kill within milliseconds, and of a freeze
when the server ends the session, which it does once nothing was heard for the time of the lease (`idle_session_timeout`): a frozen
process would keep its locks for ever otherwise, because its kernel goes on answering.

    register ─► burning ──renew (each third of the lease)──► burning
                  │ killed: the session ends at once
                  │ frozen: the server ends it after a lease without a word         ─► out; others may take over
                  │ cut:    the server notices, or the session ends as if frozen
                  ▼
                put out: we close the connection ourselves

Behind a pooler there is no session to hold a lock in: the row says `has_beacon = false`, and others wait for its expiry.
"""

import select
from contextlib import suppress
from datetime import timedelta
from typing import Any

import psycopg
import structlog

from domain.errors import StoreUnavailable
from domain.ports import Holder
from infrastructure.postgres.database import connect, is_pooled, translated, watched
from infrastructure.postgres.queries import load
from infrastructure.primary import is_passed_over

log = structlog.get_logger()
_SQL = load("work")


class Beacon:
    """One holder and the connection that belongs to it. Threads may share it."""

    def __init__(self, dsn: str, name: str, lease: timedelta) -> None:
        self._deadline_s = lease.total_seconds() / 2
        idle = f"{int(lease.total_seconds() * 1000)}ms"
        self._connection = connect(dsn, application="orderwright beacon", idle_session_timeout=idle)
        try:
            self.holder = self._register(name, lease)
        except BaseException:
            self.put_out()
            raise

    @property
    def is_out(self) -> bool:
        """The connection has ended on our side, or its server is the primary no longer."""
        return self._connection.closed or is_passed_over(self._connection)

    @property
    def is_burning(self) -> bool:
        """As far as can be seen without asking: False once the server has hung up or said something that nobody asked for."""
        if self.is_out:
            return False
        try:
            readable, _, _ = select.select([self._connection.fileno()], [], [], 0)
        except (OSError, ValueError, psycopg.Error):
            return False
        return not readable or self._connection.lock.locked()  # somebody is just talking to it

    def rows(self, statement: bytes, arguments: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Run one statement. Raises `StoreUnavailable`."""
        with translated(), watched(self._connection, self._deadline_s):
            return self._connection.execute(statement, arguments).fetchall()

    def run(self, statement: bytes, arguments: dict[str, Any]) -> None:
        """Run one statement that returns no rows. Raises `StoreUnavailable`."""
        with translated(), watched(self._connection, self._deadline_s):
            self._connection.execute(statement, arguments)

    def renew(self, lease: timedelta) -> bool:
        """Stay a holder; False if the row has expired or the connection is gone, and with it the beacon."""
        if self.is_out:
            return False
        return bool(self.rows(_SQL["renew"], {"holder": self.holder.id, "lease": lease}))

    def put_out(self) -> None:
        """Close the connection; the server ends the session and the lock with it."""
        with suppress(psycopg.Error):
            self._connection.close()

    def _register(self, name: str, lease: timedelta) -> Holder:
        """The beacon is lit before the row can be seen by others. On a database that went back in time no number is given out again."""
        arguments = {"name": name, "beacon": not is_pooled(self._connection), "lease": lease}
        self._notice_history()
        with translated(), watched(self._connection, self._deadline_s), self._connection.transaction():
            row = self._connection.execute(_SQL["register"], arguments).fetchone()
            if row is None:
                raise StoreUnavailable("the holder was not registered")
            if arguments["beacon"] and not self._lit(row[0]):
                raise StoreUnavailable("the beacon of a new holder burns already")
        return Holder(id=row[0], epoch=row[1])

    def _notice_history(self) -> None:
        with translated(), watched(self._connection, self._deadline_s):
            if self._connection.execute(_SQL["notice_history"]).fetchone() == (True,):
                log.warning("the database has begun a new history: a standby was promoted, or a backup restored")

    def _lit(self, holder: int) -> bool:
        return self._connection.execute(_SQL["beacon"], {"holder": holder}).fetchone() == (True,)
