"""How far each projection is, and whether one stands still."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from infrastructure.postgres.database import translated
from infrastructure.postgres.projections.models import read_models
from infrastructure.postgres.projections.session import connect
from infrastructure.postgres.queries import load

_SQL = load("projections")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionStatus:
    """`lag_events` counts positions, holes of rollbacks included; `lag_s` is the age of the oldest event not applied."""

    name: str
    position: int
    head: int
    lag_events: int
    lag_s: float
    state: Literal["running", "stopped", "rebuilding"]
    reason: str
    rebuilds: int


def status(dsn: str, names: Iterable[str] | None = None) -> list[ProjectionStatus]:
    """One line a projection, also for those that have not begun."""
    wanted = [model.name for model in read_models(names)]
    with translated(), connect(dsn, application="orderwright status") as connection:
        rows = connection.execute(_SQL["status"], {"names": wanted}).fetchall()
    return [
        ProjectionStatus(
            name=name,
            position=position,
            head=head,
            lag_events=max(0, head - position),
            lag_s=max(0.0, lag_s or 0.0),
            state=state,
            reason=reason,
            rebuilds=rebuilds,
        )
        for name, position, head, lag_s, state, reason, rebuilds in rows
    ]
