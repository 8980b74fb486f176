"""One installation under test: database, broker, outside world and roles, and the person who runs it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from infrastructure.embedded import EmbeddedPostgres
from tests.chaos.load import RARE, SKUS, History
from tests.chaos.observer import Observer
from tests.chaos.operator import Operator
from tests.chaos.processes import ROOT, STOP_S, CommandLine, Role, environment_of
from tests.servers.simulator import await_that

WAREHOUSES = ("EAST", "WEST")
BEHAVIOUR = {
    "review_share": 0.015,
    "reject_share": 0.01,
    "hard_decline_share": 0.02,
    "soft_decline_share": 0.015,
    "refused_label_share": 0.005,
    "latency": {"jitter_ms": 5},
    "faults": {"drop_before": 0.02, "drop_after": 0.05, "error_after": 0.01},
}
SETTINGS = {
    "ORDERWRIGHT_WAREHOUSES": "EAST:US,CA;WEST",
    "ORDERWRIGHT_BACKOFF_S": "0.1",
    "ORDERWRIGHT_BACKOFF_CAP_S": "2",
    "ORDERWRIGHT_CALL_DEADLINE_S": "2",
    "ORDERWRIGHT_BACKORDER_RECHECK_S": "5",
    "ORDERWRIGHT_LOG_FORMAT": "json",
}


class Shop:
    """Everything started, with stock on its shelves; two workers, a relay and a projector at work."""

    def __init__(
        self, folder: Path, postgres: EmbeddedPostgres, broker_url: str, chance: Random, behaviour: dict[str, float]
    ) -> None:
        self.folder = folder
        self.postgres = postgres
        self.chance = chance
        self.dsn = postgres.start().dsn
        self.observer = Observer(self.dsn)
        self.history = History(folder / "history.jsonl")
        self.ledger = folder / "ledger.db"
        self._base = environment_of(
            folder, {**SETTINGS, "DATABASE_URL": self.dsn, "ORDERWRIGHT_BROKER_URL": broker_url}
        )
        self.simulator = self._simulator({**BEHAVIOUR, **behaviour})
        self.roles: list[Role] = []

    def start(self) -> None:
        """Everything but the database, which runs already."""
        self.simulator.start()
        self._await_port()
        environment = {**self._base, "ORDERWRIGHT_GATEWAY_URL": f"http://127.0.0.1:{self._port()}"}
        self.simulator.arguments += ["--port", str(self._port())]
        self.command_line = CommandLine(environment, self.folder)
        self.operator = Operator(self.command_line, self.observer)
        if self.command_line.run("migrate", "up") != 0:
            pytest.fail((self.folder / "commands.log").read_text(encoding="utf-8")[-2000:])
        for name in ("worker-1", "worker-2", "relay", "projector"):
            self.roles.append(Role(name, [name.split("-")[0]], environment, self.folder))
            self.roles[-1].start()

    def role(self, name: str) -> Role:
        return next(role for role in self.roles if role.name == name)

    def stock_up(self, *, orders: int, rare: int = 5) -> None:
        """Something of everything, enough for so many orders; of the rare, only what is said."""
        plenty = [(warehouse, sku, 2 * orders + 50) for warehouse in WAREHOUSES for sku in SKUS]
        self.operator.receive([*plenty, *((warehouse, RARE, rare) for warehouse in WAREHOUSES)])

    def kill_postgres(self) -> None:
        """Signal 9 to the postmaster; its children follow, its files stay as they are."""
        pid = self.postgres.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def start_postgres(self) -> None:
        assert self.postgres.start().dsn == self.dsn

    def await_progress(self, *, placed: int, closed: int) -> None:
        """Wait until so many orders are placed, and so many closed."""

        def reached() -> bool:
            now = self.observer.progress()
            return now[0] >= placed and now[1] >= closed

        await_that(reached, within_s=60)

    def settle(self, within_s: float) -> None:
        """Decide what only a person can decide, until everything has ended."""

        def quiet() -> bool:
            self.operator.work()
            self.history.sample(self.observer.sample())
            return self.observer.is_quiet()

        await_that(quiet, within_s=within_s)

    def check(self) -> dict[str, object]:
        """The checker's verdict on all that is there now; fails the test unless it is valid."""
        seen = self.judge()
        assert seen.returncode == 0, f"{_broken(seen.stdout)}{seen.stderr[-2000:]}"
        verdict: dict[str, object] = json.loads(seen.stdout)
        return verdict

    def judge(self) -> subprocess.CompletedProcess[str]:
        """Run the checker, and keep its verdict and the evidence in the folder."""
        options = {"dsn": self.dsn, "ledger": self.ledger, "history": self.history.path}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        record = f"--record={self.folder / 'evidence.jsonl'}"
        program = [sys.executable, "-m", "tests.checker", *arguments, "--all-closed", "--json", record]
        seen = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        (self.folder / "verdict.json").write_text(seen.stdout, encoding="utf-8")
        return seen

    def close(self) -> None:
        for role in [*self.roles, self.simulator]:
            role.kill()
        self.observer.close()

    def _simulator(self, behaviour: dict[str, object]) -> Role:
        arguments = [
            *("simulator", "--ledger", str(self.ledger), "--port-file", str(self.folder / "port")),
            *("--behaviour", json.dumps(behaviour), "--seed", str(self.chance.randrange(10**6))),
        ]
        return Role("simulator", arguments, self._base, self.folder)

    def _await_port(self) -> None:
        await_that(lambda: (self.folder / "port").exists() or not self.simulator.is_running(), within_s=STOP_S)
        if not self.simulator.is_running():
            pytest.fail(self.simulator.log.read_text(encoding="utf-8")[-2000:])

    def _port(self) -> int:
        return int((self.folder / "port").read_text(encoding="ascii"))


def _broken(verdict: str) -> str:
    try:
        invariants = json.loads(verdict)["invariants"]
    except ValueError:
        return verdict[-2000:]
    lines = [f"{name} {found['state']}: {found['promise']}\n" for name, found in invariants.items()]
    found = [f"    {finding}\n" for one in invariants.values() for finding in one["findings"][:5]]
    return "".join([line for line in lines if " kept:" not in line] + found)


@contextmanager
def open_shop(
    folder: Path, postgres: EmbeddedPostgres, broker_url: str, chance: Random, **behaviour: float
) -> Iterator[Shop]:
    """A shop for one test; `behaviour` changes the outside world's. When the test fails, all that is left of the run stays in the folder."""
    shop = Shop(folder, postgres, broker_url, chance, behaviour)
    try:
        shop.start()
        yield shop
    except BaseException:
        if not (folder / "verdict.json").exists():
            shop.judge()
        sys.stderr.write(f"logs, books, evidence and verdict are in {folder.relative_to(folder.parents[1])}\n")
        raise
    finally:
        shop.close()
