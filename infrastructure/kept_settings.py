"""The last settings that were in force here, on disk: what a process goes by while the store is away, also after a restart.

One file for each store, shared by the processes of a host. It is written whole or not at all, and never over a newer version. It is
also what keeps a store that lost its last changes (a restored backup, a replica that was behind) from taking anybody back: whoever
means that to happen removes the file.
"""

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from domain.configuration import Revision

log = structlog.get_logger()


class KeptSettings:
    """`path` is made, with its folder, when there is something to keep."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Revision | None:
        """What was kept; None if there is nothing, or nothing that can be read."""
        try:
            kept: Any = json.loads(self.path.read_bytes())
            return Revision(version=int(kept["version"]), values=dict(kept["values"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("the kept settings cannot be read", file=str(self.path), reason=str(error))
            return None

    def save(self, revision: Revision) -> None:
        """Keep it unless a newer version is kept already. A disk that does not take it is logged, not raised."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.with_suffix(".lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                kept = self.load()
                if kept is None or kept.version < revision.version:
                    self._write(json.dumps({"version": revision.version, "values": revision.values}))
        except OSError as error:
            log.warning("the settings cannot be kept on disk", file=str(self.path), reason=str(error))

    def _write(self, text: str) -> None:
        new = self.path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
        with suppress(OSError):  # not every file system can
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
