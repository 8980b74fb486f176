"""Who used the processors: a throughput says little as long as nobody knows what was busy, the workers or something beside them."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import psycopg

from tests.faults.signals import children_of

TICKS = os.sysconf("SC_CLK_TCK")


def seconds_of(pid: int) -> float:
    """Of a process with all of its children, those that have ended included."""
    return _seconds(pid, ended=True) + sum(_seconds(child, ended=False) for child in children_of(pid))


def postmaster_of(dsn: str) -> int:
    """The parent of the backend that answers."""
    with psycopg.connect(dsn) as connection:
        return int(_fields(connection.info.backend_pid)[1])


class Meter:
    """Reads the processors' time of some processes, and what it has grown by since."""

    def __init__(self, pids: Mapping[str, Iterable[int]]) -> None:
        self._pids = {name: tuple(some) for name, some in pids.items()}
        self._before = self._read()

    def used(self) -> dict[str, float]:
        """Seconds by name, since the beginning."""
        return {name: now - self._before[name] for name, now in self._read().items()}

    def _read(self) -> dict[str, float]:
        return {name: sum(map(seconds_of, pids)) for name, pids in self._pids.items()}


def _seconds(pid: int, *, ended: bool) -> float:
    fields = _fields(pid)
    return sum(int(ticks) for ticks in fields[11 : 15 if ended else 13]) / TICKS


def _fields(pid: int) -> list[str]:
    """From the state on: what stands before it may hold blanks. Nothing, if it has just ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []
