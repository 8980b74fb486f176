"""Checkpoints: how far each partition of each read model is. A read model that is not partitioned has one, under its own name.

They change only in the transaction that changes the rows; whoever reads one to go on from it locks it until the commit. How their
number changes is told in 0009_partitions.sql.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from infrastructure.postgres.database import Connection
from infrastructure.postgres.queries import load

_SQL = load("projections")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`barrier`: no further than that for now, because the number of partitions is about to change."""

    name: str
    position: int
    stopped_at: int | None
    partitions: int
    partition: int
    barrier: int | None


def model_of(name: str) -> str:
    """The read model that a checkpoint is of."""
    return name.partition("/")[0]


def names(connection: Connection, models: Iterable[str]) -> list[str]:
    """The checkpoints that there are, and those that a read model that has not begun will have."""
    rows = connection.execute(_SQL["names"], {"models": list(models)})
    return [name or model for model, name in rows]


def take(connection: Connection, model: str, wanted: Sequence[str]) -> list[str]:
    """Those of the checkpoints that nobody else works at; they are ours until the commit."""
    if list(wanted) == [model]:
        return [model] if connection.execute(_SQL["take"], {"name": model}).fetchone() == (True,) else []
    return [name for (name,) in connection.execute(_SQL["take_partitions"], {"model": model, "names": list(wanted)})]


def read(connection: Connection, wanted: Sequence[str]) -> list[Checkpoint]:
    """Those that there are, locked until the commit. One of a read model that has not begun is made."""
    found = _read(connection, wanted)
    if not found and len(wanted) == 1 and model_of(wanted[0]) == wanted[0]:
        connection.execute(_SQL["begin"], {"name": wanted[0]})
        found = _read(connection, wanted)
    return found


def whole(connection: Connection, model: str) -> list[Checkpoint]:
    """All of a read model, locked until the commit, in which their number cannot change either."""
    read(connection, [model])
    return read(connection, names(connection, [model]))


def move(connection: Connection, which: Iterable[str], position: int) -> None:
    """Move checkpoints; what had stopped runs again."""
    connection.execute(_SQL["move"], {"names": list(which), "position": position})


def stop(connection: Connection, name: str, at: int, reason: str) -> None:
    """Leave a checkpoint before an event that cannot be taken."""
    connection.execute(_SQL["stop"], {"name": name, "position": at - 1, "stopped_at": at, "reason": reason})


def want_partitions(connection: Connection, model: str, partitions: int) -> bool:
    """Ask for so many partitions; True if it has that many now, False if the partitions first have to come to one position."""
    return connection.execute(_SQL["want_partitions"], {"name": model, "partitions": partitions}).fetchone() == (True,)


def swap_partitions(connection: Connection, model: str) -> bool:
    """Change the number of partitions if it is time to; tells whether that was so."""
    return connection.execute(_SQL["swap_partitions"], {"name": model}).fetchone() == (True,)


def _read(connection: Connection, wanted: Sequence[str]) -> list[Checkpoint]:
    rows = connection.execute(_SQL["checkpoints"], {"names": list(wanted)}).fetchall()
    return [
        Checkpoint(name, position, stopped_at, partitions, partition or 0, barrier)
        for name, position, stopped_at, partitions, partition, barrier in rows
        if position is not None
    ]
