"""The program as its users call it: a subprocess with arguments, streams and signals. A traceback fails the test."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.simulator import await_that

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "workers"]
LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    """What a call came to."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Program:
    """Calls with one environment; `log` is where long-running calls write to."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self._started = 0

    def call(self, *arguments: str | bytes | Path, stdin: bytes = b"", **environment: str) -> Ended:
        """Run to the end."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            input=stdin,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
        return checked(Ended(done.returncode, done.stdout.decode(), done.stderr.decode()))

    @contextmanager
    def running(self, *arguments: str, **environment: str) -> Iterator["Running"]:
        """Run beside the test; killed at its end if need be."""
        self._started += 1
        log = self.folder / f"{arguments[0]}-{self._started}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=self.folder,
                env={**self.environment, **environment, "PYTHONFAULTHANDLER": "1"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            yield Running(process, log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(LIMIT_S)


@dataclass(frozen=True, slots=True)
class Running:
    """A long-running call."""

    process: subprocess.Popen[bytes]
    log: Path

    def says(self, text: str) -> bool:
        return text in self.log.read_text(encoding="utf-8", errors="replace")

    def await_word(self, text: str) -> None:
        await_that(lambda: self.says(text) or self.process.poll() is not None, within_s=LIMIT_S)
        assert self.says(text), self.log.read_text(encoding="utf-8", errors="replace")

    def end(self, number: signal.Signals = signal.SIGTERM) -> Ended:
        """Signal, and wait for the end; one that does not end has to say where it is."""
        self.process.send_signal(number)
        try:
            code = self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(LIMIT_S)
            raise AssertionError(f"did not end: {self.log.read_text(encoding='utf-8', errors='replace')}") from None
        return checked(Ended(code, "", self.log.read_text(encoding="utf-8", errors="replace")))


def checked(ended: Ended) -> Ended:
    assert "Traceback" not in ended.err, ended.err
    return ended


def order_line(number: int, **changes: object) -> bytes:
    """One good order as its JSON line, without the line end."""
    order = {
        "order_id": f"A-{number}",
        "customer_id": "C-1",
        "currency": "EUR",
        "lines": [{"sku": "TEA", "quantity": 1, "amount": 500}],
        "shipping": 0,
        "total": 500,
        "ship_to": {"name": "Ada", "street": "Street 1", "city": "Berlin", "country": "DE"},
        "payment": {"token": "tok_1"},
    }
    return json.dumps({**order, **changes}).encode()


def order_file(path: Path, count: int) -> Path:
    path.write_bytes(b"".join(order_line(number) + b"\n" for number in range(count)))
    return path
