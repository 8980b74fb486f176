"""The one connection that a projector, a rebuild or a check works on."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from psycopg.types.json import set_json_dumps, set_json_loads

from domain.errors import Misconfigured
from infrastructure.postgres import database
from infrastructure.postgres.database import Connection

IDLE = "60s"


def connect(dsn: str, *, application: str, statement_timeout: str = "30s", **session: str) -> Connection:
    """A connection with deadlines, in autocommit, that reads and writes JSON fast."""
    settings = {"statement_timeout": statement_timeout, "client_min_messages": "warning", **session}
    connection = database.connect(dsn, application=application, writable=True, **settings)
    set_json_dumps(orjson.dumps, connection)
    set_json_loads(orjson.loads, connection)
    return connection


def connect_alone(dsn: str, *, application: str) -> Connection:
    """The same for long work, with a session of its own. Raises `Misconfigured` behind a pooler, where it would be a stranger's.

    Who is frozen in the midst of it loses the session, with all locks: what is done in it needs no other fence.
    """
    connection = connect(dsn, application=application, statement_timeout="10min", idle_session_timeout=IDLE)
    if database.is_pooled(connection):
        connection.close()
        raise Misconfigured(
            "the database is behind a connection pooler: this needs a session of its own, set direct_url to the way past it"
        )
    return connection


@contextmanager
def garbage_collector_paused() -> Iterator[None]:
    """A page of events is thousands of objects without cycles; looking for some in it again and again costs a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
