"""The composition root: the only package that names adapters. It connects nothing until it is asked to.

`Runtime` is what a command of the CLI or a long-running role gets. It is made of parts, so that a new adapter touches one of them:

    foundation.py   settings, database, store, broker, wake-ups: what everything else stands on
    living.py       the settings that change while the program runs
    roles.py        the long-running roles and the doors for orders
    reviewing.py    what a person does about dead letters
    views.py        what only looks: read models, diagnosis
    schema.py       migrations and projections of one database
    terms.py        the settings in the terms of the roles
"""

from infrastructure.cluster import Cluster, Going, Member
from infrastructure.embedded.shared import stop_left_behind
from infrastructure.plain import is_this_machine
from infrastructure.postgres.diagnosis import Strain
from infrastructure.schemas import export_schemas
from workers.bootstrap.queues import DEAD_QUEUE, INTAKE_QUEUE, QUEUES
from workers.bootstrap.runtime import Runtime
from workers.bootstrap.schema import Migrations, Projections, migration_sql
from workers.bootstrap.terms import settings_of

__all__ = [
    "DEAD_QUEUE",
    "INTAKE_QUEUE",
    "QUEUES",
    "Cluster",
    "Going",
    "Member",
    "Migrations",
    "Projections",
    "Runtime",
    "Strain",
    "export_schemas",
    "is_this_machine",
    "migration_sql",
    "settings_of",
    "stop_left_behind",
]
