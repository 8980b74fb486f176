"""The names of the broker's queues that belong to no single module."""

from domain.work import Step
from infrastructure.messaging.wakeups import queue_of

INTAKE_QUEUE = "ow_orders"
DEAD_QUEUE = "ow_dead"
QUEUES = (*(queue_of(step) for step in Step), INTAKE_QUEUE)
