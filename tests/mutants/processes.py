"""Processes of one copy of the packages: forked by its nursery, ended by pid."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from tests.mutants.patch import ROOT

START_S = 60.0
STOP_S = 40.0


def wait_until(condition: Callable[[], bool], *, within_s: float) -> bool:
    """Whether the condition came true in time."""
    until, pause = time.monotonic() + within_s, threading.Event()
    while not condition():
        if time.monotonic() > until:
            return False
        pause.wait(0.04)
    return True


class Process:
    """One command of the copy."""

    def __init__(self, nursery: "Nursery", identity: str) -> None:
        self._nursery = nursery
        self._identity = identity

    @property
    def pid(self) -> int:
        return self._nursery.pids[self._identity]

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._nursery.codes.get(self._identity)

    def signal(self, number: signal.Signals) -> None:
        if self.code is None:
            os.kill(self.pid, number)

    def wait(self, within_s: float) -> int | None:
        wait_until(lambda: self.code is not None, within_s=within_s)
        return self.code

    def kill(self) -> None:
        """As a crash would."""
        self.signal(signal.SIGKILL)
        self.wait(STOP_S)

    def stop(self) -> None:
        """Ask it to drain; who does not is killed."""
        self.signal(signal.SIGTERM)
        if self.wait(STOP_S) is None:
            self.kill()


class Nursery:
    """Close it, and everything that it started is killed."""

    def __init__(self, code: Path, folder: Path) -> None:
        self._ids = map(str, count(1))
        self._folder = folder
        self.pids: dict[str, int] = {}
        self.codes: dict[str, int] = {}
        with (folder / "nursery.txt").open("ab") as errors:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", str(ROOT / "tests" / "mutants" / "nursery.py")],
                cwd=folder,
                env={**_without_settings(os.environ), "PYTHONPATH": str(code)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._listener = threading.Thread(target=self._listen, name="nursery", daemon=True)
        self._listener.start()

    def start(self, args: list[str], *, env: Mapping[str, str], name: str, skew_s: float = 0.0) -> Process:
        identity = next(self._ids)
        environment = {**_without_settings(os.environ), **env}
        order = {
            "id": identity,
            "args": args,
            "env": environment,
            "log": str(self._folder / f"{name}.log"),
            "skew_s": skew_s,
        }
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps(order).encode() + b"\n")
        self._popen.stdin.flush()
        if not wait_until(lambda: identity in self.pids or self._popen.poll() is not None, within_s=START_S):
            raise TimeoutError(f"{name} was not started")
        if identity not in self.pids:
            raise RuntimeError((self._folder / "nursery.txt").read_text(encoding="utf-8")[-2000:])
        return Process(self, identity)

    def close(self) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        self._popen.wait(STOP_S)
        self._listener.join(STOP_S)

    def _listen(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            told: dict[str, Any] = json.loads(line)
            into = self.pids if "pid" in told else self.codes
            into[told["id"]] = told["pid" if "pid" in told else "code"]


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("PG", "ORDERWRIGHT_")) and name != "DATABASE_URL"
    }
