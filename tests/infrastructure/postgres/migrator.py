"""A migration runner in a process of its own, so that tests can start two and kill one."""

import subprocess
import sys
from pathlib import Path

from infrastructure.postgres import migrate

ROOT = Path(__file__).parents[3]


def start_migrator(dsn: str, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.infrastructure.postgres.migrator", dsn, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


if __name__ == "__main__":
    print(*migrate.up(sys.argv[1], folder=Path(sys.argv[2])))  # noqa: T201 - the test reads it
