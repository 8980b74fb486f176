"""The demonstration's own folder: fresh at every run, and nobody else's.

It is known by a mark. A folder without it is left alone, whatever it holds; in one with it only what a run makes is removed.
"""

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import Misconfigured
from workers.bootstrap import stop_left_behind

LEAVING_S = 20.0
MARK = "demo.lock"
SERVER = "postgres"
MADE = (
    SERVER,
    "logs",
    "ledger.db",
    "ledger.db-wal",
    "ledger.db-shm",
    "ledger.db.lock",
    "simulator.port",
    "orderwright.toml",
)


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """The folder, emptied, and locked against a second run while the block runs."""
    _refuse_strangers(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / MARK).open("ab") as mark, (folder / "users.lock").open("ab") as users:
        if not _lock(mark.fileno()):
            raise Misconfigured(f"a demo runs in {folder} already: end it, or choose another --data-dir")
        if not _wait_for(users.fileno()):
            raise Misconfigured(f"another program uses {folder}: end it, or choose another --data-dir")
        stop_left_behind(folder / SERVER)
        for name in MADE:
            _remove(folder / name)
        fcntl.flock(users.fileno(), fcntl.LOCK_UN)
        yield folder


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep a second `dev`, and one beside a demo, out of the folder while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "dev.lock").open("ab") as own:
        if not _lock(own.fileno()):
            raise Misconfigured(f"dev runs in {folder} already: end it, or choose another --data-dir")
        if (folder / MARK).exists():
            with (folder / MARK).open("ab") as mark:
                if not _lock(mark.fileno()):
                    raise Misconfigured(f"a demo runs in {folder}: end it, or choose another --data-dir")
        yield


def _refuse_strangers(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise Misconfigured(f"{folder} is no folder: choose another --data-dir")
    if folder.exists() and not (folder / MARK).exists() and any(folder.iterdir()):
        raise Misconfigured(
            f"{folder} holds something else than a demo, and a demo empties its folder: choose another one"
        )


def _wait_for(descriptor: int) -> bool:
    """The processes of a run that was killed notice it, and need a moment to end."""
    deadline = time.monotonic() + LEAVING_S
    while not _lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
