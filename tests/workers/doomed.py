"""Worker processes that end badly: `python -m tests.workers.doomed DSN HOW`, with a line on the standard input for each of them.

They assess risks and nothing else. With HOW `poison` the order `poison` kills its worker; with `hang` no call ever comes back. The next
worker is forked when the one before is dead.
"""

import os
import signal
import sys
import threading
from datetime import timedelta
from typing import Any

from domain import outside
from domain.outside import Answer, Request
from domain.work import Step
from infrastructure.postgres.store import PostgresStore
from workers.step_worker import StepWorker
from workers.worker_settings import WorkerSettings


class Poisoned:
    """Approves of everything, and dies of one order."""

    def call(self, request: Request, *, inquire_first: bool, act: bool = True, **more: Any) -> Answer:
        assert isinstance(request, outside.AssessRisk)
        if request.order_id == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        return outside.RiskVerdict(decision="approve", score=1)


class Hanging:
    """Never answers."""

    def call(self, request: Request, *, inquire_first: bool, act: bool = True, **more: Any) -> Answer:
        threading.Event().wait()
        raise AssertionError


def work(dsn: str, world: Poisoned | Hanging) -> None:
    """Be a worker until it is killed."""
    settings = WorkerSettings(
        name=f"doomed {os.getpid()}",
        steps=frozenset({Step.RISK}),
        threads=4,
        sweep=timedelta(milliseconds=50),
        grace=timedelta(seconds=1),
    )
    worker = StepWorker(PostgresStore(dsn), world, lambda _pairs: None, settings)
    worker.run()


def main(dsn: str, how: str) -> None:
    """One worker for each line."""
    world: Poisoned | Hanging = Hanging() if how == "hang" else Poisoned()
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            work(dsn, world)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
