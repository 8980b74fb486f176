"""Rebuild read models from the first event, while the old ones answer and go on.

    create copies aside ─► fill them page by page ─► near the head: take the projection's lock, fill up to its checkpoint,
                                                      drop the old tables, move the copies over, move the checkpoint: COMMIT

Nobody ever reads a half-built table. A rebuild that dies leaves copies that nobody reads; the next one drops them and starts again,
because they may be the work of other code. The checkpoint never goes back; those of several partitions come to the furthest. Of two rebuilds of one projection the second is refused. A
projection that meets an event that it cannot take keeps its old tables; the others are switched.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import errors as pg
from psycopg.sql import SQL

from domain.errors import CommandRefused, StoreUnavailable
from infrastructure.failpoints import reach
from infrastructure.postgres.database import Connection, translated
from infrastructure.postgres.projections import checkpoints
from infrastructure.postgres.projections.aside import BUILD, Aside, put_first
from infrastructure.postgres.projections.models import ReadModel, read_models
from infrastructure.postgres.projections.pages import Pages
from infrastructure.postgres.projections.session import connect_alone, garbage_collector_paused
from infrastructure.postgres.queries import load
from infrastructure.postgres.watermark import LowWaterMark

_SQL = load("projections")
_EVENTS = load("events")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What became of one projection. `reason` is empty where it was rebuilt and switched to."""

    name: str
    position: int
    rows: int
    reason: str = ""


class PostgresRebuild:
    """A context for one thread: `fill` until it says False, then `switch`. Leaving it early changes nothing."""

    def __init__(
        self, dsn: str, names: Iterable[str] | None = None, *, page: int = 10_000, switch_timeout_s: float = 60.0
    ) -> None:
        self._dsn = dsn
        self._models = read_models(names)
        self._switch_timeout_s = switch_timeout_s
        self._pages = Pages(size=page, categories=frozenset[str]().union(*(m.categories for m in self._models)))
        self._mark = LowWaterMark()
        self._connection: Connection | None = None
        self._builds: list[Aside] = []

    def __enter__(self) -> Self:
        self._connection = connection = connect_alone(self._dsn, application="orderwright replay")
        try:
            with translated():
                self._builds = [self._reserve(connection, model) for model in self._models]
                put_first(connection, BUILD)
        except BaseException:
            connection.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection = self._connected()
        try:
            for build in self._builds:
                build.drop()
            connection.execute(_SQL["release_rebuilds"])  # the server ends a session a moment after we have left it
        except psycopg.Error:
            pass  # the next rebuild drops them
        finally:
            connection.close()

    def fill(self) -> tuple[int, int]:
        """Apply a page to each; (done, total) as positions. Done once they are equal."""
        connection = self._connected()
        with translated(), garbage_collector_paused():
            total = self._observe(connection)
            for build in self._builds:
                build.fill(self._pages, up_to=total)
                reach("filling")
        return min((build.position for build in self._builds if not build.stop), default=total), total

    def switch(self) -> list[Rebuilt]:
        """Let the new tables take the place of the old ones, each projection in one transaction."""
        reach("before_switch")
        with translated(), garbage_collector_paused():
            return [self._finish(build) for build in self._builds]

    def _connected(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("a rebuild is used inside `with`")
        return self._connection

    @staticmethod
    def _reserve(connection: Connection, model: ReadModel) -> Aside:
        if connection.execute(_SQL["reserve_rebuild"], {"name": model.name}).fetchone() != (True,):
            raise CommandRefused(f"the projection {model.name} is being rebuilt by somebody else")
        build = Aside(connection, model, schema=BUILD)
        build.create()
        return build

    def _observe(self, connection: Connection) -> int:
        head: Any = connection.execute(_EVENTS["head"]).fetchone()
        holders = {row[0] for row in connection.execute(_EVENTS["appenders"])}
        return self._mark.observe(head[0], holders)

    def _finish(self, build: Aside) -> Rebuilt:
        name = build.model.name
        if build.stop is None:
            self._switch_patiently(build)
        if build.stop is not None:
            return Rebuilt(name=name, position=build.position, rows=0, reason=build.stop.reason)
        rows: Any = (
            self._connected()
            .execute(SQL("SELECT count(*) FROM {}").format(build.live(build.model.tables[0].name)))
            .fetchone()
        )
        return Rebuilt(name=name, position=build.position, rows=rows[0])

    def _switch_patiently(self, build: Aside) -> None:
        """A reader of the old table may be slow, and everybody would queue behind our wish to drop it."""
        deadline = time.monotonic() + self._switch_timeout_s
        position = build.position
        while True:
            try:
                return self._switch(build)
            except pg.LockNotAvailable as error:
                build.position = position  # what was caught up is rolled back
                if time.monotonic() > deadline:
                    raise StoreUnavailable(
                        f"{build.model.name} is being read or written without a pause; nothing was switched"
                    ) from error

    def _switch(self, build: Aside) -> None:
        connection, name = self._connected(), build.model.name
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '500ms'")
            connection.execute(_SQL["wait_for"], {"name": name})
            there = checkpoints.whole(connection, name)
            position = max(one.position for one in there)
            while build.fill(self._pages, up_to=position):
                pass
            if build.stop is not None:
                return
            build.put_live()
            checkpoints.move(connection, [one.name for one in there], build.position)
            connection.execute(_SQL["rebuilt"], {"name": name})
            reach("before_switch_commit")
