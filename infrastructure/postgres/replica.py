"""A streaming replica, for whoever asks the read models: how near it is, and whether it has seen what the reader has to see.

Everything is asked of the replica itself, in SQL that any role may use:

    how far behind    nothing, if its receiver runs and all that was received is replayed; else the age of the last commit replayed.
                      A silent line is noticed by the server after `wal_receiver_timeout`, so that bounds what may go unnoticed.
    has it seen it    the checkpoint of the read model, as the replica shows it, has reached a position

A reader that wrote something knows the position of it. Whoever falls behind, stays away, or cancels a statement because of a conflict
with the recovery costs the reader nothing but the way to the primary: every failure here is `StoreUnavailable`.
"""

import time
from contextlib import closing
from typing import NamedTuple

from domain.errors import StoreUnavailable
from infrastructure.postgres.database import Connection, connect, translated, watched

PAUSE_S = 0.02
_CALL_S = 3.0
_STATE = """SELECT pg_is_in_recovery(), CASE
    WHEN NOT pg_is_in_recovery() THEN 0
    WHEN EXISTS (SELECT FROM pg_stat_wal_receiver) AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
    ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END::double precision"""
_REACHED = "SELECT coalesce(min(c.position), 0) FROM checkpoints c WHERE c.model = %s AND c.position IS NOT NULL"


class Behind(StoreUnavailable):
    """What the reader has to see is not to be seen here yet."""


class State(NamedTuple):
    """`lag_s` is None where nothing was ever replayed."""

    is_standby: bool
    lag_s: float | None


def state(dsn: str) -> State:
    """How it stands with a replica. Raises `StoreUnavailable`."""
    with closing(connect(dsn, application="orderwright replica", writable=False)) as connection:
        return _state(connection)


def require(dsn: str, *, lag_s: float, model: str, at_least: int, wait_s: float) -> None:
    """Return once the read model may be read there. Raises `Behind`, or `StoreUnavailable` if it does not answer."""
    with closing(connect(dsn, application="orderwright replica", writable=False)) as connection:
        found = _state(connection)
        if found.lag_s is None or found.lag_s > lag_s:
            raise Behind(f"the replica is {'far' if found.lag_s is None else f'{found.lag_s:.0f} s'} behind")
        _await(connection, model, at_least, wait_s)


def await_position(dsn: str, *, model: str, at_least: int, wait_s: float) -> None:
    """Return once the read model has reached the position on the primary. Raises `Behind`."""
    with closing(connect(dsn, application="orderwright position")) as connection:
        _await(connection, model, at_least, wait_s)


def _state(connection: Connection) -> State:
    with translated(), watched(connection, _CALL_S):
        row = connection.execute(_STATE).fetchone()
    return State(*row) if row else State(is_standby=False, lag_s=None)


def _await(connection: Connection, model: str, at_least: int, wait_s: float) -> None:
    until = time.monotonic() + wait_s
    while (reached := _reached(connection, model)) < at_least:
        if time.monotonic() > until:
            raise Behind(f"{model} has reached position {reached} there, not {at_least}")
        time.sleep(PAUSE_S)


def _reached(connection: Connection, model: str) -> int:
    with translated(), watched(connection, _CALL_S):
        row = connection.execute(_REACHED, [model]).fetchone()
    return int(row[0]) if row else 0
