"""A tree of our own processes: started, watched, started again when they die, ended in good order.

Each child has a session of its own, so that Ctrl-C reaches the supervisor alone, which then ends the children one stage after the
other; and each holds the end of a pipe from the supervisor, so that none outlives a supervisor that was killed.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

LOOK_S = 0.2
HEAL_EVERY_S = 1.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
WELL_AFTER_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """What to run: the arguments of `orderwright`. Children of a lower stage are ended first."""

    name: str
    arguments: Sequence[str]
    stage: int = 0


@dataclass(slots=True)
class _Running:
    child: Child
    process: subprocess.Popen[bytes]
    since: float = field(default_factory=time.monotonic)
    failures: int = 0
    again_at: float | None = None


class Tree:
    """Start children, `close` at the end.

    `environment` is all that they get; what is put there later is for those that are started later. `heal` is called every second and may bring back what is no child; True says that it did.
    `tell` hears of everything that a person should know.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        logs: Path | None = None,
        heal: Callable[[], bool] = lambda: False,
        tell: Callable[[str], object] = lambda _: None,
        grace_s: float = 20.0,
    ) -> None:
        self.environment = {**environment, "PYTHONPATH": _import_path()}
        self._logs = logs
        self._heal = heal
        self._tell = tell
        self._grace_s = grace_s
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="tree", daemon=True)
        self.restarts = 0

    def start(self, child: Child) -> None:
        """Start a child and look after it."""
        with self._lock:
            self._running[child.name] = _Running(child, self._spawn(child))
            if not self._watcher.is_alive() and not self._closing.is_set():
                self._watcher.start()

    def pids(self) -> dict[str, int]:
        """Who runs under which pid."""
        with self._lock:
            return {name: running.process.pid for name, running in self._running.items()}

    def close(self) -> bool:
        """End all, stage by stage; True if none had to be killed."""
        self._closing.set()
        if self._watcher.is_alive():
            self._watcher.join(self._grace_s)
        deadline = time.monotonic() + self._grace_s
        with self._lock:
            stages = sorted({running.child.stage for running in self._running.values()})
            well = True
            for stage in stages:
                some = [running.process for running in self._running.values() if running.child.stage == stage]
                well = _end(some, deadline) and well
        return well

    def _spawn(self, child: Child) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "workers", *child.arguments, "--with-parent"]
        with self._log_of(child) as out:
            return subprocess.Popen(
                command, env=self.environment, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
            )

    def _log_of(self, child: Child) -> IO[bytes]:
        if self._logs is None:
            return os.fdopen(os.dup(2), "ab")
        self._logs.mkdir(parents=True, exist_ok=True)
        return (self._logs / f"{child.name}.log").open("ab")

    def _watch(self) -> None:
        healed_at = 0.0
        while not self._closing.wait(LOOK_S):
            if time.monotonic() - healed_at >= HEAL_EVERY_S:
                self._heal_quietly()
                healed_at = time.monotonic()
            with self._lock:
                for running in self._running.values():
                    self._look_after(running)

    def _heal_quietly(self) -> None:
        try:
            if self._heal():
                self._tell("the database had died and runs again")
        except Exception as error:  # noqa: BLE001 - it is tried again in a second
            self._tell(f"the database does not start: {error}")

    def _look_after(self, running: _Running) -> None:
        code = running.process.poll()
        now = time.monotonic()
        if code is None:
            if now - running.since > WELL_AFTER_S:
                running.failures = 0
            return
        if running.again_at is None:
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**running.failures)
            running.again_at = now + pause
            self._tell(f"{running.child.name} ended with {code} and is started again in {pause:g} s")
        elif now >= running.again_at:
            running.failures += 1
            running.process, running.since, running.again_at = self._spawn(running.child), now, None
            self.restarts += 1


def free_port() -> int:
    """A port of 127.0.0.1 that is free just now; for a child that must keep it when it is started again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children(workers: int) -> list[Child]:
    """The processes of a whole installation but the outside world; those who make work are ended first."""
    return [
        Child(name="relay", arguments=["relay"]),
        Child(name="intake", arguments=["intake"]),
        *(Child(name=f"worker-{number}", arguments=["worker"]) for number in range(1, workers + 1)),
        Child(name="projector", arguments=["projector"], stage=1),
        Child(name="keeper", arguments=["keeper"], stage=1),
    ]


def _end(processes: Sequence[subprocess.Popen[bytes]], deadline: float) -> bool:
    for process in processes:
        with suppress(ProcessLookupError):
            process.terminate()
    well = True
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            well = False
        if process.stdin is not None:
            process.stdin.close()
    return well


def _import_path() -> str:
    """Where this very program was imported from, for children that are told not to look into the current folder."""
    here = str(Path(__file__).resolve().parents[1])
    return os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
