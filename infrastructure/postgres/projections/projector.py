"""Keep the read models up to date: rows and checkpoints change in one transaction.

    low-water mark ─► BEGIN  for each projection: guard it with its lease, take its lock, read its checkpoint, apply a page, move
                             the checkpoint  COMMIT

One transaction for all, because a commit is most of the cost of a small page; a savepoint keeps the failure of one projection from
the others.

The lock is tried, not waited for: whoever switches to a rebuilt table has it, and of two projectors without leases one passes the
projection by. A kill at any
instruction leaves rows and checkpoint as they were, both. A projection that meets an event that it cannot take is left standing before
it, says so in its checkpoint, and is not tried again by this process until somebody else has moved it; a new process tries at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.lease import Grant, LeaseLost
from infrastructure.failpoints import reach
from infrastructure.postgres.database import Connection, transaction, translated, watched
from infrastructure.postgres.leases import guard
from infrastructure.postgres.projections.applying import apply
from infrastructure.postgres.projections.models import ReadModel, read_models
from infrastructure.postgres.projections.pages import Pages
from infrastructure.postgres.projections.session import connect, garbage_collector_paused
from infrastructure.postgres.queries import load
from infrastructure.postgres.watermark import LowWaterMark

_SQL = load("projections")
_EVENTS = load("events")
ROUND_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A projection that stands before an event that it cannot take."""

    name: str
    position: int
    reason: str


@dataclass(slots=True)
class Round:
    """What one call of `advance` did; `more`: there was more than a page; `lost`: leases that are not ours any more."""

    events: int = 0
    more: bool = False
    stopped: list[Stopped] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class PostgresProjector:
    """For one thread. After a `StoreUnavailable` the next `advance` connects again."""

    def __init__(self, dsn: str, names: Iterable[str] | None = None, *, page: int = 4000) -> None:
        self._dsn = dsn
        self._models = read_models(names)
        categories = frozenset[str]().union(*(model.categories for model in self._models))
        self._pages = Pages(size=page, categories=categories)
        self._connection: Connection | None = None
        self._mark = LowWaterMark()
        self._reached: dict[str, int] = {}
        self._refused: dict[str, int] = {}

    def advance(self, held: Mapping[str, Grant] | None = None) -> Round:
        """Apply the next page to every projection that is neither stopped nor in other hands.

        With `held` only to those named there, and each only if its lease is in force when the transaction commits.
        """
        done = Round()
        try:
            with translated(), garbage_collector_paused():
                connection = self._connected()
                with watched(connection, ROUND_DEADLINE_S):
                    self._advance_all(connection, held, done)
        except BaseException:
            self.close()
            raise
        if not done.more:
            self._pages.forget()
        return done

    def _advance_all(self, connection: Connection, held: Mapping[str, Grant] | None, done: Round) -> None:
        mark = self._observe(connection)
        behind = [model for model in self._models if self._reached.get(model.name, -1) < mark]
        if held is not None:
            behind = [model for model in behind if model.name in held]
        if behind:
            reach("projector_began")
            with transaction(connection):
                for model in behind:
                    if held is None or _is_ours(connection, held[model.name], done):
                        self._advance(connection, model, mark, done)
                reach("before_projector_commit")

    def close(self) -> None:
        """End the connection; a transaction that is open is rolled back."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._dsn, application="orderwright projector")
            self._mark = LowWaterMark()
            self._reached.clear()
            self._pages.forget()
        return self._connection

    def _observe(self, connection: Connection) -> int:
        head: Any = connection.execute(_EVENTS["head"]).fetchone()
        holders = {row[0] for row in connection.execute(_EVENTS["appenders"])}
        return self._mark.observe(head[0], holders)

    def _advance(self, connection: Connection, model: ReadModel, mark: int, done: Round) -> None:
        if connection.execute(_SQL["take"], {"name": model.name}).fetchone() != (True,):
            return
        position, stopped_at = checkpoint(connection, model.name)
        if stopped_at is not None and self._refused.get(model.name) == stopped_at:
            return
        if position < mark:
            position = self._apply_page(connection, model, position, mark, done)
        self._reached[model.name] = position

    def _apply_page(self, connection: Connection, model: ReadModel, after: int, mark: int, done: Round) -> int:
        page = self._pages.read(connection, after=after, up_to=mark)
        stop = apply(connection, model, page.facts)
        reach("before_checkpoint")
        if stop is None:
            move(connection, model.name, page.last)
            done.events = max(done.events, len(page.facts))
            done.more |= page.full
            return page.last
        before = stop.position - 1
        halt = {"name": model.name, "position": before, "stopped_at": stop.position, "reason": stop.reason}
        connection.execute(_SQL["stop"], halt)
        self._refused[model.name] = stop.position
        done.stopped.append(Stopped(name=model.name, position=stop.position, reason=stop.reason))
        return before


def _is_ours(connection: Connection, grant: Grant, done: Round) -> bool:
    try:
        guard(connection, grant)
    except LeaseLost:
        done.lost.append(grant.name.partition(":")[2])
        return False
    return True


def checkpoint(connection: Connection, name: str) -> tuple[int, int | None]:
    """Position and, where the projection stopped, the position of the event that stopped it; locked until the commit."""
    row = connection.execute(_SQL["checkpoint"], {"name": name}).fetchone()
    if row is None:
        connection.execute(_SQL["begin"], {"name": name})
        row = connection.execute(_SQL["checkpoint"], {"name": name}).fetchone()
    return row or (0, None)


def move(connection: Connection, name: str, position: int) -> None:
    """Move the checkpoint; a projection that had stopped runs again."""
    connection.execute(_SQL["move"], {"name": name, "position": position})
