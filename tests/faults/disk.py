"""A small disk that can be filled to the last byte: a file system in memory, which only root can mount."""

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PIECE = b"\0" * 65536
AGAIN_S = 0.02


def why_not() -> str:
    """Why there can be no small disk here; empty if there can."""
    return "" if os.geteuid() == 0 else "only root can mount a disk to fill"


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Mounted at this folder, and gone with all that it held at the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={megabytes}m,mode=0755"
    mount = ["mount", "-t", "tmpfs", "-o", options, "orderwright-tests", str(folder)]
    subprocess.run(mount, check=True, capture_output=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True, timeout=20)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not a byte is free while the block runs: what others free is taken at once."""
    over = threading.Event()
    full = threading.Event()
    filler = threading.Thread(target=_fill, args=(folder / "filler", full, over), name="filler", daemon=True)
    filler.start()
    try:
        assert full.wait(30), "the disk is not full"
        yield
    finally:
        over.set()
        filler.join(30)


def free_bytes(folder: Path) -> int:
    """What is left on the disk of this folder."""
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


def _fill(path: Path, full: threading.Event, over: threading.Event) -> None:
    with path.open("wb", buffering=0) as file:
        while not over.is_set():
            try:
                file.write(PIECE)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                full.set()
                over.wait(AGAIN_S)
    path.unlink()
