"""The migration runner: brings a database to the schema of this code, safe against a twin, a kill and a long reader.

One session advisory lock on one direct connection covers the whole run, and what is applied is read again under it, so two runners are
safe and the second finds nothing to do. Every file is applied and recorded in one transaction. A lock on a table is waited for only
300 ms at a time, because everybody else queues behind a waiting ALTER TABLE; then all is rolled back and tried again a little later.

    checksum differs       refuse: an applied file was edited
    database is newer      refuse: this code does not know its schema
    number below the last  refuse: the file would be applied out of order
    pgmq missing           install it again: a wiped broker is no lost order

Row 0 of `orderwright_migrations` stands for PGMQ, whose SQL is not ours: its version is noted, its checksum never compared.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources.abc import Traversable
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from domain.errors import Misconfigured, StoreUnavailable, Transient
from infrastructure.chance import chance
from infrastructure.failpoints import reach
from infrastructure.postgres import pgmq_install
from infrastructure.postgres.migration_files import Migration, read_migrations
from infrastructure.postgres.migration_lock import MigrationsBusy, connect, migration_lock, oldest_transaction

Connection = psycopg.Connection[Any]
Progress = Callable[[str], None]

LOCK_TIMEOUT = "300ms"
STATEMENT_TIMEOUT = "1h"
PGMQ_VERSION = 0
BOOK = """
    CREATE TABLE IF NOT EXISTS orderwright_migrations (
        version     integer PRIMARY KEY,
        name        text NOT NULL,
        checksum    text NOT NULL,
        applied_at  timestamptz NOT NULL DEFAULT now(),
        duration    interval NOT NULL
    )"""
RECORD = """
    INSERT INTO orderwright_migrations AS book (version, name, checksum, duration)
    VALUES (%(version)s, %(name)s, %(checksum)s, make_interval(secs => %(duration_s)s))
    ON CONFLICT (version) DO UPDATE
    SET name = excluded.name, checksum = excluded.checksum, applied_at = now(), duration = excluded.duration"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """One line of `migrate status`."""

    version: int
    name: str
    state: Literal["applied", "pending"]
    applied_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Applied:
    name: str
    checksum: str
    applied_at: datetime


def status(dsn: str, *, folder: Traversable | None = None) -> list[MigrationStatus]:
    """Everything applied and everything pending, in order."""
    migrations = read_migrations(folder)
    with connect(dsn) as connection:
        applied, pending = _applied(connection), _pending(connection, migrations)
    lines = [
        MigrationStatus(version=version, name=row.name, state="applied", applied_at=row.applied_at)
        for version, row in applied.items()
        if version > PGMQ_VERSION or not _pgmq_is_pending(pending)
    ]
    lines += [MigrationStatus(version=version, name=name, state="pending") for version, name in pending.items()]
    return sorted(lines, key=lambda line: line.version)


def check(dsn: str, *, folder: Traversable | None = None) -> list[str]:
    """The names of what is pending; refuses a database that this code must not touch."""
    migrations = read_migrations(folder)
    with connect(dsn) as connection:
        _refuse_unfit(_applied(connection), migrations)
        return list(_pending(connection, migrations).values())


def up(
    dsn: str,
    *,
    on_progress: Progress = lambda _: None,
    folder: Traversable | None = None,
    lock_wait_s: float = 60.0,
    retry_for_s: float = 60.0,
) -> list[str]:
    """Apply what is pending and return its names; an empty list means that nothing was to do."""
    migrations = read_migrations(folder)
    with connect(dsn) as connection, migration_lock(connection, timeout_s=lock_wait_s):
        connection.execute(BOOK)
        _refuse_unfit(_applied(connection), migrations)
        pending = _pending(connection, migrations)
        connection.execute(sql.SQL("SET statement_timeout = {}").format(STATEMENT_TIMEOUT))
        done = [_install_pgmq(connection)] if _pgmq_is_pending(pending) else []
        for name in done:
            on_progress(name)
        for migration in migrations:
            if migration.version in pending:
                _apply_patiently(connection, migration, retry_for_s=retry_for_s)
                on_progress(migration.name)
                done.append(migration.name)
        return done


def wait(dsn: str, *, timeout_s: float, folder: Traversable | None = None) -> None:
    """Return once nothing is pending, also through a start of the database and before the login has its rights; refuse after the time-out."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            pending = check(dsn, folder=folder)
            reason = f"{', '.join(pending)} not applied yet: run `orderwright migrate up`"
        except Transient as error:
            pending, reason = [""], str(error)
        except InsufficientPrivilege:
            pending, reason = [""], "this login may see nothing yet: run `orderwright migrate grants`"
        if not pending:
            return
        if time.monotonic() > deadline:
            raise Misconfigured(f"The database is not ready after {timeout_s:.0f} s: {reason}.")
        time.sleep(0.2)


def _applied(connection: Connection) -> dict[int, _Applied]:
    if connection.execute("SELECT to_regclass('orderwright_migrations') IS NULL").fetchone() == (True,):
        return {}
    rows = connection.execute(
        "SELECT version, name, checksum, applied_at FROM orderwright_migrations ORDER BY version"
    ).fetchall()
    return {row[0]: _Applied(name=row[1], checksum=row[2], applied_at=row[3]) for row in rows}


def _pending(connection: Connection, migrations: list[Migration]) -> dict[int, str]:
    applied = _applied(connection)
    pending = {} if pgmq_install.is_installed(connection) and PGMQ_VERSION in applied else {PGMQ_VERSION: "pgmq"}
    return pending | {m.version: m.name for m in migrations if m.version not in applied}


def _pgmq_is_pending(pending: Mapping[int, str]) -> bool:
    return PGMQ_VERSION in pending


def _refuse_unfit(applied: Mapping[int, _Applied], migrations: list[Migration]) -> None:
    known = {migration.version: migration for migration in migrations}
    last = max(applied, default=PGMQ_VERSION)
    for version, row in applied.items():
        if version > PGMQ_VERSION and version not in known:
            raise Misconfigured(
                f"The database has migration {row.name}, which this version of Orderwright does not know: upgrade Orderwright."
            )
        if version > PGMQ_VERSION and known[version].checksum != row.checksum:
            raise Misconfigured(
                f"{known[version].name}.sql was changed after it had been applied: restore it and put the change into a new file."
            )
    for migration in migrations:
        if migration.version < last and migration.version not in applied:
            raise Misconfigured(f"{migration.name}.sql is numbered below what the database already has: renumber it.")


def _install_pgmq(connection: Connection) -> str:
    started = time.monotonic()
    with connection.transaction():
        name = pgmq_install.install(connection)
        _record(connection, version=PGMQ_VERSION, name=name, checksum="", started=started)
    return name


def _apply_patiently(connection: Connection, migration: Migration, *, retry_for_s: float) -> None:
    deadline = time.monotonic() + retry_for_s
    while True:
        try:
            _apply(connection, migration)
        except psycopg.errors.LockNotAvailable as error:
            if time.monotonic() > deadline:
                raise MigrationsBusy(
                    f"{migration.name} could not lock its tables for {retry_for_s:.0f} s; {oldest_transaction(connection)}"
                ) from error
            time.sleep(chance.uniform(0.1, 1.0))
        except psycopg.OperationalError as error:
            raise StoreUnavailable(f"{migration.name} was cut off and is rolled back: {error}") from error
        except psycopg.Error as error:
            raise Misconfigured(f"{migration.name} failed and is rolled back: {error}") from error
        else:
            return


def _apply(connection: Connection, migration: Migration) -> None:
    started = time.monotonic()
    if not migration.in_transaction:
        connection.execute(migration.sql.encode())
        _record_migration(connection, migration, started)
        return
    reach("before_migration")
    with connection.transaction():
        connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_TIMEOUT))
        connection.execute(migration.sql.encode())
        _record_migration(connection, migration, started)
        reach("before_migration_commit")


def _record_migration(connection: Connection, migration: Migration, started: float) -> None:
    _record(connection, version=migration.version, name=migration.name, checksum=migration.checksum, started=started)


def _record(connection: Connection, *, version: int, name: str, checksum: str, started: float) -> None:
    duration_s = time.monotonic() - started
    connection.execute(RECORD, {"version": version, "name": name, "checksum": checksum, "duration_s": duration_s})
