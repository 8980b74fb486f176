"""Connections to Postgres with a deadline on everything, and foreign errors translated at the border.

Every session carries time-outs of its own (statement, lock, idle in transaction), the socket those of the kernel. Neither helps
against a server that is frozen while its kernel still answers, so every use of a connection is under a watchdog as well. A
connection from the pool is checked only when it has been idle for a while: a check costs a round trip.

Behind a pooler that lends a server's session for one transaction only (pgbouncer), whatever belongs to a session leaks to strangers
or is lost: settings, prepared statements, session locks, LISTEN. Such a pooler answers the login before it has a session to lend, so
it invents the process id that belongs to the cancel key: where that is not the id of the process that answers, we do without.
`is_pooled` tells it of every connection that was prepared here.

Which of several servers is the primary, and which was it only once: see `infrastructure.primary`.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import psycopg
import structlog
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolTimeout

from domain.errors import Misconfigured, OrderwrightError, Poison, StoreUnavailable
from infrastructure import primary
from infrastructure.deadline import watchdog
from infrastructure.failpoints import reach
from infrastructure.plain import warn_of_database

log = structlog.get_logger()

Connection = psycopg.Connection[tuple[Any, ...]]

_SOCKET = {
    "connect_timeout": "3",
    "tcp_user_timeout": "5000",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
}
_SESSION = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
}
_IDLE_CHECK_S = 1.0
_CHECK_DEADLINE_S = 3.0
_USE_DEADLINE_S = 35.0  # a little more than the server's own statement_timeout
# Sets nothing in a session that is lent to us; the time zone is the one setting that poolers carry from session to session.
_PREPARE = """SELECT count(set_config(s.name, s.value, false)) FROM unnest(%s::text[], %s::text[]) AS s(name, value)
WHERE pg_backend_pid() = %s"""
_LOCAL = "SELECT set_config(s.name, s.value, true) FROM unnest(%s::text[], %s::text[]) AS s(name, value)"
_POOLED = "SET timezone TO 'UTC'"
_IDENTITY = "SELECT system_identifier, current_database() FROM pg_control_system()"
_COLLISIONS = (pg.DeadlockDetected, pg.SerializationFailure, pg.LockNotAvailable, pg.UniqueViolation)


def readable(dsn: str, setting: str = "database_url") -> str:
    """The DSN itself, with a warning if it is not safe. Raises `Misconfigured` if libpq cannot read it, without repeating a password."""
    try:
        conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise Misconfigured(
            f"{setting} cannot be read: write postgresql://user:password@host/database, or key=value pairs"
        ) from None
    warn_of_database(dsn, setting)
    return dsn


def conninfo(dsn: str, *, application: str = "orderwright", writable: bool = True) -> str:
    """The DSN with the time-outs of the socket filled in where it names none; to a server that takes writes, unless one need not."""
    return primary.address(dsn, {**_SOCKET, "application_name": application}, writable=writable)


def connect(dsn: str, *, application: str, writable: bool = True, **session: str) -> Connection:
    """A connection of one's own, in autocommit; `session` adds or overrides server settings. Raises `StoreUnavailable`."""
    with translated():
        connection = psycopg.connect(conninfo(dsn, application=application, writable=writable), autocommit=True)
        try:
            prepare(connection, session, greeted_as=dsn if writable else None)
        except BaseException:
            connection.close()
            raise
    return connection


def prepare(connection: Connection, session: Mapping[str, str], *, greeted_as: str | None = None) -> None:
    """Give the session its settings, except those that the DSN names itself; none to a session that is only lent.

    A primary is greeted as well, with the DSN that led to it. Raises `primary.PassedOver` if it is one no longer.
    """
    own = str(connection.info.get_parameters().get("options", "")).replace("-", "_")
    settings = {name: value for name, value in {**_SESSION, **session}.items() if f"{name}=" not in own}
    arguments = [list(settings), list(settings.values()), connection.info.backend_pid]
    with watched(connection, _CHECK_DEADLINE_S):
        if connection.execute(_PREPARE, arguments).fetchone() == (0,):
            connection.prepare_threshold = None
            connection.execute(_POOLED)
            _say_pooled()
        if greeted_as is not None:
            primary.greet(connection, greeted_as)


def is_pooled(connection: Connection) -> bool:
    """The connection goes through a pooler, so it has no session of its own."""
    return connection.prepare_threshold is None


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """A transaction with our time-outs, also in a session that is only lent: who is frozen in it must not keep its locks for ever."""
    with connection.transaction():
        if is_pooled(connection):
            connection.execute(_LOCAL, [list(_SESSION), list(_SESSION.values())])
        yield


def same_database(one: str, other: str) -> bool | None:
    """Whether both lead to the same database; None if a server does not tell. Raises `StoreUnavailable`."""
    found = [_identity(dsn) for dsn in (one, other)]
    return None if None in found else found[0] == found[1]


def _identity(dsn: str) -> tuple[Any, ...] | None:
    with translated(), connect(dsn, application="orderwright start") as connection:
        try:
            return connection.execute(_IDENTITY).fetchone()
        except pg.InsufficientPrivilege:
            return None


@cache
def _say_pooled() -> None:
    log.warning("the database is behind a connection pooler: leases end by expiry only, wake-ups are polled for")


class Collision(StoreUnavailable):
    """Nothing was done because of another transaction: it may be tried again at once."""


class Database:
    """A small pool of autocommit connections; to a server that takes writes, unless one need not."""

    def __init__(self, dsn: str, *, application: str = "orderwright", size: int = 4, writable: bool = True) -> None:
        self.dsn = dsn
        self._pid = os.getpid()
        self._pool = ConnectionPool(
            partial(conninfo, dsn, application=application, writable=writable),
            min_size=1,
            max_size=size,
            timeout=5.0,
            reconnect_timeout=0.0,
            kwargs={"autocommit": True},
            configure=partial(prepare, session={}, greeted_as=dsn if writable else None),
            check=_check,
            open=True,
        )

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for one use; its errors arrive as ours."""
        if os.getpid() != self._pid:
            raise RuntimeError("database connections do not survive a fork")
        with translated(), self._pool.connection() as connection, watched(connection, _USE_DEADLINE_S):
            reach("holding_connection")
            with _only_while_writable(connection):
                yield connection
            connection.__dict__["used_at"] = time.monotonic()

    def close(self) -> None:
        """Close all connections."""
        self._pool.close(timeout=2.0)


@contextmanager
def watched(connection: Connection, seconds: float) -> Iterator[None]:
    """End the connection unless the block ends within `seconds`."""
    with watchdog.limit(connection.fileno(), seconds):
        yield


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into ours."""
    try:
        yield
    except OrderwrightError:
        raise
    except _COLLISIONS as error:
        raise Collision(f"another transaction was in the way ({type(error).__name__})") from error
    except (pg.DataError, pg.IntegrityError, pg.ProgramLimitExceeded) as error:
        # without its text, which may repeat the row
        raise Poison(f"the database will never take this ({type(error).__name__})") from None
    except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError, PoolTimeout) as error:
        raise StoreUnavailable(f"the database did not answer ({type(error).__name__})") from error


@contextmanager
def _only_while_writable(connection: Connection) -> Iterator[None]:
    """A server that has become a standby under the connection, or was behind a pooler all the time, is left."""
    try:
        yield
    except pg.ReadOnlySqlTransaction:
        connection.close()
        raise


def _check(connection: Connection) -> None:
    if primary.is_passed_over(connection):
        connection.close()  # what is alive and fails a check would be put back
        raise primary.PassedOver("another server was promoted")
    used_at = connection.__dict__.get("used_at", 0.0)
    if time.monotonic() - used_at > _IDLE_CHECK_S:
        with watched(connection, _CHECK_DEADLINE_S):
            ConnectionPool.check_connection(connection)
