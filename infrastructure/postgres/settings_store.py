"""The settings that change while the program runs, in Postgres: `domain.configuration.SettingsStore` on a row a version.

A change is one INSERT of the next version. Two at once meet on the primary key, and the second does nothing; whether that was because
somebody was faster or because it is a repetition of a change whose answer was lost, the request's own row tells.

Whoever waits listens and looks from time to time as well, so a lost notification, or a pooler that swallows them all, costs half a
second. Each call has a connection to itself for as long as it lasts: they are few, and a wait must hold up nobody.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from domain.configuration import Change, Revision, StaleVersion, Value, document
from domain.errors import StoreUnavailable
from infrastructure.postgres.database import Connection, connect, is_pooled, translated, watched
from infrastructure.postgres.queries import load

LOOK_S = 0.5
PORT = "5432"
_CALL_S = 5.0
_NAME = "orderwright settings"
_SQL = load("settings")


class PostgresSettings:
    """`dsn` leads past a pooler where there is a way. Connects when it is first used."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    def read(self) -> Revision:
        """See `domain.configuration.SettingsStore.read`."""
        with self._connection() as connection:
            return _newest(connection)

    def change(self, expected: int, values: Mapping[str, Value], *, who: str, why: str, request: str) -> Revision:
        """See `domain.configuration.SettingsStore.change`."""
        text = document(values, who=who, why=why, request=request)
        arguments = {"expected": expected, "document": text, "who": who, "why": why, "request": request}
        with self._connection() as connection, watched(connection, _CALL_S):
            if (row := connection.execute(_SQL["change"], arguments).fetchone()) is not None:
                return Revision(version=row[0], values=json.loads(text))
            if (row := connection.execute(_SQL["by_request"], arguments).fetchone()) is not None:
                return _revision(row)
            raise StaleVersion(expected, _newest(connection).version)

    def history(self, *, limit: int = 50, before: int | None = None) -> Sequence[Change]:
        """See `domain.configuration.SettingsStore.history`."""
        with self._connection() as connection, watched(connection, _CALL_S):
            rows = connection.execute(_SQL["history"], {"limit": limit, "before": before}).fetchall()
        return [
            Change(version=version, values=json.loads(text), who=who, why=why, at=at)
            for version, text, who, why, at in rows
        ]

    def wait(self, after: int, timeout_s: float) -> Revision | None:
        """See `domain.configuration.SettingsStore.wait`."""
        until = time.monotonic() + timeout_s
        with self._connection() as connection:
            self._say(connection, after)
            while not self._closed:
                newest = _newest(connection)
                left = until - time.monotonic()
                if newest.version > after or left <= 0:
                    return newest if newest.version > after else None
                self._listen(connection, min(LOOK_S, left))
        return None

    def followers(self) -> Mapping[int, int]:
        """How many processes wait for what comes after which version; those behind a pooler are not seen."""
        with self._connection() as connection, watched(connection, _CALL_S):
            return dict(connection.execute(_SQL["followers"]).fetchall())

    def close(self) -> None:
        """See `domain.configuration.SettingsStore.close`."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _say(self, connection: Connection, version: int) -> None:
        """Whoever looks at the server's sessions sees which version this process knows."""
        name = f"{_NAME}@{version}"
        if connection.__dict__.get("name") != name and not is_pooled(connection):
            with watched(connection, _CALL_S):
                connection.execute(_SQL["say"], {"name": name})
            connection.__dict__["name"] = name

    def _listen(self, connection: Connection, seconds: float) -> None:
        """Until somebody tells of a change, or the time is over."""
        if is_pooled(connection):
            time.sleep(seconds)
            return
        with watched(connection, seconds + _CALL_S):
            for _ in connection.notifies(timeout=seconds, stop_after=1):
                pass

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """One for this call alone. After an error its state is unknown, so it is not used again."""
        connection = self._take()
        try:
            with translated():
                yield connection
        except psycopg.ProgrammingError as error:  # such as a right that this role lacks
            raise StoreUnavailable(f"the settings cannot be read ({type(error).__name__})") from error
        except StoreUnavailable:
            connection.close()
            raise
        finally:
            self._put_back(connection)

    def _take(self) -> Connection:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the settings store is closed")
            if self._idle:
                return self._idle.pop()
        connection = connect(self._dsn, application=_NAME)
        if not is_pooled(connection):
            with translated(), watched(connection, _CALL_S):
                connection.execute(_SQL["listen"])
        return connection

    def _put_back(self, connection: Connection) -> None:
        with self._lock:
            if not self._closed and connection.info.transaction_status is TransactionStatus.IDLE:
                self._idle.append(connection)
                return
        connection.close()


def place(dsn: str) -> str:
    """Which database a DSN leads to: neither who logs in, nor how, nor in which order its servers are named, makes it another."""
    parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    names, addresses = (parts.get(name, "").split(",") for name in ("host", "hostaddr"))
    ports = parts.get("port", "").split(",")
    count = max(len(names), len(addresses))
    servers = zip(*(_each(some, count) for some in (names, addresses, ports)), strict=True)
    told = sorted(f"{name or address}:{port or PORT}" for name, address, port in servers)
    return f"{','.join(told)}/{parts.get('dbname') or parts.get('user', '')}"


def _each(some: Sequence[str], count: int) -> Sequence[str]:
    """One for each server; a single one is for all."""
    return some if len(some) == count else [some[0]] * count


def _newest(connection: Connection) -> Revision:
    with watched(connection, _CALL_S):
        row = connection.execute(_SQL["newest"]).fetchone()
    return _revision(row) if row else Revision()


def _revision(row: Sequence[Any]) -> Revision:
    return Revision(version=row[0], values=json.loads(row[1]))
