"""The program as a user runs it: processes of the command line, in a folder of their own, ended by pid."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.servers.simulator import await_that

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "workers")
STOP_S = 40.0


class Role:
    """A long-running role; `kill` and `start` as often as you like. Its output goes to one log."""

    def __init__(self, name: str, arguments: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.arguments = arguments
        self._environment = environment
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, *self.arguments],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """As a crash would: signal 9."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to drain; returns its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)
            raise


class CommandLine:
    """Short commands of a person."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command whose end is somebody else's concern."""
        with (self._folder / "commands.log").open("ab") as log:
            return subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def run(self, *arguments: str, within_s: float = 60.0) -> int:
        """Run a command to its end; returns its exit code."""
        process = self.begin(*arguments)
        try:
            return process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)
            raise


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
