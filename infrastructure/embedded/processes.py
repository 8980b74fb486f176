"""Who is behind a pid. A number alone proves nothing: it may be a zombie, or belong to a stranger by now.

Linux answers from /proc, other systems through `ps`. A process is the same one only when its start time is the same too.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that runs now: neither gone nor a zombie."""

    pid: int
    started: str
    arguments: tuple[str, ...]


def find_process(pid: int) -> Process | None:
    """Look the process up; None when it is gone or only waits to be reaped."""
    if pid <= 0:
        return None
    return _from_proc(pid) if (PROC / "self" / "stat").exists() else _from_ps(pid)


def _from_proc(pid: int) -> Process | None:
    try:
        stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        command = (PROC / str(pid) / "cmdline").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # the name in brackets may hold anything
    if fields[0] in "ZX":
        return None
    return Process(pid=pid, started=fields[19], arguments=tuple(command.rstrip("\0").split("\0")))


def _from_ps(pid: int) -> Process | None:
    columns = [_ps_column(pid, column) for column in ("stat", "lstart", "command")]
    state, started, command = columns
    if not state or state.startswith("Z"):
        return None
    return Process(pid=pid, started=started, arguments=tuple(command.split()))


def _ps_column(pid: int, column: str) -> str:
    answer = subprocess.run(
        ["ps", "-ww", "-p", str(pid), "-o", f"{column}="], capture_output=True, text=True, timeout=10, check=False
    )
    return answer.stdout.strip()
