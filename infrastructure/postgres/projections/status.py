"""How far each projection is, in how many partitions, and whether one stands still."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from infrastructure.postgres.database import translated
from infrastructure.postgres.projections.models import read_models
from infrastructure.postgres.projections.session import connect
from infrastructure.postgres.queries import load

_SQL = load("projections")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionStatus:
    """`position` is that of the last of its partitions; `lag_events` counts positions, holes of rollbacks included.

    `lag_s` is the age of the oldest event not applied. While the number of partitions is to become `wanted`, none goes beyond `barrier`.
    """

    name: str
    position: int
    head: int
    lag_events: int
    lag_s: float
    state: Literal["running", "stopped", "rebuilding", "repartitioning"]
    reason: str
    rebuilds: int
    partitions: int
    wanted: int | None
    barrier: int | None
    positions: Sequence[int]


def status(dsn: str, names: Iterable[str] | None = None) -> list[ProjectionStatus]:
    """One line a projection, also for those that have not begun."""
    wanted = [model.name for model in read_models(names)]
    with translated(), connect(dsn, application="orderwright status") as connection:
        rows = connection.execute(_SQL["status"], {"names": wanted}).fetchall()
    return [
        ProjectionStatus(
            name=row[0],
            position=row[1],
            head=row[2],
            lag_events=max(0, row[2] - row[1]),
            lag_s=max(0.0, row[3] or 0.0),
            state=row[4],
            reason=row[5],
            rebuilds=row[6],
            partitions=row[7],
            wanted=row[8],
            barrier=row[9],
            positions=row[10],
        )
        for row in rows
    ]
