"""The schema of one database, and the read models in it."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from infrastructure.postgres import grants, migrate
from infrastructure.postgres.migration_files import read_migrations
from workers.leases import Leases
from workers.projector import Projector
from workers.replay import Replay
from workers.shares import Shares

if TYPE_CHECKING:
    from infrastructure.postgres.projections.rebuild import Rebuilt


class Migrations:
    """The migration runner on one database."""

    def __init__(self, dsn: str) -> None:
        self.up = partial(migrate.up, dsn)
        self.status = partial(migrate.status, dsn)
        self.check = partial(migrate.check, dsn)
        self.wait = partial(migrate.wait, dsn)
        self.grant = partial(grants.grant, dsn)
        self.grants_script = partial(grants.script, dsn)


class Projections:
    """The read models of one database; `direct` is the way past a pooler, for what needs a session of its own."""

    def __init__(self, dsn: str, *, direct: str) -> None:
        from infrastructure.postgres import projections

        self._dsn = dsn
        self._direct = direct
        self._module = projections
        self.status = partial(projections.status, dsn)
        self.verify = partial(projections.verify, direct)
        self.partition = partial(projections.partition, dsn)

    def projector(self, leases: Leases) -> Projector:
        """The role that keeps up to date what it gets the leases of."""
        projections = self._module.PostgresProjector(self._dsn, guard=leases.table.guard)
        return Projector(projections, Shares(leases, "projector", projections.names))

    def replay(
        self,
        names: Iterable[str] | None,
        *,
        on_progress: Callable[[int, int], object],
        stopping: Callable[[], bool],
    ) -> "Replay[Rebuilt]":
        """Rebuild the named ones, or all."""
        return Replay(self._module.PostgresRebuild(self._direct, names), on_progress=on_progress, stopping=stopping)


def migration_sql() -> list[tuple[str, str]]:
    """Name and text of every migration; connects to nothing."""
    return [(migration.name, migration.sql) for migration in read_migrations()]
