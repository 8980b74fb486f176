"""Read models on Postgres: the tables, the projector that keeps them up to date, rebuild, check and queries.

The rules are pure and live in `infrastructure.projections`; here is what loads the rows a batch touches, saves those that changed,
and moves the checkpoint in the same transaction.
"""

from infrastructure.postgres.projections.models import READ_MODELS, ReadModel, read_models
from infrastructure.postgres.projections.partitioning import Partitioning, partition
from infrastructure.postgres.projections.projector import PostgresProjector
from infrastructure.postgres.projections.rebuild import PostgresRebuild
from infrastructure.postgres.projections.rounds import Round, Stopped
from infrastructure.postgres.projections.status import ProjectionStatus, status
from infrastructure.postgres.projections.verify import Difference, verify

__all__ = [
    "READ_MODELS",
    "Difference",
    "Partitioning",
    "PostgresProjector",
    "PostgresRebuild",
    "ProjectionStatus",
    "ReadModel",
    "Round",
    "Stopped",
    "partition",
    "read_models",
    "status",
    "verify",
]
