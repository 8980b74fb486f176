"""The server process of one data folder, as `postmaster.pid` tells and the process table confirms.

    line 1 pid   2 data folder   3 start   4 port   5 socket folder   6 TCP address   7 shared memory   8 status

The file outlives a kill. It is believed only when that pid runs a program called `postgres` with our data folder among its arguments.
It is never removed here: PostgreSQL finds orphans of a killed server by its line 7.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infrastructure.embedded.layout import Layout
from infrastructure.embedded.processes import Process, find_process


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmaster:
    """A running server of ours; `ready` when it takes connections, be it only to be read as a standby."""

    process: Process
    port: int
    socket_folder: Path
    tcp_address: str
    ready: bool

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def is_gone(self) -> bool:
        now = find_process(self.pid)
        return now is None or now.started != self.process.started


def find_postmaster(layout: Layout) -> Postmaster | None:
    """The live server of this folder, or None."""
    lines = _lines(layout.pid_file)
    process = find_process(_number(lines, 0))
    if process is None or not _serves(process, layout.data):
        return None
    return Postmaster(
        process=process,
        port=_number(lines, 3),
        socket_folder=Path(_text(lines, 4)),
        tcp_address=_text(lines, 5),
        ready=_text(lines, 7) in {"ready", "standby"},
    )


def stranger_pid(layout: Layout) -> int | None:
    """A pid in `postmaster.pid` that is not our server, if the file names one that is not ours."""
    pid = _number(_lines(layout.pid_file), 0)
    return pid if pid > 0 and find_postmaster(layout) is None else None


def _serves(process: Process, data: Path) -> bool:
    names = {Path(argument).name for argument in process.arguments[:1]}
    return "postgres" in names and str(data) in process.arguments


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def _text(lines: list[str], index: int) -> str:
    return lines[index].strip() if index < len(lines) else ""


def _number(lines: list[str], index: int) -> int:
    text = _text(lines, index).lstrip("-")  # a negative pid is a standalone backend
    return int(text) if text.isdigit() else 0
