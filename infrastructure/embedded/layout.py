"""What lies in the folder of an embedded server, and who may look into it.

    data/         the cluster, 0700           password      of the superuser, random, 0600
    run/          the socket, 0700            owner.json    the process that stops the server
    postgres.log  what the server says        lock          held while starting and stopping

A socket path holds at most 107 bytes; a deeper folder gets a short runtime folder of its own instead of `run`.
"""

import fcntl
import hashlib
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from domain.errors import Misconfigured
from infrastructure.embedded.account import Account
from infrastructure.embedded.processes import Process, find_process
from infrastructure.embedded.waiting import wait_until

LONGEST_SOCKET_PATH = 107
LONGEST_SOCKET_NAME = ".s.PGSQL.65535"
LARGEST_LOG = 10_000_000


@dataclass(frozen=True, slots=True)
class Layout:
    """The names inside one folder."""

    directory: Path

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    @property
    def log(self) -> Path:
        return self.directory / "postgres.log"

    def create(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Misconfigured(f"The folder {self.directory} cannot be used: {error.strerror}.") from error

    def password(self) -> str:
        """Read the password, making it on the first call."""
        path = self.directory / "password"
        if not path.exists():
            _write_private(path, secrets.token_urlsafe(24))
        return path.read_text(encoding="ascii")

    def socket_folder(self, account: Account) -> Path:
        """A private folder short enough for a socket."""
        folder = self._short_enough()
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
        expected = account.user if account.user is not None else os.geteuid()
        if not stat.S_ISDIR(state.st_mode) or state.st_uid not in {expected, os.geteuid()}:
            raise Misconfigured(
                f"{folder} belongs to somebody else: remove it, or choose a folder with a shorter path."
            )
        account.hand_over(folder)
        private(folder)
        return folder

    def remove_runtime_folder(self) -> None:
        """Leave nothing behind outside of our folder."""
        if (folder := self._short_enough()).parent != self.directory:
            with suppress(OSError):
                folder.rmdir()

    def _short_enough(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:12]
        for folder in (self.directory / "run", Path(tempfile.gettempdir()) / f"orderwright-{os.geteuid()}-{digest}"):
            if len(os.fsencode(folder / LONGEST_SOCKET_NAME)) <= LONGEST_SOCKET_PATH:
                return folder
        raise Misconfigured(
            f"The path of {self.directory} is too long for a socket: choose a shorter one, or a short TMPDIR."
        )

    @contextmanager
    def lock(self, *, timeout_s: float) -> Iterator[None]:
        """One process at a time starts or stops; the kernel frees the lock of a killed one."""
        with (self.directory / "lock").open("a") as file:
            if not wait_until(lambda: _try_lock(file.fileno()), timeout_s=timeout_s):
                raise Misconfigured(
                    f"Another process has been starting or stopping the server in {self.directory} for {timeout_s:.0f} s:"
                    " wait for it or end it."
                )
            yield

    def owner(self) -> Process | None:
        """The process that is to stop the server; None when there is none or it is gone."""
        try:
            noted = json.loads((self.directory / "owner.json").read_text(encoding="utf-8"))
            found = find_process(int(noted["pid"]))
        except (OSError, ValueError, KeyError):
            return None
        return found if found is not None and found.started == noted["started"] else None

    def note_owner(self, process: Process) -> None:
        _write_private(self.directory / "owner.json", json.dumps({"pid": process.pid, "started": process.started}))

    def forget_owner(self) -> None:
        (self.directory / "owner.json").unlink(missing_ok=True)

    def trim_log(self) -> None:
        """Keep one old log, so that neither grows for ever."""
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))

    def major(self) -> int | None:
        """The major version that the data belongs to; None before the first start."""
        try:
            return int((self.data / "PG_VERSION").read_text(encoding="ascii"))
        except FileNotFoundError:
            return None


def private(folder: Path) -> None:
    """Nobody but the owner may enter."""
    folder.chmod(0o700)


def _write_private(path: Path, text: str) -> None:
    """Whole or not at all, and for nobody else to read."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)
    fresh.replace(path)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
