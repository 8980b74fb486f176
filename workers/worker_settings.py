"""What a step worker is told, at its start and again whenever it changes, and what it counts while it works."""

from dataclasses import dataclass, field
from datetime import timedelta

from domain.process import Policy
from domain.routing import Warehouse
from domain.work import Step
from workers.retry import Retries, RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """`batch`: orders in one append; `in_flight`: runs held at once; `threads`: calls at once to each dependency.

    `sweep`: how often we look for due work that nobody announced; `reconcile`: for work that is ours without our knowing.
    `call_limit`: after that a call will not come back any more; `stuck_after`: a round that takes so long will never end.
    Nothing of the `paused` steps is begun. Of all calls to a dependency a share of `retry_share`, and `retry_floor` a minute, may be retries.
    """

    name: str
    steps: frozenset[Step] = frozenset(Step)
    paused: frozenset[Step] = frozenset()
    batch: int = 200
    in_flight: int = 1000
    threads: int = 16
    lease: timedelta = timedelta(seconds=10)
    sweep: timedelta = timedelta(seconds=2)
    reconcile: timedelta = timedelta(seconds=30)
    grace: timedelta = timedelta(seconds=25)
    policy: Policy = field(default_factory=Policy)
    retry: Retries = field(default_factory=RetryPolicy)
    retry_share: float = 0.1
    retry_floor: int = 60
    call_limit: timedelta = timedelta(seconds=30)
    stuck_after: timedelta = timedelta(seconds=120)
    warehouses: tuple[Warehouse, ...] = ()


@dataclass(slots=True)
class Counters:
    """What the worker did since it started."""

    runs: int = 0
    events: int = 0
    batches: int = 0
    conflicts: int = 0
    fenced: int = 0
    dead: int = 0
    swept: int = 0
