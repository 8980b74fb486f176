"""The Postgres connection under `pgmq://`: one, owned by one thread, with a deadline on every call.

kombu's transport would open a pool with threads of its own and a second connection for LISTEN, from a DSN that it rebuilds unquoted
and without TLS. PGMQ's client takes any pool, so it gets this one: a single connection from the caller's own DSN.

Behind a pooler that lends sessions (the process that answers is not the one that the login named) nothing may be left in a session:
no setting, no LISTEN, no lock. Queues are then looked into every second instead.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from infrastructure.deadline import watchdog
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.messaging.wire import Silent
from infrastructure.primary import address, greet

Row = tuple[Any, ...]

# A read, an acknowledgement or a release that a crash of the server undoes brings the message again: no need to wait for the disk.
DURABLE = "SELECT set_config('synchronous_commit', %s, false) WHERE pg_backend_pid() = %s"

defaults = {
    "application_name": "orderwright-messaging",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}


class Link:
    """Looks like a connection pool to PGMQ's client."""

    def __init__(self, settings: BrokerSettings, *, consuming: bool) -> None:
        self._settings = settings
        self._consuming = consuming
        self._io_timeout_s = settings.io_timeout_s
        self._connection: psycopg.Connection[Row] | None = None
        self.is_pooled = False

    def open(self) -> None:
        self._connection = connection = psycopg.connect(completed(self._settings), autocommit=True)
        with self.connection():
            greet(connection, self._settings.postgres_dsn)
            durable = "off" if self._consuming else "on"
            self.is_pooled = connection.execute(DURABLE, [durable, connection.info.backend_pid]).fetchone() is None
        if self.is_pooled:
            connection.prepare_threshold = None

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Row]]:
        if self._connection is None:
            raise psycopg.OperationalError("the connection is closed")
        with watchdog.limit(self._connection.fileno(), self._io_timeout_s) as limit:
            try:
                yield self._connection
            except psycopg.Error as error:
                if limit.expired:
                    raise Silent(f"the database did not answer in {self._io_timeout_s:g} s") from error
                raise

    def listen(self, channel: str) -> None:
        if self.is_pooled:
            return
        with self.connection() as connection:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))

    def on_notify(self, heard: Callable[[str], None]) -> None:
        with self.connection() as connection:
            connection.add_notify_handler(lambda notify: heard(notify.channel))

    def collect_notifies(self, *, from_socket: bool) -> None:
        """Tell the handler what the server has pushed: on the socket, or with an answer, in libpq's memory, where `select` sees nothing."""
        with self.connection() as connection:
            if from_socket:
                connection.pgconn.consume_input()
            while notify := connection.pgconn.notifies():
                if connection.pgconn.notify_handler is not None:
                    connection.pgconn.notify_handler(notify)

    def fileno(self) -> int:
        with self.connection() as connection:
            return connection.fileno()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def cut(self) -> None:
        """Wake whoever waits for the server, from another thread: shut the socket down under it."""
        connection = self._connection
        with contextlib.suppress(psycopg.Error, OSError):
            if connection is not None:
                with socket.socket(fileno=os.dup(connection.fileno())) as twin:
                    twin.shutdown(socket.SHUT_RDWR)


def completed(settings: BrokerSettings) -> str:
    """The caller's DSN as it is now, plus what it should have said about time."""
    connect_timeout = str(max(2, round(settings.connect_timeout_s)))  # libpq takes 1 for 2
    return address(settings.postgres_dsn, {**defaults, "connect_timeout": connect_timeout})
