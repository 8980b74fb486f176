"""The embedded server of a data folder, shared by all processes that use the folder: the last one to leave stops it.

Users hold a shared lock on `users.lock` for as long as they live, so the kernel counts them, also those that are killed.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infrastructure.embedded.server import EmbeddedPostgres


def stop_left_behind(folder: Path) -> None:
    """Stop the server of a folder that a killed program left running."""
    server = EmbeddedPostgres(folder)
    if folder.exists() and server.status().pid is not None:
        server.start()
        server.stop()


@contextmanager
def embedded_server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    """The data folder's own PostgreSQL, running. Whoever leaves last stops it, whoever started it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    server = EmbeddedPostgres(data_dir / "postgres")
    with (data_dir / "users.lock").open("ab") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            server.start()
            yield server
        finally:
            with (data_dir / "leaving.lock").open("ab") as leaving:  # one at a time, so that one of them is the last
                fcntl.flock(leaving, fcntl.LOCK_EX)
                if _nobody_else(users.fileno()):
                    server.start()
                    server.stop()
                fcntl.flock(users, fcntl.LOCK_UN)


def _nobody_else(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
