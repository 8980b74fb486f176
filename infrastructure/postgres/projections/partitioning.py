"""Changing the number of partitions of read models, while projectors run or while none does.

Asking is all that is done here: the projectors bring their partitions to one position and change the number themselves. Where all
stand at one position already, as a single partition always does, it is changed at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from domain.errors import Misconfigured
from domain.partitions import MOST
from infrastructure.postgres.database import translated
from infrastructure.postgres.projections import checkpoints
from infrastructure.postgres.projections.models import read_models
from infrastructure.postgres.projections.session import connect


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitioning:
    """`done`: the read model has that many partitions now; else it will once each has come to the position of the furthest."""

    name: str
    partitions: int
    done: bool


def partition(dsn: str, partitions: int, names: Iterable[str] | None = None) -> list[Partitioning]:
    """Ask for so many partitions. Repeating it changes nothing; asking for the present number gives up a change under way."""
    if not 1 <= partitions <= MOST:
        raise Misconfigured(f"a read model has 1 to {MOST} partitions, not {partitions}")
    wanted = [model.name for model in read_models(names)]
    with translated(), connect(dsn, application="orderwright partitions") as connection:
        return [
            Partitioning(name=n, partitions=partitions, done=checkpoints.want_partitions(connection, n, partitions))
            for n in wanted
        ]
