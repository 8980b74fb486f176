"""The direct connection of the migration runner and the advisory lock that keeps a second runner waiting.

The lock belongs to the session, and so does everything that is done under it: a killed runner frees the lock, and a frozen one loses
the session. Who waits too long is told who holds it. Behind a pooler that lends
sessions the lock would be held by nobody, so migrations are refused there.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import structlog

from domain.errors import Misconfigured, StoreUnavailable, Transient
from infrastructure.postgres.database import readable
from infrastructure.primary import address, greet

log = structlog.get_logger()

Connection = psycopg.Connection[Any]

LOCK_KEY = 0x6F77_6D69_6772  # "owmigr"
IDLE = "60s"
OLDEST_SERVER = 140_000
HOLDER = """
    SELECT concat_ws(', ', activity.application_name, 'server process ' || activity.pid,
                     'since ' || to_char(activity.backend_start, 'YYYY-MM-DD HH24:MI:SSOF'))
    FROM pg_locks AS lock
    JOIN pg_stat_activity AS activity USING (pid)
    WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 1
      AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (lock.classid::bigint << 32) | lock.objid::bigint = %s"""
OLDEST_TRANSACTION = """
    SELECT format('the oldest transaction is that of %%s (server process %%s), open for %%s s',
                  coalesce(nullif(activity.application_name, ''), activity.usename, 'a client'), activity.pid,
                  round(extract(epoch FROM clock_timestamp() - activity.xact_start)))
    FROM pg_stat_activity AS activity
    WHERE activity.xact_start IS NOT NULL AND activity.pid <> pg_backend_pid()
      AND activity.datname = current_database()
    ORDER BY activity.xact_start
    LIMIT 1"""


class MigrationsBusy(Transient):
    """Somebody else holds what the migration needs; try again later."""


@contextmanager
def connect(dsn: str) -> Iterator[Connection]:
    """Connect directly, with deadlines, named so that an operator sees who we are."""
    with _open(dsn) as connection:
        if connection.info.server_version < OLDEST_SERVER:
            raise Misconfigured(
                f"The server is PostgreSQL {connection.info.server_version // 10_000}: Orderwright needs 14 or newer."
            )
        try:
            yield connection
        except psycopg.OperationalError as error:
            raise StoreUnavailable(f"the database went away ({type(error).__name__})") from error


def _open(dsn: str) -> Connection:
    try:
        name = f"orderwright migrate on {socket.gethostname()} pid {os.getpid()}"
        defaults = {"connect_timeout": "3", "tcp_user_timeout": "5000", "application_name": name}
        connection = psycopg.connect(address(readable(dsn), defaults), autocommit=True, prepare_threshold=None)
        greet(connection, dsn)
        return connection
    except psycopg.OperationalError as error:
        raise StoreUnavailable(f"the database does not answer: {error}") from error


@contextmanager
def migration_lock(connection: Connection, *, timeout_s: float) -> Iterator[None]:
    """Hold the lock. It is asked for again and again: a waiting statement would itself hold up CREATE INDEX CONCURRENTLY."""
    if connection.execute("SELECT pg_backend_pid()").fetchone() != (connection.info.backend_pid,):
        raise Misconfigured(
            "The database is behind a connection pooler: migrations need a session of their own, set direct_url to the way past it."
        )
    for setting in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
        connection.execute("SELECT set_config(%s, %s, false)", [setting, IDLE])
    deadline = time.monotonic() + timeout_s
    while connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone() != (True,):
        if time.monotonic() > deadline:
            raise MigrationsBusy(f"another migration has been running for {timeout_s:.0f} s: {lock_holder(connection)}")
        time.sleep(0.1)
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # the server frees the lock of a lost session by itself
            if connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK_KEY]).fetchone() != (True,):
                log.error("the migration lock was not ours when it was given back")


def lock_holder(connection: Connection) -> str:
    row = connection.execute(HOLDER, [LOCK_KEY]).fetchone()
    return "it has just ended" if row is None else str(row[0])


def oldest_transaction(connection: Connection) -> str:
    row = connection.execute(OLDEST_TRANSACTION, []).fetchone()
    return "nobody seems to be in the way" if row is None else str(row[0])
