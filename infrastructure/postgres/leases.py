"""Leases on Postgres: rows with an epoch and an expiry by the database's clock, taken at once when the holder's beacon is out.

Everything that concerns a holder goes over the connection of its beacon, so whoever can renew burns, and whoever does not burn
cannot renew. The guard is a statement in the transaction of the guarded write, whichever connection that is on:

    a lease is taken while a guarded transaction is open     it is not: the row is locked, and the taker comes again later
    a guarded transaction begins after that                  no row has the epoch: `LeaseLost`
    its holder is frozen in the midst of it                  the server ends the session when the lease would have run out
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from domain.errors import StoreUnavailable
from domain.lease import Grant, LeaseLost, LeaseRow
from domain.ports import Holder
from infrastructure.postgres.beacon import Beacon
from infrastructure.postgres.database import Connection, connect, translated
from infrastructure.postgres.queries import load

_SQL = load("leases")
_WORK = load("work")


class PostgresLeases:
    """`domain.lease.LeaseTable`. Thread-safe. The DSN should lead past a pooler, else there is no beacon."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._beacons: dict[int, Beacon] = {}

    def enter(self, name: str, time: timedelta) -> Holder:
        """See `domain.lease.LeaseTable.enter`."""
        beacon = Beacon(self._dsn, name, time)
        self._beacons[beacon.holder.id] = beacon
        return beacon.holder

    def take(self, name: str, holder: Holder, time: timedelta, *, outside: bool = False) -> Grant | None:
        """See `domain.lease.LeaseTable.take`."""
        arguments = {"name": name, "holder": holder.id, "time": time, "outside": outside}
        [(epoch,)] = self._beacon(holder).rows(_SQL["take"], arguments)
        return None if epoch is None else Grant(name=name, holder=holder.id, epoch=epoch)

    def renew(self, holder: Holder, time: timedelta) -> frozenset[int] | None:
        """See `domain.lease.LeaseTable.renew`."""
        beacon = self._beacons.get(holder.id)
        if beacon is None or beacon.is_out:
            return None
        rows = beacon.rows(_SQL["renew"], {"holder": holder.id, "time": time})
        return frozenset(epoch for _, epoch in rows if epoch is not None) if rows else None

    def is_lit(self, holder: Holder) -> bool:
        """See `domain.lease.LeaseTable.is_lit`."""
        beacon = self._beacons.get(holder.id)
        return beacon is not None and beacon.is_burning

    def guard(self, transaction: Connection, grant: Grant) -> None:
        """See `domain.lease.LeaseTable.guard`; the transaction is a connection with one open."""
        guard(transaction, grant)

    def release(self, grant: Grant) -> bool:
        """See `domain.lease.LeaseTable.release`."""
        arguments = {"name": grant.name, "epoch": grant.epoch, "holder": grant.holder}
        beacon = self._beacons.get(grant.holder)
        if beacon is None or not beacon.is_burning:
            return bool(self._rows("release", arguments))
        return bool(beacon.rows(_SQL["release"], arguments))

    def leave(self, holder: Holder) -> None:
        """See `domain.lease.LeaseTable.leave`."""
        try:
            self._beacon(holder).rows(_SQL["release_all"], {"holder": holder.id})
            self._beacon(holder).run(_WORK["unregister"], {"holder": holder.id})
        finally:
            self.forget(holder)

    def forget(self, holder: Holder) -> None:
        """See `domain.lease.LeaseTable.forget`."""
        beacon = self._beacons.pop(holder.id, None)
        if beacon is not None:
            beacon.put_out()

    def rows(self) -> Sequence[LeaseRow]:
        """See `domain.lease.LeaseTable.rows`."""
        return [
            LeaseRow(
                name=name,
                holder=holder,
                epoch=epoch,
                since=since,
                expires_at=expires_at,
                outside=outside,
                beacon=beacon,
                held=held,
            )
            for name, holder, epoch, since, expires_at, outside, beacon, held in self._all()
        ]

    def _all(self) -> list[tuple[Any, ...]]:
        """Over a connection that there is, if there is one: holders who share work look often."""
        for beacon in list(self._beacons.values()):
            if beacon.is_burning:
                return beacon.rows(_SQL["rows"], {})
        return self._rows("rows", {})

    def _beacon(self, holder: Holder) -> Beacon:
        beacon = self._beacons.get(holder.id)
        if beacon is None or beacon.is_out:
            raise StoreUnavailable("the connection of this holder has ended")
        return beacon

    def _rows(self, name: str, arguments: dict[str, Any]) -> list[tuple[Any, ...]]:
        with translated(), connect(self._dsn, application="orderwright leases") as connection:
            return connection.execute(_SQL[name], arguments).fetchall()


def guard(connection: Connection, grant: Grant) -> None:
    """Guard the open transaction of a connection. Raises `LeaseLost`."""
    if connection.execute(_SQL["guard"], {"name": grant.name, "epoch": grant.epoch}).fetchone() is None:
        raise LeaseLost(grant.name, grant.epoch)
