"""Keep the read models up to date: rows and checkpoints change in one transaction.

    low-water mark ─► BEGIN  for each read model: guard its partitions with their leases, take their locks, read their checkpoints,
                             apply a page, move the checkpoints  COMMIT

One transaction for all, because a commit is most of the cost of a small page; a savepoint keeps the failure of one projection from
the others. Read models whose partitions write common rows come last, since those rows are locked until the commit.

The locks are tried, not waited for: whoever switches to a rebuilt table has them, and of two projectors without leases one passes the
projection by. A kill at any instruction leaves rows and checkpoint as they were, both. A projection that meets an event that it cannot
take is left standing before it, says so in its checkpoint, and is not tried again by this process until somebody else has moved it; a
new process tries at once.

Where the number of partitions is being changed, no partition goes beyond the barrier, and whoever sees one there tries to make the
change, in a transaction of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from domain.lease import Grant, LeaseLost
from infrastructure.failpoints import reach
from infrastructure.postgres import leases
from infrastructure.postgres.database import Connection, transaction, translated, watched
from infrastructure.postgres.projections import checkpoints
from infrastructure.postgres.projections.models import ReadModel, read_models
from infrastructure.postgres.projections.pages import Pages
from infrastructure.postgres.projections.rounds import Advance, Round
from infrastructure.postgres.projections.session import connect, garbage_collector_paused
from infrastructure.postgres.queries import load
from infrastructure.postgres.watermark import LowWaterMark

_EVENTS = load("events")
ROUND_DEADLINE_S = 120.0

Guard = Callable[[Any, Grant], None]


class PostgresProjector:
    """For one thread. After a `StoreUnavailable` the next `advance` connects again. `guard` is that of the leases that it is given."""

    def __init__(
        self, dsn: str, names: Iterable[str] | None = None, *, page: int = 4000, guard: Guard = leases.guard
    ) -> None:
        self._dsn = dsn
        self._models = read_models(names)
        self._guard = guard
        categories = frozenset[str]().union(*(model.categories for model in self._models))
        self._pages = Pages(size=page, categories=categories)
        self._connection: Connection | None = None
        self._mark = LowWaterMark()
        self._names: list[str] | None = None
        self._reached: dict[str, int] = {}
        self._refused: dict[str, int] = {}

    def advance(self, held: Mapping[str, Grant] | None = None) -> Round:
        """Apply the next page to every partition of every projection that is neither stopped nor in other hands.

        With `held` only to those named there, and each only if its lease is in force when the transaction commits.
        """
        done = Round()
        with self._working() as connection:
            self._advance_all(connection, held, done)
        if done.changed:
            self._names = None
        if not done.more:
            self._pages.forget()
        return done

    def names(self) -> Sequence[str]:
        """The checkpoints that there are to move now: a name for each partition of each projection."""
        with self._working() as connection:
            self._names = checkpoints.names(connection, [model.name for model in self._models])
        return self._names

    def close(self) -> None:
        """End the connection; a transaction that is open is rolled back."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @contextmanager
    def _working(self) -> Iterator[Connection]:
        try:
            with translated(), garbage_collector_paused():
                connection = self._connected()
                with watched(connection, ROUND_DEADLINE_S):
                    yield connection
        except BaseException:
            self.close()
            raise

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._dsn, application="orderwright projector")
            self._mark = LowWaterMark()
            self._names = None
            self._reached.clear()
            self._pages.forget()
        return self._connection

    def _advance_all(self, connection: Connection, held: Mapping[str, Grant] | None, done: Round) -> None:
        mark = self._observe(connection)
        behind = [name for name in self._ours(connection, held) if self._reached.get(name, -1) < mark]
        if not behind:
            return
        reach("projector_began")
        with transaction(connection):
            for model, names in self._in_turn(behind):
                if guarded := [name for name in names if held is None or self._guarded(connection, held[name], done)]:
                    advance = Advance(connection, model, self._pages, self._refused, done)
                    self._reached |= advance.run(guarded, mark)
            reach("before_projector_commit")
        for name in done.at_barrier:
            done.changed |= checkpoints.swap_partitions(connection, name)

    def _ours(self, connection: Connection, held: Mapping[str, Grant] | None) -> Sequence[str]:
        if held is not None:
            return list(held)
        if self._names is None:
            self._names = checkpoints.names(connection, [model.name for model in self._models])
        return self._names

    def _in_turn(self, names: Sequence[str]) -> list[tuple[ReadModel, list[str]]]:
        """The read models with what is behind of them; those that are unpartitioned as ever, then those whose partitions wait least."""
        found = [(model, [n for n in names if checkpoints.model_of(n) == model.name]) for model in self._models]
        return sorted((pair for pair in found if pair[1]), key=lambda pair: pair[0].mixed and pair[1] != [pair[0].name])

    def _guarded(self, connection: Connection, grant: Grant, done: Round) -> bool:
        try:
            self._guard(connection, grant)
        except LeaseLost:
            done.lost.append(grant.name.partition(":")[2])
            return False
        return True

    def _observe(self, connection: Connection) -> int:
        head: Any = connection.execute(_EVENTS["head"]).fetchone()
        holders = {row[0] for row in connection.execute(_EVENTS["appenders"])}
        return self._mark.observe(head[0], holders)
