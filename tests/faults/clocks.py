"""Clocks that are wrong, and jump: the wall clock of one of our processes, or that of a PostgreSQL server.

A `Clock` is a file that says how many seconds a process is ahead. A child of the nursery that finds it in its environment follows it and
answers with the time that it sees, so that a test knows when the jump has happened. The monotonic clock goes on as before, as it does on
a machine whose administrator sets the time. For the server there is `libfaketime`, a library that must be installed.
"""

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from infrastructure.embedded.binaries import Binaries, find_binaries
from tests.servers.simulator import await_that

CLOCK = "TEST_CLOCK"
LOOK_S = 0.02
LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
)


class Clock:
    """The wall clock of one process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._answer = file.with_suffix(".seen")
        file.write_text("0", encoding="ascii")

    @property
    def environment(self) -> dict[str, str]:
        """For a child of the nursery whose clock this is to be."""
        return {CLOCK: str(self._file)}

    def jump(self, to_s: float) -> None:
        """So many seconds off from now on; returns when the process has seen it."""
        _write(self._file, str(to_s))
        await_that(lambda: abs(self.seen_s() - to_s) < 60, within_s=10)

    def seen_s(self) -> float:
        """How far off the process says it is."""
        try:
            return float(self._answer.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0.0


def follow(file: Path) -> None:
    """Let this process's wall clock be as wrong as the file says, for as long as it lives."""
    threading.Thread(target=_follow, args=(file,), name="wrong clock", daemon=True).start()


def _follow(file: Path) -> None:
    import time_machine

    offset, traveller = 0.0, None
    while True:
        wanted = float(file.read_text(encoding="ascii") or 0)
        if wanted != offset:
            if traveller is not None:
                traveller.stop()
            traveller, offset = time_machine.travel(timedelta(seconds=wanted)), wanted
            traveller.start()
            off = datetime.now(UTC).timestamp() - time_machine.escape_hatch.time.time()
            _write(file.with_suffix(".seen"), str(off))
        time.sleep(LOOK_S)


def _write(file: Path, text: str) -> None:
    """All at once: somebody looks at it all the time."""
    fresh = file.with_suffix(".fresh")
    fresh.write_text(text, encoding="ascii")
    fresh.replace(file)


def why_no_server_clock() -> str:
    """Why the clock of a server cannot be moved here; empty if it can."""
    return "" if _library() else "libfaketime is not installed"


class ServerClock:
    """The clock of a PostgreSQL server that is started with `binaries`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "offset"
        self.jump(0)
        real = find_binaries()
        self.binaries = Binaries(folder=folder, major=real.major)
        library = _library()
        assert library is not None, why_no_server_clock()
        settings = f"LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={self._file} FAKETIME_NO_CACHE=1"
        _program(folder / "postgres", f'exec env {settings} FAKETIME_DONT_FAKE_MONOTONIC=1 {real.postgres} "$@"')
        _program(folder / "initdb", f'exec {real.initdb} "$@"')

    def jump(self, to_s: int) -> None:
        """So many seconds off from now on."""
        _write(self._file, f"{to_s:+d}")


def _library() -> str | None:
    return next((path for path in LIBRARIES if os.access(path, os.R_OK)), None)


def _program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)
