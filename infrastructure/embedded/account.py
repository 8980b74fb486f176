"""Under which account the server runs. PostgreSQL refuses to run as root, and we do not add accounts to a machine.

    ordinary user            -> as that user
    root, `unshare` works    -> same kernel user, shown as `nobody` inside a user namespace: no change of any file
    root, it does not        -> as `nobody`, which then owns the data and socket folders (nothing else), and must be able to reach them

The owner of an existing data folder decides, because PostgreSQL refuses a folder that belongs to somebody else.
"""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from domain.errors import Misconfigured

NOBODY = 65534
UNSHARE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """How to start a program, and who shall own what it writes (None: we ourselves)."""

    prefix: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None

    def command(self, *arguments: str | Path) -> list[str]:
        return [*self.prefix, *map(str, arguments)]

    @property
    def user(self) -> int | None:
        return None if self.owner is None else self.owner[0]

    @property
    def group(self) -> int | None:
        return None if self.owner is None else self.owner[1]

    @property
    def extra_groups(self) -> list[int] | None:
        return None if self.owner is None else []

    def hand_over(self, path: Path) -> None:
        """Make the path the server's own."""
        if self.owner is not None:
            os.chown(path, *self.owner)


def choose_account(data: Path) -> Account:
    if os.geteuid() != 0:
        return Account()
    held_by_root = not data.exists() or data.stat().st_uid == 0
    if held_by_root and user_namespaces_work():
        return Account(prefix=UNSHARE)
    if data.exists() and held_by_root:
        raise Misconfigured(
            f"{data} belongs to root and this system does not let root run PostgreSQL in a user namespace:"
            " run as an ordinary user, set DATABASE_URL, or choose another folder."
        )
    return _nobody(data)


def user_namespaces_work() -> bool:
    if shutil.which("unshare") is None:
        return False
    try:
        subprocess.run([*UNSHARE, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _nobody(data: Path) -> Account:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise Misconfigured(
            "PostgreSQL does not run as root and there is no account `nobody`: run as an ordinary user or set DATABASE_URL."
        ) from None
    closed = [folder for folder in data.parent.parents if not folder.stat().st_mode & stat.S_IXOTH]
    if closed:
        raise Misconfigured(
            f"PostgreSQL does not run as root, and `nobody` cannot enter {closed[-1]}:"
            " choose a data folder elsewhere (for instance under /var/lib), run as an ordinary user, or set DATABASE_URL."
        )
    return Account(owner=(entry.pw_uid, entry.pw_gid))
