"""The durable books: SQLite in WAL mode with `synchronous=FULL`, so what a commit has returned for survives any kill.

One connection, used by one thread. A lock file beside the ledger refuses a second simulator on the same books; readers (a checker)
are welcome at any time.
"""

import fcntl
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

Row = tuple[Any, ...]


class LedgerInUse(Exception):
    """Another simulator writes to these books."""


class Ledger:
    """Named statements on the books; callers bundle them in `transaction`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(path)
        self._db = sqlite3.connect(path, isolation_level=None, cached_statements=256, timeout=10)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_text("schema.sql"))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Returns only when everything done inside is on disk."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def run(self, name: str, **values: object) -> None:
        self._db.execute(_queries()[name], values)

    def row(self, name: str, **values: object) -> Row | None:
        row: Row | None = self._db.execute(_queries()[name], values).fetchone()
        return row

    def rows(self, name: str, **values: object) -> list[Row]:
        return self._db.execute(_queries()[name], values).fetchall()

    def close(self) -> None:
        self._db.close()
        self._lock.close()


def _lock(path: Path) -> IO[str]:
    lock = path.with_name(path.name + ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise LedgerInUse(f"another simulator is running on {path}; stop it or choose another --ledger") from error
    return lock


@cache
def _text(name: str) -> str:
    return files("workers.simulator").joinpath(name).read_text(encoding="utf-8")


@cache
def _queries() -> Mapping[str, str]:
    blocks = _text("queries.sql").split("-- name: ")[1:]
    return {name.strip(): body for name, _, body in (block.partition("\n") for block in blocks)}
