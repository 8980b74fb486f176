"""The work list on Postgres: claims, announcements, orphans, and the holders who claim.

A holder is a row with an expiry by the database's clock and, on a direct connection, a beacon: a session advisory lock that the
server itself ends when the process dies. A run whose holder has neither is an orphan and may be claimed anew at once; the epoch in
the row then refuses whatever the former holder still tries to write.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from domain.partitions import Portion
from domain.ports import Holder
from domain.work import DeadLetter, Run, RunKey, RunRow, Step, Want
from infrastructure.postgres.beacon import Beacon
from infrastructure.postgres.database import Database, transaction
from infrastructure.postgres.queries import load

_SQL = load("work")
ANNOUNCED_AHEAD = timedelta(seconds=10)  # as far as `wake` puts the next announcement off


class WorkQueries:
    """The part of the store that implements `domain.ports.WorkList`."""

    def __init__(self, database: Database, note_time: Callable[[datetime], None], *, direct: str) -> None:
        self._work = database
        self._direct = direct
        self._note_time = note_time
        self._beacons: dict[int, Beacon] = {}

    def claim(self, order_ids: Sequence[str], steps: Sequence[Step], holder: Holder) -> Sequence[Run]:
        """See `domain.ports.WorkList.claim`."""
        return self._claim("claim", {"orders": list(order_ids), "steps": list(steps), "holder": holder.id})

    def claim_due(self, limit: int, steps: Sequence[Step], holder: Holder) -> Sequence[Run]:
        """See `domain.ports.WorkList.claim_due`."""
        return self._claim_due(limit, steps, holder, timedelta(0))

    def claim_oldest(self, limit: int, steps: Sequence[Step], holder: Holder) -> Sequence[Run]:
        """See `domain.ports.WorkList.claim_oldest`."""
        return self._claim_due(limit, steps, holder, ANNOUNCED_AHEAD)

    def claim_suspect(self, steps: Sequence[Step], holder: Holder) -> Run | None:
        """See `domain.ports.WorkList.claim_suspect`."""
        return next(iter(self._claim("claim_suspect", {"steps": list(steps), "holder": holder.id})), None)

    def suspects_wait(self, steps: Sequence[Step], patience: timedelta) -> bool:
        """See `domain.ports.WorkList.suspects_wait`."""
        [(waiting,)] = self._rows("suspects_wait", {"steps": list(steps), "patience": patience})
        return bool(waiting)

    def forgive(self, steps: Sequence[Step], since: datetime) -> int:
        """See `domain.ports.WorkList.forgive`."""
        with self._work.connection() as connection:
            return connection.execute(_SQL["forgive"], {"steps": list(steps), "since": since}).rowcount

    def overlook(self, steps: Sequence[Step], began: datetime, ended: datetime) -> int:
        """See `domain.ports.WorkList.overlook`."""
        with self._work.connection() as connection:
            return connection.execute(_SQL["overlook"], {"steps": list(steps), "began": began, "ended": ended}).rowcount

    def wake(self, limit: int, steps: Sequence[Step], *, portion: Portion | None = None) -> Sequence[tuple[Step, str]]:
        """See `domain.ports.WorkList.wake`."""
        arguments: dict[str, Any] = {"limit": limit, "steps": list(steps)}
        if portion is None:
            rows = self._rows("wake", arguments)
        else:
            mine = {"partitions": portion.partitions, "mine": sorted(portion.mine), "patience": portion.patience}
            rows = self._rows("wake_portion", arguments | mine)
        return [(Step(step), order_id) for step, order_id in rows]

    def partitions(self, role: str) -> int:
        """In how many partitions the work of a role is."""
        return next((int(count) for (count,) in self._rows("partitions", {"role": role})), 1)

    def set_partitions(self, role: str, partitions: int) -> None:
        """Share out the work of a role in so many partitions from now on."""
        with self._work.connection() as connection:
            connection.execute(_SQL["set_partitions"], {"role": role, "partitions": partitions})

    def orphans(self, *, thorough: bool = False) -> int:
        """See `domain.ports.WorkList.orphans`."""
        return self._set_free("gone_holders") + (self._set_free("unknown_holders") if thorough else 0)

    def register(self, name: str, lease: timedelta) -> Holder:
        """See `domain.ports.WorkList.register`."""
        beacon = Beacon(self._direct, name, lease)
        self._beacons[beacon.holder.id] = beacon
        return beacon.holder

    def renew(self, holder: Holder, lease: timedelta) -> bool:
        """See `domain.ports.WorkList.renew`. It goes over the beacon's connection, so a lost beacon is a lost lease."""
        beacon = self._beacons.get(holder.id)
        return beacon is not None and beacon.renew(lease)

    def release(self, holder: Holder) -> int:
        """See `domain.ports.WorkList.release`."""
        with self._work.connection() as connection, transaction(connection):
            count = connection.execute(_SQL["give_back"], {"holder": holder.id}).rowcount
            connection.execute(_SQL["unregister"], {"holder": holder.id})
        self.forget(holder)
        return count

    def excuse(self, former: Holder) -> int:
        """See `domain.ports.WorkList.excuse`."""
        with self._work.connection() as connection, transaction(connection):
            count = connection.execute(_SQL["give_back"], {"holder": former.id}).rowcount
            count += connection.execute(_SQL["excuse"], {"holder": former.id}).rowcount
            connection.execute(_SQL["unregister"], {"holder": former.id})
        return count

    def disown(self, holder: int, held: Iterable[tuple[RunKey, int]]) -> int:
        """Give back the runs that are the holder's here and that it does not know of; returns how many."""
        rows = [(key.order_id, key.step, key.part, key.ordinal, epoch) for key, epoch in held]
        names = ("orders", "steps", "parts", "ordinals", "epochs")
        arguments: dict[str, Any] = {name: [row[index] for row in rows] for index, name in enumerate(names)}
        with self._work.connection() as connection:
            return connection.execute(_SQL["disown"], {**arguments, "holder": holder}).rowcount

    def forget(self, holder: Holder) -> None:
        """Put out the beacon of a lease that was lost, without touching the database's rows."""
        beacon = self._beacons.pop(holder.id, None)
        if beacon is not None:
            beacon.put_out()

    def forget_all(self) -> None:
        """Put out every beacon: what was not released becomes an orphan at once."""
        for holder_id in list(self._beacons):
            self.forget(Holder(id=holder_id, epoch=0))

    def forget_holders(self) -> int:
        """Delete the rows of holders that are long gone and hold nothing."""
        with self._work.connection() as connection:
            return connection.execute(_SQL["forget_holders"]).rowcount

    def runs(self, order_id: str | None = None) -> list[RunRow]:
        """The work list, or one order's part of it."""
        rows = self._rows("runs", {"order": order_id})
        return [RunRow(_key(row[:4]), *row[4:]) for row in rows]

    def dead_letters(self) -> list[DeadLetter]:
        """All dead letters, oldest first."""
        return [DeadLetter(*row) for row in self._rows("dead_letters", {})]

    def want(self, wants: Iterable[Want]) -> int:
        """Insert the rows that are missing, as `work rebuild` does; returns how many were."""
        rows = [(w.key.order_id, w.key.step, w.key.part, w.key.ordinal, w.due) for w in wants]
        names = ("orders", "steps", "parts", "ordinals", "dues")
        arguments = {name: [row[index] for row in rows] for index, name in enumerate(names)}
        with self._work.connection() as connection:
            return connection.execute(_SQL["insert_missing"], arguments).rowcount

    def _set_free(self, who: str) -> int:
        gone = [holder for (holder,) in self._rows(who, {})]
        if not gone:
            return 0
        with self._work.connection() as connection:
            return connection.execute(_SQL["orphans"], {"holders": gone}).rowcount

    def _claim_due(self, limit: int, steps: Sequence[Step], holder: Holder, ahead: timedelta) -> list[Run]:
        wanted = {"limit": limit, "steps": list(steps), "holder": holder.id, "ahead": ahead}
        return self._claim("claim_due", wanted)

    def _claim(self, name: str, arguments: dict[str, Any]) -> list[Run]:
        rows = self._rows(name, arguments)
        if rows:
            self._note_time(rows[0][8])
        return [Run(_key(row[:4]), *row[4:8]) for row in rows]

    def _rows(self, name: str, arguments: dict[str, Any]) -> list[tuple[Any, ...]]:
        with self._work.connection() as connection:
            return connection.execute(_SQL[name], arguments).fetchall()


def _key(columns: Sequence[Any]) -> RunKey:
    order_id, step, part, ordinal = columns
    return RunKey(order_id, Step(step), part, ordinal)
