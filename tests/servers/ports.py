"""Ports for servers that tests stop and start again.

The kernel gives outgoing connections any free port of its own range, also one whose server is down just now, and that server then cannot
come back. So these ports lie below that range, and each is claimed by a lock on a file until the process ends: other processes of the
same run, or of another one beside it, choose others.
"""

import fcntl
import os
import secrets
import socket
import tempfile
from pathlib import Path

FIRST = 10_000
KERNELS_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LAST_WITHOUT_PROC = 32_000
ATTEMPTS = 1_000

_claims: list[int] = []  # files that stay open, and locked, as long as we live


def lasting_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that nobody else gets from here or from the kernel."""
    for _ in range(ATTEMPTS):
        port = FIRST + secrets.randbelow(_end() - FIRST)
        if _is_free(port) and _claim(port):
            return port
    raise RuntimeError("no port is free")


def _end() -> int:
    return int(KERNELS_RANGE.read_text().split()[0]) if KERNELS_RANGE.exists() else LAST_WITHOUT_PROC


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _claim(port: int) -> bool:
    folder = Path(tempfile.gettempdir()) / f"orderwright-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    claim = os.open(folder / str(port), os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(claim)
        return False
    _claims.append(claim)
    return True
