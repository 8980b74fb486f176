"""Fences: how writes in Postgres are guarded by leases that are kept elsewhere. See `migrations/0008_fences.sql`.

a lease is taken while a guarded transaction is open     it is not: the fence is locked, and the taker comes again later
a guarded transaction begins after that                  the fence has another epoch: `LeaseLost`
its holder is frozen in the midst of it                  the server ends the session when the lease would have run out
the other table forgets (wiped, restored)                fences do not, and tell it where to go on
"""

from datetime import timedelta
from typing import Any

from domain.lease import Grant, LeaseLost
from infrastructure.postgres.database import Connection, connect, translated
from infrastructure.postgres.queries import load

_SQL = load("fences")


class Fences:
    """The fences of one database. Connects for each call: they are few."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def raise_to(self, name: str, epoch: int) -> bool | None:
        """From now on nothing is written under an older epoch; False if it or a greater one is known, None if it is not to be had now."""
        arguments = {"name": name, "epoch": epoch}
        with translated(), connect(self._dsn, application="orderwright fences") as connection:
            connection.execute(_SQL["begin"], arguments)
            found: bool | None = connection.execute(_SQL["raise"], arguments).fetchall()[0][0]
        return found

    def greatest(self) -> int:
        """Every epoch that was ever given out is at most this."""
        return int(self._value("greatest", {}))

    def highest(self) -> int:
        """The greatest epoch that was ever given out elsewhere; 0 if none was. Changes nothing, unlike `greatest`."""
        return int(self._value("highest", {}))

    def _value(self, name: str, arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - of the type of the column
        with translated(), connect(self._dsn, application="orderwright fences") as connection:
            [(value,)] = connection.execute(_SQL[name], arguments).fetchall()
        return value


def guard(connection: Connection, grant: Grant, time: timedelta) -> None:
    """Guard the open transaction of a connection, for as long as a lease may last. Raises `LeaseLost`."""
    arguments = {"name": grant.name, "epoch": grant.epoch, "time_ms": max(1000, int(time.total_seconds() * 1000))}
    if connection.execute(_SQL["guard"], arguments).fetchone() is None:
        raise LeaseLost(grant.name, grant.epoch)
