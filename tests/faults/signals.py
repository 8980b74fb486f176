"""Signals to processes that the tests started, and what the process table says of them."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infrastructure.embedded.waiting import wait_until

STOPPED_WITHIN_S = 10.0


def send(pid: int, number: signal.Signals) -> None:
    """One that has ended already is none the worse for it."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def kill(pid: int) -> None:
    """As a crash or the kernel's killer would end it."""
    send(pid, signal.SIGKILL)


def freeze(pids: Iterable[int]) -> None:
    """They do nothing any more, but hold all that they hold; their kernel goes on answering for them.

    Returns when every thread stands still: on a busy machine some go on for a while after the signal was sent.
    """
    some = list(pids)
    for pid in some:
        send(pid, signal.SIGSTOP)
    assert wait_until(lambda: all(map(_stands_still, some)), timeout_s=STOPPED_WITHIN_S), some


def thaw(pids: Iterable[int]) -> None:
    for pid in pids:
        send(pid, signal.SIGCONT)


@contextmanager
def frozen(pids: Iterable[int]) -> Iterator[None]:
    """Frozen for the length of the block."""
    some = list(pids)
    freeze(some)
    try:
        yield
    finally:
        thaw(some)


def state(pid: int) -> str:
    """The letter of the process table (R, S, T ...); empty if there is no such process."""
    return _fields(pid)[0] if _fields(pid) else ""


def children_of(pid: int) -> list[int]:
    """Direct children only."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [one for one in numbers if (fields := _fields(one)) and int(fields[1]) == pid]


def cpu_seconds(pid: int) -> float:
    """What it has used so far, by itself and in the kernel."""
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def open_files(pid: int) -> int:
    with suppress(OSError):
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return 0


def resident_mb(pid: int) -> float:
    """Memory that is really there."""
    with suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def address_space(pid: int) -> int:
    """All the memory that it has asked for, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _stands_still(pid: int) -> bool:
    """Also if it has ended."""
    return all(
        _stat(thread / "stat")[:1] in ([], ["T"], ["t"], ["Z"], ["X"]) for thread in Path(f"/proc/{pid}/task").glob("*")
    )


def _fields(pid: int) -> list[str]:
    return _stat(Path(f"/proc/{pid}/stat"))


def _stat(file: Path) -> list[str]:
    """From the state on: what stands before it may hold blanks."""
    with suppress(OSError):
        return file.read_text(encoding="utf-8").rpartition(")")[2].split()
    return []
