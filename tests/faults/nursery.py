"""A nursery: one process that has imported the whole program and forks a copy of itself for every command.

The interpreter's start and the imports are most of the life of a short command and of a worker that is killed soon; here they are paid
once. A copy is a process like any other: own pid, own connections, killed by signal. It opens nothing before the fork. When the
nursery's standard input ends, with the test that started it, it kills what it has forked and leaves.

    nursery = Nursery(folder)
    child = nursery.start(["worker"], environment={...}, folder=folder, log=folder / "worker.log")
    child.kill(); child.wait(5)            # as with subprocess.Popen
"""

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from tests.faults.clocks import CLOCK, follow
from tests.faults.islands import NETWORK, enter

ROOT = Path(__file__).parents[2]
START_S = 60.0
PRELOADED = (
    *("workers.cli.commands", "workers.bootstrap", "workers.submit", "workers.intake", "workers.intake_consumer"),
    *("workers.simulator.server", "workers.rebuild", "workers.doctor", "infrastructure.postgres.projections"),
    *("infrastructure.postgres.projections.rebuild", "infrastructure.messaging.amqp_wire"),
    *("infrastructure.messaging.pgmq_wire", "rich.progress", "tests.checker.watch"),
)


class Child:
    """A forked process; the part of `subprocess.Popen` that tests use."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = threading.Event()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"child {self.pid}", timeout)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def end(self, code: int) -> None:
        """It has ended, says the nursery."""
        self.returncode = code
        self._ended.set()


class Nursery:
    """May be used by many threads."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.nursery"],
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if not name.startswith(("PG", "ORDERWRIGHT_"))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._lock = threading.Lock()
        self._started: SimpleQueue[Child] = SimpleQueue()
        self._children: dict[int, Child] = {}
        threading.Thread(target=self._listen, name="nursery", daemon=True).start()

    def start(self, arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> Child:
        """Run the program with these arguments; its output is appended to the log."""
        wanted = {"argv": list(arguments), "env": dict(environment), "cwd": str(folder), "log": str(log)}
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
            self._process.stdin.flush()
            try:
                return self._started.get(timeout=START_S)
            except Empty:
                raise RuntimeError("the nursery does not answer; see its log") from None

    def close(self) -> None:
        """Kill what is left of it."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait(20)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "started" in told:
                child = self._children[told["started"]] = Child(told["started"])
                self._started.put(child)
            else:
                self._children.pop(told["ended"]).end(told["code"])


class _Forker:
    """The other end: reads wishes, forks, tells who ended. Returns, in the child, what to become."""

    def __init__(self) -> None:
        self._rest = b""
        self._open = True
        self._mine: set[int] = set()
        self._bell, ring = socket.socketpair()
        self._ring = ring
        self._bell.setblocking(False)
        ring.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(ring.fileno(), warn_on_full_buffer=False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ)
        self._selector.register(self._bell, selectors.EVENT_READ)

    def serve(self) -> dict[str, Any] | None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == 0:
                    if (become := self._read()) is not None:
                        return become
                    if not self._open:
                        return None
                else:
                    with suppress(BlockingIOError):
                        self._bell.recv(4096)
                    self._reap()

    def _read(self) -> dict[str, Any] | None:
        data = os.read(0, 65536)
        self._open = bool(data)
        if not data:
            for pid in self._mine:
                os.kill(pid, signal.SIGKILL)
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            pid = os.fork()
            if pid == 0:
                self._leave()
                become: dict[str, Any] = json.loads(line)
                return become
            self._mine.add(pid)
            _tell(started=pid)
        return None

    def _leave(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        self._bell.close()
        self._ring.close()

    def _reap(self) -> None:
        for pid in list(self._mine):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._mine.discard(pid)
                _tell(ended=pid, code=os.waitstatus_to_exitcode(status))


def _tell(**what: int) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _become(wanted: dict[str, Any]) -> None:
    """Turn into the program: its environment, its folder, its log, its arguments."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(wanted["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for source, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, number)
    os.environ.clear()
    os.environ.update(wanted["env"])
    os.chdir(wanted["cwd"])
    if network := os.environ.get(NETWORK):
        enter(network)
    if clock := os.environ.get(CLOCK):
        follow(Path(clock))
    sys.argv = ["orderwright", *wanted["argv"]]


def main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    wanted = _Forker().serve()
    if wanted is None:
        return
    _become(wanted)
    if wanted["argv"][0] == "watch":
        from tests.checker.watch import main as watch

        sys.argv = wanted["argv"]
        sys.exit(watch())
    from workers.cli import main as run

    run()


if __name__ == "__main__":
    main()
