"""The simulator as a really started process: a plug-in of fixtures, and the handle that tests hold.

def test_something(simulator):                # a process of its own, with an empty ledger
    world = http_world(simulator.url, threads=4, deadline_s=5)
    simulator.behave(faults={"drop_after": 0.3})
    ...
    assert simulator.summary()["captured"] == {"EUR": 4200}
    assert simulator.rows("SELECT key, amount FROM captures") == [...]
"""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any
from urllib.request import Request, urlopen

import pytest

ROOT = Path(__file__).parents[2]
START_S = 30.0
STOP_S = 20.0


def await_that(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Returns once the condition holds; fails the test if it never does."""
    until, pause = time.monotonic() + within_s, Event()
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"not within {within_s} s: {condition}")
        pause.wait(0.005)


class Simulator:
    """One process on one ledger; `restart` keeps both ledger and port."""

    def __init__(self, folder: Path, *, seed: int = 0, port: int = 0, **behaviour: Any) -> None:
        self.folder = folder
        self.ledger = folder / "ledger.db"
        self.seed = seed
        self.behaviour = behaviour
        self._start(port)

    @property
    def pid(self) -> int:
        return self.process.pid

    def behave(self, **changes: Any) -> dict[str, Any]:
        """Changes the named fields of the behaviour; the others stay."""
        answer: dict[str, Any] = self._ask("PUT", "/control", changes)
        return answer

    def reset(self) -> None:
        """Back to the behaviour of the start."""
        self.behave(**self._defaults)

    def summary(self) -> dict[str, dict[str, int]]:
        answer: dict[str, dict[str, int]] = self._ask("GET", "/ledger/summary")
        return answer

    def rates(self) -> list[dict[str, Any]]:
        """The calls of every second, by operation: `second`, `operation`, `calls`, `spoiled`."""
        answer: dict[str, list[dict[str, Any]]] = self._ask("GET", "/ledger/rates")
        return answer["rates"]

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Reads the ledger beside the running process, as an independent checker would."""
        with closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True)) as books:
            return books.execute(query, parameters).fetchall()

    def kill(self) -> None:
        """As kill -9 does it."""
        self.process.kill()
        self.process.wait(STOP_S)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.terminate()
        return self.process.wait(STOP_S)

    def restart(self) -> None:
        self._start(self.port)

    def _start(self, port: int) -> None:
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        with (self.folder / "simulator.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.simulator", *self._arguments(port, port_file)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.port = self._await_port(port_file)
        self.url = f"http://127.0.0.1:{self.port}"
        self._defaults = self._ask("GET", "/control")

    def _arguments(self, port: int, port_file: Path) -> list[str]:
        options = {"ledger": self.ledger, "port": port, "port-file": port_file, "seed": self.seed}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        return [*arguments, f"--config={json.dumps(self.behaviour)}"]

    def _await_port(self, port_file: Path) -> int:
        await_that(lambda: port_file.exists() or self.process.poll() is not None, within_s=START_S)
        if not port_file.exists():
            log = (self.folder / "simulator.log").read_text(encoding="utf-8")
            raise RuntimeError(f"the simulator did not start: {log[-2000:]}")
        return int(port_file.read_text(encoding="ascii"))

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data=data, method=method, headers={"content-type": "application/json"})
        with urlopen(request, timeout=10) as answer:
            return json.load(answer)


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    """A simulator with an empty ledger, for one test."""
    (folder := tmp_path / "simulator").mkdir()
    process = Simulator(folder)
    try:
        yield process
    finally:
        process.kill()


@pytest.fixture(scope="module")
def _module_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    process = Simulator(tmp_path_factory.mktemp("simulator"))
    try:
        yield process
    finally:
        process.kill()


@pytest.fixture
def shared_simulator(_module_simulator: Simulator) -> Iterator[Simulator]:
    """One process a module, with its first behaviour again for each test; the ledger keeps what other tests wrote."""
    _module_simulator.reset()
    yield _module_simulator
    _module_simulator.reset()
