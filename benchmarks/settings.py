"""`python -m benchmarks.settings`: how long a change of a live setting takes until the last running worker goes by it.

Real worker processes follow settings in PostgreSQL and, where it is installed, in etcd with three members. A change is timed from the
moment before it is sent until a worker has told all its parts of it, which it says in its log; both by the clock of this machine. The
workers are otherwise idle. What was promised is one second.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from uuid import uuid4

from benchmarks.flow import fresh_database
from benchmarks.machine import describe
from domain.configuration import SettingsStore
from infrastructure.embedded.waiting import wait_until
from infrastructure.settings import load
from tests.servers.etcd import EtcdCluster, find_etcd
from workers.bootstrap.coordination import settings_store

PATIENCE_S = 60.0
NOBODY = "http://127.0.0.1:9"  # no order comes, so nobody is called


class Worker:
    """A worker process and what it has said."""

    def __init__(self, folder: Path, number: int, environment: Mapping[str, str]) -> None:
        self._log = folder / f"worker-{number}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers", "worker", "--gateway-url", NOBODY],
                env={**os.environ, "PYTHONPATH": str(Path.cwd()), **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def await_registered(self) -> None:
        assert wait_until(lambda: "registered" in self._said(), timeout_s=PATIENCE_S), self._said()

    def applied_at(self, version: int) -> float:
        """When it went by a version, in seconds since 1970."""
        assert wait_until(lambda: version in self._applied(), timeout_s=PATIENCE_S), self._said()
        return self._applied()[version]

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def _applied(self) -> dict[int, float]:
        told = [json.loads(line) for line in self._said().splitlines() if '"settings in force"' in line]
        return {one["version"]: datetime.fromisoformat(one["timestamp"]).timestamp() for one in told}

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8")


def measure(environment: Mapping[str, str], *, workers: int, changes: int) -> list[float]:
    """Seconds from each change until the last worker had applied it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ow-bench-")))
        settings, _ = load({}, environment=environment)
        assert settings.database_url is not None
        store = settings_store(settings, settings.database_url.get_secret_value())
        stack.enter_context(closing(store))
        running = [Worker(folder, number, environment) for number in range(workers)]
        for worker in running:
            stack.callback(worker.end)
        for worker in running:
            worker.await_registered()
        return [_change(store, running, version) for version in range(changes)]


def _change(store: SettingsStore, running: Sequence[Worker], version: int) -> float:
    began = time.time()
    values = {"batch": 100 + version}
    made = store.change(version, values, who="benchmark", why="to see how long it takes", request=uuid4().hex)
    return max(worker.applied_at(made.version) for worker in running) - began


@contextmanager
def etcd() -> Iterator[Mapping[str, str] | None]:
    """A cluster of our own; None where it is not installed."""
    if find_etcd() is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="ow-bench-") as folder:
        cluster = EtcdCluster(Path(folder))
        try:
            yield {"ORDERWRIGHT_COORDINATION_URL": cluster.start()}
        finally:
            cluster.stop()


def show(name: str, taken_s: Sequence[float]) -> None:
    milliseconds = [1000 * one for one in sorted(taken_s)]
    sys.stdout.write(f"{name:14}{len(milliseconds):>8}{median(milliseconds):>12.0f}{milliseconds[-1]:>9.0f}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.settings", description=__doc__)
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    with fresh_database() as dsn, fresh_database() as other, etcd() as cluster:
        sys.stdout.write("".join(f"{line}\n" for line in describe(dsn)))
        sys.stdout.write(
            f"{'settings in':14}{'changes':>8}{'median ms':>12}{'max ms':>9}   {options.workers} workers\n"
        )
        show("PostgreSQL", measure({"DATABASE_URL": dsn}, workers=options.workers, changes=options.changes))
        if cluster is not None:
            environment = {"DATABASE_URL": other, **cluster}
            show("etcd", measure(environment, workers=options.workers, changes=options.changes))


if __name__ == "__main__":
    main()
