"""The program as a user runs it: processes of the command line, in a folder of their own, ended by pid.

They are forked from one nursery, which saves the start of an interpreter each. A `Supervisor` starts again what died, as an init system
would; it is what makes many kills in a short time possible.
"""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from time import monotonic

from tests.faults.nursery import ROOT, Child, Nursery
from tests.servers.simulator import await_that

STOP_S = 40.0
LOOK_S = 0.02


@cache
def nursery() -> Nursery:
    """One for this process; it ends with it."""
    return Nursery(Path(tempfile.gettempdir()) / "orderwright-nursery.log")


class Role:
    """A long-running role; `kill` and `start` as often as you like. Its output goes to one log."""

    def __init__(self, name: str, arguments: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.arguments = arguments
        self.more: dict[str, str] = {}
        self.wanted = False
        self.lock = threading.RLock()
        self._environment = environment
        self._folder = folder
        self._process: Child | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def code(self) -> int | None:
        """How it ended, if it has."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        with self.lock:
            self.wanted = True
            environment = {**self._environment, **self.more}
            self._process = nursery().start(self.arguments, environment=environment, folder=self._folder, log=self.log)

    def restart(self, **more: str) -> None:
        """Kill it and start it with these variables in its environment, and no others than the first ones."""
        with self.lock:
            self.kill()
            self.more = more
            self.start()

    def ensure(self) -> bool:
        """Start it if it does not run; True if that was so. Two that ensure at once start one."""
        with self.lock:
            if self.is_running():
                return False
            self.start()
            return True

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """As a crash would: signal 9."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to drain; returns its exit code."""
        return self._end(signal.SIGTERM)

    def ask(self, number: signal.Signals) -> None:
        """Send a signal and do not wait; it is not started again."""
        with self.lock:
            self.wanted = False
            if self._process is not None:
                self._process.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        """Its exit code; raises `TimeoutExpired`."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def _end(self, number: signal.Signals) -> int:
        with self.lock:
            process, self.wanted = self._process, False
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)
            raise


class Supervisor:
    """Starts again what was started and has died. A role that ended on request stays ended."""

    def __init__(self, roles: Callable[[], Sequence[Role]]) -> None:
        self._roles = roles
        self._stop = threading.Event()
        self.restarts = 0
        self.codes: list[tuple[str, int]] = []
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(STOP_S)

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_S):
            for role in list(self._roles()):
                with role.lock:
                    if role.wanted and not role.is_running() and not self._stop.is_set():
                        self.restarts += 1
                        self.codes.append((role.name, role.code or 0))
                        role.start()


class CommandLine:
    """Short commands of a person."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder

    def begin(self, *arguments: str, log: str = "commands.log", **more: str) -> Child:
        """Start a command whose end is somebody else's concern."""
        environment = {**self._environment, **more}
        return nursery().start(arguments, environment=environment, folder=self._folder, log=self._folder / log)

    def run(self, *arguments: str, within_s: float = 60.0, log: str = "commands.log") -> int:
        """Run a command to its end; returns its exit code."""
        process = self.begin(*arguments, log=log)
        try:
            return process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)
            raise

    def read(self, *arguments: str, within_s: float = 60.0) -> str:
        """What a command prints, on both streams."""
        name = f"command-{monotonic()}.log"
        self.run(*arguments, within_s=within_s, log=name)
        return (self._folder / name).read_text(encoding="utf-8")


def environment_of(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """What the processes see: their settings, and nobody else's."""
    (folder / "orderwright.toml").touch()
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "ORDERWRIGHT_"))}
    mine.pop("DATABASE_URL", None)
    mine["ORDERWRIGHT_CONFIG"] = str(folder / "orderwright.toml")
    mine["ORDERWRIGHT_DATA_DIR"] = str(folder / "data")
    return {**mine, "PYTHONPATH": str(ROOT), **settings}


def await_running(roles: list[Role]) -> None:
    """Fails at once when a role ended that should run."""
    for role in roles:
        await_that(role.is_running, within_s=1)
