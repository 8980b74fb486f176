"""PGMQ as plain SQL in a stock server: the queues behind `pgmq://`, without an extension and without a superuser.

The SQL comes with the `pgmq` package, at the version that kombu pins. It knows no upgrades, so it runs only where there is no `pgmq` schema;
one that is already there (the extension of a managed server, or an earlier run) is left alone and its version noted.
"""

from typing import Any

import psycopg
from pgmq import get_embedded_install_sql
from pgmq.install import get_embedded_sql_version


def bundled_version() -> str:
    """The version that a fresh database gets."""
    return get_embedded_sql_version()


def is_installed(connection: psycopg.Connection[Any]) -> bool:
    return connection.execute("SELECT to_regnamespace('pgmq') IS NOT NULL").fetchone() == (True,)


def extension_version(connection: psycopg.Connection[Any]) -> str | None:
    """The version of the real extension; None where PGMQ is plain SQL or missing."""
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'pgmq'").fetchone()
    return None if row is None else str(row[0])


def install(connection: psycopg.Connection[Any]) -> str:
    """Install inside the caller's transaction where it is missing; return what to record."""
    if not is_installed(connection):
        connection.execute(get_embedded_install_sql().encode())
        return f"pgmq {bundled_version()}"
    version = extension_version(connection)
    return f"pgmq {version} (extension)" if version else "pgmq (found)"
